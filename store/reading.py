"""Reads, split in two: where the bytes are is found on the main thread, then any thread gets them.

A plan holds all that it takes: places of chunks in packs, and the bytes that are in memory. A
chunk that GC moved meanwhile is looked for again when the read is finished.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from store.errors import Damaged, StoreError
from store.memtable import Buffer
from store.pack import Location
from store.pack_reader import CACHED, NotCached, PackReader
from store.types import Data, Inode

if TYPE_CHECKING:
    from store.objects import ObjectReader


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
    """What a range of a file is made of: whole chunks, parts of others, and pieces over them.

    `fetched` is what parts were taken from, for the cache.
    """

    length: int
    whole: list[Chunk]
    parts: list[Chunk]
    pieces: list[Piece]
    fetched: list[tuple[bytes, bytes]]

    def get(
        self, packs: PackReader, take: Callable[[int], memoryview] | None, flags: int = 0
    ) -> memoryview:
        """The bytes, in memory that `take` gives, or where they are anyhow: not to be changed.

        With CACHED, raises NotCached where the disk would have to be waited for; as `fetch`.
        """
        if not self.whole:
            if len(self.parts) == 1 and not self.pieces:
                oid, location, _, start, stop = self.parts[0]
                if stop - start == self.length:
                    chunk = packs.read(oid, location, flags)
                    self.fetched.append((oid, chunk))
                    return memoryview(chunk)[start:stop]
            elif len(self.pieces) == 1 and not self.parts:
                data, _, start, stop = self.pieces[0]
                if stop - start == self.length:
                    return memoryview(data)[start:stop]
        out = memoryview(bytearray(self.length)) if take is None else take(self.length)
        if take is not None and sum(chunk.stop for chunk in self.whole) < self.length:
            out[:] = bytes(self.length)  # nothing old must show where nothing covers it
        self._fetch(packs, out, flags)
        return out

    def fetch(self, packs: PackReader) -> bytearray:
        """The bytes; holes are zeros. Any thread. Raises Damaged, StorageFailure."""
        out = bytearray(self.length)
        self._fetch(packs, memoryview(out), 0)
        return out

    def _fetch(self, packs: PackReader, out: memoryview, flags: int) -> None:
        if self.whole:
            packs.read_many(
                [(chunk.oid, chunk.location) for chunk in self.whole],
                [out[chunk.at : chunk.at + chunk.stop] for chunk in self.whole],
                flags,
            )
        for oid, location, at, start, stop in self.parts:
            chunk = packs.read(oid, location, flags)
            out[at : at + stop - start] = memoryview(chunk)[start:stop]
            self.fetched.append((oid, chunk))
        for data, at, start, stop in self.pieces:
            out[at : at + stop - start] = data[start:stop]


class ReadJob:
    """One read under way. `run` on any thread, then `finish` on the main thread."""

    __slots__ = ("_again", "_data", "_eof", "_error", "_inode", "_objects", "_plan", "_take")

    def __init__(
        self,
        inode: Inode,
        eof: bool,
        plan: ReadPlan | None,
        objects: ObjectReader,
        again: Callable[[], ReadPlan],
        take: Callable[[int], memoryview] | None,
    ) -> None:
        self._inode, self._eof, self._plan, self._objects = inode, eof, plan, objects
        self._again, self._take = again, take
        self._data: bytes | bytearray | memoryview = b""
        self._error: StoreError | None = None

    def run(self) -> None:
        """Get the bytes. Does not raise: `finish` does."""
        self._run(0)

    def run_cached(self) -> bool:
        """Get the bytes if that takes no waiting for the disk; says whether `run` need not be."""
        try:
            self._run(CACHED)
        except NotCached:
            return False
        return True

    def _run(self, flags: int) -> None:
        plan, packs = self._plan, self._objects.packs
        if plan is None:
            return
        try:
            self._data = plan.get(packs, self._take if flags == CACHED else None, flags)
        except StoreError as error:
            self._error = error

    def finish(self) -> Data:
        """The result. Raises Damaged, StorageFailure."""
        if isinstance(self._error, Damaged):
            self._data = self._again().fetch(self._objects.packs)
        elif self._error is not None:
            raise self._error
        if self._plan is not None:
            for oid, data in self._plan.fetched:
                self._objects.chunks.put(oid, data)
        return Data(self._data, self._eof, self._inode)
