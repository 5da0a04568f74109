"""The duplicate-request cache: what a call that must not run twice was answered the first time.

A client that lost its connection sends again what it got no answer to, over a new one and from
another port. So a call is known by its client's address, xid, procedure, and a checksum of
credential and arguments, not by its connection. Bounded in replies and, by evicting the oldest,
in bytes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from xxhash import xxh3_128_digest

from nfs.xdr import Buffer

Key = tuple[str, int, int, int, bytes]
Send = Callable[[list[Buffer]], None]

# Replies to calls that change something are a few hundred bytes.
REPLIES_MAX = 8192
# Only the start of a call's arguments takes part: all of them for any call but a WRITE, whose
# handle, offset and first data tell calls apart as well as all of its data would.
_CHECKED_BYTES = 1024


def key(address: str, xid: int, program: int, procedure: int, message: Buffer) -> Key:
    """What a call is known by."""
    return address, xid, program, procedure, xxh3_128_digest(message[20:_CHECKED_BYTES])


class ReplyCache:
    """Replies by call; see the module. Calls under way are kept apart: none is ever evicted."""

    def __init__(self, replies_max: int = REPLIES_MAX) -> None:
        self._replies_max = replies_max
        self._replies: OrderedDict[Key, list[Buffer]] = OrderedDict()
        # Who waits for the reply of a call under way, besides the one that began it.
        self._waiting: dict[Key, list[Send]] = {}
        self.hits = 0

    def begin(self, call: Key, send: Send) -> bool:
        """Whether a call is new, and is to be run; otherwise its reply is sent as soon as there
        is one."""
        waiting = self._waiting.get(call)
        if waiting is not None:
            self.hits += 1
            waiting.append(send)
            return False
        reply = self._replies.get(call)
        if reply is not None:
            self.hits += 1
            send(reply)
            return False
        self._waiting[call] = []
        return True

    def end(self, call: Key, reply: list[Buffer], *, keep: bool) -> None:
        """The reply of a call that was begun is known. Unless it is kept, the call would run
        again: for replies that say that nothing was done and that a later try may do."""
        for send in self._waiting.pop(call):
            send(reply)
        if keep:
            self._replies[call] = reply
            if len(self._replies) > self._replies_max:
                self._replies.popitem(last=False)
