"""The exerciser on a branch: through mounts and NFS at once, with its history moving beneath."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.fuse.admin import Admin
from tests.fuse.doors import Door, MountDoor, NfsDoor
from tests.fuse.exerciser import Exerciser
from tests.fuse.files import History
from tests.fuse.mounting import Mounts
from tests.fuse.wire import WireClient
from tests.system.gateway import Gateway

OPERATIONS = 800
MOUNT_A_FORK_EVERY = 4


class BranchHistory(History):
    """Of `main`."""

    def __init__(self, gateway: Gateway, mounts: Mounts, client: WireClient, rng: random.Random):
        self._admin = Admin(gateway.store / "gateway.sock")
        self._mounts = mounts
        self._client = client
        self._rng = rng
        self._fork_mounts: list[Path] = []

    def snapshot(self, name: str) -> None:
        self._admin.snapshot("main", name)

    def delete(self, name: str) -> None:
        self._admin.delete_snapshot("main", name)

    def rollback(self, name: str) -> str:
        return self._admin.rollback("main", f"main@{name}")

    def fork(self, snapshot: str | None) -> Sequence[Door]:
        self._admin.fork("main" if snapshot is None else f"main@{snapshot}", "fork")
        root = self._client.mount("/fork")
        doors: list[Door] = [NfsDoor("NFS of the fork", self._rng, self._client, root)]
        if not self._rng.randrange(MOUNT_A_FORK_EVERY):
            self._fork_mounts.append(self._mounts.mount("fork"))
            doors.append(MountDoor("mount of the fork", self._rng, self._fork_mounts[-1]))
        return doors

    def drop(self) -> None:
        while self._fork_mounts:
            self._mounts.umount(self._fork_mounts.pop())
        self._admin.delete_branch("fork")


@pytest.fixture
def client(gateway: Gateway) -> Iterator[WireClient]:
    with WireClient(gateway.port) as client:
        yield client


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.parametrize(
    "options",
    [
        pytest.param([()], id="one mount"),
        pytest.param([(), ("sync",)], id="two mounts"),
        pytest.param([("attr_timeout=0,entry_timeout=0",)], id="no caching of attributes"),
        pytest.param([("writeback_cache",)], id="writeback cache"),
    ],
)
def test_every_byte_is_the_same_through_both_doors(
    options: list[tuple[str, ...]],
    gateway: Gateway,
    mounts: Mounts,
    client: WireClient,
    rng: random.Random,
) -> None:
    doors: list[Door] = [
        MountDoor(f"mount {number}", rng, mounts.mount("main", *each))
        for number, each in enumerate(options)
    ]
    doors.append(NfsDoor("NFS", rng, client, client.mount("/main")))
    writeback = ("writeback_cache",) in options
    history = BranchHistory(gateway, mounts, client, rng)
    Exerciser(doors, rng, history=history, writeback=writeback).run(OPERATIONS)
    Admin(gateway.store / "gateway.sock").check()


# --- the exerciser itself ---------------------------------------------------------------------


class Forgetful(MountDoor):
    """Does something wrong when it has been asked to often enough."""

    patience = 10

    def _fails(self) -> bool:
        self.patience -= 1
        return self.patience < 0


class LosesTails(Forgetful):
    """Writes all but the last byte."""

    def write(self, path: str, offset: int, data: bytes) -> None:
        super().write(path, offset, data[:-1] if self._fails() else data)


class KeepsSizes(Forgetful):
    """Does not truncate."""

    def truncate(self, path: str, size: int) -> None:
        if not self._fails():
            super().truncate(path, size)


class KeepsNames(Forgetful):
    """Renames by copying."""

    def rename(self, old: str, new: str) -> None:
        if not self._fails():
            super().rename(old, new)


def test_it_finds_nothing_where_nothing_is_wrong(tmp_path: Path, rng: random.Random) -> None:
    """Twice the same directory: what passes here is right by the kernel's own rules."""
    doors = [MountDoor(name, rng, tmp_path) for name in ("one", "two")]
    exerciser = Exerciser(doors, rng)
    exerciser.run(300)
    assert len(exerciser.log) >= 200


@pytest.mark.parametrize("wrong", [LosesTails, KeepsSizes, KeepsNames])
def test_it_finds_what_is_wrong(wrong: type[Forgetful], tmp_path: Path, rng: random.Random) -> None:
    doors = [wrong("wrong", rng, tmp_path), MountDoor("right", rng, tmp_path)]
    with pytest.raises(AssertionError, match=r"after \d+ operations, the last:\n +\d+ "):
        Exerciser(doors, rng).run(2000)


def test_a_seed_repeats_it(tmp_path: Path) -> None:
    logs = []
    for attempt in ("one", "two"):
        (tmp_path / attempt).mkdir()
        rng = random.Random("a seed")
        exerciser = Exerciser([MountDoor("mount", rng, tmp_path / attempt)], rng)
        exerciser.run(200)
        logs.append(exerciser.log)
    assert logs[0] == logs[1]
