"""Rows about the data of one big file, in calls of 1 MiB.

What is written differs from run to run and does not compress; an fsync ends the measured time.
What is read is checked, all of it once the clock has stopped. The mount is made anew, so that the
kernel has nothing of the file for it; of what is below it, the page cache may have all or nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from scripts.benchmarks.bench import MIB, Bench, size_name
from scripts.benchmarks.compared import NO_SLOWER, Report
from scripts.benchmarks.fuse_load import Loader, compare_sides, rows_of
from scripts.benchmarks.fuse_mounts import Side, make_sides
from scripts.benchmarks.rows import Row

_DIRECTORY = "data"


def _file_bytes(bench: Bench) -> int:
    return bench.size(256 * MIB, 32 * MIB)


def _write(bench: Bench, side: Side) -> Report:
    with side.mounted() as mount:
        loader = bench.fixture(Loader)
        return loader.load(mount, "write", _DIRECTORY, size=_file_bytes(bench))


def _make_files(bench: Bench) -> None:
    """The file on either side, read once: what is streamed to a disk need not stay in memory."""
    for side in bench.fixture(make_sides):
        _write(bench, side)
        _read_once(bench, side)


def _read_once(bench: Bench, side: Side) -> Report:
    with side.mounted() as mount:
        loader = bench.fixture(Loader)
        return loader.load(mount, "read", _DIRECTORY, size=_file_bytes(bench))


def sequential_write(bench: Bench) -> Iterator[Row]:
    """A file written from empty."""
    name = f"sequential write of {size_name(_file_bytes(bench))}, 1 MiB calls, fsync at the end"
    (compared,) = compare_sides(bench, name, lambda side: [_write(bench, side)])
    yield from rows_of(name, compared, "mib_per_s", "MiB/s", NO_SLOWER)


def sequential_read(bench: Bench) -> Iterator[Row]:
    """The file read, with either side's page cache warm."""
    yield from _read(bench, cold=False)


def cold_read(bench: Bench) -> Iterator[Row]:
    """The file read, with nothing of it in memory."""
    yield from _read(bench, cold=True)


def _read(bench: Bench, *, cold: bool) -> Iterator[Row]:
    bench.fixture(_make_files)
    size = _file_bytes(bench)

    def read(side: Side) -> list[Report]:
        if cold:
            side.cool()
        return [_read_once(bench, side)]

    state = "page cache cold" if cold else "page cache of the store warm"
    name = f"sequential read of {size_name(size)}, 1 MiB calls, {state}"
    (compared,) = compare_sides(bench, name, read)
    yield from rows_of(name, compared, "mib_per_s", "MiB/s", None if cold else NO_SLOWER)
