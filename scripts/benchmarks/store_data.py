"""Rows about file data: sequential writing and reading, and small durable overwrites."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from scripts.benchmarks.bench import GIB, MIB, Bench, size_name
from scripts.benchmarks.children import run_child
from scripts.benchmarks.disk import (
    dd_read_s,
    dd_write_s,
    drop_cache,
    durable_overwrites_s,
    fill,
    incompressible,
    source_file,
    written_bytes,
)
from scripts.benchmarks.engine import BRANCH, Background, new_store, write_file
from scripts.benchmarks.rows import Row, Target, make_row
from store.store import Store
from store.types import ROOT

_WRITE_BYTES = 4096
_IN_FLIGHT = 16


class Bulk(NamedTuple):
    """A big file twice: in the root of a closed store's branch, and as a plain file."""

    store: Path
    plain: Path
    size_bytes: int


def make_bulk(bench: Bench) -> Bulk:
    """A file of incompressible data, 1 GiB in a full run, durable in both places."""
    size_bytes = bench.size(GIB, 64 * MIB)
    bulk = Bulk(bench.path("bulk-store"), bench.path("bulk-plain"), size_bytes)
    bench.say(f"making a file of {size_name(size_bytes)}")
    fill(bulk.plain, "bulk", size_bytes)
    with new_store(bulk.store) as store:
        write_file(store, store.tree(BRANCH), b"big", incompressible("bulk", size_bytes))
    return bulk


def sequential_write(bench: Bench) -> Iterator[Row]:
    """New incompressible data from a file in memory, until durable.

    Each round has data of its own, since the store writes known data once only. What either side
    wrote is removed before the other's turn: page cache that was just freed is cheaper to get.
    """
    size_bytes = bench.size(GIB, 64 * MIB)
    mib = size_bytes / MIB
    copy = bench.path("dd-copy")
    with source_file(bench.scratch, size_bytes) as source:

        def renew(turn: int) -> None:
            fill(source, f"write {turn}", size_bytes)

        def ours() -> float:
            path = bench.path("write-store")
            with new_store(path) as store:
                started = time.perf_counter()
                write_file(store, store.tree(BRANCH), b"written", _pieces(source))
                elapsed_s = time.perf_counter() - started
            shutil.rmtree(path)
            return mib / elapsed_s

        def peer() -> float:
            elapsed_s = dd_write_s(source, copy)
            copy.unlink()
            return mib / elapsed_s

        pair = bench.alternate("sequential write", 3, ours, peer, before=renew)
    yield make_row(
        f"sequential write of {size_name(size_bytes)} in 1 MiB calls, until durable",
        pair.ours,
        "MiB/s",
        peer=("dd conv=fsync", pair.peer),
        target=Target(">=", 0.6, of_ratio=True),
    )


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        while piece := file.read(MIB):
            yield piece


def sequential_read(bench: Bench) -> Iterator[Row]:
    """Read back by a new process with nothing cached of its own, page cache cold and warm.

    The time of a new process runs from opening the store to the last byte; dd's is all of it.
    """
    bulk = bench.fixture(make_bulk)
    mib = bulk.size_bytes / MIB

    def ours() -> float:
        report = run_child("read", bulk.store, BRANCH, "/big")
        if report["bytes"] != bulk.size_bytes:
            raise RuntimeError(f"read {report['bytes']} bytes of {bulk.size_bytes}")
        return mib / report["elapsed_s"]

    def peer() -> float:
        return mib / dd_read_s(bulk.plain)

    def cold(call: Callable[[], float], path: Path) -> Callable[[], float]:
        def run() -> float:
            drop_cache(path)
            return call()

        return run

    both = {
        "page cache cold": (cold(ours, bulk.store), cold(peer, bulk.plain)),
        "page cache warm": (ours, peer),
    }
    for caches, (our_call, peer_call) in both.items():
        pair = bench.alternate(f"read, {caches}", 3, our_call, peer_call)
        yield make_row(
            f"sequential read of {size_name(bulk.size_bytes)}, new process, {caches}",
            pair.ours,
            "MiB/s",
            peer=("dd of a plain file", pair.peer),
            target=Target(">=", 0.6, of_ratio=True),
        )


class Plain(NamedTuple):
    """The peer of durable overwrites: an open plain file, and threads to write to it."""

    descriptor: int
    pool: ThreadPoolExecutor

    def rate(self, writes: Sequence[tuple[int, bytes]], threads: int) -> float:
        """Durable writes a second."""
        return len(writes) / durable_overwrites_s(self.descriptor, writes, self.pool, threads)


Draw = Callable[[int], Sequence[tuple[int, bytes]]]


def overwrite(bench: Bench) -> Iterator[Row]:
    """4 KiB random overwrites of a big file, each durable: one writer, then 16 in flight."""
    bulk = bench.fixture(make_bulk)
    draw = _drawing(bulk.size_bytes)
    descriptor = os.open(bulk.plain, os.O_RDWR)
    try:
        with ThreadPoolExecutor(_IN_FLIGHT) as pool:
            plain = Plain(descriptor, pool)
            yield from _one_writer(bench, bulk, plain, draw)
            yield _many_in_flight(bench, bulk, plain, draw)
    finally:
        os.close(descriptor)


def _drawing(size_bytes: int) -> Draw:
    """A source of random overwrites, aligned, of data not seen before."""
    chance = random.Random("overwrite")

    def draw(count: int) -> Sequence[tuple[int, bytes]]:
        return [
            (chance.randrange(size_bytes // _WRITE_BYTES) * _WRITE_BYTES, data)
            for data in (chance.randbytes(_WRITE_BYTES) for _ in range(count))
        ]

    return draw


def _one_writer(bench: Bench, bulk: Bulk, plain: Plain, draw: Draw) -> Iterator[Row]:
    """Rate and bytes written. Closing the store ends with a checkpoint, which counts as well."""
    count, rounds = bench.size(1_000, 100), bench.size(10, 3)
    written = {"all": 0, "checkpoints": 0}
    with Store.open(bulk.store) as store, Background(store) as background:
        tree = store.tree(BRANCH)
        ino = tree.resolve(b"/big").ino

        def ours() -> float:
            writes = draw(count)
            before = written_bytes()
            started = time.perf_counter()
            for offset, data in writes:
                tree.write(ROOT, ino, offset, data)
                store.flush()
                background.poll()
            elapsed_s = time.perf_counter() - started
            background.wait()
            written["all"] += written_bytes() - before
            return count / elapsed_s

        pair = bench.alternate(
            "overwrite, one writer", rounds, ours, lambda: plain.rate(draw(count), 1)
        )
        written["checkpoints"] = background.written_bytes
        before = written_bytes()
    closing = written_bytes() - before
    yield make_row(
        "4 KiB random overwrites, each durable, one writer",
        pair.ours,
        "writes/s",
        peer=("pwrite + fdatasync", pair.peer),
        target=Target(">=", 0.35, of_ratio=True),
    )
    overwritten = rounds * count * _WRITE_BYTES
    yield make_row(
        "bytes written per byte, one writer, group commits alone",
        (written["all"] - written["checkpoints"]) / overwritten,
        "bytes/byte",
    )
    yield make_row(
        "bytes written per byte, one writer, with checkpoints",
        (written["all"] + closing) / overwritten,
        "bytes/byte",
        target=Target("<=", 16),
    )


def _many_in_flight(bench: Bench, bulk: Bulk, plain: Plain, draw: Draw) -> Row:
    """16 writers, each waiting for its own write: all that wait are made durable together."""
    count = bench.size(200, 20) * _IN_FLIGHT
    with Store.open(bulk.store) as store, Background(store) as background:
        tree = store.tree(BRANCH)
        ino = tree.resolve(b"/big").ino

        def ours() -> float:
            writes = draw(count)
            started = time.perf_counter()
            for first in range(0, count, _IN_FLIGHT):
                for offset, data in writes[first : first + _IN_FLIGHT]:
                    tree.write(ROOT, ino, offset, data)
                job = store.begin_flush()
                if job is not None:
                    plain.pool.submit(job.run).result()
                    job.finish()
                background.poll()
            elapsed_s = time.perf_counter() - started
            background.wait()
            return count / elapsed_s

        pair = bench.alternate(
            "overwrite, 16 in flight",
            bench.size(7, 3),
            ours,
            lambda: plain.rate(draw(count), _IN_FLIGHT),
        )
    return make_row(
        "4 KiB random overwrites, each durable, 16 in flight",
        pair.ours,
        "writes/s",
        peer=("16 threads, pwrite + fdatasync", pair.peer),
        target=Target(">=", 0.7, of_ratio=True),
    )
