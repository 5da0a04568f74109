"""Blocks: from the pages of a file to the value of an extent, in its one canonical form.

The data of a block is its bytes without trailing zeros; up to INLINE_BYTES_MAX they stand in the
extent itself, beyond that in a chunk. So the value depends on what the block reads as alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, cast

from store.memtable import Buffer, Changes
from store.records import INLINE_BYTES_MAX, chunk_value, inline_value
from store.types import PAGE_BYTES

PutChunk = Callable[[Buffer], bytes]


class _Whole(NamedTuple):
    """A block and its pages from `first` on, None where there is none."""

    ino: int
    block: int
    first: int
    parts: list[Buffer | None]


class Stored(NamedTuple):
    """A block whose pages, from `first` on, became an extent."""

    ino: int
    block: int
    first: int
    parts: list[Buffer | None]
    value: bytes


def data_value(data: Buffer, put_chunk: PutChunk) -> bytes:
    """The data value of some bytes, as they are: inline, or a chunk that is stored now."""
    if len(data) <= INLINE_BYTES_MAX:
        return inline_value(bytes(data))
    return chunk_value(put_chunk(data))


def extent_value(data: bytes, put_chunk: PutChunk) -> bytes:
    """The extent value of a block that reads as `data`, followed by zeros."""
    return data_value(without_zeros(data), put_chunk)


def without_zeros(data: bytes) -> bytes:
    """A block's bytes up to the last that is not zero."""
    return data if data[-1:] != b"\0" else data.rstrip(b"\0")


def lay_over(old: bytes, pages: Iterable[tuple[int, Buffer]], block_bytes: int) -> bytes:
    """A block's bytes with pages, numbered from the block's start, written over them."""
    out = bytearray(block_bytes)
    out[: len(old)] = old
    for page, data in pages:
        start = page * PAGE_BYTES
        out[start : start + len(data)] = data
    return bytes(out)


def store_blocks(
    changes: Changes, block_bytes: int, put_chunk: PutChunk
) -> tuple[Changes, list[Stored]]:
    """Turn pages into extents wherever they say all about their block.

    They do where they cover it up to the end of the file, or lie on an inline extent of the same
    changes. Says the changes as they then are (sharing what stayed) and what was turned.
    """
    stored = [
        Stored(*whole, data_value(data, put_chunk))
        for whole, data in _whole_blocks(changes, block_bytes)
    ]
    return _with_extents(changes, stored), stored


def _whole_blocks(changes: Changes, block_bytes: int) -> Iterator[tuple[_Whole, Buffer]]:
    """Blocks that the pages of a file say all about, and their bytes without trailing zeros."""
    per_block = block_bytes // PAGE_BYTES
    for ino, pages in changes.pages.items():
        inode = changes.inodes.get(ino)
        if inode is None:
            continue
        extents = changes.extents.get(ino, {})
        end = -(-inode.size // PAGE_BYTES)
        for block in dict.fromkeys([page // per_block for page in pages]):
            first = block * per_block
            parts = list(map(pages.get, range(first, min(first + per_block, end))))
            if None not in parts and parts:
                data = b"".join(cast("list[Buffer]", parts))
            else:
                below = extents.get(block)
                if below is None or below[:1] != b"\0":
                    continue
                parts = list(map(pages.get, range(first, first + per_block)))
                over = [(page, part) for page, part in enumerate(parts) if part is not None]
                data = lay_over(below[1:], over, block_bytes)
            yield _Whole(ino, block, first, parts), without_zeros(data)


def _with_extents(changes: Changes, stored: list[Stored]) -> Changes:
    """The changes with extents in place of the pages that they were made of."""
    result = Changes()
    result.inodes, result.rows, result.trims = changes.inodes, changes.rows, changes.trims
    result.extents, result.pages = dict(changes.extents), dict(changes.pages)
    for item in stored:
        if result.extents.get(item.ino) is changes.extents.get(item.ino):
            result.extents[item.ino] = dict(changes.extents.get(item.ino, {}))
            result.pages[item.ino] = dict(changes.pages[item.ino])
        result.extents[item.ino][item.block] = item.value
        pages = result.pages[item.ino]
        for page in range(item.first, item.first + len(item.parts)):
            pages.pop(page, None)
    return result
