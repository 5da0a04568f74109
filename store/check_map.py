"""The part of `checking` that holds one map to the rules of a file system.

A `Judge` takes a map's inodes one by one (`check_view.Group`), in any order, and finds what is
wrong with each on its own. What must agree between inodes it keeps as sums: a directory entry
counts one for the inode it leads to, and that inode's own account of its names takes one away.
So nothing is left of what agrees, memory stays small, and an inode can be taken back and taken
anew: a map that differs little from the one before costs only the difference.
Numbers in comments are FORMAT.md's.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import NamedTuple

from store import keys, records
from store.check_data import Values
from store.check_view import Group
from store.errors import Damaged
from store.types import LINK_MAX, NAME_BYTES_MAX, Inode, Usage

ROOT_INO = 1
INO_MAX = 2**53 - 1
_DEVICES = (stat.S_IFCHR, stat.S_IFBLK)
_TYPES = frozenset(
    (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK, *_DEVICES)
)
_SIZED = frozenset((stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK))

Finding = tuple[int, str]  # inode number, what is wrong
Entries = list[tuple[int, records.Dirent]]  # slot, entry
Flaws = list[str]


class _Name(NamedTuple):
    """A name as a directory and the inode must agree on it. `directory` 0: an orphan."""

    ino: int
    type: int
    directory: int
    slot: int


class Judge:
    """The judge of one map after another."""

    def __init__(self, values: Values, ino_next: Callable[[int], int]) -> None:
        """`ino_next` says of a number which one its allocator gives out next, at least."""
        self._values, self._ino_next = values, ino_next
        self._balance: dict[_Name, int] = {}
        self._up: dict[int, int] = {}  # directory -> the directory it is in
        self._moved: set[int] = set()  # directories that came to be where they are
        self._used_bytes = self._count = 0
        self._told: set[object] = set()

    def take(self, group: Group) -> Flaws:
        """Take an inode; what is wrong with it on its own."""
        return self._weigh(group, 1)

    def take_back(self, group: Group) -> None:
        """Undo `take`, given the very same group."""
        self._weigh(group, -1)

    def _weigh(self, group: Group, sign: int) -> Flaws:
        flaws: Flaws = []
        ino, record = group.ino, group.record
        if ino == 0:
            return self._orphans(group, sign)
        if record is None:
            if group.rows or group.blocks:  # F1
                flaws.append("has rows, but does not exist")
            return flaws
        try:
            inode = record if isinstance(record, Inode) else records.decode_inode(ino, record)
        except Damaged as error:
            return [str(error)]
        self._used_bytes += sign * inode.used
        self._count += sign
        entries, names = _sorted_out(group, flaws)
        kind = inode.mode & 0o170000
        for slot, entry in entries:
            if entry.ino:
                self._add(_Name(entry.ino, entry.type, ino, slot), sign)
        for directory, slot in names or (((inode.parent, inode.slot),) if inode.parent else ()):
            self._add(_Name(ino, kind, directory, slot), -sign)
        if not inode.nlink:  # F12
            self._add(_Name(ino, 0, 0, 0), -sign)
        if kind == stat.S_IFDIR:
            self._place(inode, sign)
        if sign > 0:
            self._attributes(inode, flaws)
            _links(inode, names, entries, flaws)
            if entries:
                _slots(entries, flaws)
            self._values.check(inode, group, flaws)
        return flaws

    def _add(self, name: _Name, count: int) -> None:
        left = self._balance.pop(name, 0) + count
        if left:
            self._balance[name] = left

    def _orphans(self, group: Group, sign: int) -> Flaws:
        flaws: Flaws = []
        for kind, rest, value, _ in group.rows:
            if kind == keys.ORPHAN and len(rest) == 8 and value == keys.PRESENT:
                self._add(_Name(keys.unpack_u64(rest), 0, 0, 0), sign)
            else:
                flaws.append(f"a row of kind {kind} that is none: {rest.hex()}")
        if group.record is not None or group.blocks:
            flaws.append("inode number 0 exists")
        return flaws

    def _place(self, directory: Inode, sign: int) -> None:
        if sign < 0:
            self._up.pop(directory.ino, None)
        else:
            self._up[directory.ino] = directory.parent
            self._moved.add(directory.ino)

    def _attributes(self, inode: Inode, flaws: Flaws) -> None:
        ino, kind = inode.ino, inode.mode & 0o170000
        if ino > INO_MAX or (ino != ROOT_INO and ino >= self._ino_next(ino)):  # F2
            flaws.append("the allocator never gave this number")
        if kind not in _TYPES or inode.mode >> 16:  # F3
            flaws.append(f"mode {inode.mode:#o} is of no type")
        if (inode.rdev_major or inode.rdev_minor) and kind not in _DEVICES:
            flaws.append("a device number on what is no device")
        if inode.nlink > LINK_MAX:
            flaws.append(f"{inode.nlink} names")
        if inode.size and (kind not in _SIZED or inode.size >= 1 << 63):
            flaws.append(f"a size of {inode.size}")

    # --- all together -------------------------------------------------------------------------

    def finish(self, root_ino: int, usage: Usage) -> Iterator[Finding]:
        """Findings between inodes, once all of a map have been taken; each is told once."""
        for name, count in self._balance.items():
            if (name, count) not in self._told:
                self._told.add((name, count))
                yield _unbalanced(name, count)
        found = Usage(self._used_bytes, self._count)
        if found != usage:  # F14
            yield root_ino, f"usage {tuple(usage)} is recorded, the sum is {tuple(found)}"
        if root_ino not in self._up or (root_ino != ROOT_INO and not self._up[root_ino]):  # F13
            yield root_ino, "the root is no directory, or a removed one"
        yield from self._loops()

    def _loops(self) -> Iterator[Finding]:
        """F13: as names match inodes, only directories within each other are out of reach."""
        good = {0, ROOT_INO}
        for ino in self._moved & self._up.keys():
            trail: set[int] = set()
            at = ino
            while at not in good and at not in trail:
                trail.add(at)
                at = self._up.get(at, 0)
            if at in trail:
                yield ino, "a directory within itself"
            good |= trail
        self._moved.clear()


def _sorted_out(group: Group, flaws: Flaws) -> tuple[Entries, list[tuple[int, int]]]:
    """An inode's directory entries and LINK rows."""
    entries: Entries = []
    links: list[tuple[int, int]] = []
    number = keys.unpack_u64
    for kind, rest, value, _ in group.rows:
        if kind == keys.DIRENT and len(rest) == 8:
            try:
                entries.append((number(rest), records.decode_dirent(value)))
            except Damaged as error:
                flaws.append(f"slot {rest.hex()}: {error}")
        elif kind == keys.LINK and len(rest) == 16 and value == keys.PRESENT:
            links.append((number(rest[:8]), number(rest[8:])))
        elif kind not in (keys.SYMLINK, keys.XATTR) or (kind == keys.SYMLINK and rest):
            flaws.append(f"a row of kind {kind} that is none: {rest.hex()}")
    return entries, links


def _links(inode: Inode, names: list[tuple[int, int]], entries: Entries, flaws: Flaws) -> None:
    """An inode's count of names against those it knows of (F5, F6), and a directory's entries."""
    nlink = inode.nlink
    if names and (inode.parent or inode.slot):
        flaws.append("has LINK rows beside the name in its record")
    if inode.mode & 0o170000 == stat.S_IFDIR:
        directories = sum(e.type == stat.S_IFDIR for _, e in entries if e.ino)
        count = sum(1 for _, entry in entries if entry.ino)
        if count != inode.size:  # F7
            flaws.append(f"{count} entries, size {inode.size}")
        if nlink != (2 + directories if nlink or entries else 0):
            flaws.append(f"{directories} sub-directories, {nlink} links")
        placed = inode.ino != ROOT_INO and nlink > 0
        if names or (inode.parent > 0) != placed:
            flaws.append("a directory has one name, or none as the root and when it is removed")
        return
    if entries:
        flaws.append("has directory entries and is no directory")
    known = len(names) or (1 if inode.parent else 0)
    if known != nlink or len(names) == 1:
        flaws.append(f"{known} names, {nlink} links")


def _slots(entries: Entries, flaws: Flaws) -> None:
    """Names stand in the slots of their hashes (F7)."""
    mask = keys.SLOT_TAIL_MASK
    for first, run in groupby(entries, key=lambda entry: entry[0] & ~mask):
        found = list(run)
        head = found[0][1]
        if found[0][0] != first or head.overflow != (len(found) > 1):
            flaws.append(f"slot {first:x}: its overflow mark is wrong")
        if len({entry.name for _, entry in found}) != len(found):
            flaws.append(f"slot {first:x}: a name twice")
        for slot, entry in found:
            name = entry.name
            if not entry.ino:
                if slot != first or name or entry.type or len(found) == 1:
                    flaws.append(f"slot {slot:x}: a mark where none belongs")
            elif not 0 < len(name) <= NAME_BYTES_MAX or b"/" in name or b"\0" in name:
                flaws.append(f"slot {slot:x}: {name!r} is no name")
            elif name in (b".", b"..") or keys.first_slot(name) != first:
                flaws.append(f"slot {slot:x}: {name!r} does not belong there")
            elif slot != first and entry.overflow:
                flaws.append(f"slot {slot:x}: an overflow mark in a tail")


def _unbalanced(name: _Name, count: int) -> Finding:
    """A name that directory and inode do not agree on (F4, F6), or an orphan (F12)."""
    if not name.directory:
        what = "an orphan row, but it has names" if count > 0 else "no name, and no orphan row"
        return name.ino, what
    if count > 0:
        where = f"slot {name.slot:x} leads to inode {name.ino} of type {name.type:#o}"
        return name.directory, f"{where}, which does not know of it"
    where = f"slot {name.slot:x} of directory {name.directory}"
    return name.ino, f"says that it is named in {where}, which says otherwise"
