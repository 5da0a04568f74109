"""Group commit in the loop: who waits, who hears of failure, and what is on disk by then."""

from __future__ import annotations

import errno
import shutil
import threading
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import trio

from fsgw import committer as committing
from fsgw.committer import Committer
from store import disk
from store.engine import Options
from store.errors import Busy, NoSpace, StoreError
from store.store import Store
from store.types import ROOT

Scenario = Callable[[Store, Committer], Awaitable[None]]


@pytest.fixture(autouse=True)
def _no_faults() -> Iterator[None]:
    yield
    disk.inject(None)


def play(path: Path, scenario: Scenario, options: Options | None = None, age_s: float = 60) -> None:
    """Run a scenario beside a committer on a store with the branch `main`."""
    if not path.exists():
        Store.init(path)
    with Store.open(path, options) as store:
        if not store.branches():
            store.create_branch("main")
            store.flush()

        async def main() -> None:
            committer = Committer(store, flush_age_s=age_s)
            async with trio.open_nursery() as nursery:
                await nursery.start(committer.run)
                await scenario(store, committer)
                nursery.cancel_scope.cancel()

        trio.run(main)


def make(store: Store, name: bytes) -> None:
    """A file in the root of `main`."""
    tree = store.tree("main")
    tree.create(ROOT, tree.root, name, 0o644)


def survivors(path: Path, copy: Path) -> set[bytes]:
    """The files that a crash now would leave: those of a copy of the store's files."""
    shutil.copytree(path, copy, ignore=shutil.ignore_patterns("lock*"))
    with Store.open(copy) as store:
        tree = store.tree("main")
        return {entry.name for entry in tree.readdir(ROOT, tree.root).entries} - {b".", b".."}


def test_what_is_durable_survives(tmp_path: Path) -> None:
    async def scenario(store: Store, committer: Committer) -> None:
        make(store, b"one")
        await committer.durable()
        assert survivors(tmp_path / "s", tmp_path / "copy") == {b"one"}

    play(tmp_path / "s", scenario)


def test_all_who_wait_share_a_flush(tmp_path: Path) -> None:
    async def scenario(store: Store, committer: Committer) -> None:
        heard: list[tuple[int, StoreError | None]] = []
        done = trio.Event()

        def hear(number: int, error: StoreError | None) -> None:
            heard.append((number, error))

        for number in range(20):
            make(store, b"%d" % number)
            committer.when_durable(partial(hear, number))
        committer.when_durable(lambda error: done.set())
        committer.tick()
        await done.wait()
        assert heard == [(number, None) for number in range(20)]
        assert committer.flushes == 1

    play(tmp_path / "s", scenario)


def test_a_small_flush_is_done_on_the_spot(tmp_path: Path) -> None:
    async def scenario(store: Store, committer: Committer) -> None:
        make(store, b"one")
        heard: list[StoreError | None] = []
        committer.when_durable(heard.append)
        committer.tick()
        assert heard == [None]  # before this task let any other run

    play(tmp_path / "s", scenario)


def test_a_slow_disk_keeps_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committing, "SPOT_S", 0.0)

    async def scenario(store: Store, committer: Committer) -> None:
        threads: list[threading.Thread] = []
        disk.inject(lambda op, path, size: threads.append(threading.current_thread()))
        make(store, b"one")
        heard: list[StoreError | None] = []
        committer.when_durable(heard.append)
        assert committer.tick()
        assert heard == []
        await committer.durable()
        disk.inject(None)
        assert heard == [None]
        assert threads
        assert threading.main_thread() not in threads

    play(tmp_path / "s", scenario)


@pytest.mark.parametrize("on_the_spot", [True, False])
def test_who_waits_hears_of_a_failure_and_the_next_flush_makes_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_the_spot: bool
) -> None:
    if not on_the_spot:
        monkeypatch.setattr(committing, "SPOT_S", 0.0)

    def full(op: str, path: str, size: int) -> None:
        if "write" in op:
            raise OSError(errno.ENOSPC, "full")

    async def scenario(store: Store, committer: Committer) -> None:
        make(store, b"one")
        disk.inject(full)
        with pytest.raises(NoSpace):
            await committer.durable()
        assert committer.failures == 1
        assert "NoSpace" in committer.last_error
        disk.inject(None)
        await committer.durable()
        assert survivors(tmp_path / "s", tmp_path / "copy") == {b"one"}

    play(tmp_path / "s", scenario)


def test_old_changes_are_flushed_though_nobody_waits(tmp_path: Path) -> None:
    async def scenario(store: Store, committer: Committer) -> None:
        make(store, b"one")
        synced = trio.Event()
        token = trio.lowlevel.current_trio_token()

        def watch(event: disk.Event) -> None:
            if event.op == "write_sync":
                token.run_sync_soon(synced.set)

        disk.record(watch)
        await synced.wait()
        disk.record(None)
        await committer.durable()
        assert survivors(tmp_path / "s", tmp_path / "copy") == {b"one"}

    play(tmp_path / "s", scenario, age_s=0.001)


def test_memory_that_was_full_has_room_again(tmp_path: Path) -> None:
    async def scenario(store: Store, committer: Committer) -> None:
        tree = store.tree("main")
        ino = tree.create(ROOT, tree.root, b"big", 0o644).inode.ino
        block, waits = bytes(64 << 10), 0
        for number in range(200):
            while True:
                try:
                    tree.write(ROOT, ino, number * len(block), block[:-1] + b"x")
                    break
                except Busy:
                    room = trio.Event()
                    committer.when_room(room.set)
                    await room.wait()
                    waits += 1
        assert waits
        await committer.durable()
        assert tree.getattr(ino).size == 200 * len(block)

    play(tmp_path / "s", scenario, Options(dirty_bytes_max=1 << 20))


def test_a_section_of_ones_own_has_no_background_job_in_it(tmp_path: Path) -> None:
    async def scenario(store: Store, committer: Committer) -> None:
        async with committer.no_background():
            make(store, b"one")
            store.snapshot("main", "snap")
            await committer.durable()
            assert store.snapshots("main")[0].commit == ""  # nothing was sealed
            job = store.background_job()
            assert job is not None  # ... though there is something to do, and nobody does it
            job.run()
            job.finish()
        while not store.snapshots("main")[0].commit:
            await committer.durable()
            await trio.lowlevel.checkpoint()

    play(tmp_path / "s", scenario)


def test_reads_elsewhere_come_back_here(tmp_path: Path) -> None:
    async def scenario(store: Store, committer: Committer) -> None:
        threads: list[threading.Thread] = []
        answered: list[bool] = []
        committer.answered = lambda: answered.append(True)
        done = trio.Event()

        def then() -> None:
            threads.append(threading.current_thread())
            done.set()

        committer.elsewhere(lambda: threads.append(threading.current_thread()), then)
        await done.wait()
        await trio.lowlevel.checkpoint()
        assert threads[0] is not threading.main_thread()
        assert threads[1] is threading.main_thread()
        assert answered

    play(tmp_path / "s", scenario)
