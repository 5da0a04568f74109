"""Keeps a store's memory moving to disk while a long command writes to it, with no gateway.

One worker thread runs the jobs that the store hands out; the main thread goes on meanwhile. At
most one job is under way. All methods are for the main thread only.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import ParamSpec, TypeVar, cast

from fsgw.steps import FULL, Steps, call
from store import errors
from store.store import Job, Store

P = ParamSpec("P")
T = TypeVar("T")

# A flush starts when this much waits in memory: early enough that memory never fills
# while one is under way, late enough that its fixed costs (syncing the disk) do not show.
FLUSH_BYTES = 16 << 20

# With less data than this a call, a flush is mostly Python, which a second thread only gets in the
# way of; with more it is mostly hashing, compressing and waiting for the disk.
CALL_BYTES_THREADED = 32 << 10

_STUCK = "memory is full of changes, and nothing is left to be stored"


class Pump:
    """Runs store calls, flushing in the background and whenever the store's memory is full.

    Leaving the context makes everything durable, after an error too.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._worker = ThreadPoolExecutor(1, "fsgw-flush")
        self._under_way: tuple[Job, Future[None]] | None = None
        self._calls = 0
        self._data_bytes = 0

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
        result = self.run(call(function, *args, **kwargs))
        self._calls += 1
        return result

    def run(self, steps: Steps[T]) -> T:
        """Drive steps to their end on this thread."""
        try:
            step = next(steps)
            while True:
                if step is FULL:
                    step = next(steps) if self._relieve() else steps.throw(errors.Busy(_STUCK))
                elif isinstance(step, int):
                    self._calls += 1
                    self.tick(step)
                    step = next(steps)
                else:
                    assert callable(step)
                    try:
                        result = step()
                    except Exception as error:  # noqa: BLE001 - the steps are to see it
                        step = steps.throw(error)
                    else:
                        step = steps.send(result)
        except StopIteration as end:
            return cast(T, end.value)

    def tick(self, data_bytes: int = 0) -> None:
        """Note that `data_bytes` more were written, and keep the jobs going."""
        self._data_bytes += data_bytes
        if self._under_way is not None:
            if not self._under_way[1].done():
                return
            self.wait()
            self._start(self._store.background_job(), threaded=True)
        if self._under_way is None and self._store.dirty_bytes >= FLUSH_BYTES:
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
        """Make room in memory by one job, begun or begun before; False when there is none."""
        if self._under_way is not None:
            self.wait()
            return True
        return self._flush() or self._start(self._store.background_job(), threaded=False)

    def _flush(self) -> bool:
        threaded = self._data_bytes >= self._calls * CALL_BYTES_THREADED
        self._calls = self._data_bytes = 0
        return self._start(self._store.begin_flush(), threaded)

    def _start(self, job: Job | None, threaded: bool) -> bool:
        """Run a job, on the worker thread if `threaded`; False where there is none to run."""
        if job is None:
            return False
        if threaded:
            self._under_way = job, self._worker.submit(job.run)
        else:
            job.run()
            job.finish()
        return True
