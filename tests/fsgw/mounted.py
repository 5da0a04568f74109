"""`fsgw mount` as a process in the foreground, and mounts that go at the end whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fuse import mounting

ROOT = Path(__file__).parent.parent.parent
FSGW = [sys.executable, "-P", "-m", "fsgw"]
# How long an end may take on a machine that does much else.
END_S = 60


@contextmanager
def place(room: Path, name: str = "mount") -> Iterator[Path]:
    """A new directory to mount on; whatever is still mounted there at the end is taken away."""
    directory = room / name
    directory.mkdir()
    try:
        yield directory
    finally:
        while mounting.mounted_at(str(directory)) is not None:  # a dead one, too
            subprocess.run(["umount", "-l", directory], check=True)


class Foreground:
    """A running `fsgw mount` that has no gateway to go through, once it has mounted."""

    def __init__(self, store: Path, *words: str | Path) -> None:
        self.process = subprocess.Popen(
            [*FSGW, "--store", str(store), "mount", *map(str, words)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self) -> tuple[int, str]:
        """Wait for the end: the exit code, and what went to standard error."""
        _, errors = self.process.communicate(timeout=END_S)
        return self.process.returncode, errors


@contextmanager
def foreground(store: Path, *words: str | Path) -> Iterator[Foreground]:
    """The same; it is gone at the end."""
    running = Foreground(store, *words)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
        running.process.communicate()


def run(words: Sequence[str | Path], **environment: str) -> subprocess.CompletedProcess[str]:
    """Any command, to its end."""
    return subprocess.run(
        list(map(str, words)),
        check=False,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=END_S,
    )
