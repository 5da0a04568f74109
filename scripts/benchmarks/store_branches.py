"""Rows about a branch with many files: snapshot, rollback, fork, diff, and memory."""

from __future__ import annotations

import statistics
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from scripts.benchmarks.bench import GIB, MIB, Bench, size_name
from scripts.benchmarks.children import run_child
from scripts.benchmarks.disk import incompressible
from scripts.benchmarks.engine import BRANCH, new_store, populate, write_file
from scripts.benchmarks.rows import Row, Target, make_row
from store.store import Store
from store.types import ROOT

_EDITED = 100
_ROUNDS = 7
_WRITE_BYTES = 4096
_STEP = Target("<", 10, near_peer=2)


class Large:
    """A store whose branch has many files and some data, nothing of it sealed until `seal`."""

    def __init__(self, bench: Bench, files: int, data_bytes: int) -> None:
        bench.say(f"making {files:,} files and {size_name(data_bytes)} of data")
        self.path = bench.path(f"store-{files}")
        self.files = files
        self.data = size_name(data_bytes)
        self._bench = bench
        self._opened = ExitStack()
        bench.resources.callback(self._opened.close)
        self._use(new_store(self.path))
        self._inos = array("Q", populate(self.store, self.tree, files))
        write_file(self.store, self.tree, b"big", incompressible("large", data_bytes))
        self._marks: tuple[str, str] | None = None

    def _use(self, store: Store) -> None:
        self.store = self._opened.enter_context(store)
        self.tree = store.tree(BRANCH)

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Let another process open the store meanwhile."""
        self._opened.close()
        try:
            yield
        finally:
            self._use(Store.open(self.path))

    def touch(self, mark: str, files: int = 10) -> None:
        """Overwrite 4 KiB in each of some files spread over the whole branch, in memory."""
        for number in range(files):
            data = (f"{mark} {number} ".encode() * _WRITE_BYTES)[:_WRITE_BYTES]
            self.tree.write(ROOT, self._inos[number * self.files // files], 0, data)

    def snapshot(self, name: str) -> str:
        """Take a snapshot, in memory; its ref."""
        self.store.snapshot(BRANCH, name)
        return f"{BRANCH}@{name}"

    def edited(self) -> tuple[str, str]:
        """Refs of two snapshots that differ in 100 files; the same two at every call."""
        if self._marks is None:
            older = self.snapshot("before-edit")
            self.touch("edit", _EDITED)
            self._marks = older, self.snapshot("after-edit")
            self.store.flush()
        return self._marks

    def seal(self) -> None:
        """Seal everything there is."""
        self._bench.say(f"sealing {self.files:,} files")
        self.store.snapshot(BRANCH)
        self.store.flush()
        self.store.settle()


def make_large(bench: Bench) -> Large:
    """1,000,000 files and 1 GiB of data in a full run."""
    return Large(bench, bench.size(1_000_000, 20_000), bench.size(GIB, 32 * MIB))


def make_small(bench: Bench) -> Large:
    """1,000 files and 1 MiB, to compare with."""
    return Large(bench, 1_000, MIB)


def steps(bench: Bench) -> Iterator[Row]:
    """The steps of snapshot, fork and rollback that clients wait for, and the flush after one.

    A step's figure is the worst of all rounds, as the first one freezes all there is.
    """
    large, small = bench.fixture(make_large), bench.fixture(make_small)
    rounds: list[tuple[dict[str, float], dict[str, float]]] = []
    for turn in range(_ROUNDS):
        rounds.append((_one_round(large, turn), _one_round(small, turn)))
        figures = (f"{what} {rounds[-1][0][what]:.3g} / {rounds[-1][1][what]:.3g}" for what in _ALL)
        bench.say(f"steps {turn + 1}/{_ROUNDS}, ms: {', '.join(figures)}")
    for what in ("snapshot", "fork", "rollback"):
        yield make_row(
            f"{what} of {large.files:,} files and {large.data} unsealed, step (worst)",
            max(ours[what] for ours, _ in rounds),
            "ms",
            peer=("the same with 1,000 files", max(peer[what] for _, peer in rounds)),
            target=_STEP,
        )
    yield make_row(
        "flush that makes a snapshot durable, 40 KiB dirty",
        statistics.median(ours["flush after"] for ours, _ in rounds),
        "ms",
        peer=("the same flush alone", statistics.median(r[0]["flush alone"] for r in rounds)),
        target=Target("<=", 2, of_ratio=True),
    )


_ALL = ("snapshot", "fork", "rollback", "flush after", "flush alone")


def _one_round(side: Large, turn: int) -> dict[str, float]:
    """Milliseconds of each step and flush."""
    store, name = side.store, f"step-{turn}"
    times: dict[str, float] = {}

    side.touch(f"alone {turn}")
    times["flush alone"] = _ms(store.flush)
    side.touch(f"after {turn}")
    times["snapshot"] = _ms(lambda: store.snapshot(BRANCH, name))
    times["flush after"] = _ms(store.flush)
    side.touch(f"fork {turn}")
    times["fork"] = _ms(lambda: store.fork(BRANCH, f"fork-{turn}"))
    side.touch(f"discarded {turn}")
    times["rollback"] = _ms(lambda: store.rollback(BRANCH, f"{BRANCH}@{name}"))
    store.flush()
    return times


def _ms(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1e3


def diff(bench: Bench) -> Iterator[Row]:
    """Two snapshots that differ in 100 files, before and after they are sealed.

    The figure is the worst of five, the first of which finds the least in caches.
    """
    large = bench.fixture(make_large)
    older, newer = large.edited()
    yield _diff_row(bench, large, older, newer, "unsealed")
    large.seal()
    yield _diff_row(bench, large, older, newer, "sealed")


def _diff_row(bench: Bench, large: Large, older: str, newer: str, state: str) -> Row:
    times: list[float] = []
    for turn in range(5):
        started = time.perf_counter()
        found = sum(1 for _ in large.store.diff(older, newer))
        times.append((time.perf_counter() - started) * 1e3)
        if found != _EDITED:
            raise RuntimeError(f"diff found {found} differences, not {_EDITED}")
        bench.say(f"diff, {state}, {turn + 1}/5: {times[-1]:.4g} ms")
    return make_row(
        f"diff of two snapshots, {_EDITED} files of {large.files:,} differ, {state} (worst)",
        max(times),
        "ms",
        target=Target("<", 200),
    )


def memory_unsealed(bench: Bench) -> Iterator[Row]:
    """Memory of a new process that has visited every inode of the live branch."""
    return _memory(bench, "unsealed")


def memory_sealed(bench: Bench) -> Iterator[Row]:
    """The same after sealing."""
    large = bench.fixture(make_large)
    large.seal()
    return _memory(bench, "sealed")


def _memory(bench: Bench, state: str) -> Iterator[Row]:
    large, small = bench.fixture(make_large), bench.fixture(make_small)
    reports: list[dict[str, float]] = []
    for side in (large, small):
        with side.closed():
            reports.append(run_child("walk", side.path, BRANCH, "/"))
        if reports[-1]["inodes"] < side.files:
            raise RuntimeError(f"the walk met {reports[-1]['inodes']} inodes of {side.files}")
    bench.say(f"memory, {state}: {reports}")
    for what, label in (("anonymous", "own"), ("resident", "with mapped files")):
        yield make_row(
            f"memory after visiting {large.files:,} files, {state}, {label}",
            reports[0][what] / MIB,
            "MiB",
            peer=("the same with 1,000 files", reports[1][what] / MIB),
        )
