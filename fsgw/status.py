"""What a gateway tells of itself: its state, and who its clients are.

The keys are a promise to scripts, as in `fsgw.plain`.
"""

from __future__ import annotations

import os
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import trio

from fsgw.plain import Plain

if TYPE_CHECKING:
    from fsgw.gateway import Gateway

# Rates are means over so many seconds, measured once a second.
RATE_S = 10
_COUNTERS = ("calls", "received_bytes", "sent_bytes")


class _Sample(NamedTuple):
    time_s: float
    calls: int
    clients: dict[str, tuple[int, ...]]


class Rates:
    """How much happens in a second: to be kept by a task of its own."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._samples: deque[_Sample] = deque(maxlen=RATE_S + 1)

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            self._samples.append(self._sample())
            await trio.sleep(1)

    def _sample(self) -> _Sample:
        door = self._gateway.door
        clients = {row["address"]: tuple(row[name] for name in _COUNTERS) for row in door.clients()}
        return _Sample(time.monotonic(), door.status()["calls"], clients)

    def calls(self) -> float:
        """Calls of all clients in a second."""
        now = self._sample()
        then = self._samples[0] if self._samples else now
        return _rate(now.calls - then.calls, now.time_s - then.time_s)

    def of(self, row: Plain) -> Plain:
        """calls_per_s, received_bytes_per_s and sent_bytes_per_s of a client."""
        now_s = time.monotonic()
        then = next((s for s in self._samples if row["address"] in s.clients), None)
        before = (0, 0, 0) if then is None else then.clients[row["address"]]
        passed_s = RATE_S if then is None else now_s - then.time_s
        return {
            f"{name}_per_s": _rate(max(0, row[name] - count), passed_s)
            for name, count in zip(_COUNTERS, before, strict=True)
        }


def _rate(count: int, passed_s: float) -> float:
    return round(count / passed_s, 1) if passed_s > 0 else 0.0


def status(gateway: Gateway) -> Plain:
    """store, pid, started_ns, uptime_s, socket, exports_file; dirty_bytes and held_bytes (changes
    not durable yet, and all in memory), journal_bytes, unsealed (frozen layers that wait for it),
    background (whether a job is under way); flushes, failures, last_error of storing; calls_per_s;
    doors, by name, as each tells of itself."""
    engine, committer = gateway.store.engine, gateway.committer
    layers = engine.layers.values()
    return {
        "store": str(gateway.directory),
        "pid": os.getpid(),
        "started_ns": gateway.started_ns,
        "uptime_s": round(time.monotonic() - gateway.started_s, 3),
        "socket": str(gateway.socket),
        "exports_file": str(gateway.exports_file),
        "dirty_bytes": gateway.store.dirty_bytes,
        "held_bytes": engine.gauge.held_bytes,
        "journal_bytes": engine.journal.used_bytes,
        "unsealed": sum(layer.frozen and not layer.sealed for layer in layers),
        "background": not gateway.store.quiet,
        "flushes": committer.flushes,
        "failures": committer.failures,
        "last_error": committer.last_error,
        "calls_per_s": gateway.rates.calls(),
        "doors": {"nfs": gateway.door.status(), "fuse": gateway.fuse.status()},
    }


def clients(gateway: Gateway) -> list[Plain]:
    """Each client as its door tells of it, with calls_per_s, received_bytes_per_s and
    sent_bytes_per_s of the last RATE_S seconds."""
    return [{**row, **gateway.rates.of(row)} for row in gateway.door.clients()]
