"""The store against its plain model, and the same history told twice.

The state machine is in model_machine.py. The other tests hold the map to its promise of history
independence: what is sealed depends on content alone, not on when or in how many parts it was
flushed, nor on what was there meanwhile.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.store import Options, Store
from store.tree import Tree
from store.types import ROOT, RenameHow, SetAttr
from tests.store.model import Model
from tests.store.model_jobs import Clock, Job, Stage
from tests.store.model_machine import StoreMachine
from tests.store.model_steps import CHANGES, PLANTED, Step, perform
from tests.store.model_world import World

BLOCK_BYTES = 8192

TestStore = StoreMachine.TestCase
TestStore.settings = settings(settings.default, stateful_step_count=60)

SNAPSHOT = Step("snapshot", (), {})
SCHEDULE = st.lists(st.sampled_from(("", "", "", "flush", "work", "settle")), max_size=40)


class Run:
    """One store on which a recorded history is told."""

    def __init__(self, place: Path) -> None:
        self.clock = Clock()
        self.store = Store.open(place, Options(clock=self.clock))
        self.tree = self.store.tree("main")
        self.model = Model(BLOCK_BYTES)
        self.model.adopt_root(self.tree.getattr(self.tree.root))
        self.flushing: Stage | None = None
        self.working: Stage | None = None

    def tell(self, history: list[Step], schedule: list[str]) -> list[str]:
        """Do the history, stages of jobs in between as scheduled; the commits that come of it."""
        for number, step in enumerate([*PLANTED, *history, SNAPSHOT]):
            self.clock.now += 1000
            if step == SNAPSHOT:
                self.store.snapshot("main", f"s{number}")
            else:
                perform(self.tree, self.model, step)
            if number < len(schedule):
                self.work(schedule[number])
        self.work("settle")
        commits = [info.commit for info in self.store.snapshots("main")]
        assert self.store.check(data=True) == []
        self.store.close()
        return commits

    def work(self, what: str) -> None:
        """One stage of a flush or of a background job, or all the work that is left."""
        if what == "flush":
            self.flushing = self.next_stage(self.flushing, self.store.begin_flush)
        elif what == "work":
            self.working = self.next_stage(self.working, self.store.background_job)
        elif what == "settle":
            while self.flushing:
                self.work("flush")
            while self.working:
                self.work("work")
            self.store.settle()

    @staticmethod
    def next_stage(stage: Stage | None, begin: Callable[[], Job | None]) -> Stage | None:
        if stage is None:
            return Stage.of(begin(), World())
        return None if stage.step() else stage


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one empty branch; copies of it agree on all ids to come."""
    place = tmp_path_factory.mktemp("replay") / "store"
    Store.init(place, block_bytes=BLOCK_BYTES)
    with Store.open(place, Options(clock=Clock())) as store:
        store.create_branch("main")
    return place


@given(st.lists(st.one_of(*[CHANGES] * 9, st.just(SNAPSHOT)), max_size=40), SCHEDULE, SCHEDULE)
def test_what_is_sealed_does_not_depend_on_when_it_is_flushed(
    empty: Path, history: list[Step], one: list[str], other: list[str]
) -> None:
    commits = []
    for schedule in (one, other):
        copy = empty.with_name("copy")
        shutil.copytree(empty, copy)
        try:
            commits.append(Run(copy).tell(history, schedule))
        finally:
            shutil.rmtree(copy)
    assert commits[0] == commits[1]
    assert all(commits[0])


def test_what_is_sealed_does_not_depend_on_what_was_there_meanwhile(empty: Path) -> None:
    roots = []
    for detours in (False, True):
        copy = empty.with_name("copy")
        shutil.copytree(empty, copy)
        clock = Clock()
        with Store.open(copy, Options(clock=clock)) as store:
            tell_a_story(store, clock, detours)
            store.settle()
            (info,) = store.snapshots("main")
            assert store.check(data=True) == []
            roots.append(info.commit)
        shutil.rmtree(copy)
    assert roots[0] == roots[1]


def tell_a_story(store: Store, clock: Clock, detours: bool) -> None:
    """Directories of files, made straight or with many detours that leave no trace.

    Every inode gets its final times last, from a clock that was set for it.
    """
    tree = store.tree("main")
    folders = [tree.mkdir(ROOT, tree.root, b"dir%d" % n, 0o755).inode.ino for n in range(3)]
    files = [tree.create(ROOT, folders[n % 3], b"file%d" % n, 0o644).inode.ino for n in range(300)]
    if detours:
        for number, ino in enumerate(files):
            wander(tree, folders, number, ino)
            if number % 50 == 0:
                store.flush()
            if number % 120 == 0:
                store.settle()
    for number, ino in enumerate(files):
        tree.setattr(ROOT, ino, SetAttr(size=0))
        tree.write(ROOT, ino, number * 1000, b"%d" % number * 1000)
        tree.setxattr(ROOT, ino, b"user.n", b"%d" % number)
    for ino in [tree.root, *folders, *files]:
        clock.now += 10**9
        tree.setattr(ROOT, ino, SetAttr(mode=0o750, atime_ns=ino, mtime_ns=-ino))
    clock.now += 10**9
    store.snapshot("main", "end")


def wander(tree: Tree, folders: list[int], number: int, ino: int) -> None:
    """Change a file and its surroundings in ways that are all undone."""
    home, away, name = folders[number % 3], folders[(number + 1) % 3], b"file%d" % number
    tree.write(ROOT, ino, number * 5000, b"gone" * (number * 10))
    tree.setxattr(ROOT, ino, b"user.gone", b"x" * number * 20)
    tree.link(ROOT, ino, away, b"second")
    tree.unlink(ROOT, home, name)
    tree.rename(ROOT, away, b"second", home, name)
    extra = tree.mkdir(ROOT, away, b"extra", 0o700).inode.ino
    tree.create(ROOT, extra, b"inner", 0o600)
    tree.rename(ROOT, extra, b"inner", home, name, RenameHow.EXCHANGE)
    tree.rename(ROOT, home, name, extra, b"inner", RenameHow.EXCHANGE)
    tree.unlink(ROOT, extra, b"inner")
    tree.rmdir(ROOT, away, b"extra")
    tree.removexattr(ROOT, ino, b"user.gone")
