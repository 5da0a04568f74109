"""Reads, split in two: where the bytes are is found on the main thread, then any thread gets them.

A plan holds all that it takes: places of chunks in packs, and the bytes that are in memory. A
chunk that GC moved meanwhile is looked for again when the read is finished.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from store.errors import Damaged, StoreError
from store.memtable import Buffer
from store.pack import Location
from store.pack_reader import CACHED, NotCached, PackReader
from store.types import Data, Inode


class Piece(NamedTuple):
    """Bytes from..to of some data, to be laid at an offset of the result."""

    data: Buffer
    at: int
    start: int
    stop: int


class Chunk(NamedTuple):
    """Bytes start..stop of a stored chunk, to be laid at an offset of the result."""

    oid: bytes
    location: Location
    at: int
    start: int
    stop: int


class ReadPlan(NamedTuple):
    """What a range of a file is made of: whole chunks, parts of others, and pieces over them."""

    length: int
    whole: list[Chunk]
    parts: list[Chunk]
    pieces: list[Piece]

    def fetch(self, packs: PackReader, flags: int = 0) -> bytearray:
        """The bytes; holes are zeros. Any thread. Raises Damaged, StorageFailure; with CACHED,
        NotCached where the disk would have to be waited for."""
        out = bytearray(self.length)
        view = memoryview(out)
        if self.whole:
            packs.read_many(
                [(chunk.oid, chunk.location) for chunk in self.whole],
                [view[chunk.at : chunk.at + chunk.stop] for chunk in self.whole],
                flags,
            )
        for oid, location, at, start, stop in self.parts:
            view[at : at + stop - start] = memoryview(packs.read(oid, location, flags))[start:stop]
        for data, at, start, stop in self.pieces:
            view[at : at + stop - start] = data[start:stop]
        return out


class ReadJob:
    """One read under way. `run` on any thread, then `finish` on the main thread."""

    __slots__ = ("_again", "_data", "_eof", "_error", "_inode", "_packs", "_plan")

    def __init__(
        self,
        inode: Inode,
        eof: bool,
        plan: ReadPlan | None,
        packs: PackReader,
        again: Callable[[], ReadPlan],
    ) -> None:
        self._inode, self._eof, self._plan, self._packs = inode, eof, plan, packs
        self._again = again
        self._data: bytes | bytearray = b""
        self._error: StoreError | None = None

    def run(self) -> None:
        """Get the bytes. Does not raise: `finish` does."""
        if self._plan is None:
            return
        try:
            self._data = self._plan.fetch(self._packs)
        except StoreError as error:
            self._error = error

    def run_cached(self) -> bool:
        """Get the bytes if that takes no waiting for the disk; says whether `run` need not be."""
        if self._plan is None:
            return True
        try:
            self._data = self._plan.fetch(self._packs, CACHED)
        except NotCached:
            return False
        except StoreError as error:
            self._error = error
        return True

    def finish(self) -> Data:
        """The result. Raises Damaged, StorageFailure."""
        if isinstance(self._error, Damaged):
            self._data = self._again().fetch(self._packs)
        elif self._error is not None:
            raise self._error
        return Data(self._data, self._eof, self._inode)
