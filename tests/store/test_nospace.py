"""Full and failing disks: calls are refused, nothing is lost, and it goes on when there is room.

First with every single write (or any other system call) of a workload refused in turn; then on a
small file system that is filled for real.
"""

from __future__ import annotations

import errno
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from store import disk, errors, faults
from store.engine import RESERVE_BYTES
from store.store import Store
from store.tree import Tree
from store.types import ROOT
from tests.store.crash_load import Load
from tests.store.crash_state import Worlds, matching, state_of
from tests.store.crash_steps import BLOCK_BYTES, Op, options
from tests.store.model_world import World
from tests.store.small_disk import MIB, Ballast, on_small_disk

START_NS = 10**18
TAKES_ROOM = frozenset({"create", "write", "write_sync", "make_directory"})


class Refusals:
    """Refuses calls number `first` <= n < `stop` (from 1) of the kinds in `ops`, or of all.

    With `short`, the first of them is a write of which half is done.
    """

    def __init__(
        self,
        code: int,
        first: int,
        stop: int,
        ops: frozenset[str] = frozenset(),
        short: bool = False,
    ) -> None:
        self._code, self._first, self._stop = code, first, stop
        self._ops, self._short = ops, short
        self.calls = 0

    def __call__(self, op: str, path: str, size_bytes: int) -> int | None:
        if self._ops and op not in self._ops:
            return None
        self.calls += 1
        if not self._first <= self.calls < self._stop:
            return None
        if self._short and self.calls == self._first and size_bytes > 1:
            return size_bytes // 2
        raise OSError(self._code, "refused by the test")


@contextmanager
def refusing(refusals: Refusals) -> Iterator[None]:
    disk.inject(refusals)
    try:
        yield
    finally:
        disk.inject(None)


def work(place: Path, refusals: Refusals, steps: int, seed: int) -> int:
    """Work on a disk that refuses some calls; how often the store felt it."""
    Store.init(place, block_bytes=BLOCK_BYTES)
    world = World()
    reports: list[tuple[Any, ...]] = []
    store = Store.open(place, options(START_NS))
    load = Load(
        store,
        world,
        random.Random(seed),
        reports.append,
        threads=False,
        tolerant=True,
        gc_chance=0.06,
    )
    with refusing(refusals):
        load.run(steps)
        assert state_of(store) == Worlds().state_of(world, held=True), "it stays readable"
    history = [report[1] for report in reports if report[0] == "op"]
    durable = max((report[1] for report in reports if report[0] == "ack"), default=0)
    look_at_copy(place, durable, history)
    load.finish_jobs()
    store.settle()
    store.gc()
    problems = store.check(data=True)
    assert not problems, problems
    store.close()
    with Store.open(place, options(START_NS * 2)) as store:
        matching(store, World(), history, len(history))
        assert store.check(data=True) == []
    return load.failures


def look_at_copy(place: Path, durable: int, history: list[Op]) -> None:
    """Had it crashed now, with the disk still full: all that was acknowledged is there."""
    copy = place.with_name("copy")
    shutil.copytree(place, copy)
    with Store.open(copy, options(START_NS * 2)) as store:
        problems = store.check()
        assert not problems, problems
        matching(store, World(), history, durable)
    shutil.rmtree(copy)


def count_calls(folder: Path, ops: frozenset[str], steps: int, seed: int) -> int:
    """How many calls a workload makes that nothing disturbs."""
    none = Refusals(0, 0, 0, ops)
    assert work(folder / "undisturbed", none, steps, seed) == 0
    return none.calls


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_few_refusals(code: int, scratch: Path, rng: random.Random) -> None:
    felt = 0
    for number, count in enumerate((1, 10, 1, 40)):
        first = rng.randint(1, 30)
        refusals = Refusals(code, first, first + count)
        felt += work(scratch / str(number), refusals, 40, rng.getrandbits(32))
    assert felt


@pytest.mark.slow
@pytest.mark.parametrize("short", [False, True])
def test_no_space_for_any_one_write(short: bool, scratch: Path, rng: random.Random) -> None:
    seed = rng.getrandbits(32)
    calls = count_calls(scratch, TAKES_ROOM, 60, seed)
    for first in range(1, calls + 1):
        refusals = Refusals(errno.ENOSPC, first, first + 1 + short, TAKES_ROOM, short)
        work(scratch / str(first), refusals, 60, seed)


@pytest.mark.slow
def test_failure_of_any_one_call(scratch: Path, rng: random.Random) -> None:
    seed = rng.getrandbits(32)
    calls = count_calls(scratch, frozenset(), 60, seed)
    for first in range(1, calls + 1):
        work(scratch / str(first), Refusals(errno.EIO, first, first + 1), 60, seed)


@pytest.mark.slow
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_failures_in_a_row(code: int, scratch: Path, rng: random.Random) -> None:
    ops = TAKES_ROOM if code == errno.ENOSPC else frozenset()
    for number in range(40):
        first = rng.randint(1, 150)
        refusals = Refusals(code, first, first + rng.randint(2, 150), ops)
        work(scratch / str(number), refusals, 100, rng.getrandbits(32))


def test_a_store_that_cannot_be_opened_now_can_be_opened_later(
    scratch: Path, rng: random.Random
) -> None:
    """Every call that opening makes after a crash, refused in turn."""
    place, crashed = scratch / "store", scratch / "crashed"
    Store.init(place, block_bytes=BLOCK_BYTES)
    world = World()
    reports: list[tuple[Any, ...]] = []
    store = Store.open(place, options(START_NS))
    load = Load(store, world, rng, reports.append, threads=False)
    load.run(40)
    load.finish_jobs()
    store.flush()
    shutil.copytree(place, crashed)
    store.close()
    history = [report[1] for report in reports if report[0] == "op"]
    opened, first = False, 0
    while not opened:
        first += 1
        refusals = Refusals(errno.EIO, first, 1 << 30)
        try:
            with refusing(refusals):
                store = Store.open(crashed, options(START_NS * 2))
        except errors.StorageFailure:
            pass
        else:
            store.close()
            opened = refusals.calls < first
    assert first > 1
    with Store.open(crashed, options(START_NS * 3)) as store:
        matching(store, World(), history, len(history))
        assert store.check(data=True) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_closing_on_a_failing_disk_lets_the_store_go(code: int, scratch: Path) -> None:
    """Whatever call fails while it closes, it is closed, and opens with all that was durable."""
    first, calls = 0, 1
    while first < calls:
        place = scratch / str(first)
        Store.init(place)
        store = Store.open(place)
        store.create_branch("main")
        tree = store.tree("main")
        tree.mkdir(ROOT, tree.root, b"durable", 0o755)
        store.flush()
        tree.mkdir(ROOT, tree.root, b"perhaps", 0o755)
        first += 1
        refusals = Refusals(code, first, 1 << 30)
        with refusing(refusals):
            try:
                store.close()
            except (errors.NoSpace, errors.StorageFailure):
                pass
        calls = max(calls, refusals.calls)
        with Store.open(place) as store:
            names = {entry.name for entry in store.tree("main").readdir(ROOT, 1).entries}
            assert {b"durable"} <= names <= {b".", b"..", b"durable", b"perhaps"}
            assert store.check(data=True) == []


# --- a disk that is really full -------------------------------------------------------------------


class Files:
    """Files of random bytes in a branch, and what they hold."""

    def __init__(self, tree: Tree, rng: random.Random) -> None:
        self.tree, self._rng = tree, rng
        self.held: dict[bytes, bytes] = {}

    def add(self, size: int) -> None:
        """One more file, whole or not at all."""
        name, data = b"%d" % self._rng.getrandbits(64), self._rng.randbytes(size)
        ino = self.tree.create(ROOT, self.tree.root, name, 0o644).inode.ino
        self.held[name] = b""
        self.tree.write(ROOT, ino, 0, data)
        self.held[name] = data

    def add_until_full(self, store: Store, size: int) -> int:
        """Files, each made durable, until the disk refuses; how many."""
        count = 0
        try:
            while count < 1000:
                self.add(size)
                store.flush()
                count += 1
        except errors.NoSpace:
            return count
        raise AssertionError("this disk is never full")

    def remove(self, count: int) -> None:
        for name in list(self.held)[:count]:
            self.tree.unlink(ROOT, self.tree.root, name)
            del self.held[name]

    def assert_held(self, tree: Tree | None = None) -> None:
        """All are there, as they are held."""
        tree = tree or self.tree
        entries = tree.readdir(ROOT, tree.root, 0, 100_000).entries[2:]
        assert {entry.name for entry in entries} == set(self.held)
        for entry in entries:
            data = self.held[entry.name]
            assert bytes(tree.read(ROOT, entry.ino, 0, len(data) + 1).data) == data


def new_store(place: Path, rng: random.Random) -> tuple[Store, Files]:
    Store.init(place / "store")
    store = Store.open(place / "store")
    store.create_branch("main")
    store.flush()
    return store, Files(store.tree("main"), rng)


def assert_all_well(store: Store, place: Path, files: Files) -> None:
    """Everything is there, now and after the store was opened anew."""
    files.assert_held()
    store.settle()
    assert store.check(data=True) == []
    store.close()
    with Store.open(place / "store") as store:
        files.assert_held(store.tree("main"))
        assert store.check(data=True) == []


@pytest.mark.root
def test_a_full_disk_refuses_and_goes_on_when_there_is_room(
    tmp_path: Path, rng: random.Random
) -> None:
    def fill(place: Path) -> None:
        store, files = new_store(place, rng)
        ballast = Ballast(place)
        ballast.fill(leave_bytes=RESERVE_BYTES + 8 * MIB)
        assert files.add_until_full(store, 300_000) > 5
        files.assert_held()
        assert files.tree.statfs().available_bytes <= MIB
        assert store.check(data=True) == []
        store.snapshot("main", "full")
        ballast.drop()
        for _ in range(10):
            files.add(300_000)
        assert_all_well(store, place, files)

    on_small_disk(48, tmp_path / "disk", fill)


@pytest.mark.root
def test_a_full_store_can_be_emptied(tmp_path: Path, rng: random.Random) -> None:
    """Removing and collecting garbage need no room that the reserve does not hold."""

    def fill(place: Path) -> None:
        store, files = new_store(place, rng)
        for _ in range(2):
            assert files.add_until_full(store, 1_000_000) > 8
            files.remove(len(files.held) * 9 // 10)
            store.settle()
            assert store.gc().freed_bytes > 5 * MIB
            files.assert_held()
        assert_all_well(store, place, files)

    on_small_disk(32, tmp_path / "disk", fill)


@pytest.mark.root
@pytest.mark.parametrize("size", [3000, 500_000])
def test_a_flush_on_a_full_disk(size: int, tmp_path: Path, rng: random.Random) -> None:
    """It fails, whether for the journal or for a pack; what it was to store waits in memory."""

    def fill(place: Path) -> None:
        store, files = new_store(place, rng)
        files.add(1000)
        store.flush()
        for _ in range(3 * MIB // size + 1):
            files.add(size)
        ballast = Ballast(place)
        ballast.fill()
        for _ in range(2):
            with pytest.raises(errors.NoSpace):
                store.flush()
            with pytest.raises(errors.NoSpace):
                files.tree.mkdir(ROOT, files.tree.root, b"more", 0o755)
            files.assert_held()
        ballast.drop()
        files.add(1000)
        store.flush()
        assert_all_well(store, place, files)

    on_small_disk(48, tmp_path / "disk", fill)


@pytest.mark.root
@pytest.mark.parametrize("point", ["checkpoint.begun", "checkpoint.written"])
def test_a_checkpoint_on_a_full_disk(point: str, tmp_path: Path, rng: random.Random) -> None:
    """The database finds no room for its pages, at the commit or before."""

    def fill(place: Path) -> None:
        store, files = new_store(place, rng)
        for number in range(2000):
            files.tree.mkdir(ROOT, files.tree.root, b"dir%d" % number, 0o755)
        for number in range(2000):
            files.tree.rmdir(ROOT, files.tree.root, b"dir%d" % number)
            files.add(10)
        store.flush()
        ballast = Ballast(place)
        faults.arm(lambda name: ballast.fill() if name == point else None)
        for _ in range(2):
            with pytest.raises(errors.NoSpace):
                store.checkpoint()
            files.assert_held()
            ballast.drop()
        faults.arm(None)
        ballast.fill()
        shutil.copytree(place / "store", tmp_path / "crashed")
        ballast.drop()
        store.checkpoint()
        assert_all_well(store, place, files)
        with Store.open(tmp_path / "crashed") as store:
            files.assert_held(store.tree("main"))
            assert store.check(data=True) == []

    try:
        on_small_disk(48, tmp_path / "disk", fill)
    finally:
        faults.arm(None)


@pytest.mark.root
def test_opening_a_crashed_store_on_a_full_disk(tmp_path: Path, rng: random.Random) -> None:
    """It is refused, not damaged: with room again it opens with all that was durable."""

    def fill(place: Path) -> None:
        store, files = new_store(place, rng)
        for _ in range(3000):
            files.add(10)
        store.flush()
        shutil.copytree(place / "store", tmp_path / "crashed")
        store.close()
        shutil.rmtree(place / "store")
        shutil.copytree(tmp_path / "crashed", place / "store")
        ballast = Ballast(place)
        ballast.fill()
        for _ in range(2):
            with pytest.raises(errors.NoSpace):
                Store.open(place / "store")
        ballast.drop()
        store = Store.open(place / "store")
        files.tree = store.tree("main")
        assert_all_well(store, place, files)

    on_small_disk(48, tmp_path / "disk", fill)
