"""Doing to a tree, at an import, what an export has told of it: see `attributes`.

After git's changes of a commit were made, directories are gone through in which lines differ from
those of the parent, or in which git has changed anything. What git does not see is made or
removed, names of one inode are joined or parted, and every name gets what its line says.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Iterator

from gitdoor import attributes
from gitdoor.attributes import DIRECTORY_SIGN, KINDS, LINES, NOTHING, SELF, Line
from gitdoor.entries import key_of
from gitdoor.making import Directory, Making, Told
from gitdoor.names import joined, left_out
from gitdoor.objects import EXECUTABLE, BadObject, parse_tree
from gitdoor.source import PIECE_BYTES, Large, Source
from store import errors, prolly
from store.cache import Budget, GenerationCache
from store.disposal import Disposal
from store.gitrows import BLOB, TREE, GitCommit, GitEntry
from store.readstore import EMPTY_ROOT
from store.types import ROOT, Inode, SetAttr

Extents = Callable[[bytes | Large], tuple[int, list[bytes | None]]]

# Trees and lines kept, as bytes there.
_KEPT_BYTES = 32 << 20
# What a tree says of things that cannot be.
_REFUSALS = (
    *(errors.InvalidName, errors.NameTooLong, errors.InvalidArgument, errors.Unsupported),
    *(errors.Exists, errors.NotDirectory, errors.IsDirectory, errors.NotPermitted),
    *(errors.NotFound, errors.FileTooBig),
)


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
        wanted = {path: frozenset[bytes]() for path in self._differing(new, old)}
        wanted |= _touched(top)
        for path in list(wanted):
            if path:  # its own line is there
                wanted.setdefault(path.rpartition(b"/")[0], frozenset())
        return [
            Told(path, self._lines(old, path), self._lines(new, path), wanted[path])
            for path in sorted(wanted, key=_depth)
        ]

    def restore(
        self, making: Making, base: GitCommit | None, told: list[Told], extents: Extents
    ) -> int:
        """Do to a tree what is told of its commit; says how many more names it has then that git
        cannot have. Raises BadObject, NotFound."""
        restoring = _Restoring(making, base, self._source, extents)
        try:
            restoring.run(told)
        except _REFUSALS as error:
            raise BadObject(f"attributes: {error}") from None
        return restoring.left_out

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
                    below = joined(path, name[1:])
                    todo.append((below, now.get(name), was.get(name)))

    def _lines(self, tree: bytes | None, path: bytes) -> dict[bytes, Line]:
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


def _touched(top: Directory) -> dict[bytes, frozenset[bytes]]:
    """The directories in which git changes anything, and which names there."""
    found: dict[bytes, frozenset[bytes]] = {}
    todo = [top]
    while todo:
        directory = todo.pop()
        names = [item.name for item in directory.items] + [name for name, _ in directory.gone]
        if names:
            found[directory.path.rstrip(b"/")] = frozenset(names)
        todo += directory.subs.values()
    return found


class _Restoring:
    """One commit's tellings being done to its tree; `left_out` grows by the names that it gets and
    that git cannot have."""

    def __init__(
        self, making: Making, base: GitCommit | None, source: Source, extents: Extents
    ) -> None:
        self._making, self._tree = making, making.tree
        self._source, self._extents = source, extents
        self._entries = EMPTY_ROOT if base is None else base.entries
        self._groups: dict[int, list[tuple[int, bytes, Line]]] = {}
        self._directories: list[tuple[int, Line]] = []
        self.left_out = 0

    def run(self, told: list[Told]) -> None:
        """Do it. Raises BadObject for what cannot be."""
        for directory in told:
            found = self._at(directory.path)
            if found is not None and stat.S_ISDIR(found.mode):
                self._in_directory(found.ino, directory)
            elif directory.new:
                raise BadObject(f"attributes of {directory.path!r}, which is not there")
        for members in self._groups.values():
            self._join(members)
        for ino, line in reversed(self._directories):
            self._apply(self._tree.getattr(ino), line, 0o755)

    def _at(self, path: bytes) -> Inode | None:
        inode = self._tree.getattr(self._tree.root)
        for name in path.split(b"/") if path else ():
            found = self._tree.child(inode.ino, name) if stat.S_ISDIR(inode.mode) else None
            if found is None:
                return None
            inode = found
        return inode

    def _in_directory(self, parent: int, told: Told) -> None:
        for name in {b"", b".."} & told.new.keys():
            raise BadObject(f"attributes of {name!r}, which is no name")
        self._clear(parent, told)
        for name in dict.fromkeys([*told.old, *told.new, *told.items]):
            line, was = told.new.get(name, NOTHING), told.old.get(name, NOTHING)
            if name == SELF:
                self._directories.append((parent, line))
                continue
            found = self._tree.child(parent, name)
            if line.kind:
                found = self._present(parent, name, line, was, found)
            if found is None:
                continue
            if stat.S_ISDIR(found.mode):
                self._directories.append((found.ino, line))
                continue
            if line.link is not None:
                self._groups.setdefault(line.link[0], []).append((parent, name, line))
                continue
            if found.nlink > 1:
                found = self._part(parent, name, found)
            self._apply(found, line, self._permissions(parent, name, found))

    def _clear(self, parent: int, told: Told) -> None:
        """Remove what is there and neither git's nor told of."""
        is_hidden = any(left_out(name, stat.S_IFDIR) for name in told.path.split(b"/") if name)
        gone = []
        for entry in self._tree.entries(parent):
            line = told.new.get(entry.name, NOTHING)
            if KINDS.get(line.kind) == entry.type:
                continue
            if line.kind or is_hidden or self._entry(parent, entry.name, entry.type) is None:
                gone.append(entry.name)
        for name in gone:
            self._remove(parent, name)

    def _entry(self, parent: int, name: bytes, type_bits: int) -> GitEntry | None:
        """What git has at a name."""
        names = (name + b"/", name) if type_bits == stat.S_IFDIR else (name,)
        for key in [key_of(parent, name) for name in names]:
            changed = key in self._making.changes
            value = self._making.changes.get(key)
            if not changed:
                value = prolly.get(self._making.nodes, self._entries, key)
            if value is not None:
                return GitEntry.decode(value)
        return None

    # --- what git does not see ----------------------------------------------------------------

    def _present(
        self, parent: int, name: bytes, line: Line, was: Line, found: Inode | None
    ) -> Inode:
        """Have what a line says is there."""
        bits = KINDS[line.kind]
        # A file that has other names as well may have to part from them: a new one does.
        same = found is not None and (
            bits == stat.S_IFDIR
            or line == was
            or (found.nlink == 1 and (line.device, line.target) == (was.device, was.target))
        )
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
        """Remove a name, and all that is in it."""
        tree, todo = self._tree, [(parent, name)]
        while todo:
            parent, name = todo[-1]
            found = tree.lookup(ROOT, parent, name)
            below: list[tuple[int, bytes]] = []
            if stat.S_ISDIR(found.mode) and found.size:
                below = [(found.ino, entry.name) for entry in tree.entries(found.ino)]
            if below:
                todo += below
                continue
            (tree.rmdir if stat.S_ISDIR(found.mode) else tree.unlink)(ROOT, parent, name)
            self.left_out -= left_out(name, found.type)
            todo.pop()

    # --- names of one inode -------------------------------------------------------------------

    def _join(self, members: list[tuple[int, bytes, Line]]) -> None:
        """Have names lead to one inode, and no others if these are all."""
        tree = self._tree
        there = [tree.lookup(ROOT, parent, name) for parent, name, _ in members]
        parent, name, line = members[0]
        first = there[0]
        strangers = first.nlink - sum(inode.ino == first.ino for inode in there)
        if strangers and line.link is not None and line.link[1] == len(members):
            first = self._part(parent, name, first)
        self._apply(first, line, self._permissions(parent, name, first))
        for (parent, name, line), inode in zip(members, there, strict=True):
            if name != members[0][1] or parent != members[0][0]:
                if inode.ino != first.ino:
                    tree.unlink(ROOT, parent, name)
                    tree.link(ROOT, first.ino, parent, name)
                if not line.kind:
                    self._lead(parent, name, first.ino)

    def _part(self, parent: int, name: bytes, inode: Inode) -> Inode:
        """Have a name lead to an inode of its own, with the same content."""
        tree = self._tree
        if stat.S_ISLNK(inode.mode):
            target = tree.readlink(ROOT, inode.ino)
            tree.unlink(ROOT, parent, name)
            made = tree.symlink(ROOT, parent, name, target).inode
        elif stat.S_ISREG(inode.mode):
            extents = self._extents(Large(inode.size, self._pieces(inode)))
            tree.unlink(ROOT, parent, name)
            made = tree.create(ROOT, parent, name, inode.mode & 0o7777).inode
            tree.replace(made.ino, *extents, inode.mtime_ns)
        else:
            numbers = inode.rdev_major, inode.rdev_minor
            tree.unlink(ROOT, parent, name)
            return tree.mknod(ROOT, parent, name, inode.mode, *numbers).inode
        tree.setattr(ROOT, made.ino, SetAttr(mtime_ns=inode.mtime_ns, atime_ns=inode.atime_ns))
        self._lead(parent, name, made.ino)
        return tree.getattr(made.ino)

    def _pieces(self, inode: Inode) -> Iterator[bytes]:
        for offset in range(0, inode.size, PIECE_BYTES):
            yield bytes(self._tree.read(None, inode.ino, offset, PIECE_BYTES).data)

    def _lead(self, parent: int, name: bytes, ino: int) -> None:
        """Have git's entry of a name, if it has one, lead to another inode."""
        entry = self._entry(parent, name, stat.S_IFREG)
        if entry is not None and entry.ino != ino:
            self._making.set(key_of(parent, name), entry.mode, entry.id, ino)

    # --- attributes ---------------------------------------------------------------------------

    def _permissions(self, parent: int, name: bytes, inode: Inode) -> int:
        """What an import gives a file by itself; a link has all."""
        entry = self._entry(parent, name, inode.type)
        return 0o755 if entry is not None and entry.mode == EXECUTABLE else 0o644

    def _apply(self, inode: Inode, line: Line, permissions: int) -> None:
        """Give an inode what its line says, and the permissions if it says none."""
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
        mode = permissions if line.mode is None else line.mode
        mtime_ns = inode.mtime_ns if line.mtime_ns is None else line.mtime_ns
        atime_ns = mtime_ns if line.atime_ns is None else line.atime_ns
        tree.setattr(
            ROOT,
            ino,
            SetAttr(
                mode=None if stat.S_ISLNK(inode.mode) else mode,
                mtime_ns=mtime_ns,
                atime_ns=atime_ns,
            ),
        )


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
