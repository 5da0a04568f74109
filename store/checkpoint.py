"""Checkpoint: memtables and table changes go to the database, and the journal begins anew.

At the start every memtable becomes `pending` and appends go to another journal segment; the job
then writes what is pending in one synchronous transaction, with the number of the first journal
record that it does not cover. A crash before the commit replays both segments over the old
database; one after it replays the new segment, whose first record may repeat the end of what was
pending: the same changes again, in the same order, which gives the same tables.

A checkpoint that failed is tried again with what it had; what came since waits for the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from store import batch, blocks, faults
from store import database as db
from store.errors import StoreError
from store.memtable import Changes, Memtable
from store.objects import ObjectWriter
from store.pack import Location

if TYPE_CHECKING:
    from store.engine import Engine

JOURNAL_KEY = b"journal"


class CheckpointJob:
    """One checkpoint under way. `run` on any thread, then `finish` on the main thread."""

    def __init__(self, engine: Engine) -> None:
        """Begin; no flush may be under way. Raises NoSpace, StorageFailure."""
        self._engine = engine
        self._token = engine.journal.rotate()
        self._first_sequence = engine.journal.next_sequence
        engine.note_usage()
        self._mems = list(engine.gauge.holding)
        for mem in self._mems:
            layer = engine.layers.get(mem.layer)
            if layer is not None:
                layer.pending, layer.mem = mem, Memtable(layer.id, engine.gauge)
                layer.rows += mem.rows_count()
                engine.put_layer(layer)
        engine.gauge.holding.clear()
        engine.epoch += 1
        self._tables = engine.take_tables()
        self._objects: dict[bytes, Location | None] = engine.index.begin_checkpoint()
        self._writer: ObjectWriter | None = None
        self.error: StoreError | None = None

    def run(self) -> None:
        """Write all of it. Does not raise: `finish` does."""
        self.error = None
        try:
            self._run()
        except StoreError as error:
            self.error = error

    def _run(self) -> None:
        engine = self._engine
        changes = self._store_blocks()
        faults.point("checkpoint.begun")
        with engine.database.write("checkpointing") as writer:
            for mem, change in zip(self._mems, changes, strict=True):
                batch.of_layer(mem.layer, change, engine.pages_per_block).apply(writer)
            self._table_batch().apply(writer)
            writer.put(db.META, JOURNAL_KEY, self._first_sequence.to_bytes(8, "big"))
            faults.point("checkpoint.written")
        faults.point("checkpoint.committed")

    def _store_blocks(self) -> list[Changes]:
        engine = self._engine
        if not any(mem.pages for mem in self._mems):
            return list(self._mems)
        result: list[Changes] = []
        reader = engine.database.reader()
        try:
            self._writer = writer = ObjectWriter(engine.index, engine.packs, reader)
            for mem in self._mems:
                changes, _ = blocks.store_blocks(mem, engine.block_bytes, writer.put_chunk)
                result.append(changes)
            writer.sync()
        finally:
            reader.close()
        return result

    def _table_batch(self) -> batch.Batch:
        tables = batch.of_tables(self._tables.items())
        objects = dict(self._objects)
        if self._writer is not None:
            objects.update(self._writer.added)
            for number, size in self._writer.sizes().items():
                tables.put(db.PACKS, number.to_bytes(4, "big"), size.to_bytes(8, "big"))
        for oid, location in objects.items():
            tables.put(db.OBJECTS, oid, location.to_bytes() if location else None)
        return tables

    def finish(self) -> None:
        """Take over the outcome. Raises NoSpace, StorageFailure; `run` may then be tried again."""
        engine = self._engine
        if self.error is not None:
            if self._writer is not None:
                self._writer.undo()
                self._writer = None
            raise self.error
        engine.checkpointing = None
        for mem in self._mems:
            engine.gauge.held_bytes -= mem.weight
            layer = engine.layers.get(mem.layer)
            if layer is not None:
                layer.pending, layer.stored = None, True
            engine.disposal.add(*mem.parts())
        engine.disposal.add(engine.index.end_checkpoint(), self._tables)
        self._mems = []
        if self._writer is not None:
            engine.packs.sizes.update(self._writer.sizes())
            self._writer.close()
        engine.reader.renew()
        engine.tables_left()
        engine.epoch += 1
        engine.journal.retire(self._token)
