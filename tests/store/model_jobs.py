"""What tests that interleave jobs share: a clock of their own, and jobs taken stage by stage."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from tests.store.model_world import World


class Clock:
    """The store's clock in tests: it moves only when told to."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000_000_000

    def __call__(self) -> int:
        return self.now


class Job(Protocol):
    """What flush and background jobs have in common."""

    def run(self) -> None: ...
    def finish(self) -> None: ...


class Stage:
    """A job begun and not yet finished, and what the world was when it began."""

    def __init__(self, job: Job, world: World) -> None:
        self.job, self.world = job, world
        self.has_run = False

    @classmethod
    def of(cls, job: Job | None, world: World) -> Stage | None:
        """The first stage of a job, if there is one."""
        return None if job is None else cls(job, world)

    def step(self) -> bool:
        """Go one stage on; whether that was the last one. run() goes to another thread."""
        if self.has_run:
            self.job.finish()
            return True
        run_elsewhere(self.job.run)
        self.has_run = True
        return False


def run_elsewhere(call: Callable[[], None]) -> None:
    """Call on a thread of its own, to the end, and pass on what it raises."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - raised again below
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    for error in raised:
        raise error
