"""A client of NFS version 3 over TCP that makes one call after the other, on loopback.

This host's kernel has no NFS client of its own; tests that have to come in through both doors at
once, in one process or several, use this one. It caches nothing.
"""

from __future__ import annotations

import itertools
import socket
import struct
from types import TracebackType
from typing import Any, Self

from nfs import mount3
from nfs.codec import codec
from nfs.nfs3_types import nfsstat3
from nfs.record import LAST, mark
from tests.nfs.client import Answer, Calls
from tests.nfs.messages import Refusal, Reply, auth_sys, call_message, read_reply

# No call takes so long, however busy the machine: a gateway that does not answer is broken.
GIVE_UP_S = 120.0
# What a server that has to wait says "later" to is asked again, so many times at the most.
TRIES_MAX = 10_000

_mountargs, _mountres = codec(mount3.mountargs), codec(mount3.mountres3)
_xids = itertools.count(1)


class WireClient(Calls):
    """One user on one connection to the port of a gateway; a context manager."""

    def __init__(self, port: int, uid: int = 0, gid: int = 0, groups: tuple[int, ...] = ()) -> None:
        self.credential = auth_sys(uid, gid, groups)
        self._socket = socket.create_connection(("127.0.0.1", port), GIVE_UP_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._replies = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._replies.close()
        self._socket.close()

    def _exactly(self, count: int) -> bytes:
        data = self._replies.read(count)
        if len(data) < count:
            raise ConnectionResetError("the server hung up")
        return data

    def send(self, message: bytes) -> None:
        """Send a call. Raises OSError where the connection ends."""
        self._socket.sendall(mark(len(message)) + message)

    def exchange(self, message: bytes) -> Reply | Refusal:
        """Send a call and wait for its reply. Raises OSError where the connection ends."""
        self.send(message)
        (word,) = struct.unpack("!I", self._exactly(4))
        assert word & LAST, "a reply in fragments"
        reply = self._exactly(word & ~LAST)
        assert reply[:4] == message[:4], "another call's xid"
        return read_reply(reply)

    def call(self, name: str, *arguments: Any) -> Answer:
        """Call a procedure, again while the server asks for patience."""
        for _ in range(TRIES_MAX):
            answer = super().call(name, *arguments)
            if answer.status != nfsstat3.JUKEBOX:
                break
        return answer

    def mount(self, path: str) -> bytes:
        """The handle that a mount of the path gives."""
        arguments = _mountargs.encode(mount3.mountargs(path.encode()))
        message = call_message(
            next(_xids), mount3.PROGRAM, mount3.VERSION, 1, arguments, credential=self.credential
        )
        reply = self.exchange(message)
        assert isinstance(reply, Reply), reply
        status, found = _mountres.decode(reply.results).result
        assert found is not None, f"{path}: {mount3.mountstat3(status).name}"
        return found.fhandle
