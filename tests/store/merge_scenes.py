"""Small trees, edits told in words, and what comes of merging them."""

from __future__ import annotations

import shlex
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from store import errors
from store.conflicts import Favor
from store.merging import Merged, Request
from store.store import Store
from store.tree import Tree
from store.types import ROOT, Inode, RenameHow, SetAttr
from tests.store.model_steps import list_all

BLOCK_BYTES = 8192

# What every branch starts from; `big` has two blocks and a hole between them.
BASE = """
write f base-of-f; write g base-of-g; write l linked; ln l d/l2
write d/a a; write d/b/c c; write d/b/deep/x x; mkdir e; symlink s f; mknod p
write big 0; write big@16384 2; xattr f user.kept yes
"""


def edit(tree: Tree, script: str) -> None:
    """Do what a script says, command by command; directories are made as they are needed."""
    for line in script.replace("\n", ";").split(";"):
        words = shlex.split(line)
        if words:
            _COMMANDS[words[0]](tree, *words[1:])


def _place(tree: Tree, path: str) -> tuple[int, bytes]:
    at = tree.root
    *above, name = path.encode().split(b"/")
    for part in above:
        found = tree.child(at, part)
        at = (found or tree.mkdir(ROOT, at, part, 0o755).inode).ino
    return at, name


def find(tree: Tree, path: str) -> Inode:
    return tree.resolve(path.encode())


def _write(tree: Tree, path: str, text: str) -> None:
    path, _, offset = path.partition("@")
    parent, name = _place(tree, path)
    inode = tree.child(parent, name) or tree.create(ROOT, parent, name, 0o644).inode
    if not offset:
        tree.setattr(ROOT, inode.ino, SetAttr(size=0))
    tree.write(ROOT, inode.ino, int(offset or 0), text.encode())


def _mkdir(tree: Tree, path: str, mode: str = "755") -> None:
    tree.mkdir(ROOT, *_place(tree, path), int(mode, 8))


def _symlink(tree: Tree, path: str, target: str) -> None:
    tree.symlink(ROOT, *_place(tree, path), target.encode())


def _mknod(tree: Tree, path: str, mode: str = "10644") -> None:
    tree.mknod(ROOT, *_place(tree, path), int(mode, 8), 4, 7)


def _ln(tree: Tree, old: str, new: str) -> None:
    tree.link(ROOT, find(tree, old).ino, *_place(tree, new))


def _mv(tree: Tree, old: str, new: str) -> None:
    tree.rename(ROOT, *_place(tree, old), *_place(tree, new))


def _swap(tree: Tree, old: str, new: str) -> None:
    tree.rename(ROOT, *_place(tree, old), *_place(tree, new), RenameHow.EXCHANGE)


def _rm(tree: Tree, path: str) -> None:
    parent, name = _place(tree, path)
    inode = tree.child(parent, name)
    assert inode is not None
    if not stat.S_ISDIR(inode.mode):
        tree.unlink(ROOT, parent, name)
        return
    for entry in list_all(tree, inode.ino)[2:]:
        _rm(tree, f"{path}/{entry.name.decode()}")
    tree.rmdir(ROOT, parent, name)


def _attrs(tree: Tree, path: str, attrs: SetAttr) -> None:
    tree.setattr(ROOT, find(tree, path).ino, attrs)


def _xattr(tree: Tree, path: str, name: str, value: str = "") -> None:
    ino = find(tree, path).ino
    if value:
        tree.setxattr(ROOT, ino, name.encode(), value.encode())
    else:
        tree.removexattr(ROOT, ino, name.encode())


_COMMANDS: dict[str, Callable[..., None]] = {
    "write": _write,
    "mkdir": _mkdir,
    "symlink": _symlink,
    "mknod": _mknod,
    "ln": _ln,
    "mv": _mv,
    "swap": _swap,
    "rm": _rm,
    "chmod": lambda tree, path, mode: _attrs(tree, path, SetAttr(mode=int(mode, 8))),
    "chown": lambda tree, path, uid: _attrs(tree, path, SetAttr(uid=int(uid))),
    "chgrp": lambda tree, path, gid: _attrs(tree, path, SetAttr(gid=int(gid))),
    "cut": lambda tree, path, size: _attrs(tree, path, SetAttr(size=int(size))),
    "touch": lambda tree, path, ns: _attrs(tree, path, SetAttr(mtime_ns=int(ns))),
    "xattr": _xattr,
}


class Shown(NamedTuple):
    """All about an inode but its times and its number; `names` are all its paths."""

    mode: int
    owner: tuple[int, int]
    device: tuple[int, int]
    size: int
    content: bytes
    blocks: tuple[int, ...]
    xattrs: dict[bytes, bytes]
    names: tuple[bytes, ...]


def shown(tree: Tree) -> dict[bytes, Shown]:
    """A whole tree, by path."""
    found: dict[bytes, Shown] = {}
    todo = [(b"", tree.root)]
    while todo:
        path, ino = todo.pop()
        inode = tree.getattr(ino)
        content = b""
        blocks: tuple[int, ...] = ()
        if stat.S_ISREG(inode.mode):
            content = bytes(tree.read(ROOT, ino, 0, inode.size).data)
            blocks = tuple(tree.allocated_blocks(ino, 0))
        elif stat.S_ISLNK(inode.mode):
            content = tree.readlink(ROOT, ino)
        elif stat.S_ISDIR(inode.mode):
            entries = list_all(tree, ino)[2:]
            assert inode.size == len(entries)
            todo += [(path + b"/" + entry.name, entry.ino) for entry in entries]
        found[path or b"/"] = Shown(
            inode.mode,
            (inode.uid, inode.gid),
            (inode.rdev_major, inode.rdev_minor),
            inode.size,
            content,
            blocks,
            tree.xattrs_of(ino),
            tuple(tree.paths_of(ino)),
        )
    return found


@contextmanager
def sound(path: Path) -> Iterator[Store]:
    """A store, which is sound in the end, before and after all of it is sealed."""
    with Store.open(path) as store:
        yield store
        assert store.check(data=True) == []
        store.settle()
        assert store.check(data=True) == []


def planted(store: Store) -> None:
    """A branch `main` with the base, and a snapshot `main@base` of it."""
    store.create_branch("main")
    edit(store.tree("main"), BASE)
    store.snapshot("main", "base")


def forked(store: Store, name: str, script: str) -> Tree:
    """A branch that starts as the base and was edited."""
    store.fork("main@base", name)
    tree = store.tree(name)
    edit(tree, script)
    return tree


def merged(store: Store, source: str, branch: str, favor: Favor | None = None) -> Merged:
    """Merge; where that changes nothing, nothing has changed."""
    before = shown(store.tree(branch))
    names = source.partition("@")[0], branch
    snapshots = [len(store.snapshots(name)) for name in names]
    done = store.merge(Request(source, branch, favor=favor))
    if done.conflicts:
        assert done.snapshot is None
        assert shown(store.tree(branch)) == before
        assert [len(store.snapshots(name)) for name in names] == snapshots
    return done


def told(done: Merged) -> set[str]:
    """Conflicts as `KIND path`."""
    return {f"{one.kind.name} {one.path.decode()[1:]}" for one in done.conflicts}


def refused(store: Store, request: Request) -> type[errors.StoreError]:
    """The error that a merge ends with, which has changed nothing."""
    before = shown(store.tree(request.branch))
    try:
        store.merge(request)
    except errors.StoreError as error:
        assert shown(store.tree(request.branch)) == before
        return type(error)
    raise AssertionError(f"{request} was done")
