"""What a door shows of a directory, in full, so that two doors can be held to each other.

A mount is looked at by path, by fresh reads and mappings, and through whatever was open before a
change was made: files, mapped memory, directories, the place where a process stands.
"""

from __future__ import annotations

import errno
import mmap
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Self

from nfs.nfs3_types import fattr3, ftype3, nfstime3
from tests.fuse.nfsfs import NfsFs
from tests.fuse.trees import TYPES


class Seen(NamedTuple):
    """What stat(2) tells of a file, as far as NFS tells the same."""

    ino: int
    mode: int
    nlink: int
    uid: int
    gid: int
    size: int
    blocks: int
    device: tuple[int, int]
    atime_ns: int
    mtime_ns: int
    ctime_ns: int


# Data, where a link points, or the names in a directory.
Content = bytes | str | tuple[str, ...]
# By path from the directory looked at, which is "".
View = dict[str, tuple[Seen, Content]]


def of_stat(found: os.stat_result) -> Seen:
    """What a stat(2) answered."""
    return Seen(
        found.st_ino,
        found.st_mode,
        found.st_nlink,
        found.st_uid,
        found.st_gid,
        found.st_size,
        found.st_blocks,
        (os.major(found.st_rdev), os.minor(found.st_rdev)),
        found.st_atime_ns,
        found.st_mtime_ns,
        found.st_ctime_ns,
    )


def of_nfs(found: fattr3) -> Seen:
    """What a GETATTR answered."""
    return Seen(
        found.fileid,
        TYPES[ftype3(found.type)] | found.mode,
        found.nlink,
        found.uid,
        found.gid,
        found.size,
        found.used // 512,
        (found.rdev.specdata1, found.rdev.specdata2),
        _ns(found.atime),
        _ns(found.mtime),
        _ns(found.ctime),
    )


def _ns(time: nfstime3) -> int:
    return time.seconds * 10**9 + time.nseconds


def by_nfs(fs: NfsFs, path: str = "") -> View:
    """Everything below a directory, over NFS."""
    return dict(_called(fs, path))


def _called(fs: NfsFs, path: str) -> Iterator[tuple[str, tuple[Seen, Content]]]:
    found = of_nfs(fs.stat(path))
    content: Content = b""
    if stat.S_ISREG(found.mode):
        content = fs.read(path)
    elif stat.S_ISLNK(found.mode):
        content = fs.readlink(path)
    elif stat.S_ISDIR(found.mode):
        content = tuple(sorted(fs.names(path)))
        for name in content:
            yield from _called(fs, f"{path}/{name}" if path else name)
    yield path, (found, content)


def by_mount(root: Path, path: str = "") -> View:
    """The same through a mount; what is read must be what is mapped."""
    return dict(_looked_at(root, path))


def _looked_at(root: Path, path: str) -> Iterator[tuple[str, tuple[Seen, Content]]]:
    where = root / path
    found = of_stat(os.lstat(where))
    content: Content = b""
    if stat.S_ISREG(found.mode):
        with open(where, "rb") as file:
            content = file.read()
            if content:
                with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
                    assert mapped[:] == content, f"{path} is mapped as something else"
    elif stat.S_ISLNK(found.mode):
        content = os.readlink(where)
    elif stat.S_ISDIR(found.mode):
        content = tuple(sorted(os.listdir(where)))
        for name in content:
            yield from _looked_at(root, f"{path}/{name}" if path else name)
    yield path, (found, content)


def differences(shown: View, truth: View) -> list[str]:
    """What is shown otherwise than it is."""
    return [
        f"{path or '.'}: shows {_brief(shown.get(path))}\n  but is {_brief(truth.get(path))}"
        for path in sorted(shown.keys() | truth.keys())
        if shown.get(path) != truth.get(path)
    ]


def _brief(one: tuple[Seen, Content] | None) -> str:
    if one is None:
        return "nothing"
    text = repr(one[1])
    return f"{one[0]} {text if len(text) < 80 else text[:60] + f'... {hash(text):x}'}"


class Held:
    """What a user of a mount has open below a directory, from now on; a context manager."""

    def __init__(self, root: Path) -> None:
        self._files: dict[str, tuple[int, mmap.mmap | None]] = {}
        self._directories: dict[str, int] = {}
        self._inos: dict[str, int] = {}
        self._data: dict[str, bytes] = {}
        for path, (seen, content) in by_mount(root).items():
            self._inos[path] = seen.ino
            if stat.S_ISREG(seen.mode):
                fd = os.open(root / path, os.O_RDONLY)
                mapped = mmap.mmap(fd, 0, prot=mmap.PROT_READ) if content else None
                assert isinstance(content, bytes)
                assert mapped is None or mapped[:] == content
                self._files[path], self._data[path] = (fd, mapped), content
            elif stat.S_ISDIR(seen.mode):
                self._directories[path] = os.open(root / path, os.O_RDONLY | os.O_DIRECTORY)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for fd, mapped in self._files.values():
            if mapped is not None:
                mapped.close()
            os.close(fd)
        for fd in self._directories.values():
            os.close(fd)

    def differences(self, truth: View, *, stale: bool) -> list[str]:
        """What the open files and directories show otherwise than it is.

        `stale`: what is gone must be stale; else it was unlinked, and lives on while it is open.
        """
        by_ino = {seen.ino: (seen, content) for seen, content in truth.values()}
        wrong = []
        for path, (fd, mapped) in self._files.items():
            now = by_ino.get(self._inos[path])
            found = _gone(fd) if stale and now is None else self._file(path, fd, mapped, now)
            wrong += [f"{path}, open: {text}" for text in found]
        for path, fd in self._directories.items():
            now = by_ino.get(self._inos[path])
            found = _gone(fd) if stale and now is None else _directory(fd, now)
            wrong += [f"{path or '.'}, open: {text}" for text in found]
        return wrong

    def _file(
        self, path: str, fd: int, mapped: mmap.mmap | None, now: tuple[Seen, Content] | None
    ) -> Iterable[str]:
        found = of_stat(os.fstat(fd))
        content: Content = self._data[path]  # of a file that lives on, although it has no name
        if now is not None:
            content = now[1]
            if found != now[0]:
                yield f"shows {found}\n  but is {now[0]}"
        elif found.nlink:
            yield f"has {found.nlink} names, but is gone"
        assert isinstance(content, bytes)
        if os.pread(fd, len(content) + 1, 0) != content:
            yield "reads as it was"
        if mapped is not None:
            common = min(len(mapped), len(content))
            if mapped[:common] != content[:common]:
                yield "is mapped as it was"


def _directory(fd: int, now: tuple[Seen, Content] | None) -> Iterable[str]:
    found = of_stat(os.fstat(fd))
    if now is None:
        if found.nlink:
            yield f"has {found.nlink} names, but is gone"
        return
    if found != now[0]:
        yield f"shows {found}\n  but is {now[0]}"
    os.lseek(fd, 0, os.SEEK_SET)
    names = tuple(sorted(os.listdir(fd)))
    if names != now[1]:
        yield f"lists {names!r}\n  but has {now[1]!r}"


def _gone(fd: int) -> Iterable[str]:
    for look in (os.fstat, lambda fd: os.pread(fd, 1, 0), os.listdir):
        try:
            found = look(fd)
        except NotADirectoryError:
            pass
        except OSError as error:
            if error.errno not in (errno.ESTALE, errno.EISDIR):
                yield f"fails with {error}, not as stale"
        else:
            yield f"shows {found!r}, but is gone"
