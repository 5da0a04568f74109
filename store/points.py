"""What refs, heads and snapshot records say: the states of a store that can be named.

Only looks; `history` changes. A point is a layer or a base root with what is known of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from store import database as db
from store import keys
from store.engine import Engine
from store.errors import AmbiguousId, Busy, Damaged, UnknownRef
from store.layer import Chain, Layer
from store.records import NO_ID, BranchRecord, Commit, Head, LayerRecord, SnapshotRecord
from store.refs import ANNEXES, HEADS, Refs, head_ref, tag_ref
from store.tree import Tree
from store.types import BranchInfo, SnapshotInfo, Usage

_ID_PREFIX_MIN = 8
_HEX = frozenset("0123456789abcdef")


class Point(NamedTuple):
    """A state that a ref names: a layer, or a base root where there is none."""

    layer: Layer | None
    base: bytes
    root_ino: int
    snapshot: int  # the snapshot that it is or stands on, 0 if none
    commit: bytes  # its commit, or NO_ID
    usage: Usage


class Points:
    """The branches and snapshots of an open store, as they are."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.refs = Refs(engine)
        reader = engine.reader
        self.branches = {
            keys.unpack_u64(key): BranchRecord.decode(value)
            for key, value in reader.all(db.BRANCHES)
        }
        self.snapshots = {
            keys.unpack_u64(key): SnapshotRecord.decode(value)
            for key, value in reader.all(db.SNAPSHOTS)
        }
        self.trees: dict[int, Tree] = {}
        load_layers(engine, [head for _, head in self.live()], self.snapshots)

    # --- names --------------------------------------------------------------------------------

    def head(self, branch: str) -> Head:
        """A branch's head. Raises UnknownRef."""
        value = self.refs.get(head_ref(branch))
        if value is None:
            raise UnknownRef(f"no branch {branch!r}")
        return Head.decode(value)

    def snapshot_id(self, branch: str, name: str) -> int:
        """The id of a branch's snapshot. Raises UnknownRef."""
        value = self.refs.get(tag_ref(self.head(branch).branch, name))
        if value is None:
            raise UnknownRef(f"branch {branch!r} has no snapshot {name!r}")
        return keys.unpack_u64(value)

    def resolve(self, ref: str) -> tuple[Point, str]:
        """The point that a ref names, and the path behind it (empty, or `/...`).

        Raises UnknownRef, AmbiguousId.
        """
        name, slash, path = ref.partition("/")
        branch, at, snapshot = name.partition("@")
        if at:
            return self._snapshot_point(self.snapshot_id(branch, snapshot)), slash + path
        if self.refs.get(head_ref(name)) is not None:
            head = self.head(name)
            layer = self._engine.layers[head.layer]
            usage = self.trees[head.branch].usage()
            return Point(layer, NO_ID, head.root_ino, head.snapshot, NO_ID, usage), slash + path
        if len(name) >= _ID_PREFIX_MIN and _HEX.issuperset(name):
            return self._commit_point(self._commit_id(name)), slash + path
        raise UnknownRef(f"no branch, and no commit id of at least 8 hex digits: {name!r}")

    def _snapshot_point(self, number: int) -> Point:
        record = self.snapshots[number]
        layer = self._engine.layers[record.layer]
        return Point(layer, NO_ID, record.root_ino, number, record.commit, layer.usage)

    def _commit_point(self, oid: bytes) -> Point:
        for number, record in self.snapshots.items():
            if record.commit == oid:
                return self._snapshot_point(number)
        if self._engine.index.pins is not None:
            raise Busy("garbage is being collected; a commit without a snapshot may be part of it")
        commit = self.commit(oid)
        if not self._engine.objects.has(commit.root):
            raise UnknownRef(f"commit {oid.hex()} has been collected")
        return Point(None, commit.root, commit.root_ino, 0, oid, commit.usage)

    def commit(self, oid: bytes) -> Commit:
        """A commit object. Raises Damaged."""
        return Commit.decode(self._engine.objects.get(oid))

    def _commit_id(self, prefix: str) -> bytes:
        if len(prefix) > 64:
            raise UnknownRef(f"a commit id has 64 hex digits: {prefix!r}")
        found = {oid for oid, _ in self.commits() if oid.hex().startswith(prefix)}
        if not found:
            raise UnknownRef(f"no commit {prefix!r}")
        if len(found) > 1:
            raise AmbiguousId(f"{len(found)} commits start with {prefix!r}")
        return found.pop()

    def commits(self) -> Iterator[tuple[bytes, Commit]]:
        """Every commit that snapshots and branches lead to, with its id, each once."""
        todo = [c for r in self.snapshots.values() for c in (r.commit, r.parent_commit)]
        seen = {NO_ID}
        while todo:
            oid = todo.pop()
            if oid in seen:
                continue
            seen.add(oid)
            commit = self.commit(oid)
            yield oid, commit
            todo.extend(commit.parents)

    # --- lists ---

    def snapshot_info(self, number: int, branch: str | None = None) -> SnapshotInfo:
        """A snapshot as lists show it; `branch` is its branch's name, where that is known."""
        record = self.snapshots[number]
        if branch is None:
            branch = next((n for n, h in self.heads() if h.branch == record.branch), "")
        layer = self._engine.layers[record.layer]
        return SnapshotInfo(
            branch,
            record.name,
            number,
            record.parent,
            record.author,
            record.message,
            record.commit.hex() if record.commit != NO_ID else "",
            layer.usage,
        )

    def heads(self) -> Iterator[tuple[str, Head]]:
        """All branches' names and heads, by name."""
        for name, value in self.refs.list(HEADS):
            yield name.partition("/")[2], Head.decode(value)

    def annexes(self) -> dict[int, Head]:
        """The heads of the annexes that there are, by the ids of their branches."""
        found = self.refs.list(ANNEXES)
        return {int(ref.partition("/")[2], 16): Head.decode(value) for ref, value in found}

    def live(self) -> Iterator[tuple[str, Head]]:
        """All that has a live layer, branches and annexes, by the names of their refs."""
        for prefix in (HEADS, ANNEXES):
            for ref, value in self.refs.list(prefix):
                yield ref, Head.decode(value)

    def branch_info(self, name: str) -> BranchInfo:
        """A branch as lists show it. Raises UnknownRef."""
        head = self.head(name)
        record, tree = self.branches[head.branch], self.trees[head.branch]
        return BranchInfo(
            name,
            head.branch,
            head.root_ino,
            head.snapshot,
            record.created_ns,
            tree.usage(),
            record.quota,
        )

    def tree_at(self, point: Point) -> Tree:
        """A read-only tree of a point, as it is now."""
        chain = Chain(self._engine, point.layer, point.base)
        return Tree(self._engine, chain, point.root_ino, point.usage, read_only=True)


def _has_rows(engine: Engine, layer: Layer) -> bool:
    rows = engine.reader.items(db.LAYERS, layer.head, keys.after(layer.head))
    return next(iter(rows), None) is not None


def load_layers(
    engine: Engine, heads: Sequence[Head], snapshots: dict[int, SnapshotRecord]
) -> None:
    """Build the layers of an opened store from their records, with who uses them."""
    records = {
        keys.unpack_u64(key): LayerRecord.decode(value)
        for key, value in engine.reader.all(db.LAYER_INFO)
    }
    for number in sorted(records):  # a parent is older than its children
        record = records[number]
        parent = engine.layers.get(record.parent)
        if record.parent and parent is None:
            raise Damaged(f"layer {number} stands on layer {record.parent}, which is missing")
        layer = Layer(number, parent, record.base, engine.gauge)
        layer.root, layer.frozen, layer.usage = record.root, record.frozen, record.usage
        layer.rows = record.rows
        layer.stored = not layer.sealed and _has_rows(engine, layer)
        engine.layers[number] = layer
        if parent is not None:
            parent.users += 1
    for number in [h.layer for h in heads] + [r.layer for r in snapshots.values()]:
        if number not in engine.layers:
            raise Damaged(f"layer {number} is missing")
        engine.layers[number].users += 1
    # A view that was open when the store was last used may have been a layer's last user.
    for layer in [layer for layer in engine.layers.values() if not layer.users]:
        layer.users = 1
        engine.release_layer(layer)
