"""The test's side of processes that work on a store until they are killed; see crash_child.py."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from tests.store.model_world import World

TOP = Path(__file__).parent.parent.parent


class Life(NamedTuple):
    """What a child is to do, and when it is to die.

    It dies at the `passing`th time that it comes by the fault point `point`; or, without one, a
    random moment (up to `after_s`) after its `passing`th report. 0: it is not killed.
    """

    place: Path
    world: World
    seed: int
    steps: int
    end: str  # see Load.end
    clock_ns: int
    point: str = ""
    passing: int = 0
    after_s: float = 0.0
    gc_chance: float = 0.02


class Told(NamedTuple):
    """What a child reported, and whether it was killed (or else went to its end)."""

    reports: list[tuple[Any, ...]]
    killed: bool


class Nursery:
    """The program crash_child.py, running; a context manager."""

    def __enter__(self) -> Nursery:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.store.crash_child"],
            cwd=TOP,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def raise_child(self, life: Life) -> Told:
        """Have a life lived. AssertionError with its traceback where it failed by itself."""
        assert self._process.stdin and self._process.stdout
        pickle.dump(life, self._process.stdin)
        self._process.stdin.flush()
        told: Told = pickle.load(self._process.stdout)
        failed = [report[1] for report in told.reports if report[0] == "failed"]
        assert not failed, failed[0]
        return told
