"""The RPC client: its calls' bytes, what it takes for a reply, and peers that do not answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

import pytest
import trio
from trio.testing import MockClock, memory_stream_pair

from nfs.codec import codec
from nfs.rpc_client import RpcClient, RpcFailed, call_message, result_of
from nfs.xdr import uint32
from tests.nfs.messages import words

TIMEOUT_S = 5.0
# Reply to call 1: REPLY, MSG_ACCEPTED, a verifier of AUTH_NONE, SUCCESS; the number 42.
REPLY = words(1, 1, 0, 0, 0, 0, 42)


class Number(NamedTuple):
    """The one argument and result."""

    value: uint32


number = codec(Number)


def test_a_call_in_bytes() -> None:
    assert call_message(1, 100000, 2, 3, b"args") == (
        b"\0\0\0\x01"  # xid
        b"\0\0\0\0"  # CALL
        b"\0\0\0\x02"  # RPC version 2
        b"\0\x01\x86\xa0"  # program 100000
        b"\0\0\0\x02"  # version 2
        b"\0\0\0\x03"  # procedure 3
        b"\0\0\0\0\0\0\0\0"  # credential: AUTH_NONE, no bytes
        b"\0\0\0\0\0\0\0\0"  # verifier: AUTH_NONE, no bytes
        b"args"
    )


def test_a_reply_is_read() -> None:
    assert result_of(REPLY, 1, number) == Number(42)
    verified = words(1, 1, 0, 6, 4) + b"mac\0" + words(0, 42)
    assert result_of(verified, 1, number) == Number(42)


@pytest.mark.parametrize(
    "reply",
    [
        *(REPLY[:length] for length in range(len(REPLY))),
        REPLY + bytes(4),
        words(2, 1, 0, 0, 0, 0, 42),  # to another call
        words(1, 0, 0, 0, 0, 0, 42),  # a call
        words(1, 1, 2, 0, 0, 0, 42),  # neither accepted nor denied
        words(1, 1, 1, 0, 2, 2),  # denied: RPC_MISMATCH
        words(1, 1, 1, 1, 5),  # denied: AUTH_TOOWEAK
        *(words(1, 1, 0, 0, 0, status) for status in range(1, 6)),
        words(1, 1, 0, 0, 401) + bytes(404),  # a verifier over 400 bytes
    ],
)
def test_anything_else_is_a_failure(reply: bytes) -> None:
    with pytest.raises(RpcFailed):
        result_of(reply, 1, number)


def converse(peer: Callable[[trio.abc.Stream], Awaitable[None]], calls: int = 1) -> list[Number]:
    """The results of so many calls to a peer, on a clock that leaps when everybody waits."""

    async def ask(client: RpcClient) -> list[Number] | RpcFailed:
        try:
            return [
                await client.call(200000, 1, 1, Number(value), Number) for value in range(calls)
            ]
        except RpcFailed as failure:
            return failure

    async def main() -> list[Number] | RpcFailed:
        ours, theirs = memory_stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer, theirs)
            found = await ask(RpcClient(ours, TIMEOUT_S))
            nursery.cancel_scope.cancel()
        return found

    found = trio.run(main, clock=MockClock(autojump_threshold=0))
    if isinstance(found, RpcFailed):
        raise found
    return found


async def _read(stream: trio.abc.Stream) -> bytes:
    data = b""
    while len(data) < 48:
        data += bytes(await stream.receive_some())
    return data


async def echo(stream: trio.abc.Stream) -> None:
    while True:
        call = await _read(stream)
        reply = call[4:8] + words(1, 0, 0, 0, 0) + call[44:]
        record = words(0x8000_0000 | len(reply)) + reply
        for byte in record:
            await stream.send_all(bytes([byte]))


async def silence(stream: trio.abc.Stream) -> None:
    await trio.sleep_forever()


async def farewell(stream: trio.abc.Stream) -> None:
    await _read(stream)
    await stream.aclose()


async def flood(stream: trio.abc.Stream) -> None:
    await _read(stream)
    await stream.send_all(words(0xFFFF_FFFF))


async def dribble(stream: trio.abc.Stream) -> None:
    await stream.send_all(words(0x8000_0000 | 1000))
    while True:
        await stream.send_all(b"\0")
        await trio.sleep(1)


def test_calls_follow_one_another_on_one_stream() -> None:
    assert converse(echo, calls=3) == [Number(0), Number(1), Number(2)]


@pytest.mark.parametrize(
    "peer", [silence, farewell, flood, dribble], ids=lambda peer: peer.__name__
)
def test_a_peer_that_does_not_answer_is_a_failure(
    peer: Callable[[trio.abc.Stream], Awaitable[None]],
) -> None:
    with pytest.raises(RpcFailed):
        converse(peer)


def test_a_stream_that_was_closed_is_a_failure() -> None:
    async def gone(stream: trio.abc.Stream) -> None:
        await stream.aclose()

    with pytest.raises(RpcFailed):
        converse(gone, calls=2)
