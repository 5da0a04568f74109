"""The store's directory on disk: what makes it a store, whose it is, and who has it open.

fsgw-store   one JSON object: format, id, replica, block_bytes; written once
lock         flock(2)ed by the process that has the store open, whose number it holds
meta/        the LMDB environment
packs/       object files
journal/     the write-ahead journal
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from pathlib import Path
from typing import NamedTuple

from store import disk
from store.database import Database
from store.errors import (
    AlreadyOpen,
    Exists,
    InvalidArgument,
    NotAStore,
    StorageFailure,
    WrongVersion,
)
from store.types import BLOCK_BYTES_DEFAULT, PAGE_BYTES

FORMAT_VERSION = 1
MARKER = "fsgw-store"
META, PACKS, JOURNAL, LOCK = "meta", "packs", "journal", "lock"

BLOCK_BYTES_MIN, BLOCK_BYTES_MAX = PAGE_BYTES, 16 * 1024 * 1024
REPLICA_MAX = 2**13 - 1


class Identity(NamedTuple):
    """What is fixed when a store is made."""

    id: bytes  # 16 random bytes
    replica: int  # top 13 bits of the inode numbers made here
    block_bytes: int


def create(path: Path, block_bytes: int = BLOCK_BYTES_DEFAULT, replica: int | None = None) -> None:
    """Make the directories and the marker of a new store; the marker comes last.

    Raises InvalidArgument, Exists for a directory with anything in it, StorageFailure, NoSpace.
    """
    if replica is None:
        replica = 1 + secrets.randbelow(REPLICA_MAX)
    found = Identity(secrets.token_bytes(16), replica, block_bytes)
    _verify(found)
    try:
        path.mkdir(parents=True, exist_ok=True)
        if any(path.iterdir()):
            raise Exists(f"{path} is not empty")
        for name in (META, PACKS, JOURNAL):
            (path / name).mkdir()
        # The first open must find all of it: a power cut may take what was not synced.
        Database(path / META).close(compact=False)
        disk.sync_directory(str(path / META))
        disk.sync_directory(str(path))
        marker = {
            "format": FORMAT_VERSION,
            "id": found.id.hex(),
            "replica": replica,
            "block_bytes": block_bytes,
        }
        _write_durably(path / MARKER, json.dumps(marker, indent=1) + "\n")
        disk.sync_directory(str(path.absolute().parent))
    except OSError as error:
        raise disk.failure(error, str(path)) from error


def _verify(identity: Identity) -> None:
    """Raise InvalidArgument for members out of range, TypeError for those that are no numbers."""
    number, replica, block_bytes = identity
    power_of_two = block_bytes & (block_bytes - 1) == 0
    if not (power_of_two and BLOCK_BYTES_MIN <= block_bytes <= BLOCK_BYTES_MAX):
        raise InvalidArgument(f"block size {block_bytes}: a power of two from 4 KiB to 16 MiB")
    if not 1 <= replica <= REPLICA_MAX:
        raise InvalidArgument(f"replica id {replica}: 1 to {REPLICA_MAX}")
    if len(number) != 16:
        raise InvalidArgument(f"a store id of {len(number)} bytes")


def _write_durably(path: Path, text: str) -> None:
    draft = path.with_name(path.name + ".new")
    with open(draft, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.rename(draft, path)
    disk.sync_directory(str(path.parent))


def identity(path: Path) -> Identity:
    """Read a store's marker. Raises NotAStore, WrongVersion, StorageFailure."""
    try:
        text = (path / MARKER).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise NotAStore(f"{path} is not an fsgw store") from None
    except OSError as error:
        raise StorageFailure(f"{path}: {error.strerror}") from error
    try:
        marker = json.loads(text)
        version = marker["format"]
        if version != FORMAT_VERSION:
            raise WrongVersion(
                f"{path} has store format {version}; this program knows {FORMAT_VERSION}"
            )
        found = Identity(bytes.fromhex(marker["id"]), marker["replica"], marker["block_bytes"])
        _verify(found)
        return found
    except (ValueError, KeyError, TypeError, InvalidArgument):
        raise NotAStore(f"{path / MARKER} is not a store's marker") from None


class Lock:
    """Exclusive use of a store's directory, given up by `close` or the process's end."""

    def __init__(self, path: Path) -> None:
        """Raises AlreadyOpen, StorageFailure."""
        try:
            self._fd = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise disk.failure(error, str(path)) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._fd, 20, 0).decode("ascii", "replace").strip()
            os.close(self._fd)
            which = f"process {holder}" if holder.isdecimal() else "another process"
            raise AlreadyOpen(f"{path} is open in {which}") from None
        self._say_who()

    def _say_who(self) -> None:
        """Put this process's number into the file, for the errors of others."""
        try:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, b"%d\n" % os.getpid(), 0)
        except OSError:
            pass  # on a full disk, say: the lock holds all the same

    def close(self) -> None:
        """Let another process open the store."""
        os.close(self._fd)
