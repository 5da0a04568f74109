"""Rows about file data: sequential and random reading and writing of one big file.

The client checks every byte that it reads. What it writes differs from run to run, since a store
that knows some data already does not write it again. Writes are UNSTABLE, and one COMMIT ends the
measured time, unless a row says FILE_SYNC: then each is durable before it is answered.
"""

from __future__ import annotations

from collections.abc import Iterator

from scripts.benchmarks.bench import MIB, Bench, size_name
from scripts.benchmarks.compared import NO_DEARER, NO_SLOWER, Report, compare, run_s
from scripts.benchmarks.disk import drop_cache
from scripts.benchmarks.nfs_load import (
    IN_FLIGHT,
    compare_calls,
    make_servers,
    rows_of,
)
from scripts.benchmarks.nfs_servers import SYNC, Share
from scripts.benchmarks.rows import Row

_KIB = 1 << 10
_BLOCKS = {"64 KiB": 64 * _KIB, "1 MiB": MIB}
_PAGE = 4 * _KIB
_FILE = "big"


def _file_bytes(bench: Bench) -> int:
    return bench.size(256 * MIB, 32 * MIB)


def make_file(bench: Bench) -> str:
    """A big file, the same on both servers; its name."""
    servers = bench.fixture(make_servers)
    size = _file_bytes(bench)
    bench.say(f"making a file of {size_name(size)}")
    for share in (servers.ours.share(SYNC), servers.peer.share()):
        servers.load(share, "write", file=_FILE, size=size, block=MIB, inflight=16)
    return _FILE


def sequential_write(bench: Bench) -> Iterator[Row]:
    """A file written from empty."""
    size = _file_bytes(bench)
    for block_name, block in _BLOCKS.items():
        for inflight in IN_FLIGHT:
            name = f"sequential write, {block_name}, {inflight} in flight, UNSTABLE then COMMIT"
            compared = compare_calls(
                bench, name, "write", file="new", size=size, block=block, inflight=inflight
            )
            yield from rows_of(name, compared, "mib_per_s", "MiB/s", NO_SLOWER)


def sequential_read(bench: Bench) -> Iterator[Row]:
    """A file read again and again, page cache warm."""
    file, size = bench.fixture(make_file), _file_bytes(bench)
    for block_name, block in _BLOCKS.items():
        for inflight in IN_FLIGHT:
            name = f"sequential read, {block_name}, {inflight} in flight, page cache warm"
            compared = compare_calls(
                bench,
                name,
                "read",
                file=file,
                size=size,
                block=block,
                inflight=inflight,
                seconds=run_s(bench),
            )
            yield from rows_of(name, compared, "mib_per_s", "MiB/s", NO_SLOWER)


def cold_read(bench: Bench) -> Iterator[Row]:
    """The same once, with nothing of the file in memory: neither in the page cache nor in ours."""
    servers = bench.fixture(make_servers)
    file, size = bench.fixture(make_file), _file_bytes(bench)

    def read(share: Share) -> list[Report]:
        return [servers.load(share, "read", file=file, size=size, block=MIB, inflight=16)]

    def ours() -> list[Report]:
        with servers.ours.stopped() as store:
            drop_cache(store)
        return read(servers.ours.share(SYNC))

    def peer() -> list[Report]:
        drop_cache(servers.peer.root)
        return read(servers.peer.share())

    name = "sequential read, 1 MiB, 16 in flight, page cache cold"
    (compared,) = compare(bench, name, ours, peer)
    yield from rows_of(name, compared, "mib_per_s", "MiB/s")


def random_read(bench: Bench) -> Iterator[Row]:
    """4 KiB anywhere in a big file, page cache warm."""
    file, size = bench.fixture(make_file), _file_bytes(bench)
    for inflight in IN_FLIGHT:
        name = f"random 4 KiB read, {inflight} in flight, page cache warm"
        compared = compare_calls(
            bench,
            name,
            "read",
            file=file,
            size=size,
            block=_PAGE,
            random=True,
            inflight=inflight,
            seconds=run_s(bench),
        )
        yield from rows_of(
            name, compared, "calls_per_s", "calls/s", NO_SLOWER, cpu_target=NO_DEARER
        )


def random_write(bench: Bench) -> Iterator[Row]:
    """4 KiB anywhere in a big file: UNSTABLE then COMMIT, and each FILE_SYNC."""
    file, size = bench.fixture(make_file), _file_bytes(bench)
    for stable in (False, True):
        durability = "each FILE_SYNC" if stable else "UNSTABLE then COMMIT"
        for inflight in IN_FLIGHT:
            name = f"random 4 KiB write, {inflight} in flight, {durability}"
            compared = compare_calls(
                bench,
                name,
                "write",
                file=file,
                size=size,
                block=_PAGE,
                random=True,
                stable=stable,
                inflight=inflight,
                seconds=run_s(bench),
            )
            target = None if stable else NO_SLOWER
            yield from rows_of(name, compared, "calls_per_s", "calls/s", target)
