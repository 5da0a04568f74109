"""Group commit: what changed since the last one becomes one journal record.

The caller begins a flush on the main thread, runs the job on any thread, and finishes it on the
main thread; operations go on meanwhile. Order, and why:

1. chunks to a pack, and sync it: a record must not refer to what a crash can take away;
2. the record to the journal, durable as it is appended: from here on a crash replays it;
3. only then does the caller hear of success.

Bytes of blocks that are not whole, and of small flushes, go into the record itself: a 4 KiB
synchronous write then costs one journal append and no second sync.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

from store import batch, blocks
from store import database as db
from store.batch import Batch
from store.errors import StoreError
from store.memtable import Changes, Memtable
from store.objects import ObjectWriter
from store.pack import Location
from store.types import PAGE_BYTES

if TYPE_CHECKING:
    from store.engine import Engine

# Above this many bytes of pages, the sync of a pack costs less than writing them twice.
INLINE_FLUSH_BYTES_MAX = 64 * 1024


class Part(NamedTuple):
    """One memtable's share of a flush."""

    layer: int
    mem: Memtable
    changes: Changes


class FlushJob:
    """One group commit under way; see the module for who calls what where."""

    def __init__(
        self,
        engine: Engine,
        parts: list[Part],
        tables: dict[tuple[int, bytes], bytes | None],
        objects: dict[bytes, Location | None],
        garbage: set[int],
    ) -> None:
        self._engine, self.garbage = engine, garbage
        self._parts, self._tables, self._objects = parts, tables, objects
        self._stored: list[tuple[Memtable, list[blocks.Stored]]] = []
        self._writer: ObjectWriter | None = None
        self._synced = False
        self.error: StoreError | None = None
        self.ended = threading.Event()

    def run(self) -> None:
        """Make the changes durable. Does not raise: `finish` does. Any thread, once."""
        try:
            self._run()
        except StoreError as error:
            self.error = error

    def _run(self) -> None:
        engine = self._engine
        paged = sum(len(row) for part in self._parts for row in part.changes.pages.values())
        changes = [part.changes for part in self._parts]
        if paged * PAGE_BYTES > INLINE_FLUSH_BYTES_MAX:
            changes = self._store_blocks()
        batches = [
            batch.of_layer(part.layer, change, engine.pages_per_block)
            for part, change in zip(self._parts, changes, strict=True)
        ]
        batches.append(self._table_batch())
        engine.journal.append([buffer for item in batches for buffer in item.encode()])

    def _store_blocks(self) -> list[Changes]:
        engine, result = self._engine, []
        reader = engine.database.reader()
        try:
            self._writer = writer = ObjectWriter(engine.index, engine.packs, reader)
            for part in self._parts:
                changes, stored = blocks.store_blocks(
                    part.changes, engine.block_bytes, writer.put_chunk
                )
                self._stored.append((part.mem, stored))
                result.append(changes)
            writer.sync()
            self._synced = True
        finally:
            reader.close()
        return result

    def _table_batch(self) -> Batch:
        tables = batch.of_tables(self._tables.items())
        locations = dict(self._objects)
        if self._writer is not None:
            locations.update(self._writer.added)
            for number, size in self._writer.sizes().items():
                tables.put(db.PACKS, number.to_bytes(4, "big"), size.to_bytes(8, "big"))
        for oid, location in locations.items():
            tables.put(db.OBJECTS, oid, location.to_bytes() if location else None)
        return tables

    def _keep_or_undo(self) -> None:
        """After a failure: a record that may have reached the disk may be replayed after a crash,
        so objects that it can refer to stay; the next flush finds them stored."""
        writer = self._writer
        if writer is not None and self._synced:
            self._engine.publish(dict(writer.added), writer.sizes(), journalled=False)
            writer.close()
        elif writer is not None:
            writer.undo()

    def finish(self) -> None:
        """Take over the outcome on the main thread.

        Raises NoSpace or StorageFailure if the changes are not durable; they then stay in memory
        and go with the next flush.
        """
        engine = self._engine
        engine.flush_ended(self)
        self.ended.set()
        if self.error is not None:
            self._keep_or_undo()
            for part in self._parts:
                if part.layer in engine.layers:
                    part.mem.put_back(part.changes, engine.pages_per_block)
            engine.put_back(self._tables, self._objects)
            engine.garbage_fresh |= self.garbage
            raise self.error
        engine.garbage |= self.garbage
        if self._writer is not None:
            engine.publish(dict(self._writer.added), self._writer.sizes(), journalled=True)
            self._writer.close()
        for mem, stored in self._stored:
            if engine.is_current(mem):
                for item in stored:
                    mem.settle_block(*item)
        for part in self._parts:
            engine.disposal.add(*part.changes.parts())
        self._parts, self._stored = [], []
