"""Universal addresses and sockaddrs, to and fro, and what is neither."""

from __future__ import annotations

import ipaddress
import socket
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nfs.universal import (
    TADDR_BYTES_MAX,
    TRANSPORTS,
    UADDR_BYTES_MAX,
    netid,
    parse_taddr,
    parse_uaddr,
    taddr,
    uaddr,
)

_hosts = st.ip_addresses().map(str)
_ports = st.integers(0, 65535)


def test_an_address_as_rpcbind_writes_it() -> None:
    assert uaddr("10.0.0.1", 2049) == b"10.0.0.1.8.1"
    assert uaddr("::", 111) == b"::.0.111"
    assert uaddr("fe80::1%eth0", 111) == b"fe80::1.0.111"


@given(_hosts, _ports)
def test_addresses_survive_both_forms(host: str, port: int) -> None:
    text, packed = uaddr(host, port), taddr(host, port)
    assert parse_uaddr(text) == parse_taddr(packed) == (host, port)
    assert len(text) <= UADDR_BYTES_MAX
    assert len(packed) <= TADDR_BYTES_MAX


@given(_hosts, _ports)
def test_a_sockaddr_is_the_machines(host: str, port: int) -> None:
    packed = taddr(host, port)
    family = int.from_bytes(packed[:2], sys.byteorder)
    six = ipaddress.ip_address(host).version == 6
    assert family == (socket.AF_INET6 if six else socket.AF_INET)
    start, length = (8, 16) if six else (4, 4)
    assert packed[start : start + length] == socket.inet_pton(family, host)
    assert len(packed) == (28 if six else 16)
    assert packed[2:4] == port.to_bytes(2, "big")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b".",
        b"..",
        b"10.0.0.1",
        b"10.0.0.1.8",
        b"10.0.0.1.8.256",
        b"10.0.0.1.8.1000",
        b"10.0.0.1.-8.1",
        b"10.0.0.1.8.+1",
        b"10.0.0.1. 8.1",
        b"10.0.0.1.8.\xb2",
        b"10.0.0.1.8.\xd9\xa1",
        b"10.0.0.01.8.1",
        b"256.0.0.1.8.1",
        b"localhost.8.1",
        b"/run/rpcbind.sock",
        b":::.8.1",
    ],
)
def test_what_is_no_universal_address(text: bytes) -> None:
    assert parse_uaddr(text) is None


@given(st.binary(max_size=TADDR_BYTES_MAX))
def test_any_bytes_are_an_address_or_none(data: bytes) -> None:
    for parsed in (parse_uaddr(data), parse_taddr(data)):
        assert parsed is None or 0 <= parsed[1] <= 65535


@given(_hosts, _ports)
def test_a_sockaddr_of_another_length_is_none(host: str, port: int) -> None:
    packed = taddr(host, port)
    for length in range(len(packed)):
        assert parse_taddr(packed[:length]) is None
    assert parse_taddr(packed + b"\0") is None


def test_network_ids() -> None:
    found = {netid(name, host) for name in ("tcp", "udp") for host in ("0.0.0.0", "::1")}
    assert found == set(TRANSPORTS)
