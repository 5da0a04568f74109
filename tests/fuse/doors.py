"""A few files of a branch as they are reached through a mount, and as NFS calls reach them.

Paths are relative, of names that stand for themselves. A door chooses at random among ways that
must be the same, such as to read in one piece, in several, or from mapped memory.
"""

from __future__ import annotations

import mmap
import os
import random
from abc import ABC, abstractmethod
from pathlib import Path

from nfs.nfs3_types import createmode3, ftype3, nfsstat3, stable_how
from tests.fuse.wire import WireClient
from tests.nfs.client import sattr

PIECE_BYTES_MIN = 3_000


class Handle:
    """An open file of a mount; its bytes, as many as it had at the time, are mapped as well."""

    def __init__(self, path: Path, *, append: bool) -> None:
        self.append = append
        self._fd = os.open(path, os.O_RDWR | (os.O_APPEND if append else 0))
        self._map: mmap.mmap | None = None
        self.map()

    def map(self) -> None:
        """Map what the file has now, in place of what was mapped."""
        self.unmap()
        if size := self.size():
            self._map = mmap.mmap(self._fd, size)

    def unmap(self) -> None:
        """Map nothing."""
        if self._map is not None:
            self._map.close()
        self._map = None

    def mapped(self, size: int) -> int:
        """How many bytes may be touched in memory while the file has `size`: no more, or SIGBUS."""
        # The kernel has to have heard of the size, which only this asks for.
        assert self.size() == size, f"{self.size()} bytes by fstat, not {size}"
        return min(size, len(self._map)) if self._map is not None else 0

    def mapped_bytes(self, start: int, end: int) -> bytes:
        """What is in memory."""
        return self._map[start:end] if self._map is not None else b""

    def change_mapped(self, offset: int, data: bytes) -> None:
        """Write by memory, and wait until the file has it."""
        assert self._map is not None
        self._map[offset : offset + len(data)] = data
        self._map.flush()

    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def read(self, count: int, offset: int) -> bytes:
        return os.pread(self._fd, count, offset)

    def write(self, data: bytes, offset: int) -> None:
        """Write at the offset; at the end, whatever the offset, to a file that is appended to."""
        done = os.write(self._fd, data) if self.append else os.pwrite(self._fd, data, offset)
        assert done == len(data), f"short write: {done} of {len(data)} bytes"

    def truncate(self, size: int) -> None:
        os.ftruncate(self._fd, size)

    def sync(self) -> None:
        os.fsync(self._fd)

    def close(self) -> None:
        self.unmap()
        os.close(self._fd)


class Door(ABC):
    """One way to a directory's files."""

    def __init__(self, name: str, rng: random.Random) -> None:
        self.name = name
        self.rng = rng

    @abstractmethod
    def below(self, path: str) -> Door:
        """The same way to a directory in it."""

    @abstractmethod
    def names(self, path: str = ".") -> set[str]: ...

    @abstractmethod
    def exists(self, path: str) -> bool: ...

    @abstractmethod
    def create(self, path: str) -> None:
        """Make an empty file, of a name that is free."""

    @abstractmethod
    def mkdir(self, path: str) -> None: ...

    @abstractmethod
    def remove(self, path: str) -> None: ...

    @abstractmethod
    def rename(self, old: str, new: str) -> None: ...

    @abstractmethod
    def size(self, path: str) -> int: ...

    @abstractmethod
    def read(self, path: str) -> bytes: ...

    @abstractmethod
    def write(self, path: str, offset: int, data: bytes) -> None: ...

    @abstractmethod
    def truncate(self, path: str, size: int) -> None: ...

    def piece_bytes(self) -> int:
        """How much to ask for at once, to get a whole file."""
        return self.rng.choice((PIECE_BYTES_MIN, 65_536, 1 << 20))


class MountDoor(Door):
    """A directory that the kernel knows."""

    def __init__(self, name: str, rng: random.Random, root: Path) -> None:
        super().__init__(name, rng)
        self.root = root

    def below(self, path: str) -> MountDoor:
        return MountDoor(f"{self.name}/{path}", self.rng, self.root / path)

    def names(self, path: str = ".") -> set[str]:
        return set(os.listdir(self.root / path))

    def exists(self, path: str) -> bool:
        return os.path.lexists(self.root / path)

    def create(self, path: str) -> None:
        os.close(os.open(self.root / path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))

    def mkdir(self, path: str) -> None:
        os.mkdir(self.root / path)

    def remove(self, path: str) -> None:
        os.unlink(self.root / path)

    def rename(self, old: str, new: str) -> None:
        os.rename(self.root / old, self.root / new)

    def size(self, path: str) -> int:
        return os.lstat(self.root / path).st_size

    def read(self, path: str) -> bytes:
        fd = os.open(self.root / path, os.O_RDONLY)
        try:
            size = os.fstat(fd).st_size
            if size and not self.rng.randrange(4):
                with mmap.mmap(fd, size, prot=mmap.PROT_READ) as mapped:
                    return mapped[:]
            at_once, pieces = self.piece_bytes(), []
            while piece := os.read(fd, at_once):
                pieces.append(piece)
            return b"".join(pieces)
        finally:
            os.close(fd)

    def write(self, path: str, offset: int, data: bytes) -> None:
        fd = os.open(self.root / path, os.O_WRONLY)
        try:
            assert os.pwrite(fd, data, offset) == len(data)
        finally:
            os.close(fd)

    def truncate(self, path: str, size: int) -> None:
        os.truncate(self.root / path, size)

    def sync(self, path: str) -> None:
        """fsync(2) of a file by its name."""
        fd = os.open(self.root / path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def open(self, path: str, *, append: bool) -> Handle:
        """Open a file for good."""
        return Handle(self.root / path, append=append)


class NfsDoor(Door):
    """NFS calls, on what a handle of theirs names."""

    def __init__(self, name: str, rng: random.Random, client: WireClient, root: bytes) -> None:
        super().__init__(name, rng)
        self._client = client
        self._root = root

    def handle(self, path: str) -> bytes:
        """The handle at the end of a path."""
        names = [os.fsencode(name) for name in path.split("/") if name != "."]
        return self._client.find(self._root, *names)

    def _place(self, path: str) -> tuple[bytes, bytes]:
        directory, _, name = path.rpartition("/")
        return self.handle(directory or "."), os.fsencode(name)

    def below(self, path: str) -> NfsDoor:
        return NfsDoor(f"{self.name}/{path}", self.rng, self._client, self.handle(path))

    def names(self, path: str = ".") -> set[str]:
        found = self._client.names(self.handle(path))
        assert len(set(found)) == len(found), "a name was listed twice"
        return set(map(os.fsdecode, found)) - {".", ".."}

    def exists(self, path: str) -> bool:
        status = self._client.lookup(*self._place(path)).status
        assert status in (nfsstat3.OK, nfsstat3.NOENT), nfsstat3(status).name
        return status == nfsstat3.OK

    def create(self, path: str) -> None:
        if self.rng.randrange(2):
            self._client.create_exclusive(*self._place(path), self.rng.randbytes(8)).ok()
        else:
            self._client.create(*self._place(path), sattr(mode=0o644), createmode3.GUARDED).ok()

    def mkdir(self, path: str) -> None:
        self._client.mkdir(*self._place(path)).ok()

    def remove(self, path: str) -> None:
        self._client.remove(*self._place(path)).ok()

    def rename(self, old: str, new: str) -> None:
        self._client.rename(*self._place(old), *self._place(new)).ok()

    def size(self, path: str) -> int:
        found = self._client.getattr(self.handle(path)).ok().obj_attributes
        assert found.type == ftype3.REG
        return int(found.size)

    def read(self, path: str) -> bytes:
        file, at_once = self.handle(path), self.piece_bytes()
        data = bytearray()
        while True:
            piece = self._client.read(file, len(data), at_once).ok()
            data += piece.data
            if piece.eof:
                return bytes(data)
            assert piece.data, "neither data nor the end"

    def write(self, path: str, offset: int, data: bytes) -> None:
        file, stable = self.handle(path), self.rng.choice(list(stable_how))
        answer = self._client.write(file, offset, data, stable).ok()
        assert answer.count_ == len(data), f"short write: {answer.count_} of {len(data)} bytes"
        assert answer.committed >= stable
        if answer.committed == stable_how.UNSTABLE and self.rng.randrange(2):
            assert self._client.commit(file).ok().verf == answer.verf

    def truncate(self, path: str, size: int) -> None:
        self._client.setattr(self.handle(path), sattr(size=size)).ok()
