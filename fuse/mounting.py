"""Mounting and unmounting by the helper of libfuse, and the kernel's list of what is mounted.

`fusermount3` opens /dev/fuse, mounts, and hands the open device over a socket (its `_FUSE_COMMFD`
protocol); it is set-user-id, so that users can mount what is theirs. All calls here may block, on
disks and on file systems that are served by this very process: they are not for the loop's thread.
"""

from __future__ import annotations

import array
import ctypes
import errno
import logging
import os
import re
import shutil
import socket
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

log = logging.getLogger(__name__)

DEVICE = "/dev/fuse"
HELPER = "fusermount3"
TYPE = "fuse.fsgw"
_SUBTYPE = "fsgw"
_CONNECTIONS = Path("/sys/fs/fuse/connections")
# Flags of umount2(2).
_MNT_FORCE, _MNT_DETACH = 1, 2
_ESCAPED = re.compile(rb"\\([0-7]{3})")
_FD_BYTES = array.array("i").itemsize


class MountPoint(NamedTuple):
    """A line of /proc/self/mountinfo (proc_pid_mountinfo(5)), as far as it matters here."""

    directory: bytes
    type: str
    source: bytes
    device: tuple[int, int]


def mount_points() -> list[MountPoint]:
    """Everything that is mounted, in the order of mounting."""
    found = []
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        left, _, right = line.partition(b" - ")
        fields, (kind, source, *_) = left.split(b" "), right.split(b" ")
        major, _, minor = fields[2].partition(b":")
        place = _plain(fields[4])
        device = int(major), int(minor)
        found.append(MountPoint(place, kind.decode("ascii", "replace"), _plain(source), device))
    return found


def _plain(text: bytes) -> bytes:
    return _ESCAPED.sub(lambda match: bytes([int(match[1], 8)]), text)


def mounted_at(directory: str) -> MountPoint | None:
    """What is mounted at an absolute path, the latest if several are; None for nothing."""
    wanted = os.fsencode(directory)
    return next((m for m in reversed(mount_points()) if m.directory == wanted), None)


def check_mount_point(directory: str, *, may_be_full: bool) -> None:
    """Raise OSError unless something can be mounted on an absolute path.

    A mount of ours whose gateway is gone is taken away first.
    """
    there = mounted_at(directory)
    if there is not None and there.type == TYPE and is_dead(directory):
        unmount(directory, lazy=True)
        there = mounted_at(directory)
    if there is not None:
        what = there.source.decode("utf-8", "replace")
        raise OSError(errno.EBUSY, f"{what} is mounted there already", directory)
    status = os.stat(directory)
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), directory)
    if not may_be_full and os.listdir(directory):
        text = "the directory is not empty (-o nonempty mounts over what is there)"
        raise OSError(errno.ENOTEMPTY, text, directory)
    if not os.path.exists(DEVICE):
        text = "there is no such device: FUSE is not to be had here (modprobe fuse)"
        raise OSError(errno.ENODEV, text, DEVICE)


def is_dead(directory: str) -> bool:
    """Whether what is mounted there has lost who served it; asks whoever does.

    Nothing that the kernel may answer by itself would do: it goes on telling what it knows.
    """
    try:
        os.statvfs(directory)
    except OSError as error:
        return error.errno in (errno.ENOTCONN, errno.ECONNABORTED)
    return False


def mount(directory: str, source: str, options: Sequence[str]) -> int:
    """Mount on an absolute path; the open device, which is not to be inherited. Raises OSError."""
    words = [f"fsname={_option(source)}", f"subtype={_SUBTYPE}", *options]
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs:
        _helped(["-o", ",".join(words), "--", directory], directory, theirs)
        theirs.close()
        _, extra, _, _ = ours.recvmsg(1, socket.CMSG_SPACE(_FD_BYTES))
    for level, kind, data in extra:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptor = int(array.array("i", data[:_FD_BYTES])[0])
            os.set_blocking(descriptor, False)
            os.set_inheritable(descriptor, False)
            return descriptor
    raise OSError(errno.EIO, f"{HELPER} handed over no device", directory)


def _option(text: str) -> str:
    """A text as the value of a mount option."""
    return text.replace("\\", "\\\\").replace(",", "\\,")


def unmount(directory: str, *, lazy: bool = False) -> None:
    """Unmount; with `lazy` now for new users, and in full when the last one has left.

    Raises OSError: EBUSY where it is in use, EINVAL where nothing is mounted.
    """
    if mounted_at(directory) is None:
        raise OSError(errno.EINVAL, "nothing is mounted there", directory)
    try:
        _helped(["-u", *(["-z"] if lazy else []), "--", directory], directory)
    except OSError as error:
        if error.errno == errno.EBUSY:
            text = "somebody is using it (--lazy unmounts it all the same)"
            raise OSError(errno.EBUSY, text, directory) from None
        raise


def _helped(words: Sequence[str], directory: str, line: socket.socket | None = None) -> None:
    helper = shutil.which(HELPER)
    if helper is None:
        raise FileNotFoundError(errno.ENOENT, "not installed (Debian: fuse3)", HELPER)
    environment = dict(os.environ, LC_ALL="C")
    passed: tuple[int, ...] = ()
    if line is not None:
        environment["_FUSE_COMMFD"] = str(line.fileno())
        passed = (line.fileno(),)
    done = subprocess.run(
        [HELPER, *words],
        executable=helper,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
        pass_fds=passed,
    )
    if done.returncode:
        raise _complaint(done.stderr.decode("utf-8", "replace"), directory)


def _complaint(text: str, directory: str) -> OSError:
    """What the helper's words come to."""
    lines = [line.removeprefix(f"{HELPER}: ") for line in text.splitlines() if line.strip()]
    said = lines[-1] if lines else f"{HELPER} failed"
    for number in (errno.EBUSY, errno.EPERM, errno.EACCES, errno.ENOENT, errno.ENOTCONN):
        if said.endswith(os.strerror(number)):
            return OSError(number, said, directory)
    return OSError(errno.EPERM, said, directory)


def abort(there: MountPoint) -> None:
    """Have every request of a mount's connection end with an error, answered or not.

    By the connection's file, where the kernel's directory of these is mounted, or else by force,
    which the superuser may use. Does nothing where neither can be done.
    """
    major, minor = there.device
    try:
        (_CONNECTIONS / str(major << 20 | minor) / "abort").write_bytes(b"1")
    except OSError:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.umount2(there.directory, _MNT_FORCE | _MNT_DETACH):
            log.warning("%s: %s", os.fsdecode(there.directory), os.strerror(ctypes.get_errno()))
