"""What git cannot say comes back when a store's export is imported into another store."""

from __future__ import annotations

import random
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gitdoor import attributes
from gitdoor.attributes import NOTHING, Line
from gitdoor.objects import BadObject
from store import errors
from store.store import Store
from store.tree import Tree
from store.types import ROOT, RenameHow, SetAttr, XattrHow
from tests.gitdoor.helpers import brought_in, written
from tests.gitdoor.repositories import Git
from tests.store.model_steps import list_all

NAMES = [
    b"a",
    b"b",
    b"c",
    b"file",
    b"n\xe9\xff",
    b".git",
    b".GIT",
    b"git~1",
    b".gitmodules",
    b"=",
    b"+x",
]
SECOND = 1_000_000_000


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Store]:
    """A store with numbers of its own."""
    Store.init(tmp_path / "other", replica=77)
    with Store.open(tmp_path / "other") as opened:
        yield opened
        assert opened.check(data=True) == []


def everything(tree: Tree) -> dict[bytes, Any]:
    """All of a tree but numbers of inodes, and times that nobody can set."""
    found: dict[bytes, Any] = {}
    first: dict[int, bytes] = {}
    todo = [(b"", tree.root)]
    while todo:
        path, ino = todo.pop()
        inode = tree.getattr(ino)
        content: Any = None
        if stat.S_ISREG(inode.mode):
            content = bytes(tree.read(None, ino, 0, inode.size).data)
        elif stat.S_ISLNK(inode.mode):
            content = tree.readlink(ROOT, ino)
        elif stat.S_ISDIR(inode.mode):
            below = [e for e in list_all(tree, ino) if e.name not in (b".", b"..")]
            content = sorted(entry.name for entry in below)
            todo += [(path + b"/" + e.name, e.ino) for e in sorted(below, reverse=True)]
        xattrs = {name: tree.getxattr(ROOT, ino, name) for name in tree.listxattr(ROOT, ino)}
        linked = not stat.S_ISDIR(inode.mode) and inode.nlink > 1
        found[path] = (
            oct(inode.mode), inode.nlink, inode.uid, inode.gid, inode.rdev_major, inode.rdev_minor,
            inode.mtime_ns, inode.atime_ns, content, xattrs,
            first.setdefault(ino, path) if linked else None,
        )  # fmt: skip
    return found


def differ(found: dict[bytes, Any], wanted: dict[bytes, Any]) -> None:
    """They do not."""
    paths = sorted({*found, *wanted})
    assert [(p, found.get(p), wanted.get(p)) for p in paths if found.get(p) != wanted.get(p)] == []


def compare(store: Store, other: Store, branches: dict[str, str]) -> None:
    """Every snapshot of branches of a store is in the other one, with all that it has."""
    for name, there in branches.items():
        theirs = {info.name: info for info in other.snapshots(there)}
        for info in store.snapshots(name):
            view = store.view(f"{name}@{info.name}")
            other_view = other.view(f"{there}@{theirs[f'{name}-{info.name}'].name}")
            differ(everything(other_view), everything(view))
            store.close_view(view)
            other.close_view(other_view)


def moved(store: Store, other: Store, room: Path) -> Git:
    """Export all of a store, and import that into the other."""
    store.settle()
    out = written(store, room)
    out.fsck()
    assert brought_in(other, out)["troubles"] == []
    return out


def set_all(tree: Tree, ino: int, number: int) -> None:
    tree.setattr(ROOT, ino, SetAttr(uid=1000 + number, gid=100 + number))
    times = {"mtime_ns": 10**18 + number, "atime_ns": 10**17 + number}
    mode = None if stat.S_ISLNK(tree.getattr(ino).mode) else 0o2751
    tree.setattr(ROOT, ino, SetAttr(mode=mode, **times))


def test_everything_comes_back(store: Store, other: Store, tmp_path: Path) -> None:
    store.create_branch("main", 7, 8)
    tree = store.tree("main")
    top = tree.root
    folder = tree.mkdir(ROOT, top, b"folder", 0o700).inode.ino
    empty = tree.mkdir(ROOT, folder, b"empty", 0o711).inode.ino
    file = tree.create(ROOT, folder, b"file", 0o600).inode.ino
    tree.write(ROOT, file, 0, b"content" * 50_000)
    tree.link(ROOT, file, top, b"linked")
    tree.setxattr(ROOT, file, b"user.long", bytes(range(256)) * 200, XattrHow.SET)
    tree.setxattr(ROOT, empty, b"trusted.\xff\xfe", b"", XattrHow.SET)
    for name, bits in ((b"fifo", stat.S_IFIFO), (b"socket", stat.S_IFSOCK)):
        tree.mknod(ROOT, folder, name, bits | 0o620)
    tree.mknod(ROOT, folder, b"char", stat.S_IFCHR | 0o666, 1, 3)
    tree.mknod(ROOT, folder, b"block", stat.S_IFBLK | 0o660, 8, 70_000)
    link = tree.symlink(ROOT, folder, b"link", b"to \xff nowhere").inode.ino
    tree.link(ROOT, link, folder, b"same link")
    tree.symlink(ROOT, top, b".gitmodules", b"a link that git refuses")
    hidden = tree.mkdir(ROOT, top, b".Git", 0o750).inode.ino
    inside = tree.create(ROOT, hidden, b"inside", 0o644).inode.ino
    tree.write(ROOT, inside, 0, b"only here")
    tree.mkdir(ROOT, hidden, b"deep", 0o755)
    for number, ino in enumerate((top, folder, empty, file, link, hidden, inside)):
        set_all(tree, ino, number)
    store.snapshot("main", "one")
    tree.setattr(ROOT, file, SetAttr(mode=0o4755))
    tree.removexattr(ROOT, file, b"user.long")
    tree.write(ROOT, inside, 0, b"ONLY")
    tree.rename(ROOT, top, b"folder", hidden, b"renamed")
    store.snapshot("main", "two")
    tree.rename(ROOT, hidden, b"renamed", top, b"back")
    tree.unlink(ROOT, top, b"linked")
    tree.rmdir(ROOT, folder, b"empty")
    tree.unlink(ROOT, folder, b"fifo")
    tree.create(ROOT, folder, b"fifo", 0o644)
    store.snapshot("main", "three")
    out = moved(store, other, tmp_path / "out.git")
    compare(store, other, {"main": "main"})
    again = written(other, tmp_path / "again.git")
    for ref in ("refs/heads/main", "refs/fsgw/attributes"):
        assert again("rev-parse", ref) == out("rev-parse", ref)


def test_an_export_of_what_came_from_git_tells_nothing(
    store: Store, original: Git, tmp_path: Path
) -> None:
    brought_in(store, original)
    out = written(store, tmp_path / "out.git")
    assert out("for-each-ref", "--format=%(refname)").split() == sorted(original.refs())


class World:
    """A tree under change, by whoever changes anything at all."""

    def __init__(self, store: Store, branch: str, rng: random.Random) -> None:
        self.tree, self.rng = store.tree(branch), rng

    def places(self) -> list[tuple[int, bytes, int]]:
        """Every name: directory, name, inode."""
        found, todo = [], [self.tree.root]
        while todo:
            directory = todo.pop()
            for entry in list_all(self.tree, directory):
                if entry.name not in (b".", b".."):
                    found.append((directory, entry.name, entry.ino))
                    if entry.type == stat.S_IFDIR:
                        todo.append(entry.ino)
        return found

    def step(self) -> None:
        """Change something; what cannot be is left as it is."""
        tree, rng = self.tree, self.rng
        places = self.places()
        folders = [
            tree.root,
            *(ino for _, _, ino in places if stat.S_ISDIR(tree.getattr(ino).mode)),
        ]
        folder, name = rng.choice(folders), rng.choice(NAMES)
        kind = rng.randrange(14)
        try:
            if kind < 3:
                ino = tree.create(ROOT, folder, name, rng.choice([0o644, 0o755, 0o600])).inode.ino
                tree.write(ROOT, ino, 0, rng.choice([b"x", b"same", b"y" * 5000]))
            elif kind == 3:
                tree.mkdir(ROOT, folder, name, rng.choice([0o755, 0o700]))
            elif kind == 4:
                tree.symlink(ROOT, folder, name, rng.choice([b"x", b"\xff"]))
            elif kind == 5:
                bits = rng.choice([stat.S_IFIFO, stat.S_IFCHR])
                tree.mknod(
                    ROOT, folder, name, bits | 0o640, *((1, 3) if bits == stat.S_IFCHR else ())
                )
            if not places or kind < 6:
                return
            parent, old, ino = rng.choice(places)
            inode = tree.getattr(ino)
            if kind == 6:
                tree.link(ROOT, ino, folder, name)
            elif kind in (7, 8):
                how = rng.choice([RenameHow.REPLACE, RenameHow.EXCHANGE])
                tree.rename(ROOT, parent, old, folder, name, how)
            elif kind == 9:
                if stat.S_ISDIR(inode.mode):
                    tree.rmdir(ROOT, parent, old)
                else:
                    tree.unlink(ROOT, parent, old)
            elif kind == 10:
                set_all(tree, ino, rng.randrange(5))
            elif kind == 11:
                tree.setxattr(ROOT, ino, b"trusted.x", rng.randbytes(rng.choice([0, 3, 900])))
            elif kind == 12:
                tree.write(ROOT, ino, rng.choice([0, 3]), rng.choice([b"x", b"same"]))
            else:
                tree.setattr(ROOT, ino, SetAttr(mtime_ns=inode.mtime_ns // SECOND * SECOND))
        except errors.StoreError:
            return


@pytest.mark.slow
@pytest.mark.parametrize("number", range(6))
def test_any_history_comes_back(
    store: Store, other: Store, tmp_path: Path, rng: random.Random, number: int
) -> None:
    store.create_branch("main")
    world = World(store, "main", rng)
    for count in range(8):
        for _ in range(rng.choice([1, 4, 15])):
            world.step()
        store.snapshot("main", f"s{count}", f"main {count}")
        if count == 3:
            store.fork("main@s3", "fork")
    world = World(store, "fork", rng)
    for count in range(3):
        for _ in range(6):
            world.step()
        store.snapshot("fork", f"f{count}", f"fork {count}")
    moved(store, other, tmp_path / "out.git")
    compare(store, other, {"main": "main"})
    there = {info.name for name in ("main", "fork") for info in other.snapshots(name)}
    assert {f"fork-f{count}" for count in range(3)} <= there
    for count in range(3):
        name = next(n for n in ("fork", "main")
                    if f"fork-f{count}" in {i.name for i in other.snapshots(n)})  # fmt: skip
        view, other_view = store.view(f"fork@f{count}"), other.view(f"{name}@fork-f{count}")
        differ(everything(other_view), everything(view))
        store.close_view(view)
        other.close_view(other_view)


def test_lines_are_read_as_they_are_written() -> None:
    lines = {
        b"n\xff": Line("char", 0o4755, 1, 2, -5, 6, ((b"user.\xfe", b"\0"),), (7, 2), (1, 3)),
        b"a\nb": Line("symlink", target=b"\xff\n"),
        b"data": Line("file", data=b"\1" * 20),
        b".": NOTHING,
    }
    assert attributes.decode(attributes.encode(lines)) == lines
    assert attributes.encode(lines).count(b"\n") == len(lines)


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"[]\n",
        b"{}\n",
        b'{"name":"x","more":1}\n',
        b'{"name":"x","kind":"door"}\n',
        b'{"name":"x","mode":"9"}\n',
        b'{"name":"x","uid":"0"}\n',
        b'{"name":"x","link":[1]}\n',
        b'{"name":"x","xattrs":{"user.x":"*"}}\n',
        b'{"name":1}\n',
    ],
)
def test_lines_that_cannot_be_read(data: bytes) -> None:
    with pytest.raises(BadObject):
        attributes.decode(data)


@pytest.mark.parametrize(
    "line",
    [
        b'{"name":"..","kind":"fifo"}',
        b'{"name":"a/b","kind":"fifo"}',
        b'{"name":"x","kind":"file","data":"' + b"ab" * 20 + b'"}',
        b'{"name":"x","kind":"file"}',
        b'{"name":"file","uid":-1}',
        b'{"name":"file","xattrs":{"no.space":""}}',
        b"nonsense",
    ],
)
def test_bad_attributes_bring_nothing_in(store: Store, git: Git, line: bytes) -> None:
    git.write("file", "x")
    oid = git.commit("with attributes")
    blob = git("hash-object", "-w", "--stdin", given=line + b"\n").strip()
    root = git("mktree", given=f"100644 blob {blob}\t=\n".encode()).strip()
    fan = git("mktree", given=f"040000 tree {root}\t{oid[2:]}\n".encode()).strip()
    top = git("mktree", given=f"040000 tree {fan}\t{oid[:2]}\n".encode()).strip()
    git("update-ref", "refs/fsgw/attributes", git("commit-tree", "-m", "x", top).strip())
    with pytest.raises((errors.InvalidArgument, errors.NotFound)):
        brought_in(store, git)
    assert store.branches() == []
    git("update-ref", "-d", "refs/fsgw/attributes")
    assert brought_in(store, git)["troubles"] == []
