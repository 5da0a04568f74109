"""A moment shows one state of the store, whatever happens to the store afterwards."""

from __future__ import annotations

import copy
import random
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from store.database import READERS_MAX
from store.errors import Busy
from store.moment import Moment
from store.readstore import ReadStore
from store.store import Job, Store
from store.tree import Tree
from store.types import ROOT, Difference
from tests.store.crash_load import Load
from tests.store.crash_state import State, Worlds, state_of
from tests.store.crash_steps import BLOCK_BYTES, options
from tests.store.model_world import World

START_NS = 10**18


class _Seen:
    """A moment as `state_of` looks at a store."""

    def __init__(self, moment: Moment) -> None:
        self._moment = moment
        self.branches, self.snapshots = moment.branches, moment.snapshots
        self.view, self.close_view = moment.view, moment.close_view

    def tree(self, branch: str) -> Tree:
        return self._moment.view(branch)


def state(moment: Moment) -> State:
    return state_of(cast(Store, _Seen(moment)))


def taken(store: Store, meanwhile: Callable[[], None] = lambda: None) -> Moment:
    """A moment; `meanwhile` is called while its checkpoint is under way."""
    found: list[Moment] = []
    for job in store.moment_steps(found.append):
        meanwhile()
        job.run()
        job.finish()
    return found[0]


def differences(store: ReadStore) -> list[list[Difference]]:
    """What differs from each snapshot to its branch."""
    return [
        list(store.diff(f"{info.name}@{saved.name}", info.name))
        for info in store.branches()
        for saved in store.snapshots(info.name)
    ]


def in_thread(look: Callable[[], None]) -> None:
    """Look from another thread, as a gateway does."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            look()
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    Store.init(tmp_path / "store", block_bytes=BLOCK_BYTES)
    return Store.open(tmp_path / "store", options(START_NS))


def test_every_moment_keeps_its_state_while_the_store_goes_on(
    store: Store, rng: random.Random
) -> None:
    world = World()
    load = Load(store, world, rng, lambda report: None, threads=False, gc_chance=0)
    worlds = Worlds()
    kept: list[tuple[Moment, State, list[list[Difference]]]] = []

    def look(moment: Moment, expected: State, differing: list[list[Difference]]) -> None:
        assert state(moment) == expected
        assert differences(moment) == differing
        assert moment.check(data=True) == []
        stats = moment.stats()
        assert [one.info for one in stats.branches] == moment.branches()

    for _ in range(6):
        load.run(load.done + 40)
        load.finish_jobs()
        expected = copy.deepcopy(worlds.state_of(world, held=True))
        differing = differences(store)
        kept.append((taken(store, load.step), expected, differing))
        if len(kept) == 3:
            moment, expected, differing = kept.pop(rng.randrange(3))
            in_thread(partial(look, moment, expected, differing))
            store.close_moment(moment)
    load.finish_jobs()
    store.settle()
    for moment, expected, differing in kept:
        in_thread(partial(look, moment, expected, differing))
        store.close_moment(moment)
    assert store.check(data=True) == []
    store.close()


def test_stats_are_those_of_the_store(store: Store) -> None:
    store.create_branch("main")
    tree = store.tree("main")
    ino = tree.create(ROOT, tree.root, b"file", 0o644).inode.ino
    tree.write(ROOT, ino, 0, random.Random(1).randbytes(5 * BLOCK_BYTES))
    store.snapshot("main", "one")
    tree.write(ROOT, ino, 0, random.Random(2).randbytes(BLOCK_BYTES))
    store.settle()
    ours = store.stats()
    moment = taken(store)
    assert moment.stats()._replace(database_bytes=0) == ours._replace(database_bytes=0)
    store.close_moment(moment)
    store.close()


def test_stats_report_progress_and_pass_on_what_it_raises(store: Store) -> None:
    store.create_branch("main")
    tree = store.tree("main")
    for number in range(600):
        ino = tree.create(ROOT, tree.root, b"%d" % number, 0o644).inode.ino
        tree.write(ROOT, ino, 0, number.to_bytes(2, "big") * 3000)
        store.settle()
    store.settle()
    calls: list[tuple[int, int]] = []
    store.stats(lambda done, total: calls.append((done, total)))
    assert calls
    assert all(0 < done <= total for done, total in calls)

    def refuse(done: int, total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        store.stats(refuse)
    store.close()


def test_no_gc_while_a_moment_is_open_and_the_other_way_round(store: Store) -> None:
    store.create_branch("main")
    moment = taken(store)
    with pytest.raises(Busy):
        store.gc()
    store.close_moment(moment)
    jobs: Any = store.gc_steps(lambda result: None)
    job: Job = next(jobs)
    with pytest.raises(Busy):
        taken(store)
    jobs.close()
    job.run()
    job.finish()
    store.gc()
    store.close()


def test_closed_moments_leave_room_for_others(store: Store) -> None:
    """The database has places for so many readers; who is closed has none, though it is known."""
    store.create_branch("main")
    known = []
    for _ in range(READERS_MAX + 1):
        moment = taken(store)
        known.append(moment)
        assert moment.check() == []
        store.close_moment(moment)
    store.close()


def test_a_moment_that_cannot_be_taken_leaves_nothing_behind(store: Store) -> None:
    store.create_branch("main")
    steps: Any = store.moment_steps(lambda moment: None)
    job: Job = next(steps)
    job.run()
    job.finish()
    steps.close()
    store.gc()
    assert store.check(data=True) == []
    store.close()


def test_damage_is_found_in_a_moment(store: Store) -> None:
    store.create_branch("main")
    tree = store.tree("main")
    ino = tree.create(ROOT, tree.root, b"file", 0o644).inode.ino
    tree.write(ROOT, ino, 0, random.Random(1).randbytes(8 * BLOCK_BYTES))
    store.settle()
    moment = taken(store)
    packs = Path(store.engine.packs.directory)
    (path,) = (path for path in packs.iterdir() if path.stat().st_size > 4 * BLOCK_BYTES)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    (problem,) = moment.check(data=True)
    assert "main:/file" in problem.what
    store.close_moment(moment)
    store.engine.close(clean=False)
