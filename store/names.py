"""The operations that make, remove and move names."""

from __future__ import annotations

import stat
from collections.abc import Callable
from functools import partial

from store import access, keys, records
from store.errors import (
    BadCookie,
    Exists,
    FileTooBig,
    InvalidArgument,
    InvalidName,
    IsDirectory,
    NameTooLong,
    NotDirectory,
    NotEmpty,
    NotFound,
    NotPermitted,
    ReadOnly,
    TooManyLinks,
)
from store.treebase import ABSENT, Entry, TreeBase
from store.types import (
    COOKIE_DOT,
    COOKIE_DOT_DOT,
    FILE_BYTES_MAX,
    LINK_MAX,
    R_OK,
    SYMLINK_BYTES_MAX,
    W_OK,
    X_OK,
    Caller,
    Change,
    CreateHow,
    DirEntry,
    Inode,
    Listing,
    Made,
    Removed,
    SetAttr,
)

_MODE_BITS = 0o7777
_TYPES = (stat.S_IFREG, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK)
_COOKIE_MAX = 2**63 - 1
_DOTS = (b".", b"..")
NOTHING = SetAttr()
# What `DirEntry._make` does, without its check.
_entry_of: Callable[[tuple[bytes, int, int, int]], DirEntry] = partial(tuple.__new__, DirEntry)


def with_entries(directory: Inode, entries: int, directories: int, now: int) -> Inode:
    """A directory that gained so many entries and sub-directories at that time."""
    # Written out field by field: this runs once in every call that changes a directory.
    (ino, mode, nlink, uid, gid, size, used, major, minor, atime, _, _, btime, up, slot, ver) = (
        directory
    )
    return Inode(
        ino,
        mode,
        nlink + directories,
        uid,
        gid,
        size + entries,
        used,
        major,
        minor,
        atime,
        now,
        now,
        btime,
        up,
        slot,
        ver,
    )


class Names(TreeBase):
    """Directory operations of a tree."""

    # --- making -------------------------------------------------------------------------------

    def create(
        self,
        who: Caller,
        parent: int,
        name: bytes,
        mode: int,
        *,
        how: CreateHow = CreateHow.GUARDED,
        verifier: int = 0,
        size: int | None = None,
        attrs: SetAttr = NOTHING,
    ) -> Made:
        """Make a regular file (RFC 1813 3.3.8). `mode` is permission bits, umask applied.

        Raises Exists; with UNCHECKED takes a regular file that is there (IsDirectory for a
        directory) and applies `size` to it; with EXCLUSIVE takes the file that the same verifier
        made. `attrs` and all else as with `mkdir`.
        """
        directory = self._directory(who, parent, X_OK)
        if size is not None and not 0 <= size <= FILE_BYTES_MAX:
            raise FileTooBig(f"{size} is no file size")
        entry = self._entry_for_new(parent, name)
        if entry is not ABSENT:
            return self._take_existing(who, directory, entry, how, verifier, size)
        mode = stat.S_IFREG | mode & _MODE_BITS
        return self._make(
            who, directory, name, mode, 0, 0, size=size or 0, verifier=verifier, attrs=attrs
        )

    def _take_existing(
        self,
        who: Caller,
        directory: Inode,
        entry: Entry,
        how: CreateHow,
        verifier: int,
        size: int | None,
    ) -> Made:
        inode = self.getattr(entry.ino)
        same = Change(directory, directory)
        if how is CreateHow.EXCLUSIVE and verifier and inode.verifier == verifier:
            return Made(inode, same, created=False)
        if how is not CreateHow.UNCHECKED:
            raise Exists(f"the name is taken by inode {entry.ino}")
        if entry.type == stat.S_IFDIR:
            raise IsDirectory(f"the name is taken by directory {entry.ino}")
        if entry.type != stat.S_IFREG:
            raise Exists(f"the name is taken by inode {entry.ino}, not a regular file")
        if size is not None:
            access.require(inode, who, W_OK)
            self._guard()
            inode = self._resized(inode, size, access.mode_when_cut(inode, who))
        return Made(inode, same, created=False)

    def _resized(self, inode: Inode, size: int, mode: int | None = None) -> Inode:
        raise NotImplementedError  # content.Content has it

    def mkdir(
        self, who: Caller, parent: int, name: bytes, mode: int, *, attrs: SetAttr = NOTHING
    ) -> Made:
        """Make a directory.

        It has the owners and times of `attrs`; owners that the caller may not give are left out.
        Raises Exists, NotFound (the parent is removed), AccessDenied, InvalidName, NameTooLong,
        QuotaExceeded, NoSpace, Busy, ReadOnly.
        """
        return self._make_new(who, parent, name, stat.S_IFDIR | mode & _MODE_BITS, attrs=attrs)

    def mknod(
        self,
        who: Caller,
        parent: int,
        name: bytes,
        mode: int,
        major: int = 0,
        minor: int = 0,
        *,
        attrs: SetAttr = NOTHING,
    ) -> Made:
        """Make a fifo, socket, device or regular file; `mode` has type bits.

        Raises NotPermitted for a device unless the superuser asks; InvalidArgument for another
        type; otherwise as `mkdir`.
        """
        kind = stat.S_IFMT(mode)
        if kind not in _TYPES:
            raise InvalidArgument(f"mknod cannot make an inode of type {kind:#o}")
        device = kind in (stat.S_IFCHR, stat.S_IFBLK)
        if not (0 <= major < 2**32 and 0 <= minor < 2**32):
            raise InvalidArgument(f"device number {major}:{minor}")
        numbers = (major, minor) if device else (0, 0)
        mode = kind | mode & _MODE_BITS
        return self._make_new(who, parent, name, mode, *numbers, device=device, attrs=attrs)

    def symlink(
        self, who: Caller, parent: int, name: bytes, target: bytes, *, attrs: SetAttr = NOTHING
    ) -> Made:
        """Make a symbolic link. Raises InvalidArgument, NameTooLong for the target; as `mkdir`."""
        if not target or b"\0" in target:
            raise InvalidArgument("a symbolic link needs a target without NUL")
        if len(target) > SYMLINK_BYTES_MAX:
            raise NameTooLong(f"a target of {len(target)} bytes; {SYMLINK_BYTES_MAX} is the limit")
        mode = stat.S_IFLNK | 0o777
        made = self._make_new(who, parent, name, mode, size=len(target), attrs=attrs)
        prefix = keys.prefix(made.inode.ino, keys.SYMLINK)
        self._mem.put_row(prefix, b"", records.inline_value(target))
        return made

    def _make_new(
        self,
        who: Caller,
        parent: int,
        name: bytes,
        mode: int,
        major: int = 0,
        minor: int = 0,
        *,
        size: int = 0,
        device: bool = False,
        attrs: SetAttr,
    ) -> Made:
        directory = self._directory(who, parent, X_OK)
        if self._entry_for_new(parent, name) is not ABSENT:
            raise Exists(f"{name!r} is taken in directory {parent}")
        if device and who.uid != 0:
            access.require(directory, who, W_OK | X_OK)
            raise NotPermitted("only the superuser makes devices")
        return self._make(who, directory, name, mode, major, minor, size=size, attrs=attrs)

    def _entry_for_new(self, parent: int, name: bytes) -> Entry:
        """The entry of a name that is to be made; `.` and `..` are always taken."""
        entry = self._entries.get((parent, name))
        if entry is None:
            if name in _DOTS:
                raise Exists(f"{name!r} is taken in directory {parent}")
            self._check_name(name)
            entry = self._entry(parent, name)
        return entry

    def _make(
        self,
        who: Caller,
        directory: Inode,
        name: bytes,
        mode: int,
        major: int,
        minor: int,
        *,
        size: int = 0,
        verifier: int = 0,
        attrs: SetAttr,
    ) -> Made:
        parent = directory.ino
        if who.uid != 0:
            access.require(directory, who, W_OK | X_OK)
        if directory.nlink == 0:
            raise NotFound(f"directory {parent} is removed")
        self._guard()
        self._charge_inode()
        spot = self._spot(parent, name)
        is_dir = mode & 0o170000 == stat.S_IFDIR
        mode, uid, gid = access.new_owner(directory, who, mode)
        now = self._ground.now()
        atime = mtime = now
        if attrs is not NOTHING:
            uid, gid = access.given_owner(who, uid, gid, attrs)
            atime, mtime = access.given_times(attrs, now)
        ino = self._ground.next_ino()
        self._add_entry(parent, name, spot, ino, mode & 0o170000)
        nlink = 2 if is_dir else 1
        inode = Inode(
            ino,
            mode,
            nlink,
            uid,
            gid,
            size,
            0,
            major,
            minor,
            atime,
            mtime,
            now,
            now,
            parent,
            spot.slot,
            verifier,
        )
        self._put(inode)
        self._inode_count += 1
        after = self._put(with_entries(directory, 1, is_dir, now))
        return Made(inode, Change(directory, after))

    def link(self, who: Caller, ino: int, parent: int, name: bytes) -> Made:
        """Give an inode another name (link(2)).

        Raises Stale, Exists, NotPermitted for a directory, TooManyLinks, NotFound for an inode
        that has no name left; otherwise as `mkdir`.
        """
        inode = self.getattr(ino)
        directory = self._directory(who, parent, X_OK)
        if self._entry_for_new(parent, name) is not ABSENT:
            raise Exists(f"{name!r} is taken in directory {parent}")
        access.require(directory, who, W_OK | X_OK)
        if stat.S_ISDIR(inode.mode):
            raise NotPermitted("a directory has one name only")
        if inode.nlink == 0:
            raise NotFound(f"inode {ino} has no name left")
        if inode.nlink >= LINK_MAX:
            raise TooManyLinks(f"inode {ino} has {LINK_MAX} names")
        if directory.nlink == 0:
            raise NotFound(f"directory {parent} is removed")
        self._guard()
        spot = self._spot(parent, name)
        now = self._ground.now()
        self._add_entry(parent, name, spot, ino, inode.type)
        inode = self._put(self._with_name(inode, parent, spot.slot)._replace(ctime_ns=now))
        after = self._put(with_entries(directory, 1, 0, now))
        return Made(inode, Change(directory, after))

    # --- back-references ----------------------------------------------------------------------

    def _with_name(self, inode: Inode, parent: int, slot: int) -> Inode:
        """The inode with one name more. Its only name stands in it, several in LINK rows."""
        if inode.nlink == 0:
            return inode._replace(nlink=1, parent=parent, slot=slot)
        prefix = keys.prefix(inode.ino, keys.LINK)
        if inode.nlink == 1:
            only = keys.pack_two_u64(inode.parent, inode.slot)
            self._mem.put_row(prefix, only, keys.PRESENT)
        self._mem.put_row(prefix, keys.pack_two_u64(parent, slot), keys.PRESENT)
        return inode._replace(nlink=inode.nlink + 1, parent=0, slot=0)

    def _without_name(self, inode: Inode, parent: int, slot: int) -> Inode:
        """The inode with one name less."""
        if inode.nlink == 1:
            return inode._replace(nlink=0, parent=0, slot=0)
        prefix = keys.prefix(inode.ino, keys.LINK)
        self._mem.put_row(prefix, keys.pack_two_u64(parent, slot), None)
        if inode.nlink > 2:
            return inode._replace(nlink=inode.nlink - 1)
        ((rest, _),) = list(self._chain.rows(prefix))
        self._mem.put_row(prefix, rest, None)
        only = keys.unpack_u64(rest[:8]), keys.unpack_u64(rest[8:])
        return inode._replace(nlink=1, parent=only[0], slot=only[1])

    def _drop(self, inode: Inode, now: int) -> Inode:
        """Store an inode that just lost a name, or delete it where that was the last."""
        inode = inode._replace(ctime_ns=now)
        if inode.nlink:
            return self._put(inode)
        if inode.ino not in self._held:
            self._forget(inode)
            return inode
        self._mem.put_row(keys.ORPHANS, keys.pack_u64(inode.ino), keys.PRESENT)
        return self._put(inode)

    # --- removing -----------------------------------------------------------------------------

    def _to_remove(self, who: Caller, directory: Inode, name: bytes) -> tuple[Entry, Inode]:
        """The entry and inode of a name that the caller may remove from the directory."""
        self._check_name(name)
        entry = self._entry(directory.ino, name)
        if entry is ABSENT:
            raise NotFound(f"no {name!r} in directory {directory.ino}")
        inode = self.getattr(entry.ino)
        self._writable()
        access.require(directory, who, W_OK | X_OK)
        access.require_unsticky(directory, inode, who)
        return entry, inode

    def _writable(self) -> None:
        if self.read_only:
            raise ReadOnly("this tree is read-only")

    def unlink(self, who: Caller, parent: int, name: bytes) -> Removed:
        """Remove a name of anything but a directory.

        Raises NotFound, IsDirectory, AccessDenied, NotPermitted (sticky), InvalidName, Busy,
        ReadOnly. It is not refused for want of space.
        """
        directory = self._directory(who, parent, X_OK)
        if name in _DOTS:
            raise IsDirectory(f"{name!r} is a directory")
        entry, inode = self._to_remove(who, directory, name)
        if entry.type == stat.S_IFDIR:
            raise IsDirectory(f"{name!r} is a directory")
        self._ground.admit(-1)
        now = self._ground.now()
        self._remove_entry(parent, name, entry.slot)
        gone = self._drop(self._without_name(inode, parent, entry.slot), now)
        after = self._put(with_entries(directory, -1, 0, now))
        return Removed(gone, Change(directory, after))

    def rmdir(self, who: Caller, parent: int, name: bytes) -> Removed:
        """Remove an empty directory. Raises NotDirectory, NotEmpty; otherwise as `unlink`."""
        directory = self._directory(who, parent, X_OK)
        if name == b".":
            raise InvalidArgument("`.` cannot be removed")
        if name == b"..":
            raise NotEmpty("`..` cannot be removed")
        entry, inode = self._to_remove(who, directory, name)
        if entry.type != stat.S_IFDIR:
            raise NotDirectory(f"{name!r} is not a directory")
        if inode.size:
            raise NotEmpty(f"{name!r} has {inode.size} entries")
        self._ground.admit(-1)
        now = self._ground.now()
        self._remove_entry(parent, name, entry.slot)
        gone = self._drop(inode._replace(nlink=0, parent=0, slot=0), now)
        after = self._put(with_entries(directory, -1, -1, now))
        return Removed(gone, Change(directory, after))

    # --- listing ------------------------------------------------------------------------------

    def readdir(self, who: Caller, ino: int, cookie: int = 0, count: int = 1000) -> Listing:
        """At most `count` entries after the one with that cookie, in cookie order (0: from `.`).

        Raises Stale, NotDirectory, AccessDenied, BadCookie.
        """
        directory = self._directory(who, ino, R_OK)
        if not 0 <= cookie <= _COOKIE_MAX:
            raise BadCookie(f"cookie {cookie}")
        entries: list[DirEntry] = []
        if cookie < COOKIE_DOT:
            entries.append(DirEntry(b".", ino, stat.S_IFDIR, COOKIE_DOT))
        if cookie < COOKIE_DOT_DOT:
            up = ino if ino == self.root else directory.parent
            entries.append(DirEntry(b"..", up, stat.S_IFDIR, COOKIE_DOT_DOT))
        if len(entries) > count:
            return Listing(entries[:count], False)
        prefix = keys.prefix(ino, keys.DIRENT)
        start: bytes | None = keys.pack_u64(max(cookie, keys.SLOT_TAIL_MASK) + 1)
        while start is not None:
            # One more than wanted shows whether there is one.
            rows, start = self._chain.page(prefix, start, count + 1 - len(entries))
            entries += directory_entries(rows)
            if len(entries) > count:
                return Listing(entries[:count], False)
        return Listing(entries, True)


def directory_entries(rows: list[tuple[bytes, bytes | None]]) -> list[DirEntry]:
    """What rows of a directory say, marks left out; all together, in about half the time
    that it takes one by one."""
    rests = [rest for rest, value in rows if value is not None]
    values = [value for _, value in rows if value is not None]
    slots = keys.unpack_many_u64(rests)
    children = keys.unpack_many_u64([value[:8] for value in values])
    types = [(value[8] & 0x0F) << 12 for value in values]
    names = [value[9:] for value in values]
    entries = list(map(_entry_of, zip(names, children, types, slots, strict=True)))
    return [entry for entry in entries if entry[1]] if 0 in children else entries


def check_not_dots(*names: bytes) -> None:
    """Raise InvalidArgument for `.` and `..`, which rename(2) refuses."""
    for name in names:
        if name in _DOTS:
            raise InvalidArgument(f"{name!r} cannot be renamed")
        if not name:
            raise InvalidName("an empty name")
