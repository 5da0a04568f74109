"""Processes that work on a store until they are killed.

Run as a program this is a *nursery*: it imports everything once, then forks a child for each
`Life` that it is told of on stdin, and answers on stdout with what the child reported before it
ended. What a child has reported it has handed to the kernel, so a kill cannot take it back.

`crash_nursery` is the test's side of it.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import random
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any

from store import faults
from store.store import Store
from tests.store.crash_load import Load
from tests.store.crash_nursery import Life, Told
from tests.store.crash_steps import options

# --- in the child -----------------------------------------------------------------------------


def live(life: Life, report: Callable[[tuple[Any, ...]], None]) -> None:
    """Open the store and work on it."""
    if life.point:
        faults.arm(Reaper(life.point, life.passing))
    rng = random.Random(life.seed)
    store = Store.open(life.place, options(life.clock_ns))
    report(("open",))
    load = Load(store, life.world, rng, report, threads=True, gc_chance=life.gc_chance)
    load.run(life.steps)
    load.end(life.end)
    report(("end",))


class Reaper:
    """Kills this process when it passes a point for the `passing`th time, on any thread."""

    def __init__(self, name: str, passing: int) -> None:
        self._name, self._left = name, passing

    def __call__(self, name: str) -> None:
        if name == self._name:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def child(life: Life, pipe: int) -> None:
    """Live, and end without any clean-up, as a crash would."""

    def report(what: tuple[Any, ...]) -> None:
        data = pickle.dumps(what)
        while data:
            data = data[os.write(pipe, data) :]

    try:
        live(life, report)
    except BaseException:  # noqa: BLE001 - the test raises it again
        report(("failed", traceback.format_exc()))
    finally:
        os._exit(0)


# --- in the nursery ---------------------------------------------------------------------------


def raise_child(life: Life) -> Told:
    """Fork a child, let it live, and gather what it told."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        child(life, writing)
    os.close(writing)

    def kill(*_: object) -> None:
        with contextlib.suppress(ProcessLookupError):  # it may have ended by itself just now
            os.kill(pid, signal.SIGKILL)

    signal.signal(signal.SIGALRM, kill)
    reports: list[tuple[Any, ...]] = []
    with open(reading, "rb") as pipe:
        try:
            while True:
                reports.append(pickle.load(pipe))
                if not life.point and len(reports) == life.passing:
                    signal.setitimer(signal.ITIMER_REAL, max(life.after_s, 1e-6))
        except (EOFError, pickle.UnpicklingError):
            pass  # the last report may have been cut short
    _, status = os.waitpid(pid, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return Told(reports, os.WIFSIGNALED(status))


def main() -> None:
    """Serve lives until stdin ends."""
    while True:
        try:
            life = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        pickle.dump(raise_child(life), sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
