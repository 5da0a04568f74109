"""A disk of a few MiB that fills up for real: a tmpfs that only one thread can see."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.store.model_jobs import run_elsewhere

_CLONE_NEWNS = 0x20000
_MS_REC, _MS_PRIVATE = 1 << 14, 1 << 18
MIB = 1024 * 1024


def on_small_disk(mebibytes: int, place: Path, call: Callable[[Path], None]) -> None:
    """Call with an empty file system of that size, mounted at `place` for the call alone.

    The call is made on a thread of its own, which has mounts of its own: they end with it, however
    it ends. Skips the test, with the reason, where the system does not let us mount.
    """
    place.mkdir()

    def run() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        try:
            _check(libc.unshare(_CLONE_NEWNS))
            _check(libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None))
            options = b"size=%dm" % mebibytes
            _check(libc.mount(b"tmpfs", os.fsencode(place), b"tmpfs", 0, options))
        except OSError as error:
            pytest.skip(f"no mounts here: {error}")
        call(place)

    run_elsewhere(run)


def _check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Ballast:
    """A file that takes up room until it is thrown off."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "ballast"

    def fill(self, leave_bytes: int = 0) -> None:
        """Take up all room but so many bytes."""
        with open(self._path, "ab", buffering=0) as file:
            stat = os.fstatvfs(file.fileno())
            room = stat.f_bavail * stat.f_frsize - leave_bytes
            while room > 0:
                try:
                    room -= file.write(bytes(min(room, MIB)))
                except OSError:
                    return

    def drop(self) -> None:
        """Give the room back."""
        self._path.unlink()
