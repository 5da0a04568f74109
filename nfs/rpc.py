"""ONC RPC version 2 (RFC 5531): call headers, credentials, and the replies there are.

From a message to a `Call` and its arguments, and from an outcome to a reply. Pure: no program is
known here, and no socket.
"""

from __future__ import annotations

import enum
import struct
from typing import Annotated, NamedTuple

from nfs.codec import codec
from nfs.xdr import Buffer, XdrError, array, string, uint32
from store.types import Caller

RPC_VERSION = 2
CALL, REPLY = 0, 1
MSG_ACCEPTED, MSG_DENIED = 0, 1
RPC_MISMATCH, AUTH_ERROR = 0, 1
AUTH_NONE, AUTH_SYS = 0, 1
AUTH_BYTES_MAX = 400


class AcceptStat(enum.IntEnum):
    """accept_stat (RFC 5531 section 9)."""

    SUCCESS = 0
    PROG_UNAVAIL = 1
    PROG_MISMATCH = 2
    PROC_UNAVAIL = 3
    GARBAGE_ARGS = 4
    SYSTEM_ERR = 5


class AuthStat(enum.IntEnum):
    """auth_stat, as far as a server without RPCSEC_GSS gives it (RFC 5531 section 9)."""

    BADCRED = 1
    BADVERF = 3
    TOOWEAK = 5


class authsys_parms(NamedTuple):  # noqa: N801
    """RFC 5531 appendix A."""

    stamp: uint32
    machinename: Annotated[bytes, string(255)]
    uid: uint32
    gid: uint32
    gids: Annotated[list[int], array(uint32, 16)]


class BadMessage(ValueError):
    """Bytes that are no RPC call; there is nothing that could be answered."""


class Refused(Exception):
    """A call that is answered by a refusal; `reply` is all that follows the xid."""

    def __init__(self, reply: bytes) -> None:
        super().__init__(reply)
        self.reply = reply


class Header(NamedTuple):
    """A call's header. `credential` is flavour, length and body as they came, to compare."""

    xid: int
    program: int
    version: int
    procedure: int
    flavour: int
    credential: bytes
    end: int


_HEADER = struct.Struct("!IIIIIIII")
_TWO = struct.Struct("!II")
_FIXED_BYTES = _HEADER.size


def header(message: Buffer) -> Header:
    """A call's header. Raises BadMessage; Refused for another version of RPC or bad credentials."""
    try:
        xid, kind, rpc_version, program, version, procedure, flavour, length = _HEADER.unpack_from(
            message
        )
    except struct.error:
        raise BadMessage("a message shorter than a call's header") from None
    if kind != CALL:
        raise BadMessage("a message that is no call")
    if rpc_version != RPC_VERSION:
        raise Refused(denied_version())
    if length > AUTH_BYTES_MAX:
        raise Refused(denied_auth(AuthStat.BADCRED))
    end = _FIXED_BYTES + (length + 3 & ~3)
    try:
        _, verifier_length = _TWO.unpack_from(message, end)
    except struct.error:
        raise BadMessage("a message shorter than a call's header") from None
    if verifier_length > AUTH_BYTES_MAX:
        raise Refused(denied_auth(AuthStat.BADVERF))
    credential = bytes(message[24 : _FIXED_BYTES + length])
    end += 8 + (verifier_length + 3 & ~3)
    if end > len(message):
        raise BadMessage("a message shorter than a call's header")
    return Header(xid, program, version, procedure, flavour, credential, end)


_parms = codec(authsys_parms)


def caller(flavour: int, credential: bytes) -> Caller | None:
    """Who calls, as the credential says; None for AUTH_NONE. Raises Refused."""
    body = credential[8:]
    if flavour == AUTH_SYS:
        try:
            parms = _parms.decode(body)
        except XdrError:
            raise Refused(denied_auth(AuthStat.BADCRED)) from None
        return Caller(parms.uid, parms.gid, frozenset(parms.gids))
    if flavour == AUTH_NONE:
        return None
    # RPCSEC_GSS is not spoken here, nor TLS (RFC 9289 4.1: that is how a server says so).
    raise Refused(denied_auth(AuthStat.BADCRED))


# --- replies: all that follows the xid ----------------------------------------------------------

# REPLY, MSG_ACCEPTED, a verifier of AUTH_NONE, SUCCESS; the results follow.
SUCCESS = struct.pack("!IIIII", REPLY, MSG_ACCEPTED, AUTH_NONE, 0, AcceptStat.SUCCESS)


def accepted(status: AcceptStat) -> bytes:
    """A refusal without more to say: PROG_UNAVAIL, PROC_UNAVAIL, GARBAGE_ARGS, SYSTEM_ERR."""
    return struct.pack("!IIIII", REPLY, MSG_ACCEPTED, AUTH_NONE, 0, status)


def mismatch(low: int, high: int) -> bytes:
    """PROG_MISMATCH, with the versions that there are."""
    return accepted(AcceptStat.PROG_MISMATCH) + _TWO.pack(low, high)


def denied_version() -> bytes:
    """RPC_MISMATCH, with the versions of RPC that there are."""
    return struct.pack("!IIIII", REPLY, MSG_DENIED, RPC_MISMATCH, RPC_VERSION, RPC_VERSION)


def denied_auth(status: AuthStat) -> bytes:
    """AUTH_ERROR."""
    return struct.pack("!IIII", REPLY, MSG_DENIED, AUTH_ERROR, status)


def xid_of(message: Buffer) -> int:
    """The xid of a message of at least four bytes."""
    return int.from_bytes(message[:4], "big")
