"""Rows about names and attributes of empty files, each thread in a directory of its own.

`first` is what a mount that was just made answers; the names are new to the kernel, though neither
side has to go to the disk for them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from scripts.benchmarks.bench import Bench
from scripts.benchmarks.compared import NO_SLOWER, Option, Report, run_s
from scripts.benchmarks.fuse_load import Loader, compare_sides, rows_of
from scripts.benchmarks.fuse_mounts import Caches, Mount, Side
from scripts.benchmarks.rows import Row

_THREADS = {1: "1 thread", 4: "4 threads"}
_STEPS = {
    "create": "files/s",
    "rename": "files/s",
    "stat, first": "calls/s",
    "stat, again": "calls/s",
    "readdir, names": "entries/s",
    "readdir and stat, first": "entries/s",
    "unlink": "files/s",
}

_new_directory = map("files-{}".format, itertools.count(1)).__next__


def names(caches: Caches) -> Callable[[Bench], Iterator[Row]]:
    """The measurement of all steps, with caches on or off."""

    def measure(bench: Bench) -> Iterator[Row]:
        for threads, threads_name in _THREADS.items():
            what = f"{threads_name}, {caches.value}"
            results = compare_sides(bench, f"names, {what}", _all_steps(bench, caches, threads))
            for (step, unit), compared in zip(_STEPS.items(), results, strict=True):
                yield from rows_of(f"{step}, {what}", compared, "calls_per_s", unit, NO_SLOWER)

    return measure


def _all_steps(bench: Bench, caches: Caches, threads: int) -> Callable[[Side], list[Report]]:
    """Make files, look at them in some ways, remove them; in the order of `_STEPS`."""
    loader = bench.fixture(Loader)
    files, seconds = bench.size(4_000, 800), run_s(bench) / 2

    def run(side: Side) -> list[Report]:
        directory = _new_directory()

        def load(mount: Mount, operation: str, **options: Option) -> Report:
            return loader.load(mount, operation, directory, files=files, threads=threads, **options)

        with side.mounted(caches, threads=threads) as mount:
            made = load(mount, "create")
            renamed = load(mount, "rename")
        with side.mounted(caches, threads=threads) as mount:
            first = load(mount, "stat", prefix="renamed-")
            again = load(mount, "stat", prefix="renamed-", seconds=seconds)
            listed = load(mount, "list", seconds=seconds)
        with side.mounted(caches, threads=threads) as mount:
            looked_at = load(mount, "list-stat")
            removed = load(mount, "unlink", prefix="renamed-")
        return [made, renamed, first, again, listed, looked_at, removed]

    return run
