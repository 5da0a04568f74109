"""One commit's changes made to a tree: what is to be done, and the doing of it."""

from __future__ import annotations

import stat
from typing import NamedTuple

from gitdoor.attributes import Line
from gitdoor.entries import key_of, listing, plain_name, tree_of
from gitdoor.objects import (
    DIRECTORY,
    EXECUTABLE,
    LINK,
    SUBMODULE,
    Parsed,
    object_id,
    sort_key,
)
from store import errors
from store.gitrows import ROOT_KEY, TREE, GitCommit, GitEntry
from store.readstore import EMPTY_ROOT
from store.scratch import Scratch
from store.tree import Tree
from store.types import ROOT, Inode, SetAttr, Usage

# Changes are folded into a map when they take this much memory.
WEIGHT_MAX = 64 * 1024 * 1024


def form(mode: int) -> str:
    """What a mode is in the store: file, directory (a submodule is an empty one) or link."""
    if mode in (DIRECTORY, SUBMODULE):
        return "d"
    return "l" if mode == LINK else "f"


class Item(NamedTuple):
    """An entry that differs from the commit before: what it is to be, and what it was."""

    name: bytes
    mode: int
    id: bytes
    old: GitEntry | None


class Directory:
    """A directory whose tree differs from that of the commit before: what is to be done to it."""

    __slots__ = ("gone", "ino", "items", "path", "subs", "tree", "was")

    def __init__(self, path: bytes, ino: int, tree: bytes, was: bytes) -> None:
        """`was`: its tree before, EMPTY_TREE where there was none."""
        self.path, self.ino, self.tree, self.was = path, ino, tree, was
        self.items: list[Item] = []
        self.gone: list[tuple[bytes, GitEntry]] = []
        self.subs: dict[bytes, Directory] = {}


class Told(NamedTuple):
    """A directory of which something is told that git cannot say: its path, the lines that it had,
    those that it has, and the names in which git changes something."""

    path: bytes
    old: dict[bytes, Line]
    new: dict[bytes, Line]
    items: frozenset[bytes]


class Plan(NamedTuple):
    """All of a commit that has been read before anything is changed."""

    git_id: bytes
    raw: bytes
    parsed: Parsed
    top: Directory
    base: GitCommit | None
    usage: Usage
    links: dict[bytes, bytes]
    new_inodes: int
    told: list[Told]


class Making:
    """One commit's changes being made to a tree."""

    def __init__(self, tree: Tree, scratch: Scratch, plan: Plan, time_ns: int) -> None:
        """`time_ns`: the mtime of what is new or changes."""
        self.tree, self.time_ns = tree, time_ns
        self._scratch, self._plan = scratch, plan
        self.nodes = scratch.nodes
        self._entries = EMPTY_ROOT if plan.base is None else plan.base.entries
        self.changes: dict[bytes, bytes | None] = {}
        self.made: list[GitEntry] = []
        self._fresh: set[int] = set()  # directories that were made here
        self.wanted: dict[bytes, list[int]] = {}  # blob -> the files that are to have it

    def set(self, key: bytes, mode: int, oid: bytes, ino: int) -> None:
        """Set an entry."""
        entry = GitEntry(mode, oid, ino)
        self.changes[key] = entry.encode()
        self.made.append(entry)

    def directory(self, top: Directory) -> None:
        """Make a directory, and all below it, what its tree says."""
        todo = [top]
        while todo:
            directory = todo.pop()
            here = self.tree.getattr(directory.ino)
            for name, entry in directory.gone:
                self._remove(directory.ino, name, entry)
            for item in directory.items:
                old = item.old
                ino = self._item(here, item, fresh=directory.ino in self._fresh)
                key = sort_key(item.name, item.mode)
                if old is not None and sort_key(item.name, old.mode) != key:
                    self.changes[key_of(directory.ino, sort_key(item.name, old.mode))] = None
                self.set(key_of(directory.ino, key), item.mode, item.id, ino)
                sub = directory.subs.get(item.name)
                if sub is not None:
                    sub.ino = ino
                    todo.append(sub)
            if self._scratch.weight > WEIGHT_MAX:
                self._scratch.fold(self.tree)

    def climb(self, tree_id: bytes) -> None:
        """Set the entry of the tree's root, and those of the directories that it is in."""
        ino = self.tree.root
        while ino != 1:
            inode = self.tree.getattr(ino)
            name = self.tree.name_at(inode.parent, inode.slot)
            assert name is not None
            self.set(key_of(inode.parent, name + b"/"), DIRECTORY, tree_id, ino)
            ino = inode.parent
            found = dict(listing(self._scratch.nodes, self._entries, ino))
            start = key_of(ino, b"")
            for key, value in self.changes.items():
                if key.startswith(start):
                    found.pop(key[len(start) :], None)
                    if value is not None:
                        found[key[len(start) :]] = GitEntry.decode(value)
            tree_id = object_id(TREE, tree_of(sorted(found.items())))
        self.set(ROOT_KEY, DIRECTORY, tree_id, ino)

    def _item(self, here: Inode, item: Item, *, fresh: bool) -> int:
        """Make one entry what it should be; says its inode."""
        tree, kind, old = self.tree, form(item.mode), item.old
        if old is not None and form(old.mode) == kind == "d":
            if item.mode == SUBMODULE:
                self._empty(old)
            return old.ino
        if old is not None and form(old.mode) == kind == "f":
            self._permit(old, item.mode)
            if old.id != item.id:
                self.wanted.setdefault(item.id, []).append(self._alone(here.ino, item.name, old))
            return self._entry_ino(here.ino, item.name)
        if old is not None:
            self._remove(here.ino, item.name, old)
        if not fresh:  # else nothing can be in the way
            self._make_way(here.ino, item.name, kind)
        attrs = SetAttr(uid=here.uid, gid=here.gid, mtime_ns=self.time_ns, atime_ns=self.time_ns)
        if kind == "d":
            found = None if fresh else self._found(here.ino, item.name)
            if found is not None:
                return found.ino
            ino = tree.mkdir(ROOT, here.ino, item.name, 0o755, attrs=attrs).inode.ino
            self._fresh.add(ino)
            return ino
        if kind == "l":
            target = self._plan.links[item.id]
            return tree.symlink(ROOT, here.ino, item.name, target, attrs=attrs).inode.ino
        mode = 0o755 if item.mode == EXECUTABLE else 0o644
        ino = tree.create(ROOT, here.ino, item.name, mode, attrs=attrs).inode.ino
        self.wanted.setdefault(item.id, []).append(ino)
        return ino

    def _entry_ino(self, directory: int, name: bytes) -> int:
        return self.tree.lookup(ROOT, directory, name).ino

    def _found(self, directory: int, name: bytes) -> Inode | None:
        try:
            return self.tree.lookup(ROOT, directory, name)
        except errors.NotFound:
            return None

    def _permit(self, old: GitEntry, mode: int) -> None:
        """Give or take the permission to execute, wherever there is that to read."""
        inode = self.tree.getattr(old.ino)
        bits = inode.mode & 0o7777
        if mode == EXECUTABLE and not bits & 0o100:
            bits |= (bits & 0o444) >> 2 | 0o100
        elif mode != EXECUTABLE and bits & 0o100:
            bits &= ~0o111
        if bits != inode.mode & 0o7777:
            self.tree.setattr(ROOT, old.ino, SetAttr(mode=bits))

    def _alone(self, directory: int, name: bytes, old: GitEntry) -> int:
        """The inode of a file whose content changes, parted from other names that it has.

        To git, hard links are several files, of which this one is to be another.
        """
        inode = self.tree.getattr(old.ino)
        if inode.nlink == 1:
            return inode.ino
        self.tree.unlink(ROOT, directory, name)
        attrs = SetAttr(uid=inode.uid, gid=inode.gid, mtime_ns=self.time_ns, atime_ns=self.time_ns)
        made = self.tree.create(ROOT, directory, name, inode.mode & 0o7777, attrs=attrs)
        return made.inode.ino

    # --- removing -----------------------------------------------------------------------------

    def _remove(self, directory: int, name: bytes, entry: GitEntry) -> None:
        """Remove what git had at a name. A directory with names that git does not see stays."""
        if form(entry.mode) != "d":
            self.changes[key_of(directory, name)] = None
            self.tree.unlink(ROOT, directory, name)
            return
        slash = b"/" if entry.mode == DIRECTORY else b""
        self.changes[key_of(directory, name + slash)] = None
        self._empty(entry)
        if not self.tree.getattr(entry.ino).size:
            self.tree.rmdir(ROOT, directory, name)

    def _empty(self, entry: GitEntry) -> None:
        """Remove all that git has in a directory."""
        for item in listing(self._scratch.nodes, self._entries, entry.ino):
            self._remove(entry.ino, plain_name(item), item[1])

    def _make_way(self, directory: int, name: bytes, kind: str) -> None:
        """Remove what git does not see from a name that it wants; a directory may stay one."""
        found = self._found(directory, name)
        if found is None or (kind == "d" and stat.S_ISDIR(found.mode)):
            return
        if not stat.S_ISDIR(found.mode):
            self.tree.unlink(ROOT, directory, name)
            return
        todo = [(directory, name, found.ino, False)]
        while todo:
            above, name, ino, emptied = todo.pop()
            if emptied:
                self.tree.rmdir(ROOT, above, name)
                continue
            todo.append((above, name, ino, True))
            for entry in self.tree.entries(ino):
                if entry.type == stat.S_IFDIR:
                    todo.append((ino, entry.name, entry.ino, False))
                else:
                    self.tree.unlink(ROOT, ino, entry.name)
