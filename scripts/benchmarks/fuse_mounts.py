"""The two mounts of a comparison: a branch of a gateway of ours, and bindfs, on the same disk.

bindfs passes every call through to a directory, in C. It is given what makes it faster: for its
caches hour-long time-outs and `kernel_cache`, where its own default forgets after a second; as many
threads as it likes (`--multithreaded`) where the load has more than one, and else its default, one,
which is then the quicker. With caches off neither side lets the kernel keep a name or an attribute.
"""

from __future__ import annotations

import contextlib
import enum
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol

from scripts.benchmarks.bench import Bench
from scripts.benchmarks.disk import drop_cache
from scripts.benchmarks.gateway import Gateway
from scripts.benchmarks.processes import find, spawn, until_ready, wait_for

PEER = "bindfs"
BRANCH = "main"

_DEVICE = Path("/dev/fuse")
_NO_CACHES = "attr_timeout=0,entry_timeout=0"
_PEERS_CACHES = "kernel_cache,attr_timeout=3600,entry_timeout=3600"


class Caches(enum.Enum):
    """What the kernel may keep of names and attributes."""

    ON = "caches on"
    OFF = "caches off"


class Mount(NamedTuple):
    """A mounted file system, and the process that answers for it."""

    path: Path
    server_pid: int


class Side(Protocol):
    """One of the two."""

    def mounted(
        self, caches: Caches = Caches.ON, *, threads: int = 1
    ) -> AbstractContextManager[Mount]:
        """Its file system, mounted anew for a load of some threads: the kernel knows nothing."""

    def cool(self) -> None:
        """Let nothing of the data that it holds stay in memory; it is not mounted meanwhile."""


class Sides(NamedTuple):
    """Both."""

    ours: Side
    peer: Side


class OurSide:
    """A branch of a gateway."""

    def __init__(self, bench: Bench) -> None:
        self.gateway = Gateway(bench, [BRANCH])
        self._path = bench.path("ours")
        self._path.mkdir()

    @contextlib.contextmanager
    def mounted(
        self, caches: Caches = Caches.ON, *, threads: int = 1, more: Sequence[str] = ()
    ) -> Iterator[Mount]:
        """See `Side`; as users get it, for any load. `more`: further options."""
        options = [*more, *(_NO_CACHES.split(",") if caches is Caches.OFF else ())]
        directory = str(self._path)
        with self.gateway.requests() as call:
            call("mounts.create", source=BRANCH, directory=directory, options=options)
            try:
                yield Mount(self._path, self.gateway.pid)
            finally:
                call("mounts.delete", directory=directory)

    def cool(self) -> None:
        """See `Side`; the gateway is another process afterwards."""
        with self.gateway.stopped() as store:
            drop_cache(store)


class Bindfs:
    """A directory, as bindfs passes it on."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._root, self._path = bench.path("peer-root"), bench.path("peer")
        self._root.mkdir()
        self._path.mkdir()

    @contextlib.contextmanager
    def mounted(self, caches: Caches = Caches.ON, *, threads: int = 1) -> Iterator[Mount]:
        """See `Side`."""
        log = self._bench.path("bindfs.log")
        words = ["-f", "-o", _PEERS_CACHES if caches is Caches.ON else _NO_CACHES]
        words += ["--multithreaded"] * (threads > 1)
        process = spawn("bindfs", *words, str(self._root), str(self._path), log=log)
        for _ in until_ready(process, log):
            if os.path.ismount(self._path):
                break
        try:
            yield Mount(self._path, process.pid)
        finally:
            subprocess.run([find("fusermount3"), "-u", self._path], check=True)
            wait_for(process)

    def cool(self) -> None:
        """See `Side`."""
        drop_cache(self._root)


def make_sides(bench: Bench) -> Sides:
    """Both, ours running."""
    if not _DEVICE.exists():
        raise SystemExit(f"bench: no {_DEVICE}: this kernel, or this container, has no FUSE")
    find("bindfs")
    bench.say("starting a gateway")
    return Sides(OurSide(bench), Bindfs(bench))
