"""A small settled store whose every byte of content is known, and ways to damage its packs."""

from __future__ import annotations

import itertools
import os
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from store.errors import StorageFailure
from store.objectid import CHUNK, object_id
from store.pack import Location, pack_path, scan
from store.store import Options, Store
from store.types import ROOT, Problem

BLOCK = 16 * 1024
Place = tuple[str, str]  # ref, path


class Record(NamedTuple):
    """A record of a pack that the index refers to."""

    location: Location
    oid: bytes

    @property
    def path_offsets(self) -> range:
        return range(self.location.offset, self.location.end)


class World(NamedTuple):
    """The store's directory, what each ref shows, and which chunks files are made of."""

    path: Path
    content: dict[Place, bytes]

    def users(self, oid: bytes) -> set[Place]:
        """The files that have a block stored as this chunk."""
        return {
            place
            for place, data in self.content.items()
            for start in range(0, len(data), BLOCK)
            if object_id(CHUNK, data[start : start + BLOCK].rstrip(b"\0")) == oid
        }


def make(path: Path) -> World:
    """Sealed snapshots, a frozen layer that is not, and a live one with chunks of its own."""
    content: dict[Place, bytes] = {}
    noise = random.Random(7).randbytes
    files = {f"/d{n % 7}/file{n}": noise(20 + n) for n in range(150)}
    files |= {f"/d{n % 7}/chunk{n}": noise(1000 + n) for n in range(20)}
    files |= {f"/large{n}": noise(4 * BLOCK + 100) for n in range(3)}
    files["/text"] = b"the same line again and again\n" * 1000
    files["/twin"] = files["/large0"]
    # The same numbers and times in every run: where nodes end follows from what is in them.
    Store.init(path, block_bytes=BLOCK, replica=1)
    ticks = itertools.count(1_700_000_000_000_000_000, 1_000_000)
    with Store.open(path, Options(clock=lambda: next(ticks))) as store:
        store.create_branch("main")
        for n in range(7):
            store.tree("main").mkdir(ROOT, 1, b"d%d" % n, 0o755)
        for name, data in files.items():
            _write(store, name, data)
        store.snapshot("main", "sealed")
        store.settle()
        content |= {("main@sealed", name): data for name, data in files.items()}
        files["/frozen"] = noise(5 * BLOCK)
        files["/large1"] = noise(BLOCK) + files["/large1"][BLOCK:]
        for name in ("/frozen", "/large1"):
            _write(store, name, files[name])
        store.flush()
        store.snapshot("main", "frozen")
        content |= {("main@frozen", name): data for name, data in files.items()}
        files["/live"] = noise(5 * BLOCK)
        _write(store, "/live", files["/live"])
        store.flush()
        content |= {("main", name): data for name, data in files.items()}
    return World(path, content)


def _write(store: Store, path: str, data: bytes) -> None:
    tree = store.tree("main")
    above, _, name = path.rpartition("/")
    parent = tree.resolve(above.encode()).ino
    names = {entry.name for entry in tree.readdir(ROOT, parent, count=10**6).entries}
    if name.encode() in names:
        ino = tree.resolve(path.encode()).ino
    else:
        ino = tree.create(ROOT, parent, name.encode(), 0o644).inode.ino
    tree.write(ROOT, ino, 0, data)


def copied(world: World, path: Path) -> World:
    shutil.copytree(world.path, path)
    return World(path, world.content)


def packs(store: Store) -> list[str]:
    return [pack_path(store.engine.packs.directory, number) for number in store.engine.packs.sizes]


def records(store: Store) -> list[Record]:
    engine = store.engine
    return [
        Record(location, oid)
        for number in sorted(engine.packs.sizes)
        for location, oid in scan(engine.packs.directory, number, engine.identity.id, _none)
        if engine.index.find(oid, engine.reader) == location
    ]


def _none(offset: int, what: str) -> None:
    raise AssertionError(f"{offset}: {what}")


@contextmanager
def flipped(path: str, offset: int, bit: int) -> Iterator[None]:
    """A pack with one bit flipped, for as long as the block runs."""
    flip(path, offset, bit)
    try:
        yield
    finally:
        flip(path, offset, bit)


def flip(path: str, offset: int, bit: int) -> None:
    """Flip one bit for good."""
    with open(path, "r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ 1 << bit]))


@contextmanager
def truncated(path: str, size: int) -> Iterator[None]:
    """A pack that ends too early, for as long as the block runs."""
    with open(path, "rb") as file:
        file.seek(size)
        rest = file.read()
    os.truncate(path, size)
    try:
        yield
    finally:
        with open(path, "r+b") as file:
            file.seek(size)
            file.write(rest)


def unreadable(store: Store, world: World) -> set[Place]:
    """The files that cannot be read; the others are what they were, or this fails."""
    store.engine.objects.forget_nodes()
    failed: set[Place] = set()
    for ref in sorted({ref for ref, _ in world.content}):
        view = store.view(ref)
        try:
            for at, path in world.content:
                if at != ref:
                    continue
                try:
                    ino = view.resolve(path.encode()).ino
                    found = bytes(view.read(ROOT, ino, 0, 10**7).data)
                except StorageFailure:
                    failed.add((ref, path))
                else:
                    assert found == world.content[ref, path], f"{ref}:{path} reads wrong data"
        finally:
            store.close_view(view)
    return failed


def naming(problems: list[Problem], oid: bytes) -> list[str]:
    """The findings that name an object, as text."""
    return [f"{p.where}: {p.what}" for p in problems if oid.hex() in f"{p.where}: {p.what}"]


def header_or_payload(record: Record, rng: random.Random, *, payload: bool) -> int:
    """An offset within a record's payload, or within its header."""
    start = record.location.offset
    split = record.location.end - record.location.stored
    return rng.randrange(split, record.location.end) if payload else rng.randrange(start, split)
