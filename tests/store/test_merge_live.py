"""Merging into a branch that is written to meanwhile: what is carried along, and what is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from store import errors
from store.merge_work import Outcome
from store.merging import Merged, Request, merge
from store.store import Store
from store.tree import Tree
from store.types import ROOT
from tests.store.merge_scenes import BLOCK_BYTES, edit, find, forked, planted, shown, sound, told


@pytest.fixture
def store(scratch: Path) -> Iterator[Store]:
    Store.init(scratch / "store", block_bytes=BLOCK_BYTES)
    with sound(scratch / "store") as store:
        planted(store)
        yield store


def meeting(store: Store, request: Request, meanwhile: Callable[[int], None]) -> Merged:
    """Merge, and do something each time that the comparing is done and nothing has changed yet.

    It is told how many times that was before.
    """
    tries = 0

    def until(holds: Callable[[], bool]) -> Iterator[Any]:
        store.settle()
        assert holds()
        yield from ()

    steps = merge(store, request, until)  # type: ignore[arg-type]
    try:
        step = next(steps)
        while True:
            result = step()
            meanwhile(tries)
            tries += 1
            step = steps.send(result)
    except StopIteration as end:
        done: Merged = end.value
        return done


def once(tree: Tree, script: str) -> Callable[[int], None]:
    """What edits a tree in the first try of a merge."""

    def meanwhile(tries: int) -> None:
        if not tries:
            edit(tree, script)

    return meanwhile


# What theirs did, what a user of ours does while that is merged, and an edit that is both.
CARRIED = [
    ("write f new", "write g new", "write f new; write g new"),
    ("write new/a 1", "write new2/b 2", "write new/a 1; write new2/b 2"),
    ("write d/new 1; rm d/a", "write d/new2 2; chmod d 700",
     "write d/new 1; rm d/a; write d/new2 2; chmod d 700"),
    ("rm d", "write f new", "rm d; write f new"),
    ("rm f; rm d/b", "rm f", "rm f; rm d/b"),
    ("rm d/b", "rm d/b", "rm d/b"),
    ("rm d/a", "rm d/a; write d/z 1", "rm d/a; write d/z 1"),
    ("mv d/a e/a", "write d/z 1; write e/z 2", "mv d/a e/a; write d/z 1; write e/z 2"),
    ("mv d d2", "write d/new 1", "write d/new 1; mv d d2"),
    ("chmod d 700; xattr d user.a 1", "mkdir d/new", "chmod d 700; xattr d user.a 1; mkdir d/new"),
    ("mkdir d/s1", "mkdir d/s2; rm d/b", "mkdir d/s1; mkdir d/s2; rm d/b"),
    ("write big@8192 1", "write f new", "write big@8192 1; write f new"),
    ("ln f f2", "write g new", "ln f f2; write g new"),
    ("mv d e/d", "write e/z 1; write d/b/z 1", "write e/z 1; write d/b/z 1; mv d e/d"),
]  # fmt: skip

# The same, where what the user did has to be looked at with all else.
TAKEN_IN = [
    ("write f new", "chmod f 600", "write f new; chmod f 600"),
    ("mv d/b b2", "mv d d2", "mv d/b b2; mv d d2"),
    ("ln f f2", "ln f f3", "ln f f2; ln f f3"),
    ("write n/a 1", "write n/b 2", "write n/a 1; write n/b 2"),
    ("write f new", "write f new", "write f new"),
    ("rm d", "rm d", "rm d"),
    ("chmod d 700", "chmod d 700; chown d 5", "chmod d 700; chown d 5"),
]

# The same, where it conflicts.
IN_THE_WAY = [
    ("write f 1", "write f 2", "DATA f"),
    ("rm f", "write f 2", "REMOVED_THEIRS f"),
    ("rm d", "write d/new 1", "FILLED_OURS d"),
    ("write d/new 1", "rm d", "FILLED_THEIRS d/new"),
    ("mv f f2", "mv f f3", "RENAMED f3"),
    ("write n 1", "write n 2", "NAME n"),
    ("mv d/b e/b", "mv e d/b/e", "CYCLE d/b"),
    ("mv d e/d", "mv e d/b/deep/e", "CYCLE d"),
    ("chmod d 700", "chmod d 750", "MODE d"),
    ("xattr d user.a 1", "xattr d user.a 2", "XATTR d"),
]


@pytest.mark.parametrize("own", ["", "write own 1"])
@pytest.mark.parametrize(("theirs", "user", "both"), CARRIED)
def test_what_is_written_meanwhile_stays(
    store: Store, theirs: str, user: str, both: str, own: str
) -> None:
    tree = forked(store, "ours", own)
    forked(store, "theirs", theirs)
    times = []

    def write(tries: int) -> None:
        times.append(tries)
        edit(tree, user)

    done = meeting(store, Request("theirs", "ours"), write)
    assert times == [0]
    assert shown(tree) == shown(forked(store, "wanted", both + ";" + own))
    assert done.snapshot is not None
    wanted = shown(forked(store, "merged", theirs + ";" + own))
    assert shown(store.view(f"ours@{done.snapshot.name}")) == wanted
    assert shown(store.tree("ours")) == shown(tree)


@pytest.mark.parametrize(("theirs", "user", "both"), TAKEN_IN)
def test_what_is_in_the_way_is_taken_into_account(
    store: Store, theirs: str, user: str, both: str
) -> None:
    tree = forked(store, "ours", "write own 1")
    forked(store, "theirs", theirs)

    done = meeting(store, Request("theirs", "ours"), once(tree, user))
    assert done.outcome is Outcome.MERGED
    assert shown(tree) == shown(forked(store, "wanted", "write own 1;" + both))


@pytest.mark.parametrize(("theirs", "user", "conflict"), IN_THE_WAY)
def test_what_is_in_the_way_may_conflict(
    store: Store, theirs: str, user: str, conflict: str
) -> None:
    tree = forked(store, "ours", "write own 1")
    forked(store, "theirs", theirs)

    done = meeting(store, Request("theirs", "ours"), once(tree, user))
    assert told(done) == {conflict}
    assert shown(tree) == shown(forked(store, "wanted", "write own 1;" + user))


def test_a_file_that_is_written_to_all_the_time(store: Store) -> None:
    tree = forked(store, "ours", "write own 1")
    forked(store, "theirs", "chmod f 600")
    snapshots = store.snapshots("ours")
    times = []

    def write(tries: int) -> None:
        times.append(tries)
        edit(tree, f"write f {tries}")

    with pytest.raises(errors.RefConflict):
        meeting(store, Request("theirs", "ours"), write)
    assert len(times) > 1
    assert shown(tree) == shown(forked(store, "wanted", f"write own 1; write f {times[-1]}"))
    assert store.snapshots("ours") == snapshots


HISTORY: list[Callable[[Store], object]] = [
    lambda store: store.snapshot("ours", "meanwhile"),
    lambda store: store.snapshot("theirs", "meanwhile"),
    lambda store: store.rollback("ours", "main@base"),
    lambda store: store.rollback("theirs", "main@base"),
    lambda store: store.merge(Request("third", "ours")),
]


@pytest.mark.parametrize("change", HISTORY)
def test_another_history_meanwhile(store: Store, change: Callable[[Store], object]) -> None:
    """It begins anew, and what it does then is right for what there is."""
    tree = forked(store, "ours", "write own 1")
    forked(store, "theirs", "write f new")
    forked(store, "third", "write g third")
    times = []

    def meanwhile(tries: int) -> None:
        times.append(tries)
        if not tries:
            change(store)

    done = meeting(store, Request("theirs", "ours"), meanwhile)
    assert times == [0, 1]
    assert store.merge(Request("theirs", "ours")).outcome is Outcome.UP_TO_DATE
    if done.outcome is not Outcome.UP_TO_DATE:
        assert bytes(tree.read(ROOT, find(tree, "f").ino, 0, 10).data) == b"new"


def test_a_branch_that_is_deleted_meanwhile(store: Store) -> None:
    forked(store, "ours", "write own 1")
    forked(store, "theirs", "write f new")
    with pytest.raises(errors.UnknownRef):
        meeting(store, Request("theirs", "ours"), lambda tries: store.delete_branch("ours"))
    forked(store, "ours", "write own 1")
    with pytest.raises(errors.UnknownRef):
        meeting(store, Request("theirs", "ours"), lambda tries: store.delete_branch("theirs"))


class Watching:
    """A door with a cache."""

    def __init__(self) -> None:
        self.replaced = 0

    def inode_changed(self, ino: int) -> None: ...

    def data_changed(self, ino: int, start: int, stop: int) -> None: ...

    def entry_changed(self, directory: int, name: bytes) -> None: ...

    def tree_replaced(self, before: object) -> None:
        self.replaced += 1


@pytest.mark.parametrize("meanwhile", ["", "write z 1"])
def test_handles_go_on_and_doors_are_told(store: Store, meanwhile: str) -> None:
    tree = forked(store, "ours", "write own 1")
    forked(store, "theirs", "write f new; rm g; write d/a 12")
    watching = Watching()
    tree.watch(watching)
    f, g, big = (find(tree, name).ino for name in ("f", "g", "big"))
    for ino in (f, g, big):
        tree.hold(ino)
    before = tree.getattr(f), tree.getattr(tree.root)
    meeting(store, Request("theirs", "ours"), lambda tries: edit(tree, meanwhile))
    assert watching.replaced == 1
    assert store.tree("ours") is tree
    assert bytes(tree.read(ROOT, f, 0, 10).data) == b"new"
    with pytest.raises(errors.Stale):
        tree.getattr(g)
    after = tree.getattr(f), tree.getattr(tree.root)
    for was, now in zip(before, after, strict=True):
        assert now.ctime_ns > was.ctime_ns  # clients go by it
    for ino in (f, g, big):
        tree.release(ino)


def held_and_removed(tree: Tree, path: str) -> int:
    ino = find(tree, path).ino
    tree.hold(ino)
    edit(tree, f"rm {path}")
    return ino


def test_files_that_are_removed_and_held_open(store: Store) -> None:
    """They are nobody's business but their holder's."""
    ours, theirs = forked(store, "ours", ""), forked(store, "theirs", "")
    mine, other = held_and_removed(ours, "f"), held_and_removed(theirs, "g")
    assert told(store.merge(Request("theirs", "ours"))) == set()
    assert shown(ours) == shown(forked(store, "wanted", "rm f; rm g"))
    assert bytes(ours.read(ROOT, mine, 0, 20).data) == b"base-of-f"
    assert bytes(theirs.read(ROOT, other, 0, 20).data) == b"base-of-g"
    edit(theirs, "write big 1")
    held = held_and_removed(ours, "big")
    assert told(store.merge(Request("theirs", "ours"))) == {"REMOVED_OURS big"}
    assert store.check(data=True) == []
    ours.release(mine)
    theirs.release(other)
    ours.release(held)
