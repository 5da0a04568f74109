"""Histories from git, and back: the same ids come out as went in."""

from __future__ import annotations

import random
import stat
from pathlib import Path

import pytest

from fsgw.git import import_git
from fsgw.pump import Pump
from gitdoor.exporting import named
from gitdoor.graph import History
from gitdoor.objects import object_id
from gitdoor.refs import tips
from store.errors import InvalidArgument
from store.gitrows import GitRows
from store.store import Store
from store.types import ROOT
from tests.gitdoor.helpers import brought_in, done, put, written
from tests.gitdoor.repositories import Git


def test_a_history_comes_out_as_it_went_in(store: Store, git: Git, tmp_path: Path) -> None:
    report = brought_in(store, git)
    assert report["troubles"] == []
    assert report["tags"] == 3
    out = written(store, tmp_path / "out.git")
    assert out.refs() == git.refs()
    assert out.objects() == git.objects()
    assert out("log", "--all", "--format=fuller") == git("log", "--all", "--format=fuller")


def test_files_are_what_git_checks_out(store: Store, git: Git) -> None:
    brought_in(store, git)
    assert {info.name for info in store.branches()} == {
        "main", "feature-one", "two", "three", "other", "by-hand",
    }  # fmt: skip
    tree = store.tree("main")
    for path in ("readme", "src/moved.c", "src/deep/er/file", "run.sh", "empty/now a directory"):
        inode = tree.resolve(path.encode())
        local = git.path / path
        assert bytes(tree.read(ROOT, inode.ino, 0, 10**6).data) == local.read_bytes()
        assert bool(inode.mode & 0o100) == bool(local.stat().st_mode & 0o100)
    assert tree.readlink(ROOT, tree.resolve(b"/src/up").ino) == b".."
    assert tree.resolve(b"/n\xe9\xff name").size == 9
    assert stat.S_ISREG(tree.resolve(b"/link").mode)


def test_what_is_brought_in_belongs_to_who_imports(store: Store, git: Git) -> None:
    done(store, import_git(store, str(git.path), [], None, 1000, 100))
    tree = store.tree("main")
    for path in (b"/", b"/src", b"/src/moved.c", b"/link"):
        inode = tree.resolve(path)
        assert (inode.uid, inode.gid) == (1000, 100)


def test_importing_again_brings_what_is_new(store: Store, git: Git, tmp_path: Path) -> None:
    first = brought_in(store, git)
    again = brought_in(store, git)
    assert first["commits"] > 10
    assert (again["commits"], again["branches"], again["tags"]) == (0, 0, 0)
    kept = store.tree("main").resolve(b"/readme").ino
    git.write("readme", "third\n")
    git.write("src/new", "new\n")
    git.commit("later")
    git("tag", "-f", "light")
    later = brought_in(store, git)
    assert (later["commits"], later["branches"], later["tags"]) == (1, 1, 1)
    assert store.tree("main").resolve(b"/readme").ino == kept
    assert written(store, tmp_path / "out.git").refs() == git.refs()


def test_only_some_branches(store: Store, git: Git) -> None:
    brought_in(store, git, "feature/", "tw")
    assert {info.name for info in store.branches()} == {"feature-one", "two"}
    assert {s.name for b in ("feature-one", "two") for s in store.snapshots(b)} >= {"light", "v1.0"}


def test_a_branch_that_went_on_here_is_left_alone(store: Store, git: Git, tmp_path: Path) -> None:
    brought_in(store, git)
    put(store.tree("main"), b"mine", b"mine")
    store.snapshot("main", "mine")
    store.settle()
    git.write("theirs", "theirs\n")
    git.commit("theirs")
    report = brought_in(store, git)
    assert report["troubles"] == [
        "refs/heads/main: has snapshots that are not in what would replace it"
    ]
    assert store.tree("main").resolve(b"/mine").size == 4


def test_changes_in_no_snapshot_stay(store: Store, git: Git) -> None:
    brought_in(store, git)
    tree = store.tree("two")
    put(tree, b"src/mine", b"mine")
    put(tree, b"run.sh", b"changed")
    ino = tree.resolve(b"/run.sh").ino
    git("checkout", "-q", "two")
    git.write("src/theirs", "theirs")
    git.write("readme", "theirs")
    git.commit("beside it")
    assert brought_in(store, git)["troubles"] == []
    assert tree.resolve(b"/src/mine").size == 4
    assert tree.resolve(b"/src/theirs").size == 6
    assert (tree.resolve(b"/run.sh").ino, tree.resolve(b"/readme").size) == (ino, 6)
    assert store.check(data=True) == []
    git.write("run.sh", "theirs")
    git.commit("in the way")
    assert brought_in(store, git)["troubles"] == [
        "refs/heads/two: changes that are in no snapshot would be overwritten: run.sh"
    ]
    store.snapshot("two", "mine")
    store.settle()


def test_a_snapshot_on_an_imported_history(store: Store, git: Git, tmp_path: Path) -> None:
    brought_in(store, git)
    tree = store.tree("by-hand")
    put(tree, b"plain", b"changed here")
    store.snapshot("by-hand", "changed", "changed here")
    out = written(store, tmp_path / "out.git")
    assert out("rev-parse", "by-hand~1") == git("rev-parse", "by-hand")
    now, before = (repository("ls-tree", "by-hand").splitlines() for repository in (out, git))
    assert [now[0], now[2]] == [before[0], before[2]]
    assert out("show", "by-hand:plain") == "changed here"


def test_a_history_goes_on_from_before_a_deleted_tip(
    store: Store, git: Git, tmp_path: Path
) -> None:
    brought_in(store, git)
    for info in store.snapshots("main"):
        if info.name not in ("light", "v1.0", "nested"):
            store.delete_snapshot("main", info.name)
    put(store.tree("main"), b"readme", b"changed here")
    store.snapshot("main", "next")
    out = written(store, tmp_path / "out.git")
    assert out("rev-parse", "main~1") == git("rev-parse", "main~1")
    store.delete_branch("main")


def test_what_is_no_repository(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="is no git repository"):
        brought_in(store, Git(tmp_path))


def test_without_git(store: Store, git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(InvalidArgument, match="git is not installed: apt-get install git"):
        brought_in(store, git)


def test_a_large_file(store: Store, tmp_path: Path) -> None:
    git = Git(tmp_path / "large").init()
    with git.write("large").open("wb") as file:
        for number in range(40):
            file.write(number.to_bytes(4, "big") * 131_072)
        file.truncate(21 << 20)
    git.commit()
    brought_in(store, git)
    assert store.tree("main").resolve(b"/large").size == 21 << 20
    assert written(store, tmp_path / "out.git").refs() == git.refs()


def test_gc_keeps_the_history(store: Store, git: Git, tmp_path: Path) -> None:
    brought_in(store, git)
    store.settle()
    store.gc()
    assert store.check(data=True) == []
    assert written(store, tmp_path / "out.git").objects() == git.objects()
    for info in store.branches():
        store.delete_branch(info.name)
    store.gc()
    assert store.check(data=True) == []
    report = brought_in(store, git)
    assert report["commits"] > 10
    assert written(store, tmp_path / "again.git").refs() == git.refs()


def test_objects_are_found_elsewhere_when_their_commit_goes(store: Store, git: Git) -> None:
    brought_in(store, git)
    put(store.tree("two"), b"only here", random.Random(2).randbytes(1 << 20))
    put(store.tree("two"), b"last", b"last\n")  # as on main
    store.snapshot("two", "bulk")
    store.settle()
    with Pump(store) as pump, store.held():
        pump.run(named(store, [tip.commit for tip in tips(store)], lambda count: None))
    rows = GitRows(store.engine)
    shared = bytes.fromhex(git("rev-parse", "main:last").strip())
    before = rows.object(shared)
    store.delete_branch("two")
    assert store.gc().packs_removed == 1
    after = rows.object(shared)
    assert before is not None
    assert after is not None
    assert before.commit != after.commit
    assert store.check(data=True) == []
    history = History(store.engine, store.engine.objects, rows)
    words = ("--objects", "--no-object-names", "main", "by-hand", "--")
    for line in git("rev-list", *words).split():
        kind, data = history.read(bytes.fromhex(line))
        assert isinstance(data, bytes)
        assert object_id(kind, data).hex() == line
