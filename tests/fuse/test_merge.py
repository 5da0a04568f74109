"""Merges under live mounts: what they change shows at once, and what is written meanwhile stays."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuse.changes import CHANGES, User, many_changes
from tests.fuse.shown import by_mount, differences
from tests.fuse.world import Looking, World, opened

pytestmark = [pytest.mark.slow, pytest.mark.root]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with opened() as made:
        yield made
        made.admin.check()


def side_of(world: World, scene: str) -> tuple[str, Path]:
    """A fork of a snapshot of `main` through a mount of its own; its name, and the scene in it."""
    name = f"side-{scene}"
    world.admin.ask("POST", "/snapshots", {"branches": ["main"], "name": name})
    world.admin.fork(f"main@{name}", name)
    return name, world.mounts.mount(name, "suid,dev") / "work" / scene


def merge(world: World, source: str, branch: str) -> str:
    """`fsgw merge`: what became of it."""
    (answer,) = world.admin.ask("POST", f"/branches/{branch}/merge", {"source": source})
    return str(answer["result"]["outcome"])


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("looks", ["one", "part"])
def test_a_merge_shows_at_once(world: World, looks: str, own: bool) -> None:
    scene = world.scene()
    name, side = side_of(world, scene)
    many_changes(User(side))
    if own:
        CHANGES["chown"](world.nfs.below(f"work/{scene}"))
        world.nfs.mkdir(f"work/{scene}/mine")
    root = world.part / scene if looks == "part" else world.one / "work" / scene
    with Looking(root, absent=("new", "moved", "sub/deep/new")) as looking:
        assert merge(world, name, "main") == ("merged" if own else "fast-forward")
        truth = world.truth(scene)
        assert truth != looking.view
        assert not looking.wrong(truth, stale=True)
    assert merge(world, "main", name) == ("fast-forward" if own else "up-to-date")
    assert not differences(by_mount(side), truth)


def test_a_writer_goes_on(world: World) -> None:
    """Through merges in both directions, with a file open all the time, and loses nothing."""
    scene = world.scene()
    name, side = side_of(world, scene)
    done, wrong = threading.Event(), list[str]()
    written = []

    def write() -> None:
        folder = world.other / "work" / scene / "mine"
        folder.mkdir()
        with open(folder / "log", "a", encoding="ascii") as log:
            number = 0
            while not done.is_set() or number < 50:
                log.write(f"{number}\n")
                log.flush()
                (folder / f"f{number}").write_text(str(number))
                if (folder / f"f{number}").read_text() != str(number):
                    wrong.append(f"f{number}")
                number += 1
            os.fsync(log.fileno())
        written.append(number)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(10):
            (side / f"theirs{number}").write_text(str(number))
            (side / "small").write_text(f"{number}\n")
            assert merge(world, name, "main") == "merged"
            assert (world.one / "work" / scene / "small").read_text() == f"{number}\n"
    finally:
        done.set()
        writer.join()
    assert not wrong
    (count,) = written
    here = world.one / "work" / scene
    assert (here / "mine/log").read_text() == "".join(f"{n}\n" for n in range(count))
    assert sorted(os.listdir(here / "mine")) == sorted(["log", *(f"f{n}" for n in range(count))])
    assert merge(world, "main", name) == "fast-forward"
    assert not differences(by_mount(side), world.truth(scene))
