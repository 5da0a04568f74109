"""What differs between two points, at a cost that follows the size of the difference.

Whatever changes an inode changes its record (its ctime), so the inodes that can differ are those
with a record in the layers that only one side has, and in the base nodes that only one side has.
Blocks and attributes are compared only where such a layer or node touches them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from store import database as db
from store import keys, prolly
from store.layer import Chain, Layer
from store.node import NodeSource
from store.tree import Tree
from store.types import Difference, DiffKind, Inode


class Ground(Protocol):
    """What the trees stand on; see `engine.Engine` and `scratch.Scratch`."""

    pages_per_block: int
    reader: db.Reader

    @property
    def nodes(self) -> NodeSource:
        """Where maps' nodes are read from."""


Paths = dict[tuple[int, bytes], bytes]
"""An inode's names, as (directory, name), and the paths that they make. A name stays the same when
a directory above it moves, so that what lies below a renamed directory is not renamed itself."""


class _Touched:
    """What may differ: inodes, and of them blocks, first trimmed blocks, and attributes."""

    def __init__(self, pages_per_block: int) -> None:
        self.per_block = pages_per_block
        self.inodes: set[int] = set()
        self.blocks: dict[int, set[int]] = {}
        self.trims: dict[int, int] = {}
        self.xattrs: set[int] = set()

    def add_key(self, key: bytes, value: bytes) -> None:
        ino, kind, rest = keys.split(key)
        if kind == keys.INODE:
            self.inodes.add(ino)
        elif kind == keys.EXTENT:
            self.blocks.setdefault(ino, set()).add(keys.unpack_u64(rest))
        elif kind == keys.PAGE:
            self.blocks.setdefault(ino, set()).add(keys.unpack_u64(rest) // self.per_block)
        elif kind == keys.TRIM:
            self.add_trim(ino, keys.unpack_u64(value))
        elif kind == keys.XATTR:
            self.xattrs.add(ino)

    def add_trim(self, ino: int, block: int) -> None:
        self.trims[ino] = min(block, self.trims.get(ino, block))

    def add_layer(self, ground: Ground, layer: Layer) -> None:
        for mem in (layer.mem, layer.pending):
            if mem is None:
                continue
            self.inodes.update(mem.inodes)
            for prefix in mem.rows:
                if prefix[8] == keys.XATTR:
                    self.xattrs.add(keys.unpack_u64(prefix[:8]))
            for ino, extents in mem.extents.items():
                self.blocks.setdefault(ino, set()).update(extents)
            for ino, pages in mem.pages.items():
                self.blocks.setdefault(ino, set()).update(p // self.per_block for p in pages)
            for ino, block in mem.trims.items():
                self.add_trim(ino, block)
        if layer.stored:
            head = layer.head
            for key, value in ground.reader.items(db.LAYERS, head, keys.after(head)):
                self.add_key(key[8:], value)


def _touched(ground: Ground, before: Chain, after: Chain, advance: Callable[[], None]) -> _Touched:
    touched = _Touched(ground.pages_per_block)
    old, new = list(before.layers()), list(after.layers())
    if before.root == after.root:
        while old and new and old[-1] is new[-1]:
            old.pop()
            new.pop()
    else:
        for key, was, now in prolly.diff(ground.nodes, before.root, after.root):
            advance()
            touched.add_key(key, now or was or b"")
    for layer in {layer.id: layer for layer in old + new}.values():
        advance()
        touched.add_layer(ground, layer)
    return touched


def diff(
    ground: Ground, before: Tree, after: Tree, advance: Callable[[], None]
) -> Iterator[Difference]:
    """Differences between two read-only trees, by path. Raises Damaged, StorageFailure.

    Times alone make no difference. An inode whose one name moved is RENAMED; what lies below a
    renamed directory is not mentioned unless it differs itself. `advance` is called now and then;
    what it raises passes through.
    """
    touched = _touched(ground, before.chain, after.chain, advance)
    names_before, names_after = _Names(before), _Names(after)
    found: list[Difference] = []
    for ino in touched.inodes:
        advance()
        old, old_names = names_before.of(ino)
        new, new_names = names_after.of(ino)
        if old is None and new is None:
            continue
        changed = (
            old is not None
            and new is not None
            and old != new
            and _differs(before, after, old, new, touched)
        )
        found += _of_inode(old, new, old_names, new_names, changed)
    yield from sorted(found, key=lambda item: (item.path, item.kind.value))


def _of_inode(
    old: Inode | None, new: Inode | None, before: Paths, after: Paths, changed: bool
) -> Iterator[Difference]:
    gone = sorted(before[name] for name in before.keys() - after.keys())
    come = sorted(after[name] for name in after.keys() - before.keys())
    if len(gone) == 1 and len(come) == 1 and old is not None and new is not None:
        yield Difference(DiffKind.RENAMED, come[0], gone[0], old, new)
    else:
        for path in gone:
            yield Difference(DiffKind.REMOVED, path, path, old, None)
        for path in come:
            yield Difference(DiffKind.ADDED, path, None, None, new)
    if changed:
        for name in before.keys() & after.keys():
            yield Difference(DiffKind.MODIFIED, after[name], before[name], old, new)


class _Names:
    """Paths in one tree, those of directories remembered."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._directories: dict[int, bytes | None] = {tree.root: b""}

    def of(self, ino: int) -> tuple[Inode | None, Paths]:
        """An inode and its names below the root; (None, none) where it has none there."""
        inode = self._tree.find(ino)
        if inode is None:
            return None, {}
        if ino == self._tree.root:
            return inode, {(0, b""): b"/"}
        paths: Paths = {}
        for parent, slot in self._tree.names_of(inode):
            path = self._path(parent, slot)
            if path:
                paths[parent, path.rpartition(b"/")[2]] = path
        return (inode, paths) if paths else (None, {})

    def _path(self, parent: int, slot: int) -> bytes | None:
        above = self._directory(parent)
        name = self._tree.name_at(parent, slot)
        return None if above is None or name is None else above + b"/" + name

    def _directory(self, ino: int) -> bytes | None:
        if ino not in self._directories:
            inode = self._tree.find(ino)
            names = [] if inode is None else self._tree.names_of(inode)
            self._directories[ino] = self._path(*names[0]) if names else None
        return self._directories[ino]


def _differs(before: Tree, after: Tree, old: Inode, new: Inode, touched: _Touched) -> bool:
    """Whether two states of an inode differ in more than times and names."""
    if _essence(old) != _essence(new):
        return True
    ino = old.ino
    if ino in touched.xattrs and before.xattrs_of(ino) != after.xattrs_of(ino):
        return True
    blocks = set(touched.blocks.get(ino, ()))
    if ino in touched.trims:
        blocks.update(before.allocated_blocks(ino, touched.trims[ino]))
        blocks.update(after.allocated_blocks(ino, touched.trims[ino]))
    return not all(before.same_block(after, ino, number) for number in sorted(blocks))


def _essence(inode: Inode) -> tuple[int, ...]:
    size = 0 if inode.mode & 0o170000 == 0o040000 else inode.size
    nlink = 0 if inode.mode & 0o170000 == 0o040000 else inode.nlink
    return inode.mode, inode.uid, inode.gid, size, nlink, inode.rdev_major, inode.rdev_minor
