"""A rpcbind that registers for everyone: on a Unix socket and on loopback, in chosen versions.

Like the real one it refuses to register what is registered already elsewhere, and its version 2
takes a program out on all transports at once.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from nfs.dispatch import Dispatcher
from nfs.peer import Peer
from nfs.portmap import IPPROTO, PROTOCOL, flag, mapping, pmaplist
from nfs.program import Call, Nothing, Program, null, procedure, table
from nfs.record import RecordReader, mark
from nfs.registration import Entry, Place
from nfs.rpcbind_types import rpcb, rpcblist
from nfs.universal import parse_uaddr, uaddr
from nfs.xdr import Buffer
from tests.nfs.answers import NeverWaiting


class FakeRpcbind:
    """What is registered, by program, version and network id, and what was asked for."""

    def __init__(self) -> None:
        self.entries: dict[tuple[int, int, str], tuple[str, int]] = {}
        self.steps: list[str] = []
        # Programs that it does not register, whoever asks.
        self.refused: set[int] = set()

    def put(self, program: int, version: int, netid: str, address: str, port: int) -> None:
        """Something that is registered already."""
        self.entries[program, version, netid] = address, port

    def listed(self) -> list[Entry]:
        """All that is registered."""
        return [Entry(*key, *where) for key, where in self.entries.items()]

    # --- what all versions do ---

    def _set(self, entry: Entry) -> flag:
        self.steps.append(f"SET {entry.program} {entry.version} {entry.netid}")
        where = entry.address, entry.port
        if entry.program in self.refused or self.entries.get(entry[:3], where) != where:
            return flag(False)
        self.entries[entry[:3]] = where
        return flag(True)

    def _unset(self, program: int, version: int, netid: str = "") -> flag:
        self.steps.append(f"UNSET {program} {version}")
        gone = [
            key for key in self.entries if key[:2] == (program, version) and netid in (key[2], "")
        ]
        for key in gone:
            del self.entries[key]
        return flag(bool(gone))

    # --- version 2 ---

    def _set2(self, call: Call, given: mapping) -> flag:
        return self._set(Entry(given.prog, given.vers, PROTOCOL[given.prot], "0.0.0.0", given.port))

    def _unset2(self, call: Call, given: mapping) -> flag:
        return self._unset(given.prog, given.vers)

    def _dump2(self, call: Call, given: Nothing) -> pmaplist:
        return pmaplist(
            [
                mapping(entry.program, entry.version, IPPROTO[entry.netid], entry.port)
                for entry in self.listed()
            ]
        )

    # --- versions 3 and 4 ---

    def _set4(self, call: Call, given: rpcb) -> flag:
        where = parse_uaddr(given.r_addr)
        assert where is not None
        return self._set(Entry(given.r_prog, given.r_vers, given.r_netid.decode(), *where))

    def _unset4(self, call: Call, given: rpcb) -> flag:
        return self._unset(given.r_prog, given.r_vers, given.r_netid.decode())

    def _dump4(self, call: Call, given: Nothing) -> rpcblist:
        local = rpcb(100000, 4, b"local", b"/run/rpcbind.sock", b"superuser")
        return rpcblist(
            [local]
            + [
                rpcb(program, version, netid.encode(), uaddr(address, port), b"superuser")
                for program, version, netid, address, port in self.listed()
            ]
        )

    def program(self, versions: set[int]) -> Program:
        """The program in some of its versions."""
        two = [
            null(),
            procedure(1, "SET", mapping, flag, self._set2),
            procedure(2, "UNSET", mapping, flag, self._unset2),
            procedure(4, "DUMP", Nothing, pmaplist, self._dump2),
        ]
        four = [
            null(),
            procedure(1, "SET", rpcb, flag, self._set4),
            procedure(2, "UNSET", rpcb, flag, self._unset4),
            procedure(4, "DUMP", Nothing, rpcblist, self._dump4),
        ]
        rows = {version: table(two if version == 2 else four) for version in versions}
        return Program(100000, "RPCBIND", rows)

    @asynccontextmanager
    async def serving(
        self, folder: Path, unix: set[int], tcp: set[int] | None = None
    ) -> AsyncIterator[Place]:
        """Serve versions over the Unix socket, and others over TCP; where that is."""
        path = folder / "rpcbind.sock"
        async with trio.open_nursery() as nursery:
            if unix:
                here = trio.socket.socket(socket.AF_UNIX)
                await here.bind(str(path))
                here.listen()
                listener = trio.SocketListener(here)
                nursery.start_soon(self._serve, listener, self.program(unix))
            (inet,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
            port = inet.socket.getsockname()[1]
            if tcp:
                nursery.start_soon(self._serve, inet, self.program(tcp))
            else:
                await inet.aclose()
            yield Place(str(path), "127.0.0.1", port)
            nursery.cancel_scope.cancel()

    async def _serve(self, listener: trio.SocketListener, program: Program) -> None:
        dispatcher = Dispatcher([program], NeverWaiting())

        async def handler(stream: trio.SocketStream) -> None:
            peer, reader = Peer("127.0.0.1", 1), RecordReader(1 << 16)
            replies: list[list[Buffer]] = []
            while data := await stream.receive_some(len(reader.room())):
                reader.room()[: len(data)] = data
                reader.received(len(data))
                while (record := reader.record()) is not None:
                    dispatcher.dispatch(record, peer, replies.append)
                    reply = b"".join(replies.pop())
                    await stream.send_all(mark(len(reply)) + reply)

        await trio.serve_listeners(handler, [listener])
