"""The rule of the state machine that merges.

What a merge is, model_merge and its tests say. Here it happens among everything else: so the model
takes a merged tree over from the store, and all that follows, to the last snapshot that is deleted
or crash, is held to that.
"""

from __future__ import annotations

import stat

from hypothesis import strategies as st
from hypothesis.stateful import rule

from store import errors
from store.conflicts import Favor
from store.merge_work import Outcome
from store.merging import Merged, Request
from store.tree import Tree
from store.types import ROOT, Quota
from tests.store.model import Model
from tests.store.model_history import BRANCH_NAMES, HistoryRules
from tests.store.model_nodes import TOP, Node, Place
from tests.store.model_operands import INDEX
from tests.store.model_steps import CHANGES, Step, list_all
from tests.store.model_world import Branch, Saved

CHANGED = st.lists(CHANGES, max_size=8)


class MergeRules(HistoryRules):
    """See the module."""

    @rule(
        which=INDEX,
        index=INDEX,
        favor=st.sampled_from((None, None, Favor.OURS, Favor.THEIRS)),
        fast_forward=st.booleans(),
    )
    def merge(self, which: int, index: int, favor: Favor | None, fast_forward: bool) -> None:
        ref, theirs, _ = self.point(which)
        self.merge_into(self.branch(index)[0], ref, theirs, favor, fast_forward)

    @rule(
        index=INDEX,
        name=BRANCH_NAMES,
        ours=CHANGED,
        theirs=CHANGED,
        favor=st.sampled_from((None, Favor.OURS, Favor.THEIRS)),
    )
    def part_and_merge(
        self, index: int, name: str, ours: list[Step], theirs: list[Step], favor: Favor | None
    ) -> None:
        """Fork a branch, go on with both, and bring them together."""
        source, branch = self.branch(index)
        if name in self.world.branches:
            return
        (info,) = self.store.snapshot(source)
        self.save(branch, info)
        fork = Branch(self.store.fork(source, name).id, branch.tree.restarted(), info.id)
        fork.tree.quota = Quota()
        self.world.branches[name] = fork
        for changed, steps in ((source, ours), (name, theirs)):
            for step in steps:
                self.operate(changed, step)
        self.merge_into(source, name, fork.tree, favor, True)

    part_and_merge_more = part_and_merge_most = part_and_merge

    def merge_into(
        self, name: str, ref: str, theirs: Model, favor: Favor | None, fast_forward: bool
    ) -> None:
        branch = self.world.branches[name]
        self.finish_all()
        self.flush()
        request = Request(ref, name, favor=favor, fast_forward=fast_forward)
        try:
            done = self.store.merge(request)
        except (errors.InvalidArgument, errors.QuotaExceeded, errors.UnknownRef):
            return  # no ancestor, or one that was collected; nothing has changed
        if done.snapshot is None:
            assert done.outcome in (Outcome.UP_TO_DATE, Outcome.CONFLICTS)
            return
        self.world.merges += 1
        if done.source is not None:
            self.save(self.world.branches[ref], done.source)
        self.take_over(name, branch, theirs, done)

    def take_over(self, name: str, branch: Branch, theirs: Model, done: Merged) -> None:
        if done.before is not None:
            self.save(branch, done.before)
        info, before = done.snapshot, branch.tree
        assert info is not None
        assert info.parent == branch.head
        orphans = [node for model in (before, theirs) for node in model.nodes.values()]
        orphans = [node for node in orphans if not node.names]
        view = self.store.view(f"{name}@{info.name}")
        saved = modelled(view, self.block_bytes, orphans)
        self.store.close_view(view)
        assert saved.usage() == info.usage
        branch.snapshots[info.name] = Saved(info.id, saved, branch.head)
        branch.head = info.id
        branch.tree = modelled(self.store.tree(name), self.block_bytes, orphans)
        branch.tree.last, branch.tree.quota = before.last, before.quota
        branch.tree.holds = before.holds


def modelled(tree: Tree, block_bytes: int, orphans: list[Node]) -> Model:
    """A model of what is in a tree; `orphans` are inodes that may be there without a name."""
    model = Model(block_bytes, tree.root)
    todo = [TOP]
    while todo:
        node = model.nodes.setdefault(todo[-1], _node(tree, todo[-1], block_bytes))
        todo.pop()
        if node.is_dir and not node.entries:
            for entry in list_all(tree, node.ino)[2:]:
                node.entries[entry.name] = entry.ino
                child = model.nodes.setdefault(entry.ino, _node(tree, entry.ino, block_bytes))
                child.names.add(Place(node.ino, entry.name))
                todo.append(entry.ino)
    for node in orphans:
        inode = tree.find(node.ino)
        if inode is not None and not inode.nlink:
            model.nodes[node.ino] = node.copy()
    return model


def _node(tree: Tree, ino: int, block_bytes: int) -> Node:
    (_, mode, _, uid, gid, size, _, major, minor, atime, mtime, ctime, btime, _, _, verifier) = (
        tree.getattr(ino)
    )
    times = atime, mtime, ctime, btime
    node = Node(ino, mode, uid, gid, *times, rdev=(major, minor), verifier=verifier)
    node.xattrs = tree.xattrs_of(ino)
    if stat.S_ISLNK(mode):
        node.target, node.size = tree.readlink(ROOT, ino), size
    elif stat.S_ISREG(mode):
        node.size = size
        for block in tree.allocated_blocks(ino, 0):
            data = bytes(tree.read(ROOT, ino, block * block_bytes, block_bytes).data)
            node.blocks[block] = data.ljust(block_bytes, b"\0")
    return node
