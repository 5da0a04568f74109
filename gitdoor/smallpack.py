"""Packs that are kept in memory: of commits and tags, which are many, small, and read in a row.

A pack is named by its content and never changes. What comes later gets a pack of its own, and
packs of like sizes are made one, so that there are few of them, and what a commit costs in the
long run grows with the logarithm of their number.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable
from itertools import accumulate
from typing import NamedTuple

_TRAILER_BYTES = 20


class Entry(NamedTuple):
    """An object as it stands in a pack."""

    id: bytes
    data: bytes


class Pack(NamedTuple):
    """A pack (gitformat-pack(5)), and its index (version 2) as another file."""

    name: str
    pack: bytes
    idx: bytes
    entries: list[Entry]

    @property
    def weight(self) -> int:
        """About how much memory it takes: the entries are in it a second time."""
        return 2 * len(self.pack) + len(self.idx) + 200 * len(self.entries)


def entry(oid: bytes, kind: int, raw: bytes) -> Entry:
    """An object for a pack. COMMIT, TREE, BLOB and TAG have the numbers that packs use."""
    size = len(raw)
    head = [kind << 4 | size & 0xF]
    size >>= 4
    while size:
        head[-1] |= 0x80
        head.append(size & 0x7F)
        size >>= 7
    return Entry(oid, bytes(head) + zlib.compress(raw, 1))


def made(entries: list[Entry]) -> Pack:
    """The pack of some objects, in that order."""
    head = b"PACK" + (2).to_bytes(4, "big") + len(entries).to_bytes(4, "big")
    body = head + b"".join([found.data for found in entries])
    checksum = hashlib.sha1(body, usedforsecurity=False).digest()
    starts = accumulate([len(head), *[len(found.data) for found in entries]])
    rows = sorted(
        (found.id, zlib.crc32(found.data), start)
        for found, start in zip(entries, starts, strict=False)
    )
    return Pack(checksum.hex(), body + checksum, _index(rows, checksum), entries)


def _index(rows: list[tuple[bytes, int, int]], checksum: bytes) -> bytes:
    counts = [0] * 256
    for oid, _, _ in rows:
        counts[oid[0]] += 1
    parts = [b"\xfftOc" + (2).to_bytes(4, "big")]
    parts += [count.to_bytes(4, "big") for count in accumulate(counts)]
    parts += [oid for oid, _, _ in rows]
    parts += [crc.to_bytes(4, "big") for _, crc, _ in rows]
    parts += [start.to_bytes(4, "big") for _, _, start in rows]
    data = b"".join(parts) + checksum
    return data + hashlib.sha1(data, usedforsecurity=False).digest()


def added(packs: list[Pack], entries: Iterable[Entry]) -> list[Pack]:
    """Packs with more objects in them; the newest objects come first, in a pack and of packs."""
    fresh = list(entries)
    if not fresh:
        return packs
    kept = list(packs)
    while kept and len(kept[0].entries) < 2 * len(fresh):
        fresh += kept.pop(0).entries
    return [made(fresh), *kept]
