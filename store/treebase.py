"""What every part of a tree stands on: inodes and directory entries by key, with their caches.

The parts of `Tree` (names, content, attributes) call these primitives and nothing below them.
All runs on one thread; a public operation makes all its checks before its first change, so that
one that raises has changed nothing.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from store import access, keys, records
from store.cache import Budget, GenerationCache
from store.errors import (
    InvalidName,
    NameTooLong,
    NoSpace,
    NotDirectory,
    NotFound,
    QuotaExceeded,
    ReadOnly,
    Stale,
)
from store.layer import Chain
from store.memtable import Memtable
from store.objects import ObjectReader
from store.types import NAME_BYTES_MAX, ROOT, X_OK, Caller, Inode, Quota, Usage
from store.watch import Watcher


class Ground(Protocol):
    """What a tree needs of its store."""

    block_bytes: int
    objects: ObjectReader
    inode_budget: Budget
    entry_budget: Budget

    def admit(self, data_bytes: int) -> None:
        """Let a change go ahead, or raise Busy or NoSpace."""

    def next_ino(self) -> int:
        """A number that no inode ever had."""

    def now(self) -> int:
        """The time in ns, later than at every call before."""

    def disk_bytes(self) -> tuple[int, int]:
        """Size of the disk under the store, and how much of it is free for more data."""


class Entry:
    """Where a name leads: its slot, and the inode number and type found there."""

    __slots__ = ("slot", "ino", "type")

    def __init__(self, slot: int, ino: int, type_bits: int) -> None:
        self.slot, self.ino, self.type = slot, ino, type_bits


ABSENT = Entry(0, 0, 0)


class Spot(NamedTuple):
    """Where a new entry goes: the row, its overflow mark, and a first slot still to be marked."""

    prefix: bytes
    slot: int
    rest: bytes
    overflow: bool
    first: records.Dirent | None


class TreeBase:
    """State and primitives of one tree; see `tree.Tree` for the whole."""

    def __init__(
        self, ground: Ground, chain: Chain, root: int, usage: Usage, read_only: bool
    ) -> None:
        self.root = root
        self.read_only = read_only
        self.quota = Quota()
        self._ground = ground
        self._block_bytes = ground.block_bytes
        self._pages_per_block = ground.block_bytes // 4096
        self._held: dict[int, int] = {}
        self._watchers: tuple[Watcher, ...] = ()
        self._inodes: GenerationCache[int, Inode] = GenerationCache(ground.inode_budget)
        self._entries: GenerationCache[tuple[int, bytes], Entry] = GenerationCache(
            ground.entry_budget
        )
        self._chain = chain
        self._used_bytes, self._inode_count = usage

    def rebase(self, chain: Chain, root: int, usage: Usage) -> None:
        """Stand on another chain from now on; nothing that was cached counts any more."""
        old, old_root = self._chain, self.root
        self._chain, self.root = chain, root
        self._used_bytes, self._inode_count = usage
        self._inodes.clear()
        self._entries.clear()
        if self._watchers:
            before = type(self)(self._ground, old, old_root, Usage(0, 0), read_only=True)
            for watcher in self._watchers:
                watcher.tree_replaced(before)

    def advance(self, chain: Chain) -> None:
        """Stand on a chain that reads the same: the old one frozen, with a new layer on it."""
        self._chain = chain

    @property
    def chain(self) -> Chain:
        """The layers this tree reads."""
        return self._chain

    def usage(self) -> Usage:
        """Allocated bytes and inodes of the whole map."""
        return Usage(self._used_bytes, self._inode_count)

    @property
    def _mem(self) -> Memtable:
        top = self._chain.top
        assert top is not None  # a writable tree always has a live layer
        return top.mem

    def _guard(self, data_bytes: int = 0) -> None:
        if self.read_only:
            raise ReadOnly("this tree is read-only")
        self._ground.admit(data_bytes)

    # --- watchers -----------------------------------------------------------------------------

    def watch(self, watcher: Watcher) -> None:
        """Have a watcher hear of all changes from now on."""
        self._watchers = (*self._watchers, watcher)

    def unwatch(self, watcher: Watcher) -> None:
        """Undo `watch`."""
        self._watchers = tuple(one for one in self._watchers if one is not watcher)

    def _tell_inode(self, ino: int) -> None:
        for watcher in self._watchers:
            watcher.inode_changed(ino)

    def _tell_data(self, ino: int, start: int, stop: int) -> None:
        for watcher in self._watchers:
            watcher.data_changed(ino, start, stop)

    def _tell_entry(self, directory: int, name: bytes) -> None:
        for watcher in self._watchers:
            watcher.entry_changed(directory, name)

    # --- inodes -------------------------------------------------------------------------------

    def getattr(self, ino: int) -> Inode:
        """The inode of a number. Raises Stale where it does not exist."""
        inode = self._inodes.get(ino)
        if inode is None:
            inode = self._chain.inode(ino)
            if inode is None:
                raise Stale(f"inode {ino} does not exist here")
            self._inodes.put(ino, inode)
        return inode

    def _put(self, inode: Inode) -> Inode:
        self._mem.put_inode(inode)
        self._inodes.put(inode.ino, inode)
        if self._watchers:
            self._tell_inode(inode.ino)
        return inode

    def _forget(self, inode: Inode) -> None:
        """Delete an inode that has no name and no holder."""
        ino = inode.ino
        self._mem.delete_inode(ino)
        self._inodes.drop(ino)
        self._used_bytes -= inode.used
        self._inode_count -= 1
        if self._watchers:
            self._tell_inode(ino)

    def _directory(self, who: Caller, ino: int, mask: int) -> Inode:
        """The directory of a number. Raises NotDirectory, AccessDenied."""
        inode = self._inodes.get(ino) or self.getattr(ino)
        if inode.mode & 0o170000 != stat.S_IFDIR:
            raise NotDirectory(f"inode {ino} is not a directory")
        if who.uid != 0:
            access.require(inode, who, mask)
        return inode

    def _charge_inode(self) -> None:
        limit = self.quota.inodes_max
        if limit and self._inode_count >= limit:
            raise QuotaExceeded(f"the quota of {limit} inodes is used up")

    def _charge_bytes(self, more: int) -> None:
        limit = self.quota.bytes_max
        if limit and more > 0 and self._used_bytes + more > limit:
            raise QuotaExceeded(f"the quota of {limit} bytes would be passed")

    # --- holders ------------------------------------------------------------------------------

    def hold(self, ino: int) -> None:
        """Keep an inode alive although its last name may go. Raises Stale."""
        self.getattr(ino)
        self._held[ino] = self._held.get(ino, 0) + 1

    def release(self, ino: int) -> None:
        """Undo one hold; the inode goes where it was the last and no name is left.

        That deletion is not refused for want of memory or space: it makes room.
        """
        count = self._held.get(ino, 0)
        if count > 1:
            self._held[ino] = count - 1
            return
        self._held.pop(ino, None)
        inode = self._inodes.get(ino) or self._chain.inode(ino)
        if inode is not None and inode.nlink == 0 and not self.read_only:
            self._reap(inode)

    def reap_orphans(self) -> int:
        """Delete inodes that have no name and no holder; says how many (after a crash, a fork)."""
        orphans = [keys.unpack_u64(rest) for rest, _ in self._chain.rows(keys.ORPHANS)]
        reaped = 0
        for ino in orphans:
            if ino not in self._held:
                self._reap(self.getattr(ino))
                reaped += 1
        return reaped

    def _reap(self, inode: Inode) -> None:
        self._mem.put_row(keys.ORPHANS, keys.pack_u64(inode.ino), None)
        self._forget(inode)

    # --- directory entries --------------------------------------------------------------------

    @staticmethod
    def _check_name(name: bytes) -> None:
        if len(name) > NAME_BYTES_MAX:
            raise NameTooLong(f"a name of {len(name)} bytes; {NAME_BYTES_MAX} is the limit")
        if not name or b"/" in name or b"\0" in name:
            raise InvalidName(f"{name!r} cannot be a file name")

    def _entry(self, parent: int, name: bytes) -> Entry:
        """The entry of a name in a directory, ABSENT where there is none."""
        entry = self._entries.get((parent, name))
        if entry is None:
            entry = self._find(parent, name)
            self._entries.put((parent, name), entry)
        return entry

    def _find(self, parent: int, name: bytes) -> Entry:
        slot = keys.first_slot(name)
        prefix = keys.prefix(parent, keys.DIRENT)
        value = self._chain.row(prefix, keys.pack_u64(slot))
        if value is None:
            return ABSENT
        found = records.decode_dirent(value)
        if found.name == name and found.ino:
            return Entry(slot, found.ino, found.type)
        if found.overflow:
            for at, other in self._tail(prefix, slot):
                if other.name == name:
                    return Entry(at, other.ino, other.type)
        return ABSENT

    def _tail(self, prefix: bytes, slot: int) -> Iterator[tuple[int, records.Dirent]]:
        """The entries that follow a hash's first slot because their names collided with it."""
        last = slot | keys.SLOT_TAIL_MASK
        for rest, value in self._chain.rows(prefix, keys.pack_u64(slot + 1)):
            at = keys.unpack_u64(rest)
            if at > last:
                return
            yield at, records.decode_dirent(value)

    def _spot(self, parent: int, name: bytes) -> Spot:
        """Where a new entry of a name will go. Raises NoSpace where its hash has no slot left."""
        prefix = keys.prefix(parent, keys.DIRENT)
        first = keys.first_slot(name)
        rest = keys.pack_u64(first)
        value = self._chain.row(prefix, rest)
        if value is None:
            return Spot(prefix, first, rest, False, None)
        found = records.decode_dirent(value)
        if found.ino == 0:  # the first slot's own name went, others of its hash are left
            return Spot(prefix, first, rest, True, None)
        slot = self._free_slot(prefix, first)
        return Spot(prefix, slot, keys.pack_u64(slot), False, None if found.overflow else found)

    def _free_slot(self, prefix: bytes, first: int) -> int:
        taken = {at for at, _ in self._tail(prefix, first)}
        for slot in range(first + 1, (first | keys.SLOT_TAIL_MASK) + 1):
            if slot not in taken:
                return slot
        raise NoSpace("too many names in this directory have the same hash")

    def _add_entry(self, parent: int, name: bytes, spot: Spot, ino: int, type_bits: int) -> None:
        """Make a new entry in the spot that was found for it."""
        mem = self._mem
        first = spot.first
        if first is not None:
            marked = records.encode_dirent(first.ino, first.type, first.name, True)
            rest = keys.pack_u64(spot.slot & ~keys.SLOT_TAIL_MASK)
            mem.put_row(spot.prefix, rest, marked)
        value = records.encode_dirent(ino, type_bits, name, spot.overflow)
        mem.put_row(spot.prefix, spot.rest, value)
        self._entries.put((parent, name), Entry(spot.slot, ino, type_bits))
        if self._watchers:
            self._tell_entry(parent, name)

    def _set_entry(self, parent: int, name: bytes, slot: int, ino: int, type_bits: int) -> None:
        """Lead an existing entry to another inode."""
        prefix, rest = keys.prefix(parent, keys.DIRENT), keys.pack_u64(slot)
        old = self._chain.row(prefix, rest)
        overflow = old is not None and old[8] & records.OVERFLOW != 0
        self._mem.put_row(prefix, rest, records.encode_dirent(ino, type_bits, name, overflow))
        self._entries.put((parent, name), Entry(slot, ino, type_bits))
        if self._watchers:
            self._tell_entry(parent, name)

    def _remove_entry(self, parent: int, name: bytes, slot: int) -> None:
        """Remove an entry. A first slot stays as a mark while others of its hash follow it."""
        prefix, rest = keys.prefix(parent, keys.DIRENT), keys.pack_u64(slot)
        mem = self._mem
        self._entries.put((parent, name), ABSENT)
        if self._watchers:
            self._tell_entry(parent, name)
        first = slot & ~keys.SLOT_TAIL_MASK
        if slot != first:
            mem.put_row(prefix, rest, None)
            if not any(True for _ in self._tail(prefix, first)):
                self._clear_overflow(prefix, keys.pack_u64(first))
            return
        old = self._chain.row(prefix, rest)
        if old is not None and old[8] & records.OVERFLOW:
            mem.put_row(prefix, rest, records.encode_dirent(0, 0, b"", True))
        else:
            mem.put_row(prefix, rest, None)

    def _clear_overflow(self, prefix: bytes, rest: bytes) -> None:
        value = self._chain.row(prefix, rest)
        if value is not None:
            found = records.decode_dirent(value)
            plain = records.encode_dirent(found.ino, found.type, found.name)
            self._mem.put_row(prefix, rest, plain if found.ino else None)

    # --- paths --------------------------------------------------------------------------------

    def lookup(self, who: Caller, parent: int, name: bytes) -> Inode:
        """The inode of a name; `.` and `..` work, and the root is its own parent.

        Raises Stale, NotDirectory, AccessDenied, NameTooLong, InvalidName, NotFound.
        """
        directory = self._directory(who, parent, X_OK)
        found = self._child(directory, name)
        if found is None:
            raise NotFound(f"no {name!r} in directory {parent}")
        return found

    def child(self, parent: int, name: bytes) -> Inode | None:
        """The same for the superuser; None where there is no such name."""
        return self._child(self._directory(ROOT, parent, X_OK), name)

    def _child(self, directory: Inode, name: bytes) -> Inode | None:
        parent = directory.ino
        entry = self._entries.get((parent, name))
        if entry is None:
            if name == b".":
                return directory
            if name == b"..":
                return directory if parent == self.root else self.getattr(directory.parent)
            self._check_name(name)
            entry = self._entry(parent, name)
        if entry is ABSENT:
            return None
        return self._inodes.get(entry.ino) or self.getattr(entry.ino)

    def resolve(self, path: bytes, who: Caller = ROOT) -> Inode:
        """The inode at a path from the root; symbolic links are not followed."""
        inode = self.getattr(self.root)
        for name in path.split(b"/"):
            if name:
                inode = self.lookup(who, inode.ino, name)
        return inode

    def names_of(self, inode: Inode) -> list[tuple[int, int]]:
        """All (directory, slot) pairs that lead to an inode; none for the root."""
        if inode.ino == self.root or inode.nlink == 0:
            return []
        if inode.parent:
            return [(inode.parent, inode.slot)]
        rows = self._chain.rows(keys.prefix(inode.ino, keys.LINK))
        return [(keys.unpack_u64(rest[:8]), keys.unpack_u64(rest[8:])) for rest, _ in rows]

    def leads_to(self, directory: int, name: bytes) -> int:
        """The inode number that a name leads to, 0 for none."""
        return self._entry(directory, name).ino

    def find(self, ino: int) -> Inode | None:
        """The inode of a number, None where it does not exist."""
        return self._inodes.get(ino) or self._chain.inode(ino)

    def name_at(self, directory: int, slot: int) -> bytes | None:
        """The name of a directory's entry, None where there is none in the slot."""
        value = self._chain.row(keys.prefix(directory, keys.DIRENT), keys.pack_u64(slot))
        return None if value is None else records.decode_dirent(value).name or None

    def path_of(self, ino: int) -> bytes:
        """A path of an inode from the root, `/` for the root itself; Stale where it has none."""
        paths = self.paths_of(ino)
        if not paths:
            raise Stale(f"inode {ino} has no name here")
        return paths[0]

    def paths_of(self, ino: int) -> list[bytes]:
        """Every path of an inode, in byte order; those not below this tree's root are left out."""
        if ino == self.root:
            return [b"/"]
        paths = [self._climb(*name) for name in self.names_of(self.getattr(ino))]
        return sorted(path for path in paths if path is not None)

    def _climb(self, parent: int, slot: int) -> bytes | None:
        """The path of a name, None where it does not lead up to this tree's root."""
        parts: list[bytes] = []
        while True:
            name = self.name_at(parent, slot)
            if name is None:
                return None
            parts.append(name)
            if parent == self.root:
                return b"/" + b"/".join(reversed(parts))
            above = self.find(parent)
            if above is None or not above.parent:
                return None
            parent, slot = above.parent, above.slot
