"""Rows about small files: making, renaming and removing them in one directory.

On a sync export our answer waits until the change is durable; on an async one it does not, and a
crash may lose the last second. nfs-ganesha never waits, so it is compared with both.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from scripts.benchmarks.bench import Bench
from scripts.benchmarks.compared import FASTER, NO_SLOWER, Report, run_s
from scripts.benchmarks.nfs_load import (
    IN_FLIGHT,
    compare_on_shares,
    make_servers,
    rows_of,
)
from scripts.benchmarks.nfs_servers import SYNC, Share
from scripts.benchmarks.rows import Row

_OPERATIONS = ("create", "rename", "remove")
_FILE_BYTES = 4096

_new_directory = map("files-{}".format, itertools.count(1)).__next__


def names(branch: str) -> Callable[[Bench], Iterator[Row]]:
    """The measurement of CREATE, RENAME and REMOVE of empty files on one of our exports."""

    def measure(bench: Bench) -> Iterator[Row]:
        for inflight in IN_FLIGHT:
            results = compare_on_shares(
                bench,
                f"names, {branch} export, {inflight} in flight",
                _make_rename_remove(bench, inflight),
                branch=branch,
            )
            for operation, compared in zip(_OPERATIONS, results, strict=True):
                yield from rows_of(
                    f"{operation} empty files, {inflight} in flight, {branch} export"
                    " (peer: not synced)",
                    compared,
                    "calls_per_s",
                    "files/s",
                    NO_SLOWER if branch == SYNC else FASTER,
                )

    return measure


def _make_rename_remove(bench: Bench, inflight: int) -> Callable[[Share], list[Report]]:
    """Make files for a while, then rename all of them, then remove all of them."""
    servers = bench.fixture(make_servers)

    def run(share: Share) -> list[Report]:
        directory = _new_directory()

        def load(operation: str, **options: str | float) -> Report:
            return servers.load(share, operation, dir=directory, inflight=inflight, **options)

        made = load("create", seconds=run_s(bench))
        renamed = load("rename", count=made.done)
        removed = load("remove", count=made.done, prefix="renamed-")
        return [made, renamed, removed]

    return run


def small_files(bench: Bench) -> Iterator[Row]:
    """CREATE and a FILE_SYNC WRITE of 4 KiB, as a client does at close(): both servers sync."""
    for inflight in IN_FLIGHT:
        name = f"create files of 4 KiB, {inflight} in flight, FILE_SYNC"
        (compared,) = compare_on_shares(bench, name, _make_small_files(bench, inflight))
        yield from rows_of(name, compared, "done_per_s", "files/s")


def _make_small_files(bench: Bench, inflight: int) -> Callable[[Share], list[Report]]:
    servers = bench.fixture(make_servers)
    options = {"inflight": inflight, "bytes": _FILE_BYTES, "seconds": run_s(bench)}
    return lambda share: [servers.load(share, "create", dir=_new_directory(), **options)]
