"""How branches and snapshots change.

All steps are in memory and cost the same whatever a branch holds: a snapshot freezes the live
layer and puts an empty one on it; a fork puts an empty layer on what it forks; a rollback puts
one on its target, after what it discards became a snapshot.
"""

from __future__ import annotations

from collections.abc import Sequence

from store import access, carrying, keys
from store import database as db
from store.carrying import Carriage
from store.engine import Engine
from store.errors import InvalidArgument, NotDirectory, RefExists, StorageFailure
from store.gitrows import BRANCH_NAME, SNAPSHOT_NAME, GitRows, forget_ref
from store.layer import Chain, Layer
from store.points import Point, Points
from store.records import NO_ID, BranchRecord, Commit, Head, SnapshotRecord
from store.refs import annex_ref, check_name, head_ref, tag_ref, time_name
from store.tree import Tree
from store.types import ROOT, BranchInfo, Inode, Quota, SnapshotInfo, Usage, Who

ROOT_INO = 1
# What an annex may hold. It counts for no branch, and clients fill it.
ANNEX_QUOTA = Quota(bytes_max=4 << 30, inodes_max=1_000_000)


class History(Points):
    """The branches and snapshots of an open store; `store.Store` is its face."""

    def __init__(self, engine: Engine, empty_root: bytes) -> None:
        super().__init__(engine)
        self._empty_root = empty_root
        for _, head in self.live():
            self._open_tree(head)

    def _open_tree(self, head: Head) -> Tree:
        layer = self._engine.layers[head.layer]
        chain = Chain(self._engine, layer, NO_ID)
        tree = Tree(self._engine, chain, head.root_ino, layer.usage, read_only=False)
        record = self.branches.get(head.branch)
        tree.quota = ANNEX_QUOTA if record is None else record.quota
        self.trees[head.branch] = tree
        self._engine.live[layer.id] = tree
        try:
            tree.reap_orphans()
        except StorageFailure:
            pass  # damage here must not keep the store from opening: they wait for another time
        return tree

    # --- branches -----------------------------------------------------------------------------

    def create_branch(self, name: str, uid: int, gid: int) -> BranchInfo:
        """An empty branch. Raises InvalidRef, RefExists, InvalidArgument."""
        self._check_free(name)
        access.check_ids(uid, gid)
        return self._add_branch(name, self._new_layer(uid, gid), 0, ROOT_INO)

    def _new_layer(self, uid: int, gid: int) -> Layer:
        """A live layer with nothing in it but a root."""
        layer = self._engine.new_layer(None, self._empty_root, Usage(0, 1))
        now = self._engine.now()
        mode = 0o40755
        root = Inode(ROOT_INO, mode, 2, uid, gid, 0, 0, 0, 0, now, now, now, now, 0, 0, 0)
        layer.mem.put_inode(root)
        return layer

    def _check_free(self, name: str) -> None:
        if self.refs.get(head_ref(check_name(name))) is not None:
            raise RefExists(f"branch {name!r} exists")

    def _add_branch(self, name: str, layer: Layer, snapshot: int, root_ino: int) -> BranchInfo:
        number = self._engine.next_id()
        head = Head(number, layer.id, snapshot, root_ino)
        self.refs.test_and_set(head_ref(name), None, head.encode())
        self._put_branch(number, BranchRecord(self._engine.now(), Quota()))
        self._open_tree(head)
        return self.branch_info(name)

    def annex(self, branch: int) -> Tree:
        """The annex of a branch, by the branch's id: a writable tree beside it, without history,
        made when it is first asked for."""
        head = self.annexes().get(branch)
        if head is None:
            number = self._engine.next_id()
            head = Head(number, self._new_layer(0, 0).id, 0, ROOT_INO)
            self.refs.test_and_set(annex_ref(branch), None, head.encode())
            self._open_tree(head)
        return self.trees[head.branch]

    def _put_branch(self, number: int, record: BranchRecord | None) -> None:
        key = keys.pack_u64(number)
        if record is None:
            del self.branches[number]
            self._engine.put_table(db.BRANCHES, key, None)
            forget_ref(self._engine, BRANCH_NAME, number)
        else:
            self.branches[number] = record
            self._engine.put_table(db.BRANCHES, key, record.encode())

    def rename_branch(self, old: str, new: str) -> None:
        """Give a branch another name; its snapshots stay with it. Raises as `create_branch`."""
        head = self.head(old)
        self._check_free(new)
        self.refs.test_and_set(head_ref(new), None, head.encode())
        self.refs.test_and_set(head_ref(old), head.encode(), None)

    def delete_branch(self, name: str) -> None:
        """Remove a branch and all of its snapshots. Raises UnknownRef."""
        head = self.head(name)
        for number in [n for n, r in self.snapshots.items() if r.branch == head.branch]:
            self.delete_snapshot(number, with_branch=True)
        head = self.head(name)  # the snapshots' going may have moved it
        self.refs.test_and_set(head_ref(name), head.encode(), None)
        self._put_branch(head.branch, None)
        self._close_tree(head)
        annex = self.annexes().get(head.branch)
        if annex is not None:
            self.refs.test_and_set(annex_ref(head.branch), annex.encode(), None)
            self._close_tree(annex)
        self._drop_nameless()

    def _close_tree(self, head: Head) -> None:
        tree = self.trees.pop(head.branch)
        tree.read_only = True
        tree.rebase(Chain(self._engine, None, self._empty_root), tree.root, Usage(0, 0))
        self._engine.release_layer(self._engine.layers[head.layer])

    def set_quota(self, name: str, quota: Quota) -> None:
        """Set a branch's limits; what is over them already stays. Raises InvalidArgument."""
        if min(quota) < 0 or max(quota) >= 2**63:
            raise InvalidArgument(f"a quota of {quota}")
        number = self.head(name).branch
        self._put_branch(number, self.branches[number]._replace(quota=quota))
        self.trees[number].quota = quota

    def fork(self, source: str, name: str) -> BranchInfo:
        """A branch that starts as what a ref names; with a path, that directory is its root.

        Raises UnknownRef, AmbiguousId, InvalidRef, RefExists, NotFound, NotDirectory.
        """
        self._check_free(name)
        point, path = self.resolve(source)
        root_ino = point.root_ino
        if path.strip("/"):
            inode = self.tree_at(point).resolve(path.encode("utf-8", "surrogateescape"), ROOT)
            if inode.mode & 0o170000 != 0o040000:
                raise NotDirectory(f"{source} is not a directory")
            root_ino = inode.ino
        if point.layer is not None and not point.layer.frozen:
            point = self.frozen_point(head_ref(source.partition("/")[0]))
        layer = self._engine.new_layer(point.layer, point.base, point.usage)
        return self._add_branch(name, layer, self._lineage(point), root_ino)

    def _lineage(self, point: Point) -> int:
        """The snapshot that a new layer on a point descends from."""
        if point.snapshot or point.commit == NO_ID:
            return point.snapshot
        # A commit that no snapshot has (any more) still has to be the next one's parent, so it
        # becomes one again, nameless.
        return self._of_commit(0, point.commit, "", 0)

    def _of_commit(self, branch: int, oid: bytes, name: str, parent: int) -> int:
        """A new snapshot that is a commit; its layer is sealed from the beginning."""
        commit = self.commit(oid)
        layer = self._engine.new_layer(None, commit.root, commit.usage)
        layer.frozen, layer.root = True, commit.root
        self._engine.put_layer(layer)
        number = self._engine.next_id()
        record = SnapshotRecord(
            branch,
            layer.id,
            parent,
            commit.root_ino,
            number if branch else 0,
            oid,
            NO_ID,
            name,
            commit.author,
            commit.committer,
            commit.message,
        )
        return self._put_snapshot(number, record)

    # --- snapshots ----------------------------------------------------------------------------

    def _freeze(self, ref: str) -> Layer:
        """Freeze the live layer behind a ref and go on with an empty one on it; says the frozen
        one."""
        value = self.refs.get(ref)
        assert value is not None
        head = Head.decode(value)
        tree, engine = self.trees[head.branch], self._engine
        frozen = engine.layers[head.layer]
        layer = self._retire(frozen, tree)
        self.refs.test_and_set(ref, value, head._replace(layer=layer.id).encode())
        tree.advance(Chain(engine, layer, NO_ID))
        engine.live[layer.id] = tree
        engine.release_layer(frozen)
        return frozen

    def freeze_large(self, rows_max: int) -> None:
        """Freeze live layers that grew beyond a number of rows, so that they are sealed."""
        for ref, head in list(self.live()):
            if self._engine.layers[head.layer].rows > rows_max:
                self._freeze(ref)

    def frozen_point(self, ref: str) -> Point:
        """The state of now of a branch or annex, which stays as it is while that goes on."""
        head = dict(self.live())[ref]
        layer = self._engine.layers[head.layer]
        below = layer.parent if layer.pristine else None
        layer = below or self._freeze(ref)
        return Point(layer, NO_ID, head.root_ino, head.snapshot, NO_ID, layer.usage)

    def _retire(self, layer: Layer, tree: Tree) -> Layer:
        """Mark a live layer frozen and make its successor."""
        self._mark_frozen(layer, tree)
        return self._engine.new_layer(layer, NO_ID, layer.usage)

    def _mark_frozen(self, layer: Layer, tree: Tree) -> None:
        layer.usage, layer.frozen = tree.usage(), True
        self._engine.put_layer(layer)
        self._engine.live.pop(layer.id, None)

    def _move_head(self, branch: str, head: Head) -> None:
        name = head_ref(branch)
        self.refs.test_and_set(name, self.refs.get(name), head.encode())

    def _put_snapshot(self, number: int, record: SnapshotRecord | None) -> int:
        key = keys.pack_u64(number)
        if record is None:
            del self.snapshots[number]
            self._engine.put_table(db.SNAPSHOTS, key, None)
            forget_ref(self._engine, SNAPSHOT_NAME, number)
        else:
            self.snapshots[number] = record
            self._engine.put_table(db.SNAPSHOTS, key, record.encode())
        return number

    def snapshot(
        self, branches: Sequence[str], name: str | None, message: str, author: Who | None
    ) -> list[SnapshotInfo]:
        """Snapshot several branches in one step, all under one name.

        Raises UnknownRef, InvalidRef, RefExists, InvalidArgument; then none is taken.
        """
        now = self._engine.now()
        if len(set(branches)) != len(branches) or not branches:
            raise InvalidArgument("name each branch once, and at least one")
        name = self.free_name(time_name(now), branches) if name is None else check_name(name)
        for branch in branches:
            if self.refs.get(tag_ref(self.head(branch).branch, name)) is not None:
                raise RefExists(f"branch {branch!r} has a snapshot {name!r}")
        who = author or Who("fsgw", now)
        committer = Who("fsgw", now)
        taken = []
        for branch in branches:
            frozen = self._freeze(head_ref(branch))
            taken.append(self._record(branch, frozen, name, message, who, committer))
        return [self.snapshot_info(number) for number in taken]

    def free_name(self, wanted: str, branches: Sequence[str]) -> str:
        """The wanted name, or with a number behind it, that no snapshot of the branches has."""
        numbers = [self.head(branch).branch for branch in branches]
        name, count = wanted, 1
        while any(self.refs.get(tag_ref(number, name)) is not None for number in numbers):
            count += 1
            name = f"{wanted}-{count}"
        return name

    def _record(
        self, branch: str, frozen: Layer, name: str, message: str, author: Who, committer: Who
    ) -> int:
        """Make a frozen layer a snapshot and the newest of its branch."""
        head = self.head(branch)
        frozen.users += 1
        number = self._engine.next_id()
        record = SnapshotRecord(
            head.branch,
            frozen.id,
            head.snapshot,
            head.root_ino,
            number,
            NO_ID,
            NO_ID,
            name,
            author,
            committer,
            message,
        )
        self._put_snapshot(number, record)
        self.refs.test_and_set(tag_ref(head.branch, name), None, keys.pack_u64(number))
        self._move_head(branch, head._replace(snapshot=number))
        return number

    def add_snapshot(self, branch: str, oid: bytes, name: str | None, parent: int = 0) -> int:
        """Make a stored commit a snapshot of a branch, which stays as it is; says its number.

        Without a name it gets that of the time. `parent`: the snapshot that the branch goes on
        from where this one is deleted. Raises UnknownRef, InvalidRef, RefExists.
        """
        head = self.head(branch)
        if name is None:
            name = self.free_name(time_name(self._engine.now()), [branch])
        elif self.refs.get(tag_ref(head.branch, check_name(name))) is not None:
            raise RefExists(f"branch {branch!r} has a snapshot {name!r}")
        number = self._of_commit(head.branch, oid, name, parent)
        self.refs.test_and_set(tag_ref(head.branch, name), None, keys.pack_u64(number))
        return number

    def is_clean(self, branch: str) -> bool:
        """Whether a branch is exactly what its newest snapshot is, or empty and without one."""
        head = self.head(branch)
        if not head.snapshot:
            return self.trees[head.branch].usage() == Usage(0, 1)
        above = self._above(branch, self._engine.layers[self.snapshots[head.snapshot].layer])
        return above is not None and all(layer.pristine or layer.sealed for layer in above)

    def stands_on(self, branch: str, below: Layer) -> bool:
        """Whether a branch is what a frozen layer is, but for what was written since."""
        return self._above(branch, below) is not None

    def _above(self, branch: str, below: Layer) -> list[Layer] | None:
        """The layers of a branch above one, from the live one on; None where it does not stand on
        that."""
        above = []
        layer = self._engine.layers[self.head(branch).layer]
        while layer is not below:
            above.append(layer)
            if layer.sealed or layer.parent is None:
                stands = below.sealed and below.root in (layer.root, layer.base)
                return above if stands else None
            layer = layer.parent
        return above

    def carriage(self, branch: str, commit: Commit) -> Carriage | None:
        """What takes a branch that has changes of its own from its newest snapshot to a commit of
        the same tree; None where there is no such way."""
        head = self.head(branch)
        newest = self.snapshots.get(head.snapshot)
        if newest is None or newest.commit == NO_ID or newest.root_ino != commit.root_ino:
            return None
        old = self._engine.layers[newest.layer].root
        found = carrying.differences(self._engine.nodes, old, commit.root)
        return carrying.plan(self._engine, self.trees[head.branch], old, found)

    def carry(self, branch: str, number: int, carriage: Carriage) -> None:
        """Make a snapshot the newest of its branch, which keeps its own changes."""
        head = self.head(branch)
        carrying.carry(self._engine, self.trees[head.branch], carriage)
        self._move_head(branch, head._replace(snapshot=number))

    def adopt(self, branch: str, number: int) -> None:
        """Make a snapshot the newest of its branch, whose tree stays as it is."""
        self._move_head(branch, self.head(branch)._replace(snapshot=number))

    def advance(self, branch: str, number: int) -> None:
        """Make a branch what one of its snapshots is, as its newest, under its users."""
        head, engine = self.head(branch), self._engine
        record, tree = self.snapshots[number], self.trees[head.branch]
        below, old = engine.layers[record.layer], engine.layers[head.layer]
        layer = engine.new_layer(below, NO_ID, below.usage)
        self._move_head(branch, Head(head.branch, layer.id, number, record.root_ino))
        engine.live.pop(old.id, None)
        engine.release_layer(old)
        tree.rebase(Chain(engine, layer, NO_ID), record.root_ino, below.usage)
        engine.live[layer.id] = tree
        tree.reap_orphans()

    def delete_snapshot(self, number: int, *, with_branch: bool = False) -> None:
        """Remove a snapshot; those that stand on it stand on its parent from now on.

        Where that is a commit without a snapshot, of a history that came from git, it gets one
        without a name, unless the branch goes as well.
        """
        record = self.snapshots[number]
        is_newest = any(head.snapshot == number for _, head in self.heads())
        below = record.parent
        if is_newest and not below and not with_branch:
            below = self._commit_below(record)
        for other, later in list(self.snapshots.items()):
            if later.parent == number:
                commit = record.parent_commit if record.commit == NO_ID else record.commit
                self._put_snapshot(
                    other, later._replace(parent=record.parent, parent_commit=commit)
                )
        for branch, head in list(self.heads()):
            if head.snapshot == number:
                self._move_head(branch, head._replace(snapshot=below))
        if record.branch:
            tag = tag_ref(record.branch, record.name)
            self.refs.test_and_set(tag, keys.pack_u64(number), None)
        self._put_snapshot(number, None)
        self._engine.release_layer(self._engine.layers[record.layer])
        if record.branch:
            self._drop_nameless()

    def _commit_below(self, record: SnapshotRecord) -> int:
        """A nameless snapshot of the commit before one that came from git; 0 for any other."""
        if record.commit != NO_ID:
            for parent in self.commit(record.commit).parents[:1]:
                known = GitRows(self._engine).commit(parent)
                if known is not None and known.kept:
                    return self._of_commit(0, parent, "", 0)
        return 0

    def _drop_nameless(self) -> None:
        """Remove nameless snapshots (see `_lineage`) that nothing descends from any more."""
        needed = {head.snapshot for _, head in self.heads()}
        needed.update(record.parent for record in self.snapshots.values())
        for number, record in list(self.snapshots.items()):
            if not record.branch and number not in needed:
                self.delete_snapshot(number)

    def rollback(self, branch: str, target: str) -> SnapshotInfo:
        """Make a branch what a ref names; what it was becomes a snapshot, which is returned.

        Raises UnknownRef, AmbiguousId, InvalidArgument for a path.
        """
        head, engine = self.head(branch), self._engine
        point, path = self.resolve(target)
        if path.strip("/"):
            raise InvalidArgument(f"a branch rolls back to a whole tree, not to {target!r}")
        now, tree = engine.now(), self.trees[head.branch]
        frozen = engine.layers[head.layer]
        if point.layer is not None and not point.layer.frozen and point.layer is not frozen:
            point = self.frozen_point(head_ref(target.partition("/")[0]))
        self._mark_frozen(frozen, tree)
        name = self.free_name("rollback-" + time_name(now), [branch])
        who = Who("fsgw", now)
        message = f"before rollback to {target}"
        kept = self._record(branch, frozen, name, message, who, who)
        layer = engine.new_layer(point.layer, point.base, point.usage)
        lineage = self._lineage(point)
        self._move_head(branch, Head(head.branch, layer.id, lineage, point.root_ino))
        engine.release_layer(frozen)
        tree.rebase(Chain(engine, layer, NO_ID), point.root_ino, point.usage)
        engine.live[layer.id] = tree
        tree.reap_orphans()
        return self.snapshot_info(kept)

    def sealed(self, layer: int, commit: bytes) -> None:
        """The snapshot that has a layer got its commit."""
        for number, record in list(self.snapshots.items()):
            if record.layer == layer:
                self._put_snapshot(number, record._replace(commit=commit))
