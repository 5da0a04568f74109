"""The trees that one mount shows, and how it shows their inodes: numbers, attributes, time-outs.

The main volume is what was mounted. In its root there are virtual directories, each a volume of its
own, and behind each name in `.snapshots` the volume of a snapshot. A mount is one file system to
the kernel, so inodes of different volumes must differ in their numbers: those of a snapshot are the
store's with some upper bits changed, always the same for the same snapshot. What an inode's
attributes came to is kept, as the tree hands out the same object until the inode changes.
"""

from __future__ import annotations

import stat

from xxhash import xxh3_64_intdigest

from fuse.protocol import ATTR, ATTR_VALID, ENTRY
from store.cache import Budget, GenerationCache
from store.disposal import Disposal
from store.tree import Tree
from store.types import DIRECTORY_BYTES, Inode
from store.virtual import VirtualTree

# Inodes whose attributes are kept packed, in all volumes of a mount; some 350 bytes each, and at
# most twice as many are held.
SHOWN_MAX = 100_000
_BLOCK_BYTES = 4096
_SECTOR_BYTES = 512
_NS = 1_000_000_000
# Inode numbers have 53 bits, and the upper 13 of them are the same in (nearly) all of a tree.
_NUMBER_BITS, _REPLICA_BITS = 53, 13


class Timeouts:
    """How long the kernel may trust names and attributes without asking, in seconds."""

    __slots__ = ("entry", "attr", "packed", "absent")

    def __init__(self, entry_s: float, attr_s: float) -> None:
        self.entry, self.attr = _split(entry_s), _split(attr_s)
        # fuse_attr_out before its attributes.
        self.packed = ATTR_VALID.pack(*self.attr, 0)
        # fuse_entry_out of a name that leads nowhere.
        self.absent = ENTRY.pack(0, 0, self.entry[0], 0, self.entry[1], 0) + bytes(ATTR.size)


def _split(seconds: float) -> tuple[int, int]:
    whole = int(seconds)
    return whole, int((seconds - whole) * _NS)


NEVER = Timeouts(0, 0)


class Volume:
    """One tree of a mount. `snapshot`: the id of the snapshot it shows, 0 for none."""

    __slots__ = ("tree", "timeouts", "snapshot", "mask", "users", "_shown", "_virtual")

    def __init__(
        self,
        tree: Tree | VirtualTree,
        timeouts: Timeouts,
        budget: Budget,
        snapshot: int = 0,
    ) -> None:
        self.tree, self.timeouts, self.snapshot = tree, timeouts, snapshot
        self.mask = _mask(snapshot) if snapshot else 0
        self._virtual = tree if isinstance(tree, VirtualTree) else None
        # Nodes of it that the kernel knows; of use to those who let volumes go.
        self.users = 0
        self._shown: GenerationCache[int, tuple[Inode, bytes]] = GenerationCache(budget)

    def _name_times(self, ino: int) -> Timeouts:
        """How long the kernel may trust a name to lead to an inode."""
        virtual = self._virtual
        return self.timeouts if virtual is None or virtual.lasting(ino) else NEVER

    def _times(self, ino: int) -> Timeouts:
        """How long it may trust an inode's attributes."""
        virtual = self._virtual
        return self.timeouts if virtual is None or virtual.lasting_attributes(ino) else NEVER

    def entry(self, inode: Inode, nodeid: int) -> bytes:
        """An inode as fuse_entry_out."""
        known = self._shown.get(nodeid)
        if known is None or known[0] is not inode:
            names, times = self._name_times(inode.ino), self._times(inode.ino)
            head = ENTRY.pack(
                nodeid, 0, names.entry[0], times.attr[0], names.entry[1], times.attr[1]
            )
            known = inode, head + attributes(inode, inode.ino ^ self.mask)
            self._shown.put(nodeid, known)
        return known[1]

    def passing_entry(self, inode: Inode, nodeid: int) -> bytes:
        """The same for a name that the kernel must look up each time."""
        return ENTRY.pack(nodeid, 0, 0, 0, 0, 0) + self.entry(inode, nodeid)[ENTRY.size :]

    def attr(self, inode: Inode, nodeid: int) -> bytes:
        """An inode as fuse_attr_out."""
        return self._times(inode.ino).packed + self.entry(inode, nodeid)[ENTRY.size :]


def new_budget() -> Budget:
    """What the volumes of one mount keep together."""
    return Budget(SHOWN_MAX, Disposal())


def _mask(snapshot: int) -> int:
    """What the numbers of a snapshot's inodes differ in: never only in their lower bits."""
    mask = xxh3_64_intdigest(snapshot.to_bytes(8, "big")) >> (64 - _NUMBER_BITS)
    return mask | 1 << (_NUMBER_BITS - _REPLICA_BITS)


def attributes(inode: Inode, number: int) -> bytes:
    """An inode as fuse_attr, under that number."""
    (_, mode, nlink, uid, gid, size, used, major, minor, atime, mtime, ctime, *_) = inode
    if mode & 0o170000 == stat.S_IFDIR:
        size = used = DIRECTORY_BYTES
    return ATTR.pack(
        number,
        size,
        used // _SECTOR_BYTES,
        atime // _NS,
        mtime // _NS,
        ctime // _NS,
        atime % _NS,
        mtime % _NS,
        ctime % _NS,
        mode,
        nlink,
        uid,
        gid,
        encode_device(major, minor),
        _BLOCK_BYTES,
        0,
    )


def encode_device(major: int, minor: int) -> int:
    """A device number in the kernel's 32 bits: 12 of them are the major number."""
    return minor & 0xFF | (major & 0xFFF) << 8 | (minor & 0xFFF00) << 12


def decode_device(number: int) -> tuple[int, int]:
    """Major and minor number of the kernel's 32 bits."""
    return number >> 8 & 0xFFF, number & 0xFF | number >> 12 & 0xFFF00
