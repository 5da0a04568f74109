"""What git calls a commit of the store: ids of what changed since its parent, and the rest as is.

The map of entries of the first parent is taken over, and edited where the two maps differ: so the
cost follows the number of changed inodes, the contents of changed files and the depth, not the
tree. It is a function of the commit's map and, for what git can say and the store cannot (a
submodule, an empty tree, an odd mode), of the entries before.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from functools import partial
from heapq import heappop, heappush
from typing import NamedTuple

from gitdoor import objects
from gitdoor.content import blob_pieces, link_target
from gitdoor.entries import key_of, listing, tree_of
from gitdoor.names import left_out
from gitdoor.objects import DIRECTORY, EMPTY_TREE, EXECUTABLE, FILE, LINK, SUBMODULE, hasher
from gitdoor.work import Work
from store import keys, prolly, records
from store.engine import Engine
from store.gitrows import BLOB, COMMIT, ROOT_KEY, TREE, GitCommit, GitEntry, object_row
from store.node import NodeSource
from store.readstore import EMPTY_ROOT
from store.records import Commit, Dirent
from store.scratch import NewNodes
from store.types import Inode

_ROOT_INO = 1


class Mapper:
    """Gives commits their names in git; belongs to one thread at a time."""

    def __init__(self, engine: Engine, work: Work) -> None:
        self._engine, self._work = engine, work
        self._nodes = NewNodes(work.view, work.writer)

    def missing(self, tips: list[bytes]) -> list[tuple[bytes, Commit]]:
        """The commits without a name that tips lead to, parents first.

        History ends at a commit that has a name, or no tree any more.
        """
        found: list[tuple[bytes, Commit]] = []
        state: dict[bytes, bool] = {}  # commits seen; whether they are done
        todo = list(tips)
        while todo:
            oid = todo[-1]
            if state.get(oid) or self._work.commit(oid) is not None:
                todo.pop()
                continue
            commit = Commit.decode(self._work.view.get(oid))
            if oid in state or not self._work.view.has(commit.root):
                if oid in state:
                    found.append((oid, commit))
                state[oid] = True
                todo.pop()
                continue
            state[oid] = False
            todo += [parent for parent in commit.parents if parent not in state]
        return found

    def run(self, commits: list[tuple[bytes, Commit]], done: int, most: int) -> int:
        """Name commits from number `done` on, at most so many; says how many are done then."""
        self._nodes.write_to(self._work.writer)
        for oid, commit in commits[done : done + most]:
            self._name(oid, commit)
        return min(len(commits), done + most)

    def _name(self, oid: bytes, commit: Commit) -> None:
        work = self._work
        known = [work.commit(parent) for parent in commit.parents]
        parents = [record for record in known if record is not None]
        base = next((r for r in parents if self._has(r.root) and self._has(r.entries)), None)
        change = _Change(self._nodes, self._engine.block_bytes, work, commit.root, base)
        entries = change.entries()
        tree = change.tree_at(entries, commit.root_ino)
        raw = objects.made_commit(commit, tree, [record.id for record in parents])
        git_id = objects.object_id(COMMIT, raw)
        record = GitCommit(
            git_id, tree, commit.root, entries, commit.root_ino, False, change.left, b""
        )
        work.add_commit(oid, record, commit.usage)
        rows = work.rows
        rows += [object_row(e.id, e.kind, oid, e.ino) for e in change.made if e.kind]
        rows.append(object_row(git_id, COMMIT, oid, 0))

    def _has(self, oid: bytes) -> bool:
        return oid in self._work.writer.added or self._work.view.has(oid)


class _Place(NamedTuple):
    """Where an inode has a name."""

    directory: int
    name: bytes


class _Side:
    """One of the two maps that are compared."""

    def __init__(self, nodes: NodeSource, root: bytes) -> None:
        self._get = partial(prolly.get, nodes, root)
        self._nodes, self._root = nodes, root

    def inode(self, ino: int) -> Inode | None:
        value = self._get(keys.inode_key(ino))
        return None if value is None else records.decode_inode(ino, value)

    def places(self, inode: Inode) -> Iterator[_Place]:
        """All names of an inode."""
        slots = [(inode.parent, inode.slot)] if inode.parent else []
        if not inode.parent and inode.nlink > 1:
            start = keys.prefix(inode.ino, keys.LINK)
            found = prolly.items(self._nodes, self._root, start, keys.after(start))
            rests = [key[keys.PREFIX_BYTES :] for key, _ in found]
            slots = [(keys.unpack_u64(rest[:8]), keys.unpack_u64(rest[8:])) for rest in rests]
        for directory, slot in slots:
            value = self._get(keys.prefix(directory, keys.DIRENT) + keys.pack_u64(slot))
            if value is not None:
                yield _Place(directory, records.decode_dirent(value).name)


class _Change:
    """What differs between a map and the one before, as changes to the map of entries."""

    def __init__(
        self, nodes: NewNodes, block_bytes: int, work: Work, root: bytes, base: GitCommit | None
    ) -> None:
        self._nodes, self._block_bytes, self._view = nodes, block_bytes, work.view
        self._old = _Side(nodes, EMPTY_ROOT if base is None else base.root)
        self._new = _Side(nodes, root)
        self._roots = EMPTY_ROOT if base is None else base.root, root
        self._entries = EMPTY_ROOT if base is None else base.entries
        self.left = 0 if base is None else base.left_out
        self.made: list[GitEntry] = []
        self._changes: dict[int, dict[bytes, GitEntry | None]] = {}
        self._dirty: set[int] = set()
        self._files: set[int] = set()
        self._added: list[tuple[int, Dirent]] = []
        self._ids: dict[int, GitEntry | None] = {}

    def entries(self) -> bytes:
        """The root of the map of entries."""
        for key, was, now in prolly.diff(self._nodes, *self._roots):
            self._note(key, was, now)
        for directory, found in self._added:
            self._add(directory, found)
        for ino in self._files:
            self._renew(ino)
        self._make_trees()
        changes = [
            (key_of(directory, name), None if entry is None else entry.encode())
            for directory, names in self._changes.items()
            for name, entry in names.items()
        ]
        return prolly.edit(self._nodes, self._nodes, self._entries, sorted(changes))

    def tree_at(self, entries: bytes, root_ino: int) -> bytes:
        """The id of a directory's tree."""
        key = ROOT_KEY
        inode = self._new.inode(root_ino)
        if root_ino != _ROOT_INO and inode is not None:
            for place in self._new.places(inode):
                key = key_of(place.directory, place.name + b"/")
        value = prolly.get(self._nodes, entries, key)
        return EMPTY_TREE if value is None else GitEntry.decode(value).id

    # --- what differs -------------------------------------------------------------------------

    def _note(self, key: bytes, was: bytes | None, now: bytes | None) -> None:
        ino, kind, _ = keys.split(key)
        if kind == keys.DIRENT:
            old = None if was is None else records.decode_dirent(was)
            new = None if now is None else records.decode_dirent(now)
            if old is not None and new is not None and old[:2] + old[3:] == new[:2] + new[3:]:
                return  # only the mark of a slot differs
            self._dirty.add(ino)
            if old is not None and old.ino:
                self._drop(ino, old)
            if new is not None and new.ino:
                self._added.append((ino, new))
        elif kind in (keys.EXTENT, keys.SYMLINK):
            self._files.add(ino)
        elif kind == keys.INODE and now is not None:
            new_inode = records.decode_inode(ino, now)
            if ino == _ROOT_INO and was is None:
                self._dirty.add(ino)
            if stat.S_ISDIR(new_inode.mode):
                return
            old_inode = None if was is None else records.decode_inode(ino, was)
            if (
                old_inode is None
                or old_inode.size != new_inode.size
                or (old_inode.mode ^ new_inode.mode) & 0o100
            ):
                self._files.add(ino)

    def _drop(self, directory: int, old: Dirent) -> None:
        if left_out(old.name, old.type):
            self.left -= 1
            return
        names = self._changes.setdefault(directory, {})
        names.setdefault(old.name, None)
        if old.type == stat.S_IFDIR:
            names.setdefault(old.name + b"/", None)

    def _add(self, directory: int, new: Dirent) -> None:
        if left_out(new.name, new.type):
            self.left += 1
            return
        if new.type != stat.S_IFDIR:
            entry = self._file(new.ino)
        else:
            self._dirty.add(new.ino)
            entry = self._before(new.ino)
        if entry is not None:
            self._set(directory, new.name, entry)

    def _renew(self, ino: int) -> None:
        """A file has another content or mode: so have all its names."""
        inode = self._new.inode(ino)
        if inode is None or not (stat.S_ISREG(inode.mode) or stat.S_ISLNK(inode.mode)):
            return
        for place in self._new.places(inode):
            if not left_out(place.name, inode.type):
                entry = self._file(ino)
                assert entry is not None
                self._dirty.add(place.directory)
                self._set(place.directory, place.name, entry)

    def _set(self, directory: int, name: bytes, entry: GitEntry | None) -> None:
        names = self._changes.setdefault(directory, {})
        names[name] = None
        if entry is None or entry.mode in (DIRECTORY, SUBMODULE):
            names[name + b"/"] = None
        if entry is not None:
            names[objects.sort_key(name, entry.mode)] = entry
            self.made.append(entry)

    # --- files --------------------------------------------------------------------------------

    def _file(self, ino: int) -> GitEntry | None:
        """The entry of a file or link; its content is read only where it may have changed."""
        if ino not in self._ids:
            found = None if ino in self._files else self._before(ino)
            self._ids[ino] = found or self._hashed(ino)
        return self._ids[ino]

    def _before(self, ino: int) -> GitEntry | None:
        """The entry that an inode had, under whatever name."""
        inode = self._old.inode(ino)
        if inode is None:
            return None
        for place in self._old.places(inode):
            for name in (place.name, place.name + b"/"):
                key = key_of(place.directory, name)
                value = prolly.get(self._nodes, self._entries, key)
                if value is not None:
                    return GitEntry.decode(value)
        return None

    def _hashed(self, ino: int) -> GitEntry | None:
        inode = self._new.inode(ino)
        if inode is None:
            return None
        root = self._roots[1]
        if stat.S_ISLNK(inode.mode):
            target = link_target(self._nodes, self._view, root, ino)
            return GitEntry(LINK, objects.object_id(BLOB, target), ino)
        found = hasher(BLOB, inode.size)
        for piece in blob_pieces(self._nodes, self._view, root, inode, self._block_bytes):
            found.update(piece)
        mode = EXECUTABLE if inode.mode & 0o100 else FILE
        return GitEntry(mode, found.digest(), ino)

    # --- trees --------------------------------------------------------------------------------

    def _make_trees(self) -> None:
        """Make the trees of changed directories, and of those above them, the deepest first."""
        waiting: list[tuple[int, int]] = []
        for ino in self._dirty:
            depth = self._depth(ino)
            if depth is not None:
                heappush(waiting, (-depth, ino))
        done: set[int] = set()
        while waiting:
            depth, ino = heappop(waiting)
            if ino in done:
                continue
            done.add(ino)
            above = self._made_tree(ino)
            if above is not None:
                heappush(waiting, (depth + 1, above))

    def _depth(self, ino: int) -> int | None:
        """How deep a directory lies, None where it is gone."""
        depth = 0
        while ino != _ROOT_INO:
            inode = self._new.inode(ino)
            if inode is None or not inode.parent:
                return None
            ino, depth = inode.parent, depth + 1
        return depth

    def _made_tree(self, ino: int) -> int | None:
        """Make one directory's tree; says the directory that has to be made for it."""
        found = dict(listing(self._nodes, self._entries, ino))
        found.update((n, e) for n, e in self._changes.get(ino, {}).items() if e is not None)
        for name, entry in self._changes.get(ino, {}).items():
            if entry is None:
                found.pop(name, None)
        items = sorted(found.items())
        oid = objects.object_id(TREE, tree_of(items))
        made = GitEntry(DIRECTORY, oid, ino)
        if ino == _ROOT_INO:
            self.made.append(made)
            self._changes.setdefault(0, {})[b""] = made
            return None
        inode = self._new.inode(ino)
        assert inode is not None
        (place,) = self._new.places(inode)
        if left_out(place.name, stat.S_IFDIR):
            return None
        known = self._known(place)
        if not items:
            # An empty directory is nothing to git, unless it was brought in by git as something.
            keep = known is not None and (known.mode == SUBMODULE or known.id == EMPTY_TREE)
            if not keep and known is not None:
                self._set(place.directory, place.name, None)
                return place.directory
            return None
        if known is None or (known.mode, known.id) != (DIRECTORY, oid):
            self._set(place.directory, place.name, made)
            return place.directory
        return None

    def _known(self, place: _Place) -> GitEntry | None:
        """The entry at a place as it is by now."""
        names = self._changes.get(place.directory, {})
        for name in (place.name + b"/", place.name):
            if name in names:
                if names[name] is not None:
                    return names[name]
                continue
            value = prolly.get(self._nodes, self._entries, key_of(place.directory, name))
            if value is not None:
                return GitEntry.decode(value)
        return None
