"""The pack of a push, unpacked and checked by stock git in a directory of its own."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from gitdoor.graph import History, Missing
from gitdoor.objects import BadObject
from gitdoor.source import Found, Repository, environment, new_repository
from store import errors
from store.gitrows import BLOB

_ABSENT = re.compile(
    rb"error: object ([0-9a-f]{40}): gitattributesMissing: .*|fatal: fsck error in pack objects"
)


class Unpacked(Exception):
    """The pack was refused: git's own words."""


class Incoming:
    """The objects of a push's pack, and those that the store has. A `source.Source`.

    `absent`: what git wanted to look into as well and did not find in the pack.
    """

    def __init__(self, file: BinaryIO, at: int) -> None:
        """Any thread. Raises Unpacked, InvalidArgument where there is no git."""
        self._folder = tempfile.TemporaryDirectory(prefix="fsgw-push-")
        self.history: History | None = None
        self.absent: list[bytes] = []
        try:
            path = Path(self._folder.name)
            new_repository(path)
            os.lseek(file.fileno(), at, os.SEEK_SET)  # of the descriptor, past Python's buffer
            done = subprocess.run(
                ["git", "-C", str(path), "index-pack", "--stdin", "--fsck-objects"],
                stdin=file,
                capture_output=True,
                check=False,
                env=environment(),
            )
            if done.returncode:
                self.absent = _absent(done.stderr)
            self._repository = Repository(path)
            form = "--batch-check=%(objectname)"
            names = self._repository.run("cat-file", "--batch-all-objects", form).split()
            self.ids = {bytes.fromhex(name.decode()) for name in names}
        except BaseException:
            self._folder.cleanup()
            raise

    def check_absent(self) -> None:
        """Raises NotFound for what is not in the store either. Any thread."""
        for oid in self.absent:
            if self._known(oid)[1] != BLOB:
                raise BadObject(f"{oid.hex()} is no blob")

    def read(self, ids: Sequence[bytes]) -> Iterator[Found]:
        """See `source.Source`."""
        run: list[bytes] = []
        for oid in ids:
            if oid in self.ids:
                run.append(oid)
                continue
            yield from self._repository.read(run)
            run = []
            yield self._known(oid)
        yield from self._repository.read(run)

    def _known(self, oid: bytes) -> Found:
        try:
            if self.history is None:
                raise Missing
            return oid, *self.history.read(oid)
        except Missing:
            raise errors.NotFound(f"missing necessary objects: {oid.hex()}") from None

    def close(self) -> None:
        """Remove the pack."""
        self._repository.close()
        self._folder.cleanup()


def _absent(said: bytes) -> list[bytes]:
    """What git did not find, if that is all that it complains of. Raises Unpacked.

    It looks into the `.gitattributes` of every tree in a pack; those that stay as they are the
    client does not send. It does so last of all, when the pack is in place and found good.
    """
    found = [_ABSENT.fullmatch(line) for line in said.splitlines()]
    if not found or None in found:
        raise Unpacked(said.decode("utf-8", "replace").strip())
    return [bytes.fromhex(match[1].decode()) for match in found if match and match[1]]
