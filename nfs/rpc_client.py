"""A client of other hosts' (or this host's) RPC programs, over one stream, a call at a time.

For the few calls that a server makes itself. Knows no program.
"""

# ruff: noqa: N801  the RFC's names

from __future__ import annotations

import itertools
import struct
from typing import Annotated, Any, NamedTuple, TypeVar

import trio

from nfs.codec import codec
from nfs.record import RecordReader, RecordTooLong, mark
from nfs.rpc import (
    AUTH_BYTES_MAX,
    AUTH_NONE,
    CALL,
    MSG_ACCEPTED,
    MSG_DENIED,
    REPLY,
    RPC_VERSION,
    AcceptStat,
)
from nfs.xdr import Codec, XdrError, enum, opaque, uint32, union

R = TypeVar("R")

# A list of all that is registered on a host with thousands of services is far smaller.
_REPLY_BYTES_MAX = 1 << 20


class RpcFailed(Exception):
    """No result of a call: not reached, refused, or answered by what is no answer."""


class opaque_auth(NamedTuple):
    """RFC 5531 8.2."""

    flavor: uint32
    body: Annotated[bytes, opaque(AUTH_BYTES_MAX)]


class call_header(NamedTuple):
    """RFC 5531 9: rpc_msg and call_body, up to the arguments."""

    xid: uint32
    mtype: uint32
    rpcvers: uint32
    prog: uint32
    vers: uint32
    proc: uint32
    cred: opaque_auth
    verf: opaque_auth


class accepted_reply(NamedTuple):
    """RFC 5531 9, up to the results."""

    verf: opaque_auth
    stat: uint32


class reply_header(NamedTuple):
    """RFC 5531 9: rpc_msg and reply_body, up to the results."""

    xid: uint32
    mtype: Annotated[int, enum(REPLY)]
    body: Annotated[
        tuple[int, accepted_reply | None],
        union(enum(MSG_ACCEPTED, MSG_DENIED), {MSG_ACCEPTED: accepted_reply}),
    ]


_NO_AUTH = opaque_auth(AUTH_NONE, b"")
_call = codec(call_header)
_reply = codec(reply_header)


def call_message(xid: int, program: int, version: int, procedure: int, arguments: bytes) -> bytes:
    """A call without credentials; `arguments` are encoded."""
    header = call_header(xid, CALL, RPC_VERSION, program, version, procedure, _NO_AUTH, _NO_AUTH)
    return _call.encode(header) + arguments


def result_of(message: bytes, xid: int, kind: Codec[R]) -> R:
    """The result in the reply to a call. Raises RpcFailed."""
    try:
        header, end = _reply.unpack(message, 0)
        _, accepted = header.body
        if header.xid != xid:
            raise RpcFailed("a reply to another call")
        if accepted is None:
            raise RpcFailed("the call was denied")
        if accepted.stat != AcceptStat.SUCCESS:
            raise RpcFailed(f"the call was refused, status {accepted.stat}")
        return kind.decode(message, end)
    except (XdrError, struct.error) as error:
        raise RpcFailed(f"no valid reply: {error}") from None


class RpcClient:
    """Calls over a stream that is open already, and stays the caller's to close."""

    def __init__(self, stream: trio.abc.Stream, timeout_s: float) -> None:
        """`timeout_s` is how long each call may take."""
        self._stream, self._timeout_s = stream, timeout_s
        self._reader = RecordReader(_REPLY_BYTES_MAX)
        self._xids = itertools.count(1)

    async def call(
        self, program: int, version: int, procedure: int, arguments: Any, result: type[R]
    ) -> R:
        """Call a procedure with arguments of a wire type; its result. Raises RpcFailed."""
        xid = next(self._xids)
        encoded = codec(type(arguments)).encode(arguments)
        message = call_message(xid, program, version, procedure, encoded)
        try:
            with trio.fail_after(self._timeout_s):
                await self._stream.send_all(mark(len(message)) + message)
                reply = await self._record()
        except trio.TooSlowError:
            raise RpcFailed(f"no answer in {self._timeout_s} s") from None
        except (trio.BrokenResourceError, RecordTooLong) as error:
            raise RpcFailed(f"the connection failed: {error}") from error
        return result_of(reply, xid, codec(result))

    async def _record(self) -> bytes:
        while (record := self._reader.record()) is None:
            data = await self._stream.receive_some(len(self._reader.room()))
            if not data:
                raise RpcFailed("the connection was closed")
            self._reader.room()[: len(data)] = data
            self._reader.received(len(data))
        return bytes(record)
