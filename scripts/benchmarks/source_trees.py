"""Source trees to work on: Python's standard library, with and without git, and a program in C."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import NamedTuple

from scripts.benchmarks.bench import Bench

TREE = "tree"
PROGRAM = "program"

_GIT_ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "bench",
    "GIT_AUTHOR_EMAIL": "bench@example.org",
    "GIT_COMMITTER_NAME": "bench",
    "GIT_COMMITTER_EMAIL": "bench@example.org",
}


def copy_library(target: Path, *, whole: bool) -> None:
    """Copy the standard library (of a quick run a part) without what is not Python's own."""
    library = Path(os.__file__).parent
    unwanted = shutil.ignore_patterns("__pycache__", "site-packages", "dist-packages", "*.pyc")
    if whole:
        shutil.copytree(library, target, symlinks=True, ignore=unwanted)
        return
    for package in ("asyncio", "email", "encodings", "json", "logging", "unittest"):
        shutil.copytree(library / package, target / package, ignore=unwanted)


class Archive(NamedTuple):
    """A tar file of a tree, in it named TREE; and how many files with content are in that."""

    path: Path
    tree: Path
    files: int


def make_archive(bench: Bench, *, whole: bool = False) -> Archive:
    """An archive of the standard library; not `whole`: without its tests, more than half of it."""
    tree, archive = bench.path("stdlib"), bench.path("tree.tar")
    copy_library(tree, whole=not bench.quick)
    if not whole:
        shutil.rmtree(tree / "test", ignore_errors=True)
    with tarfile.open(archive, "w") as tar:
        tar.add(tree, TREE)
    files = [path for path in tree.rglob("*") if path.is_file() and path.stat().st_size > 0]
    return Archive(archive, tree, len(files))


def make_repository(bench: Bench, archive: Archive) -> Path:
    """An archive of a repository, `.git` below TREE, in which that tree is committed."""
    unpacked, repository = bench.path("unpacked"), bench.path("repository.tar")
    with tarfile.open(archive.path) as tar:
        tar.extractall(unpacked, filter="tar")
    tree = unpacked / TREE
    git(tree, "init", "--quiet", "--template=")
    git(tree, "add", "--all", "--force", ".")
    git(tree, "commit", "--quiet", "--message", "the whole tree")
    git(tree, "gc", "--quiet")
    with tarfile.open(repository, "w") as tar:
        tar.add(tree / ".git", f"{TREE}/.git")
    return repository


def git(tree: Path, *arguments: str) -> str:
    """What git prints; it has no configuration but the repository's own."""
    done = subprocess.run(
        ["git", *arguments],
        check=True,
        cwd=tree,
        stdout=subprocess.PIPE,
        env={**os.environ, **_GIT_ENVIRONMENT},
        text=True,
    )
    return done.stdout


_MAKEFILE = """\
CFLAGS = -O1 -MMD -I.
OBJECTS = {objects}
program: $(OBJECTS)
\t$(CC) -o $@ $(OBJECTS)
-include $(OBJECTS:.o=.d)
"""
_HEADERS, _INCLUDED, _FUNCTIONS = 30, 6, 12
_ADDS = range(40)


def make_program(target: Path, files: int) -> None:
    """Write a program of `files` C files and a Makefile; it prints how many files it has."""
    target.mkdir()
    for number in range(_HEADERS):
        lines = [
            f"static inline int add{number}_{n}(int x) {{ return x + {n}; }}" for n in range(40)
        ]
        text = "\n".join(["#pragma once", "#include <stddef.h>", *lines])
        (target / f"part{number}.h").write_text(text + "\n")
    for number in range(files):
        _write_source(target, number)
    declared = "".join(f"int count{number}(int);\n" for number in range(files))
    calls = "".join(f"    total = count{number}(total);\n" for number in range(files))
    body = f'    int total = 0;\n{calls}    printf("%d\\n", total);\n    return 0;\n'
    main = f"#include <stdio.h>\n{declared}int main(void)\n{{\n{body}}}\n"
    (target / "main.c").write_text(main)
    objects = " ".join(["main.o", *(f"file{number}.o" for number in range(files))])
    (target / "Makefile").write_text(_MAKEFILE.format(objects=objects))


def _write_source(target: Path, number: int) -> None:
    headers = [(number + 7 * n) % _HEADERS for n in range(_INCLUDED)]
    lines = [f'#include "part{header}.h"' for header in headers]
    for n in range(_FUNCTIONS):
        header = headers[n % _INCLUDED]
        lines.append(f"int work{number}_{n}(int x) {{ return add{header}_{n}(x) * {n + 1}; }}")
    lines.append(f"int count{number}(int x) {{ return x + 1; }}")
    (target / f"file{number}.c").write_text("\n".join(lines) + "\n")
