"""Real work on a mount, by programs that nobody here wrote."""

from __future__ import annotations

import itertools
import os
import random
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from tests.fuse import odd_tree
from tests.fuse.mounting import Mounts
from tests.fuse.sqlite_writer import ROWS, content
from tests.fuse.trees import expect_same
from tests.system.gateway import Gateway

pytestmark = [pytest.mark.slow, pytest.mark.root]

KILLS = 5
# Nothing of the machine's own settings.
CLEAN = {
    "PATH": os.environ.get("PATH", os.defpath),
    "LC_ALL": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "C", "GIT_COMMITTER_EMAIL": "c@example.org",
    "PIP_CONFIG_FILE": "/dev/null",
    "PIP_NO_INDEX": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_CACHE_DIR": "1",
}  # fmt: skip


def run(*words: str | Path, within: Path | None = None, stdin: bytes | None = None) -> str:
    """Run a program that must succeed: what it printed."""
    done = subprocess.run(
        words, check=False, cwd=within, env=CLEAN, input=stdin or b"", capture_output=True
    )
    assert done.returncode == 0, f"{words}: {done.returncode}: {done.stderr.decode()}"
    return done.stdout.decode()


_numbers = itertools.count(1)


@pytest.fixture
def mount(common_gateway: Gateway, common_mounts: Mounts) -> Iterator[Path]:
    """A mount of a branch of the test's own."""
    branch = f"work{next(_numbers)}"
    common_gateway.fsgw("branch", "create", branch)
    directory = common_mounts.mount(branch)
    yield directory
    common_mounts.umount(directory)


# --- git --------------------------------------------------------------------------------------


def history(commits: int, rng: random.Random) -> bytes:
    """A stream for `git fast-import`: files in directories, some of which each commit changes."""
    lines = [b"reset refs/heads/main\n"]
    for number in range(commits):
        lines.append(b"commit refs/heads/main\ncommitter C <c@example.org> %d +0000\n" % number)
        lines.append(b"data 2\nno\n")
        for _ in range(8):
            path = b"d%d/e%d/f%d" % tuple(rng.randrange(6) for _ in range(3))
            data = rng.randbytes(rng.randrange(2_000)).hex().encode()
            lines.append(b"M 644 inline %s\ndata %d\n%s\n" % (path, len(data), data))
    return b"".join([*lines, b"done\n"])


def test_a_repository_is_cloned_and_collected(
    mount: Path, tmp_path: Path, rng: random.Random
) -> None:
    origin, clone = tmp_path / "origin", mount / "clone"
    run("git", "init", "-q", "-b", "main", origin)
    run("git", "fast-import", "--quiet", "--done", within=origin, stdin=history(60, rng))
    run("git", "clone", "-q", f"file://{origin}", clone)
    head = run("git", "rev-parse", "HEAD", within=origin)
    run("git", "gc", "-q", within=clone)
    run("git", "fsck", "--full", "--strict", within=clone)
    assert run("git", "rev-parse", "HEAD", within=clone) == head
    assert run("git", "status", "--porcelain", within=clone) == ""

    run("git", "checkout", "-q", "-b", "old", "HEAD~30", within=clone)
    (clone / "new").write_text("text")
    run("git", "add", "-A", within=clone)
    run("git", "commit", "-q", "-m", "New", within=clone)
    assert run("git", "status", "--porcelain", within=clone) == ""
    # Garbage that has to go: unreachable, and packed a second time.
    run("git", "checkout", "-q", "main", within=clone)
    run("git", "branch", "-q", "-D", "old", within=clone)
    run("git", "reflog", "expire", "--expire=now", "--all", within=clone)
    run("git", "gc", "-q", "--aggressive", "--prune=now", within=clone)
    assert run("git", "fsck", "--full", "--unreachable", within=clone) == ""
    assert run("git", "count-objects", within=clone).startswith("0 objects")
    assert run("git", "rev-parse", "HEAD^{tree}", within=clone) == run(
        "git", "write-tree", within=clone
    )


# --- make -------------------------------------------------------------------------------------

MAKEFILE = r"""
parts := $(patsubst %.c,%.o,$(wildcard part*.c))
program: main.o libparts.a
	gcc -o $@ $^
libparts.a: $(parts)
	rm -f $@ && ar rcs $@ $^
%.o: %.c
	gcc -O1 -MMD -c -o $@ $<
-include $(wildcard *.d)
"""
PARTS = 10


def test_a_program_is_built(mount: Path) -> None:
    (mount / "Makefile").write_text(MAKEFILE)
    (mount / "parts.h").write_text("".join(f"int part{n}(void);\n" for n in range(PARTS)))
    for number in range(PARTS):
        (mount / f"part{number}.c").write_text(
            f'#include "parts.h"\nint part{number}(void) {{ return {number}; }}\n'
        )
    total = " + ".join(f"part{number}()" for number in range(PARTS))
    (mount / "main.c").write_text(
        f'#include <stdio.h>\n#include "parts.h"\nint main(void) {{ printf("%d\\n", {total}); }}\n'
    )
    run("make", "-j2", within=mount)
    assert run(mount / "program") == "45\n"
    run("make", "-q", within=mount)
    # What make does again depends on times: the one part, what has it, and nothing else.
    (mount / "part3.c").write_text("int part3(void) { return 1003; }\n")
    again = run("make", "-j2", within=mount)
    assert "part3.o" in again and "part4.c" not in again
    assert run("./program", within=mount) == "1045\n"
    run("make", "-q", within=mount)


# --- Python -----------------------------------------------------------------------------------

INFO = "greeting-1.0.dist-info"
WHEEL = {
    "greeting/__init__.py": "def main():\n    from greeting.words import HELLO\n    print(HELLO)\n",
    "greeting/words.py": "HELLO = 'hello from a mount'\n",
    f"{INFO}/METADATA": "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n",
    f"{INFO}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    f"{INFO}/entry_points.txt": "[console_scripts]\ngreet = greeting:main\n",
}


def test_a_package_is_installed_into_an_environment(mount: Path, tmp_path: Path) -> None:
    record = f"{INFO}/RECORD"
    wheel = tmp_path / "greeting-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in WHEEL.items():
            archive.writestr(name, text)
        archive.writestr(record, "".join(f"{name},,\n" for name in (*WHEEL, record)))
    run(sys.executable, "-m", "venv", mount / "venv")
    run(mount / "venv/bin/python", "-m", "pip", "install", "-q", wheel)
    assert run(mount / "venv/bin/greet") == "hello from a mount\n"
    run(mount / "venv/bin/python", "-m", "pip", "check")
    run(mount / "venv/bin/python", "-m", "pip", "uninstall", "-q", "-y", "greeting")
    assert not (mount / "venv/bin/greet").exists()


# --- SQLite -----------------------------------------------------------------------------------


def write_and_kill(file: Path, mode: str, first: int, count: int) -> int:
    """Let a process commit so many transactions and kill it in some later one: the last number."""
    writer = subprocess.Popen(
        [sys.executable, "-m", "tests.fuse.sqlite_writer", str(file), mode, str(first)],
        stdout=subprocess.PIPE,
    )
    assert writer.stdout is not None
    for _ in range(count):
        assert writer.stdout.readline(), "the writer ended by itself"
    writer.kill()
    more = writer.stdout.read().split()
    writer.stdout.close()
    assert writer.wait() == -9
    return first + count - 1 + len(more)


@pytest.mark.parametrize("mode", ["delete", "persist", "wal"])
def test_a_database_survives_kills_of_its_writer(
    mode: str, mount: Path, rng: random.Random
) -> None:
    file = mount / "database"
    first = 0
    for _ in range(KILLS):
        acknowledged = write_and_kill(file, mode, first, rng.randint(1, 15))
        with closing(sqlite3.connect(file)) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            rows = database.execute("SELECT number, data FROM log ORDER BY number").fetchall()
            state = database.execute("SELECT row, number, data FROM state").fetchall()
        last = rows[-1][0]
        assert last in (acknowledged, acknowledged + 1)
        assert rows == [(number, content(number)) for number in range(last + 1)]
        assert sorted(state) == [(row, last, content(row)) for row in range(ROWS)]
        first = last + 1


# --- copies with all attributes -----------------------------------------------------------------

TAR = ("--format=posix", "--xattrs", "--xattrs-include=*", "--numeric-owner")


def tar(source: Path, target: Path) -> None:
    """Copy a directory by way of an archive."""
    target.mkdir()
    archive = target.with_name(f"{target.name}.tar")
    run("tar", *TAR, "--sparse", "-C", source, "-cf", archive, ".")
    run("tar", *TAR, "--same-owner", "-p", "-C", target, "-xf", archive)
    archive.unlink()


RSYNC: Sequence[str] = ("rsync", "-aHAX", "--numeric-ids", "--sparse")


def rsync(source: Path, target: Path) -> None:
    """Copy a directory, and find nothing left to do."""
    run(*RSYNC, f"{source}/", f"{target}/")
    assert run(*RSYNC, "-n", "-c", "--itemize-changes", f"{source}/", f"{target}/") == ""


def expect_copy(copy: Path, original: Path) -> None:
    """Nothing was lost."""
    (tree, attributes, links), (tree_due, attributes_due, links_due) = map(
        odd_tree.kept, (copy, original)
    )
    expect_same(tree, tree_due)
    assert attributes == attributes_due
    assert links == links_due
    assert odd_tree.used_bytes(copy) < odd_tree.SPARSE_BYTES // 2


@pytest.mark.parametrize("copy", [tar, rsync], ids=["tar", "rsync"])
def test_a_tree_goes_there_and_back_with_all_attributes(
    copy: object, mount: Path, tmp_path: Path, rng: random.Random
) -> None:
    assert callable(copy)
    original, back = tmp_path / "original", tmp_path / "back"
    odd_tree.make(original, rng, sockets=copy is rsync)
    copy(original, mount / "there")
    expect_copy(mount / "there", original)
    copy(mount / "there", back)
    expect_copy(back, original)
