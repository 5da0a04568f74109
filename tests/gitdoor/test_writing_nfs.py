"""`.git` written to through NFS, call by call, and seen through both doors."""

from __future__ import annotations

import os

import pytest

from nfs.nfs3_types import createmode3, diropargs3, nfsstat3, time_how
from tests.fuse.wire import WireClient
from tests.gitdoor.mounted import WRITE, Scene
from tests.gitdoor.repositories import Git
from tests.nfs.client import sattr

WRITABLE = """
[[export]]
branches = ["main", "open-*"]
clients = ["127.0.0.0/8"]
squash = "none"
git_write = true

[[export]]
branches = ["shut"]
clients = ["127.0.0.0/8"]
squash = "none"
"""


@pytest.fixture
def here(here: Scene) -> Scene:
    here.gateway.write_exports(WRITABLE)
    here.gateway.fsgw("export", "reload")
    return here


@pytest.fixture
def mounted(here: Scene) -> Git:
    """A mount with one commit."""
    git = here.mount("main", WRITE)
    git.write("file", "one\n")
    git.commit("first")
    return git


def prepared(mounted: Git) -> bytes:
    """A commit that no ref has yet."""
    mounted.write("file", f"another {os.urandom(4).hex()}\n")
    mounted("add", "file")
    tree = mounted("write-tree").strip()
    return mounted("commit-tree", "-p", "HEAD", "-m", "by calls", tree).strip().encode()


def test_a_ref_moves_when_its_lock_is_renamed(here: Scene, mounted: Git) -> None:
    oid = prepared(mounted)
    with WireClient(here.gateway.port) as client:
        git = client.find(client.mount("/main"), b".git")
        heads = client.find(git, b"refs", b"heads")
        lock = client.make(heads, b"main.lock", oid + b"\n")
        assert (
            client.create(heads, b"main.lock", None, createmode3.GUARDED).status == nfsstat3.EXIST
        )
        assert mounted("rev-parse", "main") != oid.decode() + "\n"
        renamed = client.rename(heads, b"main.lock", heads, b"main")
        assert renamed.status == nfsstat3.OK
        assert client.lookup(heads, b"main").status == nfsstat3.NOENT
        assert client.lookup(heads, b"main.lock").status == nfsstat3.NOENT
        assert client.getattr(lock).status == nfsstat3.STALE
        assert client.names(heads) == [b".", b".."]
        packed = client.read(client.find(git, b"packed-refs")).ok().data
        assert oid + b" refs/heads/main\n" in packed
        assert mounted("rev-parse", "main") == oid.decode() + "\n"
        assert mounted("status", "--porcelain") == ""


@pytest.mark.slow
def test_who_asked_may_have_gone(here: Scene, mounted: Git) -> None:
    """The ref moves all the same, and the next who asks for the same has asked for more."""
    first = prepared(mounted)
    with WireClient(here.gateway.port) as client:
        heads = client.find(client.mount("/main"), b".git", b"refs", b"heads")
        client.make(heads, b"main.lock", first + b"\n")
        names = diropargs3(heads, b"main.lock"), diropargs3(heads, b"main")
        client.send(client.message("RENAME", *names))
    for _ in range(1000):
        if mounted("rev-parse", "main").strip().encode() == first:
            break
    second = prepared(mounted)
    assert second != first
    with WireClient(here.gateway.port) as client:
        client.make(heads, b"main.lock", second + b"\n")
        assert client.rename(heads, b"main.lock", heads, b"main").status == nfsstat3.OK
    assert mounted("rev-parse", "main").strip().encode() == second


def test_files_and_directories_of_gits_own(here: Scene, mounted: Git) -> None:
    with WireClient(here.gateway.port) as client:
        git = client.find(client.mount("/main"), b".git")
        merge = client.mkdir(git, b"rebase-merge").ok().obj
        todo = client.make(merge, b"git-rebase-todo", b"pick\n")
        assert (mounted.path / ".git/rebase-merge/git-rebase-todo").read_bytes() == b"pick\n"
        client.link(todo, merge, b"again").ok()
        client.setattr(todo, sattr(mode=0o600)).ok()
        assert client.getattr(todo).ok().obj_attributes.nlink == 2
        assert sorted(client.names(merge)) == [b".", b"..", b"again", b"git-rebase-todo"]
        assert client.lookup(merge, b"..").ok().object == git
        assert client.rename(merge, b"again", git, b"MERGE_MSG").status == nfsstat3.OK
        assert (mounted.path / ".git" / "MERGE_MSG").read_bytes() == b"pick\n"
        assert client.symlink(git, b"link", b"MERGE_MSG").status == nfsstat3.OK
        assert client.readlink(client.find(git, b"link")).ok().data == b"MERGE_MSG"
        names = client.names(git)
        assert len(set(names)) == len(names)
        assert {b"rebase-merge", b"MERGE_MSG", b"link", b"HEAD", b"objects"} <= set(names)
        plus = client.readdirplus(git).ok().reply.entries
        assert {e.name for e in plus} >= set(names)
        assert client.remove(git, b"link").status == nfsstat3.OK
        assert client.rmdir(git, b"rebase-merge").status == nfsstat3.NOTEMPTY
        client.remove(merge, b"git-rebase-todo").ok()
        assert client.rmdir(git, b"rebase-merge").status == nfsstat3.OK
        assert client.lookup(git, b"rebase-merge").status == nfsstat3.NOENT
        for name in (b"HEAD", b"packed-refs"):
            assert client.remove(git, name).status == nfsstat3.ROFS
            assert client.write(client.find(git, name), 0, b"x").status == nfsstat3.ROFS
        assert client.rmdir(git, b"objects").status == nfsstat3.PERM
        assert client.rename(git, b"objects", git, b"other").status == nfsstat3.PERM
        assert client.mkdir(git, b"objects").status == nfsstat3.EXIST
        now = (time_how.SET_TO_SERVER_TIME, None)
        head = client.find(git, b"HEAD")
        assert client.setattr(head, sattr(mtime=now, atime=now)).status == nfsstat3.OK
        assert client.setattr(head, sattr(mode=0o600)).status == nfsstat3.ROFS


@pytest.mark.slow
def test_handles_outlive_restarts(here: Scene, mounted: Git) -> None:
    with WireClient(here.gateway.port) as client:
        git = client.find(client.mount("/main"), b".git")
        hooks = client.mkdir(git, b"hooks").ok().obj
        hook = client.make(hooks, b"post-commit", b"#!/bin/sh\n", 0o755)
        client.commit(hook).ok()
    here.gateway.kill()
    here.gateway.start()
    with WireClient(here.gateway.port) as client:
        assert client.read(hook).ok().data == b"#!/bin/sh\n"
        assert client.find(git, b"hooks", b"post-commit") == hook
        assert client.lookup(hooks, b"..").ok().object == git


def test_who_may_write(here: Scene, mounted: Git) -> None:
    """The owner of the branch's root, in branches that are exported so."""
    first = mounted("rev-parse", "HEAD").strip().encode()
    mounted("branch", "shut")
    with WireClient(here.gateway.port, uid=1000, gid=1000) as client:
        git = client.find(client.mount("/main"), b".git")
        assert client.create(git, b"x", None, createmode3.GUARDED).status == nfsstat3.ACCES
        heads = client.find(git, b"refs", b"heads")
        assert client.create(heads, b"x.lock", None, createmode3.GUARDED).status == nfsstat3.ACCES
    with WireClient(here.gateway.port) as client:
        git = client.find(client.mount("/main"), b".git")
        heads = client.find(git, b"refs", b"heads")
        for name, status in ((b"open-1", nfsstat3.OK), (b"hidden", nfsstat3.PERM)):
            client.make(heads, name + b".lock", first + b"\n")
            assert client.rename(heads, name + b".lock", heads, name).status == status
        client.remove(heads, b"hidden.lock").ok()
        shut = client.find(client.mount("/shut"), b".git")
        assert client.create(shut, b"x", None, createmode3.GUARDED).status == nfsstat3.ROFS
        client.make(heads, b"shut.lock", prepared(mounted) + b"\n")
        assert client.rename(heads, b"shut.lock", heads, b"shut").status == nfsstat3.PERM
    names = here.gateway.fsgw("branch", "list")
    assert "open-1" in names
    assert "hidden" not in names
    assert mounted("rev-parse", "shut").strip().encode() == first
