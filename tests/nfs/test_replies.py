"""The duplicate-request cache: a call runs once, and everyone who sent it gets its answer."""

from __future__ import annotations

import tracemalloc

from nfs.replies import ReplyCache, key
from nfs.xdr import Buffer
from tests.nfs.messages import auth_sys, call_message

Replies = list[list[Buffer]]
CALL = call_message(7, 100003, 3, 12, b"arguments", credential=auth_sys(1, 2))


def key_of(
    message: bytes = CALL, address: str = "10.0.0.1", procedure: int = 12
) -> tuple[object, ...]:
    """The key of a call, with the xid as the message has it."""
    return key(address, int.from_bytes(message[:4], "big"), 100003, procedure, message)


def test_a_call_is_told_by_client_xid_procedure_credential_and_arguments() -> None:
    changed = [
        key_of(address="10.0.0.2"),
        key_of(call_message(8, 100003, 3, 12, b"arguments", credential=auth_sys(1, 2))),
        key_of(procedure=13),
        key(("10.0.0.1"), 7, 100005, 12, CALL),
        key_of(call_message(7, 100003, 3, 12, b"argumentt", credential=auth_sys(1, 2))),
        key_of(call_message(7, 100003, 3, 12, b"arguments", credential=auth_sys(9, 2))),
    ]
    assert len({key_of(), *changed}) == len(changed) + 1
    assert key_of() == key_of(bytes(memoryview(CALL)))


def test_a_call_runs_once() -> None:
    cache, sent = ReplyCache(), Replies()
    call = key("client", 1, 2, 3, CALL)
    assert cache.begin(call, sent.append)
    assert sent == []
    cache.end(call, [b"reply"], keep=True)
    assert sent == []  # who began it sends its reply
    assert not cache.begin(call, sent.append)
    assert not cache.begin(call, sent.append)
    assert sent == [[b"reply"], [b"reply"]]
    assert cache.hits == 2


def test_duplicates_of_a_call_under_way_wait_for_it() -> None:
    cache, first, second = ReplyCache(), Replies(), Replies()
    call = key("client", 1, 2, 3, CALL)
    assert cache.begin(call, lambda reply: None)
    assert not cache.begin(call, first.append)
    assert not cache.begin(call, second.append)
    assert first == second == []
    cache.end(call, [b"reply"], keep=True)
    assert first == second == [[b"reply"]]


def test_a_reply_that_is_not_kept_is_sent_to_those_who_wait_and_forgotten() -> None:
    cache, sent = ReplyCache(), Replies()
    call = key("client", 1, 2, 3, CALL)
    cache.begin(call, sent.append)
    cache.begin(call, sent.append)
    cache.end(call, [b"full"], keep=False)
    assert sent == [[b"full"]]
    assert cache.begin(call, sent.append)


def test_the_oldest_replies_are_evicted() -> None:
    cache, sent = ReplyCache(3), Replies()
    calls = [key("client", xid, 2, 3, CALL) for xid in range(5)]
    for call in calls:
        assert cache.begin(call, sent.append)
        cache.end(call, [b"reply"], keep=True)
    assert [cache.begin(call, sent.append) for call in calls[2:]] == [False] * 3
    assert [cache.begin(call, sent.append) for call in calls[:2]] == [True] * 2


def test_a_call_under_way_is_not_evicted() -> None:
    cache, waiting = ReplyCache(2), Replies()
    slow = key("client", 0, 2, 3, CALL)
    assert cache.begin(slow, lambda reply: None)
    assert not cache.begin(slow, waiting.append)
    for xid in range(1, 10):
        call = key("client", xid, 2, 3, CALL)
        assert cache.begin(call, lambda reply: None)
        cache.end(call, [b"other"], keep=True)
    assert not cache.begin(slow, waiting.append)
    cache.end(slow, [b"slow"], keep=True)
    assert waiting == [[b"slow"]] * 2
    assert not cache.begin(slow, waiting.append)


def test_memory_is_bounded_by_the_number_of_replies() -> None:
    def fill(first: int, last: int) -> None:
        for xid in range(first, last):
            call = key("client", xid, 2, 3, CALL)
            cache.begin(call, lambda reply: None)
            cache.end(call, [bytes(200)], keep=True)

    cache = ReplyCache(500)
    tracemalloc.start()
    try:
        fill(0, 1000)
        full, _ = tracemalloc.get_traced_memory()
        fill(1000, 20_000)
        later, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert later < full * 1.2
