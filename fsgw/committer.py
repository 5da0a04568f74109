"""Group commit in the gateway's loop: who waits for what, and which jobs of the store run when.

Changes of all clients are in memory at once; a flush makes them durable together. One begins as
soon as somebody waits for one, when enough has gathered, and at the latest when the oldest change
has a certain age. Background jobs (checkpoints, seals, trims) run one at a time beside that.
Everything here runs on the loop's thread, except for what jobs do in `run`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import trio

from fuse.notices import Told
from store.errors import Busy, StoreError
from store.store import Job, Store

log = logging.getLogger(__name__)

Then = Callable[[StoreError | None], None]

FLUSH_BYTES = 16 << 20
FLUSH_AGE_S = 1.0
# A flush of less than this is done on the spot: it takes about as long as waking another thread.
SPOT_BYTES = 64 << 10
# ... unless the disk is slow: while such flushes take longer than this, nobody is kept waiting.
SPOT_S = 0.004
_SPOT_SAMPLES = 8
# Reads from disk under way at a time; more would only wait for the disk, each with its memory.
READS_MAX = 16
# After a failure (a full disk, say), background work is tried again so much later.
RETRY_S = 5.0


class Committer:
    """See the module."""

    def __init__(
        self, store: Store, flush_bytes: int = FLUSH_BYTES, flush_age_s: float = FLUSH_AGE_S
    ) -> None:
        self._store = store
        self._flush_bytes, self._flush_age_s = flush_bytes, flush_age_s
        self._waiting: list[Then] = []
        self._wanting_room: list[Callable[[], None]] = []
        self._wanted = trio.Event()
        self._background = trio.Semaphore(1)
        self._reads = trio.CapacityLimiter(READS_MAX)
        self._nursery: trio.Nursery | None = None
        self._flushing = False
        self._away = 0  # reads on other threads
        self._spot_s = 0.0
        # Called when replies were given by callbacks from here, so that they are sent together.
        self.answered: Callable[[], None] = lambda: None
        # How far the kernels that keep copies of what they were shown have been told of changes.
        self.told = Told()
        self.flushes = self.failures = 0
        self.last_error = ""

    # --- for those who wait -------------------------------------------------------------------

    def when_durable(self, then: Then) -> None:
        """Call back once all changes made until now are durable, or could not be made so.

        For calls of clients, in a turn that `tick` ends; anybody else awaits `durable`.
        """
        self._waiting.append(then)

    async def durable(self) -> None:
        """Return once all changes made until now are durable. Raises NoSpace, StorageFailure."""
        done = trio.Event()
        errors: list[StoreError] = []

        def then(error: StoreError | None) -> None:
            if error is not None:
                errors.append(error)
            done.set()

        self.when_durable(then)
        self._wanted.set()
        await done.wait()
        if errors:
            raise errors[0]

    async def settled(self) -> None:
        """Return once all changes made until now are durable, and no kernel shows what was before.

        Raises NoSpace, StorageFailure.
        """
        await self.durable()
        done = trio.Event()
        self.told.when_swept(done.set)
        await done.wait()

    @property
    def untold(self) -> int:
        """Grows with each thing that a kernel has to be told of a change."""
        return self.told.queued

    def when_told(self, then: Callable[[], None]) -> None:
        """Call back once all kernels have been told of the changes made until now."""
        if not self.told.pending:
            then()
            return

        def told() -> None:
            then()
            self.answered()

        self.told.when_told(told)

    def when_room(self, then: Callable[[], None]) -> None:
        """Call back once memory that was full may have room again."""
        self._wanting_room.append(then)
        self._wanted.set()

    def elsewhere(self, run: Callable[[], None], then: Callable[[], None]) -> None:
        """Run something on another thread, then something on this one."""
        assert self._nursery is not None
        self._nursery.start_soon(self._elsewhere, run, then)

    async def _elsewhere(self, run: Callable[[], None], then: Callable[[], None]) -> None:
        self._away += 1
        try:
            await trio.to_thread.run_sync(run, limiter=self._reads)
        finally:
            self._away -= 1
        then()
        self.answered()

    def tick(self) -> bool:
        """Changes may have been made: flush on the spot where that is cheap and somebody waits.

        Says whether this or another task has work left to do.
        """
        if self._flushing:
            return True
        dirty_bytes = self._store.dirty_bytes
        if self._waiting and dirty_bytes < SPOT_BYTES and self._spot_s < SPOT_S:
            self._flush_now()
            self._offer()
        elif self._waiting or dirty_bytes >= self._flush_bytes:
            self._wanted.set()
        return self._away > 0 or self._wanted.is_set()

    @asynccontextmanager
    async def no_background(self) -> AsyncIterator[None]:
        """A section in which no background job runs or begins, except the caller's own."""
        async with self._background:
            yield
        self._room()
        self.answered()
        self._offer()

    # --- the loop -----------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Flush and do background work until cancelled; jobs under way are finished first."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            self._offer()
            while True:
                with trio.move_on_after(self._flush_age_s):
                    await self._wanted.wait()
                self._wanted = trio.Event()
                with trio.CancelScope(shield=True):
                    await self._flush()
                self._offer()

    def _flush_now(self) -> None:
        """Flush on this thread."""
        waiting, self._waiting = self._waiting, []
        error: StoreError | None = None
        try:
            job = self._store.begin_flush()
            if job is not None:
                self._timed(job)
                self._finish(job)
        except StoreError as failed:
            error = failed
        self._answer(waiting, error)

    def _timed(self, job: Job) -> None:
        """Run a small flush, and learn how long such ones take. Any thread."""
        began = time.perf_counter()
        job.run()
        self._spot_s += (time.perf_counter() - began - self._spot_s) / _SPOT_SAMPLES

    async def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        error: StoreError | None = None
        self._flushing = True
        small = self._store.dirty_bytes < SPOT_BYTES
        try:
            job = self._store.begin_flush()
            if job is not None:
                run = partial(self._timed, job) if small else job.run
                await trio.to_thread.run_sync(run)
                self._finish(job)
        except StoreError as failed:
            error = failed
        self._flushing = False
        self._answer(waiting, error)

    def _finish(self, job: Job) -> None:
        self.flushes += 1
        try:
            job.finish()
        except StoreError as error:
            self._note(error)
            raise

    def _answer(self, waiting: list[Then], error: StoreError | None) -> None:
        for then in waiting:
            then(error)
        self._room()
        self.answered()

    def _room(self) -> None:
        """Let those try again who found memory full, unless a job will make more room."""
        if self._background.value == 0:
            return
        wanting, self._wanting_room = self._wanting_room, []
        for then in wanting:
            then()
        if self._waiting:  # some got on, and wait to be durable
            self._wanted.set()

    def _offer(self) -> None:
        """Begin a background job, if there is one to do and none under way."""
        try:
            self._background.acquire_nowait()
        except trio.WouldBlock:
            return
        try:
            job = self._store.background_job()
        except StoreError as failed:
            self._note(failed)
            job = None
        if job is None:
            self._background.release()
        else:
            assert self._nursery is not None
            self._nursery.start_soon(self._run_background, job)

    async def _run_background(self, job: Job) -> None:
        with trio.CancelScope(shield=True):
            failed: StoreError | None = None
            try:
                await trio.to_thread.run_sync(job.run)
                job.finish()
            except StoreError as error:
                failed = error
                self._note(error)
            self._background.release()
            self._room()
            self.answered()
        if failed is not None and not isinstance(failed, Busy):
            await trio.sleep(RETRY_S)
        self._offer()

    def _note(self, error: StoreError) -> None:
        self.failures += 1
        self.last_error = f"{type(error).__name__}: {error}"
        log.error("the store could not be brought up to date: %s", self.last_error)
