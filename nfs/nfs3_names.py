"""Names: LOOKUP, CREATE, MKDIR, SYMLINK, MKNOD, REMOVE, RMDIR, RENAME, LINK
(RFC 1813 3.3.3 and 3.3.8 to 3.3.15)."""

from __future__ import annotations

import stat
from collections.abc import Callable

from nfs.attributes import NO_ATTRIBUTES, post_op, set_attributes, wcc
from nfs.door import OK, Door, Result, no_dots
from nfs.exported import Exported
from nfs.handle import Volume
from nfs.nfs3_messages import (
    CREATE3args,
    LINK3args,
    LOOKUP3args,
    LOOKUP3resok,
    MKDIR3args,
    MKNOD3args,
    REMOVE3args,
    RENAME3args,
    SYMLINK3args,
    devicedata3,
    linked,
    new_object,
    one_wcc,
    two_wcc,
)
from nfs.nfs3_types import createmode3, ftype3, sattr3
from nfs.program import Call
from nfs.status import BadType
from store.errors import NotFound
from store.snapdir import SnapshotDirectory
from store.tree import Tree
from store.types import Caller, CreateHow, Inode, Made, Removed
from store.virtual import VirtualTree

# Permission bits where the client gave none: nobody but the owner until it says more.
_FILE_MODE, _DIRECTORY_MODE = 0o600, 0o700
_HOW = {createmode3.UNCHECKED: CreateHow.UNCHECKED, createmode3.GUARDED: CreateHow.GUARDED}
_NODES = {
    ftype3.CHR: stat.S_IFCHR,
    ftype3.BLK: stat.S_IFBLK,
    ftype3.SOCK: stat.S_IFSOCK,
    ftype3.FIFO: stat.S_IFIFO,
}


def lookup3(door: Door, call: Call, arguments: LOOKUP3args) -> Result:
    """RFC 1813 3.3.3. `..` does not lead out of the exported directory."""
    directory, name = arguments.what
    exported, parent = door.open(call, directory)
    who, tree = exported.caller(call.caller), exported.tree
    around = door.shown(exported, tree.getattr(parent)).attributes
    try:
        if name == b"..":
            exported, inode = _above(exported, who, parent)
        else:
            inode = tree.lookup(who, parent, name)
            if exported.hides(parent, name):
                raise NotFound("the virtual directory hides it")
    except NotFound:
        exported, inode = _virtual(door, call, exported, parent, name)
    _, attributes, handle = door.shown(exported, inode)
    return OK, LOOKUP3resok(handle, attributes, around)


def _above(exported: Exported, who: Caller, directory: int) -> tuple[Exported, Inode]:
    """What `..` of a directory leads to, for who may search it."""
    exported.tree.lookup(who, directory, b".")
    above = exported.above(directory)
    if directory == exported.root and exported.outer is not None:
        exported = exported.outer
    return exported, exported.tree.getattr(above)


def _virtual(
    door: Door, call: Call, exported: Exported, parent: int, name: bytes
) -> tuple[Exported, Inode]:
    """A name that the tree does not have: a virtual directory, or a snapshot in there."""
    tree = exported.tree
    if isinstance(tree, SnapshotDirectory):
        info = tree.snapshot(name)
        if info is not None:
            volume = Volume(exported.volume.branch, info.id, tree.root_of(info))
            inside = door.realm.exported(volume, call.peer)
            return inside, inside.tree.getattr(inside.root)
    elif exported.hides(parent, name):
        inside = exported.virtual[name]
        return inside, inside.tree.getattr(inside.root)
    raise NotFound(f"no {name!r} in directory {parent}")


# --- making -------------------------------------------------------------------------------------


def create3(door: Door, call: Call, arguments: CREATE3args) -> Result:
    """RFC 1813 3.3.8."""
    (directory, name), (mode, how) = arguments
    exported, parent = door.open_to_change(call, directory)
    who = exported.caller(call.caller)
    door.check_new_name(exported, parent, no_dots(name))
    if mode == createmode3.EXCLUSIVE:
        made = exported.tree.create(
            who,
            parent,
            name,
            _FILE_MODE,
            how=CreateHow.EXCLUSIVE,
            verifier=int.from_bytes(how, "big"),
        )
        return _made(door, call, exported, directory, made)
    wanted = set_attributes(how)
    bits = _FILE_MODE if wanted.mode is None else wanted.mode
    made = exported.tree.create(
        who, parent, name, bits, how=_HOW[mode], size=wanted.size, attrs=wanted
    )
    return _made(door, call, exported, directory, made)


def _made(door: Door, call: Call, exported: Exported, directory: bytes, made: Made) -> Result:
    door.settled(call, exported, lambda: one_wcc(door.unchanged(call, directory)))
    inode, fsid = made.inode, exported.fsid
    return OK, new_object(
        door.handle(exported, inode.ino), post_op(inode, fsid), wcc(made.directory, fsid)
    )


def mkdir3(door: Door, call: Call, arguments: MKDIR3args) -> Result:
    """RFC 1813 3.3.9. In `.snapshots` it takes a snapshot."""
    (directory, name), attributes = arguments
    exported, parent = door.open_to_change(call, directory)
    who = exported.caller(call.caller)
    door.check_new_name(exported, parent, no_dots(name))
    wanted = set_attributes(attributes)
    mode = _DIRECTORY_MODE if wanted.mode is None else wanted.mode
    made = exported.tree.mkdir(who, parent, name, mode, attrs=wanted)
    if isinstance(exported.tree, SnapshotDirectory):
        # Its root is in another volume: the client looks the name up.
        door.durable(call, lambda: one_wcc(door.unchanged(call, directory)))
        return OK, new_object(None, NO_ATTRIBUTES, wcc(made.directory, exported.fsid))
    return _made(door, call, exported, directory, made)


def symlink3(door: Door, call: Call, arguments: SYMLINK3args) -> Result:
    """RFC 1813 3.3.10."""
    (directory, name), (attributes, target) = arguments
    exported, parent = door.open_to_change(call, directory)
    who = exported.caller(call.caller)
    door.check_new_name(exported, parent, no_dots(name))
    wanted = set_attributes(attributes)
    made = exported.tree.symlink(who, parent, name, target, attrs=wanted)
    return _made(door, call, exported, directory, made)


def mknod3(door: Door, call: Call, arguments: MKNOD3args) -> Result:
    """RFC 1813 3.3.11."""
    (directory, name), (kind, what) = arguments
    exported, parent = door.open_to_change(call, directory)
    who = exported.caller(call.caller)
    if kind not in _NODES:
        raise BadType(f"MKNOD makes no objects of type {kind}")
    door.check_new_name(exported, parent, no_dots(name))
    attributes: sattr3 = what
    major = minor = 0
    if isinstance(what, devicedata3):
        attributes, (major, minor) = what
    wanted = set_attributes(attributes)
    mode = _NODES[kind] | (_FILE_MODE if wanted.mode is None else wanted.mode)
    made = exported.tree.mknod(who, parent, name, mode, major, minor, attrs=wanted)
    return _made(door, call, exported, directory, made)


def link3(door: Door, call: Call, arguments: LINK3args) -> Result:
    """RFC 1813 3.3.15."""
    file, (directory, name) = arguments
    exported, ino, parent = door.open_two(call, file, directory)
    door.check_new_name(exported, parent, no_dots(name))
    made = exported.tree.link(exported.caller(call.caller), ino, parent, name)
    door.settled(
        call,
        exported,
        lambda: linked(door.attributes(call, file), door.unchanged(call, directory)),
    )
    fsid = exported.fsid
    return OK, linked(post_op(made.inode, fsid), wcc(made.directory, fsid))


# --- removing and moving ------------------------------------------------------------------------


def remove3(door: Door, call: Call, arguments: REMOVE3args) -> Result:
    """RFC 1813 3.3.12."""
    return _remove(door, call, arguments, lambda tree: tree.unlink)


def rmdir3(door: Door, call: Call, arguments: REMOVE3args) -> Result:
    """RFC 1813 3.3.13. In `.snapshots` it deletes a snapshot."""
    return _remove(door, call, arguments, lambda tree: tree.rmdir)


def _remove(
    door: Door,
    call: Call,
    arguments: REMOVE3args,
    operation: Callable[[Tree | VirtualTree], Callable[[Caller, int, bytes], Removed]],
) -> Result:
    """Have a tree's operation take a name away."""
    directory, name = arguments.object
    exported, parent = door.open_to_change(call, directory)
    door.check_old_name(exported, parent, name)
    removed = operation(exported.tree)(exported.caller(call.caller), parent, name)
    door.settled(call, exported, lambda: one_wcc(door.unchanged(call, directory)))
    return OK, one_wcc(wcc(removed.directory, exported.fsid))


def rename3(door: Door, call: Call, arguments: RENAME3args) -> Result:
    """RFC 1813 3.3.14."""
    (source, name), (target, new_name) = arguments
    exported, parent, new_parent = door.open_two(call, source, target)
    door.check_old_name(exported, parent, name)
    door.check_new_name(exported, new_parent, new_name)
    moved = exported.tree.rename(exported.caller(call.caller), parent, name, new_parent, new_name)
    door.settled(
        call,
        exported,
        lambda: two_wcc(door.unchanged(call, source), door.unchanged(call, target)),
    )
    fsid = exported.fsid
    return OK, two_wcc(wcc(moved.source, fsid), wcc(moved.target, fsid))
