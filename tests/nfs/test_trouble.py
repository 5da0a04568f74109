"""Full disks, quotas, full memory, and disks that fail: the right status, and life goes on."""

from __future__ import annotations

import pytest

from nfs.door import TRIES
from nfs.export import Rule, Squash
from nfs.nfs3_types import diropargs3, nfsstat3, stable_how
from store.errors import Busy, NoSpace, StorageFailure, StoreError
from store.store import Options
from store.types import Quota
from tests.nfs.client import Client, answered, sattr
from tests.nfs.gateway import Gateway, gateway
from tests.nfs.messages import Reply
from tests.nfs.test_rules import CHANGING, Act

changing = pytest.mark.parametrize("act", CHANGING.values(), ids=CHANGING)


@pytest.fixture
def file(root: Client, top: bytes) -> bytes:
    """`f` in a root directory that has an empty `d` and an `l` as well."""
    root.mkdir(top, b"d").ok()
    root.symlink(top, b"l", b"f").ok()
    return root.make(top, b"f", b"data")


# --- the whole file system (RFC 1813 3.3.18 to 3.3.20) ------------------------------------------


def test_fsstat_works_on_any_handle_and_shows_the_quota(
    gw: Gateway, root: Client, top: bytes, file: bytes
) -> None:
    gw.store.set_quota("main", Quota(bytes_max=1 << 20, inodes_max=10))
    handles = [top, file, root.find(top, b"d"), root.find(top, b"l")]
    for handle in handles:
        found = root.fsstat(handle).ok()
        assert found.obj_attributes == root.getattr(handle).ok().obj_attributes
        assert (found.tbytes, found.fbytes, found.abytes) == (
            1 << 20,
            (1 << 20) - 4096,
            (1 << 20) - 4096,
        )
        assert (found.tfiles, found.ffiles, found.afiles) == (10, 6, 6)
        assert found.invarsec == 0


def test_fsstat_without_a_quota_shows_the_disk(root: Client, top: bytes) -> None:
    found = root.fsstat(top).ok()
    assert 0 < found.abytes <= found.fbytes <= found.tbytes < 2**63
    assert 0 < found.afiles <= found.ffiles <= found.tfiles < 2**63


def test_fsinfo_tells_what_holds(root: Client, top: bytes, file: bytes) -> None:
    found = root.fsinfo(top).ok()
    assert found.rtmax == found.rtpref == found.wtmax == found.wtpref == 1 << 20
    assert found.rtpref >= 512 and found.rtpref % found.rtmult == 0
    assert found.wtpref >= 512 and found.wtpref % found.wtmult == 0
    assert found.dtpref >= 512
    assert found.time_delta == (0, 1)
    assert found.maxfilesize == 2**63 - 1
    root.setattr(file, sattr(size=found.maxfilesize)).ok()
    assert root.setattr(file, sattr(size=found.maxfilesize + 1)).status == nfsstat3.FBIG


def test_pathconf_tells_what_holds(root: Client, top: bytes) -> None:
    found = root.pathconf(top).ok()
    assert found.name_max == 255
    assert found.no_trunc and found.chown_restricted and found.case_preserving
    assert not found.case_insensitive
    root.make(top, b"Name")
    assert root.lookup(top, b"name").status == nfsstat3.NOENT


# --- quotas -------------------------------------------------------------------------------------


def test_a_quota_of_bytes(gw: Gateway, root: Client, top: bytes, file: bytes) -> None:
    gw.store.set_quota("main", Quota(bytes_max=40_000))
    root.write(file, 0, bytes(32_768)).ok()
    for offset in (32_768, 2**40):
        answer = root.write(file, offset, bytes(8192))
        assert answer.status == nfsstat3.DQUOT
        assert answer.value.wcc.after == root.getattr(file).ok().obj_attributes
    root.write(file, 0, b"x" * 32_768).ok()
    root.setattr(file, sattr(size=0)).ok()
    root.write(file, 0, bytes(32_768)).ok()


def test_a_quota_of_inodes(gw: Gateway, root: Client, top: bytes, file: bytes) -> None:
    gw.store.set_quota("main", Quota(inodes_max=4))
    for name in ("CREATE", "MKDIR", "SYMLINK", "MKNOD"):
        answer = CHANGING[name](root, top, file)
        assert answer.status == nfsstat3.DQUOT
        assert answer.value.wcc.after == root.getattr(top).ok().obj_attributes
    root.link(file, top, b"other").ok()
    root.rmdir(top, b"d").ok()
    root.create(top, b"new").ok()


# --- the disk -----------------------------------------------------------------------------------


class Trouble:
    """A store that refuses changes that take room, as it does where the disk is full."""

    def __init__(self, gw: Gateway, patch: pytest.MonkeyPatch) -> None:
        self._gw, self._patch = gw, patch
        self.refusals = 0

    def refuse(self, error: StoreError, times: int = 10**9) -> None:
        """Refuse so many changes."""
        engine = self._gw.store.engine
        admit = engine.admit
        self.refusals = 0

        def refusing(data_bytes: int) -> None:
            room = data_bytes >= 0 or isinstance(error, Busy)
            if room and self.refusals < times:
                self.refusals += 1
                raise error
            admit(data_bytes)

        self._patch.setattr(engine, "admit", refusing)

    def end(self) -> None:
        """Refuse no more."""
        self._patch.undo()


@pytest.fixture
def trouble(gw: Gateway, monkeypatch: pytest.MonkeyPatch) -> Trouble:
    return Trouble(gw, monkeypatch)


@changing
def test_a_full_disk(root: Client, top: bytes, file: bytes, trouble: Trouble, act: Act) -> None:
    before = root.readdirplus(top).ok()
    trouble.refuse(NoSpace("full"))
    answer = act(root, top, file)
    if act in (CHANGING["REMOVE"], CHANGING["RMDIR"], CHANGING["COMMIT"]):
        answer.ok()  # that is how room is made
        return
    assert answer.status == nfsstat3.NOSPC
    assert root.readdirplus(top).ok() == before
    trouble.end()
    act(root, top, file).ok()


def test_a_disk_that_is_full_for_real(
    gw: Gateway, root: Client, top: bytes, file: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gw.store.engine, "disk_bytes", lambda: (1 << 30, 100_000))
    data = bytes(50_000)
    statuses = [root.write(file, at * 50_000, data, stable_how.FILE_SYNC).status for at in range(5)]
    assert set(statuses) <= {nfsstat3.OK, nfsstat3.NOSPC}
    monkeypatch.setattr(gw.store.engine, "disk_bytes", lambda: (1 << 30, 0))
    gw.store.flush()
    assert root.write(file, 0, data).status == nfsstat3.NOSPC
    assert root.fsstat(top).ok().abytes == 0
    root.remove(top, b"f").ok()


# --- memory -------------------------------------------------------------------------------------


@changing
def test_memory_that_is_full_for_a_while(
    gw: Gateway, root: Client, top: bytes, file: bytes, trouble: Trouble, act: Act
) -> None:
    """The client waits a little, and hears nothing of it."""
    trouble.refuse(Busy("full"), times=TRIES - 1)
    act(root, top, file).ok()
    assert gw.waiting.rooms == trouble.refusals


@changing
def test_memory_that_stays_full(
    gw: Gateway, root: Client, top: bytes, file: bytes, trouble: Trouble, act: Act
) -> None:
    trouble.refuse(Busy("full"))
    if act is CHANGING["COMMIT"]:
        act(root, top, file).ok()
        return
    answer = act(root, top, file)
    assert answer.status == nfsstat3.JUKEBOX
    assert gw.waiting.rooms == TRIES - 1


def test_a_call_that_was_put_off_is_run_when_it_is_sent_again(
    gw: Gateway, root: Client, top: bytes, file: bytes, trouble: Trouble
) -> None:
    """JUKEBOX is no answer that the reply cache may give for ever."""
    message = root.message("REMOVE", diropargs3(top, b"f"))
    trouble.refuse(Busy("full"))
    first = root.exchange(message)
    assert isinstance(first, Reply)
    assert answered("REMOVE", first).status == nfsstat3.JUKEBOX
    trouble.end()
    second = root.exchange(message)
    assert isinstance(second, Reply)
    answered("REMOVE", second).ok()


def test_memory_that_is_full_for_real() -> None:
    """Writes go on while flushes and checkpoints make room for them."""
    with gateway(Options(dirty_bytes_max=200_000, journal_bytes_max=400_000)) as gw:
        root = Client(gw)
        top = root.mount()
        file = root.make(top, b"f")
        for at in range(40):
            root.write(file, at * 30_000, bytes([at]) * 30_000).ok()
        assert gw.waiting.rooms > 0
        for at in range(40):
            assert root.read(file, at * 30_000, 30_000).ok().data == bytes([at]) * 30_000


# --- flushes that fail --------------------------------------------------------------------------

ON_SYNC = {name: act for name, act in CHANGING.items() if name not in ("WRITE", "COMMIT")}


@pytest.mark.parametrize("act", ON_SYNC.values(), ids=ON_SYNC)
@pytest.mark.parametrize(
    ("error", "status"),
    [(NoSpace("full"), nfsstat3.NOSPC), (StorageFailure("broken"), nfsstat3.IO)],
    ids=["full", "broken"],
)
def test_a_change_that_is_not_durable_is_not_told_as_done(
    gw: Gateway, root: Client, top: bytes, file: bytes, act: Act, error: StoreError, status: int
) -> None:
    gw.waiting.failing = error
    answer = act(root, top, file)
    assert answer.status == status
    wccs = [part for part in answer.value if part is not None and len(part) == 2]
    assert wccs
    for wcc in wccs:
        assert wcc.after is not None


def test_an_async_export_does_not_wait_for_the_disk(
    gw: Gateway, root: Client, top: bytes, file: bytes
) -> None:
    gw.exports.set(Rule(squash=Squash.NONE, sync=False))
    gw.waiting.failing = StorageFailure("broken")
    root.create(top, b"new").ok()
    assert root.commit(file).status == nfsstat3.IO
    assert root.write(file, 0, b"x", stable_how.FILE_SYNC).status == nfsstat3.IO


@changing
def test_what_was_answered_on_a_sync_export_is_on_disk(
    gw: Gateway, root: Client, top: bytes, file: bytes, act: Act
) -> None:
    root.commit(file).ok()
    act(root, top, file).ok()
    assert (gw.store.dirty_bytes == 0) == (act is not CHANGING["WRITE"])
