"""Attributes between a tree's inodes and local files: owner, mode, times, xattrs."""

from __future__ import annotations

import os
import stat

from fsgw.localfs import Report, reason
from fsgw.steps import Steps, call
from store import errors
from store.tree import Tree
from store.types import ROOT, Inode, SetAttr

# Errors about one path, not about the store: a transfer reports them and goes on.
PATH_ERRORS = (
    errors.FileTooBig,
    errors.InvalidArgument,
    errors.NameTooLong,
    errors.NotPermitted,
    errors.TooManyLinks,
    errors.Unsupported,
)


def differs(inode: Inode, st: os.stat_result) -> bool:
    """Whether attributes differ that an import keeps equal; atime only follows the others."""
    return (
        inode.mtime_ns != st.st_mtime_ns
        or (inode.mode != st.st_mode and not stat.S_ISLNK(st.st_mode))
        or inode.uid != st.st_uid
        or inode.gid != st.st_gid
        or (inode.size != st.st_size and stat.S_ISREG(st.st_mode))
    )


def is_same(a: os.stat_result, b: os.stat_result) -> bool:
    """Whether two looks at a local file saw the same file in the same state."""
    return (
        a.st_mtime_ns == b.st_mtime_ns
        and a.st_size == b.st_size
        and a.st_ino == b.st_ino
        and a.st_dev == b.st_dev
        and a.st_mode == b.st_mode
    )


def attributes_of(st: os.stat_result) -> SetAttr:
    """What makes an inode's attributes those of a local file (a symlink has no mode to set)."""
    mode = None if stat.S_ISLNK(st.st_mode) else stat.S_IMODE(st.st_mode)
    return SetAttr(mode, st.st_uid, st.st_gid, None, st.st_atime_ns, st.st_mtime_ns)


def xattrs_in(
    found: dict[bytes, bytes], path: bytes, tree: Tree, ino: int, is_new: bool, report: Report
) -> Steps[bool]:
    """Make the inode's extended attributes those found of `path`; returns whether any differed.

    Without root, local `trusted.` ones cannot be seen, so the inode's stay.
    """
    have = {} if is_new else tree.xattrs_of(ino)
    if found == have:
        return False
    changed = False
    for name, value in found.items():
        if have.get(name) == value:
            continue
        try:
            yield from call(tree.setxattr, ROOT, ino, name, value)
            changed = True
        except PATH_ERRORS as error:
            report.trouble(path, f"extended attribute {os.fsdecode(name)}: {error}")
    may_see_all = os.geteuid() == 0
    for name in have.keys() - found.keys():
        if may_see_all or not name.startswith(b"trusted."):
            yield from call(tree.removexattr, ROOT, ino, name)
            changed = True
    return changed


def restore(tree: Tree, inode: Inode, path: bytes, report: Report) -> None:
    """Give the local file `path` the inode's owner, mode, extended attributes and times.

    Owners need root. Without it the set-uid and set-gid bits of another's file are dropped, as
    they would speak for the wrong user. Follows no symlink.
    """
    mode = stat.S_IMODE(inode.mode)
    is_link = stat.S_ISLNK(inode.mode)
    if os.geteuid() == 0:
        os.chown(path, inode.uid, inode.gid, follow_symlinks=False)
    elif (inode.uid, inode.gid) != (os.geteuid(), os.getegid()):
        mode &= ~(stat.S_ISUID | stat.S_ISGID)
    for name, value in tree.xattrs_of(inode.ino).items():
        try:
            os.setxattr(path, name, value, follow_symlinks=False)
        except OSError as error:
            report.trouble(path, f"extended attribute {os.fsdecode(name)}: {reason(error)}")
    if not is_link:
        os.chmod(path, mode)
    os.utime(path, ns=(inode.atime_ns, inode.mtime_ns), follow_symlinks=False)
