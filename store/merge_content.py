"""The part of a merge that holds for one inode: attributes, extended attributes, data.

Field by field: what one side alone changed is as it made it, times are the newer. Data count as
one field, whatever blocks were written: two changes that do not touch are still one file that
nobody has seen.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

from store import keys
from store.conflicts import Favor, Findings, Kind
from store.threeway import NO_TOUCH, Side, Touch, is_directory, is_regular
from store.types import Inode

T = TypeVar("T")


class Content(NamedTuple):
    """What an inode becomes: its record (names and counts aside), attributes to be set, and
    blocks, None where its data stay as they are."""

    inode: Inode
    xattrs: dict[bytes, bytes | None]
    extents: dict[int, bytes | None] | None


class Contents:
    """Merges contents, and answers what changed; conflicts go to `findings`."""

    def __init__(
        self, base: Side, ours: Side, theirs: Side, favor: Favor, findings: Findings
    ) -> None:
        self._base, self._ours, self._theirs = base, ours, theirs
        self._theirs_count = favor is Favor.THEIRS
        self._findings = findings

    def changed(self, side: Side, ino: int, touch: Touch | None = None) -> bool:
        """Whether a side changed more of an inode than its times, its names and, of a directory,
        its entries."""
        was, now = self._base.inode(ino), side.inode(ino)
        if was == now:
            return False
        if was is None or now is None or _owned(was) != _owned(now):
            return True
        if not is_directory(was) and was.size != now.size:
            return True
        touch = side.touch(self._base, ino) if touch is None else touch
        return bool(touch.xattrs or touch.extents)

    def same(self, ours: int, theirs: int) -> bool:
        """Whether an inode of ours is what one of theirs is, times and names aside."""
        one, other = self._ours.inode(ours), self._theirs.inode(theirs)
        assert one is not None
        assert other is not None
        if _essence(one) != _essence(other):
            return False
        kinds = (keys.SYMLINK, keys.XATTR, keys.EXTENT)
        return all(self._ours.rows(ours, k) == self._theirs.rows(theirs, k) for k in kinds)

    def united(self, ours: int, theirs: int) -> Content | None:
        """What an inode of ours becomes that is one of theirs, without a state to start from: what
        was made on both sides; None: it stays."""
        return self._merged(None, ours, theirs, NO_TOUCH, None)

    def merged(self, ino: int, touch: Touch) -> Content | None:
        """What an inode that both sides have becomes, None where it stays as it is."""
        was = self._base.inode(ino)
        return self._merged(was, ino, ino, touch, self._base)

    def _merged(
        self, was: Inode | None, ino: int, other: int, touch: Touch, base: Side | None
    ) -> Content | None:
        ours, theirs = self._ours.inode(ino), self._theirs.inode(other)
        assert ours is not None
        assert theirs is not None
        if was == theirs:
            return None
        mine = NO_TOUCH if base is None or ours == was else self._ours.touch(base, ino)
        mode = self._field(Kind.MODE, ino, was and was.mode, ours.mode, theirs.mode)
        uid = self._field(Kind.OWNER, ino, was and was.uid, ours.uid, theirs.uid)
        gid = self._field(Kind.OWNER, ino, was and was.gid, ours.gid, theirs.gid)
        mtime_ns = ours.mtime_ns
        extents = self._data(was, ours, theirs, touch, mine)
        if extents is not None:
            mtime_ns = theirs.mtime_ns
            ours = ours._replace(size=theirs.size, used=theirs.used)
        elif not is_regular(ours) or not mine.extents:
            mtime_ns = _newer(was and was.mtime_ns, ours.mtime_ns, theirs.mtime_ns)
        atime_ns = _newer(was and was.atime_ns, ours.atime_ns, theirs.atime_ns)
        inode = ours._replace(mode=mode, uid=uid, gid=gid, atime_ns=atime_ns, mtime_ns=mtime_ns)
        xattrs = self._xattrs(ino, other, touch, base)
        if inode == self._ours.inode(ino) and not xattrs and extents is None:
            return None
        return Content(inode, xattrs, extents)

    def _field(self, kind: Kind, ino: int, was: T | None, ours: T, theirs: T) -> T:
        if theirs in (was, ours):
            return ours
        if ours == was:
            return theirs
        self._findings.add(kind, ino)
        return theirs if self._theirs_count else ours

    def _data(
        self, was: Inode | None, ours: Inode, theirs: Inode, touch: Touch, mine: Touch
    ) -> dict[int, bytes | None] | None:
        """The blocks to be set where the data become theirs."""
        if not is_regular(ours):
            return None
        if was is not None:
            if not touch.extents and theirs.size == was.size:
                return None
            if not mine.extents and ours.size == was.size:
                return touch.extents
        ino = ours.ino
        there, here = self._theirs.rows(ino, keys.EXTENT), self._ours.rows(ino, keys.EXTENT)
        if theirs.size == ours.size and there == here:
            return None
        self._findings.add(Kind.DATA, ino)
        if not self._theirs_count:
            return None
        number = keys.unpack_u64
        gone: dict[int, bytes | None] = {number(rest): None for rest, _ in here}
        return gone | {number(rest): value for rest, value in there}

    def _xattrs(
        self, ino: int, other: int, touch: Touch, base: Side | None
    ) -> dict[bytes, bytes | None]:
        """The attributes to be set or, with None, removed."""
        here = dict(self._ours.rows(ino, keys.XATTR)) if touch.xattrs or base is None else {}
        changes = touch.xattrs
        if base is None:
            changes = {n: (None, value) for n, value in self._theirs.rows(other, keys.XATTR)}
        found = {}
        for name, (was, theirs) in changes.items():
            value = self._field(Kind.XATTR, ino, was, here.get(name), theirs)
            if value != here.get(name):
                found[name] = value
        return found


def _newer(was: int | None, ours: int, theirs: int) -> int:
    """A time: the newer one, unless one side alone set it."""
    if theirs == was:
        return ours
    return theirs if ours == was else max(ours, theirs)


def _owned(inode: Inode) -> tuple[int, int, int]:
    return inode.mode, inode.uid, inode.gid


def _essence(inode: Inode) -> tuple[int, ...]:
    return *_owned(inode), inode.size, inode.rdev_major, inode.rdev_minor
