"""One file of the journal: its layout, preallocation, and how records are found in it again.

A segment is blocks of 4096 bytes, written without the page cache where the file system allows.
Integers are little-endian.

    block 0   eight equal sectors of 512 bytes:
              magic 8s | version u16 | 0 u16 | number u32 | store id 16s | salt u64
              | first sequence u64 | zeros | xxh3_64 of all before u64 (last in the sector)
    record    xxh3_64, seeded with the salt, of all that follows u64 | magic u32
              | payload bytes u32 | sequence u64 | payload | zeros up to the next block

The header has copies because a segment whose header is lost loses its records. Should a power cut
leave old and new copies side by side, the newest counts: the old ones' records were retired.

The salt is drawn for each use of a segment and never leaves the store. So whatever lies behind
the last record, be it a record of an earlier use or data that a client chose, is no record.
"""

from __future__ import annotations

import mmap
import os
import re
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from xxhash import xxh3_64_intdigest

from store import disk, errors, faults

FORMAT_VERSION: Final = 1
BLOCK_BYTES: Final = 4096
PAYLOAD_BYTES_MAX: Final = 1024 * 1024 * 1024

_MAGIC = b"fsgwjrnl"
_HEADER = struct.Struct("<8sHHI16sQQ")
_SECTOR_BYTES = 512
_CHECKSUM = struct.Struct("<Q")
_SECTOR_BODY_BYTES = _SECTOR_BYTES - _CHECKSUM.size

_RECORD_MAGIC = 0x4C4A5346  # "FSJL" on disk
_RECORD = struct.Struct("<QIIQ")
_RECORD_REST = struct.Struct("<IIQ")
RECORD_HEADER_BYTES: Final = _RECORD.size

# A segment grows by as much as it has, within these bounds: a store that writes little stays
# small, and one that writes much waits for zeros seldom.
_GROW_BYTES_MIN = 256 * 1024
_GROW_BYTES_MAX = 8 * 1024 * 1024

_ZEROS = memoryview(mmap.mmap(-1, 1024 * 1024, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
_NAME = re.compile(r"([0-9a-f]{8})\.log")


class Header(NamedTuple):
    """What a segment says about itself."""

    number: int
    store_id: bytes
    salt: int
    first_sequence: int

    def block(self) -> bytes:
        """Return block 0."""
        number, store_id, salt, first = self
        body = _HEADER.pack(_MAGIC, FORMAT_VERSION, 0, number, store_id, salt, first)
        body = body.ljust(_SECTOR_BODY_BYTES, b"\0")
        sector = body + _CHECKSUM.pack(xxh3_64_intdigest(body))
        return sector * (BLOCK_BYTES // _SECTOR_BYTES)


class Record(NamedTuple):
    """One record as read back; `end` is the offset of the next one."""

    sequence: int
    payload: bytes
    end: int


class Frame:
    """Room, aligned for direct writes, in which a record takes shape. Grows as needed."""

    _KEEP_BYTES_MAX = 4 * 1024 * 1024

    def __init__(self) -> None:
        self._room = memoryview(b"")

    def fill(self, salt: int, sequence: int, buffers: Sequence[disk.Buffer]) -> memoryview:
        """Return the record of the joined `buffers`, whole blocks; valid until the next call."""
        payload_bytes = sum(map(len, buffers))
        if payload_bytes > PAYLOAD_BYTES_MAX:
            raise ValueError(f"a payload of {payload_bytes} bytes")
        size = -(-(_RECORD.size + payload_bytes) // BLOCK_BYTES) * BLOCK_BYTES
        room = self._room
        if len(room) < size or len(room) > max(size, self._KEEP_BYTES_MAX):
            room = self._room = memoryview(mmap.mmap(-1, max(size, 64 * 1024)))
        _RECORD_REST.pack_into(room, 8, _RECORD_MAGIC, payload_bytes, sequence)
        at = _RECORD.size
        for buffer in buffers:
            end = at + len(buffer)
            room[at:end] = buffer
            at = end
        room[at:size] = bytes(size - at)
        _CHECKSUM.pack_into(room, 0, xxh3_64_intdigest(room[8:size], salt))
        return room[:size]


class Segment:
    """A segment that is being written: the open file, its header, and what is allocated."""

    __slots__ = ("header", "position", "_allocated", "_file")

    def __init__(self, directory: str, header: Header) -> None:
        """Create the file with room for a few records, and make it durable with its name."""
        self.header = header
        self.position = BLOCK_BYTES
        self._allocated = 0
        path = segment_path(directory, header.number)
        self._file = disk.open_file(path, create=True, direct=True)
        try:
            self._grow(_GROW_BYTES_MIN)
            self._write_header(header)
            disk.sync_directory(directory)
        except errors.StoreError:
            self.close()
            try:
                disk.unlink(path)
            except errors.StoreError:
                pass
            raise

    @property
    def path(self) -> str:
        """The file's path."""
        return self._file.path

    @property
    def allocated(self) -> int:
        """Bytes that the segment has on disk."""
        return self._allocated

    def reuse(self, header: Header) -> None:
        """Start over with a new salt; what the segment held must not be needed any more."""
        self._write_header(header)
        self.header = header
        self.position = BLOCK_BYTES

    def append(self, frame: memoryview) -> None:
        """Write a record behind the last one, durably. On an error the position stays."""
        end = self.position + len(frame)
        if end > self._allocated:
            self._reserve(end)
        self._file.write((frame,), self.position, durable=True)
        self.position = end

    def void_tail(self) -> None:
        """Make sure that no record starts behind the last one that was appended."""
        if self.position < self._allocated:
            self._file.write((_ZEROS[:BLOCK_BYTES],), self.position, durable=True)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write_header(self, header: Header) -> None:
        block = mmap.mmap(-1, BLOCK_BYTES)
        block[:] = header.block()
        self._file.write((memoryview(block),), 0, durable=True)

    def _reserve(self, end: int) -> None:
        """Have synced zeros up to `end` at least, so that an append changes no metadata.

        Zeros are written, not just allocated: turning an unwritten extent into a written one
        would cost each append a commit of the file system's own journal.
        """
        step = min(max(self._allocated, _GROW_BYTES_MIN), _GROW_BYTES_MAX)
        if end < self._allocated + step:
            try:
                self._grow(self._allocated + step)
                return
            except errors.NoSpace:
                pass  # the record alone may still fit
        self._grow(end)

    def _grow(self, end: int) -> None:
        at = self._allocated
        while at < end:
            size = min(len(_ZEROS), end - at)
            self._file.write((_ZEROS[:size],), at)
            at += size
        self._file.sync()
        self._allocated = end
        faults.point("journal.reserved")


def segment_path(directory: str, number: int) -> str:
    """Return the path of segment `number`."""
    return os.path.join(directory, f"{number:08x}.log")


def segment_numbers(directory: str) -> list[int]:
    """Return the numbers of the segments in a directory; other names are passed over."""
    try:
        names = os.listdir(directory)
    except OSError as error:
        raise disk.failure(error, directory) from error
    return sorted(int(match[1], 16) for match in map(_NAME.fullmatch, names) if match)


class SegmentReader:
    """A segment of an earlier run, open for reading; nothing of it is trusted."""

    def __init__(self, directory: str, number: int) -> None:
        """Open the file; StorageFailure."""
        path = segment_path(directory, number)
        try:
            self._file = disk.File(os.open(path, os.O_RDONLY), path)
        except OSError as error:
            raise disk.failure(error, path) from error
        self.path = path
        self._size = self._file.size()

    def header(self, store_id: bytes) -> Header | None:
        """Return the newest good copy of the header, None if there is none.

        WrongVersion for another format's, Damaged for another store's.
        """
        block = self._read(BLOCK_BYTES, 0)
        newest: Header | None = None
        for at in range(0, len(block) - _SECTOR_BYTES + 1, _SECTOR_BYTES):
            body = block[at : at + _SECTOR_BODY_BYTES]
            (checksum,) = _CHECKSUM.unpack_from(block, at + _SECTOR_BODY_BYTES)
            magic, version, _, number, owner, salt, first = _HEADER.unpack_from(body)
            if magic != _MAGIC or checksum != xxh3_64_intdigest(body):
                continue
            if version != FORMAT_VERSION:
                raise errors.WrongVersion(f"{self.path}: format version {version} is unknown")
            if owner != store_id:
                raise errors.Damaged(f"{self.path}: belongs to another store")
            if newest is None or first > newest.first_sequence:
                newest = Header(number, owner, salt, first)
        return newest

    def record_at(self, offset: int, salt: int) -> Record | None:
        """Return the record at `offset`, None if there is no whole one."""
        data = self._read(BLOCK_BYTES, offset)
        if len(data) < BLOCK_BYTES:
            return None
        checksum, magic, payload_bytes, sequence = _RECORD.unpack_from(data)
        size = -(-(_RECORD.size + payload_bytes) // BLOCK_BYTES) * BLOCK_BYTES
        if magic != _RECORD_MAGIC or offset + size > self._size:
            return None
        if size > BLOCK_BYTES:
            data += self._read(size - BLOCK_BYTES, offset + BLOCK_BYTES)
        if len(data) < size or checksum != xxh3_64_intdigest(memoryview(data)[8:], salt):
            return None
        payload = data[_RECORD.size : _RECORD.size + payload_bytes]
        return Record(sequence, payload, offset + size)

    def later_record(self, offset: int, salt: int, sequence: int) -> Record | None:
        """Return any record behind `offset` whose sequence number is over `sequence`."""
        for at in range(offset + BLOCK_BYTES, self._size, BLOCK_BYTES):
            record = self.record_at(at, salt)
            if record and record.sequence > sequence:
                return record
        return None

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read(self, size: int, offset: int) -> bytes:
        try:
            return os.pread(self._file.fd, size, offset)
        except OSError as error:
            raise disk.failure(error, self.path) from error
