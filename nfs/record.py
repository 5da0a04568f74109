"""Record marking (RFC 5531 section 11): from a stream of bytes to whole messages.

A record is sent as fragments, each behind a word that has its length and, in the highest bit,
whether it is the last. A record that would pass the limit is refused by its announcement alone,
and memory follows the bytes that arrived, not those announced. Knows no socket and no RPC.
"""

from __future__ import annotations

import struct

LAST = 0x8000_0000
_MARK = struct.Struct("!I")
# What is read from a connection at once: many small calls, or a part of a large one. One that
# sends little has less memory.
READ_BYTES = 64 * 1024
_FIRST_BYTES = 4 * 1024
# ... or, where long calls come in, so many of them.
LONG_READ_BYTES = 1 << 20
_RECORDS_A_READ = 8
# Memory for a long record grows by this factor each time that it is full, up to the longest that
# came whole on this connection: who announces much and sends little holds little.
GROWTH = 4
# Fragments of a record: marks without content would keep the reader busy for ever.
FRAGMENTS_MAX = 1024


class RecordTooLong(ValueError):
    """A record longer than the limit, or made of a senseless number of fragments."""


def mark(length: int) -> bytes:
    """The word that goes before a record that is one fragment."""
    return _MARK.pack(LAST | length)


class RecordReader:
    """Cuts a stream into records.

    Bytes are received into `room()` and told to `received(n)`; `record()` then hands out one
    record after another, None when the next is not whole yet. A record is a read-only view whose
    memory is used for nothing else, so that data written by a client need not be copied.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._buffer = bytearray()
        self._next_bytes = _FIRST_BYTES
        self._start = self._end = 0
        self._longest_bytes = 0
        self._parts: list[memoryview] = []
        self._parts_bytes = 0

    @property
    def waiting_bytes(self) -> int:
        """Bytes received that no record has taken."""
        return self._end - self._start + self._parts_bytes

    def room(self) -> memoryview:
        """Where to receive to; never empty."""
        if self._end == len(self._buffer):
            self._move(self._next_bytes)
            # Room for several of the records that come here, so that few are cut in two; or for
            # exactly one, where they are so long that a second half would be much to copy.
            most = self._longest_bytes
            if most <= LONG_READ_BYTES // _RECORDS_A_READ:
                most = max(READ_BYTES, most * _RECORDS_A_READ)
            self._next_bytes = min(most, GROWTH * self._next_bytes)
        return memoryview(self._buffer)[self._end :]

    def received(self, count: int) -> None:
        """So many bytes were put into `room()`."""
        self._end += count

    def record(self) -> memoryview | None:
        """The next whole record. Raises RecordTooLong; the stream has no meaning after that."""
        while self._end - self._start >= 4:
            (word,) = _MARK.unpack_from(self._buffer, self._start)
            length = word & ~LAST
            if length + self._parts_bytes > self._bytes_max:
                raise RecordTooLong(f"a record of more than {self._bytes_max} bytes")
            if self._end - self._start - 4 < length:
                if self._end == len(self._buffer):
                    known = max(self._longest_bytes, GROWTH * (self._end - self._start))
                    self._move(min(length + 4, known))
                return None
            start = self._start + 4
            part = memoryview(self._buffer)[start : start + length].toreadonly()
            self._start = start + length
            if length >= self._longest_bytes:
                self._longest_bytes = length + 4
            if word & LAST and not self._parts:
                return part
            self._parts.append(part)
            self._parts_bytes += length
            if word & LAST:
                whole = memoryview(b"".join(self._parts))
                self._parts, self._parts_bytes = [], 0
                return whole
            if len(self._parts) >= FRAGMENTS_MAX:
                raise RecordTooLong(f"a record of more than {FRAGMENTS_MAX} fragments")
        return None

    def _move(self, bytes_wanted: int) -> None:
        """Go on in new memory with room for so many bytes; records handed out keep the old."""
        rest = memoryview(self._buffer)[self._start : self._end]
        fresh = bytearray(max(bytes_wanted, len(rest) + 4))
        fresh[: len(rest)] = rest
        self._buffer, self._start, self._end = fresh, 0, len(rest)
