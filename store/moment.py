"""The store as it was at one instant, to be looked at from any thread for as long as it takes.

A moment is taken on the main thread, in the step in which a checkpoint has just finished: the
database then holds all that the store held when that checkpoint began, and nothing else. The
moment keeps a read transaction on it, and builds its own layers, refs and trees from that, as
opening the store would. So it shares nothing with the store that changes: what it shows is one
consistent state, whatever clients, flushes, checkpoints, seals and trims do meanwhile.

Objects never change, and packs only grow, until GC runs; hence no GC while a moment is open, and
no moment while GC runs. What the open transaction sees is not used again by LMDB, so its file
grows with what is written meanwhile; it shrinks when the store is closed.
"""

from __future__ import annotations

from functools import cached_property

from store import database as db
from store.cache import Budget
from store.disposal import Disposal
from store.engine import Engine
from store.layer import Chain
from store.memtable import Gauge
from store.objects import Index, ObjectReader, Packs
from store.points import Points
from store.readstore import ReadStore
from store.records import NO_ID
from store.tree import Tree

_NODE_CACHE_BYTES = 32 * 1024 * 1024
# Inodes, and as many names, that the moment's trees keep in memory.
_CACHE_ENTRIES = 50_000


class Moment(ReadStore):
    """Made by `Store.moment_steps`; belongs to one thread at a time; closed on the main one."""

    def __init__(self, engine: Engine, view_roots: list[bytes]) -> None:
        """`engine` is the live one, which has just finished a checkpoint."""
        past = _Past(engine)
        super().__init__(past)
        self._roots = [root for root in view_roots if past.objects.has(root)]

    @cached_property
    def history(self) -> Points:
        """Branches and snapshots; read when they are first asked for, by whoever looks."""
        return _PastPoints(self._engine)

    def view_roots(self) -> list[bytes]:
        """Roots of views of bare commits that were open."""
        return [*self._roots, *super().view_roots()]

    def close(self) -> None:
        """Let the database's old pages be used again."""
        self._engine.objects.close()


class _Past(Engine):
    """An engine of which only the parts that read are set up, on the database of then."""

    def __init__(self, engine: Engine) -> None:
        self.path, self.options, self.identity = engine.path, engine.options, engine.identity
        self.block_bytes, self.pages_per_block = engine.block_bytes, engine.pages_per_block
        self.disposal = Disposal()
        self.inode_budget = Budget(_CACHE_ENTRIES // 2, self.disposal)
        self.entry_budget = Budget(_CACHE_ENTRIES // 2, self.disposal)
        self.epoch = 0
        self.gauge = Gauge()
        self.layers, self.live = {}, {}
        self.flushing = self.checkpointing = None
        self.garbage_fresh, self.garbage = set(), engine.garbage | engine.garbage_fresh
        if engine.flushing is not None:
            self.garbage |= engine.flushing.garbage
        self._tables, self._tables_fresh, self._tables_leaving = {}, {}, {}
        self.last_ns = engine.last_ns
        self._next_ino, self._next_id = engine._next_ino, engine._next_id
        self.database, self.journal = engine.database, engine.journal
        self.reader = engine.database.reader()
        self.index = Index()
        self.packs = _PastPacks(engine.packs, self.reader)
        self.objects = ObjectReader(self.index, self.packs.reader, self.reader, _NODE_CACHE_BYTES)
        self.nodes = self.objects


class _PastPacks(Packs):
    """The packs that the tables knew; those that came since are somebody's."""

    def __init__(self, packs: Packs, reader: db.Reader) -> None:
        self.directory, self.store_id, self.reader = packs.directory, packs.store_id, packs.reader
        number = int.from_bytes
        self.sizes = {number(key, "big"): number(size, "big") for key, size in reader.all(db.PACKS)}
        self._busy = {*packs._busy, *packs._spare, *packs.emptied, *packs.sizes}
        self.emptied, self._spare = set(), set()
        self._next = packs._next

    def accounted(self, number: int) -> bool:
        """Whether a pack that the tables did not know was in use then, or has come since."""
        return number >= self._next or super().accounted(number)


class _PastPoints(Points):
    """Branches and snapshots as they were, with read-only trees of the branches."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        for _, head in self.live():
            layer = engine.layers[head.layer]
            chain = Chain(engine, layer, NO_ID)
            tree = Tree(engine, chain, head.root_ino, layer.usage, read_only=True)
            self.trees[head.branch] = tree
