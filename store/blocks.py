"""Blocks: from the pages of a file to the value of an extent, in its one canonical form.

The data of a block is its bytes without trailing zeros; up to INLINE_BYTES_MAX they stand in the
extent itself, beyond that in a chunk. So the value depends on what the block reads as alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from store.memtable import Buffer, Changes
from store.records import INLINE_BYTES_MAX, chunk_value, inline_value
from store.types import PAGE_BYTES

PutChunk = Callable[[Buffer], bytes]


class Stored(NamedTuple):
    """A block whose pages became an extent."""

    ino: int
    block: int
    pages: list[tuple[int, Buffer]]
    value: bytes


def data_value(data: Buffer, put_chunk: PutChunk) -> bytes:
    """The data value of some bytes, as they are: inline, or a chunk that is stored now."""
    if len(data) <= INLINE_BYTES_MAX:
        return inline_value(bytes(data))
    return chunk_value(put_chunk(data))


def extent_value(data: Buffer, put_chunk: PutChunk) -> bytes:
    """The extent value of a block that reads as `data`, followed by zeros."""
    if data[-1:] == b"\0":
        data = bytes(data).rstrip(b"\0")
    return data_value(data, put_chunk)


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
    result = Changes()
    result.inodes, result.rows, result.trims = changes.inodes, changes.rows, changes.trims
    result.extents, result.pages = dict(changes.extents), dict(changes.pages)
    stored: list[Stored] = []
    for ino, pages in changes.pages.items():
        inode = changes.inodes.get(ino)
        if inode is None or not pages:
            continue
        extents = changes.extents.get(ino, {})
        found = _whole_blocks(ino, inode.size, pages, extents, block_bytes, put_chunk)
        if found:
            gone = {page for item in found for page, _ in item.pages}
            result.pages[ino] = {p: data for p, data in pages.items() if p not in gone}
            result.extents[ino] = {**extents, **{item.block: item.value for item in found}}
            stored += found
    return result, stored


def _whole_blocks(
    ino: int,
    size: int,
    pages: dict[int, Buffer],
    extents: dict[int, bytes | None],
    block_bytes: int,
    put_chunk: PutChunk,
) -> list[Stored]:
    per_block = block_bytes // PAGE_BYTES
    stored = []
    for block in sorted({page // per_block for page in pages}):
        first = block * per_block
        stop = min(first + per_block, -(-size // PAGE_BYTES))
        parts = [pages.get(page) for page in range(first, stop)]
        if None not in parts and parts:
            numbered = list(zip(range(first, stop), parts, strict=True))
            data: Buffer = b"".join(parts)  # type: ignore[arg-type]
        else:
            below = extents.get(block)
            if below is None or below[:1] != b"\0":
                continue
            numbered = [(p, pages[p]) for p in range(first, first + per_block) if p in pages]
            data = lay_over(below[1:], [(p - first, d or b"") for p, d in numbered], block_bytes)
        value = extent_value(data, put_chunk)
        stored.append(Stored(ino, block, numbered, value))  # type: ignore[arg-type]
    return stored
