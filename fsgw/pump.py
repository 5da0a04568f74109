"""Keeps a store's memory moving to disk while a long command writes to it.

One worker thread runs the jobs that the store hands out; the main thread goes on meanwhile. At
most one job is under way. All methods are for the main thread only.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import ParamSpec, TypeVar

from store import errors
from store.store import Job, Store

P = ParamSpec("P")
T = TypeVar("T")

# A flush starts when this much was written since the last: early enough that memory never fills
# while one is under way, late enough that its fixed costs (syncing the disk) do not show.
FLUSH_BYTES = 16 << 20
CALL_BYTES = 512  # what a call counts besides its data: the records it leaves in memory


class Pump:
    """Runs store calls, flushing in the background and whenever the store's memory is full.

    Leaving the context makes everything durable, after an error too.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._worker = ThreadPoolExecutor(1, "fsgw-flush")
        self._under_way: tuple[Job, Future[None]] | None = None
        self._dirty_bytes = 0

    def __enter__(self) -> Pump:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.wait()
            self._store.flush()
        finally:
            self._worker.shutdown()

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`function(...)`, a store call that writes; flushes and repeats it when it is Busy."""
        while True:
            try:
                result = function(*args, **kwargs)
            except errors.Busy:
                if not self._relieve():
                    raise
            else:
                self._dirty_bytes += CALL_BYTES
                return result

    def tick(self, data_bytes: int = 0) -> None:
        """Note that `data_bytes` more were written, and keep the jobs going; never waits."""
        self._dirty_bytes += data_bytes
        if self._under_way is not None:
            if not self._under_way[1].done():
                return
            self.wait()
            self._start(self._store.background_job())
        if self._under_way is None and self._dirty_bytes >= FLUSH_BYTES:
            self._flush()

    def wait(self) -> None:
        """Wait for the job under way, if any, and finish it; raises what it failed with."""
        if self._under_way is None:
            return
        job, future = self._under_way
        self._under_way = None
        future.result()
        job.finish()

    def _relieve(self) -> bool:
        """Make room in memory by waiting for one job; False when there is none to wait for."""
        if self._under_way is None:
            self._flush()
        if self._under_way is None:
            self._start(self._store.background_job())
        if self._under_way is None:
            return False
        self.wait()
        return True

    def _flush(self) -> None:
        self._dirty_bytes = 0
        self._start(self._store.begin_flush())

    def _start(self, job: Job | None) -> None:
        if job is not None:
            self._under_way = job, self._worker.submit(job.run)
