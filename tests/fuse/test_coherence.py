"""One truth through all doors: right after a change by one, another shows nothing else.

For each kind of change (`changes`) and each pair of doors: the one that looks has everything warmed
in its kernel's caches, is sure of names that there are not, and has files, mapped memory and
directories open. The change is made by the other; when that has returned, whatever the first shows
must be what is there. Needs root, to mount with everything that a mount can do.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from nfs.nfs3_types import nfsstat3
from tests.fuse.changes import CHANGES, MOUNT_CHANGES, Actor, User, many_changes, populate
from tests.fuse.shown import View, by_mount, differences, of_nfs
from tests.fuse.world import Looking, World, opened

pytestmark = [pytest.mark.slow, pytest.mark.root]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with opened() as made:
        yield made


def expect_truth(world: World, scene: str, looking: Looking, *, stale: bool = False) -> None:
    truth = world.truth(scene)
    assert truth != looking.view, "nothing was changed"
    wrong = looking.wrong(truth, stale=stale)
    assert not wrong, "\n".join(wrong)


# --- each kind of change --------------------------------------------------------------------------


class Pair(NamedTuple):
    """Who changes a scene, and where another looks at it."""

    actor: Callable[[World, str], Actor]
    looks: Callable[[World, str], Path]


FROM_NFS = {
    "NFS to mount": Pair(lambda w, s: w.nfs.below(f"work/{s}"), lambda w, s: w.one / "work" / s),
    "NFS to part": Pair(lambda w, s: w.nfs.below(f"work/{s}"), lambda w, s: w.part / s),
}
FROM_MOUNT = {
    "mount to mount": Pair(
        lambda w, s: User(w.one / "work" / s), lambda w, s: w.other / "work" / s
    ),
    "mount to part": Pair(lambda w, s: User(w.one / "work" / s), lambda w, s: w.part / s),
    "part to mount": Pair(lambda w, s: User(w.part / s), lambda w, s: w.one / "work" / s),
}

ALL_CHANGES: dict[str, Callable[[User], None]] = {**CHANGES, **MOUNT_CHANGES}


@pytest.mark.parametrize("pair", FROM_NFS | FROM_MOUNT)
@pytest.mark.parametrize("change", CHANGES)
def test_a_mount_shows_what_is_there(world: World, pair: str, change: str) -> None:
    scene = world.scene()
    actor, looks = (FROM_NFS | FROM_MOUNT)[pair]
    with Looking(looks(world, scene)) as looking:
        CHANGES[change](actor(world, scene))
        expect_truth(world, scene, looking)


@pytest.mark.parametrize("pair", FROM_MOUNT)
@pytest.mark.parametrize("change", MOUNT_CHANGES)
def test_a_mount_shows_what_another_did(world: World, pair: str, change: str) -> None:
    scene = world.scene()
    actor, looks = FROM_MOUNT[pair]
    user, root = actor(world, scene), looks(world, scene)
    assert isinstance(user, User)
    with Looking(root) as looking:
        MOUNT_CHANGES[change](user)
        expect_truth(world, scene, looking)
        for path in ("small", "sub"):
            there = [os.path.lexists(top / path) for top in (root, user.root)]
            assert there[0] == there[1]
            if there[0]:
                assert os.listxattr(root / path) == os.listxattr(user.root / path)


@pytest.mark.parametrize("change", ALL_CHANGES)
def test_nfs_shows_what_a_mount_did(world: World, change: str) -> None:
    """The one who changed things and NFS agree; handles from before go on, or are stale."""
    scene = world.scene()
    caller, user = world.nfs.below(f"work/{scene}"), User(world.one / "work" / scene)
    before = world.truth(scene)
    by_mount(user.root)
    handles = [caller.handle(path) for path in before]
    ALL_CHANGES[change](user)
    truth = by_mount(user.root)
    assert truth != before
    assert not differences(world.truth(scene), truth)
    now = {seen.ino: seen for seen, _ in truth.values()}
    for handle in handles:
        answer = world.client.getattr(handle)
        if answer.status != nfsstat3.STALE:
            seen = of_nfs(answer.ok().obj_attributes)
            # What is open at the mount lives on without a name.
            assert seen == now.get(seen.ino, seen._replace(nlink=0))


MAKERS: dict[str, Callable[[World, str], None]] = {
    "NFS": lambda w, s: w.nfs.create(f"work/{s}/new"),
    "mount": lambda w, s: User(w.other / "work" / s).create("new"),
}


@pytest.mark.parametrize("who", MAKERS)
def test_a_name_that_another_made_is_not_made_again(world: World, who: str) -> None:
    """By one who was sure that it is not there: O_EXCL fails, O_CREAT opens what is there."""
    scene = world.scene()
    path = world.one / "work" / scene / "new"
    for _ in range(2):
        assert not os.path.lexists(path)
    MAKERS[who](world, scene)
    user = User(path.parent)
    makes: list[Callable[[str], None]] = [user.create, user.mkdir, user.mkfifo, user.mkdevice]
    makes += [lambda name: user.symlink("x", name), lambda name: user.link("small", name)]
    for make in makes:
        with pytest.raises(FileExistsError):
            make("new")
    world.nfs.unlink(f"work/{scene}/new")
    MAKERS[who](world, scene)
    world.nfs.write(f"work/{scene}/new", b"theirs", 0)
    fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o600)
    os.write(fd, b" and ours")
    os.close(fd)
    assert world.nfs.read(f"work/{scene}/new") == b"theirs and ours"


@pytest.mark.parametrize("who", ["NFS", "mount"])
def test_appending_in_turns(world: World, who: str) -> None:
    """Each write goes to the true end, wherever the kernel last saw that."""
    scene = world.scene()
    path = world.one / "work" / scene / "bare"
    theirs = os.open(world.other / "work" / scene / "bare", os.O_WRONLY | os.O_APPEND)
    ours = os.open(path, os.O_RDWR | os.O_APPEND)
    expected = b""
    for number in range(60):
        for fd in (ours, theirs):
            text = b"%d " % (number * 1_000_003)
            if fd == theirs and who == "NFS":
                world.nfs.write(f"work/{scene}/bare", text, len(expected))
            else:
                assert os.write(fd, text) == len(text)
            expected += text
            assert os.fstat(ours).st_size == len(expected)
            assert path.read_bytes() == expected
    os.close(ours)
    os.close(theirs)
    assert world.nfs.read(f"work/{scene}/bare") == expected


# --- changes of the administrator -----------------------------------------------------------------


def _import(world: World, scene: str) -> None:
    """Another content for the whole scene, of which some is as it was."""
    source = world.room / f"source-{scene}"
    source.mkdir()
    user = User(source)
    populate(user)
    for change in ("write in a page", "unlink of a fifo", "rename of a directory", "append"):
        CHANGES[change](user)
    os.setxattr(source / "small", "user.new", b"value")
    world.admin.ask(
        "POST", "/branches/main/import", {"source": str(source), "path": f"work/{scene}"}
    )


@pytest.mark.parametrize("looks", ["one", "part"])
def test_an_import_shows_at_once(world: World, looks: str) -> None:
    scene = world.scene()
    root = world.part / scene if looks == "part" else world.one / "work" / scene
    with Looking(root) as looking:
        _import(world, scene)
        expect_truth(world, scene, looking)
        assert os.getxattr(root / "small", "user.new") == b"value"


@pytest.mark.parametrize("looks", ["one", "part"])
def test_a_rollback_shows_at_once(world: World, looks: str) -> None:
    scene = world.scene()
    root = world.part / scene if looks == "part" else world.one / "work" / scene
    world.admin.snapshot("main", f"before-{scene}")
    before = world.truth(scene)
    many_changes(world.nfs.below(f"work/{scene}"))
    after = world.truth(scene)
    with Looking(root, absent=()) as looking:
        kept = world.admin.rollback("main", f"main@before-{scene}")
        assert world.truth(scene) == before
        expect_truth(world, scene, looking, stale=True)
    with Looking(root) as looking:
        world.admin.rollback("main", f"main@{kept}")
        assert world.truth(scene) == after
        expect_truth(world, scene, looking, stale=True)


def test_a_rollback_takes_away_what_was_not_there(world: World) -> None:
    world.admin.snapshot("main", "nothing-yet")
    scene = world.scene()
    with Looking(world.one / "work" / scene) as looking:
        kept = world.admin.rollback("main", "main@nothing-yet")
        for path in ("", "small", "sub/deep/leaf"):
            with pytest.raises(FileNotFoundError):
                os.stat(world.one / "work" / scene / path)
        assert scene not in os.listdir(world.one / "work")
        assert not looking.held.differences({}, stale=True)
        world.admin.rollback("main", f"main@{kept}")
        assert not differences(by_mount(world.one / "work" / scene), world.truth(scene))


def test_a_fork_is_of_what_was_there(world: World) -> None:
    """All that a mount has written is in it; what either changes later is not in the other."""
    scene = world.scene()
    user = User(world.one / "work" / scene)
    for change in ("write over blocks", "append", "write all over"):
        CHANGES[change](user)
    MOUNT_CHANGES["write by mapped memory"](user)
    truth = by_mount(user.root)
    world.admin.fork("main", f"fork-{scene}")
    fork = world.mounts.mount(f"fork-{scene}", "suid,dev") / "work" / scene
    assert not differences(by_mount(fork), truth)
    many_changes(world.nfs.below(f"work/{scene}"))
    assert not differences(by_mount(fork), truth)
    after = world.truth(scene)
    CHANGES["truncate to nothing"](User(fork))
    assert not differences(by_mount(user.root), after)


# --- snapshots ------------------------------------------------------------------------------------

TAKERS: dict[str, Callable[[World, str], None]] = {
    "admin": lambda w, name: w.admin.snapshot("main", name),
    "NFS": lambda w, name: w.nfs.mkdir(f".snapshots/{name}"),
    "mount": lambda w, name: os.mkdir(w.other / ".snapshots" / name),
}
DELETERS: dict[str, Callable[[World, str], None]] = {
    "admin": lambda w, name: w.admin.delete_snapshot("main", name),
    "NFS": lambda w, name: w.nfs.rmdir(f".snapshots/{name}"),
    "mount": lambda w, name: os.rmdir(w.other / ".snapshots" / name),
}


@pytest.mark.parametrize("who", TAKERS)
def test_a_snapshot_shows_at_once(world: World, who: str) -> None:
    """It comes and goes for those who were sure that it was not, or was, there."""
    scene, snapshots = world.scene(), world.one / ".snapshots"
    name = f"snapshot-{scene}"
    user = User(world.one / "work" / scene)
    MOUNT_CHANGES["write by mapped memory"](user)
    truth = world.truth(scene)
    for _ in range(2):
        assert not os.path.lexists(snapshots / name)
        assert name not in os.listdir(snapshots)
    TAKERS[who](world, name)
    kept = snapshots / name / "work" / scene
    assert name in os.listdir(snapshots)
    shown = by_mount(kept)
    many_changes(world.nfs.below(f"work/{scene}"))
    assert by_mount(kept) == shown
    assert unnumbered(shown) == unnumbered(truth)
    assert not shown.keys() - truth.keys()
    assert {seen.ino for seen, _ in shown.values()}.isdisjoint(
        seen.ino for seen, _ in by_mount(user.root).values()
    )
    DELETERS[who](world, name)
    assert name not in os.listdir(snapshots)
    with pytest.raises(FileNotFoundError):
        os.stat(snapshots / name)
    with pytest.raises(FileNotFoundError):
        os.stat(kept)


def unnumbered(view: View) -> View:
    """The same without inode numbers, which differ in a snapshot."""
    return {path: (seen._replace(ino=0), content) for path, (seen, content) in view.items()}


def test_a_snapshot_of_the_same_name_is_another(world: World) -> None:
    scene, name = world.scene(), "again"
    kept = world.one / ".snapshots" / name / "work" / scene
    for number in range(3):
        world.nfs.write(f"work/{scene}/small", b"%d" % number, 0)
        world.admin.snapshot("main", name)
        with open(kept / "small", "rb") as held:
            assert held.read(1) == b"%d" % number
            world.admin.delete_snapshot("main", name)
        assert not os.path.lexists(kept)
