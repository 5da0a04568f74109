"""The port mapper's version 2: its bytes, and which port a client is told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nfs import rpcbind
from nfs.codec import codec
from nfs.portmap import Registry, Service, flag, mapping, pmaplist, port_number
from tests.nfs.answers import GARBAGE_ARGS, PROC_UNAVAIL, Asked, a_peer, a_program, spoiled
from tests.nfs.messages import words

NULL, SET, UNSET, GETPORT, DUMP, CALLIT = range(6)
TCP, UDP = 6, 17
NFS, MOUNT = 100003, 100005


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    nfs, mount = a_program(NFS, 3), a_program(MOUNT, 3)
    registry.add([nfs, mount], "tcp", "0.0.0.0", 2049)
    registry.add([mount], "udp", "0.0.0.0", 20048)
    registry.add([nfs, mount], "tcp", "::", 2050)
    return registry


@pytest.fixture
def asked(registry: Registry) -> Asked:
    return Asked(rpcbind.program(registry))


def getport(asked: Asked, program: int, version: int, protocol: int, **peer: str) -> int:
    arguments = words(program, version, protocol, 0)
    answer = asked.ask(2, GETPORT, arguments, peer=a_peer(**peer))
    return codec(port_number).decode(answer).port


# --- bytes ------------------------------------------------------------------------------------


def test_getport_in_bytes(asked: Asked) -> None:
    arguments = (
        b"\0\x01\x86\xa3"  # prog: 100003, NFS
        b"\0\0\0\x03"  # vers: 3
        b"\0\0\0\x06"  # prot: TCP
        b"\0\0\0\0"  # port: ignored
    )
    assert asked.message(2, GETPORT, arguments) == (
        b"\0\0\0\x07"  # xid
        b"\0\0\0\x01"  # REPLY
        b"\0\0\0\0"  # MSG_ACCEPTED
        b"\0\0\0\0\0\0\0\0"  # verifier: AUTH_NONE, no bytes
        b"\0\0\0\0"  # SUCCESS
        b"\0\0\x08\x01"  # 2049
    )


def test_dump_in_bytes(asked: Asked) -> None:
    assert asked.ask(2, DUMP) == (
        b"\0\0\0\x01"  # an entry
        b"\0\x01\x86\xa3\0\0\0\x03\0\0\0\x06\0\0\x08\x01"  # NFS 3, TCP, 2049
        b"\0\0\0\x01"  # an entry
        b"\0\x01\x86\xa5\0\0\0\x03\0\0\0\x06\0\0\x08\x01"  # MOUNT 3, TCP, 2049
        b"\0\0\0\x01"  # an entry
        b"\0\x01\x86\xa5\0\0\0\x03\0\0\0\x11\0\0\x4e\x50"  # MOUNT 3, UDP, 20048
        b"\0\0\0\0"  # no entry more; those over IPv6 have no place here
    )


def test_nobody_registers_anything(asked: Asked, registry: Registry) -> None:
    before = list(registry.services)
    for peer in (a_peer(), a_peer("127.0.0.1", local="127.0.0.1")):
        for procedure in (SET, UNSET):
            arguments = words(NFS, 3, TCP, 2049)
            assert asked.ask(2, procedure, arguments, peer=peer) == b"\0\0\0\0"  # false
    assert registry.services == before


def test_calls_are_not_passed_on(asked: Asked) -> None:
    arguments = words(MOUNT, 3, 0, 0)
    assert asked.refusal(2, CALLIT, arguments).status == PROC_UNAVAIL


@pytest.mark.parametrize("procedure", [SET, UNSET, GETPORT])
def test_a_mapping_cut_or_followed_by_more_is_garbage(asked: Asked, procedure: int) -> None:
    for arguments in spoiled(words(NFS, 3, TCP, 0)):
        assert asked.refusal(2, procedure, arguments).status == GARBAGE_ARGS


@pytest.mark.parametrize("procedure", [NULL, DUMP])
def test_arguments_where_there_are_none_are_garbage(asked: Asked, procedure: int) -> None:
    assert asked.refusal(2, procedure, bytes(4)).status == GARBAGE_ARGS


_word = st.integers(0, 2**32 - 1)
_mapping = st.builds(mapping, _word, _word, _word, _word)


@given(
    st.one_of(
        _mapping,
        st.builds(pmaplist, st.lists(_mapping, max_size=4)),
        st.builds(flag, st.booleans()),
        st.builds(port_number, _word),
    )
)
def test_every_type_survives_the_wire(value: Any) -> None:
    wire = codec(type(value))
    assert wire.decode(wire.encode(value)) == value


# --- which port -------------------------------------------------------------------------------


def test_ports_are_those_of_the_protocol(asked: Asked) -> None:
    assert getport(asked, NFS, 3, TCP) == 2049
    assert getport(asked, NFS, 3, UDP) == 0
    assert getport(asked, MOUNT, 3, UDP) == 20048
    assert getport(asked, 100021, 4, TCP) == 0
    for protocol in (0, 1, 132, 2**32 - 1):
        assert getport(asked, NFS, 3, protocol) == 0


def test_ports_are_those_of_the_family_that_the_client_called(asked: Asked) -> None:
    assert getport(asked, NFS, 3, TCP, address="::1", local="::1") == 2050
    assert getport(asked, MOUNT, 3, UDP, address="::1", local="::1") == 0


def test_a_version_that_is_not_there_leads_to_one_that_is(asked: Asked) -> None:
    # Where PROG_MISMATCH says which there are.
    assert getport(asked, NFS, 2, TCP) == 2049


def test_the_version_wanted_comes_first() -> None:
    registry = Registry()
    registry.add([a_program(MOUNT, 1)], "tcp", "0.0.0.0", 1001)
    registry.add([a_program(MOUNT, 3)], "tcp", "0.0.0.0", 1003)
    asked = Asked(rpcbind.program(registry))
    assert getport(asked, MOUNT, 3, TCP) == 1003
    assert getport(asked, MOUNT, 1, TCP) == 1001
    assert getport(asked, MOUNT, 2, TCP) == 1001


def test_a_port_is_one_at_the_address_that_the_client_called() -> None:
    registry = Registry()
    registry.add([a_program(NFS, 3)], "tcp", "127.0.0.1", 1001)
    registry.add([a_program(NFS, 3)], "tcp", "192.0.2.9", 1002)
    asked = Asked(rpcbind.program(registry))
    assert getport(asked, NFS, 3, TCP, local="127.0.0.1") == 1001
    assert getport(asked, NFS, 3, TCP, local="192.0.2.9") == 1002
    assert getport(asked, NFS, 3, TCP, local="192.0.2.10") == 0
    assert getport(asked, NFS, 3, TCP, local="") == 1001


def test_one_port_at_two_addresses_is_listed_once() -> None:
    registry = Registry()
    for address in ("127.0.0.1", "192.0.2.9"):
        registry.add([a_program(NFS, 3)], "tcp", address, 2049)
    asked = Asked(rpcbind.program(registry))
    listed = codec(pmaplist).decode(asked.ask(2, DUMP))
    assert listed.entries == [mapping(NFS, 3, TCP, 2049)]


def test_every_version_of_a_program_is_added() -> None:
    registry = Registry()
    registry.add([a_program(100000, 2, 3, 4)], "udp", "::1", 111)
    assert registry.services == [
        Service(100000, version, "udp", "::1", 111) for version in (2, 3, 4)
    ]
    assert {service.netid for service in registry.services} == {"udp6"}
