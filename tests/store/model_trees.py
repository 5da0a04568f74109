"""The rules of the state machine that work on one tree: calls, many names, listings."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from store import errors
from store.store import Options, Store
from store.types import ROOT, Made
from tests.store.model import Model
from tests.store.model_jobs import JobRules
from tests.store.model_operands import FOLDER, INDEX, Pick, pick_inode
from tests.store.model_steps import (
    CHANGES,
    MAKING,
    PLANTED,
    READS,
    Step,
    list_all,
    outcome,
    perform,
)
from tests.store.model_world import Branch


class TreeRules(JobRules):
    """Steps on a branch's tree, each done on its model too."""

    @initialize(
        block_bytes=st.sampled_from((8192, 16384)),
        dirty_bytes_max=st.sampled_from((256 * 1024, 64 * 1024 * 1024)),
        node_cache_bytes=st.sampled_from((10_000, 64 * 1024 * 1024)),
        inode_cache_entries=st.sampled_from((4, 100_000)),
    )
    def begin(self, block_bytes: int, **limits: int) -> None:
        self.block_bytes = block_bytes
        self.options = Options(clock=self.clock, **limits)
        self.place = self.folder / "0"
        Store.init(self.place, block_bytes=block_bytes)
        self.store = Store.open(self.place, self.options)
        self.is_open = True
        self.add_branch("main")
        self.store.flush()
        self.durable = self.world.copy()

    def add_branch(self, name: str) -> None:
        if name in self.world.branches:
            assert outcome(self.store.create_branch, name) is errors.RefExists
            return
        self.store.create_branch(name)
        tree = self.store.tree(name)
        model = Model(self.block_bytes)
        model.adopt_root(tree.getattr(tree.root))
        info = next(info for info in self.store.branches() if info.name == name)
        self.world.branches[name] = Branch(info.id, model)
        for step in PLANTED:
            self.operate(name, step)

    # --- choosing -------------------------------------------------------------------------------

    def branch(self, index: int) -> tuple[str, Branch]:
        names = sorted(self.world.branches)
        name = names[index % len(names)]
        return name, self.world.branches[name]

    def point(self, index: int) -> tuple[str, Model, int]:
        """A branch or a snapshot: ref, tree, and newest snapshot."""
        points = sorted(self.world.points(), key=lambda point: point[0])
        return points[index % len(points)]

    # --- steps ----------------------------------------------------------------------------------

    @rule(index=INDEX, changes=st.lists(CHANGES, min_size=3, max_size=12))
    def change(self, index: int, changes: list[Step]) -> None:
        for step in changes:
            self.operate(self.branch(index)[0], step)

    change_more = change_even_more = change_most = change  # to be drawn that often

    @rule(index=INDEX, reads=st.lists(READS, min_size=3, max_size=12))
    def look(self, index: int, reads: list[Step]) -> None:
        for step in reads:
            self.operate(self.branch(index)[0], step)

    def operate(self, name: str, step: Step) -> None:
        tree, model = self.store.tree(name), self.world.branches[name].tree
        try:
            got = perform(tree, model, step)
        except errors.Busy:
            self.finish_all()
            self.flush()
            got = perform(tree, model, step)
        if isinstance(got, Made) and got.created and step.operation in MAKING:
            assert got.inode.ino not in self.world.numbers, "an inode number was used twice"
            self.world.numbers.add(got.inode.ino)

    @rule(
        index=INDEX, parent=FOLDER, first=st.integers(0, 200), count=st.sampled_from((10, 10, 120))
    )
    def create_many(self, index: int, parent: Pick, first: int, count: int) -> None:
        for number in range(first, first + count):
            name = b"%d" % (number * 7919)
            self.operate(self.branch(index)[0], Step("create", (ROOT, parent, name, 0o644)))

    @rule(index=INDEX, directory=FOLDER, page=st.integers(1, 50))
    def list_pages(self, index: int, directory: Pick, page: int) -> None:
        name, branch = self.branch(index)
        tree, ino = self.store.tree(name), pick_inode(branch.tree, *directory)
        for entry in list_all(tree, ino, page):
            cookie = self.cookies.setdefault((ino, entry.name), entry.cookie)
            assert cookie == entry.cookie, "a cookie must never change"

    @precondition(lambda self: self.listing is None)
    @rule(index=INDEX, directory=FOLDER, page=st.integers(1, 10))
    def begin_listing(self, index: int, directory: Pick, page: int) -> None:
        name, branch = self.branch(index)
        ino = pick_inode(branch.tree, *directory)
        found = self.store.tree(name).readdir(ROOT, ino, 0, page).entries
        there = dict(branch.tree.nodes[ino].entries)
        self.listing = name, ino, found[-1].cookie, there, [entry.name for entry in found]

    @precondition(lambda self: self.listing is not None)
    @rule()
    def end_listing(self) -> None:
        """Whatever happened since: what was there all the time is listed exactly once."""
        assert self.listing
        name, ino, cookie, old, listed = self.listing
        self.listing = None
        branch = self.world.branches.get(name)
        if branch and ino in branch.tree.nodes:
            new = branch.tree.nodes[ino].entries
            listed += [e.name for e in list_all(self.store.tree(name), ino, 50, cookie)]
            for entry in old.items() & new.items():
                assert listed.count(entry[0]) == 1
