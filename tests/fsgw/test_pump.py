"""The pump: which thread runs which job, and what happens when memory is full or the disk is."""

from __future__ import annotations

import threading
from typing import cast

import pytest

from fsgw import pump
from fsgw.pump import Pump
from store.errors import Busy, NoSpace
from store.store import Store

BIG, SMALL = 1 << 20, 100


class FakeJob:
    """A job that notes who ran it, once its gate is open."""

    def __init__(self, store: FakeStore, name: str) -> None:
        self._store, self._name = store, name

    def run(self) -> None:
        assert self._store.gate.wait(30)
        where = "here" if threading.current_thread() is threading.main_thread() else "there"
        self._store.log.append(f"{self._name} {where}")

    def finish(self) -> None:
        assert threading.current_thread() is threading.main_thread()
        self._store.log.append(f"{self._name} finished")
        if self._store.full_disk:
            raise NoSpace("the disk is full")
        if self._name == "flush":
            self._store.dirty_bytes = 0
        else:
            self._store.background = False
            self._store.held = 0


class FakeStore:
    """The part of a store that a pump uses: flushing, and at most one piece of other work."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.dirty_bytes = 0
        self.held = 0
        self.background = False
        self.full_disk = False

    def begin_flush(self) -> FakeJob | None:
        return FakeJob(self, "flush") if self.dirty_bytes else None

    def background_job(self) -> FakeJob | None:
        return FakeJob(self, "other") if self.background else None

    def flush(self) -> None:
        self.log.append("flush at the end")

    def write(self, count: int) -> int:
        if self.held + count > 64 * BIG:
            raise Busy("full")
        self.dirty_bytes += count
        self.held += count
        return count


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


def pumped(store: FakeStore) -> Pump:
    return Pump(cast(Store, store))


def write(run: Pump, store: FakeStore, count: int, times: int) -> None:
    for _ in range(times):
        assert run.call(store.write, count) == count
        run.tick(count)


def test_much_data_is_flushed_on_the_other_thread_meanwhile(store: FakeStore) -> None:
    with pumped(store) as run:
        store.gate.clear()
        write(run, store, BIG, 20)  # goes on although the flush cannot
        assert store.log == []
        store.gate.set()
        run.wait()
        assert store.log == ["flush there", "flush finished"]
    assert store.log[2:] == ["flush at the end"]


def test_many_small_calls_are_flushed_on_this_thread(
    store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump, "FLUSH_BYTES", 1000)
    with pumped(store) as run:
        write(run, store, SMALL, 10)
        assert store.log == ["flush here", "flush finished"]


def test_full_memory_is_relieved_and_the_call_repeated(store: FakeStore) -> None:
    with pumped(store) as run:
        for _ in range(64):
            run.call(store.write, BIG)
        store.background = True
        assert run.call(store.write, BIG) == BIG  # a flush is not enough: the other job is needed
        assert store.log == ["flush here", "flush finished", "other here", "other finished"]
        assert store.held == BIG


def test_full_memory_that_nothing_relieves_is_an_error(store: FakeStore) -> None:
    store.held = 64 * BIG
    with pumped(store) as run, pytest.raises(Busy):
        run.call(store.write, BIG)


def test_other_work_follows_a_flush(store: FakeStore) -> None:
    with pumped(store) as run:
        store.background = True
        write(run, store, BIG, 16)
        run.wait()
        write(run, store, BIG, 16)  # another flush: its end is noticed by a tick some time later
        while "other finished" not in store.log:
            run.tick()
    assert store.log.index("other there") > store.log.index("flush there")


def test_a_failed_job_is_raised_and_nothing_hangs(store: FakeStore) -> None:
    with pytest.raises(NoSpace), pumped(store) as run:  # noqa: PT012
        store.full_disk = True
        write(run, store, BIG, 16)
        run.wait()
    assert store.log == ["flush there", "flush finished", "flush at the end"]
