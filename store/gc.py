"""Garbage collection: mark what roots lead to, then rewrite the packs that hold little else.

    roots    every layer's base or root, the rows of unsealed layers, commits of snapshots and
             their ancestors (the commit objects alone), open views, and what the rows of
             `git_commits` need (`gitrows`)
    packs    one with less than LIVE_SHARE_MIN of live bytes is rewritten: its live objects are
             copied to another pack, the rest is dropped from the index, the file goes last

It runs in steps (`steps`), each a job; clients read and write meanwhile, flushes and checkpoints
go on, sealing waits. What keeps it safe: packs that may be rewritten are closed to writers before
marking; what jobs find stored from then on is pinned (`objects.Index`); everything older is in
the database before marking. A pack's file is deleted only when a checkpoint has the new
locations: a crash before that finds either pack whole, and the next run finishes the work.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from store import database as db
from store import faults, reach
from store.errors import Damaged, StoreError
from store.gitrows import Row, needed, pruned, put_rows, shown_commits
from store.objects import ObjectReader, ObjectWriter
from store.pack import FILE_HEADER_BYTES, Location, scan
from store.records import NO_ID, Commit

if TYPE_CHECKING:
    from store.store import Job, Store

LIVE_SHARE_MIN = 0.75
_NODE_CACHE_BYTES = 16 * 1024 * 1024


class PackPlan(NamedTuple):
    """What GC makes of one pack. Bytes are those of records as stored."""

    pack: int
    size_bytes: int
    live_bytes: int
    live_objects: int
    dead_objects: int
    rewrite: bool


class Plan(NamedTuple):
    """What GC would do now."""

    packs: list[PackPlan]

    @property
    def dead_bytes(self) -> int:
        """Bytes that nothing needs, in all packs."""
        return sum(pack.size_bytes - pack.live_bytes for pack in self.packs)

    @property
    def freed_bytes(self) -> int:
        """Bytes that GC would give back to the disk."""
        return sum(pack.size_bytes - pack.live_bytes for pack in self.packs if pack.rewrite)


class Result(NamedTuple):
    """What GC did."""

    plan: Plan
    freed_bytes: int
    copied_bytes: int
    packs_removed: int
    objects_removed: int


class _Roots(NamedTuple):
    maps: set[bytes]
    layers: list[int]
    commits: set[bytes]


def _roots(store: Store) -> _Roots:
    """Everything that must stay; on the main thread."""
    engine, history = store.engine, store.history
    maps: set[bytes] = set(store.view_roots())
    layers: list[int] = []
    commits: set[bytes] = set()
    for layer in engine.layers.values():
        if layer.sealed:
            maps.add(layer.root)
            continue
        layers.append(layer.id)
        if layer.parent is None:
            maps.add(layer.base)
    for record in history.snapshots.values():
        commits.update((record.commit, record.parent_commit))
    commits.discard(NO_ID)
    return _Roots(maps | {store.empty_root}, layers, commits)


class MarkJob:
    """Finds all live objects and weighs the packs. Changes nothing."""

    def __init__(self, store: Store, packs: list[int]) -> None:
        self._engine, self._packs = store.engine, packs
        self._sizes = {number: store.engine.packs.sizes[number] for number in packs}
        self._found = _roots(store)
        self._shown = shown_commits(store.history)
        self._snapshots = set(store.history.snapshots)
        self.marked: set[bytes] = set()
        self.rows: list[Row] = []  # what the tables of git are to forget
        self.plan = Plan([])
        self.error: StoreError | None = None

    def run(self) -> None:
        """Mark and weigh. Does not raise: `finish` does."""
        view = self._engine.views.open(_NODE_CACHE_BYTES)
        try:
            self._mark(view)
            self.plan = Plan([self._weigh(number, view) for number in self._packs])
        except StoreError as error:
            self.error = error
        finally:
            view.close()

    def _enter(self, oid: bytes) -> bool:
        if oid in self.marked:
            return False
        self.marked.add(oid)
        return True

    def _mark(self, view: ObjectReader) -> None:
        for root in self._found.maps:
            reach.walk(view, root, self._enter)
        for layer in self._found.layers:
            self.marked.update(reach.chunks_of_layer(view.reader, layer))
        todo, reached = list(self._found.commits), set[bytes]()
        while todo:
            oid = todo.pop()
            if self._enter(oid):
                reached.add(oid)
                todo.extend(Commit.decode(view.get(oid)).parents)
        needs = needed(self._engine, view.reader, reached, self._shown)
        for root in needs.maps:
            reach.walk(view, root, self._enter)
        self.rows = pruned(self._engine, view.reader, view, needs, self._snapshots)

    def _weigh(self, number: int, view: ObjectReader) -> PackPlan:
        engine = self._engine
        size, live_bytes = self._sizes[number], FILE_HEADER_BYTES
        live = dead = flaws = 0

        def flaw(offset: int, what: str) -> None:
            nonlocal flaws
            flaws += 1

        for location, oid in scan(engine.packs.directory, number, engine.identity.id, flaw):
            if oid in self.marked and view.is_at(oid, location):
                live += 1
                live_bytes += location.end - location.offset
            else:
                dead += 1
        # A damaged pack is left as it is: what cannot be read cannot be copied.
        rewrite = not flaws and live_bytes < size * LIVE_SHARE_MIN and dead > 0
        return PackPlan(number, size, live_bytes, live, dead, rewrite)

    def finish(self) -> None:
        """Raises what marking met: Damaged (nothing is collected then), StorageFailure."""
        if self.error is not None:
            raise self.error


class RewriteJob:
    """Moves the live objects of one pack to another."""

    def __init__(self, store: Store, pack: int, marked: set[bytes]) -> None:
        self._engine, self._pack, self._marked = store.engine, pack, marked
        self._dead: dict[bytes, Location] = {}
        self._writer: ObjectWriter | None = None
        self.copied_bytes = self.objects_removed = 0
        self.error: StoreError | None = None

    def run(self) -> None:
        """Copy what is live and sync it. Does not raise: `finish` does."""
        engine = self._engine
        view = engine.views.open(0)
        try:
            self._writer = writer = ObjectWriter(engine.index, engine.packs, view.reader)
            for location, oid in scan(
                engine.packs.directory, self._pack, engine.identity.id, _refuse
            ):
                if not view.is_at(oid, location):
                    continue
                if oid in self._marked:
                    self._copy(writer, oid, location)
                else:
                    self._dead[oid] = location
            writer.sync()
            faults.point("gc.copied")
        except StoreError as error:
            self.error = error
        finally:
            view.close()

    def _copy(self, writer: ObjectWriter, oid: bytes, location: Location) -> None:
        writer.copy(oid, location, self._engine.packs.reader.read_stored(oid, location))
        self.copied_bytes += location.stored

    def finish(self) -> None:
        """Publish the new places. Raises NoSpace, StorageFailure: the pack then stays."""
        engine, writer = self._engine, self._writer
        if self.error is not None or writer is None:
            if writer is not None:
                writer.undo()
            raise self.error or Damaged("nothing was copied")
        with engine.index.lock:
            pins = engine.index.pins or set()
            needed = [oid for oid in self._dead if oid in pins]
            try:
                for oid in needed:  # relied on since it was marked
                    self._copy(writer, oid, self._dead.pop(oid))
                if needed:
                    writer.sync()
            except StoreError:
                writer.undo()
                raise
            changes: dict[bytes, Location | None] = dict.fromkeys(self._dead)
            changes.update(writer.added)
            engine.publish(changes, writer.sizes(), journalled=False)
            engine.put_table(db.PACKS, self._pack.to_bytes(4, "big"), None)
            engine.packs.sizes.pop(self._pack)
            engine.packs.emptied.add(self._pack)
        writer.close()
        self.objects_removed = len(self._dead)
        faults.point("gc.published")


def _refuse(offset: int, what: str) -> None:
    raise Damaged(f"offset {offset}: {what}")


def steps(
    store: Store, decide: Callable[[Plan], bool], done: Callable[[Result], None]
) -> Iterator[Job]:
    """The jobs of one collection, to be run and finished one after the other.

    `decide` sees the plan and says whether to go on; `done` gets the result. Other changes, and
    flushes and checkpoints of the caller, may come between jobs and beside them. Raises Busy
    while a background job or another collection is under way.
    """
    engine = store.engine
    packs = store.begin_collecting()
    try:
        yield from checkpointed(store)
        for number in list(engine.packs.emptied):  # left by a collection that failed
            engine.packs.remove(number)
        mark = MarkJob(store, packs)
        yield mark
        if not decide(mark.plan):
            return
        put_rows(engine, mark.rows)
        emptied, copied, removed = [], 0, 0
        for item in mark.plan.packs:
            if item.rewrite:
                job = RewriteJob(store, item.pack, mark.marked)
                yield job
                emptied.append(item)
                copied, removed = copied + job.copied_bytes, removed + job.objects_removed
        if emptied:
            yield from checkpointed(store)
        faults.point("gc.checkpointed")
        for item in emptied:
            engine.packs.remove(item.pack)
        freed = sum(item.size_bytes for item in emptied) - copied
        done(Result(mark.plan, freed, copied, len(emptied), removed))
    finally:
        store.end_collecting(packs)


def checkpointed(store: Store) -> Iterator[Job]:
    """Jobs after which the database has all that was changed before."""
    again = True
    while again:
        while (busy := store.busy()) is not None:
            yield Await(busy)
        again = store.engine.checkpointing is not None
        yield store.track(store.engine.begin_checkpoint())


class Await:
    """Waits, on the thread that runs it, until the main thread has finished another job."""

    def __init__(self, ended: threading.Event) -> None:
        self._ended = ended

    def run(self) -> None:
        """Wait."""
        self._ended.wait()

    def finish(self) -> None:
        """Nothing is left to do."""
