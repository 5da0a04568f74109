"""The TCP server: listeners, connections, and who is connected."""

from __future__ import annotations

import logging
import select
import socket
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import trio

from nfs.connection import Connection, Limits
from nfs.dispatch import Dispatcher
from nfs.peer import Peer

log = logging.getLogger(__name__)

_SWEEP_S = 5.0
_DRAIN_LOOK_S = 0.01
# A client that waits for one answer before it asks again does so within this time. Waiting that
# long on the spot is cheaper than going through the event loop, and little enough for its others.
LINGER_S = 0.0001
# ... and to look for it so long costs about what falling asleep and waking up does.
SPIN_S = 0.00008
_LUCK_MAX, _LUCK_LOST, _UNLUCKY_MAX = 16, 4, 64
# Calls run before other tasks get their turn: some milliseconds.
_CALLS_A_TURN = 128
_EVENTS_MAX = 64
_BROKEN = select.EPOLLHUP | select.EPOLLERR
# What the kernel queues of connections that were not accepted yet: a data centre that comes back.
BACKLOG = 1024
CONNECTIONS_MAX = 4096


class Timeouts(NamedTuple):
    """Seconds until a connection is closed: while a call has arrived in part, while the client
    takes none of its replies, while there are no calls at all."""

    receive_s: float = 60.0
    send_s: float = 60.0
    idle_s: float = 3600.0


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
    """Serves the programs of a dispatcher on listening sockets.

    All connections are watched by one epoll set of the server's own, which the event loop watches
    in turn: a call that comes while others are served costs the event loop nothing.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        tick: Callable[[], bool],
        limits: Limits | None = None,
        connections_max: int = CONNECTIONS_MAX,
        timeouts: Timeouts | None = None,
    ) -> None:
        """`tick` is called when calls were run; it says whether other tasks have work to do."""
        self._dispatcher, self._tick = dispatcher, tick
        self._limits = limits or Limits()
        self._connections_max, self._timeouts = connections_max, timeouts or Timeouts()
        self._connections: dict[int, Connection] = {}
        self._masks: dict[int, int] = {}
        self._unsent: set[Connection] = set()
        self._listening: list[trio.CancelScope] = []
        self._epoll = select.epoll()
        self._draining = False
        self._luck = self._unlucky = 0
        self._seen: dict[int, tuple[int, float]] = {}
        self.accepted = self.refused = self.calls = 0

    @property
    def heard_on(self) -> int:
        """A descriptor that can be read when a connection has something for this."""
        return self._epoll.fileno()

    def push(self) -> None:
        """Send the replies that were given outside of the connections' own turns."""
        while self._unsent:
            connection = self._unsent.pop()
            connection.push()
            self._watch(connection)

    def connections(self) -> list[ConnectionInfo]:
        """All connections, the oldest first."""
        return [
            ConnectionInfo(
                connection.peer.address,
                connection.peer.port,
                connection.since_s,
                connection.peer.calls,
                connection.calls_under_way,
                connection.peer.received_bytes,
                connection.peer.sent_bytes,
            )
            for connection in self._connections.values()
        ]

    async def serve(
        self,
        sockets: Iterable[socket.socket],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Accept and serve until cancelled; closes the sockets."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._sweep)
                nursery.start_soon(self._serve)
                for sock in sockets:
                    nursery.start_soon(self._accept, sock)
                task_status.started()
        finally:
            for connection in list(self._connections.values()):
                connection.close()
            self._connections.clear()
            self._epoll.close()

    async def drain(self) -> None:
        """Take no more connections or calls, and return once those under way are answered."""
        self._draining = True
        for scope in self._listening:
            scope.cancel()
        for connection in list(self._connections.values()):
            self._watch(connection)
        while not all(connection.is_idle for connection in self._connections.values()):
            await trio.sleep(_DRAIN_LOOK_S)

    # --- connections --------------------------------------------------------------------------

    async def _serve(self) -> None:
        """Read, answer and write wherever that is possible."""
        epoll, tick = self._epoll, self._tick
        descriptor = epoll.fileno()
        calls = 0
        while True:
            events = epoll.poll(0, _EVENTS_MAX)
            if not events and calls:
                events = self._linger()
            if not events:
                calls = 0
                await trio.lowlevel.wait_readable(descriptor)
                continue
            ran = 0
            for number, event in events:
                connection = self._connections.get(number)
                if connection is None:
                    continue
                if event & _BROKEN:
                    connection.close()
                elif event & select.EPOLLOUT:
                    connection.push()
                if connection.wants_read and (event & select.EPOLLIN or connection.holds_calls):
                    ran += connection.read()
                self._watch(connection)
            calls += ran + 1
            self.calls += ran
            if (ran and tick()) or calls >= _CALLS_A_TURN:
                calls = 0
                await trio.lowlevel.checkpoint()

    def _linger(self) -> list[tuple[int, int]]:
        """What comes within a moment of the last call: first looked for, then slept for.

        Where a processor sleeps deeply, as a virtual one does, waking up takes longer than a call.
        So as long as looking has found something of late, it is tried for about as long.
        """
        epoll = self._epoll
        if self._luck > 0 or self._unlucky >= _UNLUCKY_MAX:
            self._unlucky = 0
            until = time.perf_counter() + SPIN_S
            while time.perf_counter() < until:
                events = epoll.poll(0, _EVENTS_MAX)
                if events:
                    self._luck = min(self._luck + 1, _LUCK_MAX)
                    return events
            self._luck -= _LUCK_LOST
        else:
            self._unlucky += 1
        if select.select((epoll.fileno(),), (), (), LINGER_S)[0]:
            return epoll.poll(0, _EVENTS_MAX)
        return []

    def _watch(self, connection: Connection) -> None:
        """Watch for what a connection can go on with; forget one that has ended."""
        number = connection.number
        if connection.ended:
            if self._connections.pop(number, None) is not None:
                del self._masks[number]
            return
        wanted = select.EPOLLIN if connection.wants_read and not self._draining else 0
        if connection.wants_write:
            wanted |= select.EPOLLOUT
        if wanted != self._masks[number]:
            self._masks[number] = wanted
            self._epoll.modify(number, wanted)

    async def _accept(self, listener: socket.socket) -> None:
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
                self._begin(sock, address)
                await trio.lowlevel.checkpoint()

    def _begin(self, sock: socket.socket, address: tuple[str, int]) -> None:
        """Serve a connection, if there is room for one more."""
        if len(self._connections) >= self._connections_max and not self._make_room(address[0]):
            self.refused += 1
            log.warning(
                "a connection from %s is closed: there are %d", address[0], self._connections_max
            )
            sock.close()
            return
        sock.setblocking(False)
        local = ""
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            local = plain_address(sock.getsockname()[0])
        self.accepted += 1
        peer = Peer(plain_address(address[0]), address[1], local_address=local)
        connection = Connection(sock, peer, self._dispatcher, self._limits, self._unsent)
        self._connections[connection.number] = connection
        self._masks[connection.number] = select.EPOLLIN
        self._epoll.register(connection.number, select.EPOLLIN)

    def _make_room(self, address: str) -> bool:
        """Close a connection of the client that has most, so that no client can shut out others;
        False where that would be the one that asks, or all of its connections are at work."""
        by_address: dict[str, list[Connection]] = {}
        for connection in self._connections.values():
            by_address.setdefault(connection.peer.address, []).append(connection)
        most = max(by_address.values(), key=len)
        if most[0].peer.address == plain_address(address):
            return False
        for connection in most:  # the oldest first
            if connection.is_idle and len(most) > 1:
                log.warning(
                    "%s has %d connections; one is closed", connection.peer.address, len(most)
                )
                connection.close()
                self._watch(connection)
                return True
        return False

    async def _sweep(self) -> None:
        """Close connections on which nothing has moved for too long."""
        while True:
            await trio.sleep(_SWEEP_S)
            now = time.monotonic()
            for number, connection in list(self._connections.items()):
                why = self._overdue(number, connection, now)
                if why:
                    log.info("%s %s; closed", connection.peer.address, why)
                    connection.close()
                    self._watch(connection)
            self._seen = {n: seen for n, seen in self._seen.items() if n in self._connections}

    def _overdue(self, number: int, connection: Connection, now: float) -> str:
        """Why a connection is to be closed, empty where it is not."""
        receive_s, send_s, idle_s = self._timeouts
        since = connection.stalled_since
        if since is not None:
            limit = send_s if connection.wants_write else receive_s
            return "stalled" if now - since > limit else ""
        calls = connection.peer.calls
        if self._seen.get(number, (-1, now))[0] != calls or not connection.is_idle:
            self._seen[number] = calls, now
        return "was idle" if now - self._seen[number][1] > idle_s else ""


def plain_address(address: str) -> str:
    """An address as rules are written for it: IPv4 as such, and no zone."""
    address = address.partition("%")[0]
    return address.removeprefix("::ffff:") if "." in address else address
