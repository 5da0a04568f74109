"""Who may do what: permission bits, ownership, sticky and set-id rules, as Linux applies them.

Pure functions of an inode and a caller (path_resolution(7), chmod(2), chown(2), inode(7)).
"""

from __future__ import annotations

import stat

from store.errors import AccessDenied, InvalidArgument, NotPermitted
from store.types import R_OK, W_OK, X_OK, Caller, Inode, SetAttr


def granted(inode: Inode, who: Caller, mask: int) -> int:
    """The part of an R_OK | W_OK | X_OK mask that the caller has on the inode."""
    mode = inode.mode
    if who.uid == 0:
        # The superuser reads and writes all, and executes what anyone may execute.
        if mode & 0o111 or stat.S_ISDIR(mode):
            return mask
        return mask & ~X_OK
    if who.uid == inode.uid:
        return mode >> 6 & mask
    if inode.gid == who.gid or inode.gid in who.groups:
        return mode >> 3 & mask
    return mode & mask


def require(inode: Inode, who: Caller, mask: int) -> None:
    """Raise AccessDenied unless the caller has the whole mask."""
    if who.uid == 0 and not mask & X_OK:
        return
    if granted(inode, who, mask) != mask:
        wanted = "".join(c for c, bit in (("r", R_OK), ("w", W_OK), ("x", X_OK)) if mask & bit)
        raise AccessDenied(f"uid {who.uid} lacks {wanted} on inode {inode.ino}")


def in_group(who: Caller, gid: int) -> bool:
    """Whether the caller is a member of the group."""
    return who.gid == gid or gid in who.groups


def require_owner(inode: Inode, who: Caller, what: str) -> None:
    """Raise NotPermitted unless the caller owns the inode or is the superuser."""
    if who.uid not in (0, inode.uid):
        raise NotPermitted(f"only the owner of inode {inode.ino} may {what}")


def require_unsticky(directory: Inode, inode: Inode, who: Caller) -> None:
    """Raise NotPermitted where a sticky directory keeps the caller from removing the inode."""
    if directory.mode & stat.S_ISVTX and who.uid not in (0, inode.uid, directory.uid):
        raise NotPermitted(f"directory {directory.ino} is sticky; inode {inode.ino} is another's")


def without_set_id(inode: Inode, who: Caller | None) -> int:
    """A regular file's mode after the caller (None: nobody in particular) wrote to it or gave it
    away: set-gid without group execution means something else, and stays for the group's own."""
    mode = inode.mode & ~stat.S_ISUID
    stranger = who is not None and who.uid != 0 and not in_group(who, inode.gid)
    if mode & stat.S_IXGRP or stranger:
        mode &= ~stat.S_ISGID
    return mode


def mode_when_cut(inode: Inode, who: Caller) -> int:
    """A regular file's mode after the caller gave it another size."""
    return inode.mode if who.uid == 0 else without_set_id(inode, who)


def new_owner(directory: Inode, who: Caller, mode: int) -> tuple[int, int, int]:
    """Mode, uid and gid of an inode that the caller makes in the directory; mode has type bits."""
    gid = who.gid
    if directory.mode & stat.S_ISGID:
        gid = directory.gid
        if stat.S_ISDIR(mode):
            mode |= stat.S_ISGID
    both = stat.S_ISGID | stat.S_IXGRP
    if not stat.S_ISDIR(mode) and mode & both == both and who.uid and not in_group(who, gid):
        mode &= ~stat.S_ISGID
    return mode, who.uid, gid


def check_ids(*numbers: int | None) -> None:
    """Raise InvalidArgument unless all numbers that are given are user or group ids."""
    for number in numbers:
        if number is not None and not 0 <= number < 2**32 - 1:
            raise InvalidArgument(f"{number} is no user or group id")


def given_owner(who: Caller, uid: int, gid: int, attrs: SetAttr) -> tuple[int, int]:
    """Owner and group of a new inode that is to have those of `attrs`, where they may be given.

    Raises InvalidArgument.
    """
    if attrs.uid is not None and who.uid == 0:
        uid = attrs.uid
    if attrs.gid is not None and (who.uid == 0 or in_group(who, attrs.gid)):
        gid = attrs.gid
    check_ids(uid, gid)
    return uid, gid


def given_times(attrs: SetAttr, now: int) -> tuple[int, int]:
    """atime and mtime of a new inode, in ns."""
    atime, mtime = attrs.atime_ns, attrs.mtime_ns
    return (
        atime if isinstance(atime, int) else now,
        mtime if isinstance(mtime, int) else now,
    )
