"""RPC messages put together by hand, so that no test of a reader relies on our writers."""

from __future__ import annotations

import struct
from typing import NamedTuple

# A credential or verifier of AUTH_NONE: flavour 0, no bytes.
NO_AUTH = bytes(8)


def words(*numbers: int) -> bytes:
    """32-bit numbers."""
    return struct.pack(f"!{len(numbers)}I", *numbers)


def counted(data: bytes) -> bytes:
    """Opaque data of variable length."""
    return words(len(data)) + data + bytes(-len(data) % 4)


def auth(flavour: int, body: bytes) -> bytes:
    """opaque_auth (RFC 5531 8.2)."""
    return words(flavour) + counted(body)


def auth_sys(
    uid: int = 0, gid: int = 0, groups: tuple[int, ...] = (), *, stamp: int = 0, host: bytes = b"vm"
) -> bytes:
    """A credential of AUTH_SYS (RFC 5531 appendix A)."""
    body = words(stamp) + counted(host) + words(uid, gid, len(groups), *groups)
    return auth(1, body)


def call_message(
    xid: int,
    program: int,
    version: int,
    procedure: int,
    arguments: bytes = b"",
    *,
    credential: bytes = NO_AUTH,
    verifier: bytes = NO_AUTH,
) -> bytes:
    """A call (RFC 5531 section 9)."""
    return words(xid, 0, 2, program, version, procedure) + credential + verifier + arguments


class Reply(NamedTuple):
    """A reply that was accepted and succeeded: its xid and results."""

    xid: int
    results: bytes


class Refusal(NamedTuple):
    """Any other reply: its xid, reply_stat, the status below it, and what follows."""

    xid: int
    denied: bool
    status: int
    rest: bytes


def read_reply(message: bytes) -> Reply | Refusal:
    """What a server's message says. Raises AssertionError where it is no valid reply."""
    assert len(message) % 4 == 0, "no XDR at all"
    xid, kind, stat = struct.unpack_from("!III", message)
    assert kind == 1, "no reply"
    if stat == 1:
        (why,) = struct.unpack_from("!I", message, 12)
        rest = message[16:]
        assert why in (0, 1), "reject_stat"
        assert len(rest) == (8 if why == 0 else 4), "length of a denial"
        return Refusal(xid, True, why, rest)
    assert stat == 0, "reply_stat"
    flavour, length, status = struct.unpack_from("!III", message, 12)
    assert (flavour, length) == (0, 0), "a verifier of AUTH_NONE"
    rest = message[24:]
    if status == 0:
        return Reply(xid, rest)
    assert status <= 5, "accept_stat"
    assert len(rest) == (8 if status == 2 else 0), "length of a refusal"
    return Refusal(xid, False, status, rest)
