"""File handles: what a client holds in place of an open file (RFC 1813 2.3.3).

A handle names a store, a branch, a snapshot of it (0: the branch as it is), the directory whose
export it was given for, and an inode. A keyed hash over all of that keeps it from being made up or
changed, so that a handle opens nothing but the export it was given for. It says nothing of paths
or of the gateway's start, so it survives renames and restarts.

    version u8 | 3 zero bytes | store 8 bytes | branch u64 | snapshot u64 | root u64 | inode u64 |
    BLAKE3, keyed, of all before it, 16 bytes: 60 bytes in all, of the 64 that there may be
"""

from __future__ import annotations

import struct
from hmac import compare_digest
from typing import NamedTuple

from blake3 import blake3

VERSION = 1
KEY_BYTES = 32
HANDLE_BYTES = 60
_MAC_BYTES = 16
_BODY = struct.Struct("!B3x8sQQQQ")
_BODY_BYTES = _BODY.size
_INODE_AT = _BODY_BYTES - 8
_INODE = struct.Struct("!Q")


class BadHandle(ValueError):
    """Bytes that this store never gave to anybody as a handle."""


class Volume(NamedTuple):
    """What a handle opens: one tree, from one directory on."""

    branch: int
    snapshot: int
    root: int


class Handles:
    """Makes and reads the handles of one store."""

    def __init__(self, store: bytes, key: bytes) -> None:
        """`store` is the store's id (its first 8 bytes count), `key` 32 secret bytes."""
        self._store = store[:8].ljust(8, b"\0")
        self._keyed = blake3(key=key)

    def prefix(self, volume: Volume) -> bytes:
        """What all handles of a volume start with."""
        return _BODY.pack(VERSION, self._store, *volume, 0)[:_INODE_AT]

    def make(self, prefix: bytes, ino: int) -> bytes:
        """The handle of an inode in the volume that has the prefix."""
        body = prefix + _INODE.pack(ino)
        return body + self._mac(body)

    def _mac(self, body: bytes) -> bytes:
        keyed = self._keyed.copy()  # half the price of keying anew
        keyed.update(body)
        return keyed.digest(_MAC_BYTES)

    def parse(self, handle: bytes) -> tuple[bytes, int]:
        """A handle's prefix and inode number. Raises BadHandle."""
        if len(handle) != HANDLE_BYTES:
            raise BadHandle(f"a handle of {len(handle)} bytes")
        body = handle[:_BODY_BYTES]
        if not compare_digest(self._mac(body), handle[_BODY_BYTES:]):
            raise BadHandle("a handle that was never given out")
        return body[:_INODE_AT], int.from_bytes(body[_INODE_AT:], "big")

    def volume(self, prefix: bytes) -> Volume:
        """The volume of a genuine handle's prefix. Raises BadHandle: another version or store."""
        version, store, *numbers, _ = _BODY.unpack(prefix + bytes(8))
        if version != VERSION or store != self._store:
            raise BadHandle("a handle of another store or version")
        return Volume(*numbers)
