"""Contents of files and links, read out of a commit's map on any thread, with its own reader."""

from __future__ import annotations

from collections.abc import Iterator

from store import keys, prolly, records
from store.errors import Damaged
from store.node import NodeSource
from store.objects import ObjectReader
from store.types import Inode

_ZEROS = bytes(1 << 16)


def inode_at(nodes: NodeSource, root: bytes, ino: int) -> Inode:
    """An inode of a map. Raises Damaged where it is not there."""
    value = prolly.get(nodes, root, keys.inode_key(ino))
    if value is None:
        raise Damaged(f"inode {ino} is missing in a commit's map")
    return records.decode_inode(ino, value)


def blob_pieces(
    nodes: NodeSource, view: ObjectReader, root: bytes, inode: Inode, block_bytes: int
) -> Iterator[bytes]:
    """The bytes of a regular file, a block at most at a time."""
    start = keys.prefix(inode.ino, keys.EXTENT)
    at = 0
    for key, value in prolly.items(nodes, root, start, keys.after(start)):
        offset = keys.unpack_u64(key[keys.PREFIX_BYTES :]) * block_bytes
        yield from _hole(offset - at)
        data = _data(view, value)
        if data:
            yield data
        at = offset + len(data)
    yield from _hole(inode.size - at)


def _hole(length: int) -> Iterator[bytes]:
    while length > 0:
        yield _ZEROS[:length]
        length -= len(_ZEROS)


def _data(view: ObjectReader, value: bytes) -> bytes:
    oid = records.chunk_of(value)
    return value[1:] if oid is None else view.get(oid)


def link_target(nodes: NodeSource, view: ObjectReader, root: bytes, ino: int) -> bytes:
    """Where a symbolic link leads."""
    value = prolly.get(nodes, root, keys.prefix(ino, keys.SYMLINK))
    return _data(view, value or records.EMPTY_DATA)


def xattrs(
    nodes: NodeSource, view: ObjectReader, root: bytes, ino: int
) -> Iterator[tuple[bytes, bytes]]:
    """The extended attributes of an inode, in byte order of their names."""
    start = keys.prefix(ino, keys.XATTR)
    for key, value in prolly.items(nodes, root, start, keys.after(start)):
        yield key[keys.PREFIX_BYTES :], _data(view, value)


def path_in(nodes: NodeSource, root: bytes, top: int, ino: int) -> list[bytes] | None:
    """The names that lead from one directory of a map down to another; None where none do."""
    found: list[bytes] = []
    while ino != top:
        value = prolly.get(nodes, root, keys.inode_key(ino))
        inode = None if value is None else records.decode_inode(ino, value)
        if inode is None or not inode.parent:
            return None
        key = keys.prefix(inode.parent, keys.DIRENT) + keys.pack_u64(inode.slot)
        value = prolly.get(nodes, root, key)
        if value is None:
            return None
        found.insert(0, records.decode_dirent(value).name)
        ino = inode.parent
    return found
