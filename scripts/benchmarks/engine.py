"""The store side of the comparisons: a new store, and write-back on a thread as a gateway does it.

The store is used from one thread; only the jobs it hands out run on another.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self

from fsgw.pump import Pump
from scripts.benchmarks.disk import written_bytes
from store.store import Job, Store
from store.tree import Tree
from store.types import ROOT

BRANCH = "main"


def new_store(path: Path) -> Store:
    """A new store with default options and one empty branch."""
    Store.init(path)
    store = Store.open(path)
    store.create_branch(BRANCH)
    return store


class Background:
    """Runs a store's background jobs, one at a time, on a thread of its own, as a gateway does.

    `written_bytes` counts what they sent to the disk. All methods are for the main thread.
    """

    def __init__(self, store: Store) -> None:
        self.written_bytes = 0
        self._store = store
        self._worker = ThreadPoolExecutor(1, "background")
        self._under_way: tuple[Job, Future[int]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.wait()
        self._worker.shutdown()

    def poll(self) -> bool:
        """Complete a job that has ended and start the next; whether one is under way now."""
        if self._under_way is not None:
            if not self._under_way[1].done():
                return True
            self.wait()
        job = self._store.background_job()
        if job is not None:
            self._under_way = job, self._worker.submit(_run_counted, job)
        return job is not None

    def settle(self) -> None:
        """Run background jobs until none is left."""
        while self.poll():
            self.wait()

    def wait(self) -> None:
        """Complete the job under way, if any."""
        if self._under_way is not None:
            job, future = self._under_way
            self._under_way = None
            self.written_bytes += future.result()
            job.finish()


def _run_counted(job: Job) -> int:
    before = written_bytes("thread-self")
    job.run()
    return written_bytes("thread-self") - before


def populate(store: Store, tree: Tree, files: int, *, content_bytes: int = 0) -> list[int]:
    """Make `files` files, 1,000 to a directory, in the root; their inode numbers.

    Each file's content is its own. All is durable on return.
    """
    inos: list[int] = []
    with Pump(store) as pump:
        directory = tree.root
        for number in range(files):
            if number % 1000 == 0:
                name = b"d%06d" % (number // 1000)
                directory = pump.call(tree.mkdir, ROOT, tree.root, name, 0o755).inode.ino
            name = b"f%07d.txt" % number
            ino = pump.call(tree.create, ROOT, directory, name, 0o644).inode.ino
            if content_bytes:
                pump.call(tree.write, ROOT, ino, 0, _content(number, content_bytes))
            pump.tick(content_bytes)
            inos.append(ino)
    return inos


def _content(number: int, size_bytes: int) -> bytes:
    line = b"%07d: the quick brown fox jumps over the lazy dog\n" % number
    return (line * (size_bytes // len(line) + 1))[:size_bytes]


def write_file(store: Store, tree: Tree, name: bytes, pieces: Iterable[bytes]) -> int:
    """Write a new file in the root sequentially; durable on return; its inode number."""
    ino = tree.create(ROOT, tree.root, name, 0o644).inode.ino
    offset = 0
    with Pump(store) as pump:
        for piece in pieces:
            pump.call(tree.write, ROOT, ino, offset, piece)
            pump.tick(len(piece))
            offset += len(piece)
    return ino


def walk(tree: Tree, start: int) -> Iterator[int]:
    """Inode numbers of everything below a directory, from readdir and getattr of each."""
    waiting = [start]
    while waiting:
        directory = waiting.pop()
        cookie, eof = 0, False
        while not eof:
            listing = tree.readdir(ROOT, directory, cookie)
            for entry in listing.entries:
                if entry.name in (b".", b".."):
                    continue
                yield tree.getattr(entry.ino).ino
                if stat.S_ISDIR(entry.type):
                    waiting.append(entry.ino)
            cookie, eof = listing.entries[-1].cookie, listing.eof
