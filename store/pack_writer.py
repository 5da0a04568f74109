"""Appending objects to one pack: queue, write in batches, sync, take back.

The format and the order of writes are `pack`'s.
"""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor, wait

from store import codec, disk, errors, faults
from store.disk import Buffer
from store.pack import (
    FILE_HEADER_BYTES,
    Location,
    file_header,
    file_header_flaw,
    pack_path,
    pread,
    record_header,
)

# One write takes at most this much: enough that system calls do not count, little enough that
# what a writer holds in memory does not either.
_BATCH_BYTES_MAX = 512 * 1024
_BATCH_BUFFERS_MAX = os.sysconf("SC_IOV_MAX") - 2
# How much is written before the disk is told to begin with it.
_AHEAD_BYTES = 8 * 1024 * 1024
_disk_threads = ThreadPoolExecutor(2, "fsgw-disk")
# Up to here joining header and payload costs less than another entry in the list of buffers.
_JOIN_BYTES_MAX = 8 * 1024


# What is synced at once in this amount was streamed, and whoever streamed it has it still. The
# page cache gives its memory back, to be used by the next: on a virtual machine, memory that was
# never used before costs several times what copying into it does.
BULK_BYTES = 4 * 1024 * 1024


class PackWriter:
    """Appends records to one pack. One thread at a time; writers of other packs do not matter.

    A record can be read back after flush_buffers(), and may be referred to after sync(). Buffers
    handed to append() must not change until then.

    After an error nothing is half there: what was not yet written stays queued, and the same call
    may be made again when there is room, or rollback() forgets it. When a sync fails, the system
    may have dropped what it could not write, so rollback() to `synced_size` or less must come
    first; until then all calls raise StorageFailure.
    """

    def __init__(
        self, directory: str, pack: int, store_id: bytes, start: int = 0, level: int = 0
    ) -> None:
        """Open pack number `pack` for appending at byte `start`, cutting off what follows.

        0 starts a new pack, in place of any file of that name. `level` is what new objects are
        compressed at (see codec.encode). WrongVersion or Damaged when the file header is not
        this pack's, Damaged when the file ends before `start`.
        """
        if 0 < start < FILE_HEADER_BYTES:
            raise ValueError(f"offset {start} is within the file header")
        self.pack = pack
        self._directory = directory
        self._level = level
        self._header = file_header(pack, store_id)
        self._queue: list[Buffer] = []
        self._ahead: Future[None] | None = None
        self._begun = start  # up to where a sync was begun
        self._queued = 0
        self._written = self.synced_size = start
        self._named = start > 0
        self._dirty_tail = False
        self._lost = False
        self._file = disk.open_file(pack_path(directory, pack), create=not start)
        try:
            self._open_at(start, store_id)
        except errors.StoreError:
            self._file.close()
            raise

    def _open_at(self, start: int, store_id: bytes) -> None:
        size = self._file.size()
        if not start:
            if size:
                self._file.truncate(0)
            self._enqueue(self._header)
            return
        flaw = file_header_flaw(pread(self._file, FILE_HEADER_BYTES, 0), self.pack, store_id)
        if flaw:
            kind = errors.WrongVersion if "version" in flaw else errors.Damaged
            raise kind(f"{self._file.path}: {flaw}")
        if size < start:
            raise errors.Damaged(f"{self._file.path}: ends at {size}, before {start}")
        if size > start:
            self._file.truncate(start)

    @property
    def size(self) -> int:
        """The pack's size in bytes, with what is still queued."""
        return self._written + self._queued

    def append(self, oid: bytes, kind: int, data: Buffer) -> Location:
        """Queue an object's record, compressed where that pays, and return where it will lie."""
        codec_id, payload = codec.encode(data, self._level)
        return self.append_stored(oid, kind, codec_id, payload, len(data))

    def append_stored(
        self, oid: bytes, kind: int, codec_id: int, payload: Buffer, raw: int
    ) -> Location:
        """Queue a record whose payload is already encoded (for rewriting); see append()."""
        self._check_usable()
        if self._queued >= _BATCH_BYTES_MAX or len(self._queue) >= _BATCH_BUFFERS_MAX:
            self.flush_buffers()
        stored = len(payload)
        header = record_header(kind, codec_id, raw, oid, payload)
        location = Location(self.pack, self.size, stored, raw, codec_id, kind)
        if stored <= _JOIN_BYTES_MAX:
            self._enqueue(b"".join((header, payload)))
        else:
            self._enqueue(header)
            self._enqueue(payload)
        return location

    def _enqueue(self, buffer: Buffer) -> None:
        self._queue.append(buffer)
        self._queued += len(buffer)

    def flush_buffers(self) -> None:
        """Write what is queued, so that readers see it; not durable."""
        self._check_usable()
        self._cut_tail()
        if not self._queued:
            return
        try:
            self._file.write(self._queue, self._written)
        except errors.StoreError:
            self._dirty_tail = True
            self._try_cut_tail()
            raise
        self._written += self._queued
        self._queue.clear()
        self._queued = 0
        if self._ahead is None or self._ahead.done():
            self._sync_ahead()

    def _sync_ahead(self) -> None:
        """Let the disk begin while more is being made ready, so that sync() has less to wait for.

        What such a sync meets comes out of sync(): the system reports a failed write only once.
        """
        if self._ahead is not None:
            self._collect_ahead()
        if self._written - self._begun >= _AHEAD_BYTES:
            self._begun = self._written
            self._ahead = _disk_threads.submit(self._file.sync)

    def _collect_ahead(self) -> None:
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            try:
                ahead.result()
            except errors.StoreError:
                self._lost = True
                raise

    def sync(self) -> None:
        """Make every record appended so far durable."""
        self.flush_buffers()
        self._collect_ahead()
        faults.point("pack.written")
        if self.synced_size < self._written:
            try:
                self._file.sync()
            except errors.StoreError:
                self._lost = True
                raise
        if not self._named:
            disk.sync_directory(self._directory)
            self._named = True
        if self._written - self.synced_size >= BULK_BYTES:
            self._file.forget(self.synced_size, self._written - self.synced_size)
        self.synced_size = self._written
        faults.point("pack.synced")

    def rollback(self, size: int) -> None:
        """Forget every record from byte `size` on; `size` is a value that `self.size` had.

        Only for records that nothing refers to. It does not fail: should the file resist being
        cut now, it is cut before it is next written.
        """
        size = max(size, FILE_HEADER_BYTES)
        if size > self.size or (self._lost and size > max(self.synced_size, FILE_HEADER_BYTES)):
            raise ValueError(f"cannot roll back to {size}")
        while self._queue and self.size > size:
            self._queued -= len(self._queue.pop())
        if not self.synced_size and size == FILE_HEADER_BYTES:
            # Not even the file header is durable: write it again, too.
            self._queue = [self._header]
            self._queued, size = FILE_HEADER_BYTES, 0
        if size < self._written:
            self._written = size
            self._dirty_tail = True
        self.synced_size = min(self.synced_size, size)
        self._lost = False
        self._try_cut_tail()

    def close(self) -> None:
        """Close the file; what was not synced may be lost."""
        if self._ahead is not None:
            wait([self._ahead])
        self._file.close()

    def _check_usable(self) -> None:
        if self._lost:
            raise errors.StorageFailure(f"{self._file.path}: a sync failed; roll back first")

    def _cut_tail(self) -> None:
        """Remove what a failed write or a rollback left behind the last good record."""
        if self._dirty_tail:
            self._file.truncate(self._written)
            self._dirty_tail = False

    def _try_cut_tail(self) -> None:
        try:
            self._cut_tail()
        except errors.StoreError:
            pass
