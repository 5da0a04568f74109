"""The POSIX view of a branch (writable) or of a snapshot or commit (read-only).

This is what nfs and fuse call. Every operation is one synchronous, atomic step in memory, made
on one thread; it returns inodes from that same step. What it changed is durable once a flush
that began after it has finished (`store.Store.flush`). Reads do not move atime: reading would
otherwise write history; `setattr` sets it.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator

from store import access, keys, records
from store.content import Content, regular
from store.errors import (
    AccessDenied,
    Exists,
    InvalidArgument,
    NameTooLong,
    NoAttribute,
    NotPermitted,
    NotSync,
    Unsupported,
)
from store.types import (
    COOKIE_DOT_DOT,
    NAME_BYTES_MAX,
    R_OK,
    ROOT,
    W_OK,
    XATTR_NAME_BYTES_MAX,
    XATTR_VALUE_BYTES_MAX,
    Caller,
    Change,
    DirEntry,
    Inode,
    SetAttr,
    SetTime,
    StatFs,
    XattrHow,
)

# Entries read in one go: less than a millisecond's worth.
PAGE_ENTRIES = 512

_TOTAL_MAX = 2**63 - 1
_TIME_NS_MIN, _TIME_NS_MAX = -(2**63), 2**63 - 1
_NAMESPACES = (b"user.", b"trusted.", b"security.", b"system.")


class Tree(Content):
    """One tree; see the module, and `store.Store.tree` and `store.Store.view` which hand it out."""

    def entries(self, ino: int) -> Iterator[DirEntry]:
        """All entries of a directory but `.` and `..`; its entries may be removed meanwhile.

        Raises Stale, NotDirectory.
        """
        cookie, eof = COOKIE_DOT_DOT, False
        while not eof:
            entries, eof = self.readdir(ROOT, ino, cookie, PAGE_ENTRIES)
            if not entries:
                return
            yield from entries
            cookie = entries[-1].cookie

    # --- attributes ---------------------------------------------------------------------------

    def access(self, who: Caller, ino: int, mask: int) -> int:
        """The part of an R_OK | W_OK | X_OK mask that the caller is granted."""
        inode = self.getattr(ino)
        allowed = access.granted(inode, who, mask)
        special = stat.S_ISCHR(inode.mode) or stat.S_ISBLK(inode.mode)
        if self.read_only and not (special or stat.S_ISFIFO(inode.mode)):
            allowed &= ~W_OK
        return allowed

    def setattr(
        self, who: Caller, ino: int, attrs: SetAttr, *, guard_ctime_ns: int | None = None
    ) -> Change:
        """Change attributes, all or none (chmod, chown, truncate and utimensat in one step).

        Raises Stale, NotSync where the guard is not the ctime, NotPermitted, AccessDenied,
        IsDirectory or InvalidArgument for the size of what has none, InvalidArgument,
        FileTooBig, QuotaExceeded, NoSpace, Busy, ReadOnly.
        """
        before = self.getattr(ino)
        if guard_ctime_ns is not None and guard_ctime_ns != before.ctime_ns:
            raise NotSync(f"inode {ino} has changed since {guard_ctime_ns}")
        self._check_setattr(who, before, attrs)
        self._guard()
        inode = before
        if attrs.size is not None:
            inode = self._resized(inode, attrs.size, access.mode_when_cut(inode, who))
        now = inode.ctime_ns if inode is not before else self._ground.now()
        inode = self._owned(who, inode, attrs)
        times = _times(inode, attrs, now)
        return Change(before, self._put(inode._replace(ctime_ns=now, verifier=0, **times)))

    def _check_setattr(self, who: Caller, inode: Inode, attrs: SetAttr) -> None:
        if attrs.size is not None:
            regular(inode)
            if who.uid != inode.uid:
                access.require(inode, who, W_OK)
        if attrs.mode is not None:
            access.require_owner(inode, who, "change its mode")
        if who.uid != 0:
            if attrs.uid is not None and (attrs.uid != inode.uid or who.uid != inode.uid):
                raise NotPermitted(f"uid {who.uid} may not give inode {inode.ino} away")
            if attrs.gid is not None and (
                who.uid != inode.uid
                or (attrs.gid != inode.gid and not access.in_group(who, attrs.gid))
            ):
                raise NotPermitted(f"uid {who.uid} may not give inode {inode.ino} that group")
        access.check_ids(attrs.uid, attrs.gid)
        self._check_times(who, inode, attrs)

    @staticmethod
    def _check_times(who: Caller, inode: Inode, attrs: SetAttr) -> None:
        times = [time for time in (attrs.atime_ns, attrs.mtime_ns) if time is not None]
        if attrs.size is not None and attrs.mtime_ns is SetTime.NOW:
            times.remove(SetTime.NOW)  # a cut does that by itself; Linux asks for both
        if not times:
            return
        given = [time for time in times if not isinstance(time, SetTime)]
        if any(not _TIME_NS_MIN <= time <= _TIME_NS_MAX for time in given):
            raise InvalidArgument("a time out of range")
        if given or len(times) == 1:
            access.require_owner(inode, who, "set its times")
        elif who.uid != inode.uid and access.granted(inode, who, W_OK) != W_OK:
            raise AccessDenied(f"uid {who.uid} may not touch inode {inode.ino}")

    @staticmethod
    def _owned(who: Caller, inode: Inode, attrs: SetAttr) -> Inode:
        """The inode with mode and owners changed, set-id bits cleared as chmod and chown do."""
        uid = inode.uid if attrs.uid is None else attrs.uid
        gid = inode.gid if attrs.gid is None else attrs.gid
        mode = inode.mode
        if attrs.mode is not None:
            mode = stat.S_IFMT(mode) | attrs.mode & 0o7777
            if who.uid != 0 and not access.in_group(who, gid):
                mode &= ~stat.S_ISGID
        elif (attrs.uid is not None or attrs.gid is not None) and not stat.S_ISDIR(mode):
            mode = access.without_set_id(inode, who)
        return inode._replace(mode=mode, uid=uid, gid=gid)

    def readlink(self, who: Caller, ino: int) -> bytes:
        """A symbolic link's target. Raises Stale, InvalidArgument."""
        inode = self.getattr(ino)
        if not stat.S_ISLNK(inode.mode):
            raise InvalidArgument(f"inode {ino} is not a symbolic link")
        value = self._chain.row(keys.prefix(ino, keys.SYMLINK), b"")
        return self._data(value or records.EMPTY_DATA)

    def _data(self, value: bytes) -> bytes:
        oid = records.chunk_of(value)
        return value[1:] if oid is None else bytes(self._ground.objects.get(oid))

    # --- extended attributes (xattr(7)) -------------------------------------------------------

    def getxattr(self, who: Caller, ino: int, name: bytes) -> bytes:
        """An attribute's value. Raises Stale, NoAttribute, Unsupported, AccessDenied."""
        self._xattr_allowed(who, self.getattr(ino), name, R_OK)
        value = self._chain.row(keys.prefix(ino, keys.XATTR), name)
        if value is None:
            raise NoAttribute(f"inode {ino} has no attribute {name!r}")
        return self._data(value)

    def setxattr(
        self, who: Caller, ino: int, name: bytes, value: bytes, how: XattrHow = XattrHow.SET
    ) -> Change:
        """Set an attribute. Raises Exists (CREATE), NoAttribute (REPLACE), InvalidArgument for
        a value over 64 KiB, NameTooLong, Unsupported, NotPermitted, AccessDenied, Busy, ReadOnly.
        """
        inode = self.getattr(ino)
        self._xattr_allowed(who, inode, name, W_OK)
        if len(value) > XATTR_VALUE_BYTES_MAX:
            raise InvalidArgument(f"an attribute of {len(value)} bytes")
        prefix = keys.prefix(ino, keys.XATTR)
        known = self._chain.row(prefix, name) is not None
        if how is XattrHow.CREATE and known:
            raise Exists(f"inode {ino} has an attribute {name!r} already")
        if how is XattrHow.REPLACE and not known:
            raise NoAttribute(f"inode {ino} has no attribute {name!r}")
        self._guard(len(value))
        self._mem.put_row(prefix, name, records.inline_value(value))
        return Change(inode, self._put(inode._replace(ctime_ns=self._ground.now())))

    def listxattr(self, who: Caller, ino: int) -> list[bytes]:
        """Names of the attributes that the caller may know of, in byte order. Raises Stale."""
        self.getattr(ino)
        names = [name for name, _ in self._chain.rows(keys.prefix(ino, keys.XATTR))]
        return [name for name in names if who.uid == 0 or not name.startswith(b"trusted.")]

    def removexattr(self, who: Caller, ino: int, name: bytes) -> Change:
        """Remove an attribute. Raises NoAttribute; otherwise as `setxattr`."""
        inode = self.getattr(ino)
        self._xattr_allowed(who, inode, name, W_OK)
        prefix = keys.prefix(ino, keys.XATTR)
        if self._chain.row(prefix, name) is None:
            raise NoAttribute(f"inode {ino} has no attribute {name!r}")
        self._guard()
        self._mem.put_row(prefix, name, None)
        return Change(inode, self._put(inode._replace(ctime_ns=self._ground.now())))

    def xattrs_of(self, ino: int) -> dict[bytes, bytes]:
        """All attributes of an inode, without any check."""
        rows = self._chain.rows(keys.prefix(ino, keys.XATTR))
        return {name: self._data(value) for name, value in rows}

    @staticmethod
    def _xattr_allowed(who: Caller, inode: Inode, name: bytes, mask: int) -> None:
        if len(name) > XATTR_NAME_BYTES_MAX:
            raise NameTooLong(f"an attribute name of {len(name)} bytes")
        if not name.startswith(_NAMESPACES):
            raise Unsupported(f"{name!r} is in no known attribute name space")
        if name in _NAMESPACES or b"\0" in name:
            raise InvalidArgument(f"{name!r} is no attribute name")
        hidden = NotPermitted if mask == W_OK else NoAttribute
        if name.startswith(b"trusted."):
            if who.uid != 0:
                raise hidden(f"{name!r} is the superuser's")
        elif name.startswith(b"user."):
            if not (stat.S_ISREG(inode.mode) or stat.S_ISDIR(inode.mode)):
                raise hidden(f"{name!r} on a special file")
            sticky = stat.S_ISDIR(inode.mode) and inode.mode & stat.S_ISVTX
            if sticky and mask == W_OK:
                access.require_owner(inode, who, "set attributes of a sticky directory")
            access.require(inode, who, mask)
        elif mask == W_OK and who.uid != 0:
            if name.startswith(b"security."):
                raise NotPermitted(f"{name!r} is the superuser's to set")
            access.require_owner(inode, who, f"set {name!r}")

    # --- the whole ----------------------------------------------------------------------------

    def statfs(self) -> StatFs:
        """Space and inodes as the caller of statfs(2) should see them, the quota applied."""
        total, free = self._ground.disk_bytes()
        used, limit = self._used_bytes, self.quota.bytes_max
        if limit:
            total, free = limit, min(free, max(0, limit - used))
        total = min(max(total, used + free), _TOTAL_MAX)
        inodes_max = self.quota.inodes_max or 2**40
        free_inodes = max(0, inodes_max - self._inode_count)
        return StatFs(total, free, free, inodes_max, free_inodes, 4096, NAME_BYTES_MAX)


def _times(inode: Inode, attrs: SetAttr, now: int) -> dict[str, int]:
    """The times that a setattr asks for."""
    times = {}
    if attrs.atime_ns is not None:
        times["atime_ns"] = now if isinstance(attrs.atime_ns, SetTime) else attrs.atime_ns
    if attrs.mtime_ns is not None:
        times["mtime_ns"] = now if isinstance(attrs.mtime_ns, SetTime) else attrs.mtime_ns
    return times
