"""rpcbind 3 and 4: their bytes, and the addresses that clients are told."""

from __future__ import annotations

import socket
import struct
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nfs import rpcbind, rpcbind_types
from nfs.codec import codec
from nfs.peer import Peer
from nfs.portmap import Registry
from nfs.rpcbind import Statistics
from nfs.rpcbind_types import (
    netbuf,
    rpcb,
    rpcb_entry,
    rpcb_entry_list,
    rpcb_stat_byvers,
    rpcblist,
    rpcbs_addrlist,
    universal_address,
)
from tests.nfs.answers import GARBAGE_ARGS, PROC_UNAVAIL, Asked, a_peer, a_program, spoiled
from tests.nfs.messages import Refusal, counted, words

NULL, SET, UNSET, GETADDR, DUMP, CALLIT, GETTIME, UADDR2TADDR, TADDR2UADDR = range(9)
GETVERSADDR, INDIRECT, GETADDRLIST, GETSTAT = range(9, 13)
NFS, MOUNT = 100003, 100005
NATIVE = "<" if sys.byteorder == "little" else ">"
SOCKADDR_IN = struct.pack(f"{NATIVE}H", socket.AF_INET) + b"\x08\x01\x0a\0\0\x01" + bytes(8)


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    nfs, mount = a_program(NFS, 3), a_program(MOUNT, 3)
    registry.add([nfs, mount], "tcp", "0.0.0.0", 2049)
    registry.add([mount], "udp", "0.0.0.0", 20048)
    registry.add([nfs], "tcp", "::", 2050)
    return registry


@pytest.fixture
def asked(registry: Registry) -> Asked:
    return Asked(rpcbind.program(registry, clock=lambda: 1_000_000_000.9))


def wanted(program: int, version: int = 3, netid: bytes = b"") -> bytes:
    """An rpcb, as a client that looks for a program sends it."""
    return words(program, version) + counted(netid) + counted(b"") + counted(b"")


def address(
    asked: Asked, program: int, version: int = 3, *, by: int = GETADDR, peer: Peer | None = None
) -> bytes:
    answer = asked.ask(4, by, wanted(program, version), peer=peer)
    return codec(universal_address).decode(answer).address


# --- bytes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [3, 4])
def test_getaddr_in_bytes(asked: Asked, version: int) -> None:
    arguments = (
        b"\0\x01\x86\xa3"  # r_prog: 100003, NFS
        b"\0\0\0\x03"  # r_vers: 3
        b"\0\0\0\x03tcp\0"  # r_netid
        b"\0\0\0\0"  # r_addr: empty
        b"\0\0\0\x04root"  # r_owner
    )
    assert asked.message(version, GETADDR, arguments) == (
        b"\0\0\0\x07"  # xid
        b"\0\0\0\x01"  # REPLY
        b"\0\0\0\0"  # MSG_ACCEPTED
        b"\0\0\0\0\0\0\0\0"  # verifier: AUTH_NONE, no bytes
        b"\0\0\0\0"  # SUCCESS
        b"\0\0\0\x0d192.0.2.9.8.1\0\0\0"  # port 2049 at the address that was called
    )


@pytest.mark.parametrize("version", [3, 4])
def test_dump_in_bytes(version: int) -> None:
    registry = Registry()
    registry.add([a_program(MOUNT, 3)], "udp", "::", 20048)
    assert Asked(rpcbind.program(registry)).ask(version, DUMP) == (
        b"\0\0\0\x01"  # an entry
        b"\0\x01\x86\xa5"  # r_prog: 100005, MOUNT
        b"\0\0\0\x03"  # r_vers: 3
        b"\0\0\0\x04udp6"  # r_netid
        b"\0\0\0\x08::.78.80"  # r_addr: all addresses, port 20048
        b"\0\0\0\x04fsgw"  # r_owner
        b"\0\0\0\0"  # no entry more
    )


@pytest.mark.parametrize("version", [3, 4])
def test_gettime_in_bytes(asked: Asked, version: int) -> None:
    assert asked.ask(version, GETTIME) == b"\x3b\x9a\xca\0"  # 1,000,000,000 s


@pytest.mark.parametrize("version", [3, 4])
def test_uaddr2taddr_in_bytes(asked: Asked, version: int) -> None:
    assert asked.ask(version, UADDR2TADDR, b"\0\0\0\x0c10.0.0.1.8.1") == (
        b"\0\0\0\x10"  # maxlen: 16
        b"\0\0\0\x10" + SOCKADDR_IN  # 16 bytes: family, port, address, 8 unused
    )
    assert asked.ask(version, UADDR2TADDR, counted(b"nobody")) == (
        b"\0\0\0\0"  # maxlen: 0
        b"\0\0\0\0"  # no bytes
    )


@pytest.mark.parametrize("version", [3, 4])
def test_taddr2uaddr_in_bytes(asked: Asked, version: int) -> None:
    arguments = (
        b"\0\0\0\x80"  # maxlen: 128
        b"\0\0\0\x10" + SOCKADDR_IN  # 16 bytes
    )
    assert asked.ask(version, TADDR2UADDR, arguments) == b"\0\0\0\x0c10.0.0.1.8.1"
    assert asked.ask(version, TADDR2UADDR, words(128) + counted(b"?")) == b"\0\0\0\0"


def test_getaddrlist_in_bytes(asked: Asked) -> None:
    assert asked.ask(4, GETADDRLIST, wanted(MOUNT)) == (
        b"\0\0\0\x01"  # an entry
        b"\0\0\0\x0f192.0.2.9.78.80\0"  # r_maddr
        b"\0\0\0\x03udp\0"  # r_nc_netid
        b"\0\0\0\x01"  # r_nc_semantics: NC_TPI_CLTS
        b"\0\0\0\x04inet"  # r_nc_protofmly
        b"\0\0\0\x03udp\0"  # r_nc_proto
        b"\0\0\0\x01"  # an entry
        b"\0\0\0\x0d192.0.2.9.8.1\0\0\0"  # r_maddr
        b"\0\0\0\x03tcp\0"  # r_nc_netid
        b"\0\0\0\x03"  # r_nc_semantics: NC_TPI_COTS_ORD
        b"\0\0\0\x04inet"  # r_nc_protofmly
        b"\0\0\0\x03tcp\0"  # r_nc_proto
        b"\0\0\0\0"  # no entry more
    )


def test_getstat_in_bytes(asked: Asked) -> None:
    asked.ask(3, GETADDR, wanted(NFS))
    nothing = bytes(4 * 13)
    assert (
        asked.ask(4, GETSTAT)
        == (
            nothing  # version 2: no calls of its 13 procedures
            + bytes(4 * 4)  # no SET, no UNSET succeeded; no look-up, no call passed on
            + bytes(4 * 3)
            + b"\0\0\0\x01"  # version 3: one call of procedure 3, GETADDR
            + bytes(4 * 9)
            + bytes(4 * 2)
            + b"\0\0\0\x01"  # a program that was looked up
            b"\0\x01\x86\xa3\0\0\0\x03"  # NFS 3
            b"\0\0\0\x01"  # found once
            b"\0\0\0\0"  # never missed
            b"\0\0\0\x03tcp\0"  # over TCP
            b"\0\0\0\0"  # no program more
            b"\0\0\0\0"  # no call passed on
            + bytes(4 * 12)
            + b"\0\0\0\x01"  # version 4: one call of procedure 12, GETSTAT
            + bytes(4 * 4)
        )
    )


@pytest.mark.parametrize("version", [3, 4])
def test_nobody_registers_anything(asked: Asked, registry: Registry, version: int) -> None:
    before = list(registry.services)
    for peer in (a_peer(), a_peer("127.0.0.1", local="127.0.0.1")):
        for procedure in (SET, UNSET):
            assert asked.ask(version, procedure, wanted(NFS), peer=peer) == b"\0\0\0\0"  # false
    assert registry.services == before


def test_calls_are_not_passed_on(asked: Asked) -> None:
    arguments = words(MOUNT, 3, 0, 0)
    for version, procedure in ((3, CALLIT), (4, CALLIT), (4, INDIRECT)):
        assert asked.refusal(version, procedure, arguments).status == PROC_UNAVAIL


def test_versions_and_procedures_that_there_are_not(asked: Asked) -> None:
    for version in (0, 1, 5):
        # PROG_MISMATCH, 2 to 4
        assert asked.refusal(version, NULL) == Refusal(7, False, 2, words(2, 4))
    for procedure in (GETVERSADDR, GETADDRLIST, GETSTAT):
        assert asked.refusal(3, procedure).status == PROC_UNAVAIL
    assert asked.refusal(4, 13).status == PROC_UNAVAIL


@pytest.mark.parametrize(
    ("procedure", "arguments"),
    [
        *((number, wanted(NFS, 3, b"tcp")) for number in (SET, UNSET, GETADDR)),
        *((number, wanted(NFS, 3, b"tcp")) for number in (GETVERSADDR, GETADDRLIST)),
        (UADDR2TADDR, counted(b"10.0.0.1.8.1")),
        (TADDR2UADDR, words(16) + counted(SOCKADDR_IN)),
        *((number, b"") for number in (NULL, DUMP, GETTIME, GETSTAT)),
    ],
)
def test_what_is_cut_or_followed_by_more_is_garbage(
    asked: Asked, procedure: int, arguments: bytes
) -> None:
    for version in (3, 4):
        if procedure in asked.program.versions[version]:
            for spoilt in spoiled(arguments):
                assert asked.refusal(version, procedure, spoilt).status == GARBAGE_ARGS


@pytest.mark.parametrize(
    ("procedure", "arguments"),
    [
        (GETADDR, words(NFS, 3) + counted(bytes(129)) + counted(b"") + counted(b"")),
        (GETADDR, words(NFS, 3) + counted(b"") + counted(bytes(129)) + counted(b"")),
        (GETADDR, words(NFS, 3) + counted(b"") + counted(b"") + counted(bytes(129))),
        (UADDR2TADDR, counted(bytes(129))),
        (TADDR2UADDR, words(0) + counted(bytes(129))),
        (GETADDR, words(NFS, 3, 3) + b"tcp\1" + bytes(8)),  # padding that is not zero
    ],
)
def test_what_is_over_long_is_garbage(asked: Asked, procedure: int, arguments: bytes) -> None:
    assert asked.refusal(4, procedure, arguments).status == GARBAGE_ARGS


_word, _int = st.integers(0, 2**32 - 1), st.integers(-(2**31), 2**31 - 1)
_text = st.binary(max_size=128)
_rpcb = st.builds(rpcb, _word, _word, _text, _text, _text)
_entry = st.builds(rpcb_entry, _text, _text, _word, _text, _text)
_lookup = st.builds(rpcbs_addrlist, _word, _word, _int, _int, _text)
_passed = st.builds(rpcbind_types.rpcbs_rmtcalllist, _word, _word, _word, _int, _int, _int, _text)
_counts = st.builds(rpcbind_types.rpcbs_proc, *[_int] * 13)
_stat = st.builds(
    rpcbind_types.rpcb_stat,
    _counts,
    _int,
    _int,
    st.lists(_lookup, max_size=2),
    st.lists(_passed, max_size=2),
)


@given(
    st.one_of(
        _rpcb,
        st.builds(rpcblist, st.lists(_rpcb, max_size=3)),
        st.builds(universal_address, _text),
        st.builds(netbuf, _word, _text),
        st.builds(rpcbind_types.seconds, _word),
        st.builds(rpcb_entry_list, st.lists(_entry, max_size=3)),
        st.builds(rpcb_stat_byvers, _stat, _stat, _stat),
    )
)
def test_every_type_survives_the_wire(value: Any) -> None:
    wire = codec(type(value))
    assert wire.decode(wire.encode(value)) == value


# --- which address ------------------------------------------------------------------------------


def test_an_address_is_of_the_transport_that_was_called_over(asked: Asked) -> None:
    udp = a_peer(transport="udp")
    six = a_peer("2001:db8::1", local="2001:db8::9")
    assert address(asked, NFS) == b"192.0.2.9.8.1"
    assert address(asked, NFS, peer=udp) == b""
    assert address(asked, MOUNT, peer=udp) == b"192.0.2.9.78.80"
    assert address(asked, NFS, peer=six) == b"2001:db8::9.8.2"
    assert address(asked, MOUNT, peer=six) == b""


def test_the_netid_that_the_caller_names_changes_nothing(asked: Asked) -> None:
    for netid in (b"", b"udp", b"tcp6", b"local", b"\xff"):
        answer = asked.ask(4, GETADDR, wanted(NFS, 3, netid))
        assert codec(universal_address).decode(answer).address == b"192.0.2.9.8.1"


def test_an_unknown_address_of_ours_is_any(asked: Asked) -> None:
    assert address(asked, NFS, peer=a_peer(local="")) == b"0.0.0.0.8.1"
    assert address(asked, NFS, peer=a_peer("::1", local="")) == b"::.8.2"


def test_an_address_that_is_not_reached_is_not_told() -> None:
    registry = Registry()
    registry.add([a_program(NFS, 3)], "tcp", "127.0.0.1", 2049)
    asked = Asked(rpcbind.program(registry))
    assert address(asked, NFS) == b""
    assert address(asked, NFS, peer=a_peer("127.0.0.1", local="127.0.0.1")) == b"127.0.0.1.8.1"


def test_only_getversaddr_insists_on_the_version(asked: Asked) -> None:
    assert address(asked, NFS, 2) == b"192.0.2.9.8.1"
    assert address(asked, NFS, 2, by=GETVERSADDR) == b""
    assert address(asked, NFS, 3, by=GETVERSADDR) == b"192.0.2.9.8.1"
    assert address(asked, 1, by=GETVERSADDR) == address(asked, 1) == b""
    assert asked.ask(4, GETADDRLIST, wanted(NFS, 2)) == words(0)


def test_the_list_holds_the_callers_family(asked: Asked) -> None:
    six = a_peer("2001:db8::1", local="2001:db8::9")
    answer = asked.ask(4, GETADDRLIST, wanted(NFS), peer=six)
    assert codec(rpcb_entry_list).decode(answer).entries == [
        rpcb_entry(b"2001:db8::9.8.2", b"tcp6", 3, b"inet6", b"tcp")
    ]


# --- statistics ---------------------------------------------------------------------------------


def statistics(asked: Asked) -> rpcb_stat_byvers:
    return codec(rpcb_stat_byvers).decode(asked.ask(4, GETSTAT))


def test_look_ups_are_counted_by_version_program_and_outcome(asked: Asked) -> None:
    for _ in range(2):
        asked.ask(2, GETADDR, words(MOUNT, 3, 17, 0))
    asked.ask(2, GETADDR, words(NFS, 3, 17, 0))
    asked.ask(4, GETVERSADDR, wanted(NFS, 4))
    asked.ask(4, GETVERSADDR, wanted(NFS, 3))
    found = statistics(asked)
    assert found.portmap.addrinfo == [
        rpcbs_addrlist(MOUNT, 3, 2, 0, b"udp"),
        rpcbs_addrlist(NFS, 3, 0, 1, b"udp"),
    ]
    assert found.portmap.info.getaddr == 3
    assert sorted(found.rpcbind4.addrinfo) == [
        rpcbs_addrlist(NFS, 3, 1, 0, b"tcp"),
        rpcbs_addrlist(NFS, 4, 0, 1, b"tcp"),
    ]
    assert found.rpcbind4.info.getversaddr == 2
    assert not found.rpcbind3.addrinfo


def test_all_calls_are_counted_but_those_refused(asked: Asked) -> None:
    asked.ask(3, NULL)
    asked.ask(3, SET, wanted(NFS))
    asked.refusal(3, GETTIME, bytes(4))
    asked.refusal(3, CALLIT)
    found = statistics(asked).rpcbind3
    assert found.info == (1, 1) + (0,) * 11
    assert found.setinfo == found.unsetinfo == 0


def test_programs_made_up_by_clients_do_not_fill_the_memory(asked: Asked) -> None:
    for number in range(1000):
        asked.ask(3, GETADDR, wanted(number))
    asked.ask(3, GETADDR, wanted(NFS))
    found = statistics(asked).rpcbind3
    assert len(found.addrinfo) == 33
    assert rpcbs_addrlist(NFS, 3, 1, 0, b"tcp") in found.addrinfo
    assert found.info.getaddr == 1001


def test_a_counter_stays_at_the_highest_that_the_wire_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    figures = Statistics()
    for _ in range(3):
        figures.called(3, NULL)
    assert figures.of(3).info.null == 3
    monkeypatch.setitem(figures._calls, (3, NULL), 2**40)
    assert codec(rpcbind_types.rpcb_stat).encode(figures.of(3))[:4] == b"\x7f\xff\xff\xff"
