"""Carries operations out in a gateway, beside its clients: the loop is never held for long.

Everything that touches the store runs on the loop's thread, in short steps; what may wait for a
disk runs on others. Answers come when what was changed is durable. Knows no HTTP.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import aclosing, asynccontextmanager, closing
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

import trio

from fsgw.committer import Committer
from fsgw.exports import Exports
from fsgw.logs import event
from fsgw.operations import Form, Operation
from fsgw.plain import Plain
from fsgw.progress import Progress
from fsgw.steps import FULL, Steps
from store import errors
from store.moment import Moment
from store.store import Job, Store

log = logging.getLogger(__name__)

T = TypeVar("T")

# What one operation does before it lets others run. An answer goes through several tasks, each of
# which may have to wait for this long.
TURN_S = 0.001
# Progress is told once in this time.
REPORT_S = 0.1
# Rows in one piece of an answer.
ROWS_MAX = 256
# How often in a row a change is tried that finds the store's memory full.
FULL_TRIES = 100


class Host(Protocol):
    """What operations need of the gateway."""

    store: Store
    committer: Committer
    exports: Exports
    exports_file: Path


class Turn:
    """The time that something may go on without letting others run."""

    def __init__(self) -> None:
        self._end_s = time.perf_counter() + TURN_S

    @property
    def is_over(self) -> bool:
        """Whether it is time to let others run."""
        return time.perf_counter() >= self._end_s

    async def pause(self) -> None:
        """Let others run, if it is time."""
        if self.is_over:
            await trio.lowlevel.checkpoint()
            self._end_s = time.perf_counter() + TURN_S


class Runner:
    """Carries out the operations of one gateway."""

    def __init__(self, host: Host) -> None:
        self._host, self._store, self._committer = host, host.store, host.committer
        self._upkeep = _Upkeep()

    async def one(self, operation: Operation, values: Plain, progress: Progress | None) -> Any:
        """Carry an operation out; its answer, durable. `progress` is called on this thread."""
        if operation.changes:
            event(log, "admin", operation=operation.name, arguments=_telling(values))
        function = operation.function()
        told = None if progress is None else _rarely(progress)
        match operation.form:
            case Form.GATEWAY:
                return function(self._host, **values)
            case Form.AWAITED:
                return await function(self._host, **values)
            case Form.EXPORTS:
                return await self._edit(operation, function, values)
            case Form.MOMENT:
                async with self._moment() as moment:
                    work = partial(function, moment, **values, progress=_reporter(progress))
                    return await trio.to_thread.run_sync(work)
            case Form.JOBS:
                async with self._upkeep.alone():
                    return await self._drive_jobs(function(self._store, **values, progress=told))
            case Form.STEPS:
                return await self.driven(function(self._store, **values, progress=told))
            case Form.HELD:
                async with self._upkeep.shared():
                    return await self.driven(function(self._store, **values, progress=told))
            case _:
                assert operation.form is Form.STEP
                result = function(self._store, **values)
                if operation.changes:
                    await self._committer.settled()
                return result

    async def driven(self, steps: Steps[T]) -> T:
        """Drive steps to their end; what they changed is durable then, after an error too."""
        try:
            return await self.drive(steps)
        finally:
            with trio.CancelScope(shield=True):
                await self._committer.settled()

    @asynccontextmanager
    async def holding(self) -> AsyncIterator[None]:
        """A section in which no garbage is collected; it waits for a collection to end."""
        async with self._upkeep.shared():
            with self._store.held():
                yield

    async def rows(self, operation: Operation, values: Plain) -> AsyncGenerator[list[Plain], None]:
        """The rows of an operation's answer, some at a time; close it when done."""
        function = operation.function()
        match operation.form:
            case Form.MOMENT:
                async with self._moment() as moment:
                    found = iter(function(moment, **values, progress=_reporter(None)))
                    while rows := await trio.to_thread.run_sync(_some, found):
                        yield rows
            case Form.PAUSES:
                with closing(_generator(function(self._store, **values))) as pausing:
                    async with aclosing(_in_turns(pausing)) as batches:
                        async for rows in batches:
                            yield rows
            case _:
                rows = await self.one(operation, values, None)
                for start in range(0, len(rows), ROWS_MAX):
                    yield rows[start : start + ROWS_MAX]

    async def content(self, operation: Operation, values: Plain) -> AsyncGenerator[bytes, None]:
        """The bytes of an operation's answer; close it when done."""
        with closing(operation.function()(self._store, **values)) as reads:
            try:
                job = next(reads)
                while True:
                    if not job.run_cached():
                        await trio.to_thread.run_sync(job.run)
                    data = job.finish()
                    yield bytes(data.data)
                    job = reads.send(data)
            except StopIteration:
                return

    # --- how each form is driven ------------------------------------------------------------------

    async def _edit(self, operation: Operation, function: Callable[..., T], values: Plain) -> T:
        """Change the file of exports, and let the change take effect."""
        result = await trio.to_thread.run_sync(partial(function, self._host.exports_file, **values))
        if operation.changes and self._host.exports.reload():
            event(log, "exports", changed=True)
        return result

    async def drive(self, steps: Steps[T]) -> T:
        """Drive steps to their end, and let others run in between."""
        turn, tries = Turn(), 0
        with closing(steps):
            try:
                step = next(steps)
                while True:
                    if step is FULL:
                        tries += 1
                        failure = await self._made_room(tries)
                        step = next(steps) if failure is None else steps.throw(failure)
                        continue
                    tries = 0
                    if isinstance(step, int):
                        await turn.pause()
                        step = next(steps)
                        continue
                    assert callable(step)
                    try:
                        result = await trio.to_thread.run_sync(step)
                    except Exception as error:  # noqa: BLE001 - the steps are to see it
                        step = steps.throw(error)
                    else:
                        step = steps.send(result)
            except StopIteration as end:
                value: T = end.value
                return value

    async def _made_room(self, tries: int) -> errors.StoreError | None:
        """Wait for room after the store's memory was full; why there is none, if so."""
        if tries > FULL_TRIES:
            return errors.Busy("memory is full of changes that cannot be stored")
        try:
            await self._committer.durable()
        except errors.StoreError as error:
            return error
        if tries > 1:
            room = trio.Event()
            self._committer.when_room(room.set)
            await room.wait()
        return None

    async def _drive_jobs(self, jobs: Generator[Job, None, T]) -> T:
        """Run and finish jobs one after the other; they may be left off between two."""
        with closing(jobs):
            try:
                async with self._committer.no_background():
                    job = next(jobs)
                while True:
                    with trio.CancelScope(shield=True):
                        await trio.to_thread.run_sync(job.run)
                    job.finish()
                    await trio.lowlevel.checkpoint_if_cancelled()
                    job = next(jobs)
            except StopIteration as end:
                value: T = end.value
                return value

    @asynccontextmanager
    async def _moment(self) -> AsyncIterator[Moment]:
        """The store as it is now, for other threads."""
        async with self._upkeep.shared():
            found: list[Moment] = []
            await self._drive_jobs(_generator(self._store.moment_steps(found.append)))
            try:
                yield found[0]
            finally:
                self._store.close_moment(found[0])


class _Upkeep:
    """Lets many look at moments of the store, or one collect garbage alone; first come first."""

    def __init__(self) -> None:
        self._turn = trio.Lock()
        self._looking = 0
        self._none = trio.Event()

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        async with self._turn:
            self._looking += 1
        try:
            yield
        finally:
            self._looking -= 1
            if not self._looking:
                self._none.set()
                self._none = trio.Event()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        async with self._turn:
            while self._looking:
                await self._none.wait()
            yield


def _generator(items: Iterator[T]) -> Generator[T, None, None]:
    """The same, as something that can be closed."""
    yield from items


def _some(rows: Iterator[Plain]) -> list[Plain]:
    return list(islice(rows, ROWS_MAX))


async def _in_turns(items: Iterator[Plain | None]) -> AsyncGenerator[list[Plain], None]:
    """Rows some at a time, as many as there is time for."""
    turn, rows = Turn(), list[Plain]()
    for row in items:
        if row is not None:
            rows.append(row)
        if turn.is_over:
            if rows:
                yield rows
                rows = []
            await turn.pause()
    if rows:
        yield rows


def _rarely(progress: Progress) -> Progress:
    """Progress told only now and then."""
    next_s = 0.0

    def tell(done: int, total: int | None) -> None:
        nonlocal next_s
        now_s = time.monotonic()
        if now_s >= next_s:
            next_s = now_s + REPORT_S
            progress(done, total)

    return tell


def _reporter(progress: Progress | None) -> Progress:
    """Progress for work on another thread: told here, and ends the work when it is cancelled."""

    def across(done: int, total: int | None) -> None:
        if progress is not None:
            trio.from_thread.run_sync(progress, done, total)

    tell = _rarely(across)

    def report(done: int, total: int | None) -> None:
        trio.from_thread.check_cancelled()
        tell(done, total)

    return report


def _telling(values: Plain) -> Plain:
    """Arguments for a line of the log: those that say something."""
    return {key: value for key, value in values.items() if value not in (None, "", False)}
