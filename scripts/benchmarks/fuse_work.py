"""Rows about what developers do in a source tree: unpack it, ask git, search it, build a program.

Programs and their order are the same on both sides. The first `git status`, `grep` and `make` see a
mount that was made anew: of what was unpacked the kernel knows nothing there. No step waits for
the disk.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from scripts.benchmarks.bench import Bench
from scripts.benchmarks.compared import NEARLY, Report
from scripts.benchmarks.fuse_load import compare_sides
from scripts.benchmarks.fuse_mounts import PEER, Side
from scripts.benchmarks.rows import Row, make_row
from scripts.benchmarks.source_trees import (
    PROGRAM,
    TREE,
    Archive,
    git,
    make_archive,
    make_program,
    make_repository,
)

_JOBS = 2
_NEEDLE = "import os"

_new_directory = map("work-{}".format, itertools.count(1)).__next__


class _Material(NamedTuple):
    """What is worked on, made once, outside the mounts."""

    archive: Archive
    repository: Path
    program: Path
    sources: int
    found: int


def _make_material(bench: Bench) -> _Material:
    bench.say("making a source tree, a repository and a program")
    archive = make_archive(bench, whole=True)
    program, sources = bench.path(PROGRAM), bench.size(150, 10)
    make_program(program, sources)
    repository = make_repository(bench, archive)
    return _Material(archive, repository, program, sources, _search(archive.tree))


def work(bench: Bench) -> Iterator[Row]:
    """The steps of `_all_steps`, in files a second."""
    material = bench.fixture(_make_material)
    files, sources = f"{material.archive.files:,} files", f"{material.sources} C files"
    results = compare_sides(bench, "work", _all_steps(bench))
    names = (
        f"tar x of {files}",
        f"git status of {files}, first",
        f"git status of {files}, again",
        f"grep -r of {files}, first",
        f"make -j{_JOBS} of {sources}",
    )
    for name, compared in zip(names, results, strict=True):
        pair = compared.median("done_per_s")
        yield make_row(name, pair.ours, "files/s", peer=(PEER, pair.peer), target=NEARLY)


def _all_steps(bench: Bench) -> Callable[[Side], list[Report]]:
    """All of the work in a new directory, in the order of the rows; afterwards it is removed."""
    archive, repository, program, sources, found = bench.fixture(_make_material)

    def run(side: Side) -> list[Report]:
        name = _new_directory()
        with side.mounted() as mount:
            tree = mount.path / name / TREE
            (mount.path / name).mkdir()
            unpacked = _timed(archive.files, lambda: _unpack(archive.path, tree.parent))
            _unpack(repository, tree.parent)
            shutil.copytree(program, tree.parent / PROGRAM)
            _status(tree)  # git learns inode numbers and times
        with side.mounted():
            asked = [_timed(archive.files, lambda: _status(tree)) for _ in range(2)]
        with side.mounted():
            searched = _timed(archive.files, lambda: _find(tree, found))
        with side.mounted(threads=_JOBS):
            built = _timed(sources, lambda: _build(tree.parent / PROGRAM, sources))
            shutil.rmtree(tree.parent)
        return [unpacked, *asked, searched, built]

    return run


def _timed(files: int, step: Callable[[], None]) -> Report:
    started = time.perf_counter()
    step()
    seconds = time.perf_counter() - started
    rate = files / seconds
    return Report(files, files, seconds, rate, rate, 0)


def _unpack(archive: Path, directory: Path) -> None:
    subprocess.run(["tar", "-x", "-f", archive, "-C", directory], check=True)


def _status(tree: Path) -> None:
    changed = git(tree, "status", "--porcelain")
    if changed:
        raise RuntimeError(f"git sees changes where there are none:\n{changed}")


def _search(tree: Path) -> int:
    """In how many files of a tree grep finds something."""
    found = subprocess.run(
        ["grep", "-r", "-l", "-I", "--exclude-dir=.git", _NEEDLE, str(tree)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return found.stdout.count("\n")


def _find(tree: Path, expected: int) -> None:
    found = _search(tree)
    if found != expected:
        raise RuntimeError(f"grep found something in {found} files, not in {expected}")


def _build(directory: Path, sources: int) -> None:
    subprocess.run(["make", "-s", f"-j{_JOBS}", "-C", directory], check=True)
    answer = subprocess.run([directory / "program"], check=True, stdout=subprocess.PIPE)
    if int(answer.stdout) != sources:
        raise RuntimeError(f"a program of {sources} files says {answer.stdout!r}")
