"""Snapshots as commits of git: what git sees of a branch, and that it is always the same."""

from __future__ import annotations

import random
import stat
from pathlib import Path

import pytest

from fsgw.pump import Pump
from gitdoor.exporting import named
from gitdoor.refs import tips
from store.objects import ObjectReader
from store.store import Options, Store
from store.types import ROOT, RenameHow, SetAttr, Who
from tests.gitdoor.helpers import put, written
from tests.gitdoor.repositories import Git


def twin(path: Path) -> Store:
    ticks = iter(range(1_700_000_000_000_000_000, 1_700_001_000_000_000_000, 1_000_000_000))
    Store.init(path, replica=3)
    return Store.open(path, Options(clock=lambda: next(ticks)))


def make_history(store: Store, name: str = "main") -> None:
    """Snapshots with every kind of change between them."""
    store.create_branch(name)
    tree = store.tree(name)
    put(tree, b"a/b/c/file", b"one\n")
    put(tree, b"run", b"#!/bin/sh\n", 0o755)
    big = put(tree, b"big", b"big\n" * 100_000)
    tree.symlink(ROOT, 1, b"link", b"a/b")
    tree.mkdir(ROOT, 1, b"nothing in it", 0o755)
    who = Who("Ann <ann@example.org>", 1_600_000_000_000_000_000)
    store.snapshot(name, "first", "the first\n\nof all", who)
    tree.rename(ROOT, 1, b"a", 1, b"renamed", RenameHow.REPLACE)
    tree.write(ROOT, big, 200_000, b"changed")
    tree.link(ROOT, big, 1, b"hard")
    store.snapshot(name, "second")
    tree.setattr(ROOT, tree.resolve(b"/run").ino, SetAttr(mode=0o600))
    tree.setattr(ROOT, big, SetAttr(size=5))
    tree.unlink(ROOT, tree.resolve(b"/renamed/b/c").ino, b"file")
    store.snapshot(name, "third", "no author", Who("nobody<at>all", -5))
    put(tree, b"nothing in it/something", b"x")
    put(tree, b"renamed.d", b"sorts")
    tree.unlink(ROOT, 1, b"link")
    put(tree, b"link/is a directory", b"y")
    tree.setattr(ROOT, big, SetAttr(uid=5, mtime_ns=7))
    store.snapshot(name, "fourth", "nul \0 in it")
    store.settle()


@pytest.fixture
def history(store: Store) -> Store:
    make_history(store)
    return store


def test_git_sees_what_is_there(history: Store, tmp_path: Path) -> None:
    out = written(history, tmp_path / "out.git", "main")
    assert out("log", "--format=%an|%ae|%s", "main").splitlines()[1:] == [
        "nobody at all||no author",
        "fsgw||" + out("log", "-1", "--format=%s", "second").strip(),
        "Ann|ann@example.org|the first",
    ]
    assert out("ls-tree", "-r", "--name-only", "first").splitlines() == [
        "a/b/c/file", "big", "link", "run",
    ]  # fmt: skip
    assert out("ls-tree", "-r", "--name-only", "main").splitlines() == [
        "big", "hard", "link/is a directory", "nothing in it/something", "renamed.d", "run",
    ]  # fmt: skip
    assert out("show", "main:hard") == out("show", "main:big") == "big\nb"
    assert out("ls-tree", "first", "run").startswith("100755")
    assert out("ls-tree", "third", "run").startswith("100644")
    assert out("show", "first:link") == "a/b"
    assert sorted(out.refs()) == ["refs/heads/main"] + [
        f"refs/tags/{name}" for name in ("first", "fourth", "second", "third")
    ]


def test_trees_are_those_that_git_makes(history: Store, tmp_path: Path) -> None:
    """Every tree found by what changed is the tree that git makes of the files."""
    out = written(history, tmp_path / "out.git", "main")
    work = Git(tmp_path / "work").init()
    for name in ("first", "second", "third", "fourth"):
        target = tmp_path / name
        out("worktree", "add", "-f", "--detach", target, name)
        files = Git(target)
        files("rm", "-rq", "--cached", ".")
        files("add", "-A")
        assert files("write-tree") == out("rev-parse", f"{name}^{{tree}}")
    assert work.refs() == {}


def test_ids_are_the_same_on_every_gateway(tmp_path: Path) -> None:
    found = []
    for number, lazily in enumerate((True, False)):
        with twin(tmp_path / f"store{number}") as store:
            make_history(store)
            if not lazily:  # named one by one as they come, in another run
                for at in range(3):
                    put(store.tree("main"), b"more", b"%d" % at)
                    store.snapshot("main", f"more{at}")
                    store.settle()
                    written(store, tmp_path / f"early{at}.git")
            else:
                for at in range(3):
                    put(store.tree("main"), b"more", b"%d" % at)
                    store.snapshot("main", f"more{at}")
                    store.settle()
            found.append(written(store, tmp_path / f"out{number}.git").refs())
            assert store.check(data=True) == []
    assert found[0] == found[1]
    assert len(found[0]) == 8


def test_names_that_git_refuses_are_left_out(store: Store, tmp_path: Path) -> None:
    store.create_branch("main")
    tree = store.tree("main")
    refused = [
        b".git/config", b".GIT/x", b"sub/.git", b".git ", b".git.", b"git~1", b"GIT~1/x",
        b".g\xe2\x80\x8cit", b".git\\x", b"a\\.git", b".git:x", b".Git . ./y",
    ]  # fmt: skip
    for path in refused:
        put(tree, path, b"hidden")
    fine = [b"git", b".gitignore", b".gitx", b"git~2", b"\xff\xfe", b"a\nb", b"sub/fine", b'q"']
    for path in fine:
        put(tree, path, b"shown")
    tree.symlink(ROOT, 1, b".gitmodules", b"fine")
    tree.mknod(ROOT, 1, b"fifo", stat.S_IFIFO | 0o644)
    tree.mknod(ROOT, 1, b"socket", stat.S_IFSOCK | 0o644)
    tree.mknod(ROOT, 1, b"device", stat.S_IFCHR | 0o644, 1, 3)
    store.snapshot("main", "all")
    store.settle()
    out = written(store, tmp_path / "out.git")
    names = out("ls-tree", "-rz", "--name-only", "main").split("\0")[:-1]
    assert {name.encode("utf-8", "surrogateescape") for name in names} == set(fine)


def test_a_deleted_snapshot_leaves_a_shallow_history(history: Store, tmp_path: Path) -> None:
    tree = history.tree("main")
    put(tree, b"bulk", random.Random(1).randbytes(1 << 20))
    history.snapshot("main", "bulk")
    tree.unlink(ROOT, 1, b"bulk")
    history.snapshot("main", "fifth")
    history.settle()
    before = written(history, tmp_path / "before.git").refs()
    history.delete_snapshot("main", "bulk")
    assert history.gc().packs_removed == 1
    assert history.check(data=True) == []
    out = written(history, tmp_path / "after.git")
    assert out.refs() == {name: i for name, i in before.items() if "bulk" not in name}
    assert out("rev-parse", "--is-shallow-repository").strip() == "true"
    assert len(out("rev-list", "main").split()) == 1
    assert len(out("rev-list", "main/fourth").split()) == 4
    put(history.tree("main"), b"later", b"later")
    history.snapshot("main", "later")
    history.settle()
    assert (
        written(history, tmp_path / "later.git")("rev-parse", "main~1").strip()
        == (before["refs/heads/main"])
    )


def test_a_fork_of_a_directory_is_a_repository_of_it(history: Store, tmp_path: Path) -> None:
    history.fork("main@first/a", "part")
    put(history.tree("part"), b"b/new", b"new")
    history.snapshot("part", "forked")
    history.settle()
    out = written(history, tmp_path / "out.git", "part")
    assert out("ls-tree", "-r", "--name-only", "part").splitlines() == ["b/c/file", "b/new"]
    assert out("rev-parse", "part:b/c/file") == out("rev-parse", "part~1:a/b/c/file")


def test_names_cost_what_changed(
    history: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A snapshot of a few changes reads few nodes, however large the tree is."""
    tree = history.tree("main")
    for number in range(3000):
        put(tree, b"many/%d/%d" % (number % 50, number), b"%d" % number)
    history.snapshot("main", "many")
    history.settle()
    written(history, tmp_path / "many.git")
    put(tree, b"many/7/7", b"changed")
    history.snapshot("main", "one")
    history.settle()
    read: list[bytes] = []
    real = ObjectReader.get

    def noted(reader: ObjectReader, oid: bytes) -> bytes:
        read.append(oid)
        return real(reader, oid)

    monkeypatch.setattr(ObjectReader, "get", noted)
    with Pump(history) as pump, history.held():
        pump.run(named(history, [tip.commit for tip in tips(history)], lambda n: None))
    assert 0 < len(read) < 60
