"""One TCP connection: bytes in, calls to the dispatcher, replies out.

The server says when there is something to read or room to write; what came in together is
answered together. What a client can make the server hold is bounded: calls under way, and bytes
of replies that it does not take; beyond either the connection is not read. Knows no event loop.
"""

from __future__ import annotations

import itertools
import logging
import socket
import time
from collections import deque
from typing import NamedTuple

from nfs.dispatch import Dispatcher
from nfs.peer import Peer
from nfs.record import RecordReader, RecordTooLong, mark
from nfs.rpc import BadMessage
from nfs.xdr import Buffer

log = logging.getLogger(__name__)

# Buffers that one sendmsg takes (IOV_MAX is 1024 on Linux).
_BUFFERS_MAX = 512
# Calls run before other connections get their turn: some milliseconds.
_CALLS_AT_ONCE = 64
# Replies up to this are joined into one buffer, which is cheaper than many small ones.
_JOINED_BYTES = 16 * 1024


class Limits(NamedTuple):
    """What one connection may take.

    record_bytes_max: one call; a little more than the data of a WRITE. calls_max: calls under way
    before no more are run. reply_bytes_max: replies that the client has not taken, and data that
    is being read for it, likewise.
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
    ) -> None:
        """`unsent` collects connections with replies to be pushed."""
        self.peer = peer
        self.number = sock.fileno()
        self.since_s = time.time()
        self._sock, self._dispatcher, self._limits = sock, dispatcher, limits
        self._unsent = unsent
        self._records = RecordReader(limits.record_bytes_max)
        self._out: deque[Buffer] = deque()
        self._out_bytes = 0
        self.calls_under_way = 0
        self.ended = False
        # Whether calls may have arrived whole that had to wait for their turn, or for room.
        self.holds_calls = False
        # Since when (time.monotonic) the client has sent only a part of a call, or takes no
        # replies; None: it does.
        self.stalled_since: float | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way and nothing unsent."""
        return not self.calls_under_way and not self._out

    @property
    def wants_write(self) -> bool:
        """Whether there are replies that the socket has not taken; or calls that can be run now,
        which a socket is waited for that takes replies."""
        return bool(self._out) or (self.holds_calls and self.wants_read)

    @property
    def wants_read(self) -> bool:
        """Whether there is room for more calls, and somebody who might send them."""
        limits = self._limits
        reply_bytes = self._out_bytes + self.peer.reading_bytes
        return (
            self.calls_under_way < limits.calls_max
            and reply_bytes < limits.reply_bytes_max
            and not self.ended
        )

    def close(self) -> None:
        """End the connection, whatever is under way; the replies to that go nowhere."""
        if not self.ended:
            self.ended = True
            self._unsent.discard(self)
            self._out.clear()
            self._sock.close()

    # --- in -----------------------------------------------------------------------------------

    def read(self) -> int:
        """Run calls that are there whole, receiving once if there are none; says how many.

        Closes the connection at its end, and on bytes that make no sense.
        """
        if not self.holds_calls and not self._receive():
            return 0
        calls = 0
        try:
            calls = self._run_calls()
        except (RecordTooLong, BadMessage) as error:
            log.info("%s: %s; closed", self.peer.address, error)
            self.push()
            self.close()
        if self._out:
            self.push()
        self._note_stall()
        return calls

    def _receive(self) -> bool:
        """Receive what there is; whether there was something."""
        try:
            count = self._sock.recv_into(self._records.room())
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            count = 0
        if not count:
            self.close()
            return False
        self._records.received(count)
        self.peer.received_bytes += count
        return True

    def _run_calls(self) -> int:
        """Run calls while there are some and there is room. Raises RecordTooLong, BadMessage."""
        records, dispatch, peer, send = (
            self._records,
            self._dispatcher.dispatch,
            self.peer,
            self.send,
        )
        calls = 0
        self.holds_calls = False
        message = records.record()
        while message is not None:
            self.calls_under_way += 1
            calls += 1
            dispatch(message, peer, send)
            if calls >= _CALLS_AT_ONCE or not self.wants_read:
                self.holds_calls = True
                break
            message = records.record()
        return calls

    def _note_stall(self) -> None:
        """Note since when the client owes the rest of a call, or is owed replies."""
        owes = self._records.waiting_bytes and self.wants_read
        if not owes and not self._out:
            self.stalled_since = None
        elif self.stalled_since is None:
            self.stalled_since = time.monotonic()

    # --- out ----------------------------------------------------------------------------------

    def send(self, reply: list[Buffer]) -> None:
        """Queue a call's reply; it goes out with the next `push`."""
        self.calls_under_way -= 1
        if self.ended:
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
        """Send what the socket takes now. The server says when it takes more."""
        self._unsent.discard(self)
        out, sock = self._out, self._sock
        while out:
            try:
                if len(out) == 1:
                    count = sock.send(out[0])
                else:
                    count = sock.sendmsg(list(itertools.islice(out, _BUFFERS_MAX)))
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                self.close()
                return
            self._out_bytes -= count
            self.peer.sent_bytes += count
            self.stalled_since = None
            while count:
                first = out.popleft()
                if len(first) > count:
                    out.appendleft(memoryview(first)[count:])
                    break
                count -= len(first)
        if out:
            self._note_stall()
