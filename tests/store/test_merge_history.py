"""Merges in history: ancestors, parents, what is refused, and how a merge is undone."""

from __future__ import annotations

import errno
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from store import ancestry, disk, errors, faults
from store.conflicts import Favor
from store.merge_work import Outcome
from store.merging import Request
from store.records import Commit
from store.store import Store
from store.types import ROOT, Quota, Usage, Who
from tests.store.merge_scenes import (
    BLOCK_BYTES,
    edit,
    find,
    forked,
    merged,
    planted,
    refused,
    shown,
    sound,
    told,
)


@pytest.fixture
def store(scratch: Path) -> Iterator[Store]:
    Store.init(scratch / "store", block_bytes=BLOCK_BYTES)
    with sound(scratch / "store") as store:
        planted(store)
        yield store


def parents(store: Store, ref: str) -> list[str]:
    """The messages of a point's parents."""
    store.settle()
    commit = store.history.commit(bytes.fromhex(next(store.log(ref)).commit))
    return [store.history.commit(oid).message for oid in commit.parents]


def names(store: Store, branch: str) -> list[str]:
    return [info.name for info in store.snapshots(branch)]


# --- ancestors --------------------------------------------------------------------------------

# Histories as child: parents; each with two commits and their best common ancestors.
GRAPHS = [
    ("a: ", "a", "a", "a"),
    ("a: , b: a", "a", "b", "a"),
    ("a: , b: a, c: a", "b", "c", "a"),
    ("a: , b: ", "a", "b", ""),
    ("a: , b: a, c: b, d: b", "c", "d", "b"),
    ("a: , b: a, c: a, d: b c, e: c b", "d", "e", "b c"),
    ("a: , b: a, c: a, d: b c, e: c", "d", "e", "c"),
    ("a: , b: a, c: b a, d: b", "c", "d", "b"),
    ("a: , x: , b: a x, c: x a", "b", "c", "a x"),
    ("a: , b: a, c: b, d: a c, e: b", "d", "e", "b"),
]


@pytest.mark.parametrize("skewed", [False, True])
@pytest.mark.parametrize(("graph", "one", "other", "best"), GRAPHS)
def test_best_common_ancestors(graph: str, one: str, other: str, best: str, skewed: bool) -> None:
    """Whatever the clocks said."""
    commits = {}
    for time_ns, line in enumerate(graph.split(", ")):
        name, _, above = line.partition(":")
        who = Who("Ann", -time_ns if skewed else time_ns)
        ids = tuple(parent.encode() for parent in above.split())
        commits[name.encode()] = Commit(b"", 1, Usage(0, 0), ids, who, who, "")
    for pair in ((one, other), (other, one)):
        found = ancestry.best_common(commits.__getitem__, *(name.encode() for name in pair))
        assert {oid.decode() for oid in found} == set(best.split())
        times = [commits[oid].committer.time_ns for oid in found]
        assert times == sorted(times, reverse=True)


def test_the_merge_is_a_snapshot_with_both_parents(store: Store) -> None:
    forked(store, "ours", "write g new")
    forked(store, "theirs", "write f new")
    store.snapshot("theirs", "there", "what they did")
    author = Who("Ann <ann@example.org>", 5)
    done = store.merge(Request("theirs@there", "ours", "both", "Take it\n\nAll.", author))
    assert done.outcome is Outcome.MERGED
    assert done.snapshot is not None
    assert done.before is not None
    assert done.source is None
    assert (done.snapshot.name, done.snapshot.author) == ("both", author)
    assert parents(store, "ours@both") == ["before merging theirs@there", "what they did"]
    assert next(store.log("ours")).message == "Take it\n\nAll."
    assert names(store, "ours") == [done.before.name, "both"]
    edit(store.tree("ours"), "write after 1")
    store.snapshot("ours", "after")
    assert parents(store, "ours@after") == ["Take it\n\nAll."]


def test_a_commit_may_be_the_source(store: Store) -> None:
    forked(store, "ours", "write g new")
    forked(store, "theirs", "write f new")
    store.snapshot("theirs", "there")
    store.settle()
    (info,) = store.snapshots("theirs")
    store.merge(Request(info.commit[:12], "ours"))
    assert shown(store.tree("ours")) == shown(forked(store, "wanted", "write g new; write f new"))


def test_again_and_again(store: Store) -> None:
    """Each merge starts from the last one: what was settled stays settled."""
    ours = forked(store, "ours", "write f ours")
    theirs = forked(store, "theirs", "write f theirs; write x 1")
    assert told(merged(store, "theirs", "ours", Favor.OURS)) == set()
    edit(theirs, "write x 2")
    assert told(merged(store, "theirs", "ours")) == set()
    assert merged(store, "theirs", "ours").outcome is Outcome.UP_TO_DATE
    edit(theirs, "rm g")
    edit(ours, "chmod x 600")
    assert told(merged(store, "theirs", "ours")) == set()
    assert merged(store, "ours", "theirs").outcome is Outcome.FAST_FORWARD
    assert merged(store, "ours", "theirs").outcome is Outcome.UP_TO_DATE
    assert shown(ours) == shown(theirs)
    assert shown(ours) == shown(
        forked(store, "wanted", "write f ours; write x 2; rm g; chmod x 600")
    )


def test_fast_forward(store: Store) -> None:
    ours = forked(store, "ours", "")
    forked(store, "theirs", "write f new; mv d d2")
    store.snapshot("theirs", "there", "what they did")
    store.fork("ours", "slow")
    assert merged(store, "theirs@there", "ours").outcome is Outcome.FAST_FORWARD
    assert next(store.log("ours")).message == "what they did"
    assert store.merge(Request("theirs", "slow", fast_forward=False)).outcome is Outcome.MERGED
    assert parents(store, "slow") == ["", "what they did"]
    assert shown(ours) == shown(store.tree("slow")) == shown(store.tree("theirs"))


def test_criss_cross(store: Store) -> None:
    """Neither of two ancestors is right alone: each side would bring back what the other undid."""
    one = forked(store, "one", "write f 1; write g 1; write x 1")
    two = forked(store, "two", "write big 2; rm d/a")
    for name in ("one", "two"):
        store.snapshot(name, "first")
    assert told(merged(store, "two@first", "one")) == set()
    assert told(merged(store, "one@first", "two")) == set()
    edit(one, "write f base-of-f; write y 1")  # takes back what both have
    edit(two, "write z 2; write big 0; write big@16384 2")
    store.fork("two", "other")
    assert told(merged(store, "one", "two")) == set()
    assert told(merged(store, "other", "one")) == set()
    assert shown(one) == shown(two)
    wanted = "write f base-of-f; write g 1; write x 1; rm d/a; write y 1; write z 2"
    wanted += "; write big 0; write big@16384 2"
    assert shown(one) == shown(forked(store, "wanted", wanted))


def test_criss_cross_of_ancestors_that_disagree(store: Store) -> None:
    """What was decided differently conflicts; what was decided alike does not."""
    for name, text in (("one", "1"), ("two", "2")):
        forked(store, name, f"write f {text}; write g {text}; write own{text} 1")
        store.snapshot(name, "first")
    merged(store, "two@first", "one", Favor.OURS)
    merged(store, "one@first", "two", Favor.THEIRS)
    edit(store.tree("two"), "write f 2")
    for name in ("one", "two"):
        store.snapshot(name, "second")
    assert told(merged(store, "two", "one")) == {"DATA f"}
    assert told(merged(store, "two", "one", Favor.THEIRS)) == set()
    wanted = "write f 2; write g 1; write own1 1; write own2 1"
    assert shown(store.tree("one")) == shown(forked(store, "wanted", wanted))


def test_criss_cross_of_ancestors_that_disagree_on_names(store: Store) -> None:
    for name, text in (("one", "1"), ("two", "2")):
        forked(store, name, f"mv f f{text}")
        store.snapshot(name, "first")
    merged(store, "two@first", "one", Favor.OURS)
    merged(store, "one@first", "two", Favor.OURS)
    assert refused(store, Request("two", "one")) is errors.InvalidArgument


# --- refusals ---------------------------------------------------------------------------------


def test_no_common_ancestor(store: Store) -> None:
    store.create_branch("other")
    edit(store.tree("other"), "write f 1")
    for pair in (("other", "main"), ("main", "other")):
        assert refused(store, Request(*pair)) is errors.InvalidArgument
    store.snapshot("other", "s")
    assert refused(store, Request("other", "main")) is errors.InvalidArgument
    assert names(store, "main") == ["base"]


def test_refs_that_will_not_do(store: Store) -> None:
    forked(store, "ours", "write f 1")
    forked(store, "theirs", "write g 1")
    assert refused(store, Request("nope", "ours")) is errors.UnknownRef
    assert refused(store, Request("theirs/d", "ours")) is errors.InvalidArgument
    assert refused(store, Request("theirs", "ours", name="no/name")) is errors.InvalidRef
    store.snapshot("ours", "taken")
    assert refused(store, Request("theirs", "ours", name="taken")) is errors.RefExists
    with pytest.raises(errors.UnknownRef):
        store.merge(Request("theirs", "nope"))
    edit(store.tree("ours"), "write more 1")
    for ref in ("ours", "ours@taken"):
        assert store.merge(Request(ref, "ours")).outcome is Outcome.UP_TO_DATE
    assert names(store, "ours") == ["taken"]


@pytest.mark.parametrize("own", ["", "write own 1"])
def test_a_quota_that_would_be_passed(store: Store, own: str) -> None:
    tree = forked(store, "ours", own)
    forked(store, "theirs", "write n/a 1; write n/b@100000 2")
    used = tree.usage()
    for quota in (Quota(inodes_max=used.inodes + 2), Quota(bytes_max=used.used_bytes + 8191)):
        store.set_quota("ours", quota)
        assert refused(store, Request("theirs", "ours")) is errors.QuotaExceeded
    store.set_quota("ours", Quota(used.used_bytes + 8192, used.inodes + 3))
    assert told(merged(store, "theirs", "ours")) == set()
    # One that is passed already is no reason to keep what is there from getting less.
    edit(store.tree("theirs"), "rm n")
    store.set_quota("ours", Quota(1, 1))
    assert told(merged(store, "theirs", "ours")) == set()


def test_a_full_disk(store: Store) -> None:
    forked(store, "ours", "write own 1")
    forked(store, "theirs", "write f new")
    store.settle()

    def refuse(op: str, path: str, size_bytes: int) -> int | None:
        if "write" in op and "packs" in path:
            raise OSError(errno.ENOSPC, "refused by the test")
        return None

    disk.inject(refuse)
    try:
        assert refused(store, Request("theirs", "ours")) is errors.NoSpace
    finally:
        disk.inject(None)
    assert names(store, "ours") == names(store, "theirs") == []
    assert told(merged(store, "theirs", "ours")) == set()


def test_an_ancestor_whose_files_were_collected(store: Store, rng: random.Random) -> None:
    store.create_branch("past")
    past = store.tree("past")
    edit(past, "write noise 1; write f 1; write g 1")
    past.write(ROOT, find(past, "noise").ino, 0, rng.randbytes(1 << 20))
    store.snapshot("past", "base")
    for name in ("ours", "theirs"):
        store.fork("past@base", name)
        edit(store.tree(name), f"rm noise; write f {name}")
        store.snapshot(name, "s")
    store.settle()
    store.fork("ours@s", "late")  # its ancestor with `ours` is another one
    edit(store.tree("late"), "write g 2")
    store.delete_branch("past")
    store.settle()
    store.gc()
    assert refused(store, Request("theirs", "ours")) is errors.UnknownRef
    assert told(merged(store, "late", "ours")) == set()


# --- afterwards -------------------------------------------------------------------------------


def test_a_merge_is_undone_by_a_rollback(store: Store) -> None:
    tree = forked(store, "ours", "write own 1; chmod f 600")
    forked(store, "theirs", "write f new; rm d")
    before = shown(tree)
    done = store.merge(Request("theirs", "ours"))
    assert done.before is not None
    store.rollback("ours", f"ours@{done.before.name}")
    assert shown(tree) == before
    # It is not merged any more, and can be once more.
    assert store.merge(Request("theirs", "ours")).outcome is Outcome.MERGED
    store.settle()
    store.rollback("ours", done.ours)
    assert shown(tree) == before


def test_dry_run(store: Store) -> None:
    forked(store, "ours", "write own 1; write f ours")
    forked(store, "theirs", "write f theirs; mv d d2; rm g; write n 1")
    snapshots = [names(store, name) for name in ("ours", "theirs")]
    done = store.merge(Request("theirs", "ours", dry_run=True))
    assert told(done) == {"DATA f"}
    changes = {(found.kind.value, found.path) for found in done.changes}
    assert changes == {("renamed", b"/d2"), ("removed", b"/g"), ("added", b"/n")}
    done = store.merge(Request("theirs", "ours", favor=Favor.THEIRS, dry_run=True))
    assert done.conflicts == []
    assert changes | {("modified", b"/f")} == {(f.kind.value, f.path) for f in done.changes}
    assert done.snapshot is None
    assert snapshots == [names(store, name) for name in ("ours", "theirs")]
    assert shown(store.tree("ours")) == shown(forked(store, "w", "write own 1; write f ours"))
    forked(store, "still", "")
    ahead = store.merge(Request("theirs", "still", dry_run=True))
    assert (ahead.outcome, len(ahead.changes)) == (Outcome.FAST_FORWARD, 4)
    assert names(store, "still") == []


def test_the_merge_s_snapshots_can_go(store: Store) -> None:
    """The history below stays as it is."""
    forked(store, "ours", "write own 1")
    forked(store, "theirs", "write f new")
    done = store.merge(Request("theirs", "ours", "both"))
    assert done.before is not None
    tree = shown(store.tree("ours"))
    store.delete_branch("theirs")
    store.delete_snapshot("ours", "both")
    assert next(store.log("ours")).name == done.before.name
    store.delete_snapshot("ours", done.before.name)
    assert next(store.log("ours")).name == "base"
    store.settle()
    store.gc()
    assert shown(store.tree("ours")) == tree


def test_a_branch_of_a_sub_directory(store: Store) -> None:
    """It shares the whole map: both merge into each other."""
    store.fork("main@base/d", "part")
    edit(store.tree("part"), "write a new; write b/z 1")
    edit(store.tree("main"), "mv d moved; write f new")
    assert told(merged(store, "part", "main")) == set()
    wanted = "write d/a new; write d/b/z 1; mv d moved; write f new"
    assert shown(store.tree("main")) == shown(forked(store, "wanted", wanted))
    edit(store.tree("main"), "write moved/more 1")
    assert told(merged(store, "main", "part")) == set()
    assert (
        bytes(store.tree("part").read(None, find(store.tree("part"), "more").ino, 0, 9).data)
        == b"1"
    )
    assert merged(store, "part", "main").outcome is Outcome.MERGED
    assert merged(store, "part", "main").outcome is Outcome.UP_TO_DATE


@pytest.mark.parametrize("own", ["", "write own 1"])
def test_a_branch_s_root_cannot_go(store: Store, own: str) -> None:
    store.fork("main@base/d", "part")
    edit(store.tree("part"), own)
    forked(store, "theirs", "rm d; write f new")
    before = shown(store.tree("part"))
    for favor in (None, Favor.THEIRS):
        assert "ROOT " in told(merged(store, "theirs", "part", favor))
    assert told(merged(store, "theirs", "part", Favor.OURS)) == set()
    left = {} if not own else {b"/own": before[b"/own"]}
    assert {p: one for p, one in shown(store.tree("part")).items() if p != b"/"} == left


@pytest.mark.parametrize("own", ["", "write own 1"])
def test_a_crash_at_any_point(store: Store, tmp_path: Path, own: str) -> None:
    """A merge is there wholly, with all that came of it, or not at all."""
    tree = forked(store, "ours", own)
    forked(store, "theirs", "write f new; rm d")
    store.flush()
    before = shown(tree)
    copies: list[tuple[str, Path]] = []

    def copy(point: str) -> None:
        place = tmp_path / str(len(copies))
        shutil.copytree(store.engine.path, place)
        copies.append((point, place))

    faults.arm(copy)
    try:
        done = store.merge(Request("theirs", "ours", "both"))
        after = shown(tree)
        copy("merged")
        store.flush()
        copy("durable")
        store.settle()
        copy("settled")
    finally:
        faults.arm(None)
    assert done.snapshot is not None
    states = []
    for point, place in copies:
        with Store.open(place) as other:
            assert other.check(data=True) == []
            states.append(done.snapshot in other.snapshots("ours"))
            assert shown(other.tree("ours")) == (after if states[-1] else before), point
            assert len(names(other, "ours")) == states[-1] + (states[-1] and bool(own))
            assert len(names(other, "theirs")) == states[-1]
            assert store.merge(Request("theirs", "ours")).outcome is Outcome.UP_TO_DATE
    assert states == sorted(states)
    points = {point: state for (point, _), state in zip(copies, states, strict=True)}
    assert not points["merged"]
    assert points["durable"]
    assert {"seal.written", "journal.appended"} <= points.keys()
