"""Operations beside clients: what may go on meanwhile, what waits for what, and what is durable."""

from __future__ import annotations

import dataclasses
import os
import random
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from fsgw import admin
from fsgw.committer import Committer
from fsgw.exports import Exports
from fsgw.operations import BY_NAME
from fsgw.plain import Plain
from fsgw.running import Runner
from fsgw.steps import FULL, Steps, beside, call, in_order
from store.errors import Busy, NoSpace, UnknownRef
from store.store import Options, Store
from store.types import ROOT
from tests.fsgw.helpers import MIB, local_tree


@dataclasses.dataclass
class Host:
    """What a runner needs of a gateway."""

    store: Store
    committer: Committer
    exports: Exports
    exports_file: Path


class Desk:
    """A runner on a store of its own."""

    def __init__(self, host: Host) -> None:
        self.store, self.committer = host.store, host.committer
        self.runner = Runner(host)

    async def one(self, operation: str, **values: Any) -> Any:
        return await self.runner.one(BY_NAME[operation], values, None)

    async def rows(self, operation: str, **values: Any) -> list[Plain]:
        async with aclosing(self.runner.rows(BY_NAME[operation], values)) as batches:
            return [row async for rows in batches for row in rows]

    async def content(self, ref: str) -> bytes:
        values = {"ref": ref, "offset": 0}
        async with aclosing(self.runner.content(BY_NAME["cat"], values)) as pieces:
            return b"".join([piece async for piece in pieces])

    async def bring_in(self, source: Path, **more: Any) -> Plain:
        values = {
            "branch": "main", "path": "", "source": str(source), "checksum": False, "delete": True,
            "snapshot": None, "message": "", "author": None, **more,
        }  # fmt: skip
        done: Plain = await self.one("import", **values)
        return done


@asynccontextmanager
async def desk(path: Path, options: Options | None = None) -> AsyncIterator[Desk]:
    Store.init(path)
    with Store.open(path, options) as store:
        store.create_branch("main")
        async with trio.open_nursery() as nursery:
            committer = Committer(store)
            await nursery.start(committer.run)
            yield Desk(Host(store, committer, Exports(), path / "exports.toml"))
            await committer.durable()
            nursery.cancel_scope.cancel()
        assert store.check(data=True) == []


def in_loop(test: Callable[..., Awaitable[None]], *args: Any) -> None:
    trio.run(test, *args)


def noise(source: Path, files: int) -> None:
    for number in range(files):
        (source / f"f{number}").write_bytes(random.Random(number).randbytes(100_000))


def test_short_operations_get_their_turn_in_a_long_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The long ones end only once the short one is done: so it was not kept waiting by them."""
    made = False

    def endless_steps(store: Store, **_: Any) -> Steps[Plain]:
        while not made:
            yield 0
        return {}

    def endless_rows(store: Store, **_: Any) -> Iterator[Plain | None]:
        while not made:
            yield None
        yield {}

    def endless_look(store: Store, data: bool, progress: Any) -> Plain:
        while not made:
            progress(0, None)
        return {}

    monkeypatch.setattr(admin, "import_tree", endless_steps)
    monkeypatch.setattr(admin, "log", endless_rows)
    monkeypatch.setattr(admin, "check", endless_look)

    async def run() -> None:
        nonlocal made
        async with desk(tmp_path / "s") as it, trio.open_nursery() as nursery:
            nursery.start_soon(it.bring_in, tmp_path)
            nursery.start_soon(it.rows, "log")

            async def look() -> None:
                await it.one("check", data=False)

            nursery.start_soon(look)
            for _ in range(10):
                await trio.lowlevel.checkpoint()
            await it.one("branches.create", name="short", uid=0, gid=0)
            made = True

    in_loop(run)


def test_looks_are_at_one_state_while_others_write(tmp_path: Path, source: Path) -> None:
    noise(source, 20)

    async def run() -> None:
        async with desk(tmp_path / "s") as it:
            await it.bring_in(source, snapshot="one")
            writing = True

            async def write() -> None:
                tree = it.store.tree("main")
                number = 0
                while writing:
                    number += 1
                    ino = tree.create(ROOT, tree.root, b"w%d" % number, 0o644).inode.ino
                    tree.write(ROOT, ino, 0, number.to_bytes(4, "big") * 5000)
                    if not number % 5:
                        await it.committer.durable()
                    await trio.lowlevel.checkpoint()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(write)
                for _ in range(3):
                    assert await it.one("check", data=True) == {"problems": []}
                    stats = await it.one("stats")
                    assert {row["name"] for row in stats["branches"]} == {"main"}
                    rows = await it.rows("diff", old="main@one", new="main")
                    added = {row["path"] for row in rows if row["kind"] == "added"}
                    assert added == {f"/w{number}" for number in range(1, len(added) + 1)}
                    listed = [row["name"] for row in await it.rows("ls", ref="main@one")]
                    assert listed == sorted(f"f{number}" for number in range(20))
                    await it.one("gc")
                out = tmp_path / f"out-{len(rows)}"
                await it.one("restore", source="main@one", target=str(out), force=False)
                writing = False
            assert local_tree(out) == local_tree(source)

    in_loop(run)


def test_an_import_waits_where_memory_is_full(tmp_path: Path, source: Path) -> None:
    noise(source, 120)
    (source / "large").write_bytes(random.Random(1).randbytes(9 * MIB))

    async def run() -> None:
        async with desk(tmp_path / "s", Options(dirty_bytes_max=2 * MIB)) as it:
            done = await it.bring_in(source)
            assert (done["added"], done["troubles"]) == (121, [])
            assert it.store.dirty_bytes == 0
            assert await it.content("main/large") == (source / "large").read_bytes()
            again = await it.bring_in(source, checksum=True)
            assert (again["added"], again["changed"]) == (0, 0)

    in_loop(run)


def test_what_an_import_did_before_its_error_is_durable(tmp_path: Path, source: Path) -> None:
    noise(source, 3)

    async def run() -> None:
        async with desk(tmp_path / "s") as it:
            await it.one("quota.set", branch="main", bytes_max=250_000, inodes_max=None)
            with pytest.raises(Exception, match="quota"):
                await it.bring_in(source)
            assert it.store.dirty_bytes == 0
            assert len(await it.rows("ls", ref="main")) >= 1

    in_loop(run)


def test_a_disk_that_stays_full_ends_an_import(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise(source, 1)

    async def run() -> None:
        async with desk(tmp_path / "s") as it:

            def full(*_: Any, **__: Any) -> None:
                raise Busy("full")

            tree = it.store.tree("main")
            monkeypatch.setattr(tree, "create", full)
            with pytest.raises(Busy):
                await it.bring_in(source)

            async def refuse() -> None:
                raise NoSpace("the disk is full")

            with monkeypatch.context() as patch:
                patch.setattr(it.committer, "durable", refuse)
                with pytest.raises(NoSpace):
                    await it.bring_in(source)

    in_loop(run)


def test_collecting_waits_for_looks_and_the_other_way_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    may_end = False

    def look(store: Store, data: bool, progress: Any) -> Plain:
        order.append("look begins")
        while not may_end:
            progress(0, None)
        order.append("look ends")
        return {}

    monkeypatch.setattr(admin, "check", look)

    async def run() -> None:
        nonlocal may_end
        async with desk(tmp_path / "s") as it:

            async def note(what: str, operation: str, **values: Any) -> None:
                await it.one(operation, **values)
                order.append(what)

            async with trio.open_nursery() as nursery:

                async def first() -> None:
                    await it.one("check", data=False)

                nursery.start_soon(first)
                while not order:
                    await trio.lowlevel.checkpoint()
                nursery.start_soon(note, "collected", "gc")
                for _ in range(20):
                    await trio.lowlevel.checkpoint()
                await it.one("branches.create", name="meanwhile", uid=0, gid=0)
                assert order == ["look begins"]
                may_end = True
        assert order == ["look begins", "look ends", "collected"]

    in_loop(run)


def test_a_look_can_be_called_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = False

    def look(store: Store, data: bool, progress: Any) -> Plain:
        nonlocal begun
        begun = True
        while True:
            progress(0, None)

    async def run() -> None:
        async with desk(tmp_path / "s") as it:
            with monkeypatch.context() as patch:
                patch.setattr(admin, "check", look)
                async with trio.open_nursery() as nursery:

                    async def first() -> None:
                        await it.one("check", data=False)

                    nursery.start_soon(first)
                    while not begun:
                        await trio.lowlevel.checkpoint()
                    nursery.cancel_scope.cancel()
            await it.one("gc")  # nothing is left that it would have to wait for

    in_loop(run)


def test_errors_come_as_they_are(tmp_path: Path) -> None:
    async def run() -> None:
        async with desk(tmp_path / "s") as it:
            for rows in (
                it.rows("diff", old="main", new="nope"),
                it.rows("ls", ref="nope"),
                it.rows("log", ref="nope", limit=None),
                it.rows("snapshots.list", branch="nope"),
            ):
                with pytest.raises(UnknownRef):
                    await rows
            with pytest.raises(UnknownRef):
                await it.content("nope/file")
            with pytest.raises(UnknownRef):
                await it.one("restore", source="nope", target=str(tmp_path / "out"), force=False)
            with pytest.raises(FileNotFoundError):
                await it.bring_in(tmp_path / "nope")

    in_loop(run)


# --- steps ------------------------------------------------------------------------------------


def test_steps_of_a_call_that_finds_memory_full() -> None:
    tries = 0

    def change(value: int) -> int:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise Busy("full")
        return value

    steps = call(change, 7)
    assert next(steps) is FULL
    assert next(steps) is FULL
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert end.value.value == 7


def test_steps_of_what_waits_for_a_disk() -> None:
    steps = beside(divmod, 7, 2)
    function = next(steps)
    assert callable(function)
    with pytest.raises(StopIteration) as end:
        steps.send(function())
    assert end.value.value == (3, 1)


@pytest.mark.parametrize("count", [0, 1, 9_999, 10_000, 10_001, 25_000])
def test_many_items_in_order(count: int, rng: random.Random) -> None:
    items = [rng.randrange(1000) for _ in range(count)]
    steps = in_order(items, lambda item: -item)
    step: Any = next(steps, None)
    try:
        while True:
            step = steps.send(step() if callable(step) else None)
    except StopIteration as end:
        assert end.value == sorted(items, reverse=True)


def test_an_import_asks_its_source_on_other_threads_only(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it imports from may be served by this very gateway: waiting for it would be forever."""
    noise(source, 3)
    (source / "small").write_text("text")
    (source / "folder").mkdir()
    (source / "link").symlink_to("small")
    os.link(source / "small", source / "hard")
    os.truncate(source / "f1", 1 << 20)
    place, here, asked = os.fsencode(source), threading.main_thread(), set()

    def watched(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *args: Any, **more: Any) -> Any:
            if isinstance(path, bytes) and path.startswith(place):
                asked.add(name)
                assert threading.current_thread() is not here, (name, path)
            return function(path, *args, **more)

        return call

    async def run() -> None:
        async with desk(tmp_path / "s") as it:
            with monkeypatch.context() as patch:
                for name in ("stat", "lstat", "open", "scandir", "listxattr", "readlink"):
                    patch.setattr(os, name, watched(name, getattr(os, name)))
                for checksum in (False, False, True):
                    done = await it.bring_in(source, checksum=checksum)
                    assert done["troubles"] == []
                    (source / "hard").chmod(0o600)

    in_loop(run)
    assert asked == {"stat", "lstat", "open", "scandir", "listxattr", "readlink"}
