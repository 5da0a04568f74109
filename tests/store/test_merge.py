"""Every kind of change against every other: what merges, what conflicts, and who wins."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from store.conflicts import Favor
from store.merge_work import Outcome
from store.store import Store
from tests.store.merge_scenes import BLOCK_BYTES, edit, forked, merged, planted, shown, sound, told

SWAPPED = {
    "REMOVED_OURS": "REMOVED_THEIRS",
    "REMOVED_THEIRS": "REMOVED_OURS",
    "FILLED_OURS": "FILLED_THEIRS",
    "FILLED_THEIRS": "FILLED_OURS",
}

# Two edits of the base that merge, in either direction, and the edit that is the same as both.
CLEAN = [
    ("write f new", "", "write f new"),
    ("write f new", "write g new", "write f new; write g new"),
    ("write f new", "write f new", "write f new"),
    ("chmod f 600", "write f new", "chmod f 600; write f new"),
    ("chmod f 600", "chown f 7; chgrp f 8", "chmod f 600; chown f 7; chgrp f 8"),
    ("chmod f 600", "chmod f 600", "chmod f 600"),
    ("xattr f user.a 1", "xattr f user.b 2", "xattr f user.a 1; xattr f user.b 2"),
    ("xattr f user.kept", "xattr f user.b 2", "xattr f user.kept; xattr f user.b 2"),
    ("xattr f user.kept no", "xattr f user.kept no", "xattr f user.kept no"),
    ("xattr f user.a 1", "write f new; chmod f 4755",
     "xattr f user.a 1; write f new; chmod f 4755"),
    ("touch f 5", "touch f 6", ""),
    ("touch f 5", "rm f", "rm f"),
    ("touch d 5; touch e 5", "rm d/a; rm e", "rm d/a; rm e"),
    ("write big@8192 1", "chmod big 600", "write big@8192 1; chmod big 600"),
    ("cut big 8192", "xattr big user.x 1", "cut big 8192; xattr big user.x 1"),
    ("cut big 99999", "mv big d/big", "cut big 99999; mv big d/big"),
    # names
    ("write n1 one", "write n2 two", "write n1 one; write n2 two"),
    ("mkdir n; mknod n/p", "symlink t x; mknod c 20600",
     "mkdir n; mknod n/p; symlink t x; mknod c 20600"),
    ("mv f f2", "write f new", "write f new; mv f f2"),
    ("mv f f2", "chmod f 600; xattr f user.a 1", "chmod f 600; xattr f user.a 1; mv f f2"),
    ("mv f f2", "mv f f2", "mv f f2"),
    ("mv f f2", "mv g g2", "mv f f2; mv g g2"),
    ("mv f f2", "write d/new 1", "mv f f2; write d/new 1"),
    ("swap f g", "write f new", "write f new; swap f g"),
    ("swap f g", "swap f g", "swap f g"),
    ("rm f; mv g f", "write g new", "write g new; rm f; mv g f"),
    ("rm f", "rm f", "rm f"),
    ("rm f", "rm g", "rm f; rm g"),
    ("rm d", "rm d", "rm d"),
    ("rm d", "rm d/b", "rm d"),
    ("rm f; write f/x 1", "write g new", "rm f; write f/x 1; write g new"),
    ("rm e", "write g new", "rm e; write g new"),
    ("rm p; rm s", "write g new", "rm p; rm s; write g new"),
    ("symlink t " + "x" * 300, "xattr f user.long " + "y" * 1000,
     "symlink t " + "x" * 300 + "; xattr f user.long " + "y" * 1000),
    # directories
    ("mv d d2", "write d/a new; write d/new 1", "write d/a new; write d/new 1; mv d d2"),
    ("mv d/b b2", "write d/b/deep/x new; rm d/b/c", "write d/b/deep/x new; rm d/b/c; mv d/b b2"),
    ("mv d d2", "mv d/b b2", "mv d/b b2; mv d d2"),
    ("mv d e/d", "mv e e2", "mv d e/d; mv e e2"),
    ("chmod d 700; xattr d user.a 1", "write d/new 1",
     "chmod d 700; xattr d user.a 1; write d/new 1"),
    ("mkdir n; write n/a 1", "mkdir n; write n/b 2", "write n/a 1; write n/b 2"),
    ("write n/m/a 1", "write n/m/b 2; mv f n/m/f", "write n/m/a 1; write n/m/b 2; mv f n/m/f"),
    ("write n/a 1", "write n/a 1; write n/b 2", "write n/a 1; write n/b 2"),
    ("mkdir n 700; xattr n user.a 1", "mkdir n 700; xattr n user.b 1",
     "mkdir n 700; xattr n user.a 1; xattr n user.b 1"),
    ("write n same; chmod n 600", "write n same; chmod n 600", "write n same; chmod n 600"),
    ("symlink t x", "symlink t x", "symlink t x"),
    ("mkdir e/sub; rm d/b/deep", "mv e d/e", "mkdir e/sub; rm d/b/deep; mv e d/e"),
    # hard links
    ("ln f f2", "write f new", "write f new; ln f f2"),
    ("ln f f2", "ln f d/f3", "ln f f2; ln f d/f3"),
    ("ln f f2", "mv f f3", "ln f f2; mv f f3"),
    ("ln f f2", "ln f f2", "ln f f2"),
    ("rm l", "write l new", "write l new; rm l"),
    ("rm l", "mv d/l2 l3", "rm l; mv d/l2 l3"),
    ("rm l; rm d/l2", "rm d/l2", "rm l; rm d/l2"),
    ("rm l", "rm l", "rm l"),
    ("mv l l3", "mv d/l2 l4", "mv l l3; mv d/l2 l4"),
    ("rm l", "ln l l3", "rm l; ln d/l2 l3"),
    ("write m many; ln m m2; ln m d/m3", "write g new",
     "write m many; ln m m2; ln m d/m3; write g new"),
    ("write n same; ln n n2", "write n same", "write n same; ln n n2"),
    # a name that was freed
    ("mv f f2; write f other", "write g new", "mv f f2; write f other; write g new"),
    ("mv f f2; write f other", "chmod f 600", "chmod f 600; mv f f2; write f other"),
    ("mv f t; mv g f; mv t g", "chmod d 700", "swap f g; chmod d 700"),
    ("mv d/a f2; rm d/b", "write d/b2 1", "mv d/a f2; rm d/b; write d/b2 1"),
]  # fmt: skip


class Clash(NamedTuple):
    """Two edits that conflict: how, and what is left where either side is favored; None where
    that side's favor is not enough."""

    ours: str
    theirs: str
    conflicts: str
    if_ours: str | None
    if_theirs: str | None


CLASHES = [
    Clash("write f 1", "write f 2", "DATA f", "write f 1", "write f 2"),
    Clash("write big 1", "write big@16384 3", "DATA big", "write big 1", "write big@16384 3"),
    Clash("cut f 3", "write f@4 x; chmod f 600", "DATA f", "cut f 3; chmod f 600",
          "write f@4 x; chmod f 600"),
    Clash("chmod f 600", "chmod f 640", "MODE f", "chmod f 600", "chmod f 640"),
    Clash("chown f 5", "chown f 6; chgrp f 1", "OWNER f", "chown f 5; chgrp f 1",
          "chown f 6; chgrp f 1"),
    Clash("xattr f user.a 1; xattr f user.b 1", "xattr f user.a 2", "XATTR f",
          "xattr f user.a 1; xattr f user.b 1", "xattr f user.a 2; xattr f user.b 1"),
    Clash("xattr f user.kept", "xattr f user.kept no", "XATTR f", "xattr f user.kept",
          "xattr f user.kept no"),
    Clash("write f 1", "rm f", "REMOVED_THEIRS f", "write f 1", "rm f"),
    Clash("chmod f 600; xattr f user.a 1", "rm f", "REMOVED_THEIRS f",
          "chmod f 600; xattr f user.a 1", "rm f"),
    Clash("mv f f2", "rm f", "REMOVED_THEIRS f2", "mv f f2", "rm f"),
    Clash("ln f f2", "rm f", "REMOVED_THEIRS f", "ln f f2", "rm f"),
    Clash("mv f f2", "mv f f3", "RENAMED f2", "mv f f2", "mv f f3"),
    Clash("mv f d/f", "mv f e/f", "RENAMED d/f", "mv f d/f", "mv f e/f"),
    Clash("mv l l3", "mv l l4", "RENAMED d/l2", "mv l l3", "mv l l4"),
    Clash("rm l", "mv l l4", "RENAMED d/l2", "rm l", "mv l l4"),
    Clash("rm l", "rm d/l2", "RENAMED d/l2", "rm l", "rm d/l2"),
    Clash("mv d d2", "mv d e/d", "RENAMED d2", "mv d d2", "mv d e/d"),
    Clash("write n 1", "write n 2", "NAME n", "write n 1", "write n 2"),
    Clash("write n 1", "mkdir n", "NAME n", "write n 1", "mkdir n"),
    Clash("write n 1; chmod n 600", "write n 1", "NAME n", "write n 1; chmod n 600", "write n 1"),
    Clash("symlink n a", "symlink n b", "NAME n", "symlink n a", "symlink n b"),
    Clash("mkdir n", "write n/x/y 1; rm n/x/y; rm n/x; rm n; write n 1", "NAME n", "mkdir n",
          "write n 1"),
    Clash("write n/a 1", "write n/a 2; write n/b 3", "NAME n/a", "write n/a 1; write n/b 3",
          "write n/a 2; write n/b 3"),
    Clash("mkdir n 700", "mkdir n 750; write n/b 3", "MODE n", "mkdir n 700; write n/b 3",
          "mkdir n 750; write n/b 3"),
    Clash("mv f n", "mv g n", "NAME n", "mv f n", "mv g n"),
    Clash("write n 1", "mv g n", "NAME n", "write n 1", "mv g n"),
    Clash("write d/new 1", "rm d", "FILLED_OURS d", "rm d; write d/new 1", "rm d"),
    Clash("write d/b/deep/new 1", "rm d", "FILLED_OURS d/b/deep", "rm d; write d/b/deep/new 1",
          "rm d"),
    Clash("mkdir e/sub", "rm e", "FILLED_OURS e", "mkdir e/sub", "rm e"),
    Clash("mv f e/f", "rm e", "FILLED_OURS e", "mv f e/f", "rm e"),
    Clash("write d/b/c new", "rm d", "REMOVED_THEIRS d/b/c", "rm d; write d/b/c new", "rm d"),
    Clash("chmod d/b 700", "rm d", "REMOVED_THEIRS d/b", "rm d; mkdir d/b 700", "rm d"),
    Clash("mv d d2", "rm d", "REMOVED_THEIRS d2", "rm d; mkdir d2", "rm d"),
    Clash("mv d e/d", "mv e d/e", "CYCLE e", "mv d e/d", None),
    Clash("mv d e/d", "mv e d/b/e; write g new", "CYCLE e", "mv d e/d; write g new", None),
    Clash("write f 1; write n 1; mv g g2", "write f 2; write n 2; mv g g3",
          "DATA f,NAME n,RENAMED g2", "write f 1; write n 1; mv g g2",
          "write f 2; write n 2; mv g g3"),
]  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("merge") / "store"
    Store.init(place, block_bytes=BLOCK_BYTES)
    with Store.open(place) as store:
        planted(store)
        store.settle()
    return place


@pytest.fixture
def store(base: Path, scratch: Path) -> Iterator[Store]:
    """A store with `main@base`, which is sound in the end."""
    shutil.copytree(base, scratch / "store")
    with sound(scratch / "store") as store:
        yield store


@pytest.mark.parametrize(("one", "other", "both"), CLEAN)
def test_merges(store: Store, one: str, other: str, both: str) -> None:
    wanted = shown(forked(store, "wanted", both))
    for number, (ours, theirs) in enumerate(((one, other), (other, one))):
        tree = forked(store, f"ours{number}", ours)
        forked(store, f"theirs{number}", theirs)
        done = merged(store, f"theirs{number}", f"ours{number}")
        assert told(done) == set()
        assert done.outcome is not Outcome.CONFLICTS
        assert shown(tree) == wanted


@pytest.mark.parametrize("clash", CLASHES, ids=lambda clash: f"{clash.ours} | {clash.theirs}")
def test_conflicts(store: Store, clash: Clash) -> None:
    tree = forked(store, "ours", clash.ours)
    forked(store, "theirs", clash.theirs)
    assert told(merged(store, "theirs", "ours")) == set(clash.conflicts.split(","))
    for favor, left in ((Favor.OURS, clash.if_ours), (Favor.THEIRS, clash.if_theirs)):
        name = f"ours-{favor.value}"
        store.fork("ours", name)
        done = merged(store, "theirs", name, favor)
        if left is None:
            assert done.outcome is Outcome.CONFLICTS
        else:
            assert told(done) == set()
            assert shown(store.tree(name)) == shown(forked(store, f"wanted-{favor.value}", left))
    assert shown(tree) == shown(forked(store, "same", clash.ours))


@pytest.mark.slow
@pytest.mark.parametrize("clash", CLASHES, ids=lambda clash: f"{clash.ours} | {clash.theirs}")
def test_conflicts_the_other_way(store: Store, clash: Clash) -> None:
    forked(store, "ours", clash.theirs)
    forked(store, "theirs", clash.ours)
    kinds = {one.kind.name for one in merged(store, "theirs", "ours").conflicts}
    wanted = {word.split()[0] for word in clash.conflicts.split(",")}
    assert kinds == {SWAPPED.get(kind, kind) for kind in wanted}
    for favor, left in ((Favor.OURS, clash.if_theirs), (Favor.THEIRS, clash.if_ours)):
        name = f"ours-{favor.value}"
        store.fork("ours", name)
        done = merged(store, "theirs", name, favor)
        if done.outcome is Outcome.MERGED and left is not None:
            assert shown(store.tree(name)) == shown(forked(store, f"wanted-{favor.value}", left))


def test_edits_show(store: Store) -> None:
    """What the other tests compare by tells edits apart."""
    seen = [shown(forked(store, "same", ""))]
    for number, (one, _, _) in enumerate(CLEAN):
        if not one.startswith("touch"):
            seen.append(shown(forked(store, f"b{number}", one)))
            assert seen[-1] != seen[0], one
    edit(store.tree("same"), "write f new")
    assert shown(store.tree("same")) == seen[1]
