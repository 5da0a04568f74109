"""Requests that cannot be answered at once: memory, disks, signals; and what is durable when."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fuse import protocol as p
from fuse import session
from fuse.protocol import Opcode
from fuse.session import TRIES, Options
from store.errors import Busy, NoSpace, StorageFailure, StoreError
from store.store import Store
from store.types import Quota
from tests.fuse.kernel import Failed, Kernel, write_body
from tests.nfs.gateway import gateway

CREATE = p.CREATE_IN.pack(0, 0o100644, 0, 0)


class Trouble:
    """A store that refuses changes that take room, as where memory or the disk is full."""

    def __init__(self, store: Store, patch: pytest.MonkeyPatch) -> None:
        self._store, self._patch = store, patch

    def refuse(self, error: StoreError, times: int = 10**9) -> None:
        """Refuse so many changes."""
        left = [times]
        admit = self._store.engine.admit

        def refusing(data_bytes: int) -> None:
            if left[0]:
                left[0] -= 1
                raise error
            admit(data_bytes)

        self._patch.setattr(self._store.engine, "admit", refusing)

    def end(self) -> None:
        self._patch.undo()


@pytest.fixture
def trouble(store: Store, monkeypatch: pytest.MonkeyPatch) -> Trouble:
    return Trouble(store, monkeypatch)


@pytest.fixture
def waiting(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """Those who wait for room in memory."""
    found: list[Callable[[], None]] = []
    monkeypatch.setattr(kernel.waiting, "when_room", found.append)
    return found


def interrupt(kernel: Kernel, unique: int) -> None:
    message = kernel.request(Opcode.INTERRUPT, p.INTERRUPT_IN.pack(unique), 0)
    assert kernel.send(message) not in kernel.replies


def failed(kernel: Kernel, unique: int) -> int:
    """The error that a request was answered with."""
    with pytest.raises(Failed) as caught:
        kernel.reply(unique)
    return caught.value.errno


# --- memory ---------------------------------------------------------------------------------------


def test_full_memory_is_waited_for(kernel: Kernel, trouble: Trouble) -> None:
    trouble.refuse(Busy("full"), times=5)
    node = kernel.create(b"file").nodeid
    assert kernel.waiting.rooms == 5
    kernel.write(node, b"data")
    assert kernel.read(node) == b"data"


def test_memory_that_stays_full_is_an_error(kernel: Kernel, trouble: Trouble) -> None:
    trouble.refuse(Busy("full"))
    kernel.fails(errno.EIO, Opcode.CREATE, CREATE + b"file\0")
    assert kernel.waiting.rooms == TRIES - 1
    trouble.end()
    assert kernel.create(b"file").nodeid


def test_who_waits_for_memory_can_be_interrupted(
    kernel: Kernel, trouble: Trouble, waiting: list[Callable[[], None]]
) -> None:
    trouble.refuse(Busy("full"))
    first = kernel.send(kernel.request(Opcode.CREATE, CREATE + b"first\0"))
    second = kernel.send(kernel.request(Opcode.CREATE, CREATE + b"second\0"))
    assert kernel.session.waits
    assert not kernel.replies
    interrupt(kernel, first)
    assert failed(kernel, first) == errno.EINTR
    interrupt(kernel, first)
    assert not kernel.replies
    trouble.end()
    for then in waiting:
        then()
    kernel.reply(second)
    assert not kernel.replies
    assert not kernel.session.waits
    assert kernel.lookup(b"first").nodeid == 0


def test_a_signal_for_what_does_not_wait(kernel: Kernel) -> None:
    unique = kernel.send(kernel.request(Opcode.GETATTR, bytes(16)))
    kernel.reply(unique)
    for number in (unique, 0, 1 << 63):
        interrupt(kernel, number)
    assert not kernel.replies


def test_only_so_much_waits(
    kernel: Kernel,
    trouble: Trouble,
    waiting: list[Callable[[], None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Then no more requests are to be read."""
    monkeypatch.setattr(session, "PARKED_BYTES_MAX", 10_000)
    node = kernel.create(b"file").nodeid
    trouble.refuse(Busy("full"), times=3)
    for number in range(3):
        assert not kernel.session.is_full
        kernel.send(kernel.request(Opcode.WRITE, write_body(bytes(4_000), number * 4_000), node))
    assert kernel.session.is_full
    for then in waiting:
        then()
    assert not kernel.session.is_full
    assert len(kernel.replies) == 3


def test_the_end_of_a_mount_ends_waiting(
    store: Store, trouble: Trouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = Kernel(store)
    found: list[Callable[[], None]] = []
    monkeypatch.setattr(kernel.waiting, "when_room", found.append)
    trouble.refuse(Busy("full"))
    kernel.send(kernel.request(Opcode.CREATE, CREATE + b"file\0"))
    kernel.close()
    trouble.end()
    for then in found:
        then()
    assert not kernel.replies
    assert store.tree("main").resolve(b"/").size == 0


# --- disks ----------------------------------------------------------------------------------------


def test_a_full_disk(kernel: Kernel, trouble: Trouble) -> None:
    node = kernel.create(b"file").nodeid
    kernel.write(node, b"data")
    trouble.refuse(NoSpace("full"))
    kernel.fails(errno.ENOSPC, Opcode.CREATE, CREATE + b"more\0")
    kernel.fails(errno.ENOSPC, Opcode.WRITE, write_body(b"x"), node)
    assert kernel.read(node) == b"data"
    assert kernel.lookup(b"more").nodeid == 0
    trouble.end()
    kernel.write(node, b"more", 4)


def test_a_quota(kernel: Kernel, store: Store) -> None:
    store.set_quota("main", Quota(bytes_max=8192, inodes_max=2))
    node = kernel.create(b"file").nodeid
    kernel.write(node, bytes(8192))
    kernel.fails(errno.EDQUOT, Opcode.WRITE, write_body(b"x", 8192), node)
    kernel.fails(errno.EDQUOT, Opcode.CREATE, CREATE + b"more\0")


@pytest.mark.parametrize(
    ("error", "number"), [(NoSpace("full"), errno.ENOSPC), (StorageFailure("disk"), errno.EIO)]
)
def test_a_flush_that_fails(kernel: Kernel, error: StoreError, number: int) -> None:
    node = kernel.create(b"file").nodeid
    kernel.waiting.failing = error
    for opcode in (Opcode.FSYNC, Opcode.FSYNCDIR, Opcode.SYNCFS):
        kernel.fails(number, opcode, bytes(16), node)
    kernel.waiting.failing = None
    kernel.fsync(node)


def test_what_is_synced_is_durable(kernel: Kernel, store: Store, tmp_path: Path) -> None:
    """In a copy of the disk as it is then; what came later need not be."""
    node = kernel.create(b"file").nodeid
    kernel.write(node, b"data")
    kernel.fsync(node)
    kernel.create(b"later")
    shutil.copytree(store.engine.path, tmp_path / "copy")
    with Store.open(tmp_path / "copy") as crashed:
        tree = crashed.tree("main")
        assert tree.resolve(b"/file").size == 4


def test_a_sync_waits_for_the_disk(kernel: Kernel) -> None:
    kernel.waiting.held = []
    first, second = (
        kernel.send(kernel.request(opcode, bytes(16))) for opcode in (Opcode.FSYNC, Opcode.FSYNCDIR)
    )
    assert not kernel.replies
    interrupt(kernel, first)
    assert failed(kernel, first) == errno.EINTR
    kernel.waiting.release()
    assert kernel.reply(second) == b""
    assert not kernel.replies


@pytest.fixture
def synced(store: Store) -> Iterator[Kernel]:
    """A mount with `-o sync`."""
    made = Kernel(store, Options(sync=True))
    yield made
    made.close()


def test_on_a_sync_mount_each_change_is_durable_when_it_is_answered(synced: Kernel) -> None:
    def flushes(call: Callable[[], object]) -> int:
        before = synced.waiting.flushes
        call()
        return synced.waiting.flushes - before

    node = synced.create(b"file").nodeid
    assert synced.waiting.flushes == 1
    assert flushes(lambda: synced.write(node, b"data")) == 1
    assert flushes(lambda: synced.mkdir(b"d")) == 1
    assert flushes(lambda: synced.rmdir(b"d")) == 1
    assert flushes(lambda: synced.read(node)) == 0
    assert flushes(lambda: synced.lookup(b"file")) == 0
    assert flushes(lambda: synced.getattr(node)) == 0


def test_a_sync_mount_waits(synced: Kernel) -> None:
    synced.waiting.held = []
    unique = synced.send(synced.request(Opcode.CREATE, CREATE + b"file\0"))
    assert not synced.replies
    assert synced.lookup(b"file").nodeid, "others see it before that"
    synced.waiting.release()
    assert synced.reply(unique)


def test_a_sync_mount_says_that_it_could_not_be_stored(synced: Kernel) -> None:
    synced.waiting.failing = NoSpace("full")
    synced.fails(errno.ENOSPC, Opcode.CREATE, CREATE + b"file\0")
    synced.waiting.failing = None
    assert synced.lookup(b"file").nodeid


def test_data_is_read_from_the_disk_beside_other_work(monkeypatch: pytest.MonkeyPatch) -> None:
    with gateway() as gw:
        kernel = Kernel(gw.store)
        node = kernel.create(b"file").nodeid
        kernel.write(node, bytes(range(256)) * 100)
        kernel.close()
        gw.store.settle()
        gw.restart()
        kernel = Kernel(gw.store)
        node = kernel.lookup(b"file").nodeid
        held: list[tuple[Callable[[], None], Callable[[], None]]] = []
        monkeypatch.setattr(kernel.waiting, "elsewhere", lambda *work: held.append(work))
        unique = kernel.send(
            kernel.request(Opcode.READ, p.READ_IN.pack(0, 100, 20_000, 0, 0, 0, 0), node)
        )
        assert not kernel.replies
        assert kernel.getattr(node).size == 25_600
        ((run, then),) = held
        run()
        then()
        assert kernel.reply(unique) == (bytes(range(256)) * 100)[100:20_100]
        kernel.close()


# --- read-only ------------------------------------------------------------------------------------


def test_a_read_only_mount(kernel: Kernel, store: Store) -> None:
    node = kernel.create(b"file").nodeid
    kernel.write(node, b"data")
    readers = Kernel(store, Options(read_only=True), beside=kernel, snapshot_admin=False)
    assert readers.read(readers.lookup(b"file").nodeid) == b"data"
    for opcode, body, of in (
        (Opcode.CREATE, CREATE + b"new\0", 1),
        (Opcode.MKDIR, p.MKDIR_IN.pack(0, 0) + b"new\0", 1),
        (Opcode.MKNOD, p.MKNOD_IN.pack(0o10644, 0, 0, 0) + b"new\0", 1),
        (Opcode.SYMLINK, b"new\0target\0", 1),
        (Opcode.LINK, p.LINK_IN.pack(node) + b"new\0", 1),
        (Opcode.UNLINK, b"file\0", 1),
        (Opcode.RMDIR, b"file\0", 1),
        (Opcode.RENAME, p.RENAME_IN.pack(1) + b"file\0new\0", 1),
        (Opcode.RENAME2, p.RENAME2_IN.pack(1, 0, 0) + b"file\0new\0", 1),
        (Opcode.WRITE, write_body(b"x"), node),
        (Opcode.SETATTR, p.SETATTR_IN.pack(1, *[0] * 15), node),
        (Opcode.SETXATTR, p.SETXATTR_IN.pack(0, 0) + b"user.a\0", node),
        (Opcode.REMOVEXATTR, b"user.a\0", node),
    ):
        readers.fails(errno.EROFS, opcode, body, of)
    readers.close()
    assert kernel.read(node) == b"data"
