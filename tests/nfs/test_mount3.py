"""MOUNT 3: its bytes, who is let in and what he is told, the table of mounts."""

from __future__ import annotations

import logging
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nfs import mounts as mounts_module
from nfs.codec import codec
from nfs.exported import Exported, Listed
from nfs.handle import Handles, Volume
from nfs.mount3 import (
    FLAVOURS,
    exportnode,
    exports,
    mount_status,
    mountargs,
    mountbody,
    mountlist,
    mountres3,
    mountres3_ok,
    mountstat3,
    program,
)
from nfs.mounts import Mount, MountTable
from nfs.peer import Peer
from store import errors
from store.errors import AccessDenied, NotFound, StoreError
from tests.nfs.answers import GARBAGE_ARGS, PROC_UNAVAIL, Asked, a_peer, spoiled
from tests.nfs.messages import Refusal, auth_sys, counted, words

NULL, MNT, DUMP, UMNT, UMNTALL, EXPORT = range(6)
HANDLES = Handles(b"a-store!", b"k" * 32)
VOLUME = Volume(branch=1, snapshot=0, root=1)
PREFIX = HANDLES.prefix(VOLUME)
STRANGER = "198.51.100.1"


class House:
    """A realm with one branch, `/main`, for everyone but the stranger."""

    handles = HANDLES
    version = 1

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, str]] = []
        self.error: StoreError | None = None

    def admits(self, peer: Peer) -> bool:
        return peer.address != STRANGER

    def exported(self, volume: Volume, peer: Peer) -> Exported:
        raise AssertionError("MOUNT opens no handles")

    def resolve(self, path: bytes, peer: Peer) -> tuple[Exported, int]:
        self.asked.append((path, peer.address))
        if self.error:
            raise self.error
        if path != b"/main":
            raise NotFound(repr(path))
        # Only the prefix of a volume matters to MOUNT.
        return Exported(*cast("Any", (None, None, VOLUME, PREFIX, 1, "main"))), 5

    def listed(self) -> list[Listed]:
        return [Listed(b"/main", [b"10.0.0.0/8", b"::1"]), Listed(b"/open", [])]


class Mounting:
    """The program, asked by clients; the table's clock counts."""

    def __init__(self) -> None:
        self.house = House()
        self.time_ns = 0
        self.mounts = MountTable(self._clock)
        self.asked = Asked(program(self.house, self.mounts))

    def _clock(self) -> int:
        self.time_ns += 1
        return self.time_ns

    def ask(
        self, procedure: int, arguments: bytes = b"", *, peer: Peer | None = None, **more: bytes
    ) -> bytes:
        return self.asked.ask(3, procedure, arguments, peer=peer, **more)

    def mount(self, path: bytes = b"/main", address: str = "192.0.2.1") -> bytes:
        return self.ask(MNT, counted(path), peer=a_peer(address))

    def table(self) -> list[tuple[str, bytes]]:
        return [(entry.address, entry.path) for entry in self.mounts.entries()]


@pytest.fixture
def mounting() -> Mounting:
    return Mounting()


# --- bytes ------------------------------------------------------------------------------------


def test_mnt_in_bytes(mounting: Mounting) -> None:
    arguments = (
        b"\0\0\0\x05"  # length of the path
        b"/main"
        b"\0\0\0"  # padding to four
    )
    handle = HANDLES.make(PREFIX, 5)
    assert len(handle) == 60
    assert (
        mounting.asked.message(3, MNT, arguments)
        == (
            b"\0\0\0\x07"  # xid
            b"\0\0\0\x01"  # REPLY
            b"\0\0\0\0"  # MSG_ACCEPTED
            b"\0\0\0\0\0\0\0\0"  # verifier: AUTH_NONE, no bytes
            b"\0\0\0\0"  # SUCCESS
            b"\0\0\0\0"  # fhs_status: MNT3_OK
            b"\0\0\0\x3c"  # length of the handle: 60
            + handle  # a multiple of four: no padding
            + b"\0\0\0\x02"  # two flavours
            b"\0\0\0\x01"  # AUTH_SYS
            b"\0\0\0\0"  # AUTH_NONE
        )
    )


def test_a_refusal_in_bytes(mounting: Mounting) -> None:
    assert mounting.mount(b"/nosuch") == b"\0\0\0\x02"  # MNT3ERR_NOENT, and nothing more


def test_dump_in_bytes(mounting: Mounting) -> None:
    assert mounting.ask(DUMP) == b"\0\0\0\0"  # no entry
    mounting.mount()
    assert mounting.ask(DUMP) == (
        b"\0\0\0\x01"  # an entry
        b"\0\0\0\x09192.0.2.1\0\0\0"  # ml_hostname
        b"\0\0\0\x05/main\0\0\0"  # ml_directory
        b"\0\0\0\0"  # no entry more
    )


def test_export_in_bytes(mounting: Mounting) -> None:
    assert mounting.ask(EXPORT) == (
        b"\0\0\0\x01"  # an export
        b"\0\0\0\x05/main\0\0\0"  # ex_dir
        b"\0\0\0\x01"  # a group
        b"\0\0\0\x0a10.0.0.0/8\0\0"  # gr_name
        b"\0\0\0\x01"  # a group
        b"\0\0\0\x03::1\0"  # gr_name
        b"\0\0\0\0"  # no group more
        b"\0\0\0\x01"  # an export
        b"\0\0\0\x05/open\0\0\0"  # ex_dir
        b"\0\0\0\0"  # no group: for everyone
        b"\0\0\0\0"  # no export more
    )


def test_null_umnt_and_umntall_have_no_results(mounting: Mounting) -> None:
    assert mounting.ask(NULL) == mounting.ask(UMNTALL) == b""
    assert mounting.ask(UMNT, counted(b"/main")) == b""


@pytest.mark.parametrize("procedure", [MNT, UMNT])
def test_a_path_cut_or_followed_by_more_is_garbage(mounting: Mounting, procedure: int) -> None:
    for arguments in spoiled(counted(b"/main")):
        assert mounting.asked.refusal(3, procedure, arguments).status == GARBAGE_ARGS
    for arguments in (
        words(5) + b"/main\0\0\x01",  # padding that is not zero
        words(0xFFFF_FFFF) + b"/main\0\0\0",  # a length beyond the message
        counted(b"/" * 1025),  # over MNTPATHLEN
    ):
        assert mounting.asked.refusal(3, procedure, arguments).status == GARBAGE_ARGS
    assert not mounting.house.asked


@pytest.mark.parametrize("procedure", [NULL, DUMP, UMNTALL, EXPORT])
def test_arguments_where_there_are_none_are_garbage(mounting: Mounting, procedure: int) -> None:
    assert mounting.asked.refusal(3, procedure, bytes(4)).status == GARBAGE_ARGS


def test_the_longest_path_is_looked_up(mounting: Mounting) -> None:
    assert mounting.mount(b"/" * 1024) == words(mountstat3.NOENT)
    assert mounting.house.asked == [(b"/" * 1024, "192.0.2.1")]


def test_older_versions_hear_which_there_is(mounting: Mounting) -> None:
    for version in (1, 2, 4):
        refusal = mounting.asked.refusal(version, NULL)
        assert refusal == Refusal(7, False, 2, words(3, 3))  # PROG_MISMATCH, 3 to 3
    assert mounting.asked.refusal(3, 6).status == PROC_UNAVAIL


_path = st.binary(max_size=1024)
_name = st.binary(max_size=255)
_results = st.one_of(
    st.builds(
        lambda handle, flavours: (0, mountres3_ok(handle, flavours)),
        st.binary(max_size=64),
        st.lists(st.integers(0, 2**32 - 1), max_size=4),
    ),
    st.sampled_from([status for status in mountstat3 if status]).map(lambda s: (int(s), None)),
)


@given(
    st.one_of(
        st.builds(mountargs, _path),
        st.builds(mountres3, _results),
        st.builds(mountlist, st.lists(st.builds(mountbody, _name, _path), max_size=3)),
        st.builds(
            exports,
            st.lists(st.builds(exportnode, _path, st.lists(_name, max_size=3)), max_size=3),
        ),
    )
)
def test_every_type_survives_the_wire(value: Any) -> None:
    wire = codec(type(value))
    assert wire.decode(wire.encode(value)) == value


# --- who is let in, and what he is told ---------------------------------------------------------


def test_a_mount_gives_a_handle_of_the_volume(mounting: Mounting) -> None:
    result = codec(mountres3).decode(mounting.mount())
    status, ok = result.result
    assert status == mountstat3.OK
    assert ok is not None
    assert ok.auth_flavors == FLAVOURS
    prefix, ino = HANDLES.parse(ok.fhandle)
    assert HANDLES.volume(prefix) == VOLUME
    assert ino == 5


def test_a_stranger_is_refused_alike_for_what_is_and_what_is_not(mounting: Mounting) -> None:
    for path in (b"/main", b"/nosuch", b"", b"\xff", b"/main@snapshot"):
        assert mounting.mount(path, STRANGER) == words(mountstat3.ACCES)
    assert not mounting.house.asked
    assert not mounting.table()


def test_one_who_may_mount_something_else_is_refused(mounting: Mounting) -> None:
    mounting.house.error = AccessDenied("another client's")
    assert mounting.mount() == words(mountstat3.ACCES)
    assert not mounting.table()


def test_a_stranger_sees_no_mounts_but_the_exports(mounting: Mounting) -> None:
    mounting.mount()
    assert mounting.ask(DUMP, peer=a_peer(STRANGER)) == words(0)
    assert mounting.ask(EXPORT, peer=a_peer(STRANGER)) == mounting.ask(EXPORT)


def _family(base: type[StoreError] = StoreError) -> set[type[StoreError]]:
    return {kind for sub in base.__subclasses__() for kind in {sub, *_family(sub)}}


def test_every_error_has_a_status_of_mount() -> None:
    ours = {kind for kind in _family() if kind.__module__.split(".")[0] in {"nfs", "store"}}
    assert errors.Damaged in ours
    for kind in ours:
        assert mount_status(kind("why")) in set(mountstat3) - {mountstat3.OK}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.NotFound, mountstat3.NOENT),
        (errors.UnknownRef, mountstat3.NOENT),
        (errors.Stale, mountstat3.NOENT),
        (errors.AccessDenied, mountstat3.ACCES),
        (errors.NotPermitted, mountstat3.PERM),
        (errors.NotDirectory, mountstat3.NOTDIR),
        (errors.NameTooLong, mountstat3.NAMETOOLONG),
        (errors.InvalidName, mountstat3.INVAL),
        (errors.StorageFailure, mountstat3.IO),
        (errors.Unsupported, mountstat3.NOTSUPP),
        (errors.Busy, mountstat3.SERVERFAULT),
        (errors.NotEmpty, mountstat3.SERVERFAULT),
    ],
)
def test_an_error_is_told_as(
    mounting: Mounting, error: type[StoreError], status: mountstat3
) -> None:
    mounting.house.error = error("why")
    assert mounting.mount() == words(status)


# --- who mounted what ---------------------------------------------------------------------------


def test_the_table_says_who_mounted_what_since_when(mounting: Mounting) -> None:
    credential = auth_sys(host=b"web-1")
    mounting.ask(MNT, counted(b"/main"), credential=credential)
    mounting.mount(address="192.0.2.2")
    assert list(mounting.mounts.entries()) == [
        Mount("192.0.2.1", b"web-1", b"/main", 1),
        Mount("192.0.2.2", b"", b"/main", 2),
    ]


def test_mounting_again_is_one_mount(mounting: Mounting) -> None:
    mounting.mount()
    mounting.mount()
    assert list(mounting.mounts.entries()) == [Mount("192.0.2.1", b"", b"/main", 2)]


def test_only_ones_own_mounts_are_unmounted(mounting: Mounting) -> None:
    mounting.mount()
    for procedure, arguments in ((UMNT, counted(b"/main")), (UMNTALL, b"")):
        mounting.ask(procedure, arguments, peer=a_peer("192.0.2.2"))
        mounting.ask(procedure, arguments, peer=a_peer(STRANGER))
        assert mounting.table() == [("192.0.2.1", b"/main")]
    mounting.ask(UMNT, counted(b"/other"))
    assert mounting.table() == [("192.0.2.1", b"/main")]
    mounting.ask(UMNT, counted(b"/main"))
    assert not mounting.table()


def test_umntall_takes_all_of_one_client() -> None:
    mounts = MountTable()
    for number in range(3):
        mounts.add("a", b"", b"/%d" % number)
    mounts.add("b", b"", b"/0")
    assert mounts.remove_all("a") == 3
    assert mounts.remove_all("a") == 0
    assert [entry.address for entry in mounts.entries()] == ["b"]
    assert len(mounts) == 1


def test_a_client_at_its_limit_loses_its_own_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounts_module, "CLIENT_MOUNTS_MAX", 2)
    mounts = MountTable()
    mounts.add("b", b"", b"/0")
    for path in (b"/1", b"/2", b"/1", b"/3"):
        mounts.add("a", b"", path)
    found = [(entry.address, entry.path) for entry in mounts.entries()]
    assert found == [("b", b"/0"), ("a", b"/1"), ("a", b"/3")]


def test_a_full_table_loses_the_oldest_of_who_mounted_least_recently(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mounts_module, "MOUNTS_MAX", 3)
    mounts = MountTable()
    for address, path in (("a", b"/1"), ("b", b"/1"), ("a", b"/2"), ("c", b"/1")):
        mounts.add(address, b"", path)
    found = [(entry.address, entry.path) for entry in mounts.entries()]
    assert found == [("a", b"/1"), ("a", b"/2"), ("c", b"/1")]


_addresses = st.sampled_from("abcd")
_paths = st.sampled_from([b"/1", b"/2", b"/3"])


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), _addresses, _paths),
            st.tuples(st.just("remove"), _addresses, _paths),
            st.tuples(st.just("remove_all"), _addresses, st.none()),
        )
    )
)
def test_the_table_is_a_set_of_pairs_that_never_passes_its_limits(
    steps: list[tuple[str, str, bytes | None]],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mounts_module, "MOUNTS_MAX", 5)
        patch.setattr(mounts_module, "CLIENT_MOUNTS_MAX", 2)
        mounts, model = MountTable(), set[tuple[str, bytes | None]]()
        for what, address, path in steps:
            if what == "add":
                assert path is not None
                mounts.add(address, b"", path)
                model.add((address, path))
            elif what == "remove":
                assert path is not None
                mounts.remove(address, path)
                model.discard((address, path))
            else:
                mounts.remove_all(address)
                model = {pair for pair in model if pair[0] != address}
            found = [(entry.address, entry.path) for entry in mounts.entries()]
            assert len(found) == len(set(found)) == len(mounts) <= 5
            assert set(found) <= model
            assert what != "add" or (address, path) in found
            model = set(found)


# --- the log ------------------------------------------------------------------------------------


def test_mounts_unmounts_and_refusals_are_a_line_each(
    mounting: Mounting, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "nfs.mount3")
    mounting.mount()
    mounting.mount(b"/main", STRANGER)
    mounting.ask(UMNT, counted(b"/main"))
    mounting.ask(UMNT, counted(b"/main"))
    lines = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert lines == [
        ("INFO", "192.0.2.1 mounted /main"),
        ("INFO", f"{STRANGER} mount refused (ACCES) /main"),
        ("INFO", "192.0.2.1 unmounted /main"),
    ]
    said = [(vars(record)["address"], vars(record)["path"]) for record in caplog.records]
    assert said == [("192.0.2.1", "/main"), (STRANGER, "/main"), ("192.0.2.1", "/main")]


def test_a_path_cannot_forge_a_line(mounting: Mounting, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "nfs.mount3")
    mounting.mount(b"/a\nERROR all is lost\x1b[2J\xff")
    (record,) = caplog.records
    assert record.getMessage().isprintable()
    assert vars(record)["path"].isprintable()
