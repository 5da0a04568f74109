"""Jobs taken stage by stage, and the rules about what is durable when.

`Clock` and `Stage` serve other tests too. `JobRules` is the base of the state machine: it has the
open store, the world that it should be, and the flushes, background jobs and collections that
are under way.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from store.store import Store
from store.tree import Tree
from tests.store.model import Model
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


class JobRules(RuleBasedStateMachine):
    """Flushes, background jobs, collections, and the passing of time.

    `durable` is the world as a crash leaves it: a copy of `world` from the moment at which the
    last flush that ran began. `maybe` are later ones that are as good after a crash. At most one
    flush, one background job and one collection are under way; any other rule may come between
    their stages.
    """

    store: Store

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="fsgw-model-"))
        self.clock = Clock()
        self.world = self.durable = World()
        self.maybe: list[World] = []
        self.flushing: Stage | None = None
        self.working: Stage | None = None
        self.collection: Iterator[Job] | None = None
        self.collecting: Stage | None = None
        self.views: list[tuple[Tree, Model]] = []
        self.listing: tuple[str, int, int, dict[bytes, int], list[bytes]] | None = None
        self.cookies: dict[tuple[int, bytes], int] = {}
        self.steps = self.places = 0
        self.is_open = False

    def now_durable(self, world: World) -> None:
        """All up to `world` is on disk from here on."""
        self.durable, self.maybe = world, []

    @rule(what=st.sampled_from(("flush", "work", "gc")))
    def advance(self, what: str) -> None:
        """Begin a job, run the one that was begun, or finish the one that ran."""
        {"flush": self.step_flush, "work": self.step_work, "gc": self.step_gc}[what]()

    advance_more = advance_even_more = advance  # a rule with more names is drawn more often

    def step_flush(self) -> None:
        if self.flushing is None:
            job = self.store.begin_flush()
            self.flushing = Stage.of(job, self.world.copy())
            if job is None:
                self.now_durable(self.world.copy())
        elif self.flushing.step():
            self.flushing = None
        else:
            self.now_durable(self.flushing.world)

    def step_work(self) -> None:
        """A checkpoint may make durable more than the last flush did: all up to its beginning."""
        if self.working is None:
            job = self.store.background_job()
            self.working = Stage.of(job, self.world.copy())
        elif self.working.step():
            self.working = None
        else:
            self.may_be_durable(self.working.world)

    def step_gc(self) -> None:
        """One stage of one of the jobs of a collection; some of them are checkpoints."""
        if self.collection is None:
            self.finish_jobs()  # it would be Busy
            self.collection = self.store.gc_steps(lambda result: None)
        elif self.collecting is None:
            self.finish_jobs()  # or its next job might be to wait for them
            job = next(self.collection, None)
            self.collecting = Stage.of(job, self.world.copy())
            if job is None:
                self.collection = None
        elif self.collecting.step():
            self.collecting = None
        else:
            self.may_be_durable(self.collecting.world)

    def may_be_durable(self, world: World) -> None:
        if world.age > self.durable.age:
            self.maybe.append(world)

    def finish_jobs(self) -> None:
        while self.flushing:
            self.step_flush()
        while self.working:
            self.step_work()

    def finish_all(self) -> None:
        self.finish_jobs()
        while self.collection:
            self.step_gc()

    @rule()
    def flush(self) -> None:
        while self.flushing:
            self.step_flush()
        self.store.flush()
        self.now_durable(self.world.copy())

    @rule()
    def settle(self) -> None:
        self.finish_all()
        self.store.settle()
        self.now_durable(self.world.copy())
        for name in self.world.branches:
            assert all(info.commit for info in self.store.snapshots(name))

    @precondition(lambda self: self.collection is None)
    @rule()
    def collect(self) -> None:
        self.finish_jobs()
        self.store.gc_plan()
        plan = self.store.gc_plan()  # the first one may have stored what was still in memory
        assert self.store.gc().plan == plan
        self.now_durable(self.world.copy())

    @rule(nanoseconds=st.sampled_from((1, 10**9, -5, -(10**9))))
    def pass_time(self, nanoseconds: int) -> None:
        self.clock.now += nanoseconds
