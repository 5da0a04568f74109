"""The dispatcher on a program made for the purpose: refusals, orders of answers, failures."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from nfs.dispatch import Dispatcher
from nfs.peer import Peer
from nfs.program import Again, Call, Later, Program, null, procedure, table
from nfs.replies import ReplyCache
from nfs.rpc import BadMessage
from nfs.xdr import Buffer, uint32
from store.errors import NoSpace, StoreError
from store.types import Caller
from tests.nfs.answers import NothingToTell
from tests.nfs.messages import Refusal, Reply, auth_sys, call_message, read_reply, words

PROGRAM = 200_000
NULL, ECHO, COUNT, SLOW, SETTLE, BROKEN, UNFIT, FULL = range(8)


class Number(NamedTuple):
    """The one argument and result."""

    value: uint32


class Work(NamedTuple):
    """Work that was put off, and what follows it."""

    run: Callable[[], None]
    then: Callable[[], None]


class Held(NothingToTell):
    """A gateway that does nothing until it is told to."""

    def __init__(self) -> None:
        self.durable: list[Callable[[StoreError | None], None]] = []
        self.room: list[Callable[[], None]] = []
        self.work: list[Work] = []

    def when_durable(self, then: Callable[[StoreError | None], None]) -> None:
        self.durable.append(then)

    def when_room(self, then: Callable[[], None]) -> None:
        self.room.append(then)

    def elsewhere(self, run: Callable[[], None], then: Callable[[], None]) -> None:
        self.work.append(Work(run, then))


class Bench:
    """A dispatcher with one program, and the replies that it gave, in order."""

    def __init__(self, replies_max: int = 100) -> None:
        self.waiting = Held()
        self.replies: list[Reply | Refusal] = []
        self.count = 0
        self.callers: list[Caller | None] = []
        rows = [
            null(),
            procedure(ECHO, "ECHO", Number, Number, self.echo),
            procedure(COUNT, "COUNT", Number, Number, self.counted, changes=True),
            procedure(SLOW, "SLOW", Number, Number, self.slow, changes=True),
            procedure(SETTLE, "SETTLE", Number, Number, self.settle, changes=True),
            procedure(BROKEN, "BROKEN", Number, Number, self.broken, changes=True),
            procedure(UNFIT, "UNFIT", Number, Number, self.unfit, changes=True),
            procedure(FULL, "FULL", Number, Number, self.full, changes=True),
        ]
        program = Program(PROGRAM, "bench", {3: table(rows), 5: table([null()])})
        self.dispatcher = Dispatcher([program], self.waiting, ReplyCache(replies_max))
        self.peer = Peer("10.0.0.1", 800)

    def echo(self, call: Call, arguments: Number) -> Number:
        self.callers.append(call.caller)
        return arguments

    def counted(self, call: Call, arguments: Number) -> Number:
        self.count += 1
        return Number(self.count)

    def slow(self, call: Call, arguments: Number) -> Later:
        ran: list[int] = []

        def finish() -> Number:
            self.count += 1
            if not ran:
                raise AssertionError("finished before it ran")
            if arguments.value == 666:
                raise RuntimeError("slow and wrong")
            return arguments

        return Later(lambda: ran.append(1), finish)

    def settle(self, call: Call, arguments: Number) -> Number:
        self.count += 1
        call.failed = lambda error: Number(1_000_000 + arguments.value)
        return arguments

    def broken(self, call: Call, arguments: Number) -> Number:
        self.count += 1
        raise RuntimeError("a mistake")

    def unfit(self, call: Call, arguments: Number) -> Any:
        self.count += 1
        return Number(-1)

    def full(self, call: Call, arguments: Number) -> Any:
        self.count += 1
        call.tries += 1
        return Again if call.tries < arguments.value else Number(call.tries)

    def send(self, message: bytes, peer: Peer | None = None) -> None:
        """Hand a message over as a connection does."""

        def sent(parts: list[Buffer]) -> None:
            self.replies.append(read_reply(b"".join(parts)))

        self.dispatcher.dispatch(memoryview(message), peer or self.peer, sent)

    def call(self, number: int, value: int = 0, xid: int = 1, **how: Any) -> None:
        """Send a call of the program's procedure."""
        self.send(call_message(xid, PROGRAM, 3, number, words(value), **how))


def done(value: int, xid: int = 1) -> Reply:
    """A reply with that number."""
    return Reply(xid, words(value))


SYSTEM_ERR = Refusal(1, False, 5, b"")
GARBAGE_ARGS = Refusal(1, False, 4, b"")


# --- one call -----------------------------------------------------------------------------------


def test_a_call_is_answered_at_once() -> None:
    bench = Bench()
    bench.call(ECHO, 5, xid=99)
    assert bench.replies == [Reply(99, words(5))]
    assert bench.peer.calls == 1


def test_null_does_nothing_for_anyone() -> None:
    bench = Bench()
    for version in (3, 5):
        bench.send(call_message(1, PROGRAM, version, 0))
        bench.send(call_message(1, PROGRAM, version, 0, credential=auth_sys(7, 7)))
    assert bench.replies == [Reply(1, b"")] * 4


def test_who_calls_is_who_the_credential_says() -> None:
    bench = Bench()
    bench.call(ECHO)
    bench.call(ECHO, credential=auth_sys(1, 2, (3,)))
    bench.call(ECHO, credential=auth_sys(1, 2, (3,), host=b"other"))
    bench.call(ECHO, credential=auth_sys(2, 2, (3,)))
    caller = Caller(1, 2, frozenset({3}))
    assert bench.callers == [None, caller, caller, caller._replace(uid=2)]


def test_so_many_credentials_that_old_ones_are_forgotten() -> None:
    bench = Bench()
    for uid in [*range(5000), 1, 4999]:
        bench.call(ECHO, credential=auth_sys(uid, 2))
    assert bench.callers == [Caller(uid, 2) for uid in [*range(5000), 1, 4999]]


# --- refusals -----------------------------------------------------------------------------------


def test_what_there_is_not_is_refused() -> None:
    bench = Bench()
    for program, version, number in [
        (100227, 3, 0),  # Linux looks for NFSACL at each mount
        (PROGRAM, 2, 0),
        (PROGRAM, 4, 1),  # between those that there are
        (PROGRAM, 6, 0),
        (PROGRAM, 3, 8),
        (PROGRAM, 5, 1),
        (PROGRAM, 3, 2**32 - 1),
    ]:
        bench.send(call_message(1, program, version, number, b"any arguments!"))
    mismatch = Refusal(1, False, 2, words(3, 5))
    assert bench.replies == [
        Refusal(1, False, 1, b""),  # PROG_UNAVAIL
        mismatch,
        mismatch,
        mismatch,
        Refusal(1, False, 3, b""),  # PROC_UNAVAIL
        Refusal(1, False, 3, b""),
        Refusal(1, False, 3, b""),
    ]


def test_another_version_of_rpc_and_bad_credentials_are_denied() -> None:
    bench = Bench()
    message = call_message(1, PROGRAM, 3, ECHO, words(0))
    bench.send(message[:8] + words(3) + message[12:])
    for credential in (words(1, 4, 0), words(6, 0), words(7, 0), words(0, 404) + bytes(404)):
        bench.send(call_message(1, PROGRAM, 3, NULL, credential=credential))
    bench.send(call_message(1, PROGRAM, 3, NULL, verifier=words(0, 404) + bytes(404)))
    assert bench.replies == [
        Refusal(1, True, 0, words(2, 2)),  # RPC_MISMATCH
        *[Refusal(1, True, 1, words(1))] * 4,  # AUTH_BADCRED
        Refusal(1, True, 1, words(3)),  # AUTH_BADVERF
    ]


def test_a_credential_refused_once_is_refused_again() -> None:
    bench = Bench()
    for _ in range(3):
        bench.call(ECHO, credential=words(6, 0))
    assert bench.replies == [Refusal(1, True, 1, words(1))] * 3


@pytest.mark.parametrize("arguments", [b"", bytes(3), bytes(5), bytes(8)])
@pytest.mark.parametrize("number", [ECHO, COUNT])
def test_arguments_that_are_none_are_garbage(number: int, arguments: bytes) -> None:
    bench = Bench()
    bench.send(call_message(1, PROGRAM, 3, number, arguments))
    assert bench.replies == [GARBAGE_ARGS]
    assert bench.count == 0


def test_null_takes_no_arguments() -> None:
    bench = Bench()
    bench.send(call_message(1, PROGRAM, 3, NULL, words(0)))
    assert bench.replies == [GARBAGE_ARGS]


def test_garbage_is_not_kept() -> None:
    bench = Bench()
    for _ in range(2):
        bench.send(call_message(1, PROGRAM, 3, COUNT, b""))
    bench.call(COUNT)
    assert bench.replies == [GARBAGE_ARGS, GARBAGE_ARGS, done(1)]


def test_what_is_no_call_cannot_be_answered() -> None:
    bench = Bench()
    for message in (b"", b"abc", bytes(31), words(1, 1, 0, 0, 0, 0), words(1, 1, *[0] * 20)):
        with pytest.raises(BadMessage):
            bench.send(message)
    assert bench.replies == []


# --- duplicates ---------------------------------------------------------------------------------


def test_a_call_that_changes_something_runs_once() -> None:
    bench = Bench()
    for _ in range(3):
        bench.call(COUNT)
    assert bench.replies == [done(1)] * 3
    assert bench.count == 1


def test_a_resend_over_another_connection_gets_the_first_answer() -> None:
    bench = Bench()
    bench.call(COUNT)
    message = call_message(1, PROGRAM, 3, COUNT, words(0))
    bench.send(message, Peer("10.0.0.1", 999))
    assert bench.replies == [done(1)] * 2


def test_other_calls_are_not_taken_for_it() -> None:
    bench = Bench()
    bench.call(COUNT)
    bench.call(COUNT, xid=2)
    bench.call(COUNT, 7)
    bench.call(COUNT, credential=auth_sys(5, 5))
    bench.send(call_message(1, PROGRAM, 3, COUNT, words(0)), Peer("10.0.0.2", 800))
    assert bench.replies == [done(1), done(2, xid=2), done(3), done(4), done(5)]


def test_a_call_that_changes_nothing_runs_again() -> None:
    bench = Bench()
    bench.call(ECHO)
    bench.call(ECHO)
    assert len(bench.callers) == 2


def test_a_duplicate_of_a_call_under_way_gets_the_same_answer_when_it_is_done() -> None:
    bench = Bench()
    bench.call(SETTLE, 5)
    bench.send(call_message(1, PROGRAM, 3, SETTLE, words(5)), Peer("10.0.0.1", 801))
    assert bench.replies == []
    (then,) = bench.waiting.durable
    then(None)
    assert bench.replies == [done(5)] * 2
    assert bench.count == 1


# --- replies that come later --------------------------------------------------------------------


def test_a_reply_waits_until_the_store_is_durable_and_others_do_not() -> None:
    bench = Bench()
    bench.call(SETTLE, 5, xid=1)
    bench.call(ECHO, 6, xid=2)
    bench.call(SETTLE, 7, xid=3)
    assert bench.replies == [done(6, xid=2)]
    first, second = bench.waiting.durable
    second(None)
    first(None)
    assert bench.replies == [done(6, xid=2), done(7, xid=3), done(5, xid=1)]


def test_a_failed_flush_is_told_and_the_call_runs_again_when_it_comes_again() -> None:
    bench = Bench()
    bench.call(SETTLE, 5)
    bench.call(SETTLE, 5)
    bench.waiting.durable.pop()(NoSpace("full"))
    assert bench.replies == [done(1_000_005)] * 2
    bench.call(SETTLE, 5)
    bench.waiting.durable.pop()(None)
    assert bench.replies[2:] == [done(5)]
    assert bench.count == 2


def test_slow_work_is_done_elsewhere_and_answered_in_the_order_that_it_ends() -> None:
    bench = Bench()
    bench.call(SLOW, 1, xid=1)
    bench.call(SLOW, 2, xid=2)
    bench.call(SLOW, 2, xid=2)
    bench.call(ECHO, 3, xid=3)
    assert bench.replies == [done(3, xid=3)]
    first, second = bench.waiting.work
    for work in (second, first):
        work.run()
        work.then()
    assert bench.replies[1:] == [done(2, xid=2), done(2, xid=2), done(1, xid=1)]
    assert bench.count == 2


def test_a_call_that_finds_memory_full_is_tried_again_when_there_is_room() -> None:
    bench = Bench()
    bench.call(FULL, 3)
    bench.call(FULL, 3)
    for _ in range(2):
        assert bench.replies == []
        bench.waiting.room.pop()()
    assert bench.replies == [done(3)] * 2
    assert bench.waiting.room == []


# --- mistakes of ours ---------------------------------------------------------------------------


@pytest.mark.parametrize("number", [BROKEN, UNFIT])
def test_a_handler_that_fails_is_a_system_error_and_the_server_goes_on(
    number: int, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench()
    bench.call(number)
    assert bench.replies == [SYSTEM_ERR]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    bench.call(ECHO, 5)
    assert bench.replies[1:] == [done(5)]


def test_a_handler_that_failed_is_not_run_again_for_a_duplicate() -> None:
    bench = Bench()
    bench.call(BROKEN)
    bench.call(BROKEN)
    assert bench.replies == [SYSTEM_ERR] * 2
    assert bench.count == 1


def test_slow_work_that_fails_is_a_system_error(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.call(SLOW, 666)
    (work,) = bench.waiting.work
    work.run()
    work.then()
    assert bench.replies == [SYSTEM_ERR]
    assert len(caplog.records) == 1
