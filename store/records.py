"""The values of the store's tables as bytes, each layout declared once (FORMAT.md has them too).

Integers are big-endian. Text is UTF-8 behind a u32 length.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from store.errors import Damaged
from store.types import Inode, Quota, Usage, Who

ID_BYTES = 32
NO_ID = bytes(ID_BYTES)

# --- map values -------------------------------------------------------------------------------

INODE_RECORD = struct.Struct(">IIIIQQIIqqqqQQQ")
_DIRENT_HEAD = struct.Struct(">QB")

OVERFLOW = 0x80  # on a hash's first slot: other names of the same hash follow in its tail
DATA_INLINE = 0
DATA_CHUNK = 1
INLINE_BYTES_MAX = 256
EMPTY_DATA = b"\0"


def encode_inode(inode: Inode) -> bytes:
    """An inode's record; its number is in the key."""
    return INODE_RECORD.pack(*inode[1:])


def decode_inode(ino: int, record: bytes) -> Inode:
    """The inode of a record. Raises Damaged when the record has another length."""
    if len(record) != INODE_RECORD.size:
        raise Damaged(f"inode {ino}: its record has {len(record)} bytes")
    return Inode(ino, *INODE_RECORD.unpack(record))


class Dirent(NamedTuple):
    """A directory entry. `ino` 0 marks a first slot kept only because others follow it."""

    ino: int
    type: int  # S_IFMT bits
    overflow: bool
    name: bytes


def encode_dirent(ino: int, type_bits: int, name: bytes, overflow: bool = False) -> bytes:
    """A directory entry's value."""
    return _DIRENT_HEAD.pack(ino, type_bits >> 12 | (OVERFLOW if overflow else 0)) + name


def decode_dirent(value: bytes) -> Dirent:
    """The directory entry of a value. Raises Damaged when it is too short."""
    if len(value) < _DIRENT_HEAD.size:
        raise Damaged(f"a directory entry has {len(value)} bytes")
    ino, flags = _DIRENT_HEAD.unpack_from(value)
    return Dirent(ino, (flags & 0x0F) << 12, flags & OVERFLOW != 0, value[9:])


def inline_value(data: bytes | memoryview) -> bytes:
    """A data value that holds its bytes."""
    return b"\0" + data


def chunk_value(oid: bytes) -> bytes:
    """A data value that refers to a chunk."""
    return b"\x01" + oid


def chunk_of(value: bytes) -> bytes | None:
    """The chunk id that a data value refers to, None when it holds the bytes itself."""
    if value[:1] == b"\x01" and len(value) == 1 + ID_BYTES:
        return value[1:]
    if value[:1] == b"\0":
        return None
    raise Damaged(f"a data value of {len(value)} bytes has no known form")


# --- store tables -----------------------------------------------------------------------------


def _text(value: str) -> bytes:
    data = value.encode("utf-8", "surrogateescape")
    return struct.pack(">I", len(data)) + data


class _Reader:
    """Takes fields off a record, front to back."""

    def __init__(self, data: bytes, what: str) -> None:
        self._data, self._at, self._what = data, 0, what

    def take(self, fields: struct.Struct) -> tuple[int, ...]:
        try:
            values = fields.unpack_from(self._data, self._at)
        except struct.error:
            raise Damaged(f"{self._what} record ends too early") from None
        self._at += fields.size
        return values

    def raw(self, length: int) -> bytes:
        data = self._data[self._at : self._at + length]
        if len(data) != length:
            raise Damaged(f"{self._what} record ends too early")
        self._at += length
        return data

    def text(self) -> str:
        (length,) = self.take(_U32)
        return self.raw(length).decode("utf-8", "surrogateescape")

    def end(self) -> None:
        if self._at != len(self._data):
            raise Damaged(f"{self._what} record has bytes left over")


_U32 = struct.Struct(">I")
_TIME = struct.Struct(">q")
_HEAD = struct.Struct(">QQQQ")
_BRANCH = struct.Struct(">qQQ")
_LAYER = struct.Struct(">QBQQQ")
_SNAPSHOT = struct.Struct(">QQQQQ")
_COMMIT = struct.Struct(">QQQH")


class Head(NamedTuple):
    """Value of a branch's ref: which branch it is and where it points now."""

    branch: int
    layer: int
    snapshot: int  # newest snapshot below the live layer, 0 if none
    root_ino: int

    def encode(self) -> bytes:
        return _HEAD.pack(*self)

    @classmethod
    def decode(cls, data: bytes) -> Head:
        reader = _Reader(data, "head")
        head = cls(*reader.take(_HEAD))
        reader.end()
        return head


class BranchRecord(NamedTuple):
    """What a branch keeps beside its head."""

    created_ns: int
    quota: Quota

    def encode(self) -> bytes:
        return _BRANCH.pack(self.created_ns, *self.quota)

    @classmethod
    def decode(cls, data: bytes) -> BranchRecord:
        reader = _Reader(data, "branch")
        created_ns, bytes_max, inodes_max = reader.take(_BRANCH)
        reader.end()
        return cls(created_ns, Quota(bytes_max, inodes_max))


class LayerRecord(NamedTuple):
    """A layer: its parent layer or base root, and, once sealed, its own root.

    `root` NO_ID means not sealed; `base` counts only where `parent` is 0. `rows` is how many rows
    it was given in the database, those replaced counted again.
    """

    parent: int
    frozen: bool
    usage: Usage
    rows: int
    base: bytes
    root: bytes

    def encode(self) -> bytes:
        fixed = _LAYER.pack(self.parent, self.frozen, *self.usage, self.rows)
        return fixed + self.base + self.root

    @classmethod
    def decode(cls, data: bytes) -> LayerRecord:
        reader = _Reader(data, "layer")
        parent, frozen, used_bytes, inodes, rows = reader.take(_LAYER)
        base, root = reader.raw(ID_BYTES), reader.raw(ID_BYTES)
        reader.end()
        return cls(parent, bool(frozen), Usage(used_bytes, inodes), rows, base, root)


class SnapshotRecord(NamedTuple):
    """A snapshot: a frozen layer (or, for an imported one, only a commit) with its story.

    `commit` NO_ID means not sealed yet.
    """

    branch: int
    layer: int
    parent: int  # snapshot id, 0 if none
    root_ino: int
    made: int  # ordinal of the snapshot among all of the store
    commit: bytes
    parent_commit: bytes  # NO_ID: the parent snapshot's commit, or none
    name: str
    author: Who
    committer: Who
    message: str

    def encode(self) -> bytes:
        fixed = _SNAPSHOT.pack(self.branch, self.layer, self.parent, self.root_ino, self.made)
        return b"".join(
            (
                fixed,
                self.commit,
                self.parent_commit,
                _text(self.name),
                encode_who(self.author),
                encode_who(self.committer),
                _text(self.message),
            )
        )

    @classmethod
    def decode(cls, data: bytes) -> SnapshotRecord:
        reader = _Reader(data, "snapshot")
        branch, layer, parent, root_ino, made = reader.take(_SNAPSHOT)
        commit, parent_commit = reader.raw(ID_BYTES), reader.raw(ID_BYTES)
        name, author = reader.text(), _who(reader)
        committer, message = _who(reader), reader.text()
        reader.end()
        return cls(
            branch,
            layer,
            parent,
            root_ino,
            made,
            commit,
            parent_commit,
            name,
            author,
            committer,
            message,
        )


class Commit(NamedTuple):
    """A commit object: a map's root and its place in history."""

    root: bytes
    root_ino: int
    usage: Usage
    parents: tuple[bytes, ...]
    author: Who
    committer: Who
    message: str

    def encode(self) -> bytes:
        fixed = _COMMIT.pack(self.root_ino, *self.usage, len(self.parents))
        return b"".join(
            (
                self.root,
                fixed,
                *self.parents,
                encode_who(self.author),
                encode_who(self.committer),
                _text(self.message),
            )
        )

    @classmethod
    def decode(cls, data: bytes) -> Commit:
        reader = _Reader(data, "commit")
        root = reader.raw(ID_BYTES)
        root_ino, used_bytes, inodes, count = reader.take(_COMMIT)
        parents = tuple(reader.raw(ID_BYTES) for _ in range(count))
        author, committer, message = _who(reader), _who(reader), reader.text()
        reader.end()
        return cls(root, root_ino, Usage(used_bytes, inodes), parents, author, committer, message)


def encode_who(who: Who) -> bytes:
    """Author or committer inside a record."""
    return _text(who.name) + _TIME.pack(who.time_ns)


def _who(reader: _Reader) -> Who:
    name = reader.text()
    (time_ns,) = reader.take(_TIME)
    return Who(name, time_ns)
