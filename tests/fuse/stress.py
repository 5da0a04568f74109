"""One process of a metadata stress in the manner of fsstress: random changes of few names.

    python -m tests.fuse.stress RESULT SEED COUNT mount DIRECTORY
    python -m tests.fuse.stress RESULT SEED COUNT nfs PORT PATH

Several run on one branch, through different doors, and get in each other's way. Each prints `step`
now and then, and at last writes a JSON object to the file RESULT: how often each operation had
which outcome, and what should never happen. What they leave behind is for the test to look at.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import random
import stat
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.fuse.nfsfs import NfsFs
from tests.fuse.wire import WireClient
from tests.posix.fs import FsError
from tests.posix.osfs import ALIASES, AT_FDCWD, LIBC, RENAME_FLAGS, checked

# Names are of directories or not, most of the time: so most operations find what they need.
DIRECTORIES = [f"d{number}" for number in range(4)]
FILES = [f"f{number}" for number in range(5)]
DEPTH_MAX = 2
MIXED_UP_EVERY = 12
HELD_MAX = 5
STEPS_EVERY = 20
SIZE_MAX = 300_000


class MountFs:
    """Calls by path below a mount; an open of what is no file does not wait."""

    def __init__(self, root: str) -> None:
        self._root = root

    def at(self, path: str) -> str:
        """Where the kernel has it."""
        return f"{self._root}/{path}" if path else self._root

    def open(self, path: str, flags: int) -> int:
        """A file descriptor."""
        return os.open(self.at(path), flags | os.O_NONBLOCK, 0o644)

    def create(self, path: str) -> None:
        os.close(self.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))

    def mkdir(self, path: str) -> None:
        os.mkdir(self.at(path))

    def mkfifo(self, path: str) -> None:
        os.mkfifo(self.at(path))

    def symlink(self, target: str, path: str) -> None:
        os.symlink(target, self.at(path))

    def link(self, old: str, new: str) -> None:
        os.link(self.at(old), self.at(new), follow_symlinks=False)

    def unlink(self, path: str) -> None:
        os.unlink(self.at(path))

    def rmdir(self, path: str) -> None:
        os.rmdir(self.at(path))

    def rename(self, old: str, new: str, how: str = "replace") -> None:
        source, target = self.at(old).encode(), self.at(new).encode()
        checked(LIBC.renameat2(AT_FDCWD, source, AT_FDCWD, target, RENAME_FLAGS[how]))

    def chmod(self, path: str, mode: int) -> None:
        os.chmod(self.at(path), mode)

    def chown(self, path: str, uid: int, gid: int) -> None:
        os.chown(self.at(path), uid, gid, follow_symlinks=False)

    def utime(self, path: str, seconds: int) -> None:
        os.utime(self.at(path), ns=(0, seconds * 10**9 + 7), follow_symlinks=False)

    def truncate(self, path: str, size: int) -> None:
        os.truncate(self.at(path), size)

    def write(self, path: str, data: bytes, offset: int) -> None:
        fd = self.open(path, os.O_WRONLY)
        try:
            os.pwrite(fd, data, offset)
        finally:
            os.close(fd)

    def read(self, path: str) -> bytes:
        fd = self.open(path, os.O_RDONLY)
        try:
            return os.pread(fd, SIZE_MAX * 2, 0)
        finally:
            os.close(fd)

    def stat(self, path: str) -> os.stat_result:
        return os.lstat(self.at(path))

    def readlink(self, path: str) -> str:
        return os.readlink(self.at(path))

    def names(self, path: str) -> list[str]:
        return os.listdir(self.at(path))


# Wherever somebody else may have changed what a path leads to, a moment ago or since.
_PATH = {"ENOENT", "ENOTDIR", "ESTALE", "ELOOP"}
# What an operation may be answered with besides.
EXPECTED: dict[str, set[str]] = {
    "create": {"EEXIST"},
    "mkdir": {"EEXIST"},
    "mkfifo": {"EEXIST"},
    "symlink": {"EEXIST"},
    "link": {"EEXIST", "EPERM", "EISDIR"},  # no links to directories
    "unlink": {"EISDIR", "EPERM"},
    "rmdir": {"ENOTEMPTY", "EEXIST"},
    "rename": {"EEXIST", "ENOTEMPTY", "EISDIR", "EINVAL"},
    "noreplace": {"EEXIST", "EINVAL"},
    "exchange": {"EINVAL", "ENOTEMPTY"},
    "chmod": set(),
    "chown": set(),
    "utime": set(),
    "truncate": {"EISDIR", "EINVAL"},
    "write": {"EISDIR", "EINVAL", "ENXIO", "ESPIPE"},
    "read": {"EISDIR", "EINVAL", "ESPIPE"},
    "stat": set(),
    "readlink": {"EINVAL"},
    "names": set(),
    "setxattr": {"EPERM"},  # user attributes belong to files and directories
    "getxattr": {"ENODATA", "EPERM"},
    "listxattr": set(),
    "removexattr": {"ENODATA", "EPERM"},
    "hold": {"ENXIO", "EISDIR"},
    "held": {"EISDIR"},
    "sync": set(),
}
WEIGHTS = {
    "create": 12, "mkdir": 10, "mkfifo": 2, "symlink": 4, "link": 6, "unlink": 6, "rmdir": 4,
    "rename": 14, "noreplace": 3, "exchange": 5, "chmod": 3, "chown": 2,
    "utime": 2, "truncate": 4, "write": 10, "read": 5, "stat": 4, "readlink": 2, "names": 6,
    "setxattr": 4, "getxattr": 2, "listxattr": 2, "removexattr": 2, "hold": 4, "held": 8, "sync": 2,
}  # fmt: skip
OF_MOUNTS = {
    "noreplace", "exchange", "setxattr", "getxattr", "listxattr", "removexattr", "hold", "held",
    "sync",
}  # fmt: skip


class Worker:
    """See the module."""

    def __init__(self, fs: MountFs | NfsFs, rng: random.Random) -> None:
        self._fs = fs
        self._rng = rng
        self._held: list[int] = []
        self.outcomes: Counter[str] = Counter()
        self.unexpected: list[str] = []

    def directory(self, least: int = 1) -> str:
        """The path of what may be a directory; `least` 0: or of the root."""
        depth = self._rng.randint(least, DEPTH_MAX)
        return "/".join(self._rng.choice(DIRECTORIES) for _ in range(depth))

    def file(self) -> str:
        """The path of what may be no directory; but not always."""
        if not self._rng.randrange(MIXED_UP_EVERY):
            return self.directory()
        return f"{self.directory(0)}/{self._rng.choice(FILES)}".lstrip("/")

    def path(self) -> str:
        """Of either."""
        return self._rng.choice((self.directory, self.file))()

    def two(self) -> tuple[str, str]:
        """Two paths of the same, most often."""
        of = self._rng.choice((self.directory, self.file))
        return of(), of()

    def data(self) -> bytes:
        return self._rng.randbytes(self._rng.choice((10, 3_000, 50_000)))

    def run(self, count: int) -> None:
        """So many operations."""
        names = [name for name in WEIGHTS if isinstance(self._fs, MountFs) or name not in OF_MOUNTS]
        weights = [WEIGHTS[name] for name in names]
        for step in range(count):
            (name,) = self._rng.choices(names, weights)
            outcome = self._outcome(name)
            self.outcomes[f"{name} {outcome}"] += 1
            if outcome != "ok" and outcome not in _PATH | EXPECTED[name]:
                self.unexpected.append(f"{name} {outcome}")
            if step % STEPS_EVERY == 0:
                print("step", flush=True)
        while self._held:
            self._let_go()

    def _outcome(self, name: str) -> str:
        """The name of its error, or "ok"."""
        own: Callable[[], None] | None = getattr(self, f"_do_{name}", None)
        try:
            if own is not None:
                own()
            else:
                getattr(self._fs, name)(PATH_OF.get(name, Worker.path)(self))
        except FsError as refusal:
            return refusal.name
        except OSError as error:
            found = errno.errorcode[error.errno or errno.EIO]
            return ALIASES.get(found, found)
        return "ok"

    def _do_symlink(self) -> None:
        self._fs.symlink(self._rng.choice(("", "../", "./")) + self.path(), self.file())

    def _do_link(self) -> None:
        self._fs.link(self.file(), self.file())

    def _do_names(self) -> None:
        names = self._fs.names(self.directory(0))
        if len(set(names)) != len(names):
            self.unexpected.append(f"names twice: {sorted(names)}")

    def _do_rename(self) -> None:
        self._fs.rename(*self.two())

    def _mount(self) -> MountFs:
        assert isinstance(self._fs, MountFs)
        return self._fs

    def _do_noreplace(self) -> None:
        self._mount().rename(*self.two(), "noreplace")

    def _do_exchange(self) -> None:
        self._mount().rename(*self.two(), "exchange")

    def _do_chmod(self) -> None:
        self._fs.chmod(self.path(), self._rng.choice((0o600, 0o755, 0o1777, 0o4711, 0)))

    def _do_chown(self) -> None:
        self._fs.chown(self.path(), self._rng.randrange(3), self._rng.randrange(3))

    def _do_utime(self) -> None:
        self._fs.utime(self.path(), self._rng.randrange(2**31))

    def _do_truncate(self) -> None:
        self._fs.truncate(self.file(), self._rng.choice((0, 100, 5_000, SIZE_MAX)))

    def _do_write(self) -> None:
        self._fs.write(self.file(), self.data(), self._rng.choice((0, 4_096, 200_001)))

    # --- attributes, and files held open: through mounts only -----------------------------------

    def _attribute(self) -> str:
        return f"user.{self._rng.randrange(3)}"

    def _do_setxattr(self) -> None:
        where = self._mount().at(self.path())
        os.setxattr(where, self._attribute(), self.data()[:500], follow_symlinks=False)

    def _do_getxattr(self) -> None:
        os.getxattr(self._mount().at(self.path()), self._attribute(), follow_symlinks=False)

    def _do_listxattr(self) -> None:
        os.listxattr(self._mount().at(self.path()), follow_symlinks=False)

    def _do_removexattr(self) -> None:
        os.removexattr(self._mount().at(self.path()), self._attribute(), follow_symlinks=False)

    def _let_go(self) -> None:
        os.close(self._held.pop(self._rng.randrange(len(self._held))))

    def _do_hold(self) -> None:
        """Keep a file open, or a directory."""
        if len(self._held) >= HELD_MAX:
            self._let_go()
        self._held.append(self._mount().open(self.path(), self._rng.choice((os.O_RDWR, 0))))

    def _do_held(self) -> None:
        """Use what is open, whatever has become of its name."""
        if not self._held:
            return
        fd = self._rng.choice(self._held)
        mode = os.fstat(fd).st_mode
        if stat.S_ISDIR(mode):
            os.listdir(fd)
        elif stat.S_ISREG(mode) and self._rng.randrange(2):
            os.pread(fd, SIZE_MAX, 0)
        elif stat.S_ISREG(mode) and fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_RDWR:
            os.pwrite(fd, self.data(), self._rng.randrange(SIZE_MAX))

    def _do_sync(self) -> None:
        if self._held:
            fd = self._rng.choice(self._held)
            if not stat.S_ISFIFO(os.fstat(fd).st_mode):
                os.fsync(fd)


# What an operation on one path is tried on, where that is not either.
PATH_OF: dict[str, Callable[[Worker], str]] = {
    "create": Worker.file,
    "mkdir": Worker.directory,
    "mkfifo": Worker.file,
    "unlink": Worker.file,
    "rmdir": Worker.directory,
    "read": Worker.file,
    "readlink": Worker.file,
}


def main(result: str, seed: str, count: str, door: str, *place: str) -> None:
    """What the command line says."""
    if door == "mount":
        worker = Worker(MountFs(place[0]), random.Random(seed))
        worker.run(int(count))
    else:
        with WireClient(int(place[0])) as client:
            worker = Worker(NfsFs(client, client.mount(place[1])), random.Random(seed))
            worker.run(int(count))
    found = {"outcomes": worker.outcomes, "unexpected": worker.unexpected}
    Path(result).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
