"""The Hypothesis state machine of the whole store against a plain model of it.

Its rules come in layers: model_jobs (what is durable when), model_trees (calls on one tree),
model_history (branches and snapshots), model_merges, and here closing, crashing, and comparing
everything.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from hypothesis.stateful import invariant, rule

from store.store import Store
from tests.store.model import Model
from tests.store.model_merges import MergeRules
from tests.store.model_steps import assert_same
from tests.store.model_world import World

COMPARE_EVERY = 10  # steps between two comparisons of everything


class StoreMachine(MergeRules):
    """Random steps on a store, each done on `world` too, and all answers compared."""

    @rule()
    def reopen(self) -> None:
        self.close()
        self.start(self.place, self.world)

    @rule()
    def crash(self) -> None:
        """Leave the directory as it is now to a new start; what was not durable is lost."""
        self.places += 1
        place = self.folder / str(self.places)
        shutil.copytree(self.place, place)
        worlds = [self.durable, *self.maybe]
        self.close()
        shutil.rmtree(self.place)
        self.start(place, worlds[0])
        self.find_world(worlds)
        self.check()

    def find_world(self, worlds: list[World]) -> None:
        """Go on with the one of the possible worlds that is the store's."""
        for world in worlds:
            self.world = world.restarted()
            self.now_durable(self.world.copy())
            try:
                self.compare()
                return
            except AssertionError:
                if world is worlds[-1]:
                    raise

    def close(self) -> None:
        self.finish_all()
        for view, _ in self.views:
            self.store.close_view(view)
        self.is_open = False
        self.store.close()

    def start(self, place: Path, found: World) -> None:
        """Open the store at a place where `found` is what should be there."""
        self.place, self.world = place, found.restarted()
        self.now_durable(self.world.copy())
        self.views, self.listing = [], None
        self.clock.now += 10**12
        self.store = Store.open(place, self.options)
        self.is_open = True

    @invariant()
    def check_a_little(self) -> None:
        self.steps += 1
        self.world.age += 1
        for name, branch in self.world.branches.items():
            tree = self.store.tree(name)
            assert tree.usage() == branch.tree.usage()
        if self.steps % COMPARE_EVERY == 0:
            self.compare()

    def check(self) -> None:
        problems = self.store.check(data=True)
        assert not problems, problems

    def compare(self) -> None:
        """The whole store against the whole world."""
        infos = self.store.branches()
        assert {i.name: i.id for i in infos} == {n: b.id for n, b in self.world.branches.items()}
        for name, branch in self.world.branches.items():
            assert_same(self.store.tree(name), branch.tree)
            ids = {info.name: info.id for info in self.store.snapshots(name)}
            assert ids == {key: saved.id for key, saved in branch.snapshots.items()}
            for key, saved in branch.snapshots.items():
                with_view(self.store, f"{name}@{key}", saved.tree)

    def teardown(self) -> None:
        try:
            if self.is_open and sys.exc_info()[0] is None:
                self.finish()
        finally:
            if self.is_open:
                self.store.engine.close(clean=False)
            shutil.rmtree(self.folder)

    def finish(self) -> None:
        """At the end of every example: check, and the same again settled, collected, reopened."""
        self.finish_all()
        self.compare()
        self.check()
        self.store.settle()
        self.compare()
        self.store.gc()
        self.close()
        self.start(self.place, self.world)
        self.compare()
        self.check()
        self.close()


def with_view(store: Store, ref: str, model: Model) -> None:
    view = store.view(ref)
    assert_same(view, model)
    store.close_view(view)
