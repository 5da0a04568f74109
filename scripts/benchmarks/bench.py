"""What all measurements of one run share: a scratch directory, sizes, progress, alternation.

A disk's speed drifts, so a figure and its peer's are always taken in turns, and the medians are
compared.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

MIB = 1 << 20
GIB = 1 << 30

T = TypeVar("T")


class Pair(NamedTuple):
    """Medians of a figure and its peer's, taken in turns."""

    ours: float
    peer: float


class Bench:
    """One run in the directory `scratch`; `quick` asks for small sizes.

    `resources` closes what measurements opened, last first, when the run ends. `profile` is where
    a server process of ours is to leave its cProfile statistics, if anywhere.
    """

    def __init__(self, scratch: Path, *, quick: bool, profile: Path | None = None) -> None:
        self.scratch = scratch
        self.quick = quick
        self.profile = profile
        self.resources = ExitStack()
        self._fixtures: dict[object, object] = {}
        self._serial = itertools.count(1)
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.resources.__exit__(kind, error, trace)

    def size(self, full: int, quick: int) -> int:
        """The one of two sizes that this run is to use."""
        return quick if self.quick else full

    def path(self, name: str) -> Path:
        """A path in the scratch directory that nothing has used yet."""
        return self.scratch / f"{next(self._serial):03d}-{name}"

    def fixture(self, make: Callable[[Bench], T]) -> T:
        """The result of `make`, made once in a run and shared by the rows that need it."""
        if make not in self._fixtures:
            self._fixtures[make] = make(self)
        return self._fixtures[make]  # type: ignore[return-value]  # keyed by its own maker

    def say(self, text: str) -> None:
        """Progress, to standard error."""
        print(f"[{time.monotonic() - self._started:6.1f} s] {text}", file=sys.stderr, flush=True)

    def alternate(
        self,
        what: str,
        rounds: int,
        ours: Callable[[], float],
        peer: Callable[[], float],
        *,
        before: Callable[[int], None] | None = None,
    ) -> Pair:
        """Medians of `rounds` results of each; who goes first changes from round to round.

        `before(round number)` prepares a round.
        """
        results: tuple[list[float], list[float]] = ([], [])
        for turn in range(rounds):
            if before is not None:
                before(turn)
            for side in (0, 1) if turn % 2 == 0 else (1, 0):
                results[side].append((ours, peer)[side]())
            self.say(f"{what}: {turn + 1}/{rounds}: {results[0][-1]:,.5g} / {results[1][-1]:,.5g}")
        return Pair(statistics.median(results[0]), statistics.median(results[1]))


def size_name(size_bytes: int) -> str:
    """`1 GiB`, `64 MiB`: the size in words."""
    if size_bytes % GIB == 0:
        return f"{size_bytes // GIB} GiB"
    return f"{size_bytes // MIB} MiB"
