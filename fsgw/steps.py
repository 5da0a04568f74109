"""Long work on trees as a generator, so that one thread can do it beside other things.

Between atomic steps such a generator says what it needs of whoever drives it:

    a number      nothing; that many bytes of data were written since the last step
    a function    to be called, on any thread, as it may wait for a disk; it touches no store. Its
                  result is sent back, what it raises is thrown in
    FULL          room in the store's memory; Busy is thrown in where none can be made

`pump.Pump` drives it on a store that nobody else uses, the gateway beside its clients.
"""

from __future__ import annotations

import enum
import heapq
from collections.abc import Callable, Generator, Iterable
from functools import partial
from typing import Any, ParamSpec, TypeAlias, TypeVar, cast

from store import errors

P = ParamSpec("P")
T = TypeVar("T")

# What sorting takes in one go: a few milliseconds.
_RUN_ITEMS = 10_000


class Full(enum.Enum):
    """See `FULL` in the module's text."""

    FULL = "full"


FULL = Full.FULL

Step: TypeAlias = int | Callable[[], Any] | Full
Steps: TypeAlias = Generator[Step, Any, T]


def beside(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Steps[T]:
    """`function(...)`, which may wait for a disk and touches no store."""
    return cast(T, (yield partial(function, *args, **kwargs)))


def at_once(value: T) -> Steps[T]:
    """A value that is there already."""
    yield from ()
    return value


def call(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Steps[T]:
    """`function(...)`, a store call that changes something; again whenever memory is full."""
    while True:
        try:
            return function(*args, **kwargs)
        except errors.Busy:
            yield FULL


def in_order(items: Iterable[T], key: Callable[[T], Any]) -> Steps[list[T]]:
    """The items sorted, however many they are, without holding everybody up."""
    left = list(items)
    runs = []
    for start in range(0, len(left), _RUN_ITEMS):
        runs.append(sorted(left[start : start + _RUN_ITEMS], key=key))
        yield 0
    if len(runs) == 1:
        return runs[0]
    return (yield from beside(lambda: list(heapq.merge(*runs, key=key))))


def until(holds: Callable[[], bool]) -> Steps[None]:
    """Wait until a condition holds that flushing, and sealing what was frozen, brings about.

    While garbage is collected, nothing is sealed: that has to be held off.
    """
    while not holds():
        yield FULL
        if not holds():
            yield FULL  # once more, to wait for a job to end
            yield 0  # however many that takes
