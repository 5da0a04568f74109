"""Packs (gitformat-pack(5)): a stream of whole objects, and the bare repository of an export.

Objects are compressed, not deltified: they are made one by one as they are sent, in memory that
does not grow with them.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from dulwich.pack import write_pack_index_v2

from gitdoor.graph import History
from gitdoor.reaching import Item
from gitdoor.source import Large
from store.errors import Exists
from store.gitrows import BLOB, TREE

# More is not worth its time: who keeps the pack repacks it.
_LEVEL = 1
_FLUSH_BYTES = 64 * 1024


class Packed(NamedTuple):
    """An object in a pack: its id, where it begins, and the CRC of what stands there."""

    id: bytes
    offset: int
    crc32: int


def pack(
    history: History, items: Sequence[Item], index: list[Packed] | None = None
) -> Iterator[bytes]:
    """The bytes of a pack, in pieces; `index` gets what an index is made of."""
    whole = hashlib.sha1(usedforsecurity=False)
    held = bytearray(b"PACK" + (2).to_bytes(4, "big") + len(items).to_bytes(4, "big"))
    at = 0  # of what was yielded already
    for item in items:
        start, crc = at + len(held), 0
        for piece in _packed(history, item):
            held += piece
            if index is not None:
                crc = zlib.crc32(piece, crc)
            if len(held) >= _FLUSH_BYTES:
                done = bytes(held)
                whole.update(done)
                at += len(done)
                held.clear()
                yield done
        if index is not None:
            index.append(Packed(item.id, start, crc))
    done = bytes(held)
    whole.update(done)
    yield done + whole.digest()


def _packed(history: History, item: Item) -> Iterator[bytes]:
    data = content(history, item)
    if not isinstance(data, Large):
        yield _head(item.kind, len(data)) + zlib.compress(data, _LEVEL)
        return
    yield _head(item.kind, data.size)
    packer = zlib.compressobj(_LEVEL)
    for piece in data.pieces:
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()


def content(history: History, item: Item) -> bytes | Large:
    """The bytes of an object."""
    if item.record is None:
        return item.raw() if callable(item.raw) else item.raw
    if item.kind == TREE:
        return history.tree(item.record, item.ino)
    assert item.kind == BLOB
    return history.blob(item.record, item.ino)


def _head(kind: int, size: int) -> bytes:
    """An entry's kind and size: 4 bits of it, then 7 at a time."""
    byte, size = kind << 4 | size & 0x0F, size >> 4
    found = bytearray()
    while size:
        found.append(byte | 0x80)
        byte, size = size & 0x7F, size >> 7
    found.append(byte)
    return bytes(found)


# --- a bare repository ------------------------------------------------------------------------


class Ref(NamedTuple):
    """A line of packed-refs: full name, id, and for a tag object what it leads to."""

    name: bytes
    id: bytes
    peeled: bytes | None


def write_repository(
    path: Path,
    history: History,
    items: Sequence[Item],
    refs: Iterable[Ref],
    head: bytes,
    shallow: Iterable[bytes],
    advance: Callable[[int], None],
) -> None:
    """Make a bare repository, in a directory that is missing or empty. Raises Exists, OSError."""
    if path.exists() and any(path.iterdir()):
        raise Exists(f"{str(path)!r} is not empty")
    for folder in ("objects/pack", "objects/info", "refs/heads", "refs/tags"):
        (path / folder).mkdir(parents=True, exist_ok=True)
    (path / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = true\n", "utf-8")
    if items:
        _write_pack(path / "objects" / "pack", history, items, advance)
    lines = [b"# pack-refs with: peeled fully-peeled sorted \n"]
    for ref in sorted(refs):
        lines.append(b"%s %s\n" % (ref.id.hex().encode(), ref.name))
        if ref.peeled is not None:
            lines.append(b"^%s\n" % ref.peeled.hex().encode())
    (path / "packed-refs").write_bytes(b"".join(lines))
    if cut := [oid.hex().encode() + b"\n" for oid in sorted(shallow)]:
        (path / "shallow").write_bytes(b"".join(cut))
    # Last: it is what makes the directory a repository.
    (path / "HEAD").write_bytes(b"ref: " + head + b"\n")


def _write_pack(
    folder: Path, history: History, items: Sequence[Item], advance: Callable[[int], None]
) -> None:
    index: list[Packed] = []
    draft = folder / "tmp_pack"
    told = 0
    with draft.open("wb") as file:
        for piece in pack(history, items, index):
            file.write(piece)
            advance(len(index) - told)
            told = len(index)
        file.flush()
        os.fsync(file.fileno())
        checksum = piece[-20:]
    name = folder / f"pack-{checksum.hex()}"
    with name.with_suffix(".idx").open("wb") as file:
        write_pack_index_v2(file, sorted(index), checksum)
    draft.rename(name.with_suffix(".pack"))
