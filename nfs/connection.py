"""One TCP connection: bytes in, calls to the dispatcher, replies out.

System calls are tried first and waited for only when they would block, and what came in together
is answered together: on a busy connection a call costs no turn of the event loop of its own.
What a client can make the server hold is bounded: calls under way, and bytes of replies that it
does not take; beyond either the connection is not read.
"""

from __future__ import annotations

import logging
import socket
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import trio

from nfs.dispatch import Dispatcher
from nfs.peer import Peer
from nfs.record import RecordReader, RecordTooLong, mark
from nfs.rpc import BadMessage
from nfs.xdr import Buffer

log = logging.getLogger(__name__)

# Buffers that one sendmsg takes (IOV_MAX is 1024 on Linux).
_BUFFERS_MAX = 512
# Calls answered before other connections get their turn: a millisecond or two.
_CALLS_A_TURN = 32
# Replies up to this are joined into one buffer, which is cheaper than many small ones.
_JOINED_BYTES = 16 * 1024


class Limits(NamedTuple):
    """What one connection may take.

    record_bytes_max: one call; a little more than the data of a WRITE. calls_max: calls under way
    before the connection is not read any further. reply_bytes_max: replies that the client has
    not taken, likewise.
    """

    record_bytes_max: int = (1 << 20) + (16 << 10)
    calls_max: int = 256
    reply_bytes_max: int = 8 << 20


class Connection:
    """See the module."""

    def __init__(
        self,
        sock: socket.socket,
        peer: Peer,
        dispatcher: Dispatcher,
        limits: Limits,
        unsent: set[Connection],
        tick: Callable[[], None],
    ) -> None:
        """`unsent` collects connections with replies to be pushed; `tick` hears of calls run."""
        self.peer = peer
        self._sock, self._dispatcher, self._limits = sock, dispatcher, limits
        self._unsent, self._tick = unsent, tick
        self._records = RecordReader(limits.record_bytes_max)
        self._out: deque[Buffer] = deque()
        self._out_bytes = 0
        self._calls = 0
        self._room = trio.Event()
        self._writable = trio.Event()
        self._scope = trio.CancelScope()
        self._ended = False
        # Since when the client has sent only a part of a call, or takes no replies; None: it does.
        self.stalled_since: float | None = None

    @property
    def calls_under_way(self) -> int:
        """Calls that have no reply yet."""
        return self._calls

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way and nothing unsent."""
        return not self._calls and not self._out

    def close(self) -> None:
        """End the connection, whatever is under way."""
        self._scope.cancel()

    async def serve(self) -> None:
        """Serve the connection until it ends; closes the socket."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    await self._read()
                    nursery.cancel_scope.cancel()
        finally:
            self._ended = True
            self._unsent.discard(self)
            self._out.clear()
            self._sock.close()

    # --- in -----------------------------------------------------------------------------------

    async def _read(self) -> None:
        sock, records = self._sock, self._records
        turn = 0
        while True:
            try:
                count = sock.recv_into(records.room())
            except (BlockingIOError, InterruptedError):
                turn = 0
                self._note_stall()
                await trio.lowlevel.wait_readable(sock)
                continue
            except OSError:
                return
            if not count:
                return
            records.received(count)
            self.peer.received_bytes += count
            try:
                turn += self._run_calls()
            except (RecordTooLong, BadMessage) as error:
                log.info("%s: %s; closed", self.peer.address, error)
                self.push()
                return
            if turn >= _CALLS_A_TURN:
                turn = 0
                await trio.lowlevel.checkpoint()
            while self._is_full():
                self._room = trio.Event()
                await self._room.wait()

    def _run_calls(self) -> int:
        """Run all calls that have come in whole; says how many."""
        records, dispatch, peer, send = (
            self._records,
            self._dispatcher.dispatch,
            self.peer,
            self.send,
        )
        count = 0
        message = records.record()
        while message is not None:
            self._calls += 1
            count += 1
            dispatch(message, peer, send)
            message = records.record()
        if count:
            if self._out:
                self.push()
            self._tick()
        return count

    def _is_full(self) -> bool:
        limits = self._limits
        return self._calls >= limits.calls_max or self._out_bytes >= limits.reply_bytes_max

    def _note_stall(self) -> None:
        """The client sends nothing now: note since when, if it owes the rest of a call."""
        if not self._records.waiting_bytes:
            if not self._out:
                self.stalled_since = None
        elif self.stalled_since is None:
            self.stalled_since = trio.current_time()

    # --- out ----------------------------------------------------------------------------------

    def send(self, reply: list[Buffer]) -> None:
        """Queue a call's reply; it goes out with the next `push`."""
        self._calls -= 1
        if self._ended:
            return
        length = sum(map(len, reply))
        if length <= _JOINED_BYTES:
            self._out.append(b"".join((mark(length), *reply)))
        else:
            self._out.append(mark(length))
            self._out.extend(reply)
        self._out_bytes += length + 4
        self._unsent.add(self)

    def push(self) -> None:
        """Send what the socket takes now; the rest goes as it takes more."""
        self._unsent.discard(self)
        if self._out and not self._send():
            self._writable.set()
        if not self._is_full():
            self._room.set()

    def _send(self) -> bool:
        """Send until the socket takes no more; whether all is sent. A broken one takes all."""
        out, sock = self._out, self._sock
        while out:
            buffers = [out[index] for index in range(min(len(out), _BUFFERS_MAX))]
            try:
                count = sock.sendmsg(buffers) if len(buffers) > 1 else sock.send(buffers[0])
            except (BlockingIOError, InterruptedError):
                return False
            except OSError:
                self._drop()
                return True
            self._out_bytes -= count
            self.peer.sent_bytes += count
            self.stalled_since = None
            while count:
                first = out.popleft()
                if len(first) > count:
                    out.appendleft(memoryview(first)[count:])
                    break
                count -= len(first)
        return True

    def _drop(self) -> None:
        self._out.clear()
        self._out_bytes = 0
        self.close()

    async def _write(self) -> None:
        """Send what `push` could not."""
        while True:
            await self._writable.wait()
            self._writable = trio.Event()
            while self._out:
                if self.stalled_since is None:
                    self.stalled_since = trio.current_time()
                await trio.lowlevel.wait_writable(self._sock)
                self._send()
                if not self._is_full():
                    self._room.set()
