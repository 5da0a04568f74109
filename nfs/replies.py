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


class _Entry:
    """A call's reply, or those who wait for it."""

    __slots__ = ("reply", "waiting")

    def __init__(self) -> None:
        self.reply: list[Buffer] | None = None
        self.waiting: list[Send] = []


def key(address: str, xid: int, program: int, procedure: int, message: Buffer) -> Key:
    """What a call is known by."""
    return address, xid, program, procedure, xxh3_128_digest(message[20:_CHECKED_BYTES])


class ReplyCache:
    """Replies by call; see the module."""

    def __init__(self, replies_max: int = REPLIES_MAX) -> None:
        self._replies_max = replies_max
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self.hits = 0

    def begin(self, call: Key, send: Send) -> bool:
        """Whether a call is new, and is to be run; otherwise its reply is sent as soon as there
        is one."""
        entry = self._entries.get(call)
        if entry is None:
            self._entries[call] = _Entry()
            if len(self._entries) > self._replies_max:
                self._entries.popitem(last=False)
            return True
        self.hits += 1
        if entry.reply is None:
            entry.waiting.append(send)
        else:
            send(entry.reply)
        return False

    def end(self, call: Key, reply: list[Buffer], *, keep: bool) -> None:
        """A call's reply is known. Unless it is kept, the call would run again: for replies that
        say that nothing was done and that a later try may do."""
        entry = self._entries.get(call)
        if entry is None:
            return
        for send in entry.waiting:
            send(reply)
        if keep:
            entry.reply, entry.waiting = reply, []
        else:
            del self._entries[call]
