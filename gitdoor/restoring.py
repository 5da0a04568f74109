"""Doing to a tree, at an import, what an export has told of it: see `attributes`.

After git's changes of a commit were made, directories are gone through in which lines differ from
those of the parent, or in which git has changed anything. What git does not see is made or
removed, names of one inode are joined or parted, and every name gets what its line says.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable
from typing import NamedTuple

from gitdoor import attributes
from gitdoor.attributes import DIRECTORY_SIGN, KINDS, LINES, NOTHING, SELF, Line
from gitdoor.entries import key_of
from gitdoor.making import Directory, Making, form
from gitdoor.names import left_out
from gitdoor.objects import BadObject, parse_tree, sort_key
from gitdoor.source import Large, Source
from store import prolly
from store.cache import Budget, GenerationCache
from store.disposal import Disposal
from store.errors import NotEmpty
from store.gitrows import BLOB, TREE, GitCommit, GitEntry
from store.readstore import EMPTY_ROOT
from store.types import ROOT, Inode, SetAttr

Lines = dict[bytes, Line]
Extents = Callable[[bytes | Large], tuple[int, list[bytes | None]]]

# Trees and lines kept, as bytes there.
_KEPT_BYTES = 32 << 20
_COPIED_BYTES = 1 << 20


class Told(NamedTuple):
    """A directory: its path, the lines that it had, those that it has, and the names in which git
    has changed something; whether it made what they are."""

    path: bytes
    old: Lines
    new: Lines
    items: dict[bytes, bool]


class Tellings:
    """What a repository tells of its commits. Belongs to one thread at a time."""

    def __init__(self, source: Source, roots: dict[bytes, bytes]) -> None:
        """`roots`: commits of which anything is told, and their trees."""
        self._source, self._roots = source, roots
        self._kept: GenerationCache[bytes, bytes] = GenerationCache(
            Budget(_KEPT_BYTES // 2, Disposal())
        )

    def changes(self, commit: bytes, base: bytes | None, top: Directory) -> list[Told]:
        """What is to be looked at once git's changes are made, those above first. Raises
        BadObject, NotFound."""
        new, old = self._roots.get(commit), self._roots.get(base or b"")
        if new is None and old is None:
            return []
        wanted = {path: dict[bytes, bool]() for path in self._differing(new, old)}
        wanted |= _touched(top)
        for path in list(wanted):
            if path:  # its own line is there
                wanted.setdefault(path.rpartition(b"/")[0], {})
        ordered = sorted(
            wanted.items(), key=lambda item: (item[0].count(b"/") + bool(item[0]), item)
        )
        return [
            Told(path, self._lines(old, path), self._lines(new, path), items)
            for path, items in ordered
        ]

    def _differing(self, new: bytes | None, old: bytes | None) -> Iterable[bytes]:
        """The directories whose lines differ."""
        todo = [(b"", new, old)]
        while todo:
            path, one, other = todo.pop()
            if one == other:
                continue
            now, was = self._entries(one), self._entries(other)
            if now.get(LINES) != was.get(LINES):
                yield path
            for name in {*now, *was}:
                if name.startswith(DIRECTORY_SIGN):
                    below = path + b"/" + name[1:] if path else name[1:]
                    todo.append((below, now.get(name), was.get(name)))

    def _lines(self, tree: bytes | None, path: bytes) -> Lines:
        """The lines of the directory at a path."""
        for name in path.split(b"/") if path else ():
            tree = self._entries(tree).get(DIRECTORY_SIGN + name)
        blob = self._entries(tree).get(LINES)
        return {} if blob is None else attributes.decode(self._object(blob, BLOB))

    def _entries(self, tree: bytes | None) -> dict[bytes, bytes]:
        if tree is None:
            return {}
        return {name: oid for _, name, oid in parse_tree(self._object(tree, TREE))}

    def _object(self, oid: bytes, kind: int) -> bytes:
        data = self._kept.get(oid)
        if data is None:
            ((_, found, read),) = self._source.read([oid])
            if found != kind or isinstance(read, Large):
                raise BadObject(f"attributes: {oid.hex()} is something else")
            data = read
            self._kept.put(oid, data, len(data))
        return data


def _depth(path: bytes) -> tuple[int, bytes]:
    return path.count(b"/") + bool(path), path


def _touched(top: Directory) -> dict[bytes, dict[bytes, bool]]:
    """The directories in which git changes anything, and which names there, as `Told` has them."""
    found: dict[bytes, dict[bytes, bool]] = {}
    todo = [top]
    while todo:
        directory = todo.pop()
        names = {name: False for name, _ in directory.gone}
        for item in directory.items:
            names[item.name] = item.old is None or form(item.old.mode) != form(item.mode)
        if names:
            found[directory.path.rstrip(b"/")] = names
        todo += directory.subs.values()
    return found


class Restoring:
    """One commit's tellings being done to its tree; `left_out` grows by the names that it gets and
    that git cannot have."""

    def __init__(
        self, making: Making, base: GitCommit | None, source: Source, extents: Extents
    ) -> None:
        self._making, self._tree = making, making.tree
        self._source, self._extents = source, extents
        self._entries = EMPTY_ROOT if base is None else base.entries
        self._groups: dict[int, list[tuple[int, bytes, Line]]] = {}
        self._directories: list[tuple[int, Line, bool]] = []
        self._gone: list[tuple[int, bytes]] = []
        self.left_out = 0

    def run(self, told: list[Told]) -> None:
        """Do it. Raises BadObject for what cannot be."""
        for directory in told:
            found = self._at(directory.path)
            if found is not None:
                self._in_directory(found.ino, directory)
            elif directory.new:
                raise BadObject(f"attributes of {directory.path!r}, which is not there")
        for members in self._groups.values():
            self._join(members)
        for parent, name in reversed(self._gone):
            self._remove(parent, name)
        for ino, line, fresh in reversed(self._directories):
            self._apply(self._tree.getattr(ino), line, fresh=fresh)

    def _at(self, path: bytes) -> Inode | None:
        inode = self._tree.getattr(self._tree.root)
        for name in path.split(b"/") if path else ():
            found = self._tree.child(inode.ino, name) if stat.S_ISDIR(inode.mode) else None
            if found is None:
                return None
            inode = found
        return inode

    def _in_directory(self, parent: int, told: Told) -> None:
        names = dict.fromkeys([*told.old, *told.new, *told.items])
        for name in names:
            line, was = told.new.get(name, NOTHING), told.old.get(name, NOTHING)
            if name == SELF:
                self._directories.append((parent, line, False))
                continue
            fresh = told.items.get(name, False)
            found = self._tree.child(parent, name)
            if line.kind:
                before = found
                found = self._present(parent, name, line, was, found)
                fresh = before is None or before.ino != found.ino
            elif found is not None and was.kind and name not in told.items:
                self._gone.append((parent, name))
                continue
            if found is None:
                continue
            if stat.S_ISDIR(found.mode):
                self._directories.append((found.ino, line, fresh))
                continue
            if line.link is None and found.nlink > 1:
                found = self._part(parent, name, found)
            elif line.link is not None:
                self._groups.setdefault(line.link[0], []).append((parent, name, line))
            self._apply(found, line, fresh=fresh)

    # --- what git does not see ----------------------------------------------------------------

    def _present(
        self, parent: int, name: bytes, line: Line, was: Line, found: Inode | None
    ) -> Inode:
        """Have what a line says is there."""
        bits = KINDS[line.kind]
        same = found is not None and found.type == bits and (
            (line.device, line.target) == (was.device, was.target) or bits == stat.S_IFDIR
        )  # fmt: skip
        if found is not None and not same:
            self._remove(parent, name)
            found = None
        tree = self._tree
        if found is None:
            self.left_out += left_out(name, bits)
            if bits == stat.S_IFDIR:
                found = tree.mkdir(ROOT, parent, name, 0o755).inode
            elif bits == stat.S_IFLNK:
                found = tree.symlink(ROOT, parent, name, line.target).inode
            elif bits == stat.S_IFREG:
                found = tree.create(ROOT, parent, name, 0o644).inode
            else:
                found = tree.mknod(ROOT, parent, name, bits | 0o644, *line.device).inode
        if bits == stat.S_IFREG and (line.data != was.data or not same):
            ((_, kind, data),) = self._source.read([line.data])
            if kind != BLOB:
                raise BadObject(f"attributes: {line.data.hex()} is no blob")
            tree.replace(found.ino, *self._extents(data), self._making.time_ns)
            found = tree.getattr(found.ino)
        return found

    def _remove(self, parent: int, name: bytes) -> None:
        """Remove a name; a directory that is not empty is git's by now, and stays."""
        found = self._tree.child(parent, name)
        if found is None:
            return
        try:
            if stat.S_ISDIR(found.mode):
                self._tree.rmdir(ROOT, parent, name)
            else:
                self._tree.unlink(ROOT, parent, name)
        except NotEmpty:
            return
        self.left_out -= left_out(name, found.type)

    # --- names of one inode -------------------------------------------------------------------

    def _join(self, members: list[tuple[int, bytes, Line]]) -> None:
        """Have names lead to one inode."""
        tree = self._tree
        parent, name, _ = members[0]
        first = tree.lookup(ROOT, parent, name).ino
        for parent, name, line in members[1:]:
            if tree.lookup(ROOT, parent, name).ino != first:
                tree.unlink(ROOT, parent, name)
                tree.link(ROOT, first, parent, name)
                if not line.kind:
                    self._lead(parent, name, first)

    def _part(self, parent: int, name: bytes, inode: Inode) -> Inode:
        """Have a name lead to an inode of its own, with the same content."""
        tree = self._tree
        if stat.S_ISLNK(inode.mode):
            target = tree.readlink(ROOT, inode.ino)
            tree.unlink(ROOT, parent, name)
            made = tree.symlink(ROOT, parent, name, target).inode
        elif stat.S_ISREG(inode.mode):
            tree.unlink(ROOT, parent, name)
            made = tree.create(ROOT, parent, name, inode.mode & 0o7777).inode
            for offset in range(0, inode.size, _COPIED_BYTES):
                data = tree.read(None, inode.ino, offset, _COPIED_BYTES).data
                tree.write(ROOT, made.ino, offset, data)
        else:
            numbers = inode.rdev_major, inode.rdev_minor
            tree.unlink(ROOT, parent, name)
            return tree.mknod(ROOT, parent, name, inode.mode, *numbers).inode
        tree.setattr(ROOT, made.ino, SetAttr(mtime_ns=inode.mtime_ns, atime_ns=inode.atime_ns))
        self._lead(parent, name, made.ino)
        return tree.getattr(made.ino)

    def _lead(self, parent: int, name: bytes, ino: int) -> None:
        """Have git's entry of a name, if it has one, lead to another inode."""
        key = key_of(parent, sort_key(name, 0))
        value = self._making.changes.get(key)
        if value is None and key not in self._making.changes:
            value = prolly.get(self._making.nodes, self._entries, key)
        if value is not None:
            entry = GitEntry.decode(value)
            self._making.set(key, entry.mode, entry.id, ino)

    # --- attributes ---------------------------------------------------------------------------

    def _apply(self, inode: Inode, line: Line, *, fresh: bool) -> None:
        """Give an inode what its line says; `fresh`: it was just made."""
        tree, ino = self._tree, inode.ino
        wanted, there = dict(line.xattrs), tree.listxattr(ROOT, ino)
        for name in there:
            if name not in wanted:
                tree.removexattr(ROOT, ino, name)
        for name, value in line.xattrs:
            if name not in there or tree.getxattr(ROOT, ino, name) != value:
                tree.setxattr(ROOT, ino, name, value)
        if (inode.uid, inode.gid) != (line.uid, line.gid):
            tree.setattr(ROOT, ino, SetAttr(uid=line.uid, gid=line.gid))
        mode = _permissions(inode) if line.mode is None else line.mode
        mtime_ns = inode.mtime_ns if line.mtime_ns is None else line.mtime_ns
        atime_ns = inode.atime_ns if line.atime_ns is None else line.atime_ns
        if line.atime_ns is None and fresh:
            atime_ns = mtime_ns
        tree.setattr(
            ROOT,
            ino,
            SetAttr(
                mode=None if stat.S_ISLNK(inode.mode) else mode,
                mtime_ns=mtime_ns,
                atime_ns=atime_ns,
            ),
        )


def _permissions(inode: Inode) -> int:
    """What an import gives something by itself."""
    if stat.S_ISREG(inode.mode):
        return 0o755 if inode.mode & 0o100 else 0o644
    return 0o777 if stat.S_ISLNK(inode.mode) else 0o755


def roots_in(source: Source, top: bytes) -> dict[bytes, bytes]:
    """The commits of which a tree tells (that of `attributes.REF`'s commit), and their trees.

    Raises BadObject, NotFound.
    """
    found: dict[bytes, bytes] = {}
    for fan, tree in list(_tree(source, top)):
        for name, root in _tree(source, tree):
            try:
                found[bytes.fromhex((fan + name).decode())] = root
            except ValueError:
                raise BadObject(f"attributes of {fan + name!r}, which is no commit") from None
    return found


def _tree(source: Source, oid: bytes) -> list[tuple[bytes, bytes]]:
    ((_, kind, data),) = source.read([oid])
    if kind != TREE or isinstance(data, Large):
        raise BadObject(f"attributes: {oid.hex()} is no tree")
    return [(name, below) for _, name, below in parse_tree(data)]
