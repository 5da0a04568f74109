"""The store: what fsgw, nfs and fuse open, and the only module of this package they start from.

Single-threaded by contract. Every change is in memory at once and durable when a flush that
began after it has finished. Work that may run on another thread comes as a job: `run()` there,
then `finish()` here, which raises what went wrong; one flush and one background job may run at
the same time. `flush` and `settle` do it all on the calling thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Protocol

from store import codec, directory, node, objectid
from store.engine import Engine, Options
from store.errors import Busy, StorageFailure, StoreError, UnknownRef
from store.flush import FlushJob
from store.gc import Plan, Result, checkpointed, steps
from store.history import History
from store.identities import Identities
from store.merging import Merged, Request, merge
from store.moment import Moment
from store.objects import ObjectWriter
from store.pack import Location
from store.points import Point
from store.readstore import EMPTY_ROOT, ReadStore
from store.refs import head_ref
from store.seal import SealJob, in_database, next_to_seal
from store.statistics import Stats
from store.tree import Tree
from store.trim import TrimJob, find_garbage
from store.types import (
    BLOCK_BYTES_DEFAULT,
    BranchInfo,
    Quota,
    SnapshotInfo,
    Who,
)

__all__ = ["Job", "Options", "Store"]

# Entries freed when the store is asked for background work: a millisecond's worth.
_DISPOSED_A_TIME = 10_000


class Job(Protocol):
    """Work to be run on any thread and finished on the main one."""

    def run(self) -> None:
        """Do the work; never raises."""

    def finish(self) -> None:
        """Take over the outcome; raises what went wrong."""


class Store(ReadStore):
    """An open store; a context manager that closes it."""

    def __init__(self, engine: Engine) -> None:
        """Use `open`."""
        try:
            engine.objects.get(EMPTY_ROOT)
        except StorageFailure:
            _put_empty_root(
                engine
            )  # the store is new, or it was damaged, and every branch needs it
        self._history = History(engine, EMPTY_ROOT)
        super().__init__(engine)
        self.ids = Identities(self._history)
        self._background: _Tracked | None = None
        self._collecting = False
        self._moments = 0  # open, or about to be
        self.collections = 0  # of garbage, since the store was opened
        engine.garbage = find_garbage(engine)

    @staticmethod
    def init(
        path: str | Path, *, block_bytes: int = BLOCK_BYTES_DEFAULT, replica: int | None = None
    ) -> None:
        """Make a new store in an absent or empty directory.

        `block_bytes` is a power of two from 4 KiB to 16 MiB; `replica` 1 to 8191, random if None.
        Raises InvalidArgument, Exists, StorageFailure, NoSpace.
        """
        directory.create(Path(path), block_bytes, replica)

    @classmethod
    def open(cls, path: str | Path, options: Options | None = None) -> Store:
        """Open a store in its last durable state; no repair step, however it ended.

        Raises NotAStore, WrongVersion, AlreadyOpen, Damaged, StorageFailure, NoSpace.
        """
        engine = Engine(Path(path), options or Options())
        try:
            return cls(engine)
        except BaseException:
            engine.close(clean=False)
            raise

    def close(self) -> None:
        """Make everything durable and let the store go. Raises what flushing raises; the store
        is closed all the same, and what was not durable is lost as in a crash."""
        engine = self._engine
        clean = False
        try:
            self.flush()
            self._checkpoint()
            clean = True
        finally:
            engine.close(clean)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def history(self) -> History:
        """Branches and snapshots, for this package's own modules and tests."""
        return self._history

    @property
    def quiet(self) -> bool:
        """Whether no job is under way that knows more than the engine."""
        return self.busy() is None

    # --- durability ---------------------------------------------------------------------------

    @property
    def dirty_bytes(self) -> int:
        """Estimated memory of changes that are not durable yet."""
        return self._engine.fresh_bytes

    def begin_flush(self) -> FlushJob | None:
        """A job that makes all changes until now durable; None where all is durable already.

        Raises Busy while another flush is not finished.
        """
        return self._engine.begin_flush()

    def flush(self) -> None:
        """Make all changes durable now, and make room in memory where that is due.

        Raises NoSpace, StorageFailure: then the changes wait in memory for the next flush.
        """
        job = self.begin_flush()
        if job is not None:
            job.run()
            job.finish()
        if self._engine.checkpoint_due() and self._background is None:
            self._checkpoint()

    def checkpoint(self) -> None:
        """Bring the database up to now. Raises Busy while a job runs, NoSpace, StorageFailure."""
        if self._background is not None:
            raise Busy("a background job is under way")
        self._checkpoint()

    def _checkpoint(self) -> None:
        again = self._engine.checkpointing is not None  # that one has only what was then
        job = self._engine.begin_checkpoint()
        job.run()
        job.finish()
        if again:
            self._checkpoint()

    def background_job(self) -> Job | None:
        """The next piece of background work, None where there is none (now).

        A checkpoint when one is due, otherwise the sealing of a frozen layer, otherwise the
        removal of rows that are no longer needed. One runs at a time.
        """
        self._engine.disposal.step(_DISPOSED_A_TIME)
        if self._background is not None:
            return None
        job = self._next_job()
        if job is not None:
            self._background = _Tracked(self, job)
        return self._background

    def _next_job(self) -> Job | None:
        engine = self._engine
        if not self._collecting:
            self._history.freeze_large(engine.options.layer_rows_max)
        if engine.flushing is None and (engine.checkpoint_due() or self._layers_wait()):
            return engine.begin_checkpoint()
        if self._collecting:
            return None  # GC marks what seals would change
        layer = next_to_seal(engine)
        if layer is not None:
            return SealJob(engine, self._history, layer)
        if engine.garbage:
            return TrimJob(engine)
        return None

    def _layers_wait(self) -> bool:
        """Whether a frozen layer cannot be sealed because its changes are still in memory."""
        layers = self._engine.layers.values()
        return any(x.frozen and not x.sealed and not in_database(x) for x in layers)

    def track(self, job: Job) -> Job:
        """The job as the background job under way."""
        self._background = _Tracked(self, job)
        return self._background

    def background_ended(self) -> None:
        """The background job was finished, well or not."""
        self._background = None

    def settle(self) -> None:
        """Flush, and run background jobs until none is left. Raises NoSpace, StorageFailure."""
        while True:
            self.flush()
            job = self.background_job()
            if job is None:
                return
            job.run()
            job.finish()

    # --- branches and snapshots ---------------------------------------------------------------

    def create_branch(self, name: str, uid: int = 0, gid: int = 0) -> BranchInfo:
        """An empty branch, its root that user's and group's. Raises InvalidRef, RefExists,
        InvalidArgument."""
        return self._history.create_branch(name, uid, gid)

    def delete_branch(self, name: str) -> None:
        """Remove a branch with all of its snapshots. Raises UnknownRef."""
        self._history.delete_branch(name)

    def rename_branch(self, old: str, new: str) -> None:
        """Give a branch another name. Raises UnknownRef, InvalidRef, RefExists."""
        self._history.rename_branch(old, new)

    def fork(self, source: str, name: str) -> BranchInfo:
        """A new branch that starts as what a ref names (`main`, `main@monday`, a commit id); with
        a path behind it (`main/srv/www`) that directory becomes its root.

        Raises UnknownRef, AmbiguousId, InvalidRef, RefExists, NotFound, NotDirectory.
        """
        return self._history.fork(source, name)

    def set_quota(self, branch: str, quota: Quota) -> None:
        """Limit a branch. Raises UnknownRef, InvalidArgument."""
        self._history.set_quota(branch, quota)

    def snapshot(
        self,
        branches: str | Sequence[str],
        name: str | None = None,
        message: str = "",
        author: Who | None = None,
    ) -> list[SnapshotInfo]:
        """Snapshot one branch or several in one atomic step; `name` defaults to the time.

        Raises UnknownRef, InvalidRef, RefExists, InvalidArgument; then none is taken.
        """
        names = [branches] if isinstance(branches, str) else list(branches)
        return self._history.snapshot(names, name, message, author)

    def delete_snapshot(self, branch: str, name: str) -> None:
        """Remove a snapshot. Raises UnknownRef."""
        self._history.delete_snapshot(self._history.snapshot_id(branch, name))

    def rollback(self, branch: str, target: str) -> SnapshotInfo:
        """Make a branch what a ref names, under its users; returns the snapshot that keeps what
        it was. Raises UnknownRef, AmbiguousId, InvalidArgument."""
        return self._history.rollback(branch, target)

    def merge(self, request: Request) -> Merged:
        """Merge a point into a branch, on the calling thread. Raises as `merging.merge`, whose
        steps do it beside clients."""
        steps = merge(self, request, self._until)
        try:
            step = next(steps)
            while True:
                try:
                    result = step()
                except StoreError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as end:
            done: Merged = end.value
            return done

    def _until(self, holds: Callable[[], bool]) -> Generator[Callable[[], None], None, None]:
        if not holds():
            yield self.settle

    # --- trees --------------------------------------------------------------------------------

    def tree(self, branch: str) -> Tree:
        """A branch's writable tree, the same one every time. Raises UnknownRef."""
        return self._history.trees[self._history.head(branch).branch]

    def annex(self, branch: int) -> Tree:
        """A writable tree beside a branch, given by its id: for what belongs to the branch but not
        into its history. It goes with the branch. Raises UnknownRef."""
        if branch not in self._history.branches:
            raise UnknownRef(f"no branch has the id {branch}")
        return self._history.annex(branch)

    def _lasting(self, point: Point, ref: str) -> Point:
        if point.layer is None or point.layer.frozen:
            return point
        return self._history.frozen_point(head_ref(ref.partition("/")[0]))

    # --- care ---------------------------------------------------------------------------------

    def gc_plan(self) -> Plan:
        """What GC would free now. Raises Busy while a background job runs, Damaged."""
        plans: list[Plan] = []
        self._run(self.gc_plan_steps(plans.append))
        return plans[0]

    def gc_plan_steps(self, done: Callable[[Plan], None]) -> Iterator[Job]:
        """The jobs of finding out what GC would free, to be run and finished as `gc_steps`'s."""

        def keep(plan: Plan) -> bool:
            done(plan)
            return False

        return steps(self, keep, lambda result: None)

    def gc(self) -> Result:
        """Collect garbage on the calling thread; `gc_steps` does it beside clients.

        Raises Busy while a background job runs; Damaged (nothing is lost then), StorageFailure.
        """
        results: list[Result] = []
        self._run(self.gc_steps(results.append))
        return results[0]

    def gc_steps(self, done: Callable[[Result], None]) -> Iterator[Job]:
        """The jobs of a collection, each to be run on any thread and finished here before the
        next is asked for; clients go on meanwhile."""
        return steps(self, lambda plan: True, done)

    @staticmethod
    def _run(jobs: Iterator[Job]) -> None:
        for job in jobs:
            job.run()
            job.finish()

    def busy(self) -> threading.Event | None:
        """What tells when the flush or background job under way is finished, None without one."""
        job = self._engine.flushing or self._background
        return None if job is None else job.ended

    def begin_collecting(self) -> list[int]:
        """Close packs to writers for GC and say which; see `gc.steps`."""
        if self._background is not None or self._collecting or self._moments:
            raise Busy("a background job, or a long look at the store, is under way")
        self._collecting = True
        self._engine.index.pins = set()
        return self._engine.packs.reserve()

    def end_collecting(self, packs: list[int]) -> None:
        """Undo `begin_collecting`."""
        self._engine.packs.unreserve(packs)
        self._engine.index.pins = None
        self._collecting = False
        self.collections += 1

    @contextmanager
    def held(self) -> Iterator[None]:
        """A section in which no garbage is collected: objects that nothing refers to yet, and
        what is being read beside, stay. Raises Busy while a collection is under way."""
        if self._collecting:
            raise Busy("garbage is being collected")
        self._moments += 1
        try:
            yield
        finally:
            self._moments -= 1

    def moment_steps(self, done: Callable[[Moment], None]) -> Iterator[Job]:
        """The jobs after which `done` gets the store as it was when the last of them began.

        Each is to be run on any thread and finished here before the next is asked for; clients go
        on meanwhile. Give the moment back with `close_moment`: until then there is no GC. Raises
        Busy while a collection is under way, NoSpace, StorageFailure.
        """
        if self._collecting:
            raise Busy("garbage is being collected")
        self._moments += 1  # from now on, as the jobs leave time for a collection to begin
        try:
            yield from checkpointed(self)
            moment = Moment(self._engine, self.view_roots())
        except BaseException:
            self._moments -= 1
            raise
        done(moment)

    def close_moment(self, moment: Moment) -> None:
        """Let a moment go; no thread may be using it any more."""
        self._moments -= 1
        moment.close()

    def stats(self, progress: Callable[[int, int], None] | None = None) -> Stats:
        """As of a moment; flushes first. Raises NoSpace and Busy (a job is under way) as well."""
        self.checkpoint()
        return super().stats(progress)


def _put_empty_root(engine: Engine) -> None:
    writer = ObjectWriter(engine.index, engine.packs, engine.reader)
    empty = node.EMPTY.data
    place = Location(0, 0, len(empty), len(empty), codec.RAW, objectid.NODE)
    writer.copy(EMPTY_ROOT, place, empty)
    writer.sync()
    engine.publish(dict(writer.added), writer.sizes(), journalled=False)
    writer.close()


class _Tracked:
    """A background job that tells the store when it is finished."""

    def __init__(self, store: Store, job: Job) -> None:
        self._store, self._job = store, job
        self.ended = threading.Event()

    def run(self) -> None:
        self._job.run()

    def finish(self) -> None:
        try:
            self._job.finish()
        finally:
            self._store.background_ended()
            self.ended.set()
