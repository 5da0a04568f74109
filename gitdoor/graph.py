"""Commits as git sees them: their bytes, parents and trees, found by their ids.

A `Graph` answers for one thread, with that thread's reader. `History` has every commit that has a
name; `subtree.Split` makes the history of a directory out of one. A commit whose tree was
collected is not there: what names it as a parent is where a shallow repository ends.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Protocol

from gitdoor import objects
from gitdoor.content import blob_pieces, inode_at, link_target
from gitdoor.entries import listing, tree_of
from gitdoor.objects import DIRECTORY
from gitdoor.source import PIECE_BYTES, Large
from store.engine import Engine
from store.gitrows import BLOB, COMMIT, TAG, TREE, GitCommit, GitEntry, GitRows
from store.objects import ObjectReader
from store.records import Commit
from store.types import Inode

_TIME = re.compile(rb"\ncommitter [^\n]*> (\d+)")


class Node(NamedTuple):
    """A commit: its id and bytes, its parents' ids, when it was committed, and its tree: the map
    of entries with the directory in it."""

    id: bytes
    raw: bytes
    parents: tuple[bytes, ...]
    time_s: int
    record: GitCommit
    top: GitEntry


class Graph(Protocol):
    """See the module."""

    def node(self, git_id: bytes) -> Node | None:
        """The commit of an id, None where there is none of which all is there."""


class Missing(Exception):
    """There is no object of this id."""


class History:
    """The commits that have names, and all objects that they lead to."""

    def __init__(
        self,
        engine: Engine,
        view: ObjectReader,
        rows: GitRows,
        known: dict[bytes, Node] | None = None,
    ) -> None:
        """`known`: commits that were found before, shared until garbage is collected."""
        self.engine, self.view, self.rows = engine, view, rows
        self.nodes = view
        self._known = {} if known is None else known

    def node(self, git_id: bytes) -> Node | None:
        """See `Graph`."""
        found = self._known.get(git_id)
        if found is None:
            found = self._found(git_id)
            if found is not None:
                self._known[git_id] = found
        return found

    def _found(self, git_id: bytes) -> Node | None:
        row = self.rows.object(git_id)
        if row is None or row.kind != COMMIT:
            return None
        record = self.rows.commit(row.commit)
        if record is None or not (self.view.has(record.entries) and self.view.has(record.root)):
            return None
        raw = self.commit_bytes(row.commit, record)
        return node_of(git_id, raw, record, GitEntry(DIRECTORY, record.tree, record.root_ino))

    def commit_bytes(self, oid: bytes, record: GitCommit) -> bytes:
        """A commit object."""
        if record.raw:
            return record.raw
        commit = Commit.decode(self.view.get(oid))
        parents = [self.rows.commit(parent) for parent in commit.parents]
        ids = [parent.id for parent in parents if parent is not None]
        return objects.made_commit(commit, record.tree, ids)

    # --- objects ------------------------------------------------------------------------------

    def read(self, git_id: bytes) -> tuple[int, bytes | Large]:
        """Any object: its kind and bytes. Raises Missing."""
        row = self.rows.object(git_id)
        if row is None:
            raise Missing(git_id.hex())
        if row.kind == TAG:
            return TAG, self._tag(git_id, row.ino)
        record = self.rows.commit(row.commit)
        if record is None:
            raise Missing(git_id.hex())
        if row.kind == COMMIT:
            return COMMIT, self.commit_bytes(row.commit, record)
        if not (self.view.has(record.entries) and self.view.has(record.root)):
            raise Missing(git_id.hex())
        if row.kind == TREE:
            return TREE, self.tree(record, row.ino)
        return BLOB, self.blob(record, row.ino)

    def _tag(self, git_id: bytes, snapshot: int) -> bytes:
        ref = self.rows.snapshot_ref(snapshot)
        for raw in () if ref is None else ref.tags:
            if objects.object_id(TAG, raw) == git_id:
                return raw
        raise Missing(git_id.hex())

    def tree(self, record: GitCommit, ino: int) -> bytes:
        """The tree object of a directory of a commit."""
        return tree_of(listing(self.nodes, record.entries, ino))

    def blob(self, record: GitCommit, ino: int) -> bytes | Large:
        """The content of a file or link of a commit."""
        inode = inode_at(self.nodes, record.root, ino)
        if inode.mode & 0o170000 == 0o120000:
            return link_target(self.nodes, self.view, record.root, ino)
        pieces = blob_pieces(self.nodes, self.view, record.root, inode, self.engine.block_bytes)
        return Large(inode.size, pieces) if inode.size > PIECE_BYTES else b"".join(pieces)

    def blob_size(self, record: GitCommit, ino: int) -> int:
        """How long a file's or link's content is."""
        return self._inode(record, ino).size

    def _inode(self, record: GitCommit, ino: int) -> Inode:
        return inode_at(self.nodes, record.root, ino)

    def size_of(self, git_id: bytes) -> tuple[int, int]:
        """An object's kind and size; of a blob its content is not read. Raises Missing."""
        row = self.rows.object(git_id)
        record = None if row is None else self.rows.commit(row.commit)
        if row is not None and record is not None and row.kind == BLOB:
            return BLOB, self.blob_size(record, row.ino)
        kind, data = self.read(git_id)
        return kind, data.size if isinstance(data, Large) else len(data)


def node_of(git_id: bytes, raw: bytes, record: GitCommit, top: GitEntry) -> Node:
    """A node out of a commit's bytes."""
    head = raw.partition(b"\n\n")[0]
    parents = tuple(
        bytes.fromhex(line[7:47].decode())
        for line in head.split(b"\n")
        if line.startswith(b"parent ")
    )
    found = _TIME.search(head)
    return Node(git_id, raw, parents, int(found[1]) if found else 0, record, top)
