"""SIGKILL of a real process at random moments and at every fault point, again and again.

A store is worked on by one process after the other, each of which is killed. After each, a copy of
the store is opened: it must check clean and be what some prefix of the steps made it, and that
prefix must hold every step that was acknowledged as durable. The next process goes on with the
original, which nobody has opened or closed since: recoveries are killed like everything else.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from store import faults
from store.store import Store
from tests.store.crash_nursery import Life, Nursery, Told
from tests.store.crash_state import matching
from tests.store.crash_steps import BLOCK_BYTES, options
from tests.store.model_world import World

SECOND = 10**9
# Passed only while garbage is collected, which is otherwise rare.
GC_POINTS = {name for name in faults.NAMES if name.startswith("gc.")}


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


class Story:
    """One store that survives many processes, and the plain world that it must equal."""

    def __init__(self, place: Path, nursery: Nursery, rng: random.Random) -> None:
        self.place, self._nursery, self._rng = place, nursery, rng
        self.world, self.clock_ns = World(), 10**18
        self.lives = 0
        self.kills: Counter[str] = Counter()
        Store.init(place, block_bytes=BLOCK_BYTES)

    def live(self, point: str, passing: int, steps: int) -> bool:
        """One life, and the look at what it left; whether it was killed."""
        rng = self._rng
        self.lives += 1
        self.clock_ns += 10_000 * SECOND
        life = Life(
            self.place,
            self.world,
            rng.getrandbits(32),
            steps,
            rng.choice(("abandon", "flush", "settle", "close")),
            self.clock_ns,
            point,
            passing,
            rng.choice((0, rng.uniform(0, 0.02))),
            0.2 if point in GC_POINTS else 0.02,
        )
        told = self._nursery.raise_child(life)
        try:
            self.world = self.compare(told)
        except BaseException as error:
            error.add_note(f"after {life._replace(world=World())}, which told {told.reports[-8:]}")
            raise
        self.kills[point or "any moment"] += told.killed
        return told.killed

    def compare(self, told: Told) -> World:
        """The world that the store's copy stands at."""
        history = [report[1] for report in told.reports if report[0] == "op"]
        durable = max((report[1] for report in told.reports if report[0] == "ack"), default=0)
        copy = self.place.with_name("copy")
        shutil.copytree(self.place, copy)
        try:
            with Store.open(copy, options(self.clock_ns + 5000 * SECOND)) as store:
                assert store.check(data=self.lives % 4 == 0) == []
                return matching(store, self.world, history, durable)
        finally:
            shutil.rmtree(copy)


def test_a_few_kills(scratch: Path, nursery: Nursery, rng: random.Random) -> None:
    story = Story(scratch / "store", nursery, rng)
    for point in ("", "journal.appended", "", "checkpoint.committed", "seal.published", "") * 2:
        story.live(point, rng.randint(1, 3) if point else rng.randint(1, 60), 40)
    assert story.kills.total() >= 6


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_kills_at_random_moments(
    part: int, scratch: Path, nursery: Nursery, rng: random.Random
) -> None:
    story = Story(scratch / "store", nursery, rng)
    while story.kills.total() < 30:
        story.live("", rng.randint(1, 150), 100)


@pytest.mark.slow
@pytest.mark.parametrize("point", faults.NAMES)
def test_kills_at_fault_point(
    point: str, scratch: Path, nursery: Nursery, rng: random.Random
) -> None:
    story = Story(scratch / "store", nursery, rng)
    while story.kills[point] < 7:
        assert story.lives < 100, f"{point} is hardly ever passed"
        passing = 1 if point == "journal.reset" and story.lives else rng.randint(1, 4)
        if not story.live(point, passing, 80):
            story.live("", rng.randint(1, 100), 60)  # go on with the story in another way
    assert story.kills.total() >= 7
