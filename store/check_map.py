"""The part of `checking` that holds one map to the rules of a file system.

A `Judge` takes the map's inodes one after the other (`check_view.Group`), finds what is wrong
with each on its own, and at the end what is wrong between them: names against inodes, both ways.
Numbers in comments are FORMAT.md's.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import NamedTuple

from store import keys, objectid, records
from store.check_view import Group
from store.errors import Damaged
from store.pack import Location
from store.types import (
    LINK_MAX,
    NAME_BYTES_MAX,
    PAGE_BYTES,
    SYMLINK_BYTES_MAX,
    XATTR_NAME_BYTES_MAX,
    XATTR_VALUE_BYTES_MAX,
    Inode,
    Usage,
)

ROOT_INO = 1
INO_MAX = 2**53 - 1
_DEVICES = (stat.S_IFCHR, stat.S_IFBLK)
_TYPES = frozenset(
    (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK, *_DEVICES)
)
Finding = tuple[int, str]  # inode number, what is wrong


class Known(NamedTuple):
    """What a judge may ask of the store."""

    block_bytes: int
    find: Callable[[bytes], Location | None]
    zero_ended: set[bytes]
    ino_next: Callable[[int], int]  # the number after those given out, for the part of a number


class _Seen(NamedTuple):
    """What is kept of an inode until all names are known."""

    type: int
    nlink: int
    size: int
    names: tuple[tuple[int, int], ...]  # (directory, slot) by its own account


class Judge:
    """The judge of one map."""

    def __init__(self, known: Known, root_ino: int) -> None:
        self._known = known
        self._root_ino = root_ino
        self._inodes: dict[int, _Seen] = {}
        self._names: dict[int, list[tuple[int, int, int]]] = {}  # child -> directory, slot, type
        self._orphans: set[int] = set()
        self._used_bytes = 0

    # --- one inode ----------------------------------------------------------------------------

    def take(self, group: Group) -> Iterator[Finding]:
        """Findings of one inode on its own."""
        ino = group.ino
        if ino == 0:
            yield from self._take_orphans(group)
            return
        if group.record is None:
            if group.rows or group.blocks:  # F1
                yield ino, "has rows, but does not exist"
            return
        try:
            record = group.record
            inode = record if isinstance(record, Inode) else records.decode_inode(ino, record)
        except Damaged as error:
            yield ino, str(error)
            return
        links: list[tuple[int, int]] = []
        entries: list[tuple[int, bytes]] = []
        target: int | None = None
        for kind, rest, value, based in group.rows:
            if kind == keys.DIRENT and len(rest) == 8:
                entries.append((keys.unpack_u64(rest), value))
            elif kind == keys.LINK and len(rest) == 16 and value == keys.PRESENT:
                links.append((keys.unpack_u64(rest[:8]), keys.unpack_u64(rest[8:])))
            elif kind == keys.SYMLINK and not rest:
                target, flaw = self._data_size(value, based)
                if flaw:
                    yield ino, f"link target: {flaw}"
            elif kind == keys.XATTR:
                yield from self._xattr(ino, rest, value, based)
            else:
                yield ino, f"a row of kind {kind} that is none: {rest.hex()}"
        yield from self._attributes(inode)
        yield from self._target(inode, target)
        yield from self._directory(inode, entries)
        yield from self._blocks(inode, group.blocks)
        own = tuple(links) if inode.nlink > 1 and links else ((inode.parent, inode.slot),)
        if links and (inode.nlink < 2 or inode.parent or inode.slot):  # F6
            yield ino, "has LINK rows beside the name in its record"
        if own == ((0, 0),):
            own = ()
        self._inodes[ino] = _Seen(inode.type, inode.nlink, inode.size, own)
        self._used_bytes += inode.used

    def _take_orphans(self, group: Group) -> Iterator[Finding]:
        for kind, rest, value, _ in group.rows:
            if kind == keys.ORPHAN and len(rest) == 8 and value == keys.PRESENT:
                self._orphans.add(keys.unpack_u64(rest))
            else:
                yield 0, f"a row of kind {kind} that is none: {rest.hex()}"
        if group.record is not None or group.blocks:
            yield 0, "inode number 0 exists"

    def _attributes(self, inode: Inode) -> Iterator[Finding]:
        ino, kind = inode.ino, inode.type
        if not ino <= INO_MAX or (ino != ROOT_INO and ino >= self._known.ino_next(ino)):  # F2
            yield ino, "the allocator never gave this number"
        if kind not in _TYPES or inode.mode >> 16:  # F3
            yield ino, f"mode {inode.mode:#o} is of no type"
        if kind not in _DEVICES and (inode.rdev_major or inode.rdev_minor):
            yield ino, "a device number on what is no device"
        if inode.nlink > LINK_MAX:
            yield ino, f"{inode.nlink} names"
        if kind not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK) and inode.size:
            yield ino, f"a size of {inode.size} on what has no data"
        if inode.size >= 1 << 63:
            yield ino, f"a size of {inode.size}"

    def _target(self, inode: Inode, target: int | None) -> Iterator[Finding]:
        if inode.type != stat.S_IFLNK:
            if target is not None:
                yield inode.ino, "a link target on what is no symbolic link"
        elif target != inode.size or not 0 < inode.size <= SYMLINK_BYTES_MAX:  # F8
            found = "no target" if target is None else f"a target of {target} bytes"
            yield inode.ino, f"{found}, size {inode.size}"

    def _xattr(self, ino: int, name: bytes, value: bytes, based: bool) -> Iterator[Finding]:
        size, flaw = self._data_size(value, based)
        if not 0 < len(name) <= XATTR_NAME_BYTES_MAX or b"\0" in name or b"." not in name:  # F9
            yield ino, f"an attribute named {name!r}"
        if flaw or size is None or size > XATTR_VALUE_BYTES_MAX:
            yield ino, f"attribute {name!r}: {flaw or f'{size} bytes'}"

    # --- data ---------------------------------------------------------------------------------

    def _data_size(self, value: bytes, canonical: bool) -> tuple[int | None, str]:
        """How many bytes a data value stands for, and what is wrong with it (M4, M5)."""
        try:
            oid = records.chunk_of(value)
        except Damaged as error:
            return None, str(error)
        limit = records.INLINE_BYTES_MAX
        if oid is None:
            size = len(value) - 1
            flaw = f"{size} bytes inline" if canonical and size > limit else ""
            return size, flaw
        location = self._known.find(oid)
        if location is None:
            return None, f"chunk {oid.hex()} is missing"
        if location.kind != objectid.CHUNK:
            return None, f"object {oid.hex()} is no chunk"
        flaw = f"chunk {oid.hex()} for {location.raw} bytes" if location.raw <= limit else ""
        return location.raw, flaw

    def _blocks(self, inode: Inode, blocks: list[tuple[int, bytes | None]]) -> Iterator[Finding]:
        ino, size, block_bytes = inode.ino, inode.size, self._known.block_bytes
        regular = inode.type == stat.S_IFREG
        used = 0
        for number, value in blocks:
            room = size - number * block_bytes
            if room <= 0 or not regular:  # F11
                yield ino, f"block {number} lies outside of its data"
                continue
            used += min(block_bytes, -(-room // PAGE_BYTES) * PAGE_BYTES)
            if value is None:
                continue
            held, flaw = self._data_size(value, True)
            if flaw:
                yield ino, f"block {number}: {flaw}"
            elif held is not None and held > min(block_bytes, room):
                yield ino, f"block {number}: {held} bytes where {min(block_bytes, room)} fit"
            elif value[0] == records.DATA_INLINE:
                if value[-1] == 0 and len(value) > 1:  # M4
                    yield ino, f"block {number}: zeros at the end"
            elif value[1:] in self._known.zero_ended:
                yield ino, f"block {number}: zeros at the end"
        if used != inode.used:  # F10
            yield ino, f"{inode.used} bytes used, its blocks make {used}"

    # --- directories --------------------------------------------------------------------------

    def _directory(self, inode: Inode, entries: list[tuple[int, bytes]]) -> Iterator[Finding]:
        ino = inode.ino
        if inode.type != stat.S_IFDIR:
            if entries:
                yield ino, "has directory entries and is no directory"
            return
        count = directories = 0
        for first, run in groupby(entries, key=lambda entry: entry[0] & ~keys.SLOT_TAIL_MASK):
            found: list[tuple[int, records.Dirent]] = []
            for slot, value in run:
                try:
                    found.append((slot, records.decode_dirent(value)))
                except Damaged as error:
                    yield ino, f"slot {slot}: {error}"
            yield from _slots(ino, first, found)
            for slot, entry in found:
                if entry.ino:
                    count += 1
                    directories += entry.type == stat.S_IFDIR
                    self._names.setdefault(entry.ino, []).append((ino, slot, entry.type))
        if count != inode.size:  # F7
            yield ino, f"{count} entries, size {inode.size}"
        if inode.nlink and inode.nlink != 2 + directories:  # F5
            yield ino, f"{directories} sub-directories, {inode.nlink} links"

    # --- all together -------------------------------------------------------------------------

    def finish(self, usage: Usage) -> Iterator[Finding]:
        """Findings between inodes, once all have been taken."""
        for ino, seen in self._inodes.items():
            yield from self._named(ino, seen)
        for ino in self._names.keys() - self._inodes.keys():
            directory, slot, _ = self._names[ino][0]
            yield directory, f"slot {slot} leads to inode {ino}, which does not exist"  # F4
        without = {ino for ino, seen in self._inodes.items() if not seen.nlink}
        for ino in sorted(without ^ self._orphans):  # F12
            yield ino, "an orphan without its row" if ino in without else "an orphan row of another"
        found = Usage(self._used_bytes, len(self._inodes))
        if found != usage:  # F14
            yield self._root_ino, f"usage {tuple(usage)} is recorded, the sum is {tuple(found)}"
        yield from self._reachable()

    def _named(self, ino: int, seen: _Seen) -> Iterator[Finding]:
        names = self._names.get(ino, ())
        if sorted(seen.names) != sorted((directory, slot) for directory, slot, _ in names):  # F6
            yield ino, f"named by {_slots_text(names)}, knows of {_slots_text(seen.names)}"
        if any(type_bits != seen.type for _, _, type_bits in names):  # F4
            yield ino, "an entry says that it is of another type"
        if seen.type == stat.S_IFDIR:
            wanted = 1 if seen.nlink and ino != ROOT_INO else 0
            if len(names) != wanted:
                yield ino, f"a directory with {len(names)} names"
        elif len(names) != seen.nlink:  # F5
            yield ino, f"{len(names)} names, {seen.nlink} links"

    def _reachable(self) -> Iterator[Finding]:
        """F13: names lead from the root everywhere; as they match, only directories can loop."""
        root = self._inodes.get(self._root_ino)
        if root is None or root.type != stat.S_IFDIR or not root.nlink:
            yield self._root_ino, "the root is no directory"
        good = {ROOT_INO}
        for ino, seen in self._inodes.items():
            if seen.type != stat.S_IFDIR or not seen.nlink:
                continue
            trail = []
            at = ino
            while at not in good and at in self._inodes and self._inodes[at].names:
                good.add(at)  # so that a loop ends; what it leads to is looked at below
                trail.append(at)
                at = self._inodes[at].names[0][0]
            if trail and at in trail:
                yield ino, "a directory within itself"


def _slots(ino: int, first: int, found: list[tuple[int, records.Dirent]]) -> Iterator[Finding]:
    """What is wrong with the entries of one name hash (F7)."""
    names: set[bytes] = set()
    tail = [slot for slot, _ in found if slot != first]
    heads = [entry for slot, entry in found if slot == first]
    if not heads or heads[0].overflow != bool(tail):
        yield ino, f"slot {first}: its overflow mark is wrong"
    for slot, entry in found:
        if not entry.ino:
            if slot != first or entry.name or entry.type or not tail:
                yield ino, f"slot {slot}: a mark where none belongs"
            continue
        name = entry.name
        if not 0 < len(name) <= NAME_BYTES_MAX or b"/" in name or b"\0" in name:
            yield ino, f"slot {slot}: {name!r} is no name"
        elif name in (b".", b"..") or name in names:
            yield ino, f"slot {slot}: {name!r} a second time"
        elif keys.first_slot(name) != first or (slot != first and entry.overflow):
            yield ino, f"slot {slot}: {name!r} does not belong there"
        names.add(name)


def _slots_text(names: object) -> str:
    assert isinstance(names, (list, tuple))
    return ", ".join(f"{name[0]}/{name[1]:x}" for name in names[:4]) or "nothing"
