"""The row about disk space: many versions of a real tree, in a store and in a git repository."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

from fsgw.importer import Rules, import_directory
from scripts.benchmarks.bench import MIB, Bench
from scripts.benchmarks.disk import allocated_bytes
from scripts.benchmarks.engine import BRANCH, new_store
from scripts.benchmarks.rows import Row, Target, make_row
from scripts.benchmarks.source_trees import copy_library, git
from store.store import Store

_EDITED_SHARE = 0.01


def history(bench: Bench) -> Iterator[Row]:
    """Python's standard library in 20 versions, each with 1% of the files edited.

    The store's size is that of its directory after settling and closing, git's that of the
    repository after `git gc`; both as allocated on disk.
    """
    versions = bench.size(20, 3)
    tree = bench.path("stdlib")
    repository, store_path = bench.path("history.git"), bench.path("history-store")
    copy_library(tree, whole=not bench.quick)
    files = sorted(path for path in tree.rglob("*.py") if path.is_file())
    _git(repository, tree, "init", "--quiet", "--template=")
    seconds = [0.0, 0.0]
    with new_store(store_path) as store:
        for version in range(1, versions + 1):
            if version > 1:
                edit(files, seed=f"version {version}")
            seconds[0] += _import(store, tree, f"v{version}")
            seconds[1] += _commit(repository, tree, f"v{version}")
            bench.say(f"history: version {version}/{versions}")
        store.settle()
    _git(repository, tree, "gc", "--quiet")
    bench.say(f"history: imports {seconds[0]:.1f} s, git add and commit {seconds[1]:.1f} s")
    content_bytes = sum(path.stat().st_size for path in tree.rglob("*") if path.is_file())
    yield make_row(
        f"disk space of {versions} versions of a tree of {content_bytes / MIB:.0f} MiB",
        allocated_bytes(store_path) / MIB,
        "MiB",
        peer=("git, after git gc", allocated_bytes(repository) / MIB),
        target=Target("<=", 2, of_ratio=True),
    )


def edit(files: list[Path], *, seed: str) -> None:
    """Edit 1% of the files as people do: change a line, add two, remove one, here and there."""
    chance = random.Random(seed)
    for path in chance.sample(files, max(1, round(len(files) * _EDITED_SHARE))):
        lines = path.read_bytes().splitlines(keepends=True) or [b"\n"]
        for number in range(3):
            at = chance.randrange(len(lines))
            lines[at] = lines[at].rstrip(b"\n") + b"  # reviewed for %s\n" % seed.encode()
            value = chance.getrandbits(32)
            lines[at:at] = [b"# %s, place %d\n" % (seed.encode(), number), b"# x = %d\n" % value]
            del lines[chance.randrange(len(lines))]
            lines = lines or [b"\n"]
        path.write_bytes(b"".join(lines))


def _import(store: Store, tree: Path, version: str) -> float:
    started = time.perf_counter()
    source = os.fsencode(tree)
    report = import_directory(store, store.tree(BRANCH), source, b"/", Rules(), lambda done: None)
    if report.troubles_total:
        raise RuntimeError(f"the import left out {report.troubles_total} files")
    store.snapshot(BRANCH, version)
    store.flush()
    return time.perf_counter() - started


def _commit(repository: Path, tree: Path, version: str) -> float:
    started = time.perf_counter()
    _git(repository, tree, "add", "--all", "--force", ".")
    _git(repository, tree, "commit", "--quiet", "--message", version)
    return time.perf_counter() - started


def _git(repository: Path, tree: Path, *arguments: str) -> None:
    git(tree, f"--git-dir={repository}", f"--work-tree={tree}", *arguments)
