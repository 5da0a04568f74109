"""Writing very many objects: they are compressed and appended on a thread beside, some at a time.

What makes the objects, an imported history say, is Python all the time; compressing is not, and so
many objects at once leave the interpreter alone for long enough that both go on. What waits is
bounded: the batch that is being gathered, and the one that is being written.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait

from store import codec
from store import database as db
from store.memtable import Buffer
from store.objects import Index, ObjectReader, ObjectWriter, Packs
from store.pack import Location

# A batch: long enough that handing it over does not count, and little memory.
_BATCH_BYTES = 512 * 1024
_threads = ThreadPoolExecutor(2, "fsgw-bulk")

_Batch = dict[bytes, tuple[int, Buffer]]
"""Objects by their ids: kind and bytes."""


class BulkWriter(ObjectWriter):
    """See the module, and `ObjectWriter`. What goes wrong beside is raised by a later call; then
    the objects since the last `flush_buffers` may be missing, and `undo` is what is left."""

    def __init__(self, index: Index, packs: Packs, reader: db.Reader) -> None:
        super().__init__(index, packs, reader, codec.LEVEL_BULK)
        self._gathered: _Batch = {}
        self._bytes = 0
        self._leaving: _Batch = {}
        self._job: Future[dict[bytes, Location]] | None = None

    def holds(self, oid: bytes) -> bool:
        """Whether an object was put here."""
        return oid in self.added or oid in self._gathered or oid in self._leaving

    def read_back(self, oid: bytes, view: ObjectReader) -> bytes:
        """The bytes of an object that was put here. Raises Damaged, StorageFailure."""
        waiting = self._gathered.get(oid) or self._leaving.get(oid)
        return bytes(waiting[1]) if waiting else view.read_at(oid, self.added[oid])

    def _add(self, oid: bytes, kind: int, data: Buffer) -> None:
        self._gathered[oid] = kind, data
        self._bytes += len(data)
        if self._bytes >= _BATCH_BYTES:
            self._hand_over()

    def _hand_over(self) -> None:
        """Let what was gathered be written, once what was before is."""
        self._collect()
        self._leaving, self._gathered, self._bytes = self._gathered, {}, 0
        self._job = _threads.submit(self._write, self._leaving)

    def _collect(self) -> None:
        job, self._job = self._job, None
        if job is not None:
            wait([job])
            self._leaving = {}
            self.added.update(job.result())

    def _write(self, batch: _Batch) -> dict[bytes, Location]:
        """Write a batch, so that it can be read; says where its objects lie. Beside."""
        payloads = codec.encode_many([data for _, data in batch.values()], self._level)
        written = {
            oid: self._writer().append_stored(oid, kind, codec_id, payload, len(data))
            for (oid, (kind, data)), (codec_id, payload) in zip(
                batch.items(), payloads, strict=True
            )
        }
        super().flush_buffers()
        return written

    def flush_buffers(self) -> None:
        """Let readers see every object put so far; not durable."""
        if self._gathered:
            self._hand_over()
        self._collect()
        super().flush_buffers()

    def sync(self) -> None:
        """Make every object put so far durable. Raises NoSpace, StorageFailure."""
        self.flush_buffers()
        super().sync()

    def undo(self) -> None:
        """Forget all that was put: the job failed and nothing refers to it."""
        if self._job is not None:
            wait([self._job])
        self._gathered, self._leaving, self._job = {}, {}, None
        super().undo()
