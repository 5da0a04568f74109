"""Rows about single calls of the tree interface: create, getattr, lookup."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from functools import partial

from scripts.benchmarks.bench import Bench
from scripts.benchmarks.engine import BRANCH, new_store
from scripts.benchmarks.rows import Row, Target, make_row
from store.types import ROOT, Caller

_USER = Caller(1000, 1000)


def create(bench: Bench) -> Iterator[Row]:
    """Empty files made through the tree interface, in memory, and with open and close on disk."""
    names = [b"f%06d" % number for number in range(bench.size(10_000, 500))]
    with new_store(bench.path("create-store")) as store:
        tree = store.tree(BRANCH)

        def ours() -> float:
            place = os.fsencode(bench.path("created").name)
            directory = tree.mkdir(ROOT, tree.root, place, 0o755).inode.ino
            started = time.perf_counter()
            for name in names:
                tree.create(ROOT, directory, name, 0o644)
            elapsed_s = time.perf_counter() - started
            store.flush()
            return len(names) / elapsed_s

        def peer() -> float:
            directory = bench.path("created")
            directory.mkdir()
            paths = [os.path.join(os.fsencode(directory), name) for name in names]
            started = time.perf_counter()
            for path in paths:
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))
            return len(names) / (time.perf_counter() - started)

        pair = bench.alternate("create", bench.size(7, 3), ours, peer)
    yield make_row(
        "create an empty file, in memory",
        pair.ours,
        "files/s",
        peer=("os.open(O_CREAT) + close", pair.peer),
        target=Target(">=", 0.7, of_ratio=True),
    )


def cached(bench: Bench) -> Iterator[Row]:
    """getattr and lookup of inodes in cache, on a settled branch, beside stat of plain files."""
    names = [b"f%06d" % number for number in range(1_000)]
    plain = bench.path("plain")
    plain.mkdir()
    with new_store(bench.path("cached-store")) as store:
        tree = store.tree(BRANCH)
        directory = tree.mkdir(ROOT, tree.root, b"d", 0o755).inode.ino
        inos = [tree.create(ROOT, directory, name, 0o644).inode.ino for name in names]
        for name in names:
            (plain / os.fsdecode(name)).touch()
        store.snapshot(BRANCH)
        store.settle()
        stats = partial(_rate, bench, os.stat, [(os.path.join(plain, n.decode()),) for n in names])
        calls: dict[str, Callable[[], float]] = {
            "getattr": partial(_rate, bench, tree.getattr, [(ino,) for ino in inos]),
            "lookup": partial(
                _rate, bench, tree.lookup, [(_USER, directory, name) for name in names]
            ),
        }
        for what, call in calls.items():
            call()  # fills the caches
            pair = bench.alternate(what, 7, call, stats)
            yield make_row(
                f"{what} of a cached inode",
                pair.ours,
                "calls/s",
                peer=("os.stat", pair.peer),
                target=Target(">=", 200_000),
            )


def _rate(bench: Bench, call: Callable[..., object], arguments: list[tuple[object, ...]]) -> float:
    passes = bench.size(200, 20)
    started = time.perf_counter()
    for _ in range(passes):
        for each in arguments:
            call(*each)
    return passes * len(arguments) / (time.perf_counter() - started)
