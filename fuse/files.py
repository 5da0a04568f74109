"""Requests about inodes: attributes, data, extended attributes, and the file system as a whole."""

from __future__ import annotations

import os

from fuse import errno
from fuse.credentials import who_clears
from fuse.errno import NOT_OFFERED, Refused
from fuse.protocol import (
    BATCH_FORGET_IN,
    FORGET_IN,
    FORGET_ONE,
    GETXATTR_IN,
    GETXATTR_OUT,
    IN_HEADER,
    INTERRUPT_IN,
    LSEEK_IN,
    LSEEK_OUT,
    READ_IN,
    REQUEST_BYTES,
    SETATTR_IN,
    SETXATTR_IN,
    STATFS_OUT,
    WRITE_CACHE,
    WRITE_IN,
    WRITE_KILL_SUIDGID,
    WRITE_OUT,
    XATTR_CREATE,
    XATTR_REPLACE,
    BadRequest,
    Fattr,
    name,
)
from fuse.request import Durable, Reading, Request, Result
from fuse.session import READ_BYTES_MAX, Session
from store import access
from store.errors import ReadOnly, Unsupported
from store.tree import Tree
from store.types import ROOT, Caller, SetAttr, SetTime, XattrHow
from store.virtual import VirtualTree

_BODY = IN_HEADER.size
_NS = 1_000_000_000
_XATTR_HOW = {0: XattrHow.SET, XATTR_CREATE: XattrHow.CREATE, XATTR_REPLACE: XattrHow.REPLACE}
# What the kernel's own attributes are called: access control lists, mostly.
_SYSTEM = b"system."
# Plain numbers: those of an enumeration cost more to combine than all else in a request.
_SIZE_BIT, _MODE_BIT, _KILL_BIT = int(Fattr.SIZE), int(Fattr.MODE), int(Fattr.KILL_SUIDGID)
_UID_BIT, _GID_BIT = int(Fattr.UID), int(Fattr.GID)
_ATIME_BITS = int(Fattr.ATIME), int(Fattr.ATIME_NOW)
_MTIME_BITS = int(Fattr.MTIME), int(Fattr.MTIME_NOW)


def forget(session: Session, request: Request) -> Result:
    """The kernel forgets a node. Not answered."""
    (lookups,) = FORGET_IN.unpack_from(request.data, _BODY)
    session.nodes.forget(request.node, lookups)
    return None


def batch_forget(session: Session, request: Request) -> Result:
    """The kernel forgets many nodes. Not answered."""
    data = memoryview(request.data)
    count, _ = BATCH_FORGET_IN.unpack_from(data, _BODY)
    start = _BODY + BATCH_FORGET_IN.size
    for node, lookups in FORGET_ONE.iter_unpack(data[start : start + count * FORGET_ONE.size]):
        session.nodes.forget(node, lookups)
    return None


def interrupt(session: Session, request: Request) -> Result:
    """The caller of a request was sent a signal. Not answered."""
    session.interrupt(INTERRUPT_IN.unpack_from(request.data, _BODY)[0])
    return None


# --- attributes -----------------------------------------------------------------------------------


def getattr_(session: Session, request: Request) -> Result:
    """stat(2)."""
    volume, ino = session.find(request.node)
    return volume.attr(volume.tree.getattr(ino), request.node)


def setattr_(session: Session, request: Request) -> Result:
    """chmod(2), chown(2), truncate(2), utimensat(2); the kernel sends what it has made of them."""
    (valid, _, _, size, _, atime, mtime, _, atime_ns, mtime_ns, _, mode, _, uid, gid, _) = (
        SETATTR_IN.unpack_from(request.data, _BODY)
    )
    volume, ino = session.find(request.node)
    tree = _writable(session, volume.tree)
    changed = SetAttr(
        mode & 0o7777 if valid & _MODE_BIT else None,
        uid if valid & _UID_BIT else None,
        gid if valid & _GID_BIT else None,
        size if valid & _SIZE_BIT else None,
        _time(valid, *_ATIME_BITS, atime, atime_ns),
        _time(valid, *_MTIME_BITS, mtime, mtime_ns),
    )
    if valid & _KILL_BIT and changed.size is not None and changed.mode is None:
        inode = tree.getattr(ino)
        if inode.mode & 0o6000:
            cleared = access.without_set_id(inode, who_clears(request, inode))
            changed = changed._replace(mode=cleared & 0o7777)
    return volume.attr(tree.setattr(ROOT, ino, changed).after, request.node)


def _writable(session: Session, tree: Tree | VirtualTree) -> Tree | VirtualTree:
    if session.options.read_only:
        raise ReadOnly("this cannot be changed")
    return tree


def _time(valid: int, bit: int, now: int, seconds: int, ns: int) -> int | SetTime | None:
    if not valid & bit:
        return None
    return SetTime.NOW if valid & now else seconds * _NS + ns


def readlink(session: Session, request: Request) -> Result:
    """readlink(2)."""
    volume, ino = session.find(request.node)
    return volume.tree.readlink(ROOT, ino)


# --- data -----------------------------------------------------------------------------------------


def open_(session: Session, request: Request) -> Result:
    """open(2). Nothing is kept of it, as the kernel tells by its nodes what is in use."""
    if session.open_answer is None:
        raise Refused(NOT_OFFERED)
    return session.open_answer


def opendir(session: Session, request: Request) -> Result:
    """opendir(3)."""
    if session.opendir_answer is None:
        raise Refused(NOT_OFFERED)
    return session.opendir_answer


def release(session: Session, request: Request) -> Result:
    """The last close(2) of an open(2)."""
    return b""


def read(session: Session, request: Request) -> Result:
    """pread(2), for a page cache or for the caller itself."""
    _, offset, size, _, _, _, _ = READ_IN.unpack_from(request.data, _BODY)
    volume, ino = session.find(request.node)
    size = min(size, READ_BYTES_MAX)
    return Reading(volume.tree.begin_read(ROOT, ino, offset, size, session.take))


def write(session: Session, request: Request) -> Result:
    """pwrite(2), in memory until it is flushed or synced.

    What is to be appended goes to the end, although the kernel may not know where that is by now.
    """
    data = request.data
    _, offset, size, flags, _, opened, _ = WRITE_IN.unpack_from(data, _BODY)
    volume, ino = session.find(request.node)
    tree = _writable(session, volume.tree)
    if len(data) != REQUEST_BYTES + size:
        raise BadRequest(f"{len(data) - REQUEST_BYTES} bytes in a write of {size}")
    if opened & os.O_APPEND and not flags & WRITE_CACHE:
        end = tree.getattr(ino).size
        if end != offset:
            request.misplaced = min(end, offset)
            offset = end
    kills = flags & WRITE_KILL_SUIDGID
    after = tree.write(None if kills else ROOT, ino, offset, memoryview(data)[REQUEST_BYTES:]).after
    if kills and after.mode & 0o6000:
        mode = access.without_set_id(after, who_clears(request, after))
        if mode != after.mode:
            tree.setattr(ROOT, ino, SetAttr(mode=mode & 0o7777))
    return WRITE_OUT.pack(size, 0)


def lseek(session: Session, request: Request) -> Result:
    """lseek(2) with SEEK_DATA and SEEK_HOLE.

    Not where the kernel holds data back: it would take for a hole what it has yet to write, and
    programs that copy would leave it out. Without this, everything is data to it.
    """
    if session.options.writeback_cache:
        raise Refused(NOT_OFFERED)
    _, offset, whence, _ = LSEEK_IN.unpack_from(request.data, _BODY)
    volume, ino = session.find(request.node)
    if whence not in (os.SEEK_DATA, os.SEEK_HOLE):
        raise Refused(errno.EINVAL)
    seek = volume.tree.seek_data if whence == os.SEEK_DATA else volume.tree.seek_hole
    found = seek(ino, offset)
    if found is None:
        raise Refused(errno.ENXIO)
    return LSEEK_OUT.pack(found)


def fsync(session: Session, request: Request) -> Result:
    """fsync(2), fdatasync(2), on files and directories: all changes made until now are durable."""
    return Durable(b"")


# --- extended attributes --------------------------------------------------------------------------


def getxattr(session: Session, request: Request) -> Result:
    """getxattr(2)."""
    size, _ = GETXATTR_IN.unpack_from(request.data, _BODY)
    wanted = name(request.data, _BODY + GETXATTR_IN.size)
    volume, ino = session.find(request.node)
    return _sized(volume.tree.getxattr(ROOT, ino, _offered(wanted)), size)


def _offered(wanted: bytes) -> bytes:
    """The name of an attribute. Raises Unsupported for those that mean something to the system,
    such as access control lists, as nothing here would act by them."""
    if wanted.startswith(_SYSTEM):
        raise Unsupported(f"{wanted!r} is not kept here")
    return wanted


def _sized(value: bytes, size: int) -> Result:
    """A value, or where the caller has no room for any, how long it is."""
    if not size:
        return GETXATTR_OUT.pack(len(value), 0)
    if len(value) > size:
        raise Refused(errno.ERANGE)
    return value


def listxattr(session: Session, request: Request) -> Result:
    """listxattr(2)."""
    size, _ = GETXATTR_IN.unpack_from(request.data, _BODY)
    volume, ino = session.find(request.node)
    names = volume.tree.listxattr(Caller(request.uid, request.gid), ino)
    return _sized(b"".join(n + b"\0" for n in names if not n.startswith(_SYSTEM)), size)


def setxattr(session: Session, request: Request) -> Result:
    """setxattr(2)."""
    data = request.data
    size, flags = SETXATTR_IN.unpack_from(data, _BODY)
    start = _BODY + SETXATTR_IN.size
    stop = data.find(b"\0", start)
    value = data[stop + 1 :]
    if stop < 0 or len(value) != size:
        raise BadRequest(f"{len(value)} bytes of an attribute of {size}")
    how = _XATTR_HOW.get(flags)
    if how is None:
        raise Refused(errno.EINVAL)
    volume, ino = session.find(request.node)
    tree = _writable(session, volume.tree)
    tree.setxattr(ROOT, ino, _offered(data[start:stop]), value, how)
    return b""


def removexattr(session: Session, request: Request) -> Result:
    """removexattr(2)."""
    wanted = _offered(name(request.data, _BODY))
    volume, ino = session.find(request.node)
    _writable(session, volume.tree).removexattr(ROOT, ino, wanted)
    return b""


# --- the whole ------------------------------------------------------------------------------------


def statfs(session: Session, request: Request) -> Result:
    """statfs(2), the branch's quota applied."""
    volume, _ = session.find(request.node)
    found = volume.tree.statfs()
    block = found.block_bytes
    return STATFS_OUT.pack(
        found.total_bytes // block,
        found.free_bytes // block,
        found.available_bytes // block,
        found.total_inodes,
        found.free_inodes,
        block,
        found.name_bytes_max,
        block,
        0,
    )


def destroy(session: Session, request: Request) -> Result:
    """The last word before an unmount."""
    return b""
