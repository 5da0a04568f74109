"""Rows about git in a mounted branch: 10,000 files and 1,000 snapshots, beside a clone on ext4.

Both sides run the same commands of stock git in turns, each once before it counts; the clone is
packed as `git gc` leaves it. The first command after a start makes the history's ids, which is done
once for each snapshot and so is not measured here.
"""

from __future__ import annotations

import itertools
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from scripts.benchmarks.bench import Bench
from scripts.benchmarks.fuse_mounts import BRANCH, OurSide
from scripts.benchmarks.git_history import ENVIRONMENT
from scripts.benchmarks.rows import Row, Target, make_row
from store.store import Store
from store.types import ROOT

_FILES_FULL, _FILES_QUICK = 10_000, 1_000
_SNAPSHOTS_FULL, _SNAPSHOTS_QUICK = 1_000, 50
_ROUNDS = 15
_SETTLE_EVERY = 20
_CHANGED = "d0/s0/f0.txt"
_COMMANDS = {
    "git status": ["status"],
    "git log": ["log"],
    "git log -p, the last 100": ["log", "-p", "-n", "100"],
    "git blame": ["blame", _CHANGED],
}


def fill(store_path: Path, files: int, snapshots: int) -> None:
    """Write the files and take the snapshots, one file changed in each."""
    with Store.open(store_path) as store:
        tree = store.tree(BRANCH)
        inodes, folders = [], dict[bytes, int]()
        for number in range(files):
            top, sub = b"d%d" % (number // 1000), b"s%d" % (number // 50 % 20)
            for path, parent, name in ((top, b"", top), (top + b"/" + sub, top, sub)):
                if path not in folders:
                    above = folders[parent] if parent else tree.root
                    folders[path] = tree.mkdir(ROOT, above, name, 0o755).inode.ino
            name = b"f%d.txt" % number
            made = tree.create(ROOT, folders[top + b"/" + sub], name, 0o644)
            tree.write(ROOT, made.inode.ino, 0, b"line of file %d\n" % number * 20)
            inodes.append(made.inode.ino)
        store.flush()
        for number in range(snapshots):
            ino = inodes[number * 37 % files]
            tree.write(ROOT, ino, 0, b"changed by snapshot %d\n" % number)
            store.snapshot(BRANCH, f"s{number}", f"snapshot number {number}")
            if number % _SETTLE_EVERY == 0:
                store.settle()
        store.settle()


def working_directory(bench: Bench) -> Iterator[Row]:
    """Commands of git in a mounted branch."""
    files = bench.size(_FILES_FULL, _FILES_QUICK)
    snapshots = bench.size(_SNAPSHOTS_FULL, _SNAPSHOTS_QUICK)
    ours = OurSide(bench)
    with ours.gateway.stopped() as store:
        fill(store, files, snapshots)
    with ours.mounted(more=["git_write"]) as mount:
        peer = bench.path("clone")
        _git(mount.path.parent, "clone", "--quiet", str(mount.path), str(peer))
        _git(peer, "gc", "--quiet")
        for what, words in _COMMANDS.items():
            for place in (mount.path, peer):
                _git(place, *words)
            pair = bench.alternate(what, _ROUNDS, _timed(mount.path, words), _timed(peer, words))
            yield make_row(
                f"{what}: {files:,} files, {snapshots:,} snapshots",
                pair.ours * 1000,
                "ms",
                peer=("git on ext4", pair.peer * 1000),
                target=Target("<=", 2, of_ratio=True) if len(words) == 1 else None,
            )
        pair = bench.alternate("git commit", _ROUNDS, _commits(mount.path), _commits(peer))
        yield make_row(
            f"git commit of one changed file: {files:,} files",
            pair.ours * 1000,
            "ms",
            peer=("git on ext4", pair.peer * 1000),
        )


def _commits(place: Path) -> Callable[[], float]:
    """A commit each time; durable in both places, as git asks for that."""
    numbers = itertools.count()
    words = ["-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-q", "-a", "-m", "x"]
    path = place / _CHANGED

    def run() -> float:
        path.write_text(f"commit {next(numbers)}\n")
        return _timed(place, words)()

    return run


def _timed(place: Path, words: list[str]) -> Callable[[], float]:
    def run() -> float:
        started = time.perf_counter()
        _git(place, *words)
        return time.perf_counter() - started

    return run


def _git(place: Path, *words: str) -> None:
    command = ["git", "-c", "safe.directory=*", "-C", str(place), *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=ENVIRONMENT)
