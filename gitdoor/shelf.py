"""Objects of the store as loose files: found by id or number, and read in parts.

Belongs to the main thread, as the store does; reads are split in two, as the store's are. Short
objects are made at once, whole, and kept for a while; of long blobs only what is asked for is read,
but for the checksum at the end, which takes a pass over the blob beside other work.
"""

from __future__ import annotations

import stat
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from gitdoor import stored
from gitdoor.content import inode_at
from gitdoor.graph import History, Missing
from gitdoor.pending import Pending, Steps
from gitdoor.source import Large
from gitdoor.stored import Layout, Span
from store.cache import Budget, GenerationCache
from store.disposal import Disposal
from store.errors import NotFound, Stale
from store.gitrows import BLOB, COMMIT, TAG, TREE, GitCommit, GitObject, GitRows
from store.points import Point
from store.records import NO_ID
from store.store import Store
from store.tree import Tree
from store.types import Data, Inode, Usage
from store.virtual import Read

# Files that were made, and how long one may be to be kept: git reads each in one go.
_KEPT_BYTES = 32 << 20
_WHOLE_BYTES_MAX = 1 << 20
# Checksums of longer ones.
_SUMS_MAX = 10_000
_STEP_BYTES = 1 << 20
# Ids kept by number, some 200 bytes each.
_NUMBERS_MAX = 100_000
_TREES_MAX = 64
# Trees with more entries than this are made beside.
_ENTRIES_MAX = 1000
_NODE_CACHE_BYTES = 8 << 20


class Loose(NamedTuple):
    """An object that there is; `record` is what it is made from, None for a tag."""

    id: bytes
    row: GitObject
    record: GitCommit | None


class _Read:
    """A part of a blob under way, made a part of its file at the end."""

    def __init__(
        self, inner: Read, layout: Layout, span: Span, prefix: bytes, checksum: int, inode: Inode
    ) -> None:
        self._inner, self._layout, self._span = inner, layout, span
        self._prefix, self._checksum, self._inode = prefix, checksum, inode

    def run(self) -> None:
        """Get the bytes."""
        self._inner.run()

    def run_cached(self) -> bool:
        """Get the bytes if they are in memory."""
        return self._inner.run_cached()

    def finish(self) -> Data:
        """The part of the file."""
        raw = self._prefix + bytes(self._inner.finish().data)
        return _part(self._layout, self._span, raw, self._checksum, self._inode)


class _WholeRead:
    """A blob under way, of whose file a part is wanted."""

    def __init__(
        self, inner: Read, made: Callable[[bytes], bytes], offset: int, count: int, inode: Inode
    ) -> None:
        self._inner, self._made = inner, made
        self._offset, self._count, self._inode = offset, count, inode

    def run(self) -> None:
        """Get the bytes."""
        self._inner.run()

    def run_cached(self) -> bool:
        """Get the bytes if they are in memory."""
        return self._inner.run_cached()

    def finish(self) -> Data:
        """The part of the file."""
        data = self._made(bytes(self._inner.finish().data))
        return _slice(data, self._offset, self._count, self._inode)


class Held:
    """Bytes that are in memory, as a read."""

    def __init__(self, data: Data) -> None:
        self._data = data

    def run(self) -> None:
        """Nothing is to be done."""

    def run_cached(self) -> bool:
        """It is there."""
        return True

    def finish(self) -> Data:
        """The part of the file."""
        return self._data


def _slice(data: bytes, offset: int, count: int, inode: Inode) -> Data:
    stop = min(offset + count, len(data))
    return Data(memoryview(data)[offset:stop], stop >= len(data), inode)


def _part(layout: Layout, span: Span, raw: bytes, checksum: int, inode: Inode) -> Data:
    data = layout.piece(span, raw, checksum)
    return Data(data, span.stop >= layout.file_bytes, inode)


class Shelf:
    """See the module. All repositories of a store share one."""

    def __init__(self, store: Store, pending: Pending) -> None:
        self._store, self._pending = store, pending
        self._rows = GitRows(store.engine)
        self._made: GenerationCache[bytes, bytes] = GenerationCache(
            Budget(_KEPT_BYTES // 2, Disposal())
        )
        self._latest = (b"", b"")
        self._sums: dict[bytes, int] = {}
        self._trees: dict[bytes, Tree] = {}
        self._records: dict[bytes, GitCommit | None] = {}
        self._version = -1
        # Ids by their first 60 bits, as they were found: a search by those bits is dear.
        self._numbers: OrderedDict[int, bytes] = OrderedDict()

    # --- which there are ----------------------------------------------------------------------

    def find(
        self,
        oid: bytes,
        visible: set[bytes] | None,
        packed: set[bytes],
        unpacked: set[bytes],
    ) -> Loose | None:
        """An object, if it is there and may be seen."""
        row = self._rows.object(oid)
        if row is None:
            return None
        if row.kind in (COMMIT, TAG):
            if oid not in packed and oid not in unpacked:
                return None
        elif visible is not None and oid not in visible:
            return None
        self._numbers[int.from_bytes(oid[:8], "big") >> 4] = oid
        if len(self._numbers) > _NUMBERS_MAX:
            self._numbers.popitem(last=False)
        return self._loose(oid, row)

    def _loose(self, oid: bytes, row: GitObject) -> Loose | None:
        if row.kind == TAG:
            return Loose(oid, row, None)
        record = self._record(row.commit)
        return None if record is None else Loose(oid, row, record)

    def _record(self, commit: bytes) -> GitCommit | None:
        """What is known of a commit, if its tree is there."""
        version = self._store.ids.version + self._store.collections
        if version != self._version or len(self._records) > _SUMS_MAX:
            self._version = version
            self._records.clear()
            self._trees.clear()
        if commit not in self._records:
            found, objects = self._rows.commit(commit), self._store.engine.objects
            there = found is not None and objects.has(found.entries) and objects.has(found.root)
            self._records[commit] = found if there else None
        return self._records[commit]

    def by_number(
        self,
        number: int,
        visible: set[bytes] | None,
        packed: set[bytes],
        unpacked: set[bytes],
    ) -> Loose | None:
        """The object whose id begins with 60 bits."""
        known = self._numbers.get(number)
        if known is not None:
            return self.find(known, visible, packed, unpacked)
        start = (number << 4).to_bytes(8, "big")
        for oid in sorted(self._rows.ids_from(start[:7])):
            if oid[7] & 0xF0 == start[7]:
                found = self.find(oid, visible, packed, unpacked)
                if found is not None:
                    return found
        return None

    def ids_from(
        self,
        name: bytes,
        visible: set[bytes] | None,
        packed: set[bytes],
        unpacked: set[bytes],
    ) -> Iterator[bytes]:
        """Ids that begin with a byte in hex, of what is in no pack."""
        first = bytes.fromhex(name.decode())
        if visible is not None:
            yield from (oid for oid in visible if oid[:1] == first and oid not in packed)
        else:
            for oid in self._rows.ids_from(first):
                row = None if oid in packed else self._rows.object(oid)
                if row is not None and row.kind in (TREE, BLOB) and self._loose(oid, row):
                    yield oid
        yield from (oid for oid in unpacked if oid[:1] == first)

    # --- what they are ------------------------------------------------------------------------

    def file_bytes(self, found: Loose) -> int:
        """How long an object's file is. Raises NotYet, Stale."""
        made = self._made.get(found.id)
        if made is not None:
            return len(made)
        if found.row.kind == BLOB:
            inode = self._inode(found)
            return Layout(len(stored.prefix(BLOB, inode.size)) + inode.size).file_bytes
        return len(self._whole(found))

    def begin_read(self, found: Loose, offset: int, count: int, inode: Inode) -> Read:
        """Begin to read a part of an object's file. Raises NotYet, Stale."""
        if found.row.kind == BLOB and self._made.get(found.id) is None:
            blob = self._inode(found)
            if blob.size > _WHOLE_BYTES_MAX:
                return self._begin_part(found, blob, offset, count, inode)
            if stat.S_ISREG(blob.mode):
                inner = self._tree(found).begin_read(None, blob.ino, 0, blob.size)
                return _WholeRead(inner, partial(self._blob, found.id), offset, count, inode)
        return Held(_slice(self._whole(found), offset, count, inode))

    def _blob(self, oid: bytes, data: bytes) -> bytes:
        """The file of a blob, which is kept."""
        made = stored.whole(stored.prefix(BLOB, len(data)) + data)
        self._keep(oid, made)
        return made

    def _whole(self, found: Loose) -> bytes:
        """The whole file of an object that is not long. Raises NotYet, Stale."""
        made = self._latest[1] if self._latest[0] == found.id else self._made.get(found.id)
        if made is None:
            if found.row.kind == TREE and self._inode(found).size > _ENTRIES_MAX:
                raise self._pending.wait(
                    (self, found.id), partial(self._beside, found), partial(self._keep, found.id)
                )
            engine = self._store.engine
            made = _made(History(engine, engine.objects, self._rows), found.id)
            self._keep(found.id, made)
        return made

    def _keep(self, oid: bytes, data: bytes) -> None:
        self._latest = oid, data  # however long it is, who waited for it finds it
        self._made.put(oid, data, len(data))

    def _beside(self, found: Loose) -> Steps:
        """Make an object's file on another thread."""
        engine = self._store.engine
        view = engine.views.open(_NODE_CACHE_BYTES)
        try:
            history = History(engine, view, GitRows(engine, view.reader))
            return (yield partial(_made, history, found.id))
        finally:
            view.close()

    # --- long blobs ---------------------------------------------------------------------------

    def _begin_part(self, found: Loose, blob: Inode, offset: int, count: int, inode: Inode) -> Read:
        prefix = stored.prefix(BLOB, blob.size)
        layout = Layout(len(prefix) + blob.size)
        span = layout.span(offset, count)
        checksum = 0
        if layout.needs_checksum(span):
            known = self._sums.get(found.id)
            if known is None:
                raise self._pending.wait(
                    (self, found.id, "sum"),
                    partial(self._summed, found, blob, prefix),
                    partial(self._put_sum, found.id),
                )
            checksum = known
        start = max(0, span.raw_start - len(prefix))
        stop = max(0, span.raw_stop - len(prefix))
        inner = self._tree(found).begin_read(None, blob.ino, start, stop - start)
        return _Read(inner, layout, span, prefix[span.raw_start :], checksum, inode)

    def _summed(self, found: Loose, blob: Inode, prefix: bytes) -> Steps:
        """The checksum of a blob's file."""
        tree = self._tree(found)
        checksum = zlib.adler32(prefix)
        for offset in range(0, blob.size, _STEP_BYTES):
            job = tree.begin_read(None, blob.ino, offset, _STEP_BYTES)
            yield job.run
            checksum = zlib.adler32(job.finish().data, checksum)
        return checksum

    def _put_sum(self, oid: bytes, checksum: int) -> None:
        if len(self._sums) >= _SUMS_MAX:
            self._sums.clear()
        self._sums[oid] = checksum

    def _tree(self, found: Loose) -> Tree:
        """The tree that a blob is a file of."""
        record = found.record
        assert record is not None
        tree = self._trees.get(record.root)
        if tree is None:
            if len(self._trees) >= _TREES_MAX:
                self._trees.clear()
            point = Point(None, record.root, record.root_ino, 0, NO_ID, Usage(0, 0))
            tree = self._trees[record.root] = self._store.history.tree_at(point)
        return tree

    def _inode(self, found: Loose) -> Inode:
        """The inode that an object is made from."""
        record = found.record
        assert record is not None
        return inode_at(self._store.engine.objects, record.root, found.row.ino)


def _made(history: History, oid: bytes) -> bytes:
    """An object's file. Raises Stale where it has gone. Any thread, with its own history."""
    try:
        kind, data = history.read(oid)
    except (Missing, NotFound):
        raise Stale(f"object {oid.hex()} is gone") from None
    raw = b"".join(data.pieces) if isinstance(data, Large) else data
    return stored.whole(stored.prefix(kind, len(raw)) + raw)
