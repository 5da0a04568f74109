"""Rows about sealing in the background: how long it takes, and how clients fare meanwhile."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

from scripts.benchmarks.bench import Bench
from scripts.benchmarks.engine import (
    BRANCH,
    Background,
    new_store,
    populate,
)
from scripts.benchmarks.rows import Row, Target, make_row
from store.store import Store
from store.tree import Tree

_PERIOD_S = 0.001
_IDLE_CALLS = 2_000


class Client:
    """Calls getattr at a fixed rate, whatever happens, and notes how late each answer is.

    An answer's delay counts from when the call was due, so a stall counts for every call that
    it held up.
    """

    def __init__(self, tree: Tree, inos: Sequence[int]) -> None:
        self.delays_ms: list[float] = []
        self._tree = tree
        self._inos = inos
        self._chance = random.Random("getattr")

    def call_while(self, going_on: Callable[[], bool]) -> None:
        """Call every millisecond until `going_on` says no."""
        due = time.perf_counter() + _PERIOD_S
        while going_on():
            wait_s = due - time.perf_counter()
            if wait_s > 0:
                time.sleep(wait_s)
            self._tree.getattr(self._inos[int(self._chance.random() * len(self._inos))])
            self.delays_ms.append((time.perf_counter() - due) * 1e3)
            due += _PERIOD_S


def seal(bench: Bench) -> Iterator[Row]:
    """Layers of new files, empty and with 1 KiB each, sealed while a client looks at them."""
    files = bench.size(100_000, 5_000)
    for content_bytes, what in ((0, "empty files"), (1024, "files of 1 KiB")):
        bench.say(f"making {files:,} {what}")
        with new_store(bench.path("seal-store")) as store:
            tree = store.tree(BRANCH)
            inos = populate(store, tree, files, content_bytes=content_bytes)
            store.settle()
            store.snapshot(BRANCH)
            store.flush()
            yield from _sealing(store, tree, inos, f"{files:,} new {what}")


def _sealing(store: Store, tree: Tree, inos: Sequence[int], what: str) -> Iterator[Row]:
    idle, busy = Client(tree, inos), Client(tree, inos)
    with Background(store) as background:
        idle.call_while(lambda: len(idle.delays_ms) < _IDLE_CALLS)
        started = time.perf_counter()
        busy.call_while(background.poll)
        elapsed_s = time.perf_counter() - started
    if not store.head(BRANCH):
        raise RuntimeError("the background jobs left the snapshot unsealed")
    yield make_row(f"sealing {what}", elapsed_s, "s", target=Target("<", 15))
    yield make_row(
        f"getattr while sealing {what}, p99",
        _p99(busy.delays_ms),
        "ms",
        peer=("the same, nothing to do", _p99(idle.delays_ms)),
        target=Target("<", 5),
    )


def _p99(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[-1]
