"""Users without any rights, for tests that run as root."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from fuse import mounting
from tests.fsgw.mounted import FSGW, run
from tests.fuse.mounting import require

NOBODY = 65534


class User:
    """A user without any rights, in mount and device name spaces of the user's own.

    There /dev/fuse may be opened by everybody, as udev sets it, and /etc/fuse.conf is ours.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self._fuse, self._conf = home.parent / "dev-fuse", home.parent / "fuse.conf"
        os.mknod(self._fuse, 0o20666, os.stat(mounting.DEVICE).st_rdev)
        self._fuse.chmod(0o666)
        self.configure("")

    def configure(self, text: str) -> None:
        """Set /etc/fuse.conf."""
        self._conf.write_text(text)
        self._conf.chmod(0o644)

    def run(self, script: str) -> CompletedProcess[str]:
        """Run a script of the shell, in which `fsgw` is the command on the user's own store."""
        binds = [(self._fuse, mounting.DEVICE), (self._conf, "/etc/fuse.conf")]
        mounts = [f"mount --bind {shlex.quote(str(ours))} {theirs}" for ours, theirs in binds]
        # An interpreter may be where root alone may look: that right the user keeps.
        rights = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
        become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *rights]
        command = f'fsgw() {{ {shlex.join(FSGW)} --store "$HOME/store" "$@"; }}\n'
        inner = shlex.join([*become, "bash", "-c", f"set -eu\n{command}{script}"])
        return run(
            ["unshare", "--mount", "bash", "-c", " && ".join([*mounts, f"exec {inner}"])],
            HOME=str(self.home),
        )


@contextmanager
def open_room() -> Iterator[Path]:
    """A new directory that everybody may pass through. Not one of pytest's: any other session of
    it, on the same machine, closes those that all of them are in."""
    with tempfile.TemporaryDirectory(prefix="fsgw-users-") as room:
        os.chmod(room, 0o711)
        yield Path(room)


@contextmanager
def ordinary_user() -> Iterator[User]:
    """One with a home in a directory of its own; skips where that cannot be."""
    require()
    if shutil.which("setpriv") is None or run(["unshare", "--mount", "true"]).returncode:
        pytest.skip("no setpriv, or no mount name spaces")
    with open_room() as room:
        home = room / "home"
        home.mkdir()
        os.chown(home, NOBODY, NOBODY)
        yield User(home)
