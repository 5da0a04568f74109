"""Power cuts: whatever of the unsynced writes is lost, torn or reordered, nothing acknowledged is.

A store's system calls are recorded, with marks between them of what was done and acknowledged. For
many places of the tape the disk is rebuilt that a cut there may leave; what is on it must open,
check clean, and be some prefix of the steps that holds all that were acknowledged.

Most tapes are recorded within this process, where a commit of LMDB counts as one durable step (see
powercut_tape.py for why that is fair). Those that strace makes hold each of LMDB's writes, and the
making of the store as well.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from store import database, errors
from store.store import Store
from tests.store.crash_steps import BLOCK_BYTES
from tests.store.model_world import World
from tests.store.powercut import standing
from tests.store.powercut_tape import SECOND, Note, Recorder, Tape, cut, inspect, sessions
from tests.store.powercut_trace import trace

START_NS = 10**18
needs_strace = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")


def record(source: Path, world: World, clock_ns: int, steps: int, rng: random.Random) -> Tape:
    """The tape of sessions on a store that stands at `world`."""
    tape: Tape = [*standing(source)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "_COMPACT_BYTES_MIN", 0)
        with Recorder(source, tape, patch) as recorder:
            sessions(source, recorder.report, world.copy(), clock_ns, steps, rng)
    return tape


def places(tape: Tape, first: int, count: int, rng: random.Random) -> list[int]:
    """Where to cut the tape: `count` places, each just behind a system call, after `first`."""
    found = [at for at in range(first + 1, len(tape) + 1) if not isinstance(tape[at - 1], Note)]
    return sorted(rng.sample(found, min(count, len(found))))


def describe(tape: Tape, at: int) -> str:
    return f"a cut within {str(tape[at - 1])[:200]}, {at} of {len(tape)}"


def cut_often(tape: Tape, first: int, count: int, folder: Path, rng: random.Random) -> None:
    """Cut a tape of `folder`/store in many places, and look at what each leaves."""
    left = folder / "left"
    for number, at in enumerate(places(tape, first, count, rng)):
        try:
            cut(tape[:at], left, folder / "store", rng)
            inspect(left, tape[:at], World(), START_NS * 2, data=number % 5 == 0)
        except BaseException as error:
            error.add_note(describe(tape, at))
            raise


def cut_new_store(folder: Path, steps: int, cuts: int, rng: random.Random) -> None:
    source = folder / "store"
    Store.init(source, block_bytes=BLOCK_BYTES)
    first = len(standing(source))
    tape = record(source, World(), START_NS, steps, rng)
    assert len(tape) > first + 3 * steps
    cut_often(tape, first, cuts, folder, rng)


def test_a_few_cuts(scratch: Path, rng: random.Random) -> None:
    cut_new_store(scratch, 15, 12, rng)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_many_cuts(part: int, scratch: Path, rng: random.Random) -> None:
    cut_new_store(scratch, 100, 100, rng)


@pytest.mark.slow
def test_cuts_one_after_the_other(scratch: Path, rng: random.Random) -> None:
    """What one cut left is worked on until the next."""
    source, copy, world = scratch / "0", scratch / "copy", World()
    Store.init(source, block_bytes=BLOCK_BYTES)
    for number in range(1, 31):
        clock_ns = START_NS + number * 10_000 * SECOND
        first = len(standing(source))
        tape = record(source, world, clock_ns, 20, rng)
        (at,) = places(tape, first, 1, rng)
        left = scratch / str(number)
        cut(tape[:at], left, source, rng)
        shutil.copytree(left, copy)
        try:
            world = inspect(copy, tape[:at], world, clock_ns + 5000 * SECOND)
        except BaseException as error:
            error.add_note(f"round {number}: {describe(tape, at)}")
            raise
        shutil.rmtree(copy)
        shutil.rmtree(source)
        source = left


@needs_strace
@pytest.mark.slow
@pytest.mark.parametrize("part", range(2))
def test_cuts_of_what_the_kernel_was_told(part: int, scratch: Path, rng: random.Random) -> None:
    """The same with LMDB's own writes, from before the store was made."""
    source, left = scratch / "source", scratch / "left"
    source.mkdir()
    tape = trace(source, rng.getrandbits(32), 60)
    made = tape.index(Note(("made",)))
    early = places(tape[: made + 60], 0, 1000, rng)  # the store is made, and opened for once
    for at in [*early, *early, *places(tape, made + 60, 100, rng)]:
        cut(tape[:at], left, source, rng)
        try:
            inspect(left / "store", tape[:at], World(), START_NS * 2)
        except errors.NotAStore:
            assert at <= made, describe(tape, at)
        except BaseException as error:
            error.add_note(describe(tape, at))
            raise
