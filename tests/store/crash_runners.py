"""Where jobs run while a workload goes on: on a thread of their own, or in between on this one."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Protocol


class Job(Protocol):
    """What flush, background and GC jobs have in common."""

    def run(self) -> None: ...
    def finish(self) -> None: ...


class Runner:
    """Runs one job at a time. `then` is called on the same thread once the job has run."""

    def __init__(self) -> None:
        self.job: Job | None = None

    def start(self, job: Job, then: Callable[[], None]) -> None:
        raise NotImplementedError

    def ended(self) -> bool:
        raise NotImplementedError

    def join(self) -> None:
        raise NotImplementedError


class Inline(Runner):
    """Runs a job on the calling thread, when somebody asks whether it has ended."""

    def start(self, job: Job, then: Callable[[], None]) -> None:
        self.job, self._then = job, then
        self._waits = True

    def ended(self) -> bool:
        """Nothing at the first question, so that steps come between begin and run as well."""
        if self._waits:
            self._waits = False
            return False
        return True

    def join(self) -> None:
        assert self.job is not None
        self.job.run()
        self._then()


class Thread(Runner):
    """Runs jobs on a thread of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._orders: queue.SimpleQueue[tuple[Job, Callable[[], None]]] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._raised: BaseException | None = None
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            job, then = self._orders.get()
            try:
                job.run()
                then()
            except BaseException as error:  # noqa: BLE001 - raised again by join
                self._raised = error
            self._ended.set()

    def start(self, job: Job, then: Callable[[], None]) -> None:
        self.job = job
        self._ended.clear()
        self._orders.put((job, then))

    def ended(self) -> bool:
        return self._ended.is_set()

    def join(self) -> None:
        self._ended.wait()
        if self._raised is not None:
            raise self._raised
