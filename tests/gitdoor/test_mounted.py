"""`.git` in a mounted branch, used by stock git, and compared with what plain git says."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import threading
import zlib
from pathlib import Path

import pytest

from nfs.nfs3_types import nfsstat3
from tests.fuse.wire import WireClient
from tests.gitdoor.mounted import Scene
from tests.gitdoor.repositories import Git


def same(one: Git, other: Git, *words: str) -> None:
    assert one(*words) == other(*words)


def test_a_mount_is_a_working_directory_of_its_history(imported: Scene, original: Git) -> None:
    mounted = imported.mount()
    same(mounted, original, "log", "--all", "--format=%H %an %ae %at %cn %ce %ct %B")
    same(mounted, original, "log", "-p", "--stat", "-M", "main", "--")
    same(mounted, original, "show", "--pretty=raw", "v1.0", "main", "by-hand", "--")
    same(mounted, original, "diff", "light", "main", "--")
    same(mounted, original, "blame", "src/moved.c")
    same(mounted, original, "blame", "readme")
    same(mounted, original, "cat-file", "-p", "nested")
    same(mounted, original, "branch", "--format=%(refname) %(objectname)")
    assert mounted.refs() == original.refs()
    assert mounted("symbolic-ref", "HEAD") == "refs/heads/main\n"
    assert mounted("status", "--porcelain") == ""
    same(mounted, original, "ls-files", "-s")
    mounted.fsck()


def test_a_mount_can_be_cloned(imported: Scene, original: Git, tmp_path: Path) -> None:
    mounted = imported.mount()
    for number, words in enumerate((["--mirror"], ["--mirror", "--no-local"])):
        target = tmp_path / f"clone{number}"
        original("clone", "-q", *words, mounted.path, target)
        clone = Git(target)
        clone.fsck()
        assert clone.refs() == original.refs()
        assert clone.objects() == original.objects()


def test_changes_are_seen_and_history_grows_at_once(here: Scene) -> None:
    mounted = here.mount()
    assert "No commits yet" in mounted("status")
    mounted.write("a/file", "one\n" * 10)
    mounted.write("other", "same size")
    here.snapshot("first", "the first\n\nof all")
    assert mounted("status", "--porcelain") == ""
    assert mounted("log", "--format=%B") == "the first\n\nof all\n\n"
    mounted.write("other", "SAME SIZE")
    mounted.write("a/new", "new")
    assert mounted("status", "--porcelain") == " M other\n?? a/new\n"
    assert "+SAME SIZE" in mounted("diff")
    here.snapshot("second")
    assert mounted("status", "--porcelain") == ""
    assert mounted("diff", "--stat", "first", "second").endswith(
        " 2 files changed, 2 insertions(+), 1 deletion(-)\n"
    )
    here.gateway.fsgw("rollback", "main", "main@first")
    assert mounted("status", "--porcelain") == ""
    assert mounted("log", "--format=%s") == "the first\n"
    assert (mounted.path / "other").read_text() == "same size"
    here.gateway.fsgw("branch", "fork", "main@first", "fork")
    here.gateway.fsgw("snapshot", "delete", "main@second")
    assert mounted("branch", "--format=%(refname)") == "refs/heads/fork\nrefs/heads/main\n"
    assert mounted("tag").splitlines()[0] == "first"
    mounted.fsck()


def test_a_clean_tree_is_not_read(here: Scene, tmp_path: Path) -> None:
    """Once the second of the snapshot is over, `git status` opens no file of the tree."""
    mounted = here.mount()
    for number in range(50):
        mounted.write(f"{number % 5}/{number}", str(number))
    here.snapshot("all")
    opened = []
    for _ in range(50):
        trace = tmp_path / "trace"
        words = ["strace", "-f", "-e", "trace=open,openat", "-o", str(trace)]
        done = subprocess.run(
            [*words, "git", "-C", mounted.path, "status", "--porcelain"],
            capture_output=True,
            check=True,
        )
        assert done.stdout == b""
        tree = [f'"{n % 5}/{n}"' for n in range(50)]
        opened = [line for line in trace.read_text().splitlines() if any(t in line for t in tree)]
        if not opened:
            break
    assert opened == []


def test_a_change_in_the_second_of_the_snapshot_is_seen(here: Scene) -> None:
    mounted = here.mount()
    path = mounted.write("file", "one")
    for number in range(5):
        here.snapshot(f"s{number}")
        text = f"{number:03d}"
        path.write_text(text)
        os.utime(path, ns=(0, 0))
        assert mounted("status", "--porcelain") == " M file\n"
        assert f"+{text}" in mounted("diff")


def test_it_cannot_be_written_to(imported: Scene) -> None:
    mounted = imported.mount()
    mounted.write("new", "new")
    assert "index.lock': Read-only file system" in mounted("add", "new", code=128)
    assert "Read-only file system" in mounted("commit", "-q", "-a", "-m", "x", code=128)
    assert "two.lock': Read-only file system" in mounted("branch", "-f", "two", "main", code=128)
    assert mounted("status", "--porcelain") == "?? new\n"
    for words in (["touch", ".git/x"], ["rm", "-f", ".git/HEAD"], ["mkdir", ".git/hooks"]):
        done = subprocess.run(words, cwd=mounted.path, capture_output=True, check=False)
        assert b"Read-only file system" in done.stderr, words
    for words in (["rmdir", ".git"], ["mv", ".git", "x"], ["mv", "readme", ".git"]):
        done = subprocess.run(words, cwd=mounted.path, capture_output=True, check=False)
        assert done.returncode, words


def test_how_it_shows(here: Scene) -> None:
    assert ".git" not in os.listdir(here.mount().path)
    listed = here.mount("main", "git=listed").path
    assert ".git" in os.listdir(listed)
    assert (listed / ".git" / "HEAD").read_text() == "ref: refs/heads/main\n"
    off = here.mount("main", "git=off").path
    assert not (off / ".git").exists()
    (off / ".git").mkdir()
    assert (listed / ".git" / "HEAD").read_text() == "ref: refs/heads/main\n"
    names = sorted(os.listdir(listed / ".git" / "objects"))
    assert names == sorted(["info", "pack", *(f"{n:02x}" for n in range(256))])


def test_nfs_shows_the_same(imported: Scene, original: Git) -> None:
    fetched = imported.fetched()
    fetched.fsck()
    assert fetched.refs() == original.refs()
    same(fetched, original, "log", "--all", "--format=%H %B")
    same(fetched, original, "ls-files", "-s")


def test_a_long_file_is_an_object_like_any_other(here: Scene) -> None:
    mounted = here.mount()
    data = random.Random(1).randbytes(20_000_001)
    mounted.write("long", data)
    mounted.write("zeros", bytes(70_000))
    here.snapshot("long")
    mounted.fsck()
    assert mounted.run("cat-file", "-p", "HEAD:long").stdout == data
    assert mounted.run("cat-file", "-p", "HEAD:zeros").stdout == bytes(70_000)
    here.fetched().fsck()


@pytest.mark.slow
def test_history_grows_while_it_is_read(here: Scene) -> None:
    """Snapshots are taken while others read; what each sees is whole."""
    mounted = here.mount()
    mounted.write("file", "0")
    here.snapshot("s0")
    ended = threading.Event()

    def write() -> None:
        for number in range(1, 10):
            mounted.write("file", str(number))
            here.snapshot(f"s{number}", f"number {number}")
        ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = 0
    while not ended.is_set():
        lines = mounted("log", "-p", "--format=%H").count("+++ b/file")
        assert lines >= seen
        seen = lines
    writer.join()
    mounted.fsck()
    assert mounted("log", "--format=%h").count("\n") == 10
    assert len(os.listdir(mounted.path / ".git" / "objects" / "pack")) <= 2 * 4


def test_a_directory_has_a_history_of_its_own(imported: Scene, original: Git) -> None:
    mounted = imported.mount("main/src")
    split = original("subtree", "split", "-q", "-P", "src", "main").strip()
    assert mounted("rev-parse", "HEAD").strip() == split
    same_log = original("log", "--format=%H %s", split)
    assert mounted("log", "--format=%H %s") == same_log
    assert mounted("status", "--porcelain") == ""
    mounted.write("deep/more", "more")
    assert mounted("status", "--porcelain") == "?? deep/more\n"
    imported.snapshot("later", "more in src")
    assert mounted("status", "--porcelain") == ""
    assert mounted("log", "--format=%H %s").splitlines()[1:] == same_log.splitlines()
    mounted.fsck()
    fetched = imported.fetched("/main/src")
    fetched.fsck()
    assert fetched("rev-parse", "HEAD") == mounted("rev-parse", "HEAD")


@pytest.mark.slow
def test_handles_outlive_snapshots_and_restarts(here: Scene) -> None:
    """A file that git would have replaced is stale when it is opened, but can be read on."""
    here.mount().write("file", "one")
    here.snapshot("first")
    with WireClient(here.gateway.port) as client:
        git = client.find(client.mount("/main"), b".git")
        head, refs = client.find(git, b"HEAD"), client.find(git, b"packed-refs")
        before = client.read(refs).ok().data
        here.snapshot("second")
        assert client.find(git, b"HEAD") == head
        assert client.find(git, b"packed-refs") != refs
        assert client.getattr(refs).status == nfsstat3.STALE
        assert client.read(refs).ok().data == before
        new = client.read(client.find(git, b"packed-refs")).ok().data
        assert b"refs/tags/second" in new
        oid = new.splitlines()[1][:40]
        names = b"objects", oid[:2], oid[2:]
        loose = client.find(git, *names)
        data = client.read(loose).ok().data
        assert hashlib.sha1(zlib.decompress(data)).hexdigest().encode() == oid
    for mount in list(here.mounts.gateway.fsgw("mounts").splitlines()[1:]):
        here.gateway.fsgw("umount", mount.split()[1])
    here.gateway.stop()
    here.gateway.start()
    with WireClient(here.gateway.port) as client:
        assert client.read(loose).ok().data == data
        assert client.read(head).ok().data == b"ref: refs/heads/main\n"
        assert client.getattr(git).ok().obj_attributes.type == 2
        assert client.find(git, *names) == loose


def test_a_client_sees_the_branches_that_it_may_see(here: Scene, tmp_path: Path) -> None:
    for name in ("main", "secret"):
        if name != "main":
            here.gateway.fsgw("branch", "create", name)
        here.mount(name).write("file", name)
        here.snapshot("snap", branch=name)
    every = {"refs/heads/main", "refs/heads/secret", "refs/tags/snap", "refs/tags/secret/snap"}
    assert here.mount().refs().keys() == every
    rules = '[[export]]\nbranches = ["main"]\nclients = ["127.0.0.0/8"]\n'
    here.gateway.write_exports(rules)
    here.gateway.fsgw("export", "reload")
    fetched = here.fetched()
    fetched.fsck()
    assert fetched.refs().keys() == {"refs/heads/main", "refs/tags/snap"}
    assert fetched("fsck", "--lost-found").strip() == ""
    found = fetched("cat-file", "--batch-all-objects", "--batch-check=%(objecttype)")
    assert sorted(found.split()) == ["blob", "commit", "tree"]
