"""A directory with every kind of file and attribute, and what of it a copy has to keep."""

from __future__ import annotations

import os
import random
import socket
import stat
from pathlib import Path

from tests.fuse.trees import Attributes, Tree, attributes, through_mount

BLOCK = 131_072
SPARSE_BYTES = 40 * BLOCK
ODD_NAMES = [
    b"-n",
    b" spaces  ",
    b"new\nline",
    "\N{SNOWMAN} \N{LATIN SMALL LETTER E WITH ACUTE}".encode(),
    b"not \xff\xfe UTF-8",
    b"back\\slash 'quote' \"quotes\" $HOME *",
    b"x" * 255,
    b"...",
]
# The sticky bit on a file and the group's set-id bit without its execute bit are odd, but legal.
MODES = [0o000, 0o400, 0o644, 0o777, 0o1777, 0o2755, 0o2644, 0o4755, 0o6711, 0o7777]
T0 = 1_234_567_890_123_456_789


def make(root: Path, rng: random.Random, *, sockets: bool) -> None:
    """Make such a directory."""
    root.mkdir()
    (root / "names").mkdir()
    for number, name in enumerate(ODD_NAMES):
        (root / "names" / os.fsdecode(name)).write_bytes(rng.randbytes(number * 1000))
    (root / "modes").mkdir()
    for mode in MODES:
        file, directory = root / "modes" / f"file{mode:04o}", root / "modes" / f"dir{mode:04o}"
        file.write_bytes(rng.randbytes(100))
        directory.mkdir()
        for path in (file, directory):
            # Owners first: a change of owner takes the set-id bits away.
            os.chown(path, rng.randrange(70_000), rng.randrange(70_000))
            path.chmod(mode)
    _links(root / "links", rng)
    _specials(root / "special", sockets=sockets)
    _sizes(root / "sizes", rng)
    _attributes(root / "attributes", rng)
    for path in sorted(root.rglob("*"), reverse=True):
        moment = T0 + rng.randrange(10**18)
        os.utime(path, ns=(moment, moment), follow_symlinks=False)
    os.utime(root, ns=(T0, T0))


def _links(where: Path, rng: random.Random) -> None:
    where.mkdir()
    (where / "below").mkdir()
    for number in range(3):
        first = where / f"first{number}"
        first.write_bytes(rng.randbytes(5_000))
        for name in ("second", "below/third"):
            os.link(first, where / f"{name}{number}")
    for number, target in enumerate(("first0", "../sizes", "nowhere", "x" * 4_000, "/")):
        (where / f"symbolic{number}").symlink_to(target)
        os.chown(where / f"symbolic{number}", number, number + 1, follow_symlinks=False)


def _specials(where: Path, *, sockets: bool) -> None:
    where.mkdir()
    os.mkfifo(where / "fifo", 0o640)
    os.mknod(where / "character", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(where / "block", stat.S_IFBLK | 0o660, os.makedev(259, 70_000))
    if sockets:
        # By a short path: that of a socket has room for some hundred bytes.
        directory = os.open(where, os.O_RDONLY)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(f"/proc/self/fd/{directory}/socket")
        os.close(directory)


def _sizes(where: Path, rng: random.Random) -> None:
    where.mkdir()
    for size in (0, 1, 4_095, 4_096, 4_097, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 17):
        (where / f"size{size}").write_bytes(rng.randbytes(size))
    for number in range(2):
        with (where / f"sparse{number}").open("wb") as file:
            file.truncate(SPARSE_BYTES)
            for _ in range(3):
                file.seek(rng.randrange(SPARSE_BYTES - 5_000))
                file.write(rng.randbytes(4_000))
    with (where / "all hole").open("wb") as file:
        file.truncate(SPARSE_BYTES)


def _attributes(where: Path, rng: random.Random) -> None:
    where.mkdir()
    (where / "directory").mkdir()
    (where / "file").write_bytes(b"text")
    for name in ("directory", "file"):
        for number in range(4):
            value = rng.randbytes(number * 100)
            os.setxattr(where / name, f"user.number {number} \N{SNOWMAN}", value)


def kept(root: Path) -> tuple[Tree, Attributes, set[frozenset[str]]]:
    """What a copy keeps: all facts but inode numbers and times of change, and who is linked."""
    tree = through_mount(root)
    links: dict[int, set[str]] = {}
    for path, facts in tree.items():
        links.setdefault(facts.ino, set()).add(path)
    copied = {
        path: facts._replace(
            ino=0,
            ctime_ns=0,
            size=0 if stat.S_ISDIR(facts.mode) else facts.size,
            nlink=0 if stat.S_ISDIR(facts.mode) else facts.nlink,
        )
        for path, facts in tree.items()
    }
    return copied, attributes(root, tree), {frozenset(paths) for paths in links.values()}


def used_bytes(root: Path) -> int:
    """What the sparse files take."""
    paths = [*(root / "sizes").glob("sparse*"), root / "sizes" / "all hole"]
    return sum(path.stat().st_blocks * 512 for path in paths)
