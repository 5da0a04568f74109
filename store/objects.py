"""Objects by id: the index that says where each lies, readers, and the writers that jobs use.

The index stands in the database; what came since the last checkpoint is in memory, in front of
it. Readers may run on any thread, each with its own; only the main thread changes the index.

A job that finds an object stored already relies on it, while GC may be about to drop it: so a
writer notes (`pins`) what it relies on and looks it up under one lock, and GC publishes what it
drops under the same lock. Either GC sees the pin, or the writer does not find the object.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

from store import database as db
from store import disk, node, objectid
from store.cache import Budget, GenerationCache
from store.chunkcache import ChunkCache
from store.disposal import Disposal
from store.errors import Damaged, StorageFailure, WrongVersion
from store.memtable import Buffer
from store.pack import Location, pack_numbers, pack_path
from store.pack_reader import PackReader
from store.pack_writer import PackWriter

# A pack is closed at this size: large enough that packs are few, small enough that GC can
# rewrite one in a moment.
PACK_BYTES_MAX = 256 * 1024 * 1024


class _Unknown:
    """Stands for an object that a part of the index says nothing of."""


_UNKNOWN = _Unknown()


class Index:
    """Object id -> Location: recent changes in memory in front of the database."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.pins: set[bytes] | None = None  # a set while GC runs
        self._recent: dict[bytes, Location | None] = {}
        self._checkpointing: dict[bytes, Location | None] = {}

    def find(self, oid: bytes, reader: db.Reader) -> Location | None:
        """Where an object lies, None if it is not stored."""
        # One call each: beside the main thread, a part may be emptied between two. What has left
        # memory is in the database, for a view that is new enough (ObjectReader.location).
        found: Location | _Unknown | None = self._recent.get(oid, _UNKNOWN)
        if found is _UNKNOWN:
            found = self._checkpointing.get(oid, _UNKNOWN)
        if not isinstance(found, _Unknown):
            return found
        value = reader.get(db.OBJECTS, oid)
        return None if value is None else Location.from_bytes(value)

    def rely_on(self, oid: bytes, reader: db.Reader) -> bool:
        """Whether an object is stored; if it is, GC will not drop it."""
        if self.pins is None:
            return self.find(oid, reader) is not None
        with self.lock:
            if self.pins is not None:
                self.pins.add(oid)
            return self.find(oid, reader) is not None

    def update(self, changes: dict[bytes, Location | None]) -> None:
        """Take over new locations (None: dropped). Main thread only."""
        self._recent.update(changes)

    def begin_checkpoint(self) -> dict[bytes, Location | None]:
        """The changes that the checkpoint is to write."""
        self._checkpointing, self._recent = self._recent, {}
        return self._checkpointing

    def end_checkpoint(self) -> dict[bytes, Location | None]:
        """The database has the changes now; says what memory no longer needs."""
        done, self._checkpointing = self._checkpointing, {}
        return done

    def recent_count(self) -> int:
        """How many changes are not in the database yet."""
        return len(self._recent) + len(self._checkpointing)


class ObjectReader:
    """Reads and verifies objects; belongs to one thread."""

    def __init__(
        self,
        index: Index,
        packs: PackReader,
        reader: db.Reader,
        node_cache_bytes: int,
        *,
        chunk_cache_bytes: int = 0,
        beside: bool = False,
    ) -> None:
        """`beside`: for a thread beside the main one, which commits meanwhile."""
        self.chunks = ChunkCache(chunk_cache_bytes)
        self._index, self.packs, self.reader, self._beside = index, packs, reader, beside
        self._nodes: GenerationCache[bytes, node.Node] = GenerationCache(
            Budget(node_cache_bytes // 2, Disposal())
        )

    def location(self, oid: bytes) -> Location:
        """Where an object lies. Raises Damaged where it is missing."""
        found = self._index.find(oid, self.reader)
        if found is None and self._beside:
            # A checkpoint may have moved it from memory to the database since the view began.
            self.reader.renew()
            found = self._index.find(oid, self.reader)
        if found is None:
            raise Damaged(f"object {oid.hex()} is missing")
        return found

    def has(self, oid: bytes) -> bool:
        """Whether an object is stored."""
        return self._index.find(oid, self.reader) is not None

    def is_at(self, oid: bytes, location: Location) -> bool:
        """Whether the index says that an object lies there."""
        return self._index.find(oid, self.reader) == location

    def get(self, oid: bytes) -> bytes:
        """An object's bytes. Raises Damaged, StorageFailure."""
        return self.packs.read(oid, self.location(oid))

    def read_at(self, oid: bytes, location: Location) -> bytes:
        """The bytes of an object that the caller knows the place of. Raises as `get`."""
        return self.packs.read(oid, location)

    def node(self, oid: bytes) -> node.Node:
        """The decoded map node of an id. Raises Damaged, StorageFailure."""
        found = self._nodes.get(oid)
        if found is None:
            found = node.decode(self.get(oid))
            self._nodes.put(oid, found, found.weight)
        return found

    def forget_nodes(self) -> None:
        """Drop the node cache."""
        self._nodes.clear()

    def close(self) -> None:
        """Let the database view go."""
        self.reader.close()


class Packs:
    """Which packs there are, and which of them writers fill now.

    Jobs on any thread take and release writers; all else is the main thread's. A writer is
    released only after the sizes it wrote are known here: the next one starts where they say.
    """

    def __init__(self, directory: Path, store_id: bytes) -> None:
        self.directory = str(directory)
        self.store_id = store_id
        self.reader = PackReader(self.directory)
        self.sizes: dict[int, int] = {}  # synced bytes of every pack that the tables know
        self._busy: set[int] = set()
        self.emptied: set[int] = set()  # without an object; to go once the database knows
        self._spare: set[int] = set()  # without an entry in the tables; to be written anew
        self._next = 1
        self._lock = threading.Lock()

    def load(self, sizes: Iterable[tuple[int, int]]) -> None:
        """Take the sizes that the tables know; a pack that they do not know is garbage."""
        self.sizes = dict(sizes)
        for number in pack_numbers(self.directory):
            self._next = max(self._next, number + 1)
            if number not in self.sizes:
                disk.unlink(pack_path(self.directory, number))
        self._next = max([self._next, *(number + 1 for number in self.sizes)])

    def writer(self, level: int = 0) -> PackWriter:
        """A writer on a pack with room that no other writer has; `level` as for `codec.encode`."""
        with self._lock:
            for number, size in sorted(self.sizes.items(), reverse=True):
                if size < PACK_BYTES_MAX // 2 and number not in self._busy:
                    self._busy.add(number)
                    try:
                        return PackWriter(self.directory, number, self.store_id, size, level)
                    except (StorageFailure, WrongVersion):
                        continue  # damaged: it stays busy, and nothing is added to it
                    except BaseException:
                        self._busy.discard(number)
                        raise
            if self._spare:
                number = self._spare.pop()
            else:
                number = self._next
                self._next += 1
            self._busy.add(number)
        try:
            return PackWriter(self.directory, number, self.store_id, level=level)
        except BaseException:
            self._busy.discard(number)
            self._spare.add(number)
            raise

    def release(self, writer: PackWriter) -> None:
        """A writer is done with its pack."""
        writer.close()
        with self._lock:
            self._busy.discard(writer.pack)
            if writer.pack not in self.sizes:
                self._spare.add(writer.pack)

    def accounted(self, number: int) -> bool:
        """Whether a pack that the tables do not know is in use, or waits to be used or removed."""
        return number in self._busy or number in self.emptied or number in self._spare

    def reserve(self) -> list[int]:
        """Close every pack that no writer has to writers, and say which."""
        with self._lock:
            free = [number for number in sorted(self.sizes) if number not in self._busy]
            self._busy.update(free)
            return free

    def unreserve(self, numbers: Iterable[int]) -> None:
        """Open packs to writers again."""
        with self._lock:
            self._busy.difference_update(numbers)

    def remove(self, number: int) -> None:
        """Delete a pack that nothing refers to any more."""
        self.sizes.pop(number, None)
        self.reader.forget(number)
        disk.unlink(pack_path(self.directory, number))
        self.emptied.discard(number)


class ObjectWriter:
    """Puts one job's objects into packs, each only once. One thread at a time.

    The job publishes `added` and `sizes` once they are synced, then calls `close`; or it calls
    `undo` before, and nothing is left of it.
    """

    def __init__(self, index: Index, packs: Packs, reader: db.Reader, level: int = 0) -> None:
        self._index, self._packs, self._reader = index, packs, reader
        self._level = level
        self._writers = [packs.writer(level)]
        self._starts = [self._writers[0].size]
        self.added: dict[bytes, Location] = {}

    def put(self, kind: int, data: Buffer) -> bytes:
        """Store an object unless it is stored already; says its id."""
        oid = objectid.object_id(kind, data)
        if oid not in self.added and not self._index.rely_on(oid, self._reader):
            self.added[oid] = self._writer().append(oid, kind, data)
        return oid

    def put_chunk(self, data: Buffer) -> bytes:
        """Store a chunk."""
        return self.put(objectid.CHUNK, data)

    def put_node(self, new: node.Node) -> bytes:
        """Store a map node."""
        return self.put(objectid.NODE, new.data)

    def copy(self, oid: bytes, location: Location, payload: Buffer) -> None:
        """Store an object once more, as it is encoded already (for GC)."""
        self.added[oid] = self._writer().append_stored(
            oid, location.kind, location.codec, payload, location.raw
        )

    def _writer(self) -> PackWriter:
        if self._writers[-1].size >= PACK_BYTES_MAX:
            self._writers.append(self._packs.writer(self._level))
            self._starts.append(self._writers[-1].size)
        return self._writers[-1]

    def flush_buffers(self) -> None:
        """Let readers see every object put so far; not durable."""
        for writer in self._writers:
            writer.flush_buffers()

    def sync(self) -> None:
        """Make every object put so far durable. Raises NoSpace, StorageFailure."""
        if self.added:
            for writer in self._writers:
                writer.sync()

    def sizes(self) -> dict[int, int]:
        """The synced sizes of the packs written to, by number."""
        return {w.pack: w.synced_size for w in self._writers} if self.added else {}

    def undo(self) -> None:
        """Forget all that was put: the job failed and nothing refers to it."""
        for writer, start in zip(self._writers, self._starts, strict=True):
            writer.rollback(start)
        self.added.clear()
        self.close()

    def close(self) -> None:
        """Let other writers have the packs."""
        for writer in self._writers:
            self._packs.release(writer)


class Views:
    """Makes readers for threads other than the main one."""

    def __init__(self, index: Index, packs: Packs, database: db.Database) -> None:
        self._index, self._packs, self._database = index, packs, database

    def open(self, node_cache_bytes: int) -> ObjectReader:
        """A reader for the calling thread; close it there. Raises StorageFailure."""
        reader = self._database.reader()
        return ObjectReader(self._index, self._packs.reader, reader, node_cache_bytes, beside=True)
