"""What is kept of the names that git gives to what is stored: three tables, and who needs what.

The store knows no git: here are ids of 20 bytes, maps of entries and bytes that `gitdoor` makes
and reads. What stands here is what durability, GC and `check` have to know of them.

    git_commits   commit id -> the id git has for it, its tree's, and the map of entries (GitCommit)
    git_objects   git's id -> where the object is made from (GitObject)
    git_refs      a branch or snapshot -> its name in git, where that is another, and tag object

A *map of entries* belongs to a commit's map. Its keys are the number of a directory's inode,
keys.GIT_ENTRY, and the entry's name as git sorts it; its values are entries (GitEntry). So a
directory's tree object is one range of it, and a renamed directory's entries stay where they are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from store import database as db
from store import keys
from store.errors import Damaged
from store.node import NodeSource
from store.records import NO_ID

if TYPE_CHECKING:
    from store.engine import Engine
    from store.points import Points

GIT_ID_BYTES = 20
COMMIT, TREE, BLOB, TAG = 1, 2, 3, 4
BRANCH_NAME, SNAPSHOT_NAME = b"b", b"s"
ROOT_KEY = keys.prefix(0, keys.GIT_ENTRY)  # the entry of the root directory itself

_GIT_COMMIT = struct.Struct(">20s20s32s32sQBI")
_GIT_OBJECT = struct.Struct(">B32sQ")
_GIT_ENTRY = struct.Struct(">H20sQ")


class GitCommit(NamedTuple):
    """What git calls a commit, and the tree that it has there.

    `root` and `entries` are the commit's map and its map of entries. `kept`: the history itself
    came from git, so that both stay as long as anything descends from the commit; otherwise they
    stay as long as the commit has a snapshot. `left_out` is how many names git cannot have. `raw`
    is git's own commit object where it is not what `gitdoor` makes of the commit.
    """

    id: bytes
    tree: bytes
    root: bytes
    entries: bytes
    root_ino: int
    kept: bool
    left_out: int
    raw: bytes

    def encode(self) -> bytes:
        return _GIT_COMMIT.pack(*self[:7]) + self.raw

    @classmethod
    def decode(cls, data: bytes) -> GitCommit:
        if len(data) < _GIT_COMMIT.size:
            raise Damaged(f"a git commit's record has {len(data)} bytes")
        oid, tree, root, entries, ino, kept, left = _GIT_COMMIT.unpack_from(data)
        return cls(oid, tree, root, entries, ino, bool(kept), left, data[_GIT_COMMIT.size :])


class GitObject(NamedTuple):
    """Where an object of git is made from: a commit, and in it an inode (0 for the commit itself).

    For a TAG `commit` is NO_ID and `ino` the number of the snapshot whose name has it.
    """

    kind: int
    commit: bytes
    ino: int

    def encode(self) -> bytes:
        return _GIT_OBJECT.pack(*self)

    @classmethod
    def decode(cls, data: bytes) -> GitObject:
        if len(data) != _GIT_OBJECT.size:
            raise Damaged(f"a git object's record has {len(data)} bytes")
        return cls(*_GIT_OBJECT.unpack(data))


class GitEntry(NamedTuple):
    """An entry of a tree: git's mode and id, and the inode that it stands for."""

    mode: int
    id: bytes
    ino: int

    def encode(self) -> bytes:
        return _GIT_ENTRY.pack(*self)

    @classmethod
    def decode(cls, data: bytes) -> GitEntry:
        if len(data) != _GIT_ENTRY.size:
            raise Damaged(f"a git entry has {len(data)} bytes")
        return cls(*_GIT_ENTRY.unpack(data))

    @property
    def kind(self) -> int:
        """The kind of object that it names; 0 for a commit of another repository."""
        form = self.mode & 0o170000
        return TREE if form == 0o040000 else 0 if form == 0o160000 else BLOB


class GitRef(NamedTuple):
    """A branch's or snapshot's full name in git, and its tag objects: one that names the commit
    comes last, before it one that names that one."""

    name: bytes
    tags: tuple[bytes, ...] = ()

    def encode(self) -> bytes:
        parts = (self.name, *self.tags)
        return b"".join([len(part).to_bytes(4, "big") + part for part in parts])

    @classmethod
    def decode(cls, data: bytes) -> GitRef:
        parts, at = [], 0
        while at < len(data):
            end = at + 4 + int.from_bytes(data[at : at + 4], "big")
            parts.append(data[at + 4 : end])
            at = end
        if at != len(data) or not parts:
            raise Damaged(f"a git name's record has {len(data)} bytes")
        return cls(parts[0], tuple(parts[1:]))


Row = tuple[int, bytes, bytes | None]
"""A table, a key and its new value."""


class GitRows:
    """The three tables, as one thread reads them; see `Engine.get_table`."""

    def __init__(self, engine: Engine, reader: db.Reader | None = None) -> None:
        """`reader`: that of a thread beside the main one."""
        self._engine, self._reader = engine, reader

    def _get(self, table: int, key: bytes) -> bytes | None:
        found = self._engine.get_table(table, key, self._reader)
        if found is None and self._reader is not None:
            self._reader.renew()  # a checkpoint may have moved it
            found = self._engine.get_table(table, key, self._reader)
        return found

    def commit(self, oid: bytes) -> GitCommit | None:
        """What git has for a commit, None where that is not known."""
        found = self._get(db.GIT_COMMITS, oid)
        return None if found is None else GitCommit.decode(found)

    def object(self, git_id: bytes) -> GitObject | None:
        """Where an object of git is made from, None where there is none of that id."""
        found = self._get(db.GIT_OBJECTS, git_id)
        return None if found is None else GitObject.decode(found)

    def branch_ref(self, number: int) -> GitRef | None:
        """A branch's name in git, None where it is its own."""
        return self._ref(BRANCH_NAME, number)

    def snapshot_ref(self, number: int) -> GitRef | None:
        """A snapshot's name in git, None where it is its own."""
        return self._ref(SNAPSHOT_NAME, number)

    def _ref(self, kind: bytes, number: int) -> GitRef | None:
        found = self._get(db.GIT_REFS, kind + keys.pack_u64(number))
        return None if found is None else GitRef.decode(found)

    def ids_from(self, prefix: bytes) -> Iterator[bytes]:
        """Ids of objects that start with some bytes, those in memory among them; in no order."""
        reader = self._reader or self._engine.reader
        changed = self._engine.changed_keys(db.GIT_OBJECTS)
        for key, _ in reader.items(db.GIT_OBJECTS, prefix, _after(prefix)):
            if key not in changed:
                yield key
        yield from (k for k, value in changed.items() if value and k.startswith(prefix))


def _after(prefix: bytes) -> bytes:
    return b"\xff" * (GIT_ID_BYTES + 1) if set(prefix) <= {0xFF} else keys.after(prefix)


def put_rows(engine: Engine, rows: Iterable[Row]) -> None:
    """Change tables; durable with the next flush. Main thread only."""
    for row in rows:
        engine.put_table(*row)


def commit_row(oid: bytes, record: GitCommit) -> Row:
    """The row of a commit."""
    return db.GIT_COMMITS, oid, record.encode()


def object_row(git_id: bytes, kind: int, commit: bytes, ino: int) -> Row:
    """The row of an object."""
    return db.GIT_OBJECTS, git_id, GitObject(kind, commit, ino).encode()


def ref_row(kind: bytes, number: int, ref: GitRef | None) -> Row:
    """The row of a branch's or snapshot's name."""
    return db.GIT_REFS, kind + keys.pack_u64(number), None if ref is None else ref.encode()


def forget_ref(engine: Engine, kind: bytes, number: int) -> None:
    """A branch or snapshot is gone."""
    table, key, _ = ref_row(kind, number, None)
    if engine.get_table(table, key) is not None:
        engine.put_table(table, key, None)


# --- what is needed ---------------------------------------------------------------------------


class Needed(NamedTuple):
    """What of the tables is needed: `maps` are roots that must stay, `live` the commits that have
    them, `dead` those of whom nothing is needed, `bare` those that keep only their names."""

    maps: set[bytes]
    live: dict[bytes, GitCommit]
    bare: set[bytes]
    dead: set[bytes]


def needed(engine: Engine, reader: db.Reader, reached: set[bytes], shown: set[bytes]) -> Needed:
    """What the rows of `git_commits` need, by what reaches whom.

    `reached` has every commit that a snapshot or branch descends from; `shown` those that are a
    snapshot's own, whose maps are there anyhow. Any thread.
    """
    found = Needed(set(), {}, set(), set())
    changed = engine.changed_keys(db.GIT_COMMITS)
    stored = ((key, value) for key, value in reader.all(db.GIT_COMMITS) if key not in changed)
    for oid, value in (*stored, *((k, v) for k, v in changed.items() if v is not None)):
        if oid not in reached:
            found.dead.add(oid)
            continue
        record = GitCommit.decode(value)
        if record.kept or oid in shown:
            found.live[oid] = record
            found.maps.update((record.root, record.entries))
        else:
            found.bare.add(oid)
    return found


def shown_commits(history: Points) -> set[bytes]:
    """The commits that snapshots are."""
    return {record.commit for record in history.snapshots.values()} - {NO_ID}


def pruned(
    engine: Engine, reader: db.Reader, nodes: NodeSource, needs: Needed, snapshots: set[int]
) -> list[Row]:
    """The changes that forget what is not needed, and lead to another maker where there is one.

    Costs nothing where every commit is needed; otherwise as much as there are objects. Any thread.
    """
    rows: list[Row] = [(db.GIT_COMMITS, oid, None) for oid in needs.dead]
    lost: dict[bytes, int] = {}
    if not needs.dead and not needs.bare:
        return rows
    for key, value in reader.all(db.GIT_OBJECTS):
        found = GitObject.decode(value)
        if found.kind == TAG:
            if found.ino not in snapshots:
                rows.append((db.GIT_OBJECTS, key, None))
        elif found.commit in needs.live or (found.kind == COMMIT and found.commit in needs.bare):
            continue
        else:
            lost[key] = found.kind
    rows += _found_again(nodes, needs, lost) if lost else []
    rows += [(db.GIT_OBJECTS, key, None) for key in lost]
    return rows


def _found_again(nodes: NodeSource, needs: Needed, lost: dict[bytes, int]) -> list[Row]:
    """Rows of lost objects that another commit's map has as well; takes them off `lost`."""
    rows: list[Row] = []
    seen: set[bytes] = set()
    for oid, record in needs.live.items():
        todo = [record.entries]
        while todo:
            node_id = todo.pop()
            if node_id in seen:
                continue
            seen.add(node_id)
            node = nodes.node(node_id)
            if node.level:
                todo += node.values
                continue
            for value in node.values:
                entry = GitEntry.decode(value)
                kind = lost.pop(entry.id, None)
                if kind is not None:
                    rows.append(object_row(entry.id, kind, oid, entry.ino))
    return rows
