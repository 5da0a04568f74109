"""The LMDB environment: named tables of bytes, the only module that knows lmdb.

It is written only by checkpoints and trims, each in one synchronous transaction; everything
newer is in the journal. Readers hold a `Reader`, one per thread, and `renew` it to see later
commits. Disk-full and I/O errors come out as the store's own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType

import lmdb

from store import disk
from store.errors import NoSpace, StorageFailure, StoreError

META, REFS, BRANCHES, SNAPSHOTS, LAYER_INFO, LAYERS, OBJECTS, PACKS = range(8)
GIT_COMMITS, GIT_OBJECTS, GIT_REFS = range(8, 11)
TABLES = (
    *("meta", "refs", "branches", "snapshots", "layer_info", "layers", "objects", "packs"),
    *("git_commits", "git_objects", "git_refs"),
)

# Address space, not memory or disk: the largest store's metadata that one map can hold.
MAP_BYTES = 1 << 42
READERS_MAX = 64
_PUT_AT_ONCE = 200
DATA_FILE = "data.mdb"
# When a file is copied to be rid of its free pages: not a small one, and not for a few.
_COMPACT_BYTES_MIN = 1024 * 1024
_COMPACT_SHARE = 0.6


def _failure(error: lmdb.Error, doing: str) -> StorageFailure | NoSpace:
    text = str(error)
    if isinstance(error, (lmdb.MapFullError, lmdb.DiskError)) or "No space" in text:
        return NoSpace(f"no space for the store's tables while {doing}: {text}")
    return StorageFailure(f"the store's tables failed while {doing}: {text}")


class Reader:
    """A consistent read-only view of all tables; belongs to one thread."""

    def __init__(self, env: lmdb.Environment, tables: list[lmdb._Database]) -> None:
        self._env, self._tables = env, tables
        self._begin()

    def _begin(self) -> None:
        self._txn = self._env.begin()
        self._get = self._txn.get

    def get(self, table: int, key: bytes) -> bytes | None:
        """The value of a key, None if absent."""
        value: bytes | None = self._get(key, None, self._tables[table])
        return value

    def items(self, table: int, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values with start <= key < stop, ascending."""
        cursor = self._txn.cursor(self._tables[table])
        try:
            if cursor.set_range(start):
                for key, value in cursor:
                    if key >= stop:
                        return
                    yield key, value
        finally:
            cursor.close()

    def all(self, table: int) -> Iterator[tuple[bytes, bytes]]:
        """Every key and value of a table, ascending."""
        yield from self._txn.cursor(self._tables[table])

    def count(self, table: int) -> int:
        """How many keys a table has."""
        return int(self._txn.stat(self._tables[table])["entries"])

    def renew(self) -> None:
        """See everything committed until now."""
        self._txn.abort()
        self._begin()

    def close(self) -> None:
        """Let the pages that this view kept be used again, and its place among `READERS_MAX`."""
        self._txn.abort()
        # The place is given back when the transaction is freed, and not before: whoever still knows
        # of this view, if only in a circle of references, must not know of that.
        del self._txn, self._get


class Writer:
    """One write transaction; commits on a clean exit, leaves nothing behind on an exception."""

    def __init__(self, env: lmdb.Environment, tables: list[lmdb._Database], doing: str) -> None:
        self._env, self._tables, self._doing = env, tables, doing

    def __enter__(self) -> Writer:
        try:
            self._txn = self._env.begin(write=True)
        except lmdb.Error as error:
            raise _failure(error, self._doing) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            try:
                self._txn.commit()
            except lmdb.Error as failed:
                raise _failure(failed, self._doing) from failed
            return
        self._txn.abort()
        if isinstance(error, lmdb.Error):
            raise _failure(error, self._doing) from error

    def get(self, table: int, key: bytes) -> bytes | None:
        """The value of a key as this transaction sees it, None if absent."""
        value: bytes | None = self._txn.get(key, None, self._tables[table])
        return value

    def put(self, table: int, key: bytes, value: bytes | memoryview) -> None:
        """Set one key."""
        self._txn.put(key, value, db=self._tables[table])

    def put_many(self, table: int, items: Iterable[tuple[bytes, bytes | memoryview]]) -> None:
        """Set many keys; fastest when they ascend."""
        cursor = self._txn.cursor(self._tables[table])
        rest = iter(items)
        # One call holds the interpreter until it returns, so that other threads would wait.
        while part := list(islice(rest, _PUT_AT_ONCE)):
            cursor.putmulti(part)
        cursor.close()

    def delete(self, table: int, key: bytes) -> None:
        """Remove a key if it is there."""
        self._txn.delete(key, db=self._tables[table])

    def delete_range(self, table: int, start: bytes, stop: bytes, limit: int = -1) -> int:
        """Remove keys with start <= key < stop, at most `limit` of them; says how many."""
        removed = 0
        cursor = self._txn.cursor(self._tables[table])
        more = cursor.set_range(start)
        while more and removed != limit and cursor.key() < stop:
            more = cursor.delete()
            removed += 1
        cursor.close()
        return removed


class Database:
    """The open environment under `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        try:
            self._env = lmdb.open(
                str(directory),
                map_size=MAP_BYTES,
                max_dbs=len(TABLES),
                max_readers=READERS_MAX,
                subdir=True,
                lock=True,
                readahead=False,
                meminit=False,
            )
            self._tables = [self._env.open_db(name.encode()) for name in TABLES]
        except lmdb.Error as error:
            raise _failure(error, "opening") from error

    def reader(self) -> Reader:
        """A new view for the calling thread."""
        try:
            return Reader(self._env, self._tables)
        except lmdb.Error as error:
            raise _failure(error, "reading") from error

    def write(self, doing: str) -> Writer:
        """A write transaction, for use as a context manager; `doing` goes into error messages."""
        return Writer(self._env, self._tables, doing)

    def size_bytes(self) -> tuple[int, int]:
        """Bytes of the file that are in use, and of the whole file."""
        info, stat = self._env.info(), self._env.stat()
        with self._env.begin() as txn:
            used = sum(
                s["branch_pages"] + s["leaf_pages"] + s["overflow_pages"]
                for s in [txn.stat(table) for table in self._tables]
            )
        return used * stat["psize"], (info["last_pgno"] + 1) * stat["psize"]

    def close(self, *, compact: bool) -> None:
        """Close the environment; every Reader must be closed before.

        LMDB's file never shrinks: where most of it has become free, a compact copy takes its place.
        """
        used, whole = self.size_bytes()
        copied = compact and whole > _COMPACT_BYTES_MIN and used < whole * _COMPACT_SHARE
        draft = self._directory / "compact"
        if copied:
            copied = self._copy(draft)
        self._env.close()
        if copied:
            disk.rename(str(draft / DATA_FILE), str(self._directory / DATA_FILE))
            disk.sync_directory(str(self._directory))
        shutil.rmtree(draft, ignore_errors=True)

    def _copy(self, draft: Path) -> bool:
        """Write a compact copy durably; says whether that went well. A full disk may prevent it."""
        shutil.rmtree(draft, ignore_errors=True)
        try:
            draft.mkdir()
            self._env.copy(str(draft), compact=True)
            with open(draft / DATA_FILE, "rb") as file:
                os.fsync(file.fileno())
            disk.sync_directory(str(draft))
        except (OSError, StoreError, lmdb.Error):
            return False
        return True
