"""Requests about names: LOOKUP, CREATE, MKNOD, MKDIR, SYMLINK, LINK, UNLINK, RMDIR, RENAME.

The kernel has checked permissions by the attributes that it was shown (`default_permissions`), with
all of the caller's groups and capabilities, of which a request says nothing. So everything is done
as the superuser here, for the caller as owner.
"""

from __future__ import annotations

import os

from fuse import errno
from fuse.errno import Refused
from fuse.protocol import (
    CREATE_IN,
    FOPEN_KEEP_CACHE,
    IN_HEADER,
    LINK_IN,
    MKDIR_IN,
    MKNOD_IN,
    OPEN_OUT,
    RENAME2_IN,
    RENAME_EXCHANGE,
    RENAME_IN,
    RENAME_NOREPLACE,
    name,
    two_names,
)
from fuse.request import Durable, Payload, Request, Result
from fuse.session import Session
from fuse.volumes import Volume, decode_device
from store.errors import Exists, NotPermitted, ReadOnly, Stale
from store.snapdir import SnapshotDirectory
from store.tree import Tree
from store.types import ROOT, Caller, Made, RenameHow
from store.virtual import VirtualTree

_BODY = IN_HEADER.size
_OPENED = OPEN_OUT.pack(0, FOPEN_KEEP_CACHE, 0)
_HOW = {
    0: RenameHow.REPLACE,
    RENAME_NOREPLACE: RenameHow.NOREPLACE,
    RENAME_EXCHANGE: RenameHow.EXCHANGE,
}


def lookup(session: Session, request: Request) -> Result:
    """A name's inode. That there is none may be remembered as well as that there is one."""
    volume, parent = session.find(request.node)
    wanted = name(request.data, _BODY)
    tree = volume.tree
    if isinstance(tree, SnapshotDirectory) and wanted not in (b".", b".."):
        return session.snapshot_entry(tree, wanted)
    virtual = session.virtual(request.node, wanted)
    if virtual is not None:
        return session.entry(virtual, virtual.tree.root)
    if isinstance(tree, Tree):
        found = tree.child(parent, wanted)
        if found is None:
            return session.absent
        inode = found
    else:
        inode = tree.lookup(ROOT, parent, wanted)
        if wanted == b".." and parent == tree.root:
            volume = session.main
    return volume.entry(inode, session.nodes.remember(volume, inode.ino))


def _writable(session: Session, node: int) -> tuple[Volume, Tree | VirtualTree, int]:
    """The tree and directory that a name is to be made in. Raises ReadOnly."""
    volume, ino = session.find(node)
    if session.options.read_only:
        raise ReadOnly("names are not made here")
    return volume, volume.tree, ino


def _new(
    session: Session, request: Request, wanted: bytes
) -> tuple[Volume, Tree | VirtualTree, int]:
    """The same, for a name that must not be a virtual directory's."""
    if session.virtual(request.node, wanted) is not None:
        raise Exists(f"{wanted!r} is a virtual directory")
    return _writable(session, request.node)


def _entry(session: Session, volume: Volume, made: Made) -> bytes:
    return volume.entry(made.inode, session.nodes.remember(volume, made.inode.ino))


def create(session: Session, request: Request) -> Result:
    """open(2) with O_CREAT of a name that the kernel has not found."""
    flags, mode, _, _ = CREATE_IN.unpack_from(request.data, _BODY)
    wanted = name(request.data, _BODY + CREATE_IN.size)
    volume, tree, parent = _new(session, request, wanted)
    try:
        made = tree.create(
            ROOT, parent, wanted, mode & 0o7777, attrs=session.owner(request, tree, parent)
        )
    except Exists:
        if flags & os.O_EXCL:
            raise
        # Somebody else made it meanwhile. The kernel must look again, and check permissions.
        raise Stale(f"{wanted!r} is there by now") from None
    return _entry(session, volume, made) + _OPENED


def mknod(session: Session, request: Request) -> Result:
    """mknod(2); also of regular files."""
    mode, device, _, _ = MKNOD_IN.unpack_from(request.data, _BODY)
    wanted = name(request.data, _BODY + MKNOD_IN.size)
    volume, tree, parent = _new(session, request, wanted)
    numbers = decode_device(device)
    made = tree.mknod(
        ROOT, parent, wanted, mode, *numbers, attrs=session.owner(request, tree, parent)
    )
    return _entry(session, volume, made)


def mkdir(session: Session, request: Request) -> Result:
    """mkdir(2). In `.snapshots` it takes a snapshot, durable when this is answered."""
    mode, _ = MKDIR_IN.unpack_from(request.data, _BODY)
    wanted = name(request.data, _BODY + MKDIR_IN.size)
    directory, _ = session.find(request.node)
    if isinstance(directory.tree, SnapshotDirectory):
        directory.tree.mkdir(Caller(request.uid, request.gid), request.node, wanted, mode)
        return Durable(session.snapshot_entry(directory.tree, wanted))
    volume, tree, parent = _new(session, request, wanted)
    made = tree.mkdir(
        ROOT, parent, wanted, mode & 0o7777, attrs=session.owner(request, tree, parent)
    )
    return _entry(session, volume, made)


def symlink(session: Session, request: Request) -> Result:
    """symlink(2)."""
    wanted, target = two_names(request.data, _BODY)
    volume, tree, parent = _new(session, request, wanted)
    made = tree.symlink(ROOT, parent, wanted, target, attrs=session.owner(request, tree, parent))
    return _entry(session, volume, made)


def link(session: Session, request: Request) -> Result:
    """link(2)."""
    (old,) = LINK_IN.unpack_from(request.data, _BODY)
    wanted = name(request.data, _BODY + LINK_IN.size)
    source, ino = session.find(old)
    volume, tree, parent = _new(session, request, wanted)
    if source is not volume:
        raise Refused(errno.EXDEV)
    return _entry(session, volume, tree.link(ROOT, ino, parent, wanted))


def _old(session: Session, request: Request, wanted: bytes) -> tuple[Tree | VirtualTree, int]:
    """The tree and directory that a name is to be taken from."""
    if session.virtual(request.node, wanted) is not None:
        raise NotPermitted(f"{wanted!r} is a virtual directory")
    _, tree, parent = _writable(session, request.node)
    return tree, parent


def unlink(session: Session, request: Request) -> Result:
    """unlink(2)."""
    wanted = name(request.data, _BODY)
    directory, _ = session.find(request.node)
    if isinstance(directory.tree, SnapshotDirectory):
        directory.tree.unlink(ROOT, request.node, wanted)
    tree, parent = _old(session, request, wanted)
    tree.unlink(ROOT, parent, wanted)
    return b""


def rmdir(session: Session, request: Request) -> Result:
    """rmdir(2). In `.snapshots` it deletes a snapshot."""
    wanted = name(request.data, _BODY)
    directory, _ = session.find(request.node)
    if isinstance(directory.tree, SnapshotDirectory):
        directory.tree.rmdir(Caller(request.uid, request.gid), request.node, wanted)
        return Durable(b"")
    tree, parent = _old(session, request, wanted)
    tree.rmdir(ROOT, parent, wanted)
    return b""


def rename(session: Session, request: Request) -> Result:
    """rename(2), from kernels that have no flags to say."""
    (target,) = RENAME_IN.unpack_from(request.data, _BODY)
    return _renamed(session, request, target, 0, RENAME_IN.size)


def rename2(session: Session, request: Request) -> Result:
    """renameat2(2) with RENAME_NOREPLACE or RENAME_EXCHANGE."""
    target, flags, _ = RENAME2_IN.unpack_from(request.data, _BODY)
    return _renamed(session, request, target, flags, RENAME2_IN.size)


def _renamed(session: Session, request: Request, target: int, flags: int, skip: int) -> Payload:
    old, new = two_names(request.data, _BODY + skip)
    how = _HOW.get(flags)
    if how is None:
        raise Refused(errno.EINVAL)  # RENAME_WHITEOUT, say
    if session.virtual(target, new) is not None:
        raise Exists(f"{new!r} is a virtual directory")
    tree, parent = _old(session, request, old)
    _, other, new_parent = _writable(session, target)
    if other is not tree:
        raise Refused(errno.EXDEV)
    tree.rename(ROOT, parent, old, new_parent, new, how)
    return b""
