"""Progress bars for commands that take long: on a terminal's stderr, or not at all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

# A bar of bytes is drawn once in so many, as drawing costs more than a small file does.
STEP_UNITS = 1 << 20


def is_shown() -> bool:
    """Whether a bar can be seen: stderr is a terminal."""
    return sys.stderr.isatty()


@contextmanager
def bar(
    label: str, length: Callable[[], int | None], step_units: int = STEP_UNITS
) -> Iterator[Callable[[int], None]]:
    """Yields `advance(units)`, to be told of work done; draws a bar when it is shown.

    `length` gives the units expected, None when nobody knows; it is asked only for a bar.
    """
    if not is_shown():
        yield _ignore
        return
    total = length()
    with click.progressbar(
        None if total is not None else _endless(),
        length=total,
        label=label,
        file=sys.stderr,
        update_min_steps=step_units,
    ) as drawn:
        yield drawn.update
        drawn.finish()


@contextmanager
def shares(label: str) -> Iterator[Callable[[int, int], None]]:
    """Yields `progress(done, total)`, for work that counts by itself; draws as `bar` does."""
    if not is_shown():
        yield lambda _done, _total: None
        return
    with click.progressbar(length=1, label=label, file=sys.stderr) as drawn:

        def progress(done: int, total: int) -> None:
            drawn.length = total
            drawn.update(done - drawn.pos)

        yield progress


def _endless() -> Iterator[int]:
    """Of unknown length, which makes the bar show movement rather than a share."""
    yield from ()


def _ignore(_units: int) -> None:
    """Where no bar is shown."""
