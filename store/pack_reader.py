"""Reading objects back from packs, never giving out a byte that was not written there.

Every read checks the record's header against what the index says and the payload against its
checksum. Usable from several threads at once. The format is `pack`'s.
"""

from __future__ import annotations

import os
import struct
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import NoReturn

from xxhash import xxh3_64_intdigest

from store import codec, disk, errors
from store.disk import Buffer
from store.objectid import object_id
from store.pack import (
    IDENTITY_BYTES,
    RECORD_HEADER_BYTES,
    Location,
    identity,
    open_pack,
)

Request = tuple[bytes, Location]

# Open files kept; far below the usual limit of 1024 for a process, which serves clients too.
_FILES_MAX = 128

# What one system call reads: bounds both the list of buffers and the scratch memory.
_RUN_RECORDS_MAX = 256
_RUN_BYTES_MAX = 8 * 1024 * 1024

_CHECKSUM = struct.Struct("<Q")


# A read with this flag gives what the page cache has, and never waits for the disk (preadv2(2)).
CACHED = os.RWF_NOWAIT


class NotCached(Exception):
    """A read that was to take from the page cache alone found that it has not all."""


class _Scratch(threading.local):
    """One thread's room for the record headers of a run."""

    def __init__(self) -> None:
        whole = memoryview(bytearray(_RUN_RECORDS_MAX * RECORD_HEADER_BYTES))
        step = RECORD_HEADER_BYTES
        self.headers = [whole[at : at + step] for at in range(0, len(whole), step)]


class PackReader:
    """Reads records of all packs in one directory, keeping a bounded number of files open."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._files: OrderedDict[int, disk.File] = OrderedDict()
        self._lock = threading.Lock()
        self._scratch = _Scratch()

    def read(self, oid: bytes, location: Location, flags: int = 0) -> bytes:
        """Return an object's bytes. With CACHED, NotCached where they would have to be waited for.

        Damaged, naming pack, offset and id, when the record is not what was written, or missing;
        StorageFailure when the disk cannot read it.
        """
        return self._decode(oid, location, self.read_stored(oid, location, flags))

    def read_stored(self, oid: bytes, location: Location, flags: int = 0) -> memoryview:
        """Return a record's payload as it is stored (for rewriting); errors as read()."""
        size = RECORD_HEADER_BYTES + location.stored
        record = memoryview(bytearray(size))
        try:
            record = record[: self._preadv(location.pack, [record], location.offset, flags)]
        except errors.Damaged as error:
            self._damaged(oid, location, str(error))
        if len(record) < size:
            self._damaged(oid, location, "the pack ends within the record")
        if record[:IDENTITY_BYTES] != identity(oid, location):
            self._damaged(oid, location, "the header is another record's, or damaged")
        payload = record[RECORD_HEADER_BYTES:]
        if _CHECKSUM.unpack_from(record, IDENTITY_BYTES)[0] != xxh3_64_intdigest(payload):
            self._damaged(oid, location, "the payload's checksum is wrong")
        return payload

    def read_many(
        self, requests: Sequence[Request], out: Sequence[memoryview], flags: int = 0
    ) -> None:
        """Read objects into writable buffers of exactly their raw sizes; errors as read().

        Records that lie one behind the other are read by one system call, uncompressed ones
        straight into their buffers. After an error the buffers' contents are undefined.
        """
        start, count = 0, len(requests)
        while start < count:
            stop = _run_end(requests, start)
            self._read_run(requests[start:stop], out[start:stop], flags)
            start = stop

    def _read_run(self, run: Sequence[Request], out: Sequence[memoryview], flags: int) -> None:
        first = run[0][1]
        headers = self._scratch.headers
        buffers: list[memoryview] = []
        payloads: list[memoryview] = []
        for index, (_, location) in enumerate(run):
            payload = out[index]
            if len(payload) != location.raw:
                raise ValueError(f"a buffer of {len(payload)} bytes for {location.raw}")
            if location.codec != codec.RAW or location.stored != location.raw:
                payload = memoryview(bytearray(location.stored))
            payloads.append(payload)
            buffers.append(headers[index])
            buffers.append(payload)
        try:
            size = run[-1][1].end - first.offset
            whole = self._preadv(first.pack, buffers, first.offset, flags) == size
        except errors.Damaged:
            whole = False
        if not whole:
            self._read_singly(run, out)
            return
        checksum_of = _CHECKSUM.unpack_from
        for index, (oid, location) in enumerate(run):
            header, payload = headers[index], payloads[index]
            (checksum,) = checksum_of(header, IDENTITY_BYTES)
            known = header[:IDENTITY_BYTES] == identity(oid, location)
            if not known or checksum != xxh3_64_intdigest(payload):
                self._read_singly(run[index : index + 1], out[index : index + 1])
            elif payload is not out[index]:
                out[index][:] = self._decode(oid, location, payload)

    def _read_singly(self, run: Sequence[Request], out: Sequence[memoryview]) -> None:
        """Read records one by one, so that the error names the one that is damaged."""
        for (oid, location), target in zip(run, out, strict=True):
            target[:] = self.read(oid, location)

    def verify(self, oid: bytes, location: Location) -> None:
        """Check one record whole, up to its bytes being those that its id names; as read()."""
        try:
            found = object_id(location.kind, self.read(oid, location))
        except KeyError:
            self._damaged(oid, location, f"kind {location.kind} is unknown")
        if found != oid:
            self._damaged(oid, location, "the bytes are not those that the id names")

    def forget(self, pack: int) -> None:
        """Let go of a pack that is about to be removed."""
        with self._lock:
            self._files.pop(pack, None)

    def close(self) -> None:
        """Let go of all files; those in use by another thread close when it is done."""
        with self._lock:
            self._files.clear()

    def _file(self, pack: int) -> disk.File:
        """Return the open pack. One pushed out meanwhile stays open as long as it is held."""
        with self._lock:
            file = self._files.get(pack)
            if file is None:
                file = self._files[pack] = open_pack(self._directory, pack)
                if len(self._files) > _FILES_MAX:
                    self._files.popitem(last=False)
            else:
                self._files.move_to_end(pack)
            return file

    def _preadv(self, pack: int, buffers: list[memoryview], offset: int, flags: int) -> int:
        file = self._file(pack)
        try:
            count = os.preadv(file.fd, buffers, offset, flags)
            if flags and count < sum(map(len, buffers)):
                raise NotCached
            return count
        except OSError as error:
            if flags:  # EAGAIN; or a file system that cannot tell: the read that waits will
                raise NotCached from None
            raise disk.failure(error, file.path) from error

    def _decode(self, oid: bytes, location: Location, payload: Buffer) -> bytes:
        try:
            return codec.decode(location.codec, payload, location.raw)
        except errors.Damaged as error:
            self._damaged(oid, location, str(error))

    def _damaged(self, oid: bytes, location: Location, what: str) -> NoReturn:
        place = f"pack {location.pack:08x} offset {location.offset}"
        raise errors.Damaged(f"{place} object {oid.hex()}: {what}")


def _run_end(requests: Sequence[Request], start: int) -> int:
    """Return the end of the run of records, from `start` on, that one call can read."""
    location = requests[start][1]
    stop = min(len(requests), start + _RUN_RECORDS_MAX)
    bytes_end = location.offset + _RUN_BYTES_MAX
    for index in range(start + 1, stop):
        following = requests[index][1]
        end = location.offset + RECORD_HEADER_BYTES + location.stored
        if following.offset != end or following.pack != location.pack or end >= bytes_end:
            return index
        location = following
    return stop
