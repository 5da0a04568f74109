"""The TCP server: listeners, connections, and who is connected."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import trio

from nfs.connection import Connection, Limits
from nfs.dispatch import Dispatcher
from nfs.peer import Peer

log = logging.getLogger(__name__)

# A client that has sent a part of a call, or does not take replies, for so long is gone or means
# harm. A slow network moves some bytes in that time.
STALL_S = 60.0
_SWEEP_S = 5.0
_DRAIN_LOOK_S = 0.01
# What the kernel queues of connections that were not accepted yet: a data centre that comes back.
BACKLOG = 1024
CONNECTIONS_MAX = 4096


class ConnectionInfo(NamedTuple):
    """One connection, for those who watch."""

    address: str
    port: int
    since_s: float
    calls: int
    under_way: int
    received_bytes: int
    sent_bytes: int


async def listen(address: str, port: int) -> list[socket.socket]:
    """Sockets that listen on an address, on one port. Raises OSError."""
    listeners = await trio.open_tcp_listeners(port, host=address, backlog=BACKLOG)
    return [_plain(listener.socket) for listener in listeners]


def _plain(sock: trio.socket.SocketType) -> socket.socket:
    """The standard library's socket, non-blocking, in place of trio's."""
    plain = socket.socket(fileno=sock.detach())
    plain.setblocking(False)
    return plain


class Server:
    """Serves the programs of a dispatcher on listening sockets."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        tick: Callable[[], None],
        limits: Limits | None = None,
        connections_max: int = CONNECTIONS_MAX,
        stall_s: float = STALL_S,
    ) -> None:
        """`tick` is called whenever calls were run."""
        self._dispatcher, self._tick = dispatcher, tick
        self._limits = limits or Limits()
        self._connections_max, self._stall_s = connections_max, stall_s
        self._connections: dict[Connection, float] = {}
        self._unsent: set[Connection] = set()
        self._listening: list[trio.CancelScope] = []
        self.accepted = self.refused = 0

    def push(self) -> None:
        """Send the replies that were given outside of the connections' own turns."""
        for connection in list(self._unsent):
            connection.push()

    def connections(self) -> list[ConnectionInfo]:
        """All connections, the oldest first."""
        return [
            ConnectionInfo(
                connection.peer.address,
                connection.peer.port,
                since,
                connection.peer.calls,
                connection.calls_under_way,
                connection.peer.received_bytes,
                connection.peer.sent_bytes,
            )
            for connection, since in self._connections.items()
        ]

    async def serve(
        self,
        sockets: Iterable[socket.socket],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Accept and serve until cancelled; closes the sockets."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._sweep)
            for sock in sockets:
                nursery.start_soon(self._accept, sock, nursery)
            task_status.started()

    async def drain(self) -> None:
        """Accept no more, and return once all calls under way are answered."""
        for scope in self._listening:
            scope.cancel()
        while not all(connection.is_idle for connection in self._connections):
            await trio.sleep(_DRAIN_LOOK_S)

    async def _accept(self, listener: socket.socket, nursery: trio.Nursery) -> None:
        with listener, trio.CancelScope() as scope:
            self._listening.append(scope)
            while True:
                try:
                    sock, address = listener.accept()
                except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                    await trio.lowlevel.wait_readable(listener)
                    continue
                except OSError as error:  # out of file descriptors, say: others may close some
                    log.warning("a connection could not be accepted: %s", error)
                    await trio.sleep(1)
                    continue
                self._begin(sock, address, nursery)
                await trio.lowlevel.checkpoint()

    def _begin(self, sock: socket.socket, address: tuple[str, int], nursery: trio.Nursery) -> None:
        """Serve a connection, if there is room for one more."""
        if len(self._connections) >= self._connections_max:
            self.refused += 1
            log.warning(
                "a connection from %s is closed: there are %d", address[0], self._connections_max
            )
            sock.close()
            return
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.accepted += 1
        peer = Peer(plain_address(address[0]), address[1])
        connection = Connection(
            sock, peer, self._dispatcher, self._limits, self._unsent, self._tick
        )
        self._connections[connection] = time.time()
        nursery.start_soon(self._serve, connection)

    async def _serve(self, connection: Connection) -> None:
        try:
            await connection.serve()
        finally:
            del self._connections[connection]

    async def _sweep(self) -> None:
        """Close connections that have stalled for too long."""
        while True:
            await trio.sleep(_SWEEP_S)
            limit = trio.current_time() - self._stall_s
            for connection in list(self._connections):
                since = connection.stalled_since
                if since is not None and since < limit:
                    log.info("%s stalled; closed", connection.peer.address)
                    connection.close()


def plain_address(address: str) -> str:
    """An address as rules are written for it: IPv4 as such, and no zone."""
    address = address.partition("%")[0]
    return address.removeprefix("::ffff:") if "." in address else address
