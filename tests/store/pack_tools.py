"""Making small packs and looking through them, for the tests of packs."""

from __future__ import annotations

import random
from pathlib import Path

from store import errors
from store.objectid import CHUNK, COMMIT, NODE, object_id
from store.pack import Location, scan
from store.pack_reader import PackReader
from store.pack_writer import PackWriter

STORE = bytes(range(16))
TEXT = b"the same line of text, again and again\n" * 4000

Made = tuple[bytes, Location, bytes]


def put(writer: PackWriter, data: bytes, kind: int = CHUNK) -> Made:
    oid = object_id(kind, data)
    return oid, writer.append(oid, kind, data), data


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed * 1_000_003 + size).randbytes(size)


def flaws_of(directory: Path, pack: int = 1) -> tuple[list[tuple[Location, bytes]], list[str]]:
    """Return what scan and verify find: records that are good, and findings."""
    flaws: list[str] = []
    good: list[tuple[Location, bytes]] = []
    reader = PackReader(str(directory))
    found = scan(str(directory), pack, STORE, lambda at, what: flaws.append(f"{at}: {what}"))
    for location, oid in found:
        try:
            reader.verify(oid, location)
            good.append((location, oid))
        except errors.Damaged as error:
            flaws.append(str(error))
    reader.close()
    return good, flaws


def small_pack(directory: Path) -> list[Made]:
    writer = PackWriter(str(directory), 1, STORE)
    made = [
        put(writer, b"a node", NODE),
        put(writer, TEXT[:400]),
        put(writer, b"", COMMIT),
        put(writer, noise(50)),
    ]
    writer.sync()
    writer.close()
    return made
