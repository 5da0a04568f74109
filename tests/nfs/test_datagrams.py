"""RPC over UDP on loopback: what is answered, from where, and what is ignored."""

from __future__ import annotations

import logging
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from nfs import rpcbind
from nfs.datagrams import DATAGRAM_BYTES_MAX, DatagramServer
from nfs.dispatch import Dispatcher
from nfs.portmap import Registry
from nfs.program import Program, null, table
from tests.nfs.answers import NeverWaiting, run
from tests.nfs.messages import Refusal, Reply, call_message, counted, read_reply, words

NULL, GETADDR, DUMP = 0, 3, 4
RPCBIND = 100000


def a_dispatcher(registry: Registry | None = None) -> Dispatcher:
    return Dispatcher([rpcbind.program(registry or Registry())], NeverWaiting())


@asynccontextmanager
async def serving(
    address: str = "127.0.0.1", registry: Registry | None = None
) -> AsyncIterator[DatagramServer]:
    server = DatagramServer(a_dispatcher(registry), address, 0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.serve)
        yield server
        nursery.cancel_scope.cancel()


class Client:
    """A connected UDP socket: it hears only the address that it called."""

    def __init__(self, address: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = trio.socket.socket(family, socket.SOCK_DGRAM)
        self._to = address, port

    async def __aenter__(self) -> Client:
        await self._socket.connect(self._to)
        return self

    async def __aexit__(self, *error: object) -> None:
        self._socket.close()

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    async def send(self, message: bytes) -> None:
        await self._socket.send(message)

    async def receive(self) -> Reply | Refusal:
        return read_reply(await self._socket.recv(1 << 16))

    async def ask(self, xid: int, procedure: int, arguments: bytes = b"") -> Reply | Refusal:
        await self.send(call_message(xid, RPCBIND, 3, procedure, arguments))
        return await self.receive()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_call_is_answered_by_one_datagram(address: str) -> None:
    async def main() -> None:
        async with serving(address) as server, Client(address, server.port) as client:
            assert await client.ask(1, NULL) == Reply(1, b"")
            assert await client.ask(2, DUMP) == Reply(2, words(0))
            assert (server.received, server.answered, server.ignored) == (2, 2, 0)

    run(main)


def test_refusals_are_answered_as_well() -> None:
    async def main() -> None:
        async with serving() as server, Client("127.0.0.1", server.port) as client:
            assert await client.ask(1, 99) == Refusal(1, False, 3, b"")  # PROC_UNAVAIL
            await client.send(call_message(2, 300000, 1, 0))
            assert await client.receive() == Refusal(2, False, 1, b"")  # PROG_UNAVAIL
            assert await client.ask(3, DUMP, b"more") == Refusal(3, False, 4, b"")  # GARBAGE_ARGS

    run(main)


def test_what_is_no_call_is_ignored() -> None:
    call = call_message(1, RPCBIND, 3, NULL)
    reply = words(1, 1, 0, 0, 0, 0)
    junk = [b"", b"\0", bytes(3), reply, b"\xff" * 100, call + bytes(DATAGRAM_BYTES_MAX)]
    junk += [call[:length] for length in range(len(call))]

    async def main() -> None:
        async with serving() as server, Client("127.0.0.1", server.port) as client:
            for message in junk:
                await client.send(message)
                # Datagrams on loopback keep their order: nothing was answered before this.
                assert await client.ask(2, NULL) == Reply(2, b"")
            assert server.ignored == len(junk)
            assert server.answered == len(junk)

    run(main)


def test_the_longest_datagram_is_taken() -> None:
    start = call_message(1, RPCBIND, 3, DUMP)
    message = start + bytes(DATAGRAM_BYTES_MAX - len(start))

    async def main() -> None:
        async with serving() as server, Client("127.0.0.1", server.port) as client:
            await client.send(message)
            assert await client.receive() == Refusal(1, False, 4, b"")

    run(main)


def test_an_answer_comes_from_the_address_that_was_called() -> None:
    registry = Registry()

    async def main() -> None:
        async with serving("0.0.0.0", registry) as server:
            nothing = Program(200000, "A", {1: table([null()])})
            registry.add([nothing], "udp", server.address, server.port)
            arguments = words(200000, 1) + counted(b"") * 3
            for address in ("127.0.0.1", "127.0.0.2"):
                async with Client(address, server.port) as client:
                    found = await client.ask(1, GETADDR, arguments)
                    told = f"{address}.{server.port >> 8}.{server.port & 255}"
                    assert found == Reply(1, counted(told.encode()))

    run(main)


def a_long_list(length: int) -> Registry:
    """A registry whose DUMP has so many entries, of 48 bytes each."""
    registry = Registry()
    many = Program(200000, "A", {version: table([null()]) for version in range(length)})
    registry.add([many], "udp", "127.0.0.1", 1)
    return registry


def test_an_answer_as_long_as_may_be_is_one_datagram() -> None:
    length = (DATAGRAM_BYTES_MAX - 28) // 48

    async def main() -> None:
        async with (
            serving(registry=a_long_list(length)) as server,
            Client("127.0.0.1", server.port) as client,
        ):
            found = await client.ask(1, DUMP)
            assert isinstance(found, Reply)
            assert len(found.results) == 4 + 48 * length

    run(main)


def test_a_longer_answer_is_an_error() -> None:
    length = (DATAGRAM_BYTES_MAX - 28) // 48 + 1

    async def main() -> None:
        async with (
            serving(registry=a_long_list(length)) as server,
            Client("127.0.0.1", server.port) as client,
        ):
            assert await client.ask(1, DUMP) == Refusal(1, False, 5, b"")  # SYSTEM_ERR
            assert await client.ask(2, NULL) == Reply(2, b"")

    run(main)


def test_many_calls_at_once_are_all_answered() -> None:
    async def main() -> None:
        async with serving() as server, Client("127.0.0.1", server.port) as client:
            for xid in range(100):
                await client.send(call_message(xid, RPCBIND, 3, NULL))
            for xid in range(100):
                assert await client.receive() == Reply(xid, b"")

    run(main)


def test_a_client_that_is_gone_harms_nobody() -> None:
    async def main() -> None:
        async with serving() as server, Client("127.0.0.1", server.port) as client:
            async with Client("127.0.0.1", server.port) as gone:
                for xid in range(20):
                    await gone.send(call_message(xid, RPCBIND, 3, DUMP))
            assert await client.ask(2, NULL) == Reply(2, b"")
            assert server.received == 21

    run(main)


def test_the_port_is_given_back() -> None:
    async def main() -> None:
        async with serving() as server:
            with pytest.raises(OSError, match="in use"):
                DatagramServer(a_dispatcher(), "127.0.0.1", server.port)
        again = DatagramServer(a_dispatcher(), "127.0.0.1", server.port)
        assert again.port == server.port
        again.close()

    run(main)


def test_both_families_may_have_the_same_port() -> None:
    four = DatagramServer(a_dispatcher(), "0.0.0.0", 0)
    six = DatagramServer(a_dispatcher(), "::", four.port)
    assert four.port == six.port
    assert (four.address, six.address) == ("0.0.0.0", "::")
    four.close()
    six.close()


def test_any_datagram_is_answered_validly_or_ignored(
    rng: random.Random, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    good = call_message(1, RPCBIND, 3, GETADDR, words(1, 1) + counted(b"tcp") + counted(b"") * 2)

    async def main() -> None:
        async with serving() as server, Client("127.0.0.1", server.port) as client:
            for _ in range(300):
                message = bytearray(good)
                for _ in range(rng.randrange(1, 4)):
                    message[rng.randrange(len(message))] = rng.randrange(256)
                answered = server.answered
                await client.send(bytes(message[: rng.randrange(len(message) + 1)]))
                assert await _next(client, 0x7777_7777) in (0, 1)
                assert server.answered - answered in (1, 2)

    run(main)
    assert not caplog.records


async def _next(client: Client, marker: int) -> int:
    """How many answers come before that to a call that is sent now."""
    await client.send(call_message(marker, RPCBIND, 3, NULL))
    count = 0
    while await client.receive() != Reply(marker, b""):
        count += 1
    return count
