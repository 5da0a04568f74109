"""Keys of a branch's one ordered map: inode number (u64 BE) | kind (u8) | rest.

Byte order of keys is the order of the map, so all that belongs to one inode lies together.
FORMAT.md has the table; `TRIM` and `PAGE` exist only in layers, never in a base map.
"""

from __future__ import annotations

import struct

from xxhash import xxh3_64_intdigest

INODE = 0x01  # rest: empty                     -> inode record
SYMLINK = 0x02  # rest: empty                   -> data value (the target)
XATTR = 0x03  # rest: name                      -> data value
LINK = 0x04  # rest: parent u64 | slot u64      -> PRESENT; only where an inode has several names
DIRENT = 0x05  # rest: slot u64                 -> directory entry
TRIM = 0x06  # rest: empty                      -> first block (u64) hidden in everything below
ORPHAN = 0x07  # inode number 0; rest: ino u64  -> PRESENT; an inode without a name, held open
EXTENT = 0x08  # rest: block u64                -> data value
PAGE = 0x09  # rest: page u64                   -> up to PAGE_BYTES of data over the block's extent

GIT_ENTRY = 16  # name                 -> GitEntry; only in maps of entries (`gitrows`)

PRESENT = b"\x01"

_PREFIX = struct.Struct(">QB")
_U64 = struct.Struct(">Q")
_TWO_U64 = struct.Struct(">QQ")

prefix = _PREFIX.pack
pack_u64 = _U64.pack
pack_two_u64 = _TWO_U64.pack

PREFIX_BYTES = _PREFIX.size
ORPHANS = prefix(0, ORPHAN)

# A directory slot is the 63-bit cookie of its entry: 56 bits of name hash and 7 bits that tell
# names with the same hash apart. Slots below 128 are left to `.`, `..` and the start cookie.
SLOT_TAIL_BITS = 7
SLOT_TAIL_MASK = (1 << SLOT_TAIL_BITS) - 1


def unpack_u64(data: bytes) -> int:
    """The number in 8 big-endian bytes."""
    return int.from_bytes(data, "big")


def unpack_many_u64(data: list[bytes]) -> tuple[int, ...]:
    """The numbers in many pieces of 8 big-endian bytes."""
    return struct.unpack(f">{len(data)}Q", b"".join(data))


def split(key: bytes) -> tuple[int, int, bytes]:
    """An inode number, a kind and the rest out of a whole key."""
    ino, kind = _PREFIX.unpack_from(key)
    return ino, kind, key[PREFIX_BYTES:]


def inode_key(ino: int) -> bytes:
    """Key of an inode's attributes."""
    return _PREFIX.pack(ino, INODE)


def after(prefix_bytes: bytes) -> bytes:
    """The least key greater than every key that starts with the given prefix."""
    return (int.from_bytes(prefix_bytes, "big") + 1).to_bytes(len(prefix_bytes), "big")


def row_prefixes(ino: int) -> list[bytes]:
    """The prefixes of all that an inode can have beside its attributes and file data."""
    return [_PREFIX.pack(ino, kind) for kind in (SYMLINK, XATTR, LINK, DIRENT)]


def inode_range(ino: int) -> tuple[bytes, bytes]:
    """First key of an inode and the first key after all of its keys."""
    return _U64.pack(ino), _U64.pack(ino + 1)


def first_slot(name: bytes) -> int:
    """The slot that a name's hash points to; names that collide take the slots after it."""
    return ((xxh3_64_intdigest(name) >> 8) or 1) << SLOT_TAIL_BITS
