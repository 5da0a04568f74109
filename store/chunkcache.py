"""Chunks that were read in part, kept whole for the next part.

A chunk is read and verified as a whole, 128 KiB by default; who reads it in small pieces would pay
for all of it each time. Chunks that are read whole are not kept: who reads a file from end to end
would push out everything else.
"""

from __future__ import annotations

from collections import OrderedDict


class ChunkCache:
    """Least recently used goes first; `bytes_max` bounds the data. One thread."""

    __slots__ = ("_bytes", "_bytes_max", "_chunks")

    def __init__(self, bytes_max: int) -> None:
        self._chunks: OrderedDict[bytes, bytes] = OrderedDict()
        self._bytes = 0
        self._bytes_max = bytes_max

    def get(self, oid: bytes) -> bytes | None:
        """A chunk's bytes, None where it is not kept."""
        data = self._chunks.get(oid)
        if data is not None:
            self._chunks.move_to_end(oid)
        return data

    def put(self, oid: bytes, data: bytes) -> None:
        """Keep a chunk."""
        if oid in self._chunks:
            return
        self._chunks[oid] = data
        self._bytes += len(data)
        while self._bytes > self._bytes_max:
            self._bytes -= len(self._chunks.popitem(last=False)[1])
