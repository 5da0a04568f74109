"""The rules of the state machine about branches, snapshots, views and differences."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from store import errors
from store.types import ROOT, Quota, SnapshotInfo, Who
from tests.store.model import Model
from tests.store.model_operands import FOLDER, INDEX, Pick
from tests.store.model_steps import assert_same, outcome, same
from tests.store.model_trees import TreeRules
from tests.store.model_world import Branch, Found, Saved, differences, sort_key

BRANCH_NAMES = st.sampled_from(("main", "one", "two"))
SNAPSHOT_NAMES = st.sampled_from(("s1", "s2", "s3"))
QUOTA_BYTES = st.sampled_from((0, 0, 1, 100_000))
QUOTA_INODES = st.sampled_from((0, 0, 20, 200))
AUTHOR = Who("Ann <ann@example.org>", 5)


class HistoryRules(TreeRules):
    """What is done to a branch as a whole; here a branch is a tree and its deep copies."""

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

    snapshot_more = snapshot

    @staticmethod
    def save(branch: Branch, info: SnapshotInfo) -> None:
        """Keep the branch as it is as a snapshot."""
        assert info.name not in branch.snapshots
        assert (info.parent, info.usage) == (branch.head, branch.tree.usage())
        branch.snapshots[info.name] = Saved(info.id, branch.tree.copy(), branch.head)
        branch.head = info.id

    def saved(self, index: int) -> tuple[str, Branch, str, Saved]:
        """One of all snapshots: its branch, by name and itself, and its own name and self."""
        every = [
            (name, branch, key, saved)
            for name, branch in sorted(self.world.branches.items())
            for key, saved in sorted(branch.snapshots.items())
        ]
        return every[index % len(every)]

    @precondition(lambda self: self.world.has_snapshots())
    @rule(index=INDEX)
    def delete_snapshot(self, index: int) -> None:
        name, branch, key, saved = self.saved(index)
        self.store.delete_snapshot(name, key)
        del branch.snapshots[key]
        self.world.forget(saved)

    @precondition(lambda self: self.world.has_snapshots())
    @rule(index=INDEX)
    def rollback(self, index: int) -> None:
        name, branch, key, target = self.saved(index)
        self.save(branch, self.store.rollback(name, f"{name}@{key}"))
        now = branch.tree
        branch.head, branch.tree = target.id, target.tree.copy()
        branch.tree.last, branch.tree.holds, branch.tree.quota = now.last, now.holds, now.quota
        branch.tree.reap_all()

    @rule(which=INDEX, directory=st.none() | FOLDER, name=BRANCH_NAMES)
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

    @rule(index=INDEX, bytes_max=QUOTA_BYTES, inodes_max=QUOTA_INODES)
    def set_quota(self, index: int, bytes_max: int, inodes_max: int) -> None:
        name, branch = self.branch(index)
        branch.tree.quota = Quota(bytes_max, inodes_max)
        self.store.set_quota(name, branch.tree.quota)

    @rule(which=INDEX)
    def log(self, which: int) -> None:
        ref, _, head = self.point(which)
        names = {s.id: key for b in self.world.branches.values() for key, s in b.snapshots.items()}
        story = self.world.story(head)
        # A snapshot that was deleted may be, as a commit, what another branch's snapshot is.
        told = [entry.name for entry in self.store.log(ref) if entry.snapshot in story]
        if not self.world.merges:
            assert told == [names[number] for number in story]
        else:  # it has the other parents' histories, and one name where two have one commit
            assert set(told) <= set(names.values())

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
            same(sorted(got, key=sort_key), differences(old, new), f"{old_ref} to {new_ref}")

    @precondition(lambda self: len(self.views) < 3)
    @rule(which=INDEX, directory=st.none() | FOLDER)
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
