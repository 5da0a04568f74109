"""git writing into `.git` of a mounted branch: commits are snapshots, branches are forks."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.gitdoor.mounted import WRITE, Scene
from tests.gitdoor.repositories import Git


def snapshots(here: Scene, branch: str = "main") -> list[dict[str, str]]:
    text = here.gateway.fsgw("snapshot", "list", branch, "--json")
    return [json.loads(line) for line in text.splitlines()]


def branches(here: Scene) -> list[str]:
    text = here.gateway.fsgw("branch", "list", "--json")
    return [json.loads(line)["name"] for line in text.splitlines()]


def said(git: Git) -> list[str]:
    """What git says of a repository and its working directory."""
    heads = git("for-each-ref", "--format=%(refname) %(objectname)", "refs/heads", "refs/tags")
    return [
        *heads.splitlines(),
        git("log", "--all", "--graph", "--format=%H %an %at %cn %ct %B"),
        git("status", "--porcelain", "--branch"),
        git("ls-files", "-s"),
        git("diff"),
        git("symbolic-ref", "-q", "HEAD"),
        git("stash", "list"),
    ]


# --- commits --------------------------------------------------------------------------------------


def test_a_commit_is_a_snapshot(here: Scene) -> None:
    mounted = here.mount("main", WRITE)
    path = mounted.write("a/file", "one\n")
    path.chmod(0o640)
    os.setxattr(path, "user.colour", b"green")
    os.chown(path, 1234, 5678)
    os.mkfifo(mounted.path / "a" / "fifo")
    first = mounted.commit("the first\n\nin detail")
    (taken,) = snapshots(here)
    assert taken["author"] == "Ann Author <ann@example.org>"
    assert taken["message"] == "the first\n\nin detail\n"
    kept = mounted.path / ".snapshots" / taken["name"] / "a" / "file"
    assert kept.read_bytes() == b"one\n"
    found, live = kept.stat(), path.stat()
    assert (found.st_mode, found.st_uid, found.st_mtime_ns) == (
        live.st_mode, live.st_uid, live.st_mtime_ns
    )  # fmt: skip
    here.gateway.fsgw("rollback", "main", f"main@{taken['name']}")
    assert path.stat().st_ino == live.st_ino
    assert os.getxattr(path, "user.colour") == b"green"
    assert (mounted.path / "a" / "fifo").is_fifo()
    assert mounted("rev-parse", "HEAD").strip() == first
    assert mounted("status", "--porcelain") == ""
    path.write_bytes(b"two\n")
    mounted.commit("the second")
    assert "the second\n" in [one["message"] for one in snapshots(here)]
    assert mounted("log", "--format=%s") == "the second\nthe first\n"
    mounted.fsck()


def test_what_was_not_committed_stays_as_it_is(here: Scene) -> None:
    mounted = here.mount("main", WRITE)
    both, only, gone = (mounted.write(name, "old\n") for name in ("both", "only", "gone"))
    mounted.write("d/old", "old\n")
    mounted.commit("first")
    both.write_bytes(b"staged\n")
    mounted.write("new", "new\n")
    mounted("add", "both", "new")
    both.write_bytes(b"and changed again\n")
    only.write_bytes(b"changed\n")
    gone.unlink()
    mounted.write("untracked/x", "untracked\n")
    (mounted.path / "d" / "old").rename(mounted.path / "d" / "moved")
    numbers = {p: p.stat() for p in mounted.path.rglob("*")}
    mounted("commit", "-q", "-m", "some")
    assert {p: p.stat() for p in mounted.path.rglob("*")} == numbers
    assert mounted("status", "--porcelain").splitlines() == [
        *(" M both", " D d/old", " D gone", " M only", "?? d/moved", "?? untracked/"),
    ]
    assert mounted("show", "--format=", "--name-status") == "M\tboth\nA\tnew\n"
    name = snapshots(here)[-1]["name"]
    kept = mounted.path / ".snapshots" / name
    found = {str(p.relative_to(kept)): p.read_text() for p in kept.rglob("*") if p.is_file()}
    assert found == {
        "both": "staged\n", "d/old": "old\n", "gone": "old\n", "new": "new\n", "only": "old\n"
    }  # fmt: skip
    differ = here.gateway.fsgw("diff", f"main@{name}", "main")
    assert all(word in differ for word in ("both", "only", "gone", "untracked", "moved"))
    mounted("checkout", "-q", "--", ".")
    mounted("clean", "-q", "-f", "-d")
    assert mounted("status", "--porcelain") == ""
    assert both.read_bytes() == b"staged\n"
    mounted.fsck()


def day_of_work(git: Git) -> None:
    """What a developer does, one after the other."""
    git.write("readme", "changed\n")
    git.commit("a change")
    git("checkout", "-q", "-b", "topic/one")
    git.write("topic", "one\n" * 10)
    (git.path / "run.sh").chmod(0o755)
    git.commit("on a topic")
    git.write("topic", "two\n" + "one\n" * 10)
    git("add", "topic")
    git("commit", "-q", "--amend", "-m", "on a topic, amended")
    git("checkout", "-q", "main")
    git.write("src/moved.c", "int other;\n" * 50)
    git.commit("on main", "--author", "Zo\u00eb <z@example.org>")
    git.merge("topic/one")
    git("tag", "v3")
    git("tag", "-a", "-m", "told", "v4")
    git("branch", "rebased", "HEAD~1")
    git("switch", "-q", "rebased")
    git.write("rebased", "x")
    git.commit("to be rebased")
    git("rebase", "-q", "topic/one")
    git("switch", "-q", "--detach", "main")
    git.write("detached", "y")
    git.commit("with no branch")
    git("branch", "found")
    git("switch", "-q", "main")
    git("merge", "-q", "--ff-only", "found")
    git.write("stashed", "z")
    git("add", "stashed")
    git("stash", "-q")
    git("cherry-pick", "--allow-empty", "-x", "rebased", "--keep-redundant-commits")
    git("stash", "pop", "-q")
    git("commit", "-q", "-m", "what was stashed")
    git("reset", "-q", "--soft", "HEAD~1")
    git("reset", "-q", "HEAD", "stashed")
    git("commit", "-q", "--allow-empty", "-m", "nothing")
    git("revert", "--no-edit", "HEAD~1")
    git("rm", "-q", "readme")
    git("mv", "src", "source")
    git("commit", "-q", "-m", "gone and moved")
    git("branch", "-m", "found", "named")
    git("branch", "-D", "named")
    git("tag", "-d", "v3")
    git("reset", "-q", "--hard", "v4")
    git.write("last", "one\n")
    git.commit("after a reset")


def test_git_does_what_it_does_anywhere(imported: Scene, original: Git, tmp_path: Path) -> None:
    plain = Git(tmp_path / "plain", minutes=500)
    original("clone", "-q", original.path, plain.path)
    for name in original("branch", "--format=%(refname:short)").split():
        plain.run("branch", "-q", name, f"origin/{name}")
    plain("remote", "remove", "origin")
    mounted = imported.mount("main", WRITE)
    for git in (plain, mounted):
        git._minutes = 500
        day_of_work(git)
    assert said(mounted) == said(plain)
    reflog = [git("reflog", "--format=%H %gs").splitlines() for git in (mounted, plain)]
    assert reflog[0] == reflog[1][:-1]  # that it was cloned
    assert mounted("rev-parse", "HEAD@{5}") == plain("rev-parse", "HEAD@{5}")
    mounted.fsck()
    assert set(branches(imported)) >= {"main", "topic-one", "rebased"}
    exported = Git(tmp_path / "exported")
    imported.gateway.fsgw("export", "--git", exported.path)
    assert exported("rev-parse", "main") == plain("rev-parse", "main")
    exported.fsck()


@pytest.mark.slow
def test_objects_that_git_fetched_and_long_ones(here: Scene, tmp_path: Path) -> None:
    other = Git(tmp_path / "other").init()
    data = os.urandom(3 << 20)
    other.write("long", data)
    for number in range(120):
        other.write(f"{number % 7}/{number}", str(number))
    other.commit("many")
    other.write("link", "x")
    other.commit("more")
    mounted = here.mount("main", WRITE)
    mounted.write("mine", "mine")
    mounted.commit("mine")
    mounted("remote", "add", "other", other.path)
    mounted("-c", "fetch.unpackLimit=1", "fetch", "-q", "other")
    assert list((mounted.path / ".git" / "objects" / "pack").glob("*.pack"))
    mounted("merge", "-q", "--allow-unrelated-histories", "-m", "both", "other/main")
    assert (mounted.path / "long").read_bytes() == data
    mounted.write("long", data[::-1])
    mounted.commit("turned")
    assert mounted("rev-parse", "HEAD^^2") == other("rev-parse", "main")
    name = snapshots(here)[-1]["name"]
    assert here.gateway.cat(f"main@{name}/long") == data[::-1]
    assert mounted("status", "--porcelain") == ""
    mounted.fsck()


# --- branches and tags ----------------------------------------------------------------------------


def test_a_new_branch_is_a_fork(here: Scene) -> None:
    mounted = here.mount("main", WRITE)
    mounted.write("file", "one")
    mounted.commit("first")
    mounted("branch", "fork")
    mounted("checkout", "-q", "-b", "team/topic")
    assert branches(here) == ["fork", "main", "team-topic"]
    there = here.mount("team-topic", WRITE)
    assert (there.path / "file").read_text() == "one"
    mounted.write("file", "two")
    oid = mounted.commit("second")
    assert (there.path / "file").read_text() == "two"
    assert there("rev-parse", "HEAD").strip() == oid
    assert there("status", "--porcelain", "--branch") == "## team/topic\n"
    assert mounted("rev-parse", "main") != oid
    mounted("checkout", "-q", "main")
    assert (mounted.path / "file").read_text() == "one"
    assert mounted("status", "--porcelain", "--branch") == "## main\n"
    there.write("file", "changed there, in no snapshot")
    mounted("checkout", "-q", "team/topic")
    mounted.write("file", "three")
    mounted("add", "file")
    before = mounted.refs()
    told = mounted("commit", "-q", "-m", "in the way", code=128)
    assert "Operation not permitted" in told or "couldn't set" in told
    assert mounted.refs() == before
    assert (there.path / "file").read_text() == "changed there, in no snapshot"
    (kept,) = [s["name"] for s in snapshots(here, "team-topic") if s["message"] == "second\n"]
    here.gateway.fsgw("rollback", "team-topic", f"team-topic@{kept}")
    mounted("commit", "-q", "-m", "no longer")
    assert (there.path / "file").read_text() == "three"


def test_what_is_deleted_is_somewhere_else(here: Scene) -> None:
    mounted = here.mount("main", WRITE)
    mounted.write("file", "one")
    mounted.commit("first")
    mounted("branch", "same")
    mounted("branch", "-d", "same")
    mounted("checkout", "-q", "-b", "ahead")
    mounted.commit("only there")
    mounted("checkout", "-q", "main")
    before = mounted.refs()
    for words in (["-D", "ahead"], ["-D", "dirty"], ["-D", "used"], ["-m", "main", "renamed"]):
        if words[1] == "dirty":
            mounted("branch", "dirty")
            here.mount("dirty").write("file", "changed")
        if words[1] == "used":
            mounted("branch", "used")
            here.mount("used", WRITE)
        before = mounted.refs()
        told = mounted("branch", *words, code=1 if words[0] == "-D" else 128)
        assert "Operation not permitted" in told
        assert mounted.refs() == before
    mounted("merge", "-q", "ahead")
    here.snapshot("named", branch="ahead")
    mounted("branch", "-f", "same", "ahead")
    for words in (["branch", "-D", "ahead"], ["tag", "-d", "ahead/named"]):
        assert "Operation not permitted" in mounted(*words, code=1)
    here.gateway.fsgw("snapshot", "delete", "ahead@named")
    mounted("branch", "-D", "ahead")
    mounted("tag", "-a", "-m", "x", "last")
    mounted("tag", "-d", "last")
    assert branches(here) == ["dirty", "main", "same", "used"]


def test_refs_are_not_packed(here: Scene) -> None:
    mounted = here.mount("main", WRITE)
    mounted.commit("first")
    mounted("update-ref", "refs/remotes/origin/main", "HEAD")
    before = mounted.refs()
    assert "Operation not permitted" in mounted("pack-refs", "--all", code=128)
    assert mounted.refs() == before
    mounted("update-ref", "-d", "refs/remotes/origin/main")
    mounted("pack-refs", "--all")
    assert mounted.refs() == before


# --- the index, and what others do meanwhile ------------------------------------------------------


def test_a_snapshot_of_somebody_else_resets_the_index(here: Scene) -> None:
    mounted = here.mount("main", WRITE)
    mounted.write("file", "one")
    mounted.commit("first")
    mounted.write("file", "two")
    mounted.write("new", "new")
    mounted("add", "file", "new")
    assert mounted("status", "--porcelain") == "M  file\nA  new\n"
    here.snapshot("other")
    assert mounted("status", "--porcelain") == ""
    assert mounted("ls-files") == "file\nnew\n"
    mounted.write("file", "three")
    assert mounted("status", "--porcelain") == " M file\n"
    here.gateway.fsgw("rollback", "main", "main@other")
    assert mounted("status", "--porcelain") == ""
    mounted.write("file", "four")
    mounted("commit", "-q", "-a", "-m", "after that")
    assert mounted("log", "--format=%s").splitlines()[0] == "after that"
    assert mounted("status", "--porcelain") == ""


def test_what_was_begun_before_somebody_elses_snapshot_is_refused(here: Scene) -> None:
    mounted = here.mount("main", WRITE)
    first = mounted.commit("first")
    mounted.write("file", "two")
    mounted("add", "file")
    tree = mounted("write-tree").strip()
    oid = mounted("commit-tree", "-p", first, "-m", "late", tree).strip()
    lock = mounted.path / ".git" / "refs" / "heads" / "main.lock"
    lock.write_text(oid + "\n")
    here.snapshot("between")
    before = mounted.refs()
    with pytest.raises(PermissionError):
        lock.rename(lock.with_suffix(""))
    assert mounted.refs() == before
    lock.unlink()
    lock.write_text(oid + "\n")
    lock.rename(lock.with_suffix(""))
    assert mounted("rev-parse", "main").strip() == oid
    assert not lock.exists()


@pytest.mark.slow
def test_staged_work_and_commits_outlive_the_gateway(here: Scene, tmp_path: Path) -> None:
    mounted = here.mount("main", WRITE)
    mounted.write("file", "one")
    first = mounted.commit("first")
    mounted.write("file", "two")
    mounted("add", "file")
    mounted("config", "user.name", "kept")
    mounted("stash", "-q")
    mounted.write("file", "three")
    mounted("add", "file")
    oid = mounted.commit("durable when it returns")
    here.gateway.kill()
    here.gateway.start()
    again = here.mount("main", WRITE)
    assert again("rev-parse", "HEAD").strip() == oid
    assert again("rev-parse", "HEAD~1").strip() == first
    assert again("config", "user.name") == "kept\n"
    assert again("stash", "list").startswith("stash@{0}: WIP on main")
    again.fsck()


def test_two_mounts_are_one_working_directory(here: Scene) -> None:
    one, two = here.mount("main", WRITE), here.mount("main", WRITE)
    one.write("file", "one")
    one("add", "file")
    assert two("status", "--porcelain") == "A  file\n"
    oid = two.commit("by the other")
    assert one("rev-parse", "HEAD").strip() == oid
    assert one("status", "--porcelain") == ""
    two("checkout", "-q", "-b", "topic")
    assert one("branch", "--show-current") == "topic\n"
    plain = here.mount("main")
    assert plain("branch", "--show-current") == "main\n"
    lock = one.path / ".git" / "index.lock"
    lock.touch(exist_ok=False)
    assert "File exists" in two("add", "file", code=128)
    lock.unlink()
    two("add", "file")
    with (one.path / ".git" / "info" / "exclude").open("a") as file:
        file.write("*.o\n")
    two.write("x.o", "")
    assert two("status", "--porcelain") == ""
