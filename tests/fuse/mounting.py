"""Mounts of a gateway's branches: made by `fsgw mount`, and gone at the end whatever happened."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system.gateway import Gateway

# What these tests run, by the Debian package that has it.
PROGRAMS = {
    "fusermount3": "fuse3",
    "gcc": "gcc libc6-dev",
    "git": "git",
    "make": "make",
    "rsync": "rsync",
    "tar": "tar",
}
# Callers of a gateway that does not answer cannot be killed; the gateway can, and then they get
# their error. So long may a test take; it is some ten times what the longest one needs.
GIVE_UP_S = 300

_WATCH = 'read -r -t "$1" _; [ $? -le 128 ] || kill -KILL "$2"'


def missing() -> list[str]:
    """What is not here of all that the tests need, as reasons; empty if they can all run."""
    reasons = [
        f"no {program} (apt-get install {package})"
        for program, package in PROGRAMS.items()
        if shutil.which(program) is None
    ]
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        reasons.append("no /dev/fuse that may be opened")
    return reasons


def require() -> None:
    """Skip what cannot run here, and say why; nothing may be missing with FSGW_REQUIRE_SYSTEM."""
    if reasons := missing():
        text = "; ".join(reasons)
        if os.environ.get("FSGW_REQUIRE_SYSTEM"):
            pytest.fail(text)
        pytest.skip(text)


@contextmanager
def watched(pid: int) -> Iterator[None]:
    """Kill the process if the block takes for ever, from outside this process, which may hang."""
    watch = subprocess.Popen(
        ["bash", "-c", _WATCH, "watch", str(GIVE_UP_S), str(pid)], stdin=subprocess.PIPE
    )
    try:
        yield
    finally:
        watch.communicate()


class Mounts:
    """Makes mounts of one gateway, each on a directory of its own in `room`."""

    def __init__(self, gateway: Gateway, room: Path) -> None:
        self.gateway = gateway
        self._room = room
        self._made: list[Path] = []

    def directory(self) -> Path:
        """A new directory for a mount, which goes in the end."""
        directory = self._room / f"mount{len(self._made)}"
        directory.mkdir()
        self._made.append(directory)
        return directory

    def mount(self, what: str = "main", *options: str, at: Path | None = None) -> Path:
        """Mount a branch, a snapshot or a directory in one: where it is now."""
        directory = at or self.directory()
        words = [word for option in options for word in ("-o", option)]
        self.gateway.fsgw("mount", what, directory, *words)
        assert directory.is_mount()
        return directory

    def umount(self, directory: Path) -> None:
        """Unmount in order; the directory stays."""
        self.gateway.fsgw("umount", directory)
        assert not directory.is_mount()

    def close(self) -> None:
        """Let go of whatever is still mounted, also if it is in use or its gateway is dead."""
        for directory in reversed(self._made):
            subprocess.run(["umount", "-q", "-l", directory], check=False)
