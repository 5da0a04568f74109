"""A whole tree as facts by path, seen through a mount or over NFS, so that two can be compared."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from nfs.nfs3_types import fattr3, ftype3, nfstime3
from tests.fuse.nfsfs import NfsFs

TYPES = {
    ftype3.REG: stat.S_IFREG,
    ftype3.DIR: stat.S_IFDIR,
    ftype3.BLK: stat.S_IFBLK,
    ftype3.CHR: stat.S_IFCHR,
    ftype3.LNK: stat.S_IFLNK,
    ftype3.SOCK: stat.S_IFSOCK,
    ftype3.FIFO: stat.S_IFIFO,
}


class Facts(NamedTuple):
    """What both doors tell of a file; `content` is a digest, or where a symbolic link points."""

    ino: int
    mode: int
    nlink: int
    uid: int
    gid: int
    size: int
    device: tuple[int, int]
    mtime_ns: int
    ctime_ns: int
    content: str


Tree = dict[str, Facts]
Attributes = dict[str, dict[str, bytes]]


def through_mount(root: Path, path: str = "") -> Tree:
    """Everything below a directory of a mount, itself included."""
    return dict(_mounted(root, path))


def _mounted(root: Path, path: str) -> Iterator[tuple[str, Facts]]:
    where = root / path
    found = os.lstat(where)
    content = ""
    if stat.S_ISREG(found.st_mode):
        content = hashlib.sha256(where.read_bytes()).hexdigest()
    elif stat.S_ISLNK(found.st_mode):
        content = os.readlink(where)
    yield (
        path,
        Facts(
            found.st_ino,
            found.st_mode,
            found.st_nlink,
            found.st_uid,
            found.st_gid,
            found.st_size,
            (os.major(found.st_rdev), os.minor(found.st_rdev)),
            found.st_mtime_ns,
            found.st_ctime_ns,
            content,
        ),
    )
    if stat.S_ISDIR(found.st_mode):
        for name in os.listdir(where):
            yield from _mounted(root, f"{path}/{name}" if path else name)


def _ns(time: nfstime3) -> int:
    return time.seconds * 10**9 + time.nseconds


def through_nfs(fs: NfsFs, path: str = "") -> Tree:
    """The same over NFS."""
    return dict(_called(fs, path))


def _called(fs: NfsFs, path: str) -> Iterator[tuple[str, Facts]]:
    found: fattr3 = fs.stat(path)
    content = ""
    if found.type == ftype3.REG:
        content = hashlib.sha256(fs.read(path)).hexdigest()
    elif found.type == ftype3.LNK:
        content = fs.readlink(path)
    yield (
        path,
        Facts(
            found.fileid,
            TYPES[ftype3(found.type)] | found.mode,
            found.nlink,
            found.uid,
            found.gid,
            found.size,
            (found.rdev.specdata1, found.rdev.specdata2),
            _ns(found.mtime),
            _ns(found.ctime),
            content,
        ),
    )
    if found.type == ftype3.DIR:
        for name in fs.names(path):
            yield from _called(fs, f"{path}/{name}" if path else name)


def attributes(root: Path, tree: Tree) -> Attributes:
    """All extended attributes of a tree's files, through a mount."""
    found: Attributes = {}
    for path in tree:
        names = os.listxattr(root / path, follow_symlinks=False)
        if names:
            found[path] = {
                name: os.getxattr(root / path, name, follow_symlinks=False) for name in names
            }
    return found


def expect_same(one: Tree, other: Tree) -> None:
    """Two trees have the same facts; what differs is shown by path."""
    wrong = [
        f"{path or '.'}: {one.get(path)}\n  not {other.get(path)}"
        for path in sorted(one.keys() | other.keys())
        if one.get(path) != other.get(path)
    ]
    assert not wrong, "\n".join(wrong)


def expect_sane(tree: Tree) -> None:
    """Link counts are what the names say, and no inode is a directory in two places."""
    names = Counter(facts.ino for facts in tree.values())
    directories = {path for path, facts in tree.items() if stat.S_ISDIR(facts.mode)}
    below = Counter(path.rpartition("/")[0] for path in directories if path)
    for path, facts in tree.items():
        links = 2 + below[path] if path in directories else names[facts.ino]
        assert facts.nlink == links, f"{path or '.'}: {facts}, not {links} links"
        assert path not in directories or names[facts.ino] == 1, f"{path}: a directory twice"
