"""GETATTR, SETATTR and ACCESS (RFC 1813 3.3.1, 3.3.2, 3.3.4)."""

from __future__ import annotations

import stat
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nfs.export import Rule, Squash
from nfs.nfs3_types import ftype3, nfsstat3, nfstime3
from tests.nfs.client import NOW, Client, at, sattr
from tests.nfs.gateway import START_NS, Gateway, fewer, gateway

READ, LOOKUP, MODIFY, EXTEND, DELETE, EXECUTE = 1, 2, 4, 8, 16, 32


def attributes(client: Client, file: bytes) -> Any:
    """A file's attributes as the client gets them."""
    return client.getattr(file).ok().obj_attributes


# --- GETATTR ------------------------------------------------------------------------------------


def test_every_kind_of_object_has_its_type(root: Client, top: bytes) -> None:
    made = {
        ftype3.REG: root.create(top, b"reg"),
        ftype3.DIR: root.mkdir(top, b"dir"),
        ftype3.BLK: root.mknod(top, b"blk", ftype3.BLK, device=(8, 1)),
        ftype3.CHR: root.mknod(top, b"chr", ftype3.CHR, device=(1, 3)),
        ftype3.LNK: root.symlink(top, b"lnk", b"reg"),
        ftype3.SOCK: root.mknod(top, b"sock", ftype3.SOCK),
        ftype3.FIFO: root.mknod(top, b"fifo", ftype3.FIFO),
    }
    for kind, answer in made.items():
        found = attributes(root, answer.ok().obj)
        assert found == answer.ok().obj_attributes
        assert found.type == kind
    assert attributes(root, made[ftype3.BLK].value.obj).rdev == (8, 1)
    assert attributes(root, made[ftype3.CHR].value.obj).rdev == (1, 3)
    assert attributes(root, made[ftype3.LNK].value.obj).size == 3


def test_a_file_is_told_by_its_number_and_file_system(root: Client, top: bytes) -> None:
    root.gateway.store.create_branch("other")
    files = [attributes(root, root.make(top, name)) for name in (b"a", b"b")]
    other = attributes(root, root.mount(b"/other"))
    assert files[0].fileid != files[1].fileid
    assert files[0].fsid == files[1].fsid == attributes(root, top).fsid != other.fsid


def test_the_number_and_file_system_survive_restart_rename_and_rollback(
    gw: Gateway, root: Client, top: bytes
) -> None:
    file = root.make(top, b"f", b"data")
    first = attributes(root, file)
    gw.store.snapshot("main", "s")
    root.rename(top, b"f", root.mkdir(top, b"d").ok().obj, b"g").ok()
    gw.restart()
    gw.store.rollback("main", "main@s")
    again = attributes(root, file)
    assert (again.fileid, again.fsid) == (first.fileid, first.fsid)


def test_large_files_have_large_sizes(root: Client, top: bytes) -> None:
    file = root.make(top, b"f")
    for size in (2**31, 2**32 + 1, 2**53 + 1, 2**63 - 1):
        root.setattr(file, sattr(size=size)).ok()
        assert attributes(root, file).size == size
    assert root.setattr(file, sattr(size=2**63)).status == nfsstat3.FBIG
    assert root.setattr(file, sattr(size=2**64 - 1)).status == nfsstat3.FBIG


# --- SETATTR ------------------------------------------------------------------------------------


def test_everything_is_set_in_one_step(root: Client, top: bytes) -> None:
    file = root.make(top, b"f", b"0123456789")
    wanted = sattr(mode=0o4755, uid=5, gid=6, size=4, atime=at(100, 1), mtime=at(200, 2))
    change = root.setattr(file, wanted).ok().wcc
    now = change.after
    assert (now.mode, now.uid, now.gid, now.size) == (0o4755, 5, 6, 4)
    assert (now.atime, now.mtime) == ((100, 1), (200, 2))
    assert change.before.size == 10
    assert attributes(root, file) == now


def test_before_and_after_are_of_the_same_step(root: Client, top: bytes) -> None:
    file = root.make(top, b"f")
    last = attributes(root, file)
    for mode in (0o600, 0o640, 0o600):
        wcc = root.setattr(file, sattr(mode=mode)).ok().wcc
        assert wcc.before == (last.size, last.mtime, last.ctime)
        assert wcc.after.ctime > last.ctime
        last = wcc.after


def test_nothing_to_set_still_moves_ctime(root: Client, top: bytes) -> None:
    wcc = root.setattr(top, sattr()).ok().wcc
    assert wcc.after.ctime > wcc.before.ctime


def test_times_of_the_server_and_of_the_client(gw: Gateway, root: Client, top: bytes) -> None:
    file = root.make(top, b"f")
    gw.clock.now_ns = START_NS + 50 * 10**9
    now = root.setattr(file, sattr(atime=NOW, mtime=at(2**32 - 1))).ok().wcc.after
    assert now.atime.seconds == START_NS // 10**9 + 50
    assert now.mtime == (2**32 - 1, 0)
    now = root.setattr(file, sattr(atime=at(0), mtime=NOW)).ok().wcc.after
    assert (now.atime, now.mtime.seconds) == ((0, 0), START_NS // 10**9 + 50)


def test_growing_and_shrinking_both_move_mtime_and_ctime(root: Client, top: bytes) -> None:
    file = root.make(top, b"f", b"0123456789")
    for size in (20, 5, 0, 5):
        wcc = root.setattr(file, sattr(size=size)).ok().wcc
        assert wcc.after.size == size
        assert wcc.after.mtime > wcc.before.mtime
        assert wcc.after.ctime > wcc.before.ctime


def test_a_cut_file_reads_as_zeros_when_it_grows_again(root: Client, top: bytes) -> None:
    file = root.make(top, b"f", b"x" * 20_000)
    root.setattr(file, sattr(size=9000)).ok()
    root.setattr(file, sattr(size=30_000)).ok()
    assert root.read(file).ok().data == b"x" * 9000 + bytes(21_000)


def test_the_guard_compares_ctime_exactly(root: Client, top: bytes) -> None:
    file = root.make(top, b"f")
    ctime = attributes(root, file).ctime
    wrong = [
        nfstime3(ctime.seconds, ctime.nseconds + 1),
        nfstime3(ctime.seconds, ctime.nseconds - 1),
        nfstime3(ctime.seconds + 1, ctime.nseconds),
        nfstime3(0, 0),
        nfstime3(2**32 - 1, 2**32 - 1),
    ]
    for guard in wrong:
        answer = root.setattr(file, sattr(size=7), guard)
        assert answer.status == nfsstat3.NOT_SYNC
        assert answer.value.wcc.after.size == 0
        assert answer.value.wcc.before == (0, answer.value.wcc.after.mtime, ctime)
    root.setattr(file, sattr(size=7), ctime).ok()
    assert root.setattr(file, sattr(size=8), ctime).status == nfsstat3.NOT_SYNC
    assert attributes(root, file).size == 7


def test_the_guard_takes_the_time_as_it_was_shown(gw: Gateway, root: Client, top: bytes) -> None:
    gw.clock.now_ns = 2**33 * 10**9
    file = root.make(top, b"f")
    shown = attributes(root, file).ctime
    assert shown == (2**32 - 1, 0)
    root.setattr(file, sattr(mode=0o600), shown).ok()


def test_what_only_the_owner_may_change(root: Client, ann: Client, top: bytes) -> None:
    mine, others = ann.make(top, b"mine"), root.make(top, b"others")
    ann.setattr(mine, sattr(mode=0o600, gid=50, atime=at(1), mtime=at(1))).ok()
    for wanted in (sattr(mode=0o777), sattr(gid=50), sattr(mtime=at(1)), sattr(atime=NOW)):
        assert ann.setattr(others, wanted).status == nfsstat3.PERM
    for wanted in (sattr(size=1), sattr(atime=NOW, mtime=NOW)):
        assert ann.setattr(others, wanted).status == nfsstat3.ACCES
    for wanted in (sattr(uid=0), sattr(uid=1001), sattr(gid=51)):
        assert ann.setattr(mine, wanted).status == nfsstat3.PERM


def test_a_size_belongs_to_regular_files(root: Client, top: bytes) -> None:
    assert root.setattr(top, sattr(size=0)).status == nfsstat3.ISDIR
    for name, made in [
        (b"l", root.symlink(top, b"l", b"x")),
        (b"p", root.mknod(top, b"p")),
    ]:
        assert root.setattr(made.ok().obj, sattr(size=0)).status == nfsstat3.INVAL, name


def test_ids_that_nobody_has_are_refused(root: Client, top: bytes) -> None:
    file = root.make(top, b"f")
    assert root.setattr(file, sattr(uid=2**32 - 1)).status == nfsstat3.INVAL
    assert root.setattr(file, sattr(gid=2**32 - 1)).status == nfsstat3.INVAL
    assert root.setattr(file, sattr(uid=2**32 - 2, gid=2**32 - 2)).ok()


def test_a_failure_changes_nothing_and_says_so(ann: Client, root: Client, top: bytes) -> None:
    file = root.make(top, b"f", b"data")
    before = attributes(root, file)
    failed = ann.setattr(file, sattr(size=0, mode=0o777))
    assert failed.status in (nfsstat3.PERM, nfsstat3.ACCES)
    assert failed.value.wcc.after == attributes(root, file) == before
    assert failed.value.wcc.before == (before.size, before.mtime, before.ctime)


def test_set_id_bits_go_when_a_stranger_writes(root: Client, ann: Client, top: bytes) -> None:
    file = root.make(top, b"f", mode=0o6777)
    ann.write(file, 0, b"x").ok()
    assert attributes(root, file).mode == 0o777


def test_a_file_that_is_gone_is_stale(root: Client, top: bytes) -> None:
    file = root.make(top, b"f")
    root.remove(top, b"f").ok()
    assert root.getattr(file).status == nfsstat3.STALE
    assert root.setattr(file, sattr(mode=0)).status == nfsstat3.STALE
    assert root.setattr(file, sattr(mode=0)).value.wcc == (None, None)
    assert root.access(file).status == nfsstat3.STALE


# --- ACCESS -------------------------------------------------------------------------------------


def granted(client: Client, file: bytes, wanted: int = 0x3F) -> int:
    """The access that a client is granted."""
    bits: int = client.access(file, wanted).ok().access
    return bits


def test_access_of_the_owner_the_group_and_others(gw: Gateway, root: Client, top: bytes) -> None:
    file = root.make(top, b"f")
    root.setattr(file, sattr(mode=0o754, uid=10, gid=20)).ok()
    assert granted(Client(gw, 10, 1), file) == READ | MODIFY | EXTEND | EXECUTE
    assert granted(Client(gw, 11, 20), file) == READ | EXECUTE
    assert granted(Client(gw, 11, 1, (20,)), file) == READ | EXECUTE
    assert granted(Client(gw, 11, 1), file) == READ
    assert granted(root, file) == READ | MODIFY | EXTEND | EXECUTE


def test_access_to_directories(gw: Gateway, root: Client, top: bytes) -> None:
    directory = root.mkdir(top, b"d", sattr(mode=0o754, uid=10, gid=20)).ok().obj
    assert granted(Client(gw, 10, 1), directory) == READ | LOOKUP | MODIFY | EXTEND | DELETE
    assert granted(Client(gw, 11, 20), directory) == READ | LOOKUP
    assert granted(Client(gw, 11, 1), directory) == READ


def test_only_what_was_asked_for_is_answered(root: Client, top: bytes) -> None:
    file = root.make(top, b"f")
    for wanted in range(0x40):
        assert granted(root, file, wanted) == wanted & (READ | MODIFY | EXTEND)
    assert granted(root, file, 2**32 - 1) == READ | MODIFY | EXTEND
    assert granted(root, top, 0) == 0


def test_the_superuser_executes_what_anyone_may(root: Client, top: bytes) -> None:
    assert granted(root, root.make(top, b"f", mode=0o666), EXECUTE) == 0
    assert granted(root, root.make(top, b"g", mode=0o001), EXECUTE) == EXECUTE


def test_a_squashed_superuser_is_nobody(gw: Gateway, root: Client, top: bytes) -> None:
    file = root.make(top, b"f", mode=0o700)
    gw.exports.set(Rule(squash=Squash.ROOT))
    assert granted(root, file) == 0


def test_nothing_is_modified_where_the_export_is_read_only(
    gw: Gateway, root: Client, top: bytes
) -> None:
    file = root.make(top, b"f", mode=0o777)
    gw.exports.set(Rule(read_only=True, squash=Squash.NONE))
    assert granted(root, file) == READ | EXECUTE
    assert granted(root, top) == READ | LOOKUP
    gw.exports.set(Rule(squash=Squash.NONE))
    gw.store.snapshot("main", "s")
    snapshot = root.mount(b"/main@s")
    assert granted(root, snapshot) == READ | LOOKUP
    assert granted(root, root.find(snapshot, b"f")) == READ | EXECUTE


_modes = st.integers(0, 0o777)
_ids = st.sampled_from([0, 10, 11])


@fewer
@given(_modes, _ids, _ids, _ids, _ids, st.booleans(), st.booleans())
def test_access_agrees_with_what_later_calls_allow(
    mode: int, owner: int, group: int, uid: int, gid: int, read_only: bool, as_directory: bool
) -> None:
    with gateway() as gw:
        root, user = Client(gw), Client(gw, uid, gid)
        top = root.mount()
        root.setattr(top, sattr(mode=0o777)).ok()
        if as_directory:
            inside = root.mkdir(top, b"d").ok().obj
            root.make(inside, b"f")
            root.setattr(inside, sattr(mode=mode, uid=owner, gid=group)).ok()
        else:
            file = root.make(top, b"f", b"data")
            root.setattr(file, sattr(mode=mode, uid=owner, gid=group)).ok()
        gw.exports.set(Rule(read_only=read_only, squash=Squash.NONE))
        if as_directory:
            _directory_agrees(user, inside)
        else:
            _file_agrees(user, file, uid == owner)


def _succeeds(status: int) -> bool:
    assert status in (nfsstat3.OK, nfsstat3.ACCES, nfsstat3.ROFS)
    return status == nfsstat3.OK


def _directory_agrees(user: Client, directory: bytes) -> None:
    bits = granted(user, directory)
    assert _succeeds(user.readdir(directory).status) == bool(bits & READ)
    assert _succeeds(user.lookup(directory, b"f").status) == bool(bits & LOOKUP)
    assert _succeeds(user.create(directory, b"new").status) == bool(bits & EXTEND)
    assert bool(bits & EXTEND) == bool(bits & MODIFY)
    assert _succeeds(user.rename(directory, b"f", directory, b"g").status) == bool(bits & MODIFY)
    if bits & DELETE:
        user.remove(directory, b"g").ok()
    else:
        assert not _succeeds(user.remove(directory, b"f").status)


def _file_agrees(user: Client, file: bytes, owns: bool) -> None:
    """The owner may read and write whatever the mode; who may execute may read."""
    bits = granted(user, file)
    reads, writes = user.read(file).status, user.write(file, 0, b"x").status
    assert _succeeds(reads) == (owns or bool(bits & (READ | EXECUTE)))
    if bits & MODIFY:
        assert bits & EXTEND
        assert _succeeds(writes)
    elif not owns:
        assert not _succeeds(writes)


def test_the_owner_reads_and_writes_after_taking_all_rights_away(ann: Client, top: bytes) -> None:
    file = ann.make(top, b"f", b"data")
    ann.setattr(file, sattr(mode=0)).ok()
    assert granted(ann, file) == 0
    assert ann.read(file).ok().data == b"data"
    ann.write(file, 0, b"DATA").ok()
    ann.setattr(file, sattr(size=2)).ok()
    assert attributes(ann, file).size == 2


@pytest.mark.parametrize("kind", [stat.S_IFIFO, stat.S_IFSOCK])
def test_special_files_of_a_snapshot_may_be_written_to(
    gw: Gateway, root: Client, top: bytes, kind: int
) -> None:
    """A FIFO is not changed by what goes through it; a socket's file is."""
    is_fifo = kind == stat.S_IFIFO
    root.mknod(top, b"p", ftype3.FIFO if is_fifo else ftype3.SOCK).ok()
    gw.store.snapshot("main", "s")
    found = root.find(root.mount(b"/main@s"), b"p")
    assert bool(granted(root, found) & MODIFY) == is_fifo
