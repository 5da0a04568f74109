"""The tape of a store at work: every write, sync and change of names, and in between what was done.

`Recorder` makes one within this process. A commit of LMDB counts as one durable step there: its
writes do not go through `store.disk`. What entitles to that is LMDB's own rule (a transaction
writes pages that no live root refers to, syncs, and only then writes the new root, durably), and
powercut_trace.py, whose tapes hold LMDB's writes one by one.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import pytest

from store import database, disk
from store.disk import Event
from store.store import Store
from tests.store.crash_load import Load, Report
from tests.store.crash_state import matching
from tests.store.crash_steps import RESTART, options
from tests.store.model_world import World
from tests.store.powercut import Replaced, rebuild


class Note(NamedTuple):
    """What the workload reported at this place of the tape; see crash_load."""

    report: tuple[Any, ...]


SECOND = 10**9
Item = Event | Replaced | Note
Tape = list[Item]


class Recorder:
    """Records a store's directory while it is entered."""

    def __init__(self, source: Path, tape: Tape, patch: pytest.MonkeyPatch) -> None:
        self.tape = tape
        self._data = source / "meta" / database.DATA_FILE
        self._patch = patch

    def __enter__(self) -> Recorder:
        recorder = self
        opened, left = database.Database.__init__, database.Writer.__exit__

        def init(self: database.Database, directory: Path) -> None:
            if not recorder._data.exists():
                recorder.tape.append(Event("create", str(recorder._data)))
            opened(self, directory)
            recorder.commit()

        def leave(
            self: database.Writer,
            kind: type[BaseException] | None,
            error: BaseException | None,
            trace: TracebackType | None,
        ) -> None:
            left(self, kind, error, trace)
            recorder.commit()

        self._patch.setattr(database.Database, "__init__", init)
        self._patch.setattr(database.Writer, "__exit__", leave)
        disk.record(self._take)
        return self

    def _take(self, event: Event) -> None:
        if event.op == "rename":  # of a copy that LMDB made, and that was synced
            data = Path(event.target).read_bytes()
            self.tape += [Event("create", event.path), Replaced(event.path, data)]
        self.tape.append(event)

    def commit(self) -> None:
        """Note what LMDB's file now is."""
        self.tape.append(Replaced(str(self._data), self._data.read_bytes()))

    def report(self, what: tuple[Any, ...]) -> None:
        """Note what the workload reports."""
        self.tape.append(Note(what))

    def __exit__(self, *args: object) -> None:
        disk.record(None)
        self._patch.undo()


def sessions(
    place: Path,
    report: Report,
    world: World,
    clock_ns: int,
    steps: int,
    rng: random.Random,
) -> None:
    """Work on a store in three sessions of so many steps.

    One is closed, one settled and left, one left as it is: so recovery, closing and compaction are
    done as well. Jobs run on this thread, between steps.
    """
    done = 0
    for session, end in enumerate(("close", "settle", "abandon")):
        store = Store.open(place, options(clock_ns + session * 1000 * SECOND))
        load = Load(store, world, rng, report, threads=False, gc_chance=0.04)
        load.done = done
        load.run(done + steps)
        load.end(end)
        if end != "close":
            store.engine.close(clean=False)
        report(("op", RESTART))
        world, done = world.restarted(), load.done + 1


def inspect(
    left: Path, tape: Sequence[Item], world: World, clock_ns: int, *, data: bool = False
) -> World:
    """Open what a cut at the end of the tape left; the world that it stands at.

    `world` is what the tape begins with. It must check clean and hold all that was acknowledged.
    """
    reports = [item.report for item in tape if isinstance(item, Note)]
    history = [report[1] for report in reports if report[0] == "op"]
    durable = max((r[1] for r in reports if r[0] == "ack"), default=0)
    with Store.open(left, options(clock_ns)) as store:
        problems = store.check(data=data)
        assert not problems, problems
        return matching(store, world.copy(), history, durable)


def cut(tape: Sequence[Item], target: Path, source: Path, rng: random.Random) -> None:
    """Make `target` what a cut at the end of the tape, within its last call, leaves of `source`."""
    rebuild([item for item in tape if not isinstance(item, Note)], target, source, rng)
