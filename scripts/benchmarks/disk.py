"""The plain-file side of the comparisons: dd, durable overwrites, caches, and bytes counted."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from blake3 import blake3

from scripts.benchmarks.bench import MIB

_SHARED_MEMORY = Path("/dev/shm")


@contextlib.contextmanager
def source_file(scratch: Path, size_bytes: int) -> Iterator[Path]:
    """A name for source data: in memory where there is room for it, else in `scratch`."""
    directory = _SHARED_MEMORY if _has_room(_SHARED_MEMORY, 2 * size_bytes) else scratch
    descriptor, name = tempfile.mkstemp(prefix="fsgw-bench-", dir=directory)
    os.close(descriptor)
    try:
        yield Path(name)
    finally:
        os.unlink(name)


def _has_room(directory: Path, needed_bytes: int) -> bool:
    if not os.access(directory, os.W_OK):
        return False
    room = os.statvfs(directory)
    return room.f_bavail * room.f_frsize > needed_bytes


def incompressible(seed: str, size_bytes: int) -> Iterator[bytes]:
    """Pseudo-random MiBs, the same for the same seed."""
    stream = blake3(seed.encode())
    for offset in range(0, size_bytes, MIB):
        yield stream.digest(length=min(MIB, size_bytes - offset), seek=offset)


def fill(path: Path, seed: str, size_bytes: int) -> None:
    """Make `path` a file of incompressible data."""
    with path.open("wb") as file:
        for piece in incompressible(seed, size_bytes):
            file.write(piece)


def dd_write_s(source: Path, target: Path) -> float:
    """Seconds that dd takes to copy `source` durably to a new file."""
    return _dd_s(f"if={source}", f"of={target}", "conv=fsync")


def dd_read_s(source: Path) -> float:
    """Seconds that dd takes to read `source`."""
    return _dd_s(f"if={source}", "of=/dev/null")


def _dd_s(*operands: str) -> float:
    started = time.perf_counter()
    subprocess.run(["dd", "bs=1M", "status=none", *operands], check=True)
    return time.perf_counter() - started


def drop_cache(path: Path) -> None:
    """Write a file, or all files below a directory, to disk and out of the page cache."""
    for file in [path] if path.is_file() else path.rglob("*"):
        if not file.is_file():
            continue
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def durable_overwrites_s(
    descriptor: int, writes: Sequence[tuple[int, bytes]], pool: ThreadPoolExecutor, threads: int
) -> float:
    """Seconds for (offset, data) writes, each with its own fdatasync, by `threads` at once."""

    def write_all(part: Sequence[tuple[int, bytes]]) -> None:
        for offset, data in part:
            os.pwrite(descriptor, data, offset)
            os.fdatasync(descriptor)

    parts = [writes[first::threads] for first in range(threads)]
    started = time.perf_counter()
    if threads == 1:
        write_all(writes)
    else:
        list(pool.map(write_all, parts))
    return time.perf_counter() - started


def written_bytes(scope: str = "self") -> int:
    """Bytes sent towards the disk so far by this process (`thread-self`: by this thread)."""
    with open(f"/proc/{scope}/io", encoding="ascii") as counters:
        for line in counters:
            name, _, value = line.partition(":")
            if name == "write_bytes":
                return int(value)
    raise RuntimeError("the kernel does not count bytes written (CONFIG_TASK_IO_ACCOUNTING)")


def allocated_bytes(directory: Path) -> int:
    """Disk space below a directory, as du counts it."""
    paths = [directory, *directory.rglob("*")]
    return sum(os.lstat(path).st_blocks * 512 for path in paths)
