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
from store.pack import Location, pack_numbers, pack_path, scan
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
        self._found = 0  # records where the index says that they are
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
        for number in sorted(on_disk - set(known) - engine.packs.busy()):
            yield Problem(f"pack {number:08x}", "no table knows it")  # P1
        try:
            for number, size in sorted(known.items()):
                yield from self._pack(number, size)
        finally:
            self._files.close()
        yield from self._index()

    def _pack(self, number: int, size: int) -> Iterator[Problem]:
        engine, where = self._engine, f"pack {number:08x}"
        flaws: list[tuple[int, str]] = []
        path = pack_path(engine.packs.directory, number)
        try:
            on_disk = os.stat(path).st_size
        except OSError as error:
            yield Problem(where, f"cannot be read: {error.strerror}")
            return
        if on_disk < size:  # P2
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
                self._record(oid, location)
        except StorageFailure as error:
            yield Problem(where, str(error))
        for at, what in flaws:
            if at < size:
                yield Problem(f"{where} offset {at}", what)

    def _record(self, oid: bytes, location: Location) -> None:
        engine = self._engine
        referred = engine.index.find(oid, engine.reader) == location
        self._found += referred
        self._advance(1)
        if not self._data:
            return
        try:
            self._verify(oid, location)  # P5
        except StorageFailure as error:
            problem = problem_of(error, location.kind)
            self.damaged.setdefault(oid, problem)
            if not referred:
                what = f"{problem.what} (nothing refers to it)"
                self.damaged[oid] = problem._replace(what=what)

    def _verify(self, oid: bytes, location: Location) -> None:
        data = self._files.read(oid, location)
        if location.kind not in _KINDS:
            raise Damaged(f"{place(oid, location)}: kind {location.kind} is unknown")
        if objectid.object_id(location.kind, data) != oid:
            raise Damaged(f"{place(oid, location)}: the bytes are not those that the id names")
        if location.kind == objectid.CHUNK and data[-1:] == b"\0":
            self.zero_ended.add(oid)

    def _index(self) -> Iterator[Problem]:
        """P4: every object lies where the index says. Looked at one by one only if some do not."""
        engine = self._engine
        entries = engine.index.entries(engine.reader)
        count = 0
        for oid, location in entries:
            count += 1
            size = engine.packs.sizes.get(location.pack)
            if size is None:
                what = f"the index says pack {location.pack:08x}, which no table knows"
                self.damaged[oid] = Problem(place(oid, location), what)
            elif location.end > size:
                what = f"ends at {location.end}, behind the pack's end at {size}"
                self.damaged[oid] = Problem(place(oid, location), what)
        if count == self._found:
            return
        for oid, location in engine.index.entries(engine.reader):
            if oid in self.damaged:
                continue
            try:
                engine.packs.reader.read_stored(oid, location)
            except StorageFailure as error:
                self.damaged[oid] = problem_of(error, location.kind)
        yield from ()


def place(oid: bytes, location: Location) -> str:
    """Where an object lies, in words."""
    return f"pack {location.pack:08x} offset {location.offset} object {oid.hex()}"


def problem_of(error: StorageFailure, kind: int) -> Problem:
    """An error from reading an object, which names the place first, as a finding."""
    where, colon, what = str(error).partition(": ")
    if not colon:
        return Problem("object", where)
    return Problem(where, f"{kind_name(kind)}: {what}")
