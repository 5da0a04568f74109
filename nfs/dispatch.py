"""From a message to its reply: the programs' tables at work.

Everything here is one synchronous step on the thread that has the store. A reply is sent at once,
or when the store is durable, or when a read from disk is done: whichever its handler asked for.
Knows no socket.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from nfs import rpc
from nfs.peer import Peer
from nfs.program import Again, Call, Later, Procedure, Program
from nfs.replies import ReplyCache, Send, key
from nfs.rpc import AcceptStat, Header, Refused
from nfs.xdr import Buffer, XdrError
from store.errors import StoreError
from store.types import Caller
from store.virtual import NotYet

log = logging.getLogger(__name__)

# Credentials known at a time: one for each user and set of groups of each client.
_CALLERS_MAX = 4096

_XID = struct.Struct("!I").pack


class Waiting(Protocol):
    """What the gateway does for calls that cannot be answered at once."""

    def when_durable(self, then: Callable[[StoreError | None], None]) -> None:
        """Call back once all changes made until now are durable, or could not be made so."""

    @property
    def untold(self) -> int:
        """Grows with each thing that others, who keep copies, have to be told of a change."""

    def when_told(self, then: Callable[[], None]) -> None:
        """Call back once they have been told of the changes made until now."""

    def when_room(self, then: Callable[[], None]) -> None:
        """Call back once memory that was full may have room again."""

    def elsewhere(self, run: Callable[[], None], then: Callable[[], None]) -> None:
        """Run something on another thread, then something on this one."""


class Dispatcher:
    """Programs by number, ready to be called."""

    def __init__(
        self, programs: Iterable[Program], waiting: Waiting, replies: ReplyCache | None = None
    ) -> None:
        self.programs = {program.number: program for program in programs}
        self.replies = replies or ReplyCache()
        self._waiting = waiting
        self._callers: dict[bytes, Caller | None] = {}
        self._procedures: dict[tuple[int, int, int], Procedure] = {
            (program.number, version, number): row
            for program in self.programs.values()
            for version, rows in program.versions.items()
            for number, row in rows.items()
        }

    def dispatch(self, message: Buffer, peer: Peer, send: Send) -> None:
        """Run a call; its reply's parts go to `send`, now or later, on this thread.

        Raises BadMessage where there is no call that could be answered.
        """
        try:
            header = rpc.header(message)
            procedure = self._procedures.get(header[1:4])
            if procedure is None:
                raise Refused(self._unavailable(header))
            caller = self._caller(header)
        except Refused as refused:
            send([_XID(rpc.xid_of(message)), refused.reply])
            return
        peer.calls += 1
        if procedure.changes:
            self._run_once(procedure, header, caller, message, peer, send)
        else:
            call = Call(peer, caller, header.credential, procedure)
            self._run(call, header, message, send)

    def _caller(self, header: Header) -> Caller | None:
        credential = header.credential
        try:
            return self._callers[credential]
        except KeyError:
            found = rpc.caller(header.flavour, credential)
            if len(self._callers) >= _CALLERS_MAX:
                self._callers.clear()
            self._callers[credential] = found
            return found

    def _unavailable(self, header: Header) -> bytes:
        """The refusal of a procedure that there is not."""
        program = self.programs.get(header.program)
        if program is None:
            return rpc.accepted(AcceptStat.PROG_UNAVAIL)
        if header.version not in program.versions:
            return rpc.mismatch(min(program.versions), max(program.versions))
        return rpc.accepted(AcceptStat.PROC_UNAVAIL)

    def _run_once(
        self,
        procedure: Procedure,
        header: Header,
        caller: Caller | None,
        message: Buffer,
        peer: Peer,
        send: Send,
    ) -> None:
        """Run a call unless it ran before; then its first reply is sent again."""
        name = key(peer.address, header.xid, header.program, header.procedure, message)
        replies = self.replies
        if not replies.begin(name, send):
            return
        call = Call(peer, caller, header.credential, procedure)

        def answer(reply: list[Buffer]) -> None:
            replies.end(name, reply, keep=call.keep)
            send(reply)

        self._run(call, header, message, answer)

    def _run(self, call: Call, header: Header, message: Buffer, send: Send) -> None:
        procedure = call.procedure
        xid = _XID(header.xid)
        try:
            arguments, end = procedure.unpack(message, header.end)
            if end != len(message):
                raise XdrError("bytes behind the arguments")
        except (XdrError, struct.error):
            call.keep = False
            send([xid, rpc.accepted(AcceptStat.GARBAGE_ARGS)])
            return
        waiting = self._waiting
        untold = waiting.untold
        try:
            result = procedure.handler(call, arguments)
            if result is Again:
                waiting.when_room(lambda: self._run(call, header, message, send))
                return
            if type(result) is NotYet:
                result.when(lambda: self._run(call, header, message, send))
                return
            if type(result) is Later:
                self._later(call, xid, result, send)
                return
            reply: list[Buffer] = [xid, rpc.SUCCESS]
            procedure.pack(result, reply.append)
        except Exception:
            log.exception("%s failed", procedure.name)
            reply = [xid, rpc.accepted(AcceptStat.SYSTEM_ERR)]
        if call.failed is not None:
            self._when_durable(call, xid, reply, send)
        elif waiting.untold != untold:
            waiting.when_told(lambda: send(reply))
        else:
            send(reply)

    def _when_durable(self, call: Call, xid: bytes, reply: list[Buffer], send: Send) -> None:
        def then(error: StoreError | None) -> None:
            if error is None:
                self._waiting.when_told(lambda: send(reply))
                return
            failed = call.failed
            assert failed is not None
            call.keep = False
            send(_answer(call, xid, lambda: failed(error)))

        self._waiting.when_durable(then)

    def _later(self, call: Call, xid: bytes, later: Later, send: Send) -> None:
        self._waiting.elsewhere(later.run, lambda: send(_answer(call, xid, later.finish)))


def _answer(call: Call, xid: bytes, result: Callable[[], Any]) -> list[Buffer]:
    """The reply with a result that is yet to be made."""
    try:
        reply: list[Buffer] = [xid, rpc.SUCCESS]
        call.procedure.pack(result(), reply.append)
    except Exception:
        log.exception("%s failed", call.procedure.name)
        return [xid, rpc.accepted(AcceptStat.SYSTEM_ERR)]
    return reply
