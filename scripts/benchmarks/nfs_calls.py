"""Rows about calls that change nothing: GETATTR, LOOKUP, ACCESS, and READDIRPLUS of big ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from scripts.benchmarks.bench import Bench
from scripts.benchmarks.compared import FASTER, NO_DEARER, NO_SLOWER, Compared, run_s
from scripts.benchmarks.nfs_load import (
    IN_FLIGHT,
    compare_calls,
    make_servers,
    rows_of,
)
from scripts.benchmarks.nfs_servers import SYNC
from scripts.benchmarks.rows import Row, Target, make_row

_FILES = 1_000
_LISTING_BYTES = 65_536
_LINEAR = Target("<=", 1.25, of_ratio=True)


def calls(operation: str) -> Callable[[Bench], Iterator[Row]]:
    """The measurement of one of GETATTR, LOOKUP and ACCESS, on a warm set of 1,000 files."""

    def measure(bench: Bench) -> Iterator[Row]:
        cpu_target = NO_DEARER if operation == "getattr" else None
        for inflight in IN_FLIGHT:
            name = f"{operation.upper()}, {inflight} in flight"
            compared = compare_calls(
                bench, name, operation, files=_FILES, inflight=inflight, seconds=run_s(bench)
            )
            yield from rows_of(
                name, compared, "calls_per_s", "calls/s", FASTER, cpu_target=cpu_target
            )

    return measure


def readdirplus(bench: Bench) -> Iterator[Row]:
    """Whole directories of empty files in replies of 64 KiB, with attributes and handles of all."""
    few, many = bench.size(10_000, 1_000), bench.size(100_000, 10_000)
    for count in (few, many):
        _make_directory(bench, count)
    compared: dict[int, Compared] = {}
    for count in (few, many):
        name = f"READDIRPLUS of {count:,} entries"
        compared[count] = compare_calls(
            bench,
            name,
            "readdirplus",
            dir=_directory_name(count),
            files=count,
            block=_LISTING_BYTES,
            seconds=run_s(bench),
        )
        yield from rows_of(name, compared[count], "entries_per_s", "entries/s", NO_SLOWER)
    rates = {count: one.median("entries_per_s").ours for count, one in compared.items()}
    yield make_row(
        f"READDIRPLUS of {many:,} entries, time per entry",
        1e6 / rates[many],
        "us",
        peer=(f"the same of {few:,} entries", 1e6 / rates[few]),
        target=_LINEAR,
    )


def _directory_name(count: int) -> str:
    return f"entries-{count}"


def _make_directory(bench: Bench, count: int) -> None:
    """A directory of `count` empty files on both servers."""
    servers = bench.fixture(make_servers)
    bench.say(f"making a directory of {count:,} files")
    directory = servers.peer.root / _directory_name(count)
    directory.mkdir()
    for number in range(count):
        (directory / f"f{number:07}").touch()
    with servers.ours.stopped():
        servers.ours.command("import", str(directory), f"{SYNC}/{directory.name}")
