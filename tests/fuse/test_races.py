"""Changes in a row, each looked at in one way alone and at once, while others look all the time.

A kernel that has asked, and was told what was right when it asked, may put that away after it was
told that it is not right any more: here many processes ask while things change.
"""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fuse.changes import Caller
from tests.fuse.world import World, opened

pytestmark = [pytest.mark.slow, pytest.mark.root]

TIMES = 150
FILE_BYTES = 20_000
# Looks at everything in a directory over and over.
LOOKER = """
import os, sys
while True:
    for name in os.listdir(sys.argv[1]):
        path = os.path.join(sys.argv[1], name)
        try:
            os.lstat(path)
            with open(path, "rb") as file:
                file.read()
            os.lstat(os.path.join(sys.argv[1], "absent"))
        except OSError:
            pass
"""


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with opened() as made:
        yield made


@pytest.fixture
def root(world: World) -> Path:
    """A directory in a mount, with a file in it."""
    name = world.directory()
    nfs = world.nfs.below(f"work/{name}")
    nfs.create("file")
    nfs.write("file", bytes(FILE_BYTES), 0)
    return world.one / "work" / name


@pytest.fixture
def nfs(world: World, root: Path) -> Caller:
    """The same over NFS."""
    return world.nfs.below(f"work/{root.name}")


@pytest.fixture(params=["alone", "watched"])
def others(request: pytest.FixtureRequest, root: Path) -> Iterator[None]:
    """Nobody else, or two processes that look at everything all the time."""
    many = 2 if request.param == "watched" else 0
    looking = [
        subprocess.Popen([sys.executable, "-c", LOOKER, str(root)], stderr=subprocess.DEVNULL)
        for _ in range(many)
    ]
    yield
    for process in looking:
        process.kill()
        process.wait()


def text(number: int) -> bytes:
    return b"%08d" % number


def _mapped(root: Path) -> Callable[[], bytes]:
    with open(root / "file", "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    return lambda: mapped[5_000:5_008]


DATA: dict[str, Callable[[Path], Callable[[], bytes]]] = {
    "a mapping": _mapped,
    "a file by its name": lambda root: lambda: (root / "file").read_bytes()[5_000:5_008],
}


@pytest.mark.usefixtures("others")
@pytest.mark.parametrize("way", DATA)
def test_data(root: Path, nfs: Caller, way: str) -> None:
    look = DATA[way](root)
    for number in range(TIMES):
        nfs.write("file", text(number), 5_000)
        assert look() == text(number)


@pytest.mark.usefixtures("others")
def test_size(root: Path, nfs: Caller) -> None:
    for number in range(TIMES):
        size = FILE_BYTES + number * 37 * (-1) ** number
        nfs.truncate("file", size)
        assert os.stat(root / "file").st_size == size


@pytest.mark.usefixtures("others")
def test_mode(root: Path, nfs: Caller) -> None:
    for number in range(TIMES):
        nfs.chmod("file", number)
        assert os.stat(root / "file").st_mode & 0o7777 == number


NAMES: dict[str, Callable[[Path, str], Any]] = {
    "stat": lambda root, name: os.path.lexists(root / name),
    "listing": lambda root, name: name in os.listdir(root),
    "open": lambda root, name: os.access(root / name, os.R_OK),
}


@pytest.mark.usefixtures("others")
@pytest.mark.parametrize("way", NAMES)
def test_a_name_comes_and_goes(root: Path, nfs: Caller, way: str) -> None:
    look = NAMES[way]
    for _ in range(TIMES):
        assert not look(root, "absent")
        nfs.create("absent")
        assert look(root, "absent")
        nfs.unlink("absent")


@pytest.mark.usefixtures("others")
@pytest.mark.parametrize("way", NAMES)
def test_a_name_moves(root: Path, nfs: Caller, way: str) -> None:
    look, here, there = NAMES[way], "file", "absent"
    for _ in range(TIMES):
        nfs.rename(here, there)
        here, there = there, here
        assert (look(root, here), look(root, there)) == (True, False)


@pytest.mark.usefixtures("others")
def test_a_name_leads_elsewhere(root: Path, nfs: Caller) -> None:
    nfs.create("other")
    for number in range(TIMES):
        nfs.create("new")
        nfs.write("new", text(number), 0)
        nfs.rename("new", "other")
        assert (root / "other").read_bytes() == text(number)
