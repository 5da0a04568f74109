"""The part of `checking` that looks at what an inode holds: blocks, link target, attributes.

Numbers in comments are FORMAT.md's.
"""

from __future__ import annotations

import stat
from collections.abc import Callable

from store import keys, objectid, records
from store.check_view import Group
from store.errors import Damaged
from store.pack import Location
from store.types import (
    PAGE_BYTES,
    SYMLINK_BYTES_MAX,
    XATTR_NAME_BYTES_MAX,
    XATTR_VALUE_BYTES_MAX,
    Inode,
)

Flaws = list[str]


class Values:
    """Holds data values to their form, and to what the inode says of them."""

    def __init__(
        self,
        block_bytes: int,
        find: Callable[[bytes], Location | None],
        zero_ended: set[bytes],
    ) -> None:
        """`zero_ended`: chunks known to end with a zero byte."""
        self._block_bytes, self._find, self._zero_ended = block_bytes, find, zero_ended

    def check(self, inode: Inode, group: Group, flaws: Flaws) -> None:
        """Add what is wrong with an inode's data to `flaws`."""
        target: int | None = None
        for kind, rest, value, based in group.rows:
            if kind == keys.XATTR:
                self._xattr(rest, value, based, flaws)
            elif kind == keys.SYMLINK and not rest:
                target = self._size(value, based, "link target", flaws)
        if inode.mode & 0o170000 != stat.S_IFLNK:
            if target is not None:
                flaws.append("a link target on what is no symbolic link")
        elif target != inode.size or not 0 < inode.size <= SYMLINK_BYTES_MAX:  # F8
            flaws.append(f"a target of {target or 0} bytes, size {inode.size}")
        if group.blocks or inode.used:
            self._blocks(inode, group.blocks, flaws)

    def _xattr(self, name: bytes, value: bytes, based: bool, flaws: Flaws) -> None:
        what = f"attribute {name!r}"
        if not 0 < len(name) <= XATTR_NAME_BYTES_MAX or b"\0" in name or b"." not in name:  # F9
            flaws.append(f"{what} has no good name")
        if (self._size(value, based, what, flaws) or 0) > XATTR_VALUE_BYTES_MAX:
            flaws.append(f"{what} is too large")

    def _size(self, value: bytes, canonical: bool, what: str, flaws: Flaws) -> int | None:
        """How many bytes a data value stands for, None where nobody can say (M4, M5)."""
        try:
            oid = records.chunk_of(value)
        except Damaged as error:
            flaws.append(f"{what}: {error}")
            return None
        limit = records.INLINE_BYTES_MAX
        if oid is None:
            if canonical and len(value) - 1 > limit:
                flaws.append(f"{what}: {len(value) - 1} bytes inline")
            return len(value) - 1
        location = self._find(oid)
        if location is None or location.kind != objectid.CHUNK:
            flaws.append(f"{what}: chunk {oid.hex()} is missing")
            return None
        if location.raw <= limit:
            flaws.append(f"{what}: chunk {oid.hex()} for {location.raw} bytes")
        return location.raw

    def _blocks(self, inode: Inode, blocks: list[tuple[int, bytes | None]], flaws: Flaws) -> None:
        size, block_bytes = inode.size, self._block_bytes
        regular = inode.mode & 0o170000 == stat.S_IFREG
        used = 0
        for number, value in blocks:
            room = min(block_bytes, size - number * block_bytes)
            if room <= 0 or not regular:  # F11
                flaws.append(f"block {number} lies outside of its data")
                continue
            used += -(-room // PAGE_BYTES) * PAGE_BYTES
            if value is None:
                continue
            what = f"block {number}"
            held = self._size(value, True, what, flaws)
            if held is not None and held > room:
                flaws.append(f"{what}: {held} bytes where {room} fit")
            inline = value[:1] == b"\0"
            if (inline and held and not value[-1]) or (value[1:] in self._zero_ended):  # M4
                flaws.append(f"{what}: zeros at the end")
        if used != inode.used:  # F10
            flaws.append(f"{inode.used} bytes used, its blocks make {used}")
