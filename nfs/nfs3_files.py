"""Attributes and data: GETATTR, SETATTR, ACCESS, READLINK, READ, WRITE, COMMIT, and what is said
of the whole file system: FSSTAT, FSINFO, PATHCONF (RFC 1813 3.3.1 to 3.3.7, 3.3.18 to 3.3.21)."""

from __future__ import annotations

import stat
from typing import Any

from nfs import attributes
from nfs.attributes import post_op, wcc
from nfs.door import OK, Door, Result
from nfs.exported import Exported
from nfs.nfs3_messages import (
    ACCESS3args,
    ACCESS3resok,
    COMMIT3args,
    COMMIT3resok,
    FSINFO3resok,
    FSROOT3args,
    FSSTAT3resok,
    GETATTR3args,
    GETATTR3resok,
    PATHCONF3resok,
    READ3args,
    READ3resok,
    READLINK3args,
    READLINK3resok,
    SETATTR3args,
    WRITE3args,
    WRITE3resok,
    one_attr,
    one_wcc,
)
from nfs.nfs3_types import nfstime3, stable_how
from nfs.program import Call, Later
from nfs.status import status
from store.errors import AccessDenied, FileTooBig, InvalidArgument, NotSync, Stale, StoreError
from store.types import FILE_BYTES_MAX, LINK_MAX, R_OK, W_OK, X_OK, Caller, Data
from store.virtual import Read

# ACCESS bits (RFC 1813 3.3.4).
READ, LOOKUP, MODIFY, EXTEND, DELETE, EXECUTE = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_OF_FILES = ((READ, R_OK), (MODIFY, W_OK), (EXTEND, W_OK), (EXECUTE, X_OK))
_OF_DIRECTORIES = (
    (READ, R_OK),
    (LOOKUP, X_OK),
    (MODIFY, W_OK | X_OK),
    (EXTEND, W_OK | X_OK),
    (DELETE, W_OK | X_OK),
)

# Properties of FSINFO (RFC 1813 3.3.19): hard links, symbolic links, one PATHCONF for all, and
# times that can be set.
_PROPERTIES = 0x01 | 0x02 | 0x08 | 0x10
# What a client is to ask for of a directory at once: some 300 entries with their attributes.
DIRECTORY_BYTES_PREFERRED = 64 * 1024
# Reads and writes are cheapest in these multiples: the store's page.
_MULTIPLE_BYTES = 4096
# Data below this is copied out of the connection's buffer, which it would else keep in memory.
_COPIED_BYTES = 32 * 1024


def getattr3(door: Door, call: Call, arguments: GETATTR3args) -> Result:
    """RFC 1813 3.3.1.

    A client asks this when a file is opened. Where another one has its name by now, that it is
    stale makes the client look the name up; who has it open goes on reading it.
    """
    exported, ino = door.open(call, arguments.object)
    if exported.has_replaced(ino):
        raise Stale(f"another file has the name of inode {ino}")
    packed = door.shown(exported, exported.tree.getattr(ino)).attributes
    return OK, GETATTR3resok(packed[4:])  # without the word that says that they follow


def setattr3(door: Door, call: Call, arguments: SETATTR3args) -> Result:
    """RFC 1813 3.3.2. The guard is compared with the ctime as the client saw it."""
    exported, ino = door.open_to_change(call, arguments.object)
    tree, guard = exported.tree, arguments.guard
    if guard is not None and attributes.wire_time(tree.getattr(ino).ctime_ns) != guard:
        raise NotSync(f"inode {ino} has changed since the client looked")
    wanted = attributes.set_attributes(arguments.new_attributes)
    change = tree.setattr(exported.caller(call.caller), ino, wanted)
    door.settled(call, exported, lambda: one_wcc(door.unchanged(call, arguments.object)))
    return OK, one_wcc(wcc(change, exported.fsid))


def access3(door: Door, call: Call, arguments: ACCESS3args) -> Result:
    """RFC 1813 3.3.4. What is granted here is what later calls allow."""
    exported, ino = door.open(call, arguments.object)
    tree, wanted = exported.tree, arguments.access
    inode = tree.getattr(ino)
    granted = tree.access(exported.caller(call.caller), ino, R_OK | W_OK | X_OK)
    if exported.rule.read_only:
        granted &= ~W_OK
    bits = _OF_DIRECTORIES if stat.S_ISDIR(inode.mode) else _OF_FILES
    allowed = 0
    for bit, mask in bits:
        if wanted & bit and granted & mask == mask:
            allowed |= bit
    return OK, ACCESS3resok(door.shown(exported, inode).attributes, allowed)


def readlink3(door: Door, call: Call, arguments: READLINK3args) -> Result:
    """RFC 1813 3.3.5."""
    exported, ino = door.open(call, arguments.symlink)
    target = exported.tree.readlink(exported.caller(call.caller), ino)
    inode = exported.tree.getattr(ino)
    return OK, READLINK3resok(post_op(inode, exported.fsid), target)


# --- data ---------------------------------------------------------------------------------------


def read3(door: Door, call: Call, arguments: READ3args) -> Result | Later:
    """RFC 1813 3.3.6. Data that the page cache has is read at once, other by another thread."""
    exported, ino = door.open(call, arguments.file)
    count = min(arguments.count_, door.limits.read_bytes_max)
    job = _begin_read(door, exported, exported.caller(call.caller), ino, arguments.offset, count)
    if job.run_cached():
        return _read(door, exported, job.finish())

    peer = call.peer
    peer.reading_bytes += count

    def finish() -> Result:
        peer.reading_bytes -= count
        try:
            return _read(door, exported, job.finish())
        except StoreError as error:
            return status(error), one_attr(door.attributes(call, arguments.file))

    return Later(job.run, finish)


def _begin_read(
    door: Door, exported: Exported, who: Caller, ino: int, offset: int, count: int
) -> Read:
    """A read by whoever may read, or execute: the client reads a program in order to run it."""
    tree, take = exported.tree, door.buffers.take
    if offset > FILE_BYTES_MAX:
        offset, count = FILE_BYTES_MAX, 0  # past the end of any file (RFC 1813 3.3.6)
    try:
        return tree.begin_read(who, ino, offset, count, take)
    except AccessDenied:
        if tree.access(who, ino, X_OK) != X_OK:
            raise
        return tree.begin_read(None, ino, offset, count, take)


def _read(door: Door, exported: Exported, done: Data) -> Result:
    data, eof, inode = done
    return OK, READ3resok(door.shown(exported, inode).attributes, len(data), eof, data)


def write3(door: Door, call: Call, arguments: WRITE3args) -> Result:
    """RFC 1813 3.3.7. UNSTABLE data is answered from memory; other when it is durable."""
    exported, ino = door.open_to_change(call, arguments.file)
    data: Any = arguments.data
    if len(data) != arguments.count_:
        raise InvalidArgument(f"{len(data)} bytes in a write of {arguments.count_}")
    if arguments.offset > FILE_BYTES_MAX:
        raise FileTooBig(f"a write at {arguments.offset}")
    if len(data) < _COPIED_BYTES:
        data = bytes(data)
    who = exported.caller(call.caller)
    change = exported.tree.write(who, ino, arguments.offset, data)
    committed = stable_how.UNSTABLE
    if arguments.stable != stable_how.UNSTABLE:
        committed = stable_how.FILE_SYNC
        door.durable(call, lambda: one_wcc(door.unchanged(call, arguments.file)))
    reply = WRITE3resok(wcc(change, exported.fsid), arguments.count_, committed, door.verifier)
    return OK, reply


def commit3(door: Door, call: Call, arguments: COMMIT3args) -> Result:
    """RFC 1813 3.3.21. All that was changed is made durable, whatever the range."""
    exported, ino = door.open_to_change(call, arguments.file)
    inode = exported.tree.getattr(ino)
    if not stat.S_ISREG(inode.mode):
        raise InvalidArgument(f"inode {ino} is no regular file")
    door.durable(call, lambda: one_wcc(door.unchanged(call, arguments.file)))
    return OK, COMMIT3resok(door.unchanged(call, arguments.file), door.verifier)


# --- the whole file system ----------------------------------------------------------------------


def fsstat3(door: Door, call: Call, arguments: FSROOT3args) -> Result:
    """RFC 1813 3.3.18. The quota of the branch counts as the size of its disk."""
    exported, ino = door.open(call, arguments.object)
    found, inode = exported.tree.statfs(), exported.tree.getattr(ino)
    return OK, FSSTAT3resok(
        post_op(inode, exported.fsid),
        found.total_bytes,
        found.free_bytes,
        found.available_bytes,
        found.total_inodes,
        found.free_inodes,
        found.free_inodes,
        0,
    )


def fsinfo3(door: Door, call: Call, arguments: FSROOT3args) -> Result:
    """RFC 1813 3.3.19."""
    exported, ino = door.open(call, arguments.object)
    reads, writes = door.limits
    return OK, FSINFO3resok(
        post_op(exported.tree.getattr(ino), exported.fsid),
        reads,
        reads,
        _MULTIPLE_BYTES,
        writes,
        writes,
        _MULTIPLE_BYTES,
        DIRECTORY_BYTES_PREFERRED,
        FILE_BYTES_MAX,
        nfstime3(0, 1),
        _PROPERTIES,
    )


def pathconf3(door: Door, call: Call, arguments: FSROOT3args) -> Result:
    """RFC 1813 3.3.20."""
    exported, ino = door.open(call, arguments.object)
    inode, name_max = exported.tree.getattr(ino), exported.tree.statfs().name_bytes_max
    return OK, PATHCONF3resok(
        post_op(inode, exported.fsid), LINK_MAX, name_max, True, True, False, True
    )
