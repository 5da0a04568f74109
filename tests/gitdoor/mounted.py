"""Gateways whose branches are mounted, or asked for by NFS, for tests of `.git`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fuse.conftest import served
from tests.fuse.mounting import Mounts
from tests.fuse.wire import WireClient
from tests.gitdoor.repositories import Git
from tests.system.gateway import Gateway

# The option of a mount that git may write to.
WRITE = "git_write"


class Scene:
    """A gateway with a branch `main`, and mounts of it."""

    def __init__(self, gateway: Gateway, mounts: Mounts, room: Path) -> None:
        self.gateway, self.mounts, self.room = gateway, mounts, room

    def bring_in(self, git: Git) -> None:
        """Import a repository's history."""
        self.gateway.fsgw("import", "--git", git.path)

    def mount(self, what: str = "main", *options: str) -> Git:
        """Mount a branch, and be in it."""
        return Git(self.mounts.mount(what, *options))

    def snapshot(self, name: str, message: str = "", branch: str = "main") -> None:
        """Take one."""
        words = ["--name", name, "-m", message]
        self.gateway.fsgw("snapshot", "create", branch, *words)

    def fetched(self, what: str = "/main", to: str = "fetched") -> Git:
        """All that `.git` has, as NFS calls read it, in a directory of its own."""
        target = self.room / to
        with WireClient(self.gateway.port) as client:
            root = client.mount(what)
            _copy(client, client.find(root, b".git"), target / ".git")
        return Git(target)


def _copy(client: WireClient, directory: bytes, target: Path) -> None:
    target.mkdir(parents=True)
    names = client.names(directory)
    assert len(set(names)) == len(names)
    for name in names:
        if name in (b".", b".."):
            continue
        found = client.lookup(directory, name).ok()
        inode = client.getattr(found.object).ok().obj_attributes
        path = target / name.decode()
        if inode.type == 2:
            _copy(client, found.object, path)
            continue
        data, eof = bytearray(), False
        while not eof:
            piece = client.read(found.object, len(data)).ok()
            data += piece.data
            eof = piece.eof
        assert len(data) == inode.size
        path.write_bytes(data)


@contextmanager
def scene(room: Path) -> Iterator[Scene]:
    """A gateway with an empty branch; at the end its store is whole."""
    with served(room) as gateway:
        mounts = Mounts(gateway, room)
        try:
            yield Scene(gateway, mounts, room)
        finally:
            mounts.close()
