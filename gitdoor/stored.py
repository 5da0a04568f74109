"""Loose objects as files (gitformat-loose(5)) that need no compressing: `zlib` with stored blocks.

So how long the file is follows from how long the object is, and any part of it can be made from
that part of the object. Only the checksum at the very end takes all of it.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

from gitdoor.objects import KIND_NAMES

# zlib's header (RFC 1950): deflate, a window of 32 KiB, no dictionary, the least compression.
_HEADER = b"\x78\x01"
# A stored block (RFC 1951 3.2.4): whether it is the last, its length, and that inverted.
_BLOCK_BYTES_MAX = 0xFFFF
_HEAD_BYTES = 5
_STEP = _BLOCK_BYTES_MAX + _HEAD_BYTES
CHECKSUM_BYTES = 4


def prefix(kind: int, size: int) -> bytes:
    """What stands before an object's own bytes in what is compressed, and hashed for its id."""
    return b"%s %d\0" % (KIND_NAMES[kind], size)


class Span(NamedTuple):
    """A part of the file: where it begins, and what of the content it is made from."""

    offset: int
    stop: int
    first: int  # block
    raw_start: int
    raw_stop: int


class Layout(NamedTuple):
    """The file of so many bytes of content, prefix and all."""

    raw_bytes: int

    @property
    def blocks(self) -> int:
        """How many blocks there are, one at least."""
        return max(1, -(-self.raw_bytes // _BLOCK_BYTES_MAX))

    @property
    def file_bytes(self) -> int:
        """How long the file is."""
        return len(_HEADER) + self.blocks * _HEAD_BYTES + self.raw_bytes + CHECKSUM_BYTES

    def span(self, offset: int, count: int) -> Span:
        """What the bytes of a range are made from."""
        stop = min(offset + count, self.file_bytes)
        offset = min(offset, stop)
        last_block = self.blocks - 1
        first = min(max(0, offset - len(_HEADER)) // _STEP, last_block)
        last = min(max(0, stop - 1 - len(_HEADER)) // _STEP, last_block)
        end = min(self.raw_bytes, (last + 1) * _BLOCK_BYTES_MAX)
        return Span(offset, stop, first, first * _BLOCK_BYTES_MAX, end)

    def needs_checksum(self, span: Span) -> bool:
        """Whether a part reaches the checksum."""
        return span.offset < span.stop and span.stop > self.file_bytes - CHECKSUM_BYTES

    def piece(self, span: Span, raw: bytes | memoryview, checksum: int) -> bytes:
        """The part, made of `raw`, which is the content from raw_start to raw_stop."""
        start = len(_HEADER) + span.first * _STEP
        parts: list[bytes | memoryview] = []
        if not span.first:
            start = 0
            parts.append(_HEADER)
        for at in range(span.raw_start, max(span.raw_stop, span.raw_start + 1), _BLOCK_BYTES_MAX):
            length = min(_BLOCK_BYTES_MAX, self.raw_bytes - at)
            last = at + length >= self.raw_bytes
            head = length.to_bytes(2, "little") + (length ^ 0xFFFF).to_bytes(2, "little")
            parts += [b"\1" if last else b"\0", head]
            parts.append(raw[at - span.raw_start : at - span.raw_start + length])
        parts.append(checksum.to_bytes(CHECKSUM_BYTES, "big"))
        return b"".join(parts)[span.offset - start : span.stop - start]


def whole(raw: bytes) -> bytes:
    """The file of a content that is in memory."""
    layout = Layout(len(raw))
    return layout.piece(layout.span(0, layout.file_bytes), raw, zlib.adler32(raw))
