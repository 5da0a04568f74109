"""Memory for the data of reads, used again and again.

A buffer that was just sent is still in the processor's cache: reading into it and sending it costs
half of what fresh memory does. It is free again when nobody refers to it any more, which CPython
can tell; where one could not, every read would get fresh memory, and nothing would break.
"""

from __future__ import annotations

import sys

# A read smaller than this is cheaper in memory of its own.
_LEAST_BYTES = 32 * 1024
# Buffers kept: reads that are waiting to be taken by slow clients have memory of their own.
_KEPT = 8
# References to a buffer that nobody uses: the list's, the loop's, and that of the question.
_FREE = 3


class Buffers:
    """See the module. One thread."""

    def __init__(self, bytes_max: int) -> None:
        """`bytes_max`: the longest read."""
        self._bytes_max = bytes_max
        self._kept: list[bytearray] = []

    def take(self, length: int) -> memoryview:
        """Memory of that length, with any content."""
        if not _LEAST_BYTES <= length <= self._bytes_max:
            return memoryview(bytearray(length))
        for buffer in self._kept:
            if sys.getrefcount(buffer) == _FREE:
                return memoryview(buffer)[:length]
        if len(self._kept) >= _KEPT:
            return memoryview(bytearray(length))
        fresh = bytearray(self._bytes_max)
        self._kept.append(fresh)
        return memoryview(fresh)[:length]
