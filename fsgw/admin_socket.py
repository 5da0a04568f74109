"""The gateway's Unix socket, on which its API is served."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Any

import trio

from fsgw.http_server import HttpServer
from store.errors import AlreadyOpen

# Commands under way at a time; each has a descriptor and some buffers.
CONNECTIONS_MAX = 128
_BACKLOG = 128


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


class AdminServer(HttpServer):
    """Serves the API on a listening Unix socket, which it removes at the end."""

    def __init__(self, application: Any, sock: socket.socket) -> None:
        super().__init__(application, [sock], "the admin socket", CONNECTIONS_MAX)
        self._path = sock.getsockname()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        try:
            await super().run(task_status=task_status)
        finally:
            self._remove()

    def _remove(self) -> None:
        try:
            os.unlink(self._path)
        except FileNotFoundError:
            pass
