"""Sealing: a frozen layer is folded into the base map below it, in the background.

The job reads the layer's rows from the database in key order, turns them into changes of the
base map, and stores chunks, nodes and the snapshot's commit. Nothing refers to what it stores
until `finish` gives the layer its root; a crash before that leaves garbage in a pack's tail.

A layer is sealed once it is frozen, wholly in the database, and directly over a base: so layers
are sealed oldest first. Orphans go along: a commit is all that the layer was.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from store import database as db
from store import faults, keys, objectid, prolly, records
from store.blocks import data_value, extent_value, lay_over
from store.errors import Damaged, StoreError
from store.layer import Layer
from store.objects import ObjectReader, ObjectWriter
from store.records import NO_ID, Commit, SnapshotRecord

if TYPE_CHECKING:
    from store.engine import Engine
    from store.history import History

Change = tuple[bytes, bytes | None]

_NODE_CACHE_BYTES = 16 * 1024 * 1024
_FOREVER = 1 << 62


class SealJob:
    """The sealing of one layer. `run` on any thread, then `finish` on the main thread."""

    def __init__(self, engine: Engine, history: History, layer: Layer) -> None:
        self._engine, self._history, self._layer = engine, history, layer
        self._base = layer.parent.root if layer.parent is not None else layer.base
        self._snapshot: SnapshotRecord | None = None
        for record in history.snapshots.values():
            if record.layer == layer.id:
                self._snapshot = record
        self._parents = _parents(history, self._snapshot)
        self._writer: ObjectWriter | None = None
        self._root, self._commit = NO_ID, NO_ID
        self.error: StoreError | None = None

    def run(self) -> None:
        """Store the layer's map and commit. Does not raise: `finish` does."""
        engine = self._engine
        rows = engine.database.reader()
        view = engine.views.open(_NODE_CACHE_BYTES)
        try:
            self._writer = writer = ObjectWriter(engine.index, engine.packs, view.reader)
            folding = _Folding(engine, self._layer, self._base, rows, view, writer)
            self._root = prolly.edit(view, writer, self._base, folding.changes())
            if self._snapshot is not None:
                self._commit = writer.put(objectid.COMMIT, self._commit_object(self._snapshot))
            faults.point("seal.written")
            writer.sync()
        except StoreError as error:
            self.error = error
        finally:
            rows.close()
            view.close()

    def _commit_object(self, snapshot: SnapshotRecord) -> bytes:
        return Commit(
            self._root,
            snapshot.root_ino,
            self._layer.usage,
            self._parents,
            snapshot.author,
            snapshot.committer,
            snapshot.message,
        ).encode()

    def finish(self) -> None:
        """Let the root stand for the layer. Raises NoSpace, StorageFailure: sealed another time."""
        engine, layer, writer = self._engine, self._layer, self._writer
        if self.error is not None or writer is None:
            if writer is not None:
                writer.undo()
            raise self.error or Damaged("nothing was sealed")
        engine.publish(dict(writer.added), writer.sizes(), journalled=False)
        writer.close()
        if layer.id not in engine.layers:
            return  # released meanwhile; what was stored is garbage
        parent, layer.parent, layer.base = layer.parent, None, NO_ID
        layer.root, layer.stored = self._root, False
        engine.put_layer(layer)
        engine.release_layer(parent)
        engine.garbage_fresh.add(layer.id)
        engine.epoch += 1
        if self._snapshot is not None:
            self._history.sealed(layer.id, self._commit)
        faults.point("seal.published")


def _parents(history: History, snapshot: SnapshotRecord | None) -> tuple[bytes, ...]:
    """Commit ids of a snapshot's parents: those below it are sealed already."""
    if snapshot is None:
        return ()
    parent = history.snapshots.get(snapshot.parent)
    commit = snapshot.parent_commit if parent is None else parent.commit
    return () if commit == NO_ID else (commit,)


class _Folding:
    """Turns a layer's rows into changes of its base map."""

    def __init__(
        self,
        engine: Engine,
        layer: Layer,
        base: bytes,
        rows: db.Reader,
        view: ObjectReader,
        writer: ObjectWriter,
    ) -> None:
        self._block_bytes = engine.block_bytes
        self._per_block = engine.pages_per_block
        self._head, self._base = layer.head, base
        self._rows, self._view, self._writer = rows, view, writer

    def changes(self) -> Iterator[Change]:
        """All changes, ascending by key."""
        start = self._head
        cut = len(start)
        data_kinds = (keys.TRIM, keys.EXTENT, keys.PAGE)
        done = b""  # data of the inode with this prefix has been yielded already
        for whole, value in self._rows.items(db.LAYERS, start, keys.after(start)):
            key = whole[cut:]
            kind = key[8]
            if kind in data_kinds:
                if key[:8] != done:
                    done = key[:8]
                    yield from self._data(keys.unpack_u64(done))
            elif kind == keys.INODE and not value:
                lower, upper = keys.inode_range(keys.unpack_u64(key[:8]))
                for old, _ in prolly.items(self._view, self._base, lower, upper):
                    yield old, None
            elif kind in (keys.XATTR, keys.SYMLINK) and len(value) > records.INLINE_BYTES_MAX:
                yield key, data_value(value[1:], self._writer.put_chunk)
            else:
                yield key, value or None

    def _data(self, ino: int) -> Iterator[Change]:
        """Changes of a file's extents."""
        prefix = keys.prefix(ino, keys.EXTENT)
        trim = self._rows.get(db.LAYERS, self._head + keys.prefix(ino, keys.TRIM))
        cut = _FOREVER if trim is None else keys.unpack_u64(trim)
        news = self._blocks(ino, prefix, cut)
        olds = self._trimmed(prefix, cut)
        new, old = next(news, None), next(olds, None)
        while new is not None or old is not None:
            if old is not None and (new is None or old < new[0]):
                yield old, None
                old = next(olds, None)
            elif new is not None:
                if old == new[0]:
                    old = next(olds, None)
                yield new
                new = next(news, None)

    def _trimmed(self, prefix: bytes, cut: int) -> Iterator[bytes]:
        if cut < _FOREVER:
            start = prefix + keys.pack_u64(cut)
            for key, _ in prolly.items(self._view, self._base, start, keys.after(prefix)):
                yield key

    def _blocks(self, ino: int, prefix: bytes, cut: int) -> Iterator[Change]:
        """Blocks that the layer has an extent or pages of, with what they now are."""
        extents = self._numbered(prefix)
        pages = self._numbered(keys.prefix(ino, keys.PAGE))
        extent, page = next(extents, None), next(pages, None)
        while extent is not None or page is not None:
            at_page = _FOREVER if page is None else page[0] // self._per_block
            block = at_page if extent is None else min(extent[0], at_page)
            key = prefix + keys.pack_u64(block)
            own = None
            if extent is not None and extent[0] == block:
                own, extent = extent[1], next(extents, None)
            over = []
            while page is not None and page[0] // self._per_block == block:
                over.append((page[0] % self._per_block, page[1]))
                page = next(pages, None)
            if not over:
                yield key, own or None
                continue
            if own is None and block < cut:
                own = prolly.get(self._view, self._base, key)
            data = lay_over(self._content(own), over, self._block_bytes)
            yield key, extent_value(data, self._writer.put_chunk)

    def _numbered(self, prefix: bytes) -> Iterator[tuple[int, bytes]]:
        start = self._head + prefix
        cut = len(start)
        for key, value in self._rows.items(db.LAYERS, start, keys.after(start)):
            yield keys.unpack_u64(key[cut:]), value

    def _content(self, value: bytes | None) -> bytes:
        if not value:
            return b""
        oid = records.chunk_of(value)
        if oid is None:
            return value[1:]
        # A chunk that this very job stored may still wait in its writer.
        if oid in self._writer.added:
            self._writer.flush_buffers()
            return self._view.read_at(oid, self._writer.added[oid])
        return self._view.get(oid)


def next_to_seal(engine: Engine) -> Layer | None:
    """The oldest layer that can be sealed now, None where there is none."""
    for layer in engine.layers.values():
        waits = layer.frozen and not layer.sealed and in_database(layer)
        if waits and (layer.parent is None or layer.parent.sealed):
            return layer
    return None


def in_database(layer: Layer) -> bool:
    """Whether a layer's rows are all in the database."""
    return layer.pending is None and layer.mem.empty()
