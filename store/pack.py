"""Packs: append-only files of immutable objects, each record able to prove itself.

A pack is a file header and records, end to end, without padding. Integers are little-endian.

    file header  magic 8s | version u16 | 0 u16 | pack u32 | store id 16s | xxh3_64 u64
    record       magic u16 | kind u8 | codec u8 | stored u32 | raw u32 | object id 32s
                 | xxh3_64 of the payload u64 | low half of the xxh3_64 of all before u32
                 | payload (`stored` bytes)

Every bit of a pack is covered: a file header by its checksum, a record's header by its own check
(so that a walk over headers need not read payloads), a payload by the checksum in its header. A
record found anywhere in a pack is true if its bytes hash to its id, so a record needs no
protection from look-alikes within a payload.

Order of writes: a record is referred to only after sync() has returned. What lies behind the last
synced record after a crash is garbage, which a writer opened at that offset cuts off.

This module knows the format and walks over a pack's headers; `pack_writer` appends and
`pack_reader` reads. None of them knows LMDB, or which objects are still wanted.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from xxhash import xxh3_64_intdigest

from store import disk, errors
from store.disk import Buffer
from store.objectid import ID_BYTES

FORMAT_VERSION: Final = 1
OBJECT_BYTES_MAX: Final = 2**32 - 1

_FILE_MAGIC = b"fsgwpack"
_FILE = struct.Struct("<8sHHI16s")
_CHECKSUM = struct.Struct("<Q")
FILE_HEADER_BYTES: Final = _FILE.size + _CHECKSUM.size

_MAGIC = 0x6F67  # "go" on disk
_MAGIC_BYTES = struct.pack("<H", _MAGIC)
_IDENTITY = struct.Struct(f"<HBBII{ID_BYTES}s")
IDENTITY_BYTES: Final = _IDENTITY.size
_BODY = struct.Struct(f"<HBBII{ID_BYTES}sQ")
_CHECK = struct.Struct("<I")
RECORD_HEADER_BYTES: Final = _BODY.size + _CHECK.size

_INDEX = struct.Struct("<IQIIBB")

_SCAN_WINDOW_BYTES = 64 * 1024


class Location(NamedTuple):
    """Where a record lies: pack number, offset of its header, sizes in bytes, codec, kind."""

    pack: int
    offset: int
    stored: int
    raw: int
    codec: int
    kind: int

    def to_bytes(self) -> bytes:
        """Return the value that an index keeps for an object (22 bytes)."""
        return _INDEX.pack(*self)

    @classmethod
    def from_bytes(cls, value: Buffer) -> Location:
        """Return what to_bytes() made; Damaged when `value` has another length."""
        try:
            return cls._make(_INDEX.unpack(value))
        except struct.error:
            raise errors.Damaged(f"index value of {len(value)} bytes") from None

    @property
    def end(self) -> int:
        """The offset just behind the record."""
        return self.offset + RECORD_HEADER_BYTES + self.stored


def pack_path(directory: str, pack: int) -> str:
    """Return the path of pack number `pack`."""
    return os.path.join(directory, f"{pack:08x}.pack")


def pack_numbers(directory: str) -> list[int]:
    """Return the numbers of the packs in a directory, in order; other names are passed over."""
    try:
        names = os.listdir(directory)
    except OSError as error:
        raise disk.failure(error, directory) from error
    digits = (name[:8] for name in names if len(name) == 13 and name.endswith(".pack"))
    return sorted(int(d, 16) for d in digits if set(d) <= set("0123456789abcdef"))


def file_header(pack: int, store_id: bytes) -> bytes:
    """Return the bytes that pack number `pack` of a store starts with."""
    body = _FILE.pack(_FILE_MAGIC, FORMAT_VERSION, 0, pack, store_id)
    return body + _CHECKSUM.pack(xxh3_64_intdigest(body))


def file_header_flaw(header: bytes, pack: int, store_id: bytes) -> str | None:
    """Say what is wrong with a file header, or return None."""
    if header == file_header(pack, store_id):
        return None
    if len(header) < FILE_HEADER_BYTES:
        return "file header is cut short"
    magic, version, _, found, owner = _FILE.unpack_from(header)
    (checksum,) = _CHECKSUM.unpack_from(header, _FILE.size)
    if magic != _FILE_MAGIC or checksum != xxh3_64_intdigest(header[: _FILE.size]):
        return "file header is damaged"
    if version != FORMAT_VERSION:
        return f"format version {version} is unknown"
    if owner != store_id:
        return "belongs to another store"
    return f"is pack {found:08x} by its header"


def open_pack(directory: str, pack: int) -> disk.File:
    """Open a pack for reading; Damaged when it is missing, StorageFailure when the disk fails."""
    path = pack_path(directory, pack)
    try:
        return disk.File(os.open(path, os.O_RDONLY), path)
    except FileNotFoundError:
        raise errors.Damaged(f"{path}: the pack is missing") from None
    except OSError as error:
        raise disk.failure(error, path) from error


def record_header(kind: int, codec_id: int, raw: int, oid: bytes, payload: Buffer) -> bytes:
    """Return the header that goes before `payload`."""
    checksum = xxh3_64_intdigest(payload)
    body = _BODY.pack(_MAGIC, kind, codec_id, len(payload), raw, oid, checksum)
    return body + _CHECK.pack(xxh3_64_intdigest(body) & 0xFFFFFFFF)


def identity(oid: bytes, location: Location) -> bytes:
    """Return what the record's header at `location` must start with (IDENTITY_BYTES bytes)."""
    return _IDENTITY.pack(_MAGIC, location.kind, location.codec, location.stored, location.raw, oid)


def pread(file: disk.File, size: int, offset: int) -> bytes:
    """Return up to `size` bytes of an open file at `offset`; StorageFailure."""
    try:
        return os.pread(file.fd, size, offset)
    except OSError as error:
        raise disk.failure(error, file.path) from error


def scan(
    directory: str, pack: int, store_id: bytes, report: Callable[[int, str], None]
) -> Iterator[tuple[Location, bytes]]:
    """Yield (location, object id) of every record of a pack, in order, reading headers only.

    What is wrong goes to `report(offset, what)`, once for each damaged stretch, and the walk goes
    on at the next good header. Damaged when the pack is missing, StorageFailure from the disk.
    Payloads are not looked at: PackReader.verify does that.
    """
    file = open_pack(directory, pack)
    try:
        size = file.size()
        flaw = file_header_flaw(pread(file, FILE_HEADER_BYTES, 0), pack, store_id)
        if flaw:
            report(0, flaw)
        yield from _walk(file, pack, size, report)
    finally:
        file.close()


def _walk(
    file: disk.File, pack: int, size: int, report: Callable[[int, str], None]
) -> Iterator[tuple[Location, bytes]]:
    window, base, offset = b"", 0, FILE_HEADER_BYTES
    while offset < size:
        at = offset - base
        if at + RECORD_HEADER_BYTES > len(window):
            window, base, at = pread(file, _SCAN_WINDOW_BYTES, offset), offset, 0
        found = _header_at(window, at, pack, offset)
        if found is None:
            report(offset, "record header is damaged or cut short")
            offset = _next_header(file, pack, offset + 1, size)
        elif found[0].end > size:
            report(offset, f"record ends at {found[0].end}, behind the end of the pack, {size}")
            offset = _next_header(file, pack, offset + 1, size)
        else:
            yield found
            offset = found[0].end


def _header_at(window: bytes, at: int, pack: int, offset: int) -> tuple[Location, bytes] | None:
    """Return the location and object id of the record header at `at`, None if there is none."""
    body_end = at + _BODY.size
    if body_end + _CHECK.size > len(window):
        return None
    magic, kind, codec_id, stored, raw, oid, _ = _BODY.unpack_from(window, at)
    if magic != _MAGIC:
        return None
    (check,) = _CHECK.unpack_from(window, body_end)
    if check != xxh3_64_intdigest(window[at:body_end]) & 0xFFFFFFFF:
        return None
    return Location(pack, offset, stored, raw, codec_id, kind), oid


def _next_header(file: disk.File, pack: int, start: int, size: int) -> int:
    """Return the offset of the first good record header from `start` on, or `size`."""
    while start < size:
        window = pread(file, _SCAN_WINDOW_BYTES, start)
        at = window.find(_MAGIC_BYTES)
        while at >= 0 and at + RECORD_HEADER_BYTES <= len(window):
            if _header_at(window, at, pack, start + at):
                return start + at
            at = window.find(_MAGIC_BYTES, at + 1)
        if start + len(window) >= size or not window:
            return size
        # A header may straddle two windows, so the next one starts before this one's end.
        start += len(window) - RECORD_HEADER_BYTES + 1
    return size
