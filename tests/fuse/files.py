"""What the files of an exerciser's directory have to be, and what is open of them."""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from tests.fuse.doors import Door, Handle, MountDoor


class File:
    """What a file has to be. `key` stands for its inode: the same in every snapshot of it."""

    def __init__(self, key: int, data: bytes = b"") -> None:
        self.key = key
        self.data = bytearray(data)

    def write(self, offset: int, data: bytes) -> None:
        self.resize(max(len(self.data), offset))
        self.data[offset : offset + len(data)] = data

    def resize(self, size: int) -> None:
        del self.data[size:]
        self.data += bytes(size - len(self.data))


Files = dict[str, File]


def copied(files: Files) -> Files:
    """A copy that shares nothing."""
    return {name: File(file.key, bytes(file.data)) for name, file in files.items()}


class Open(NamedTuple):
    """A handle, and what it must show."""

    door: MountDoor
    handle: Handle
    file: File
    number: int


class History(ABC):
    """The administrator of the branch that the doors lead to."""

    @abstractmethod
    def snapshot(self, name: str) -> None: ...

    @abstractmethod
    def delete(self, name: str) -> None:
        """Delete a snapshot."""

    @abstractmethod
    def rollback(self, name: str) -> str:
        """Go back to a snapshot: the name of the one that keeps what was discarded."""

    @abstractmethod
    def fork(self, snapshot: str | None) -> Sequence[Door]:
        """Fork the branch, or a snapshot of it: doors of the new one."""

    @abstractmethod
    def drop(self) -> None:
        """Delete the fork."""


def difference(found: bytes, wanted: bytes | bytearray) -> str:
    """Where two contents differ."""
    if len(found) != len(wanted):
        return f"{len(found)} bytes where {len(wanted)} are due"
    wrong = [at for at, (one, other) in enumerate(zip(found, wanted, strict=True)) if one != other]
    return (
        f"{len(wrong)} bytes differ from {wrong[0]} to {wrong[-1]}: "
        f"{found[wrong[0] : wrong[0] + 8].hex()} where "
        f"{bytes(wanted[wrong[0] : wrong[0] + 8]).hex()} is due"
    )


def expect(found: bytes, wanted: bytes | bytearray, where: str) -> None:
    """Every byte is as it must be."""
    assert found == wanted, f"{where}: {difference(found, wanted)}"


def expect_stale(handle: Handle) -> None:
    """A handle of what a rollback took away says so, whatever is asked of it."""
    for what, call in (("fstat", handle.size), ("read", lambda: handle.read(1, 0))):
        try:
            call()
        except OSError as error:
            assert error.errno == errno.ESTALE, f"{what} of a stale handle: {error}"
        else:
            raise AssertionError(f"{what} of a stale handle works")
    try:
        handle.close()
    except OSError as error:
        assert error.errno == errno.ESTALE, f"close of a stale handle: {error}"
