"""A Hypothesis state machine of the whole store against `World`: see StoreMachine."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from store import errors
from store.store import Options, Store
from store.tree import Tree
from store.types import ROOT, Made, Quota, SnapshotInfo, Who
from tests.store.model import Model
from tests.store.model_jobs import Clock, Job, Stage
from tests.store.model_steps import (
    INDEX,
    MAKING,
    OPERATIONS,
    Pick,
    Step,
    assert_same,
    list_all,
    outcome,
    perform,
    pick_inode,
    picks,
    steps,
)
from tests.store.model_world import Branch, Found, Saved, World, differences, sort_key

BRANCH_NAMES = st.sampled_from(("main", "one", "two"))
SNAPSHOT_NAMES = st.sampled_from(("s1", "s2", "s3"))
AUTHOR = Who("Ann <ann@example.org>", 5)
COMPARE_EVERY = 10  # steps between two comparisons of everything


class StoreMachine(RuleBasedStateMachine):
    """Random steps on a store, each done on `world` too, and the answers compared.

    `durable` is the world as a crash leaves it: a copy of `world` from the moment at which the
    last flush that ran began. `maybe` are later ones that are as good after a crash. At most one
    flush, one background job and one collection are under way; any other rule may come between
    their stages.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="fsgw-model-"))
        self.clock = Clock()
        self.world = self.durable = World()
        self.maybe: list[World] = []
        self.flushing: Stage | None = None
        self.working: Stage | None = None
        self.collection: Iterator[Job] | None = None
        self.collecting: Stage | None = None
        self.views: list[tuple[Tree, Model]] = []
        self.listing: tuple[str, int, int, dict[bytes, int], list[bytes]] | None = None
        self.cookies: dict[tuple[int, bytes], int] = {}
        self.steps = self.places = 0
        self.is_open = False

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

    # --- choosing -------------------------------------------------------------------------------

    def branch(self, index: int) -> tuple[str, Branch]:
        names = sorted(self.world.branches)
        name = names[index % len(names)]
        return name, self.world.branches[name]

    def point(self, index: int) -> tuple[str, Model, int]:
        """A branch or a snapshot: ref, tree, and newest snapshot."""
        points = sorted(self.world.points(), key=lambda point: point[0])
        return points[index % len(points)]

    # --- trees ----------------------------------------------------------------------------------

    def operate(self, index: int, step: Step) -> None:
        name, branch = self.branch(index)
        tree = self.store.tree(name)
        try:
            got = perform(tree, branch.tree, step)
        except errors.Busy:
            self.finish_all()
            self.flush()
            got = perform(tree, branch.tree, step)
        if isinstance(got, Made) and got.created and step.operation in MAKING:
            assert got.inode.ino not in self.world.numbers, "an inode number was used twice"
            self.world.numbers.add(got.inode.ino)

    @rule(index=INDEX, parent=picks("directory"), first=st.integers(0, 200), count=st.just(120))
    def create_many(self, index: int, parent: Pick, first: int, count: int) -> None:
        for number in range(first, first + count):
            name = b"%d" % (number * 7919)
            self.operate(index, Step("create", (ROOT, parent, name, 0o644), {}))

    @rule(index=INDEX, directory=picks("directory"), page=st.integers(1, 50))
    def list_pages(self, index: int, directory: Pick, page: int) -> None:
        name, branch = self.branch(index)
        tree, ino = self.store.tree(name), pick_inode(branch.tree, directory)
        if ino not in branch.tree.nodes or not branch.tree.nodes[ino].is_dir:
            expected = outcome(branch.tree.directory, ROOT, ino, 0)
            assert outcome(tree.readdir, ROOT, ino) is expected
            return
        for entry in list_all(tree, ino, page):
            cookie = self.cookies.setdefault((ino, entry.name), entry.cookie)
            assert cookie == entry.cookie, "a cookie must never change"

    @precondition(lambda self: self.listing is None)
    @rule(index=INDEX, directory=picks("directory"), page=st.integers(1, 10))
    def begin_listing(self, index: int, directory: Pick, page: int) -> None:
        name, branch = self.branch(index)
        ino = pick_inode(branch.tree, directory)
        node = branch.tree.nodes.get(ino)
        if node and node.is_dir:
            found = self.store.tree(name).readdir(ROOT, ino, 0, page).entries
            names = [entry.name for entry in found]
            self.listing = name, ino, found[-1].cookie, dict(node.entries), names

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

    # --- branches, snapshots, history -----------------------------------------------------------

    @rule(name=BRANCH_NAMES)
    def create_branch(self, name: str) -> None:
        self.add_branch(name)

    @rule(
        indexes=st.lists(INDEX, min_size=1, max_size=3),
        name=st.none() | SNAPSHOT_NAMES,
        message=st.sampled_from(("", "why\n")),
    )
    def snapshot(self, indexes: list[int], name: str | None, message: str) -> None:
        branches = dict(self.branch(index) for index in indexes)
        taken = any(name in branch.snapshots for branch in branches.values())
        if taken:
            got = outcome(self.store.snapshot, list(branches), name, message, AUTHOR)
            assert got is errors.RefExists
            return
        infos = self.store.snapshot(list(branches), name, message, AUTHOR)
        assert [info.branch for info in infos] == list(branches)
        for info in infos:
            branch = branches[info.branch]
            assert info.name == (name or info.name)
            assert (info.author, info.message) == (AUTHOR, message)
            self.save(branch, info)

    @staticmethod
    def save(branch: Branch, info: SnapshotInfo) -> None:
        """Keep the branch as it is as a snapshot."""
        assert info.name not in branch.snapshots
        assert (info.parent, info.usage) == (branch.head, branch.tree.usage())
        branch.snapshots[info.name] = Saved(info.id, branch.tree.copy(), branch.head)
        branch.head = info.id

    @rule(index=INDEX, which=INDEX)
    def delete_snapshot(self, index: int, which: int) -> None:
        name, branch = self.branch(index)
        for key in sorted(branch.snapshots)[which % 4 :][:1]:
            self.store.delete_snapshot(name, key)
            self.world.forget(branch.snapshots.pop(key))

    @rule(index=INDEX, which=INDEX)
    def rollback(self, index: int, which: int) -> None:
        name, branch = self.branch(index)
        for key in sorted(branch.snapshots)[which % 4 :][:1]:
            target = branch.snapshots[key]
            self.save(branch, self.store.rollback(name, f"{name}@{key}"))
            now = branch.tree
            branch.head, branch.tree = target.id, target.tree.copy()
            branch.tree.last, branch.tree.holds, branch.tree.quota = now.last, now.holds, now.quota
            branch.tree.reap_all()

    @rule(which=INDEX, directory=st.none() | picks("directory"), name=BRANCH_NAMES)
    def fork(self, which: int, directory: Pick | None, name: str) -> None:
        ref, model, head = self.below(which, directory)
        if name in self.world.branches:
            assert outcome(self.store.fork, ref, name) is errors.RefExists
            return
        info = self.store.fork(ref, name)
        assert (info.name, info.root_ino, info.head) == (name, model.root, head)
        model = model.restarted()
        model.quota = Quota()
        self.world.branches[name] = Branch(info.id, model, head)

    def below(self, which: int, directory: Pick | None) -> tuple[str, Model, int]:
        """A point, or one of its directories as a root of its own: ref, tree, and newest
        snapshot."""
        ref, model, head = self.point(which)
        folders = [(p, n) for p, _, n in model.walk() if n.is_dir]
        if directory:
            path, node = sorted(folders)[directory.nth % len(folders)]
            ref += path.decode("utf-8", "surrogateescape")
            model = model.copy()
            model.root = node.ino
        return ref, model, head

    @rule(
        index=INDEX, bytes_max=st.sampled_from((0, 1, 20_000)), inodes_max=st.sampled_from((0, 5))
    )
    def set_quota(self, index: int, bytes_max: int, inodes_max: int) -> None:
        name, branch = self.branch(index)
        branch.tree.quota = Quota(bytes_max, inodes_max)
        self.store.set_quota(name, branch.tree.quota)

    @rule(which=INDEX)
    def log(self, which: int) -> None:
        ref, _, head = self.point(which)
        names = {s.id: key for b in self.world.branches.values() for key, s in b.snapshots.items()}
        told = [entry.name for entry in self.store.log(ref) if entry.name]
        assert told == [names[number] for number in self.world.story(head)]

    @rule(index=INDEX, name=BRANCH_NAMES)
    def rename_branch(self, index: int, name: str) -> None:
        old, _ = self.branch(index)
        if name in self.world.branches:
            assert outcome(self.store.rename_branch, old, name) is errors.RefExists
            return
        self.store.rename_branch(old, name)
        self.world.branches[name] = self.world.branches.pop(old)

    @precondition(lambda self: len(self.world.branches) > 1)
    @rule(index=INDEX)
    def delete_branch(self, index: int) -> None:
        name, branch = self.branch(index)
        self.store.delete_branch(name)
        for saved in branch.snapshots.values():
            self.world.forget(saved)
        del self.world.branches[name]
        assert outcome(self.store.tree, name) is errors.UnknownRef

    @rule(first=INDEX, second=INDEX)
    def diff(self, first: int, second: int) -> None:
        (old_ref, old, _), (new_ref, new, _) = self.point(first), self.point(second)
        if old.root == new.root:
            got = [
                Found(d.kind, d.path, d.old_path, d.old and d.old.ino, d.new and d.new.ino)
                for d in self.store.diff(old_ref, new_ref)
            ]
            assert sorted(got, key=sort_key) == differences(old, new)

    @precondition(lambda self: len(self.views) < 3)
    @rule(which=INDEX, directory=st.none() | picks("directory"))
    def open_view(self, which: int, directory: Pick | None) -> None:
        ref, model, _ = self.below(which, directory)
        view = self.store.view(ref)
        assert view.read_only
        assert outcome(view.mkdir, ROOT, view.root, b"new", 0o755) is errors.ReadOnly
        self.views.append((view, model.copy()))

    @precondition(lambda self: self.views)
    @rule(index=INDEX, page=st.integers(1, 50))
    def read_view(self, index: int, page: int) -> None:
        view, model = self.views[index % len(self.views)]
        assert_same(view, model, page)

    @precondition(lambda self: self.views)
    @rule(index=INDEX)
    def close_view(self, index: int) -> None:
        self.store.close_view(self.views.pop(index % len(self.views))[0])

    # --- flushing and working in the background -------------------------------------------------

    def now_durable(self, world: World) -> None:
        """All up to `world` is on disk from here on."""
        self.durable, self.maybe = world, []

    @precondition(lambda self: self.flushing is None)
    @rule()
    def begin_flush(self) -> None:
        job = self.store.begin_flush()
        if job is None:
            self.now_durable(self.world.copy())
        else:
            self.flushing = Stage(job, self.world.copy())

    @precondition(lambda self: self.flushing is not None)
    @rule()
    def step_flush(self) -> None:
        assert self.flushing
        if self.flushing.step():
            self.flushing = None
        else:
            self.now_durable(self.flushing.world)

    @precondition(lambda self: self.working is None)
    @rule()
    def begin_work(self) -> None:
        job = self.store.background_job()
        self.working = Stage.of(job, self.world.copy())

    @precondition(lambda self: self.working is not None)
    @rule()
    def step_work(self) -> None:
        """A checkpoint may make durable more than the last flush did: all up to its beginning."""
        assert self.working
        if self.working.step():
            self.working = None
        else:
            self.may_be_durable(self.working.world)

    @precondition(lambda self: self.collection is None and self.working is None)
    @rule()
    def begin_gc(self) -> None:
        self.collection = self.store.gc_steps(lambda result: None)

    @precondition(lambda self: self.collection is not None)
    @rule()
    def step_gc(self) -> None:
        """One stage of one of the jobs of a collection; some of them are checkpoints."""
        assert self.collection
        if self.collecting is None:
            self.finish_jobs()  # or its next job might be to wait for them
            job = next(self.collection, None)
            self.collecting = Stage.of(job, self.world.copy())
            if job is None:
                self.collection = None
        elif self.collecting.step():
            self.collecting = None
        else:
            self.may_be_durable(self.collecting.world)

    def may_be_durable(self, world: World) -> None:
        if world.age > self.durable.age:
            self.maybe.append(world)

    def finish_jobs(self) -> None:
        while self.flushing:
            self.step_flush()
        while self.working:
            self.step_work()

    def finish_all(self) -> None:
        self.finish_jobs()
        while self.collection:
            self.step_gc()

    @rule()
    def flush(self) -> None:
        while self.flushing:
            self.step_flush()
        self.store.flush()
        self.now_durable(self.world.copy())

    @rule()
    def settle(self) -> None:
        self.finish_all()
        self.store.settle()
        self.now_durable(self.world.copy())
        for name in self.world.branches:
            assert all(info.commit for info in self.store.snapshots(name))

    @precondition(lambda self: self.collection is None)
    @rule()
    def collect(self) -> None:
        self.finish_jobs()
        self.store.gc_plan()
        plan = self.store.gc_plan()  # the first one may have stored what was still in memory
        assert self.store.gc().plan == plan
        self.now_durable(self.world.copy())

    @rule(nanoseconds=st.sampled_from((1, 10**9, -5, -(10**9))))
    def pass_time(self, nanoseconds: int) -> None:
        self.clock.now += nanoseconds

    # --- ends -----------------------------------------------------------------------------------

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
        self.compare()
        self.check()

    def find_world(self, worlds: list[World]) -> None:
        """Go on with the one of the possible worlds that is the store's, or the last of them."""
        for world in worlds:
            self.world = world.restarted()
            self.now_durable(self.world.copy())
            try:
                self.compare()
                return
            except AssertionError:
                continue

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


def add_rule(operation: str) -> None:
    """Give the machine a rule for one operation of the table."""

    def operate(self: StoreMachine, index: int, step: Step) -> None:
        self.operate(index, step)

    operate.__name__ = operation
    setattr(StoreMachine, operation, rule(index=INDEX, step=steps(operation))(operate))


for _operation in OPERATIONS:
    add_rule(_operation)
