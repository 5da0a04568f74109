"""Check finds nothing in a sound store, and every single breach of an invariant.

Breaches of file system rules are looked for three times: in memory, in the database, and in a
sealed map. `test_format` holds their numbers to those of FORMAT.md.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from store import keys
from store.checking import check
from store.errors import StoreError
from store.store import Job
from store.types import ROOT, SetAttr
from tests.store.breaches import BLOCK, BREAKS, World, found, opened
from tests.store.table_breaches import TABLE_BREAKS


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with opened(tmp_path / "store") as made:
        yield made


def _to_memory(world: World) -> None:
    """The breach stays where it was made."""


def _to_database(world: World) -> None:
    world.store.flush()
    world.store.checkpoint()


def _to_map(world: World) -> None:
    world.store.snapshot("main", "sealed")
    world.store.settle()
    assert all(layer.pristine for layer in world.tree.chain.layers())


@pytest.mark.parametrize("place", [_to_memory, _to_database, _to_map], ids=lambda f: f.__name__)
@pytest.mark.parametrize(("number", "fragment", "breach"), BREAKS)
def test_breach_of_a_file_system_rule_is_found(
    world: World,
    place: Callable[[World], None],
    number: str,
    fragment: str,
    breach: Callable[[World], None],
) -> None:
    breach(world)
    place(world)
    assert found(world.store.check(data=True), fragment)


@pytest.mark.parametrize(("number", "fragment", "breach"), TABLE_BREAKS)
def test_breach_of_a_rule_of_tables_is_found(
    world: World, number: str, fragment: str, breach: Callable[[World], None]
) -> None:
    world.store.snapshot("main", "kept")
    world.store.settle()
    assert world.store.check(data=True) == []
    breach(world)
    assert found(world.store.check(), fragment)


def test_breach_in_one_of_many_snapshots_is_found(world: World) -> None:
    """Points that are like their neighbours are not gone through as a whole."""
    for number in range(4):
        world.tree.setattr(ROOT, world.ino["small"], SetAttr(mode=0o600 + number))
        world.store.snapshot("main", f"s{number}")
        if number == 1:
            world.store.settle()
            world.put("dir", nlink=7)
        if number == 2:
            world.put("dir", nlink=3)
    problems = world.store.check()
    assert found(problems, "main@s2:/dir: 1 sub-directories, 7 links")
    assert len(problems) == 1
    world.store.settle()
    assert world.store.check(data=True) == problems


# --- sound stores -----------------------------------------------------------------------------


def test_orphans_held_forks_rollbacks_and_views_are_sound(world: World) -> None:
    store, tree = world.store, world.tree
    tree.hold(world.ino["big"])
    tree.unlink(ROOT, 1, b"big")
    assert store.check(data=True) == []
    store.snapshot("main", "one")
    store.fork("main/dir", "part")
    view = store.view("main")
    store.flush()
    assert store.check(data=True) == []
    tree.rename(ROOT, 1, b"dir", world.ino["emptied"], b"moved")
    store.rollback("main", "main@one")
    assert store.check(data=True) == []
    store.settle()
    assert store.check(data=True) == []
    store.close_view(view)
    store.delete_snapshot("main", "one")
    store.delete_branch("part")
    store.settle()
    assert store.check(data=True) == []


def test_sound_between_the_steps_of_every_job(world: World) -> None:
    """Jobs may be under way: begun, run, and not yet finished."""
    store, tree = world.store, world.tree
    store.snapshot("main", "one")
    tree.write(ROOT, world.ino["small"], 0, random.Random(2).randbytes(9 * BLOCK))
    store.snapshot("main", "two")
    kinds: list[str] = []

    def through(job: Job) -> None:
        kinds.append(type(getattr(job, "_job", job)).__name__)
        assert store.check(data=True) == []
        job.run()
        assert store.check(data=True) == []
        job.finish()
        assert store.check(data=True) == []

    flush = store.begin_flush()
    assert flush is not None
    through(flush)
    while (job := store.background_job()) is not None:
        through(job)
        store.flush()
    store.delete_snapshot("main", "one")
    tree.unlink(ROOT, 1, b"big")
    for job in store.gc_steps(lambda result: kinds.append("done")):
        through(job)
    assert {"FlushJob", "CheckpointJob", "SealJob", "TrimJob", "MarkJob", "done"} <= set(kinds)


def test_names_of_one_hash_are_sound(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "first_slot", lambda name: 1 << 20)
    tree, store = world.tree, world.store
    ino = tree.mkdir(ROOT, tree.root, b"clash", 0o755).inode.ino
    above = tree.getattr(tree.root)
    for number in range(9):
        tree.mkdir(ROOT, ino, b"%d" % number, 0o755)
    tree.rmdir(ROOT, ino, b"0")  # the first slot stays as a mark
    tree.rmdir(ROOT, ino, b"4")
    # Entries made before the names clashed stand elsewhere; all others are right.
    assert {p.where for p in store.check()} <= {"main:/", "main:/dir", "main:/dir/sub"}
    assert above.nlink == tree.getattr(tree.root).nlink


# --- progress ---------------------------------------------------------------------------------


def test_progress_rises_to_its_total(world: World) -> None:
    calls: list[tuple[int, int]] = []
    assert list(check(world.store, True, lambda done, total: calls.append((done, total)))) == []
    done, totals = zip(*calls, strict=True)
    assert list(done) == sorted(done)
    assert len(set(totals)) == 1
    assert done[-1] == totals[0] >= 12


def test_problems_come_one_by_one_and_never_as_an_error(world: World) -> None:
    for number in range(256):
        world.mem.put_row(keys.prefix(500 + number, number), b"?", bytes([number]))
    problems = world.store.check(data=True)
    assert len(problems) > 100
    assert found(problems, "more findings")
    with pytest.raises(StoreError):
        world.tree.getattr(500)
