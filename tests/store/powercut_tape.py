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
from tests.store.crash_load import Op, options
from tests.store.crash_state import matching
from tests.store.model_world import World
from tests.store.powercut import Replaced, rebuild


class Note(NamedTuple):
    """What the workload reported at this place of the tape; see crash_load."""

    report: tuple[Any, ...]


Tape = list[Event | Replaced | Note]


def split(tape: Sequence[Event | Replaced | Note]) -> tuple[list[Event | Replaced], list[Op], int]:
    """The disk's part of a tape, the steps done, and how many of them were acknowledged."""
    events = [item for item in tape if not isinstance(item, Note)]
    reports = [item.report for item in tape if isinstance(item, Note)]
    history = [report[1] for report in reports if report[0] == "op"]
    return events, history, max((r[1] for r in reports if r[0] == "ack"), default=0)


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
            new = not recorder._data.exists()
            opened(self, directory)
            if new:
                recorder.tape.append(Event("create", str(recorder._data)))
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


def survives(
    tape: Sequence[Event | Replaced | Note],
    source: Path,
    left: Path,
    world: World,
    clock_ns: int,
    rng: random.Random,
    data: bool = False,
) -> World:
    """Open what a cut at the end of the tape may leave; the world that it stands at.

    `world` is what the tape begins with. It must check clean and hold all that was acknowledged.
    """
    events, history, durable = split(tape)
    rebuild(events, left, source, rng)
    with Store.open(left, options(clock_ns)) as store:
        assert store.check(data=data) == []
        return matching(store, world.copy(), history, durable)
