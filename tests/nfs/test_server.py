"""The TCP server: pieces of calls, many at once, slow and silent clients, too many of them."""

from __future__ import annotations

import logging
import resource
import tracemalloc
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from nfs.connection import Limits
from nfs.nfs3_types import diropargs3, nfsstat3, stable_how
from nfs.record import mark
from nfs.server import Timeouts
from store.errors import StoreError
from store.reading import ReadJob
from tests.nfs.client import answered, sattr
from tests.nfs.gateway import Gateway
from tests.nfs.messages import Reply, call_message
from tests.nfs.serving import Line, Serving, serving

MIB = 1 << 20


def run(gw: Gateway, test: Callable[[Serving], Awaitable[None]], **how: object) -> None:
    """Run a test on a gateway that serves; no error may be logged meanwhile."""

    async def main() -> None:
        async with serving(gw, **how) as at_work:  # type: ignore[arg-type]
            await test(at_work)

    trio.run(main)


@pytest.fixture(autouse=True)
def _no_errors(caplog: pytest.LogCaptureFixture) -> object:
    yield
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR] == []


def null(xid: int) -> bytes:
    """A call that does nothing."""
    return call_message(xid, 100003, 3, 0)


def framed(message: bytes) -> bytes:
    """A record of one fragment."""
    return mark(len(message)) + message


# --- calls --------------------------------------------------------------------------------------


def test_a_call_byte_by_byte(gw: Gateway) -> None:
    async def test(at_work: Serving) -> None:
        line = await at_work.line()
        for byte in framed(null(7)):
            await line.send(bytes([byte]))
        assert await line.reply() == Reply(7, b"")

    run(gw, test)


def test_a_thousand_calls_in_one_piece(gw: Gateway) -> None:
    async def test(at_work: Serving) -> None:
        line = await at_work.line()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(line.send, b"".join(framed(null(xid)) for xid in range(1000)))
            found = [(await line.reply()).xid for _ in range(1000)]
        assert found == list(range(1000))

    run(gw, test)


def test_all_programs_answer_on_the_one_port(gw: Gateway) -> None:
    async def test(at_work: Serving) -> None:
        line = await at_work.line()
        for program, version in [(100003, 3), (100005, 3), (100000, 2), (100000, 4)]:
            assert await line.exchange(call_message(5, program, version, 0)) == Reply(5, b"")

    run(gw, test)


def test_a_call_that_waits_for_the_disk_does_not_hold_up_others(gw: Gateway) -> None:
    async def test(at_work: Serving) -> None:
        client, line = at_work.client(), await at_work.line()
        top = client.mount()
        make = client.message("CREATE", diropargs3(top, b"f"), (1, sattr(mode=0o755)))
        look = client.message("GETATTR", top)
        await line.send(framed(make) + framed(look))
        replies = {(await line.reply()).xid for _ in range(2)}
        assert replies == {int.from_bytes(call[:4], "big") for call in (make, look)}

    run(gw, test)


def test_data_goes_through_as_it_is(gw: Gateway) -> None:
    async def test(at_work: Serving) -> None:
        client, line = at_work.client(), await at_work.line()
        top = client.mount()
        reply = await line.exchange(
            client.message("CREATE", diropargs3(top, b"f"), (1, sattr(mode=0o755)))
        )
        file = answered("CREATE", reply).ok().obj
        data = bytes(range(256)) * (MIB // 256)
        for number in range(4):
            message = client.message("WRITE", file, number * MIB, MIB, stable_how.UNSTABLE, data)
            answered("WRITE", await line.exchange(message)).ok()
        answered("COMMIT", await line.exchange(client.message("COMMIT", file, 0, 0))).ok()
        for number in range(4):
            message = client.message("READ", file, number * MIB, MIB)
            read = answered("READ", await line.exchange(message)).ok()
            assert (read.data == data, read.eof) == (True, number == 3)

    run(gw, test)


# --- clients that misbehave ---------------------------------------------------------------------

SENSELESS = {
    "a record that is too long": b"\xff\xff\xff\xff",
    "fragments that are too long": b"\x00\x10\x00\x00" + bytes(MIB) + b"\x80\x10\x00\x00",
    "HTTP": b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n",
    "TLS": bytes.fromhex("1603010200010001fc0303") + bytes(600),
    "a reply": framed(b"\0\0\0\1\0\0\0\1" + bytes(40)),
    "an empty record": framed(b""),
    "a short call": framed(null(1)[:39]),
    "marks without content": bytes(4) * 2000,
}


@pytest.mark.parametrize("data", SENSELESS.values(), ids=SENSELESS)
def test_who_makes_no_sense_is_hung_up_on_and_nobody_else(gw: Gateway, data: bytes) -> None:
    async def test(at_work: Serving) -> None:
        good, bad = await at_work.line(), await at_work.line()
        await good.exchange(null(1))
        try:
            await bad.send(data)
        except trio.BrokenResourceError:
            pass
        assert await bad.is_over()
        await good.exchange(null(2))
        assert len(at_work.server.connections()) == 1

    run(gw, test)


def test_calls_before_the_senseless_are_answered(gw: Gateway) -> None:
    async def test(at_work: Serving) -> None:
        line = await at_work.line()
        await line.send(framed(null(1)) + framed(null(2)) + b"\xff\xff\xff\xff")
        assert [await line.reply(), await line.reply()] == [Reply(1, b""), Reply(2, b"")]
        assert await line.is_over()

    run(gw, test)


def test_who_hangs_up_in_the_middle_is_forgotten(gw: Gateway) -> None:
    async def test(at_work: Serving) -> None:
        whole = framed(null(1))
        for length in range(len(whole)):
            line = await at_work.line()
            await line.send(whole[:length])
            await line.close()
        await at_work.gone()

    run(gw, test)


def test_who_hangs_up_before_the_answer_is_forgotten(gw: Gateway) -> None:
    async def test(at_work: Serving) -> None:
        client = at_work.client()
        top = client.mount()
        for number in range(20):
            line = await at_work.line()
            name = b"f%d" % number
            await line.call(client.message("CREATE", diropargs3(top, name), (1, sattr(mode=0o755))))
            await line.close()
        await at_work.gone()
        line = await at_work.line()
        reply = await line.exchange(client.message("GETATTR", top))
        assert answered("GETATTR", reply).status == nfsstat3.OK

    run(gw, test)


def test_a_part_of_a_call_is_waited_for_so_long(gw: Gateway) -> None:
    async def test(at_work: Serving) -> None:
        slow, idle = await at_work.line(), await at_work.line()
        await idle.exchange(null(1))
        await slow.send(framed(null(1))[:20])
        assert await slow.is_over()
        await idle.exchange(null(2))

    _fast_forward(gw, test, Timeouts(receive_s=0.0))


def test_who_asks_for_nothing_is_kept_so_long(gw: Gateway) -> None:
    async def test(at_work: Serving) -> None:
        line = await at_work.line()
        await line.exchange(null(1))
        assert await line.is_over()

    _fast_forward(gw, test, Timeouts(idle_s=0.0))


def _fast_forward(
    gw: Gateway, test: Callable[[Serving], Awaitable[None]], timeouts: Timeouts
) -> None:
    """Run a test in which the event loop's time passes as soon as there is nothing to do."""

    async def main() -> None:
        async with serving(gw, timeouts=timeouts) as at_work:
            await test(at_work)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.01))


# --- memory -------------------------------------------------------------------------------------


@pytest.fixture(params=["cached", "from disk"])
def reads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads that are done on the spot, and reads that another thread does."""

    on_the_spot: bool = request.param == "cached"

    def run_cached(job: ReadJob) -> bool:
        if on_the_spot:
            job.run()
        return on_the_spot

    monkeypatch.setattr(ReadJob, "run_cached", run_cached)


@pytest.mark.usefixtures("reads")
def test_who_asks_for_much_and_takes_nothing_costs_little(gw: Gateway) -> None:
    """Calls for 300 MiB fit into one receive; the answers must not."""
    calls, limit = 300, 4 * MIB

    async def test(at_work: Serving) -> None:
        client, line, other = at_work.client(), await at_work.line(), await at_work.line()
        top = client.mount()
        file = client.make(top, b"f")
        data = bytes(range(256)) * (MIB // 256)
        client.write(file, 0, data, stable_how.FILE_SYNC).ok()
        messages = [framed(client.message("READ", file, 0, MIB)) for _ in range(calls)]
        look = client.message("GETATTR", top)
        tracemalloc.start()
        try:
            await line.send(b"".join(messages))
            for _ in range(100):
                await other.exchange(look)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < limit + 16 * MIB
        seen = set()
        for _ in range(calls):
            reply = await line.reply()
            assert answered("READ", reply).ok().data == data
            seen.add(reply.xid)
        assert len(seen) == calls

    run(gw, test, limits=Limits(reply_bytes_max=limit))


def test_more_calls_than_may_be_under_way_wait_for_their_turn(gw: Gateway) -> None:
    async def test(at_work: Serving) -> None:
        client, line = at_work.client(), await at_work.line()
        top = client.mount()
        messages = [
            client.message("MKDIR", diropargs3(top, b"d%d" % number), sattr(mode=0o755))
            for number in range(500)
        ]
        await line.send(b"".join(map(framed, messages)))
        most = 0
        seen = set()
        for _ in messages:
            reply = await line.reply()
            answered("MKDIR", reply).ok()
            seen.add(reply.xid)
            most = max(most, *(info.under_way for info in at_work.server.connections()))
        assert len(seen) == 500
        assert most <= 8

    run(gw, test, limits=Limits(calls_max=8))


def test_who_takes_no_answers_is_hung_up_on(gw: Gateway) -> None:
    async def test(at_work: Serving) -> None:
        client, line = at_work.client(), await at_work.line()
        file = client.make(client.mount(), b"f")
        client.write(file, 0, bytes(MIB), stable_how.FILE_SYNC).ok()
        message = framed(client.message("READ", file, 0, MIB))
        await line.send(message * 100)
        await at_work.gone()

    async def main() -> None:
        timeouts = Timeouts(send_s=0.0)
        async with serving(gw, timeouts=timeouts) as at_work:
            await test(at_work)

    trio.run(main, clock=trio.testing.MockClock(rate=1000))


def _connections_possible(count: int) -> None:
    """Have room for both ends of so many connections, or skip the test."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * count + 200
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"only {hard} open files are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def test_thousands_of_connections_with_half_a_call_each(gw: Gateway) -> None:
    """A few KiB each, whatever they announce; and somebody else is served meanwhile."""
    count = 2000
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)
    _connections_possible(count)

    async def test(at_work: Serving) -> None:
        good = await at_work.line()
        await good.exchange(null(1))
        tracemalloc.start()
        try:
            lines: list[Line] = []
            for number in range(count):
                line = await at_work.line()
                await line.send(mark(MIB) + null(number))
                lines.append(line)
                if number % 100 == 0:
                    await good.exchange(null(number))
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        await good.exchange(null(2))
        assert len(at_work.server.connections()) == count + 1
        assert held < count * 16 * 1024  # both ends
        for line in lines:
            await line.close()
        await good.close()
        await at_work.gone()

    try:
        run(gw, test)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, soft)


def test_one_connection_too_many_is_closed_and_there_is_room_again(gw: Gateway) -> None:
    async def test(at_work: Serving) -> None:
        lines = [await at_work.line() for _ in range(3)]
        for line in lines:
            await line.exchange(null(1))
        assert await (await at_work.line()).is_over()
        assert at_work.server.refused == 1
        await lines.pop().close()
        while len(at_work.server.connections()) > 2:
            await trio.lowlevel.checkpoint()
        await (await at_work.line()).exchange(null(2))

    run(gw, test, connections_max=3)


# --- the end ------------------------------------------------------------------------------------


def test_draining_answers_what_is_under_way_and_accepts_no_more(
    gw: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(at_work: Serving) -> None:
        held: list[Callable[[StoreError | None], None]] = []
        monkeypatch.setattr(at_work.committer, "when_durable", held.append)
        client, line = at_work.client(), await at_work.line()
        await line.call(client.message("MKDIR", diropargs3(client.mount(), b"d"), sattr()))
        while not held:
            await trio.lowlevel.checkpoint()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(at_work.server.drain)
            await trio.testing.wait_all_tasks_blocked()
            assert nursery.child_tasks, "it did not wait"
            held.pop()(None)
            at_work.server.push()
        answered("MKDIR", await line.reply()).ok()
        with pytest.raises(OSError, match="connect"):
            await at_work.line()
        monkeypatch.undo()

    run(gw, test)


def test_no_client_can_take_all_connections(gw: Gateway) -> None:
    """At the limit, whoever has most gives an idle one up for another address."""

    async def test(at_work: Serving) -> None:
        greedy = [await at_work.line("127.0.0.2") for _ in range(3)]
        for number, line in enumerate(greedy):
            await line.exchange(null(number))
        other = await at_work.line("127.0.0.3")
        await other.exchange(null(7))
        assert await greedy[0].is_over()
        await greedy[1].exchange(null(8))
        more = await at_work.line("127.0.0.2")  # it has most itself
        assert await more.is_over()
        await other.exchange(null(9))

    run(gw, test, connections_max=3)
