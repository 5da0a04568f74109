"""Work on a store that is done beside, and made known to it on the main thread.

What is made, objects in packs and rows of the tables of git, waits here; nothing of it is
known to anybody until `publish`, which is one step. Between two of these it belongs to one thread
at a time. The caller holds garbage collection off (`Store.held`).
"""

from __future__ import annotations

from collections.abc import Iterator

from store.codec import LEVEL_BULK
from store.engine import Engine
from store.gitrows import GitCommit, GitRows, Row, commit_row, put_rows
from store.objects import ObjectWriter
from store.records import Commit
from store.types import Usage

_NODE_CACHE_BYTES = 32 * 1024 * 1024


class OutOfNumbers(Exception):
    """There are not enough inode numbers left: `Numbers.add` some."""


class Numbers:
    """Inode numbers that were reserved for the work."""

    def __init__(self) -> None:
        self._ranges: list[Iterator[int]] = []
        self.left = 0

    def add(self, numbers: range) -> None:
        """More of them."""
        self._ranges.append(iter(numbers))
        self.left += len(numbers)

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        while self._ranges:
            number = next(self._ranges[0], None)
            if number is not None:
                self.left -= 1
                return number
            self._ranges.pop(0)
        raise OutOfNumbers


class Work:
    """See the module. Made, published and closed on the main thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.view = engine.views.open(_NODE_CACHE_BYTES)
        self.stored = GitRows(engine, self.view.reader)
        self.writer = self._new_writer()
        self.numbers = Numbers()
        self.rows: list[Row] = []
        self._commits: dict[bytes, GitCommit] = {}
        self._usages: dict[bytes, Usage] = {}
        self._by_id: dict[bytes, bytes] = {}

    def _new_writer(self) -> ObjectWriter:
        engine = self._engine
        return ObjectWriter(engine.index, engine.packs, self.view.reader, LEVEL_BULK)

    def add_commit(self, oid: bytes, record: GitCommit, usage: Usage) -> None:
        """A commit that was made, or got its name."""
        self._commits[oid], self._usages[oid] = record, usage
        self._by_id[record.id] = oid
        self.rows.append(commit_row(oid, record))

    def commit(self, oid: bytes) -> GitCommit | None:
        """What git has for a commit, published or not."""
        return self._commits.get(oid) or self.stored.commit(oid)

    def commit_of(self, git_id: bytes) -> bytes | None:
        """The store's commit of a commit's id in git."""
        found = self._by_id.get(git_id)
        if found is None:
            known = self.stored.object(git_id)
            found = None if known is None or known.ino else known.commit
        return found

    def usage(self, record: GitCommit) -> Usage:
        """What a commit's tree holds."""
        oid = self.commit_of(record.id)
        assert oid is not None
        return self._usages.get(oid) or Commit.decode(self.view.get(oid)).usage

    def reserve(self, count: int) -> None:
        """More inode numbers. Main thread."""
        self.numbers.add(self._engine.reserve_inos(count))

    def sync(self) -> None:
        """Make all objects durable; before `publish`, on any thread."""
        self.writer.sync()

    def publish(self) -> None:
        """Let the store know all that was made and synced, and go on. Main thread."""
        engine = self._engine
        engine.publish(dict(self.writer.added), self.writer.sizes(), journalled=False)
        put_rows(engine, self.rows)
        self.rows = []
        self.writer.close()
        self.view.reader.renew()
        self.writer = self._new_writer()

    def close(self) -> None:
        """The end; what was not published is forgotten. Main thread."""
        self.writer.undo()
        self.view.close()
