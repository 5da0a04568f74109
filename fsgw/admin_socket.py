"""The gateway's Unix socket, and the HTTP server on it; what it serves is the application's."""

from __future__ import annotations

import logging
import os
import socket
import stat
from pathlib import Path
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import wrap_app

from store.errors import AlreadyOpen

log = logging.getLogger(__name__)

# Commands under way at a time; each has a descriptor and some buffers.
CONNECTIONS_MAX = 128
HEAD_BYTES_MAX = 64 * 1024
_BACKLOG = 128
_KEEP_ALIVE_S = 5
_REQUESTS_MAX = 1_000_000_000  # of one connection: no limit is needed


def listen(path: Path, mode: int) -> socket.socket:
    """A socket that listens at `path`, with permission bits `mode` from the start.

    What a gateway that died left there is replaced. Raises AlreadyOpen where one listens,
    OSError.
    """
    _clear(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    umask = os.umask(~mode & 0o777)
    try:
        sock.bind(os.fspath(path))
    except BaseException:
        sock.close()
        raise
    finally:
        os.umask(umask)
    sock.setblocking(False)
    sock.listen(_BACKLOG)
    return sock


def _clear(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(17, "a file that is no socket is in the way", str(path))
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        try:
            other.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except FileNotFoundError:
            return
        else:
            raise AlreadyOpen(f"another gateway listens on {path}")


class AdminServer:
    """Serves an ASGI application on a listening socket, which it removes at the end."""

    def __init__(self, application: Any, sock: socket.socket) -> None:
        self._config = Config()
        self._config.errorlog = log
        self._config.include_server_header = False
        self._config.h11_max_incomplete_size = HEAD_BYTES_MAX
        self._config.keep_alive_timeout = _KEEP_ALIVE_S
        self._config.keep_alive_max_requests = _REQUESTS_MAX
        self._application = wrap_app(application, 0, "asgi")
        self._context = WorkerContext(None)
        self._path = sock.getsockname()
        self._listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
        self._accepting = trio.CancelScope()
        self._streams: set[trio.SocketStream] = set()
        self._all_gone = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                task_status.started()
                with self._accepting:
                    await trio.serve_listeners(
                        self._serve, [self._listener], handler_nursery=nursery
                    )
                await trio.sleep_forever()
        finally:
            self._remove()

    def _remove(self) -> None:
        try:
            os.unlink(self._path)
        except FileNotFoundError:
            pass

    async def _serve(self, stream: trio.SocketStream) -> None:
        """One connection; what goes wrong in it is logged, and ends it alone."""
        if len(self._streams) >= CONNECTIONS_MAX:
            log.warning("a connection to the admin socket is closed: there are %d", CONNECTIONS_MAX)
            await stream.aclose()
            return
        self._streams.add(stream)
        state = ConnectionState({})
        plain: Any = stream  # TCPServer takes streams without TLS as well, but does not say so
        connection = TCPServer(self._application, self._config, self._context, state, plain)
        try:
            await connection.run()
        except Exception:
            log.exception("a connection to the admin socket failed")
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
