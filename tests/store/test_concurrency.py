"""Jobs on threads of their own while the main thread changes and reads: every answer is right."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from store.store import Options, Store
from store.tree import Tree
from store.types import ROOT
from tests.store.crash_load import Load
from tests.store.crash_state import Worlds, matching, state_of
from tests.store.crash_steps import BLOCK_BYTES, options
from tests.store.model import Model
from tests.store.model_steps import list_all, plain
from tests.store.model_world import World

START_NS = 10**18


class Reads:
    """Reads of all kinds at random, each compared with the plain world."""

    def __init__(self, store: Store, world: World, rng: random.Random) -> None:
        self._store, self._world, self._rng = store, world, rng
        self.views: list[tuple[Tree, Model]] = []

    def step(self) -> None:
        """One read of a branch, and one of a snapshot that is held open for a while."""
        rng, world = self._rng, self._world
        name = rng.choice(list(world.branches))
        branch = world.branches[name]
        self.read(self._store.tree(name), branch.tree)
        if branch.snapshots and len(self.views) < 4:
            key = rng.choice(list(branch.snapshots))
            view = self._store.view(f"{name}@{key}")
            self.views.append((view, branch.snapshots[key].tree))
        if self.views:
            self.read(*rng.choice(self.views))
        if self.views and rng.random() < 0.2:
            self._store.close_view(self.views.pop(rng.randrange(len(self.views)))[0])

    def read(self, tree: Tree, model: Model) -> None:
        _, _, node = self._rng.choice(list(model.walk()))
        assert plain(tree.getattr(node.ino)) == model.attr(node)
        if node.is_dir:
            assert {e.name: e.ino for e in list_all(tree, node.ino)[2:]} == node.entries
            for name, ino in node.entries.items():
                assert tree.lookup(ROOT, node.ino, name).ino == ino
        elif node.kind == 0o100000:
            offset = self._rng.randrange(node.size + 1)
            count = self._rng.randrange(100_000)
            got = tree.read(ROOT, node.ino, offset, count)
            assert bytes(got.data) == model.content(node, offset, count)
        for name, value in node.xattrs.items():
            assert tree.getxattr(ROOT, node.ino, name) == value

    def end(self) -> None:
        """Give back what is held."""
        while self.views:
            self._store.close_view(self.views.pop()[0])


def beside(place: Path, steps: int, rng: random.Random, limits: Options) -> None:
    """Change and read on this thread while jobs run on two others."""
    Store.init(place, block_bytes=BLOCK_BYTES)
    world, reports = World(), list[tuple[Any, ...]]()
    store = Store.open(place, limits)
    load = Load(store, world, rng, reports.append, threads=True, gc_chance=0.05)
    reads = Reads(store, world, rng)
    while load.done < steps:
        load.step()
        reads.step()
        reads.step()
    load.finish_jobs()
    assert state_of(store) == Worlds().state_of(world, held=True)
    assert store.check(data=True) == []
    reads.end()
    store.settle()
    store.gc()
    assert state_of(store) == Worlds().state_of(world, held=True)
    assert store.check(data=True) == []
    store.close()
    ran = {report[1] for report in reports if report[0] == "job"}
    # GC begins by chance, and whether a pack is worth rewriting by then depends on the threads.
    wanted = {"flush", "MarkJob"} if steps >= 1000 else {"flush"}
    assert wanted <= ran
    history = [report[1] for report in reports if report[0] == "op"]
    with Store.open(place, options(START_NS * 2)) as store:
        assert store.check(data=True) == []
        matching(store, World(), history, len(history))


def test_jobs_beside_changes_and_reads(scratch: Path, rng: random.Random) -> None:
    beside(scratch / "store", 250, rng, options(START_NS))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(6))
def test_jobs_beside_changes_and_reads_for_long(
    part: int, scratch: Path, rng: random.Random
) -> None:
    limits = options(START_NS)
    if part % 2:  # nothing is ever evicted, and checkpoints are rare: the other extreme
        limits = Options(clock=limits.clock, journal_bytes_max=2_000_000)
    beside(scratch / "store", 1500, rng, limits)
