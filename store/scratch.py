"""A scratch tree: changes over a stored map, made in memory and folded into a new map.

For work that makes whole states of a branch, one after the other, before anybody sees the first:
an imported history, say. Nothing of it goes through the journal or through layers; what it stores
are objects that nothing refers to until the caller publishes them. It belongs to one thread at a
time, any one, and has readers of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from store import keys, prolly, records
from store import node as nodes
from store.blocks import data_value, extent_value
from store.cache import Budget, GenerationCache
from store.disposal import Disposal
from store.engine import Engine
from store.layer import Chain, Layer
from store.memtable import Gauge
from store.objects import ObjectReader, ObjectWriter
from store.pack import Location
from store.records import NO_ID
from store.tree import Tree
from store.types import Inode, Usage

Change = tuple[bytes, bytes | None]
AnyTree = TypeVar("AnyTree", bound=Tree)

# Nodes of the states before, by what they would take alone: those of a state share most of it with
# the ones that they came from.
_NODE_CACHE_BYTES = 64 * 1024 * 1024
_CACHE_ENTRIES = 50_000
_ROOT_INO = 1


class NewNodes:
    """Map nodes that a writer has put, and those that were stored before."""

    def __init__(self, view: ObjectReader, writer: ObjectWriter) -> None:
        self._view, self._writer = view, writer
        self._cache: GenerationCache[bytes, nodes.Node] = GenerationCache(
            Budget(_NODE_CACHE_BYTES // 2, Disposal())
        )

    def write_to(self, writer: ObjectWriter) -> None:
        """Go on with another writer; what the last one put has been published."""
        self._writer = writer

    def node(self, oid: bytes) -> nodes.Node:
        """A node by its id. Raises Damaged, StorageFailure."""
        found = self._cache.get(oid)
        if found is None:
            place = self._writer.added.get(oid)
            if place is None:
                return self._view.node(oid)
            self._writer.flush_buffers()
            found = nodes.decode(self._view.read_at(oid, place))
            self._cache.put(oid, found, found.weight)
        return found

    def put_node(self, node: nodes.Node) -> bytes:
        """Store a node; it is likely to be read again soon."""
        oid = self._writer.put_node(node)
        self._cache.put(oid, node, node.weight)
        return oid


class NewObjects(ObjectReader):
    """Objects that a writer has put, and those that were stored before."""

    def __init__(self, engine: Engine, view: ObjectReader, writer: ObjectWriter) -> None:
        super().__init__(engine.index, view.packs, view.reader, 0, beside=True)
        self.writer = writer

    def location(self, oid: bytes) -> Location:
        """See `ObjectReader`."""
        place = self.writer.added.get(oid)
        if place is None:
            return super().location(oid)
        self.writer.flush_buffers()
        return place


class Scratch:
    """See the module. `numbers` gives inode numbers that nobody else has."""

    def __init__(
        self, engine: Engine, view: ObjectReader, writer: ObjectWriter, numbers: Iterator[int]
    ) -> None:
        self.block_bytes = engine.block_bytes
        self._objects = NewObjects(engine, view, writer)
        self.objects: ObjectReader = self._objects
        self.reader = view.reader
        self.inode_budget = Budget(_CACHE_ENTRIES // 2, Disposal())
        self.entry_budget = Budget(_CACHE_ENTRIES // 2, Disposal())
        self.epoch = 0
        self.now_ns = 0
        self._engine, self._numbers = engine, numbers
        self.pages_per_block = engine.pages_per_block
        self.nodes = self._nodes = NewNodes(view, writer)
        self.writer = writer
        self._base = NO_ID

    def write_to(self, writer: ObjectWriter) -> None:
        """Go on with another writer; what the last one put has been published."""
        self.writer = self._objects.writer = writer
        self._nodes.write_to(writer)

    # --- what a tree needs (treebase.Ground) --------------------------------------------------

    def admit(self, data_bytes: int) -> None:
        """Nothing is refused: `weight` is for the caller to look at."""

    def next_ino(self) -> int:
        """A number that no inode ever had."""
        return next(self._numbers)

    def now(self) -> int:
        """The time of the state that is being made, ns."""
        return self.now_ns

    def disk_bytes(self) -> tuple[int, int]:
        """Not asked for here."""
        return 0, 0

    # --- states -------------------------------------------------------------------------------

    def tree_over(self, base: bytes, root_ino: int, usage: Usage) -> Tree:
        """A tree that starts as a stored map; the one before is done with."""
        return self.made_over(Tree, base, root_ino, usage)

    def made_over(self, kind: type[AnyTree], base: bytes, root_ino: int, usage: Usage) -> AnyTree:
        """The same, of another class."""
        self._base = base
        self._layer = Layer(0, None, base, Gauge())
        chain = Chain(self, self._layer, base)
        return kind(self, chain, root_ino, usage, read_only=False)

    def empty_tree(self, empty_root: bytes, uid: int, gid: int) -> Tree:
        """A tree with nothing in it but its root, which belongs to that user and group."""
        tree = self.tree_over(empty_root, _ROOT_INO, Usage(0, 1))
        now = self.now_ns
        root = Inode(_ROOT_INO, 0o40755, 2, uid, gid, 0, 0, 0, 0, now, now, now, now, 0, 0, 0)
        self._layer.mem.put_inode(root)
        return tree

    @property
    def weight(self) -> int:
        """About how much memory the changes take that were not folded yet, bytes."""
        return self._layer.mem.weight

    def extent(self, data: bytes) -> bytes | None:
        """Store a block of a file; the value of its extent, None where it is all zeros."""
        value = extent_value(data, self.writer.put_chunk)
        return None if value == records.EMPTY_DATA else value

    def fold(self, tree: Tree) -> bytes:
        """The root of the map with all changes made; the tree, the last one, goes on over that."""
        if not self._layer.mem.empty():
            self._base = prolly.edit(self._nodes, self._nodes, self._base, self._changes())
            self._layer = Layer(0, None, self._base, Gauge())
            tree.rebase(Chain(self, self._layer, self._base), tree.root, tree.usage())
        return self._base

    def _changes(self) -> Iterator[Change]:
        return iter(sorted(self._unsorted()))

    def _unsorted(self) -> Iterator[Change]:
        mem, put_chunk = self._layer.mem, self.writer.put_chunk
        for ino, inode in mem.inodes.items():
            if inode is not None:
                yield keys.inode_key(ino), records.encode_inode(inode)
            else:
                yield from self._gone(*keys.inode_range(ino))
        for prefix, row in mem.rows.items():
            long = prefix[8] in (keys.XATTR, keys.SYMLINK)
            for rest, value in row.items():
                if long and value is not None and records.chunk_of(value) is None:
                    value = data_value(value[1:], put_chunk)
                yield prefix + rest, value
        for ino, extents in mem.extents.items():
            prefix = keys.prefix(ino, keys.EXTENT)
            for block, value in extents.items():
                yield prefix + keys.pack_u64(block), value
        for ino, first in mem.trims.items():
            prefix = keys.prefix(ino, keys.EXTENT)
            known = mem.extents.get(ino, {})
            for key, _ in self._gone(prefix + keys.pack_u64(first), keys.after(prefix)):
                if keys.unpack_u64(key[keys.PREFIX_BYTES :]) not in known:
                    yield key, None

    def _gone(self, start: bytes, stop: bytes) -> Iterator[Change]:
        return ((key, None) for key, _ in prolly.items(self._nodes, self._base, start, stop))
