"""The part of `checking` that looks at packs and at the index of what lies in them.

It learns which objects are damaged or missing; which files they hit is found elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from store import database as db
from store import objectid
from store.errors import Damaged, StorageFailure
from store.pack import FILE_HEADER_BYTES, Location, pack_numbers, pack_path, scan
from store.pack_reader import PackReader
from store.types import Problem

if TYPE_CHECKING:
    from store.engine import Engine

_KINDS = {objectid.CHUNK: "chunk", objectid.NODE: "node", objectid.COMMIT: "commit"}


def kind_name(kind: int) -> str:
    """A word for a kind of object."""
    return _KINDS.get(kind, f"object of kind {kind}")


class Packs:
    """What the packs hold, held against the index; numbers in comments are FORMAT.md's."""

    def __init__(self, engine: Engine, data: bool, advance: Callable[[int], None]) -> None:
        self._engine, self._data, self._advance = engine, data, advance
        self._files = PackReader(engine.packs.directory)
        self._unreferred: list[Problem] = []
        self._found = 0  # records where the index says that they are
        self._good: dict[int, set[bytes]] = {}  # those of packs that a walk over headers objects to
        self.damaged: dict[bytes, Problem] = {}  # objects that the index knows, and what is wrong
        self.zero_ended: set[bytes] = set()  # chunks whose last byte is zero (with data only)

    def check(self) -> Iterator[Problem]:
        """Problems of packs; those of single objects are gathered in `damaged`."""
        engine = self._engine
        try:
            on_disk = set(pack_numbers(engine.packs.directory))
        except StorageFailure as error:
            yield Problem("packs", str(error))
            return
        known = dict(engine.packs.sizes)
        for number in sorted(on_disk - set(known)):
            yield from self._unknown(number)
        try:
            for number, size in sorted(known.items()):
                yield from self._pack(number, size)
            self._index()
        finally:
            self._files.close()
        yield from self._unreferred

    def _unknown(self, number: int) -> Iterator[Problem]:
        """P1: a pack that no table knows holds nothing, or a job is filling it now."""
        packs = self._engine.packs
        path = pack_path(packs.directory, number)
        if not packs.accounted(number) and _size_of(path) > FILE_HEADER_BYTES:
            yield Problem(f"pack {number:08x}", "no table knows it")

    def _pack(self, number: int, size: int) -> Iterator[Problem]:
        engine, where = self._engine, f"pack {number:08x}"
        flaws: list[tuple[int, str]] = []
        good: set[bytes] = set()
        on_disk = _size_of(pack_path(engine.packs.directory, number))
        if 0 <= on_disk < size:  # P2
            yield Problem(where, f"has {on_disk} bytes, {size} are known to have been written")
        try:
            for location, oid in scan(
                engine.packs.directory,
                number,
                engine.identity.id,
                lambda at, what: flaws.append((at, what)),
            ):
                if location.offset >= size:  # P3: what lies there was never referred to
                    break
                if self._record(oid, location):
                    good.add(oid)
        except StorageFailure as error:
            yield Problem(where, str(error))
        self._found += len(good)
        for at, what in flaws:
            if at < size:
                self._good[number] = good
                yield Problem(f"{where} offset {at}", what)

    def _record(self, oid: bytes, location: Location) -> bool:
        """Look at a record; says whether the index refers to it."""
        engine = self._engine
        referred = engine.index.find(oid, engine.reader) == location
        self._advance(1)
        if not self._data:
            return referred
        try:
            self._verify(oid, location)  # P5
        except StorageFailure as error:
            problem = problem_of(oid, error, location.kind)
            if referred:
                self.damaged[oid] = problem
            else:
                what = f"{problem.what}; the index knows no such record"
                self._unreferred.append(problem._replace(what=what))
        return referred

    def _verify(self, oid: bytes, location: Location) -> None:
        data = self._files.read(oid, location)
        if location.kind not in _KINDS:
            raise Damaged(f"{place(oid, location)}: kind {location.kind} is unknown")
        if objectid.object_id(location.kind, data) != oid:
            raise Damaged(f"{place(oid, location)}: the bytes are not those that the id names")
        if location.kind == objectid.CHUNK and data[-1:] == b"\0":
            self.zero_ended.add(oid)

    def _index(self) -> None:
        """P4: every object lies where the index says. Looked for singly only if some do not."""
        engine = self._engine
        count = 0
        for _ in self._entries():
            count += 1
        if count == self._found:
            return
        for oid, location in self._entries():
            if oid in self.damaged:
                continue
            size = engine.packs.sizes.get(location.pack)
            if size is None or location.end > size:
                what = "the index has it where no table knows of a pack, or behind the pack's end"
                self.damaged[oid] = Problem(place(oid, location), what)
                continue
            try:
                self._files.read_stored(oid, location)
            except StorageFailure as error:
                self.damaged[oid] = problem_of(oid, error, location.kind)
                continue
            good = self._good.get(location.pack)
            if good is not None and oid not in good:
                what = f"{kind_name(location.kind)}: the header is damaged, the payload is not"
                self.damaged[oid] = Problem(place(oid, location), what)

    def _entries(self) -> Iterator[tuple[bytes, Location]]:
        """All that the index knows, recent changes in front of the database."""
        index, reader = self._engine.index, self._engine.reader
        recent = {**index._checkpointing, **index._recent}
        for oid, location in recent.items():
            if location is not None:
                yield oid, location
        for oid, value in reader.all(db.OBJECTS):
            if oid not in recent:
                yield oid, Location.from_bytes(value)


def _size_of(path: str) -> int:
    """A file's size, -1 where there is none that can be asked."""
    try:
        return os.stat(path).st_size
    except OSError:
        return -1


def place(oid: bytes, location: Location) -> str:
    """Where an object lies, in words."""
    return f"pack {location.pack:08x} offset {location.offset} object {oid.hex()}"


def problem_of(oid: bytes, error: StorageFailure, kind: int) -> Problem:
    """An error from reading an object, which mostly names the place first, as a finding."""
    where, _, what = str(error).partition(": ")
    if oid.hex() in where and what:
        return Problem(where, f"{kind_name(kind)}: {what}")
    return Problem(f"object {oid.hex()}", f"{kind_name(kind)}: {error}")
