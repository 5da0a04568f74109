"""Writing down, for an export, what git cannot say of each commit: see `attributes`.

A commit's lines are those of its first parent, but for names whose inodes changed, and names that
came or went: the cost follows what changed. What an import would give by itself is not told.
"""

from __future__ import annotations

import hashlib
import stat
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator
from functools import partial
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from gitdoor import attributes
from gitdoor.attributes import DATA_SIGN, DIRECTORY_SIGN, KIND_OF, LINES, NOTHING, SELF, Line
from gitdoor.content import link_target, xattrs
from gitdoor.entries import key_of
from gitdoor.graph import History, Node
from gitdoor.making import form
from gitdoor.mapping import Place, Side
from gitdoor.objects import (
    DIRECTORY,
    EXECUTABLE,
    FILE,
    LINK,
    hasher,
    object_id,
    sort_key,
    tree_bytes,
)
from gitdoor.reaching import Item
from gitdoor.source import Large
from store import keys, prolly, records
from store.gitrows import BLOB, COMMIT, TREE, GitCommit, GitEntry
from store.readstore import EMPTY_ROOT
from store.types import Inode

_NS = 1_000_000_000
_ROOT_INO = 1
_LINK_BYTES = 6  # fewer than a number in JSON may have
_PERMISSIONS = {EXECUTABLE: 0o755, LINK: 0o777}
# Objects are kept compressed, in memory up to so many bytes.
_IN_MEMORY_BYTES = 32 << 20
_MESSAGE = b"""\
What git cannot say of the files of each commit: owners, times, extended attributes, hard links,
empty directories, devices. `fsgw import --git` brings it back.
"""

Entries = dict[bytes, tuple[int, bytes]]
"""Of a tree: name -> mode and id."""

Trees = dict[int, bytes]
"""Directories of a commit of which there is anything to be told, by inode: their trees' ids."""


class Written(NamedTuple):
    """The commit that `attributes.REF` is to name, and all objects that it leads to."""

    commit: bytes
    items: list[Item]


class Spool:
    """Objects on their way into a pack."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(  # noqa: SIM115 - closed by `close`
            _IN_MEMORY_BYTES, prefix="fsgw-attributes-"
        )
        self._places: dict[bytes, tuple[int, int, int]] = {}
        self._end = 0

    def put(self, kind: int, data: bytes) -> bytes:
        """Keep an object; its id."""
        oid = object_id(kind, data)
        if oid not in self._places:
            packed = zlib.compress(data, 1)
            self._file.seek(self._end)
            self._file.write(packed)
            self._places[oid] = kind, self._end, len(packed)
            self._end += len(packed)
        return oid

    def get(self, oid: bytes) -> bytes:
        """An object's bytes."""
        _, offset, length = self._places[oid]
        self._file.seek(offset)
        return zlib.decompress(self._file.read(length))

    def items(self) -> Iterator[Item]:
        """All of them, for a pack."""
        for oid, (kind, _, _) in self._places.items():
            yield Item(kind, oid, None, 0, partial(self.get, oid))

    def close(self) -> None:
        """Let go of them."""
        self._file.close()


class Telling:
    """See the module: `add` commits, parents first, then `finish`. Belongs to one thread."""

    def __init__(self, history: History, nodes: list[Node]) -> None:
        """`nodes` are all the commits that are going to be added."""
        self.history = history
        # Whether anything was told but when files were read, and directories changed.
        self.matters = False
        self._spool = Spool()
        self._entries: dict[bytes, Entries] = {}  # of trees
        self._trees: dict[bytes, Trees] = {}  # of commits that others stand on
        self._waiting = Counter(parent for node in nodes for parent in node.parents[:1])
        self._told: dict[bytes, bytes] = {}
        self._blobs: dict[bytes, Item] = {}
        self._newest_s = 0

    def add(self, node: Node) -> None:
        """Write down what is to be told of a commit."""
        first, before = b"".join(node.parents[:1]), None
        trees: Trees = {}
        if first in self._trees:
            before = self.history.node(first)
            self._waiting[first] -= 1
            # Whoever is the last to stand on it goes on with what it has.
            trees = dict(self._trees[first]) if self._waiting[first] else self._trees.pop(first)
        root = _Commit(self, node, before, trees).run()
        self._newest_s = max(self._newest_s, node.time_s)
        if root is not None:
            self._told[node.id] = root
        if self._waiting[node.id]:
            self._trees[node.id] = trees

    def finish(self) -> Written | None:
        """All that was written down; None where nothing matters."""
        if not self.matters:
            return None
        fans: dict[bytes, list[tuple[bytes, int, bytes]]] = {}
        for oid, root in sorted(self._told.items()):
            name = oid.hex().encode()
            fans.setdefault(name[:2], []).append((name[2:], DIRECTORY, root))
        top = [
            (fan, DIRECTORY, self._spool.put(TREE, tree_bytes(entries)))
            for fan, entries in sorted(fans.items())
        ]
        tree = self._spool.put(TREE, tree_bytes(top)).hex().encode()
        who = b"fsgw <fsgw@localhost> %d +0000" % self._newest_s
        raw = b"tree %s\nauthor %s\ncommitter %s\n\n%s" % (tree, who, who, _MESSAGE)
        oid = self._spool.put(COMMIT, raw)
        return Written(oid, [*self._spool.items(), *self._blobs.values()])

    def close(self) -> None:
        """Let go of all that was written down."""
        self._spool.close()

    # --- for commits --------------------------------------------------------------------------

    def entries(self, tree: bytes | None) -> Entries:
        """The entries of a tree that was written."""
        return dict(self._entries[tree]) if tree is not None else {}

    def lines(self, entries: Entries) -> dict[bytes, Line]:
        """The lines of a directory with these entries."""
        found = entries.get(LINES)
        return {} if found is None else attributes.decode(self._spool.get(found[1]))

    def put(self, lines: dict[bytes, Line], entries: Entries) -> bytes | None:
        """Write a directory with these lines and the sub-directories among the entries; its tree,
        None where there is nothing in it."""
        kept = {name: e for name, e in entries.items() if name.startswith(DIRECTORY_SIGN)}
        if lines:
            kept[LINES] = FILE, self._spool.put(BLOB, attributes.encode(lines))
        for line in lines.values():
            if line.data:
                kept[DATA_SIGN + line.data.hex().encode()] = FILE, line.data
        if not kept:
            return None
        ordered = sorted(
            (sort_key(name, mode), name, mode, oid) for name, (mode, oid) in kept.items()
        )
        tree = self._spool.put(TREE, tree_bytes(item[1:] for item in ordered))
        self._entries[tree] = kept
        return tree

    def content(self, record: GitCommit, ino: int) -> bytes:
        """Take the content of a file along; its id."""
        data = self.history.blob(record, ino)
        pieces = data.pieces if isinstance(data, Large) else [data]
        found = hasher(BLOB, data.size if isinstance(data, Large) else len(data))
        for piece in pieces:
            found.update(piece)
        oid = found.digest()
        self._blobs.setdefault(oid, Item(BLOB, oid, record, ino, b""))
        return oid


class _Commit:
    """One commit: what differs from its first parent."""

    def __init__(self, telling: Telling, node: Node, before: Node | None, trees: Trees) -> None:
        """`trees` are those of the parent, and become the commit's."""
        self._telling, self._trees = telling, trees
        self._record, self._time_ns = node.record, node.time_s * _NS
        nodes, record = telling.history.nodes, node.record
        old = None if before is None else before.record
        self._nodes = nodes
        self._roots = EMPTY_ROOT if old is None else old.root, record.root
        self._entries = EMPTY_ROOT if old is None else old.entries, record.entries
        self._old_root_ino = 0 if old is None else old.root_ino
        self._old, self._new = (Side(nodes, root) for root in self._roots)
        self._git_before, self._git = (partial(prolly.get, nodes, root) for root in self._entries)
        self._names: dict[int, dict[bytes, int]] = {}  # to be looked at -> inode, 0: gone
        self._below: dict[int, dict[bytes, int]] = {}  # sub-directories, likewise
        self._moved: set[int] = set()  # directories that are at other paths, to git new ones
        self._hidden: dict[int, bool] = {node.record.root_ino: False, _ROOT_INO: False}

    def run(self) -> bytes | None:
        """The tree of the commit's root."""
        root_ino = self._record.root_ino
        for key, was, now in prolly.diff(self._nodes, *self._roots):
            ino, kind, _ = keys.split(key)
            if kind == keys.DIRENT:
                self._note_names(ino, was, now)
            elif kind == keys.INODE:
                self._note_inode(ino, now)
        for key, was, now in prolly.diff(self._nodes, *self._entries):
            if was is None or now is None:
                self._note_seen(key, GitEntry.decode(was or now or b""))
        for below in list(self._below.values()):
            for ino in below.values():
                self._note_moved(ino)
        if self._old_root_ino not in (0, root_ino):
            for ino in (self._old_root_ino, root_ino):
                self._names.setdefault(ino, {})[SELF] = ino if ino == root_ino else 0
        waiting = [(-depth, ino) for ino in {*self._names, *self._below}
                   if (depth := self._depth(ino)) is not None]  # fmt: skip
        heapify(waiting)
        done = 0
        while waiting:
            depth, ino = heappop(waiting)
            if ino != done and self._make(ino):
                inode = self._new.inode(ino)
                for place in () if inode is None else self._new.places(inode):
                    self._below.setdefault(place.directory, {})[place.name] = ino
                    heappush(waiting, (depth + 1, place.directory))
            done = ino
        return self._trees.get(root_ino)

    def _note_names(self, directory: int, was: bytes | None, now: bytes | None) -> None:
        old = None if was is None else records.decode_dirent(was)
        new = None if now is None else records.decode_dirent(now)
        names, below = self._names.setdefault(directory, {}), self._below.setdefault(directory, {})
        if old is not None and old.ino:
            names.setdefault(old.name, 0)
            below.setdefault(old.name, 0)
        if new is not None and new.ino:
            names[new.name] = new.ino
            below[new.name] = new.ino if new.type == stat.S_IFDIR else 0

    def _note_inode(self, ino: int, now: bytes | None) -> None:
        if now is None:
            self._trees.pop(ino, None)
            return
        for place in self._new.places(records.decode_inode(ino, now)):
            self._names.setdefault(place.directory, {})[place.name] = ino
        if ino == self._record.root_ino:
            self._names.setdefault(ino, {})[SELF] = ino

    def _note_seen(self, key: bytes, entry: GitEntry) -> None:
        """Look at a directory that git has come to see, or sees no more."""
        directory, _, name = keys.split(key)
        inode = self._new.inode(entry.ino) if name.endswith(b"/") else None
        if inode is not None and Place(directory, name[:-1]) in list(self._new.places(inode)):
            self._names.setdefault(directory, {})[name[:-1]] = entry.ino

    def _note_moved(self, ino: int) -> None:
        """Look at all that is in a directory, if that is at another place than it was."""
        old, new = self._old.inode(ino), self._new.inode(ino)
        if old is None or new is None or (old.parent, old.slot) == (new.parent, new.slot):
            return
        todo = [ino]
        while todo:
            ino = todo.pop()
            if ino in self._moved:
                continue
            self._moved.add(ino)
            start = keys.prefix(ino, keys.DIRENT)
            for _, value in prolly.items(self._nodes, self._roots[1], start, keys.after(start)):
                entry = records.decode_dirent(value)
                if entry.type == stat.S_IFDIR:
                    todo.append(entry.ino)
                found = self._new.inode(entry.ino) if entry.ino else None
                for place in () if found is None else self._new.places(found):
                    self._names.setdefault(place.directory, {})[place.name] = entry.ino

    def _depth(self, ino: int) -> int | None:
        """How deep a directory lies, None where it is gone."""
        depth = 0
        inode = self._new.inode(ino)
        while inode is not None and inode.parent:
            inode, depth = self._new.inode(inode.parent), depth + 1
        return None if inode is None or inode.ino != _ROOT_INO else depth

    def _make(self, ino: int) -> bool:
        """Write a directory anew; whether it differs from before."""
        telling, before = self._telling, self._trees.get(ino)
        entries = telling.entries(before)
        lines = telling.lines(entries)
        for name, target in self._names.get(ino, {}).items():
            known = lines.pop(name, NOTHING)
            line = self._line(ino, name, target, known) if target else NOTHING
            if line != NOTHING:
                lines[name] = line
        for name, target in self._below.get(ino, {}).items():
            tree = self._trees.get(target)
            entries.pop(DIRECTORY_SIGN + name, None)
            if tree is not None:
                entries[DIRECTORY_SIGN + name] = DIRECTORY, tree
        tree = telling.put(lines, entries)
        self._trees.pop(ino, None)
        if tree is not None:
            self._trees[ino] = tree
        return tree != before

    # --- one name -----------------------------------------------------------------------------

    def _is_hidden(self, directory: int) -> bool:
        """Whether git does not see what is in a directory."""
        found = self._hidden.get(directory)
        if found is None:
            inode = self._new.inode(directory)
            places = [] if inode is None else list(self._new.places(inode))
            found = not places or self._is_hidden(places[0].directory) or (
                self._git(key_of(places[0].directory, places[0].name + b"/")) is None
            )  # fmt: skip
            self._hidden[directory] = found
        return found

    def _line(self, directory: int, name: bytes, ino: int, known: Line) -> Line:
        """What is to be told of a name, of which `known` was told before."""
        inode = self._new.inode(ino)
        assert inode is not None
        if name == SELF:
            times = NOTHING._replace(mtime_ns=inode.mtime_ns, atime_ns=inode.atime_ns)
            return self._told(inode, "", 0o755, times)
        is_directory = stat.S_ISDIR(inode.mode)
        entry = self._seen(directory, name, is_directory)
        atime_ns = None if inode.atime_ns == inode.mtime_ns else inode.atime_ns
        line = NOTHING._replace(mtime_ns=inode.mtime_ns, atime_ns=atime_ns)
        # Whatever git finds in a directory that moved, it is to be told.
        if entry is not None and not is_directory and directory not in self._moved:
            line = line._replace(mtime_ns=self._mtime(directory, name, inode, known, entry))
        if entry is None:
            return self._made(inode, line)
        mode = 0o755 if is_directory else _PERMISSIONS.get(entry.mode, 0o644)
        return self._told(inode, "", mode, line)

    def _seen(self, directory: int, name: bytes, is_directory: bool) -> GitEntry | None:
        """What git has at a name."""
        value = None
        if not self._is_hidden(directory):
            for key in (name + b"/", name) if is_directory else (name,):
                value = value or self._git(key_of(directory, key))
        return None if value is None else GitEntry.decode(value)

    def _mtime(
        self, directory: int, name: bytes, inode: Inode, known: Line, entry: GitEntry
    ) -> int | None:
        """The mtime of a file, None where an import gives it: the commit's time to what is new and
        to other contents; what stays keeps what it has."""
        value = self._git_before(key_of(directory, name))
        was = None if value is None else GitEntry.decode(value)
        if was is None or form(was.mode) != form(entry.mode) or was.id != entry.id:
            return None if inode.mtime_ns == self._time_ns else inode.mtime_ns
        old = self._old.inode(inode.ino)
        if old is None or Place(directory, name) not in list(self._old.places(old)):
            return inode.mtime_ns
        return known.mtime_ns if old.mtime_ns == inode.mtime_ns else inode.mtime_ns

    def _link(self, inode: Inode) -> tuple[int, int]:
        """A number that all names of an inode share, and that is another when one of them moves."""
        paths = sorted(self._path(place) for place in self._new.places(inode))
        digest = hashlib.sha1(b"\0".join(paths), usedforsecurity=False).digest()
        return int.from_bytes(digest[:_LINK_BYTES], "big"), inode.nlink

    def _path(self, place: Place) -> bytes:
        parts = [place.name]
        inode = self._new.inode(place.directory)
        while inode is not None and (above := next(self._new.places(inode), None)) is not None:
            parts.insert(0, above.name)
            inode = self._new.inode(above.directory)
        return b"/".join(parts)

    def _made(self, inode: Inode, line: Line) -> Line:
        """What is to be told of something that git does not see."""
        record, root = self._record, self._record.root
        line = line._replace(device=(inode.rdev_major, inode.rdev_minor))
        if stat.S_ISREG(inode.mode):
            line = line._replace(data=self._telling.content(record, inode.ino))
        if stat.S_ISLNK(inode.mode):
            history = self._telling.history
            line = line._replace(target=link_target(self._nodes, history.view, root, inode.ino))
        return self._told(inode, KIND_OF[inode.type], -1, line)

    def _told(self, inode: Inode, kind: str, mode: int, line: Line) -> Line:
        """The rest of a line; `mode` are the permissions that it has without one."""
        permissions = inode.mode & 0o7777
        is_directory = stat.S_ISDIR(inode.mode)
        line = line._replace(
            kind=kind,
            mode=None if permissions == mode else permissions,
            uid=inode.uid,
            gid=inode.gid,
            xattrs=tuple(
                xattrs(self._nodes, self._telling.history.view, self._record.root, inode.ino)
            ),
            link=None if is_directory or inode.nlink < 2 else self._link(inode),
        )
        told = line._replace(mtime_ns=None) if is_directory else line
        if told._replace(atime_ns=None) != NOTHING:
            self._telling.matters = True
        return line
