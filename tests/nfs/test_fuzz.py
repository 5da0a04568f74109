"""Any bytes at all into a connection yield valid replies or a clean close, and nothing else.

A short run of what `scripts/fuzz-nfs` does for as long as one likes; the store is checked after it.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import pytest
import trio

from nfs.connection import Limits
from nfs.record import mark
from tests.nfs.fuzzing import Arena, Calls, spoil
from tests.nfs.gateway import Gateway
from tests.nfs.messages import read_reply
from tests.nfs.serving import Line, Serving, serving


@pytest.mark.parametrize("part", range(4))
def test_calls_of_every_procedure_good_and_spoiled(
    gw: Gateway, rng: random.Random, part: int
) -> None:
    arena = Arena(gw, rng)
    arena.attack(1500)
    assert arena.counts["accepted"] > 300
    assert arena.counts["refused"] > 50
    assert arena.counts["closed"] > 5
    assert gw.store.check(data=True) == []


def test_bytes_over_sockets(gw: Gateway, rng: random.Random) -> None:
    """Many connections at once send whatever comes; one that behaves is served all the time."""
    calls = Calls(gw, rng)

    async def attack(at_work: Serving) -> None:
        line = await at_work.line()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_take, line)
            try:
                for _ in range(rng.randrange(1, 30)):
                    await line.send(_stream(calls, rng))
                await line.stream.send_eof()
            except trio.BrokenResourceError:
                pass
            if rng.random() < 0.5:
                nursery.cancel_scope.cancel()
        await line.close()

    async def test(at_work: Serving) -> None:
        good, client = await at_work.line(), at_work.client()
        look = client.message("GETATTR", client.mount())
        async with trio.open_nursery() as nursery:
            for _ in range(60):
                nursery.start_soon(attack, at_work)
                await good.exchange(look)
        await good.exchange(look)
        await good.close()
        await at_work.gone()

    _run(gw, test)
    assert gw.store.check(data=True) == []


def _stream(calls: Calls, rng: random.Random) -> bytes:
    """A piece of what a hostile client sends."""
    _, message = calls.nfs()
    if rng.random() < 0.5:
        message = spoil(rng, message, calls.other())
    data = mark(len(message)) + message
    return data[: rng.randrange(len(data))] if rng.random() < 0.05 else data


async def _take(line: Line) -> None:
    """Read replies, each of which must be one, until the server hangs up."""
    while True:
        try:
            record = await line.record()
        except trio.ClosedResourceError:
            return
        if record is None:
            return
        read_reply(record)


def _run(gw: Gateway, test: Callable[[Serving], Awaitable[None]]) -> None:
    async def main() -> None:
        async with serving(gw, limits=Limits(calls_max=20)) as at_work:
            await test(at_work)

    trio.run(main)
