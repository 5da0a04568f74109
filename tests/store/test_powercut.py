"""Power cuts: whatever of the unsynced writes is lost, torn or reordered, nothing acknowledged is.

A store's system calls are recorded, with marks between them of what was done and acknowledged. For
many places of the tape the disk is rebuilt that a cut there may leave; what is on it must open,
check clean, and be some prefix of the steps that holds all that were acknowledged.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from store import database
from store.store import Store
from tests.store.crash_load import BLOCK_BYTES, Load, options
from tests.store.model_world import World
from tests.store.powercut import standing
from tests.store.powercut_tape import Note, Recorder, Tape, survives

SECOND = 10**9
START_NS = 10**18


def work(
    source: Path, tape: Tape, world: World, clock_ns: int, steps: int, rng: random.Random
) -> None:
    """Sessions on one store, recorded, so that recovery and closing are on the tape as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "_COMPACT_BYTES_MIN", 0)
        with Recorder(source, tape, patch) as recorder:
            for session, end in enumerate(("close", "settle", "abandon")):
                clock = options(clock_ns + session * 1000 * SECOND)
                store = Store.open(source, clock)
                load = Load(store, world, rng, recorder.report, threads=False, gc_chance=0.04)
                load.done = sum(isinstance(n, Note) and n.report[0] == "op" for n in tape)
                load.run(load.done + steps)
                load.end(end)
                if end != "close":
                    store.engine.close(clean=False)
                world = world.restarted()


def places(tape: Tape, first: int, count: int, rng: random.Random) -> list[int]:
    """Where to cut the tape: `count` places, each just behind a system call, from `first` on."""
    found = [at for at in range(first + 1, len(tape) + 1) if not isinstance(tape[at - 1], Note)]
    return sorted(rng.sample(found, min(count, len(found))))


def cut(
    tape: Tape, first: int, count: int, source: Path, left: Path, rng: random.Random
) -> None:
    for number, at in enumerate(places(tape, first, count, rng)):
        try:
            survives(tape[:at], source, left, World(), START_NS * 2, rng, data=number % 5 == 0)
        except BaseException as error:
            error.add_note(f"a cut within {str(tape[at - 1])[:200]}, {at} of {len(tape)}")
            raise


def test_a_few_cuts(tmp_path: Path, rng: random.Random) -> None:
    source, tape = tmp_path / "store", Tape()
    Store.init(source, block_bytes=BLOCK_BYTES)
    tape += standing(source)
    first = len(tape)
    work(source, tape, World(), START_NS, 15, rng)
    assert len(tape) > first + 50
    cut(tape, first, 12, source, tmp_path / "left", rng)
