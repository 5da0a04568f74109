"""The part of `checking` that looks at the tables of git's names; see `gitrows`.

Numbers in comments are FORMAT.md's. Whether the ids are the ones that git would compute is not
known here: the tests of `gitdoor` hold them to git itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from store import database as db
from store import keys, prolly
from store.errors import StorageFailure
from store.gitrows import (
    BRANCH_NAME,
    COMMIT,
    ROOT_KEY,
    SNAPSHOT_NAME,
    TAG,
    TREE,
    GitCommit,
    GitEntry,
    GitObject,
    GitRef,
    Needed,
    needed,
    shown_commits,
)
from store.objects import ObjectReader
from store.types import Problem

if TYPE_CHECKING:
    from store.readstore import ReadStore


class Git:
    """See the module."""

    def __init__(self, store: ReadStore, objects: ObjectReader) -> None:
        self._store, self._engine, self._objects = store, store.engine, objects
        self._named: set[bytes] = set()  # ids of all objects that entries and commits name

    @cached_property
    def _needs(self) -> Needed:
        history = self._store.history
        try:
            reached = {oid for oid, _ in history.commits()}
        except StorageFailure:
            reached = shown_commits(history)  # C1 reports it
        return needed(self._engine, self._engine.reader, reached, shown_commits(history))

    @property
    def maps(self) -> set[bytes]:
        """Roots of maps that must be there."""
        try:
            return self._needs.maps
        except StorageFailure:
            return set()  # G1 reports it

    def check(self) -> Iterator[Problem]:
        """Problems of the three tables."""
        yield from self._commits()
        yield from self._objects_of()
        yield from self._refs()

    def _rows(self, table: int) -> Iterator[tuple[bytes, bytes]]:
        changed = self._engine.changed_keys(table)
        yield from ((k, v) for k, v in self._engine.reader.all(table) if k not in changed)
        yield from ((k, v) for k, v in changed.items() if v is not None)

    def _commits(self) -> Iterator[Problem]:
        """G1, G2: a record that is needed says what its commit says, and has its entries."""
        seen: set[bytes] = set()
        for oid, record in self._needs.live.items():
            where = f"git commit {record.id.hex()}"
            self._named.add(record.id)
            try:
                commit = self._store.history.commit(oid)
                if (commit.root, commit.root_ino) != (record.root, record.root_ino):  # G1
                    yield Problem(where, f"is of another tree than commit {oid.hex()}")
                yield from self._entries(where, record, seen)
            except StorageFailure as error:
                yield Problem(where, str(error))

    def _entries(self, where: str, record: GitCommit, seen: set[bytes]) -> Iterator[Problem]:
        top = prolly.get(self._objects, record.entries, ROOT_KEY)
        if top is None or GitEntry.decode(top).kind != TREE:  # G2
            yield Problem(where, "its map of entries has no root")
        self._named.add(record.tree)
        for _, node in prolly.walk(self._objects, record.entries, seen):
            if node.level:
                continue
            for key, value in zip(node.keys, node.values, strict=True):
                if len(key) < keys.PREFIX_BYTES or key[8] != keys.GIT_ENTRY:
                    yield Problem(where, f"an entry with key {key.hex()}")
                self._named.add(GitEntry.decode(value).id)

    def _objects_of(self) -> Iterator[Problem]:
        """G3: a row leads to a record, and what is needed of it names the object."""
        needs, snapshots = self._needs, self._store.history.snapshots
        for key, value in self._rows(db.GIT_OBJECTS):
            where = f"git object {key.hex()}"
            try:
                found = GitObject.decode(value)
            except StorageFailure as error:
                yield Problem(where, str(error))
                continue
            if found.kind == TAG:
                continue
            if found.commit in needs.live:
                if key not in self._named:
                    yield Problem(where, f"commit {found.commit.hex()} has no such object")
            elif found.kind != COMMIT and found.commit not in needs.bare | needs.dead:
                yield Problem(where, f"nothing is known of commit {found.commit.hex()}")
        for key, value in self._rows(db.GIT_REFS):  # G4
            number = keys.unpack_u64(key[1:9])
            known = {
                BRANCH_NAME: number in self._store.history.branches,
                SNAPSHOT_NAME: number in snapshots,
            }
            if not known.get(key[:1], False):
                yield Problem(f"git name {key.hex()}", "is of nothing that is there")
            elif not value:
                yield Problem(f"git name {key.hex()}", "is empty")

    def _refs(self) -> Iterator[Problem]:
        """G4: names are those of one branch or snapshot each."""
        names: set[tuple[bytes, bytes]] = set()
        for key, value in self._rows(db.GIT_REFS):
            name = key[:1], GitRef.decode(value).name
            if name in names:
                yield Problem(f"git name {name[1]!r}", "is of two things")
            names.add(name)
