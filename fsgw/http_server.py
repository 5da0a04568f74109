"""An HTTP server in the gateway's loop; what it serves is an ASGI application."""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import wrap_app

log = logging.getLogger(__name__)

HEAD_BYTES_MAX = 64 * 1024
_KEEP_ALIVE_S = 5
_REQUESTS_MAX = 1_000_000_000  # of one connection: no limit is needed


class _Connection(TCPServer):
    """A connection that ends when its client has closed it. Hypercorn's own counts as open until it
    would have been idle for too long: many short ones would shut others out."""

    async def _read_data(self) -> None:
        await super()._read_data()
        await self.idle_task.stop()


class HttpServer:
    """Serves an ASGI application on listening sockets."""

    def __init__(
        self, application: Any, sockets: Sequence[socket.socket], what: str, connections_max: int
    ) -> None:
        """`what` it is called in the log."""
        self._config = Config()
        self._config.errorlog = log
        self._config.include_server_header = False
        self._config.h11_max_incomplete_size = HEAD_BYTES_MAX
        self._config.keep_alive_timeout = _KEEP_ALIVE_S
        self._config.keep_alive_max_requests = _REQUESTS_MAX
        self._application = wrap_app(application, 0, "asgi")
        self._context = WorkerContext(None)
        self._what, self._connections_max = what, connections_max
        self._listeners = [
            trio.SocketListener(trio.socket.from_stdlib_socket(sock)) for sock in sockets
        ]
        self._accepting = trio.CancelScope()
        self._streams: set[trio.SocketStream] = set()
        self._all_gone = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        async with trio.open_nursery() as nursery:
            task_status.started()
            with self._accepting:
                await trio.serve_listeners(self._serve, self._listeners, handler_nursery=nursery)
            await trio.sleep_forever()

    async def _serve(self, stream: trio.SocketStream) -> None:
        """One connection; what goes wrong in it is logged, and ends it alone."""
        if len(self._streams) >= self._connections_max:
            log.warning(
                "a connection to %s is closed: there are %d", self._what, self._connections_max
            )
            await stream.aclose()
            return
        self._streams.add(stream)
        state = ConnectionState({})
        plain: Any = stream  # TCPServer takes streams without TLS as well, but does not say so
        connection = _Connection(self._application, self._config, self._context, state, plain)
        try:
            await connection.run()
        except Exception:
            log.exception("a connection to %s failed", self._what)
        finally:
            self._streams.discard(stream)
            if not self._streams:
                self._all_gone.set()
                self._all_gone = trio.Event()

    async def drain(self) -> None:
        """Take no more connections, and return once all requests under way are answered."""
        self._accepting.cancel()
        await self._context.terminated.set()
        while self._streams:
            await self._all_gone.wait()

    def hang_up(self) -> None:
        """End all connections at once: a client that does not read keeps its own waiting."""
        for stream in self._streams:
            try:
                stream.socket._sock.shutdown(socket.SHUT_RDWR)  # type: ignore[attr-defined]
            except OSError:
                pass
