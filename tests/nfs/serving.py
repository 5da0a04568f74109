"""A gateway with its network: the server and the committer in one event loop, on loopback.

For tests of what only sockets show. The clients are in the same loop, so that nothing here waits
for another process, and what a test has to wait for is always an answer or the end of a stream.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from fsgw.committer import Committer
from nfs import mount3, nfs3, rpcbind
from nfs.connection import Limits
from nfs.dispatch import Dispatcher
from nfs.mounts import MountTable
from nfs.portmap import Registry
from nfs.record import mark
from nfs.server import Server, Timeouts, listen
from tests.nfs.client import Client
from tests.nfs.gateway import Gateway
from tests.nfs.messages import Refusal, Reply, read_reply


def programs(gw: Gateway) -> list[Any]:
    """All programs that answer on the one port."""
    return [
        nfs3.program(gw.door),
        mount3.program(gw.realm, MountTable()),
        rpcbind.program(Registry()),
    ]


class Line:
    """A client's end of one connection."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._received = bytearray()

    async def send(self, data: bytes) -> None:
        """Bytes as they are."""
        await self.stream.send_all(data)

    async def call(self, message: bytes) -> None:
        """A call, in a record of one fragment."""
        await self.stream.send_all(mark(len(message)) + message)

    async def record(self) -> bytes | None:
        """The next record; None at the end of the stream."""
        head = await self._exactly(4)
        if head is None:
            return None
        (word,) = struct.unpack("!I", head)
        assert word & 0x8000_0000, "a reply in fragments"
        return await self._exactly(word & 0x7FFF_FFFF)

    async def _exactly(self, count: int) -> bytes | None:
        while len(self._received) < count:
            try:
                data = await self.stream.receive_some(1 << 18)
            except trio.BrokenResourceError:
                data = b""
            if not data:
                return None
            self._received += data
        found = bytes(self._received[:count])
        del self._received[:count]
        return found

    async def reply(self) -> Reply | Refusal:
        """The next reply, of which there must be one."""
        record = await self.record()
        assert record is not None, "the server hung up"
        return read_reply(record)

    async def exchange(self, message: bytes) -> Reply | Refusal:
        """The answer to a call, with nothing else under way."""
        await self.call(message)
        reply = await self.reply()
        assert reply.xid == int.from_bytes(message[:4], "big")
        return reply

    async def is_over(self) -> bool:
        """Wait for the end of the stream; whether nothing came before it."""
        return await self.record() is None

    async def close(self) -> None:
        """Hang up."""
        await self.stream.aclose()


class Serving:
    """A server at work for a gateway."""

    def __init__(self, gw: Gateway, limits: Limits, most: int, timeouts: Timeouts) -> None:
        self.gw = gw
        self.committer = Committer(gw.store)
        self.dispatcher = Dispatcher(programs(gw), self.committer)
        self.server = Server(self.dispatcher, self.committer.tick, limits, most, timeouts)
        self.committer.answered = self.server.push
        self.port = 0
        self._lines: list[Line] = []

    async def line(self, source: str = "127.0.0.1") -> Line:
        """A new connection, from an address of the loopback network."""
        line = Line(await trio.open_tcp_stream("127.0.0.1", self.port, local_address=source))
        self._lines.append(line)
        return line

    def hang_up(self) -> None:
        """End all connections from the clients' side."""
        for line in self._lines:
            line.stream.socket.close()

    def client(self, uid: int = 0) -> Client:
        """What makes calls up for a line; sends none itself."""
        return Client(self.gw, uid, uid, address="127.0.0.1")

    async def gone(self) -> None:
        """Return once the server has forgotten all connections."""
        while self.server.connections():
            await trio.lowlevel.checkpoint()


@asynccontextmanager
async def serving(
    gw: Gateway,
    limits: Limits | None = None,
    connections_max: int = 4096,
    timeouts: Timeouts | None = None,
) -> AsyncIterator[Serving]:
    """Serve a gateway on a free port of loopback; all ends with the block."""
    at_work = Serving(gw, limits or Limits(), connections_max, timeouts or Timeouts())
    sockets = await listen("127.0.0.1", 0)
    at_work.port = sockets[0].getsockname()[1]
    with trio.fail_after(300):
        async with trio.open_nursery() as nursery:
            await nursery.start(at_work.committer.run)
            await nursery.start(at_work.server.serve, sockets)
            try:
                yield at_work
                await at_work.committer.durable()
            finally:
                at_work.hang_up()
            nursery.cancel_scope.cancel()
