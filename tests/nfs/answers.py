"""One program behind a dispatcher, asked in bytes: for programs that answer at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import NoReturn

import trio

from nfs.dispatch import Dispatcher
from nfs.peer import Peer
from nfs.program import Program, null, table
from nfs.xdr import Buffer
from tests.nfs.messages import NO_AUTH, Refusal, Reply, call_message, read_reply

XID = 7
PROC_UNAVAIL, GARBAGE_ARGS = 3, 4
# More than any of this takes; nothing waits for it unless something is broken.
PATIENCE_S = 60


class NothingToTell:
    """A gateway whose changes nobody keeps copies of."""

    untold = 0

    def when_told(self, then: Callable[[], None]) -> None:
        then()


class NeverWaiting(NothingToTell):
    """A gateway that nobody has to wait for."""

    def when_durable(self, then: Callable[..., None]) -> NoReturn:
        raise AssertionError("nothing here waits for the disk")

    def when_room(self, then: Callable[..., None]) -> NoReturn:
        raise AssertionError("nothing here waits for memory")

    def elsewhere(self, run: Callable[..., None], then: Callable[..., None]) -> NoReturn:
        raise AssertionError("nothing here is put off")


def a_peer(address: str = "192.0.2.1", *, transport: str = "tcp", local: str = "192.0.2.9") -> Peer:
    """A client, and the address of ours that it called."""
    return Peer(address, 900, transport, local)


def a_program(number: int, *versions: int) -> Program:
    """A program with nothing but procedure 0."""
    return Program(number, "A", {version: table([null()]) for version in versions})


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run a test in an event loop, for as long as there is patience."""

    async def bounded() -> None:
        with trio.fail_after(PATIENCE_S):
            await main()

    trio.run(bounded)


class Asked:
    """A program that is asked."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.dispatcher = Dispatcher([program], NeverWaiting())

    def message(
        self,
        version: int,
        procedure: int,
        arguments: bytes = b"",
        *,
        peer: Peer | None = None,
        credential: bytes = NO_AUTH,
    ) -> bytes:
        """The whole reply to a call."""
        replies: list[list[Buffer]] = []
        message = call_message(
            XID, self.program.number, version, procedure, arguments, credential=credential
        )
        self.dispatcher.dispatch(message, peer or a_peer(), replies.append)
        (reply,) = replies
        return b"".join(reply)

    def ask(
        self,
        version: int,
        procedure: int,
        arguments: bytes = b"",
        *,
        peer: Peer | None = None,
        credential: bytes = NO_AUTH,
    ) -> bytes:
        """The results of a call that has some."""
        message = self.message(version, procedure, arguments, peer=peer, credential=credential)
        reply = read_reply(message)
        assert isinstance(reply, Reply), reply
        return reply.results

    def refusal(self, version: int, procedure: int, arguments: bytes = b"") -> Refusal:
        """Why a call is refused."""
        reply = read_reply(self.message(version, procedure, arguments))
        assert isinstance(reply, Refusal), reply
        return reply


def spoiled(arguments: bytes) -> Iterator[bytes]:
    """Arguments cut at every length, and with bytes behind their end."""
    for length in range(len(arguments)):
        yield arguments[:length]
    yield arguments + b"\0"
    yield arguments + bytes(4)
