"""READLINK, READ, WRITE and COMMIT (RFC 1813 3.3.5 to 3.3.7, 3.3.21)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nfs.export import Rule, Squash
from nfs.nfs3_messages import symlinkdata3
from nfs.nfs3_types import diropargs3, ftype3, nfsstat3, stable_how
from store.errors import NoSpace, StorageFailure
from tests.nfs.client import Client, answered, sattr
from tests.nfs.gateway import BLOCK_BYTES, Gateway, fewer, gateway
from tests.nfs.messages import Refusal, read_reply

UNSTABLE, DATA_SYNC, FILE_SYNC = stable_how
LAST = 2**63 - 1


# --- READLINK -----------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [b"x", b"../a/b", b"/abs", b"\xff\xfe not UTF-8", b"t" * 4095])
def test_a_link_reads_as_it_was_made(root: Client, top: bytes, target: bytes) -> None:
    link = root.symlink(top, b"l", target).ok()
    assert root.readlink(link.obj).ok() == (link.obj_attributes, target)
    assert link.obj_attributes.size == len(target)


def test_what_is_no_link_has_no_target(root: Client, top: bytes) -> None:
    others = [top, root.make(top, b"f"), root.mknod(top, b"p").ok().obj]
    for other in others:
        answer = root.readlink(other)
        assert answer.status == nfsstat3.INVAL
        assert answer.value.attributes == root.getattr(other).ok().obj_attributes


# --- READ ---------------------------------------------------------------------------------------


def test_eof_is_set_by_a_read_that_reaches_the_end_or_passes_it(root: Client, top: bytes) -> None:
    file = root.make(top, b"f", b"0123456789")
    for offset, count, data, eof in [
        (0, 9, b"012345678", False),
        (0, 10, b"0123456789", True),
        (0, 11, b"0123456789", True),
        (9, 1, b"9", True),
        (10, 1, b"", True),
        (11, 5, b"", True),
        (2**40, 5, b"", True),
        (LAST, 5, b"", True),
        (LAST + 1, 5, b"", True),
        (2**64 - 1, 2**32 - 1, b"", True),
        (0, 0, b"", False),
        (10, 0, b"", True),
    ]:
        read = root.read(file, offset, count).ok()
        assert (read.data, read.count_, read.eof) == (data, len(data), eof), (offset, count)


def test_an_empty_file_ends_at_once(root: Client, top: bytes) -> None:
    read = root.read(root.make(top, b"f")).ok()
    assert (read.data, read.count_, read.eof) == (b"", 0, True)


def test_a_read_has_the_attributes_of_its_instant(root: Client, top: bytes) -> None:
    file = root.make(top, b"f", b"data")
    assert root.read(file).ok().file_attributes == root.getattr(file).ok().obj_attributes


def test_a_read_is_clamped_to_what_fsinfo_tells(root: Client, top: bytes) -> None:
    file = root.make(top, b"f")
    root.setattr(file, sattr(size=5 << 20)).ok()
    rtmax = root.fsinfo(top).ok().rtmax
    for count in (rtmax, rtmax + 1, 5 << 20, 2**32 - 1):
        read = root.read(file, 0, count).ok()
        assert (read.count_, len(read.data), read.eof) == (rtmax, rtmax, False)


def test_only_regular_files_have_data(root: Client, top: bytes) -> None:
    assert root.read(top).status == nfsstat3.ISDIR
    assert root.write(top, 0, b"x").status == nfsstat3.ISDIR
    for made in (
        root.mknod(top, b"p"),
        root.mknod(top, b"c", ftype3.CHR),
        root.symlink(top, b"l", b"x"),
    ):
        assert root.read(made.ok().obj).status == nfsstat3.INVAL
        assert root.write(made.ok().obj, 0, b"x").status == nfsstat3.INVAL
        assert root.commit(made.ok().obj).status == nfsstat3.INVAL


def test_who_may_execute_a_program_may_read_it(root: Client, ann: Client, top: bytes) -> None:
    """The client reads it in order to run it (RFC 1813 4.4)."""
    program, other = root.make(top, b"p", b"#!", 0o711), root.make(top, b"o", b"no", 0o700)
    assert ann.read(program).ok().data == b"#!"
    assert ann.read(other).status == nfsstat3.ACCES
    assert ann.write(program, 0, b"x").status == nfsstat3.ACCES


def test_a_read_from_disk_is_done_elsewhere_and_others_are_not_held_up(
    gw: Gateway, root: Client, top: bytes
) -> None:
    data = bytes(range(256)) * (BLOCK_BYTES // 64)
    file = root.make(top, b"f", data)
    root.commit(file).ok()
    gw.restart()
    assert root.read(file).ok().data == data


def test_a_read_of_damaged_data_is_an_io_error(
    gw: Gateway, root: Client, top: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = root.make(top, b"f", bytes(range(256)) * (BLOCK_BYTES // 64))
    gw.restart()

    def broken(*_: object, **__: object) -> None:
        raise StorageFailure("the disk is broken")

    with monkeypatch.context() as patch:
        for name in ("read", "read_many"):
            patch.setattr(f"store.pack_reader.PackReader.{name}", broken)
        answer = root.read(file)
    assert answer.status == nfsstat3.IO
    assert answer.value.attributes == root.getattr(file).ok().obj_attributes
    assert len(root.read(file).ok().data) == BLOCK_BYTES * 4


# --- WRITE --------------------------------------------------------------------------------------


def test_a_write_says_what_changed(root: Client, top: bytes) -> None:
    file = root.make(top, b"f", b"01234")
    before = root.getattr(file).ok().obj_attributes
    written = root.write(file, 3, b"abcdef").ok()
    assert (written.count_, written.committed) == (6, UNSTABLE)
    assert written.file_wcc.before == (5, before.mtime, before.ctime)
    assert written.file_wcc.after == root.getattr(file).ok().obj_attributes
    assert written.file_wcc.after.size == 9
    assert written.file_wcc.after.mtime == written.file_wcc.after.ctime > before.ctime


def test_the_count_of_a_write_must_match_its_data(root: Client, top: bytes) -> None:
    file = root.make(top, b"f", b"data")
    for count in (0, 1, 4, 2**32 - 1):
        answer = root.write(file, 0, b"ABC", count=count)
        assert answer.status == nfsstat3.INVAL
        assert answer.value.wcc.after == root.getattr(file).ok().obj_attributes
    assert root.read(file).ok().data == b"data"


def test_a_write_of_nothing_changes_nothing(root: Client, top: bytes) -> None:
    file = root.make(top, b"f", b"data")
    wcc = root.write(file, 100, b"").ok().file_wcc
    assert wcc.before == (4, wcc.after.mtime, wcc.after.ctime)
    assert wcc.after.size == 4


def test_a_write_ends_where_files_end(root: Client, top: bytes) -> None:
    file = root.make(top, b"f")
    root.write(file, LAST - 3, b"abc").ok()
    assert root.read(file, LAST - 3, 10).ok()[1:] == (3, True, b"abc")
    for offset in (LAST - 2, LAST, LAST + 1, 2**64 - 1):
        assert root.write(file, offset, b"abc").status == nfsstat3.FBIG


def test_a_write_of_a_megabyte(root: Client, top: bytes) -> None:
    wtmax = root.fsinfo(top).ok().wtmax
    data = bytes(range(251)) * (wtmax // 251 + 1)
    file = root.make(top, b"f")
    assert root.write(file, 1234, data[:wtmax]).ok().count_ == wtmax
    assert root.read(file, 1234, wtmax).ok().data == data[:wtmax]


def test_an_editor_that_cuts_and_writes_without_a_create(root: Client, top: bytes) -> None:
    """SETATTR of size 0, then WRITE, with no CREATE and no READ before."""
    file = root.make(top, b"f", b"an old text, and a long one")
    root.setattr(file, sattr(size=0)).ok()
    root.write(file, 0, b"new").ok()
    root.commit(file).ok()
    assert root.read(file).ok().data == b"new"


def test_small_data_does_not_keep_the_memory_that_it_came_in(gw: Gateway, top: bytes) -> None:
    root = Client(gw)
    file = root.make(top, b"f")
    for size in (10, 4096, 5000, 16384, 30_000):
        message = bytearray(root.message("WRITE", file, 0, size, UNSTABLE, b"a" * size))
        gw.dispatcher.dispatch(memoryview(message), root.peer, lambda parts: None)
        message[:] = bytes(len(message))
        assert root.read(file, 0, size).ok().data == b"a" * size


_offsets = st.integers(0, 3 * BLOCK_BYTES)


@fewer
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["write", "size", "commit", "restart"]),
            _offsets,
            st.integers(0, 2 * BLOCK_BYTES),
        ),
        max_size=12,
    )
)
def test_reads_see_what_was_written(steps: list[tuple[str, int, int]]) -> None:
    with gateway() as gw:
        root = Client(gw)
        file = root.make(root.mount(), b"f")
        model = bytearray()
        for number, (what, offset, length) in enumerate(steps, 1):
            if what == "write" and length:
                model.extend(bytes(max(0, offset + length - len(model))))
                model[offset : offset + length] = bytes([number]) * length
                root.write(file, offset, bytes([number]) * length).ok()
            elif what == "size":
                del model[length:]
                model.extend(bytes(length - len(model)))
                root.setattr(file, sattr(size=length)).ok()
            elif what == "commit":
                root.commit(file).ok()
            elif what == "restart":
                gw.restart()
            read = root.read(file, offset, length).ok()
            assert read.data == model[offset : offset + length]
            assert read.eof == (offset + length >= len(model))
        assert root.getattr(file).ok().obj_attributes.size == len(model)


# --- stability ----------------------------------------------------------------------------------


@pytest.mark.parametrize("sync", [True, False])
def test_what_waits_for_the_disk(gw: Gateway, root: Client, top: bytes, sync: bool) -> None:
    """Stable writes and COMMIT always; changes of names and attributes on a sync export; UNSTABLE
    writes, and calls that change nothing, never."""
    gw.exports.set(Rule(squash=Squash.NONE, sync=sync))
    file = root.make(top, b"f")
    directory = root.mkdir(top, b"d").ok().obj
    calls = {
        root.message("WRITE", file, 0, 1, UNSTABLE, b"x"): False,
        root.message("WRITE", file, 0, 1, DATA_SYNC, b"x"): True,
        root.message("WRITE", file, 0, 1, FILE_SYNC, b"x"): True,
        root.message("COMMIT", file, 0, 0): True,
        root.message("SETATTR", file, sattr(mode=0), None): sync,
        root.message("CREATE", diropargs3(top, b"new"), (0, sattr())): sync,
        root.message("MKDIR", diropargs3(top, b"dir"), sattr()): sync,
        root.message("SYMLINK", diropargs3(top, b"link"), symlinkdata3(sattr(), b"x")): sync,
        root.message("MKNOD", diropargs3(top, b"node"), (ftype3.FIFO, sattr())): sync,
        root.message("RENAME", diropargs3(top, b"new"), diropargs3(top, b"newer")): sync,
        root.message("LINK", file, diropargs3(directory, b"other")): sync,
        root.message("REMOVE", diropargs3(directory, b"other")): sync,
        root.message("RMDIR", diropargs3(top, b"dir")): sync,
        root.message("GETATTR", file): False,
        root.message("LOOKUP", diropargs3(top, b"f")): False,
        root.message("ACCESS", file, 1): False,
        root.message("READ", file, 0, 1): False,
        root.message("READDIR", top, 0, bytes(8), 4096): False,
        root.message("READDIRPLUS", top, 0, bytes(8), 4096, 4096): False,
        root.message("FSSTAT", top): False,
        root.message("FSINFO", top): False,
        root.message("PATHCONF", top): False,
    }
    gw.waiting.held = []
    replies = {message: root.send(message) for message in calls}
    for message, waits in calls.items():
        assert bool(replies[message]) != waits, message[20:24]
    gw.waiting.release()
    for found in replies.values():
        (reply,) = found
        answer = read_reply(reply)
        assert not isinstance(answer, Refusal)
        assert answer.results[:4] == bytes(4), "a status but NFS3_OK"


@pytest.mark.parametrize("how", [DATA_SYNC, FILE_SYNC])
def test_a_stable_write_is_on_disk_when_it_is_answered(
    gw: Gateway, root: Client, top: bytes, how: int
) -> None:
    file = root.make(top, b"f")
    written = root.write(file, 0, b"stable", how).ok()
    assert written.committed == FILE_SYNC
    assert gw.store.dirty_bytes == 0


def test_an_unstable_write_is_on_disk_after_a_commit(gw: Gateway, root: Client, top: bytes) -> None:
    file = root.make(top, b"f")
    verifier = root.write(file, 0, b"unstable").ok().verf
    assert gw.store.dirty_bytes > 0
    committed = root.commit(file).ok()
    assert gw.store.dirty_bytes == 0
    assert committed.verf == verifier
    now = root.getattr(file).ok().obj_attributes
    assert committed.file_wcc == ((8, now.mtime, now.ctime), now)


def test_a_commit_of_any_range_will_do(root: Client, top: bytes) -> None:
    file = root.make(top, b"f", b"data")
    for offset, count in [(0, 0), (0, 4), (4, 0), (2**64 - 1, 2**32 - 1)]:
        root.commit(file, offset, count).ok()


def test_the_verifier_is_the_same_until_the_gateway_ends(
    gw: Gateway, root: Client, top: bytes
) -> None:
    file = root.make(top, b"f")
    seen = set()
    for _ in range(3):
        run = {root.write(file, 0, b"x", how).ok().verf for how in stable_how}
        run |= {root.commit(file).ok().verf, root.commit(file).ok().verf}
        assert len(run) == 1
        seen |= run
        gw.restart()
    assert len(seen) == 3


@pytest.mark.parametrize("how", [None, DATA_SYNC, FILE_SYNC])
def test_a_flush_that_fails_is_told_by_commit_and_stable_writes(
    gw: Gateway, root: Client, top: bytes, how: int | None
) -> None:
    file = root.make(top, b"f")
    for error, status in [(NoSpace("full"), nfsstat3.NOSPC), (StorageFailure("!"), nfsstat3.IO)]:
        gw.waiting.failing = error
        answer = root.commit(file) if how is None else root.write(file, 0, b"x", how)
        assert answer.status == status
        assert answer.value.wcc.after == root.getattr(file).ok().obj_attributes
        root.write(file, 0, b"x").ok()
        gw.waiting.failing = None
        root.commit(file).ok()


def test_replies_come_in_the_order_that_they_are_ready(gw: Gateway, top: bytes) -> None:
    root = Client(gw)
    file = root.make(top, b"f")
    gw.waiting.held = []
    late = root.send(root.message("WRITE", file, 0, 5, FILE_SYNC, b"later"))
    assert late == []
    assert root.read(file).ok().data == b"later"  # it is seen before it is durable
    gw.waiting.release()
    assert answered("WRITE", read_reply(late[0])).ok().committed == FILE_SYNC
