"""Objects that git wrote into an annex, read on any thread once the annex's state is stored.

Nothing that git, or anybody, put there is taken on trust: an object is what its id says, in the one
form that git's own checks pass, or it is refused.
"""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from dulwich.errors import ObjectFormatException
from dulwich.objects import ShaFile

from gitdoor.content import blob_pieces
from gitdoor.entries import listing, tree_of
from gitdoor.graph import History, Missing
from gitdoor.mapping import Live
from gitdoor.objects import KINDS, BadObject, hasher, object_id
from gitdoor.source import PIECE_BYTES, Found, Large, Repository, new_repository
from gitdoor.work import Work
from store import errors
from store.engine import Engine
from store.gitrows import BLOB, TREE
from store.node import NodeSource
from store.scratch import Scratch
from store.tree import Tree
from store.types import Inode, Usage

# What stands before an object's bytes: its kind, its length in digits, and a NUL.
_PREFIX_BYTES_MAX = 32
# The longest object but for a blob, which is streamed: a tree of some millions of entries.
_WHOLE_BYTES_MAX = 256 << 20


class Written:
    """The objects of an annex, and those that the store has. A `source.Source`."""

    def __init__(self, engine: Engine, work: Work, root: bytes, root_ino: int) -> None:
        """`root` is the annex's map."""
        self._view, self._block_bytes = work.view, engine.block_bytes
        self._history = History(engine, work.view, work.stored)
        scratch = Scratch(engine, work.view, work.writer, work.numbers)
        self._tree: Tree = scratch.tree_over(root, root_ino, Usage(0, 0))
        self._root = root
        self._nodes: NodeSource = scratch.nodes
        self._live: Live | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._packs: Repository | None = None

    def know(self, live: Live) -> None:
        """Have the trees of what is mounted as well."""
        self._live = live

    def read(self, ids: Sequence[bytes]) -> Iterator[Found]:
        """See `source.Source`. Raises BadObject, NotFound."""
        for oid in ids:
            yield self._read(oid)

    def _read(self, oid: bytes) -> Found:
        try:
            return oid, *self._history.read(oid)
        except Missing:
            pass
        live = self._live
        if live is not None and oid in live.trees:
            found = listing(self._nodes, live.record.entries, live.trees[oid])
            return oid, TREE, tree_of(found)
        return self._loose(oid) or self._packed(oid)

    # --- loose objects (gitformat-loose(5)) ---------------------------------------------------

    def _loose(self, oid: bytes) -> Found | None:
        name = oid.hex().encode()
        inode = self._find(b"objects/" + name[:2] + b"/" + name[2:])
        if inode is None:
            return None
        try:
            pieces = self._inflated(inode)
            head = next(pieces)
            prefix, nul, rest = head.partition(b"\0")
            kind, size = prefix.split(b" ")
            if not nul or len(prefix) >= _PREFIX_BYTES_MAX:
                raise ValueError
            return checked(oid, KINDS[kind], int(size), _all(rest, pieces))
        except (ValueError, KeyError, StopIteration, zlib.error):
            raise BadObject(f"the loose object {oid.hex()} is damaged") from None

    def _find(self, path: bytes) -> Inode | None:
        try:
            return self._tree.resolve(path)
        except (errors.NotFound, errors.NotDirectory):
            return None

    def _bytes(self, inode: Inode) -> Iterator[bytes]:
        return blob_pieces(self._view, self._view, self._root, inode, self._block_bytes)

    def _inflated(self, inode: Inode) -> Iterator[bytes]:
        """What a file holds, inflated, in pieces that are not long; the first has the prefix."""
        inflate = zlib.decompressobj()
        for data in self._bytes(inode):
            while data and not inflate.eof:
                piece = inflate.decompress(data, PIECE_BYTES)
                data = inflate.unconsumed_tail
                if piece:
                    yield piece
        while not inflate.eof:
            piece = inflate.decompress(inflate.unconsumed_tail, PIECE_BYTES)
            if not piece:
                raise BadObject("a loose object ends early")
            yield piece

    # --- packs (gitformat-pack(5)) ------------------------------------------------------------

    def _packed(self, oid: bytes) -> Found:
        """An object out of the packs that git has fetched, by way of stock git."""
        if self._packs is None:
            self._folder = tempfile.TemporaryDirectory(prefix="fsgw-packs-")
            path = Path(self._folder.name)
            new_repository(path)
            self._copy_packs(path / "objects" / "pack")
            self._packs = Repository(path)
        try:
            ((_, kind, data),) = self._packs.read([oid])
        except errors.NotFound:
            raise errors.NotFound(f"missing necessary objects: {oid.hex()}") from None
        if isinstance(data, Large):
            return checked(oid, kind, data.size, data.pieces)
        return checked(oid, kind, len(data), iter([data]))

    def _copy_packs(self, target: Path) -> None:
        target.mkdir(parents=True, exist_ok=True)
        directory = self._find(b"objects/pack")
        for entry in () if directory is None else self._tree.entries(directory.ino):
            if entry.name.endswith((b".pack", b".idx")):
                with (target / os.fsdecode(entry.name)).open("wb") as file:
                    for piece in self._bytes(self._tree.getattr(entry.ino)):
                        file.write(piece)

    def close(self) -> None:
        """Let go of what was copied."""
        if self._packs is not None:
            self._packs.close()
        if self._folder is not None:
            self._folder.cleanup()


def _all(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest


def checked(oid: bytes, kind: int, size: int, pieces: Iterator[bytes]) -> Found:
    """An object, if it is what its id says. Raises BadObject; of a long blob, at its end."""
    if size > PIECE_BYTES and kind == BLOB:
        return oid, kind, Large(size, _hashed(oid, size, pieces))
    if size > _WHOLE_BYTES_MAX:
        raise BadObject(f"object {oid.hex()} has {size} bytes")
    data = bytearray()
    for piece in pieces:
        data += piece
        if len(data) > size:
            break
    raw = bytes(data)
    if len(raw) != size or object_id(kind, raw) != oid:
        raise BadObject(f"object {oid.hex()} is not what its id says")
    if kind != BLOB:
        try:
            ShaFile.from_raw_string(kind, raw).check()
        except ObjectFormatException as error:
            raise BadObject(f"object {oid.hex()}: {error}") from None
    return oid, kind, raw


def _hashed(oid: bytes, size: int, pieces: Iterator[bytes]) -> Iterator[bytes]:
    found = hasher(BLOB, size)
    for piece in pieces:
        found.update(piece)
        yield piece
    if found.digest() != oid:
        raise BadObject(f"object {oid.hex()} is not what its id says")
