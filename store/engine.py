"""The engine: one store's parts wired together, and the state that they share.

Everything here runs on the main thread. State changes take one way: to memory at once
(`put_table`, memtables, `publish`), to the journal with the next flush, to the database with the
next checkpoint.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from store import batch, directory
from store import database as db
from store.cache import Budget
from store.checkpoint import JOURNAL_KEY, CheckpointJob
from store.disposal import Disposal
from store.errors import Busy, NoSpace, StorageFailure
from store.flush import FlushJob, Part
from store.journal import Journal
from store.layer import Layer
from store.memtable import Gauge, Memtable
from store.objects import Index, ObjectReader, Packs, Views
from store.pack import Location
from store.treebase import TreeBase
from store.types import Usage

# Disk space that only removals, snapshots and GC may use, so that a full store can be emptied.
RESERVE_BYTES = 8 * 1024 * 1024
INO_COUNTER_BITS = 40
_INO_RESERVED = 1 << 16
# Locations, or changes of tables, in memory, some 400 bytes each, before a checkpoint is due.
_RECENT_OBJECTS_MAX = 100_000
# What a change of a table takes in memory, about.
_TABLE_ROW_BYTES = 300
_NEXT_INO, _NEXT_ID = b"next_ino", b"next_id"
_ELSEWHERE = b"elsewhere"  # compared by identity: a table's value that changes do not have


class Options(NamedTuple):
    """Limits of an open store. Memory is about the sum of the byte limits, twice `dirty` at most.

    dirty_bytes_max: changes in memory; beyond it a checkpoint is due, beyond twice it changes
    raise Busy. journal_bytes_max: journal since the last checkpoint, which bounds what opening
    after a crash does again. node_cache_bytes: decoded map nodes. chunk_cache_bytes:
    data that was read in small pieces. inode_cache_entries: inodes, and
    as many names, of all trees together (some 1.2 KB each pair). layer_rows_max: a live layer that
    was given more rows than that is frozen and sealed, as if for a snapshot. clock: the time in ns.
    """

    dirty_bytes_max: int = 64 * 1024 * 1024
    journal_bytes_max: int = 128 * 1024 * 1024
    node_cache_bytes: int = 64 * 1024 * 1024
    chunk_cache_bytes: int = 256 * 1024 * 1024
    inode_cache_entries: int = 200_000
    layer_rows_max: int = 2_000_000
    clock: Callable[[], int] = time.time_ns


class Engine:
    """See the module."""

    def __init__(self, path: Path, options: Options) -> None:
        """Open the store at `path` and bring it to its last durable state.

        Raises NotAStore, WrongVersion, AlreadyOpen, Damaged, StorageFailure, NoSpace.
        """
        self.path, self.options = path, options
        self.identity = directory.identity(path)
        self._lock = directory.Lock(path)
        self.block_bytes = self.identity.block_bytes
        self.pages_per_block = self.block_bytes // 4096
        self.disposal = Disposal()
        self.inode_budget = Budget(options.inode_cache_entries // 2, self.disposal)
        self.entry_budget = Budget(options.inode_cache_entries // 2, self.disposal)
        self.epoch = 0
        self.gauge = Gauge()
        self.layers: dict[int, Layer] = {}
        self.live: dict[int, TreeBase] = {}  # writable trees by the id of their top layer
        self.flushing: FlushJob | None = None
        self.checkpointing: CheckpointJob | None = None
        # Layers whose rows nothing needs any more: not yet, and durably known to be so.
        self.garbage_fresh: set[int] = set()
        self.garbage: set[int] = set()
        self._tables: dict[tuple[int, bytes], bytes | None] = {}
        self._tables_leaving: dict[tuple[int, bytes], bytes | None] = {}  # a checkpoint has them
        self._tables_fresh: dict[tuple[int, bytes], bytes | None] = {}
        self._objects_fresh: dict[bytes, Location | None] = {}
        self.last_ns = 0  # the last time given
        self._room_bytes = 0
        try:
            self._open(options)
        except BaseException:
            self._lock.close()
            raise

    def _open(self, options: Options) -> None:
        self.database = db.Database(self.path / directory.META)
        try:
            self._load(options)
        except BaseException:
            self.database.close(compact=False)
            raise

    def _load(self, options: Options) -> None:
        self.packs = Packs(self.path / directory.PACKS, self.identity.id)
        self.journal = Journal(str(self.path / directory.JOURNAL), self.identity.id)
        self._replay()
        self.reader = self.database.reader()
        self.index = Index()
        self.views = Views(self.index, self.packs, self.database)
        self.objects = ObjectReader(
            self.index,
            self.packs.reader,
            self.reader,
            options.node_cache_bytes,
            chunk_cache_bytes=options.chunk_cache_bytes,
        )
        self.nodes = self.objects
        number = int.from_bytes
        self.packs.load(
            (number(key, "big"), number(size, "big")) for key, size in self.reader.all(db.PACKS)
        )
        first_ino = self.identity.replica << INO_COUNTER_BITS
        self._next_ino = self._number(_NEXT_INO, first_ino)
        self._ino_bound = self._next_ino
        self._next_id = self._number(_NEXT_ID, 1)

    def _number(self, key: bytes, default: int) -> int:
        value = self.reader.get(db.META, key)
        return default if value is None else int.from_bytes(value, "big")

    def _replay(self) -> None:
        """Do again what the journal has and the database has not; then begin a new journal."""
        reader = self.database.reader()
        first = int.from_bytes(reader.get(db.META, JOURNAL_KEY) or b"\1", "big")
        reader.close()
        with self.database.write("replaying the journal") as writer:
            for _, payload in self.journal.replay(first):
                for item in batch.decode(payload):
                    item.apply(writer)
            writer.put(db.META, JOURNAL_KEY, self.journal.next_sequence.to_bytes(8, "big"))
        if self.journal.damage is not None:
            raise StorageFailure(self.journal.damage)
        self.journal.reset(self.journal.next_sequence)

    def close(self, clean: bool) -> None:
        """Let everything go; `clean` says that a checkpoint has all there was."""
        self.journal.close(clean)
        self.objects.close()
        self.packs.reader.close()
        self.database.close(compact=clean)
        self._lock.close()

    # --- what trees need (treebase.Ground) ----------------------------------------------------

    @property
    def fresh_bytes(self) -> int:
        """Estimated memory of changes that are not journalled yet."""
        return self.gauge.fresh_bytes + _TABLE_ROW_BYTES * len(self._tables_fresh)

    def admit(self, data_bytes: int) -> None:
        """Let a change go ahead that adds so many bytes of data; negative: it removes.

        Raises Busy where memory is full of changes, NoSpace where the disk is (not for removals).
        """
        gauge = self.gauge
        if gauge.held_bytes > 2 * self.options.dirty_bytes_max:
            raise Busy("too many changes are waiting to be stored")
        if data_bytes >= 0 and data_bytes + gauge.fresh_bytes > self._room_bytes:
            self._room_bytes = self.disk_bytes()[1]
            if data_bytes + gauge.fresh_bytes > self._room_bytes:
                raise NoSpace(f"the disk under {self.path} is full")

    def next_ino(self) -> int:
        """An inode number that no inode of this store ever had."""
        ino = self._next_ino
        self._next_ino += 1
        if self._next_ino > self._ino_bound:
            # Numbers are reserved many at a time: after a crash, those left are not used.
            self._ino_bound = self._next_ino + _INO_RESERVED
            self.put_table(db.META, _NEXT_INO, self._ino_bound.to_bytes(8, "big"))
        return ino

    def reserve_inos(self, count: int) -> range:
        """So many inode numbers at once, for a job that makes inodes on another thread."""
        start = self._next_ino
        self._next_ino += count
        if self._next_ino > self._ino_bound:
            self._ino_bound = self._next_ino + _INO_RESERVED
            self.put_table(db.META, _NEXT_INO, self._ino_bound.to_bytes(8, "big"))
        return range(start, start + count)

    def next_id(self) -> int:
        """A number for a layer, branch or snapshot; none is used twice."""
        number = self._next_id
        self._next_id += 1
        self.put_table(db.META, _NEXT_ID, self._next_id.to_bytes(8, "big"))
        return number

    def now(self) -> int:
        """The clock's time in ns, or just after the last time given, whichever is later."""
        self.disposal.step(8)  # as many entries as one change puts into memtables
        now = self.options.clock()
        if now <= self.last_ns:
            now = self.last_ns + 1
        self.last_ns = now
        return now

    def disk_bytes(self) -> tuple[int, int]:
        """Size of the disk under the store, and how much of it is free for more data."""
        try:
            stat = os.statvfs(self.path)
        except OSError as error:
            raise StorageFailure(f"{self.path}: {error.strerror}") from error
        free = stat.f_bavail * stat.f_frsize - RESERVE_BYTES
        return stat.f_blocks * stat.f_frsize, max(0, free)

    # --- changes to the store's own tables ----------------------------------------------------

    def put_table(self, table: int, key: bytes, value: bytes | None) -> None:
        """Set a key of a table, or delete it; durable with the next flush."""
        self._tables[table, key] = value
        self._tables_fresh[table, key] = value

    def get_table(self, table: int, key: bytes, reader: db.Reader | None = None) -> bytes | None:
        """A key of a table as it is now, None where it is not there.

        On any thread, with that thread's own reader. What a checkpoint has just moved, a reader
        sees once it is renewed.
        """
        for changes in (self._tables, self._tables_leaving):
            found = changes.get((table, key), _ELSEWHERE)
            if found is not _ELSEWHERE:
                return found
        return (reader or self.reader).get(table, key)

    def changed_keys(self, table: int) -> dict[bytes, bytes | None]:
        """What changed in a table since the last checkpoint that has ended."""
        changes = {**self._tables_leaving, **self._tables}
        return {key: value for (of, key), value in changes.items() if of == table}

    def put_layer(self, layer: Layer) -> None:
        """Store a layer's record as it now is."""
        self.put_table(db.LAYER_INFO, layer.head, layer.record())

    def publish(
        self, locations: dict[bytes, Location | None], sizes: dict[int, int], *, journalled: bool
    ) -> None:
        """Make objects that a job stored durably known; `journalled`: the journal knows them."""
        self.index.update(locations)
        self.packs.sizes.update(sizes)
        if not journalled:
            self._objects_fresh.update(locations)
        for number, size in sizes.items():
            entry = db.PACKS, number.to_bytes(4, "big")
            self._tables[entry] = size.to_bytes(8, "big")
            if not journalled:
                self._tables_fresh[entry] = self._tables[entry]

    # --- flushing -----------------------------------------------------------------------------

    def begin_flush(self) -> FlushJob | None:
        """A job that makes durable all changes made until now; None where there are none.

        One runs at a time: raises Busy while another is not finished.
        """
        if self.flushing is not None:
            raise Busy("a flush is under way")
        self.note_usage()
        mems = sorted(self.gauge.fresh, key=lambda mem: mem.age)  # of one layer, the older first
        parts = [Part(mem.layer, mem, mem.take_fresh()) for mem in mems]
        tables, self._tables_fresh = self._tables_fresh, {}
        objects, self._objects_fresh = self._objects_fresh, {}
        garbage, self.garbage_fresh = self.garbage_fresh, set()
        if not (parts or tables or objects):
            self.garbage |= garbage
            return None
        self.flushing = FlushJob(self, parts, tables, objects, garbage)
        return self.flushing

    def note_usage(self) -> None:
        """Bring the records of live layers up to their trees' usage."""
        for mem in self.gauge.fresh:
            layer, tree = self.layers.get(mem.layer), self.live.get(mem.layer)
            if layer is not None and tree is not None:
                layer.usage = tree.usage()
                self.put_layer(layer)

    def flush_ended(self, job: FlushJob) -> None:
        """The job's outcome is being taken over."""
        if self.flushing is not job:
            raise StorageFailure("a flush was finished twice")
        self.flushing = None
        self._room_bytes = 0

    def put_back(
        self,
        tables: dict[tuple[int, bytes], bytes | None],
        objects: dict[bytes, Location | None],
    ) -> None:
        """Take back table changes of a flush that failed; what came since lies over them."""
        self._tables_fresh = {**tables, **self._tables_fresh}
        self._objects_fresh = {**objects, **self._objects_fresh}

    def take_tables(self) -> dict[tuple[int, bytes], bytes | None]:
        """All table changes since the last checkpoint began, for the next one."""
        tables = self._tables_leaving = self._tables
        self._tables = {}
        return tables

    def tables_left(self) -> None:
        """The database has the changes that the last checkpoint took."""
        self._tables_leaving = {}

    def is_current(self, mem: Memtable) -> bool:
        """Whether a memtable is still its layer's newest, not one that a checkpoint writes."""
        layer = self.layers.get(mem.layer)
        return layer is not None and layer.mem is mem

    def checkpoint_due(self) -> bool:
        """Whether memory or the journal holds enough for a checkpoint."""
        held = self.gauge.held_bytes - self.gauge.fresh_bytes
        return (
            held >= self.options.dirty_bytes_max
            or self.gauge.held_bytes > 2 * self.options.dirty_bytes_max
            or self.journal.used_bytes >= self.options.journal_bytes_max
            or self.index.recent_count() >= _RECENT_OBJECTS_MAX
            or len(self._tables) >= _RECENT_OBJECTS_MAX
        )

    def begin_checkpoint(self) -> CheckpointJob:
        """A checkpoint, or the one that failed, to be tried again. No flush may be under way."""
        if self.flushing is not None:
            raise Busy("a flush is under way")
        if self.checkpointing is None:
            self.checkpointing = CheckpointJob(self)
        return self.checkpointing

    # --- layers -------------------------------------------------------------------------------

    def new_layer(self, parent: Layer | None, base: bytes, usage: Usage) -> Layer:
        """A live layer over a frozen one or over a base root; the caller becomes its user."""
        layer = Layer(self.next_id(), parent, base, self.gauge)
        layer.usage, layer.users = usage, 1
        if parent is not None:
            parent.users += 1
        self.layers[layer.id] = layer
        self.put_layer(layer)
        return layer

    def release_layer(self, layer: Layer | None) -> None:
        """One user less; a layer without users goes, and lets its parent go."""
        while layer is not None:
            layer.users -= 1
            if layer.users:
                return
            del self.layers[layer.id]
            self.live.pop(layer.id, None)
            self._discard(layer.mem)
            self.put_table(db.LAYER_INFO, layer.head, None)
            self.garbage_fresh.add(layer.id)
            layer = layer.parent

    def _discard(self, mem: Memtable) -> None:
        gauge = self.gauge
        gauge.held_bytes -= mem.weight
        gauge.fresh_bytes -= mem.fresh.weight
        gauge.holding.pop(mem, None)
        gauge.fresh.pop(mem, None)
