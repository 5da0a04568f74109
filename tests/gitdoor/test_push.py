"""Pushes over HTTP, by stock git and by hand: branches move under their users, or nothing does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.fsgw.served import Served
from tests.gitdoor.repositories import Git, cloned

Gateway = tuple[Served, str]


def rows(served: Served, path: str) -> list[dict[str, Any]]:
    status, found = served.ask("GET", path)
    assert status == 200
    return found if isinstance(found, list) else [found]


def listed(served: Served, ref: str) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in rows(served, f"/v1/ls?ref={ref}")}


@pytest.fixture
def clone(gateway: Gateway, tmp_path: Path) -> Git:
    return cloned(f"{gateway[1]}/main.git", tmp_path / "clone")


def test_a_push_becomes_a_snapshot(gateway: Gateway, clone: Git, tmp_path: Path) -> None:
    served, url = gateway
    before = listed(served, "main")
    taken = len(rows(served, "/v1/branches/main/snapshots"))
    clone.write("readme", "pushed\n")
    clone.write("new/deep/file", "new\n")
    (clone.path / "run.sh").chmod(0o755)
    (clone.path / "last").unlink()
    tip = clone.commit("pushed\n\nin one go")
    clone("push", "-q")
    now = listed(served, "main")
    assert now.keys() == before.keys() - {"last"} | {"new"}
    assert now["readme"]["ino"] == before["readme"]["ino"]
    assert now["one"] == before["one"]
    assert now["readme"]["size"] == 7
    assert now["run.sh"]["mode"] == "0755"
    snapshots = rows(served, "/v1/branches/main/snapshots")
    assert len(snapshots) == taken + 1
    assert snapshots[-1]["message"] == "pushed\n\nin one go\n"
    again = cloned(f"{url}/main.git", tmp_path / "again")
    assert again("rev-parse", "HEAD").strip() == tip
    assert again.objects() == clone.objects()


def test_many_commits_merges_and_tags(gateway: Gateway, clone: Git, tmp_path: Path) -> None:
    _, url = gateway
    clone("checkout", "-q", "-b", "topic")
    for number in range(5):
        clone.write(f"topic{number}", f"{number}\n")
        clone.commit(f"topic {number}")
    clone("checkout", "-q", "main")
    clone.write("both", "x")
    clone.commit("on main")
    clone.merge("topic")
    clone("tag", "-a", "-m", "said", "v2")
    clone("tag", "plain", "topic")
    clone("push", "-q", "--atomic", "origin", "main", "topic", "v2", "plain")
    mirror = cloned(f"{url}/all.git", tmp_path / "mirror", "--mirror")
    for name in ("main", "topic", "v2", "plain"):
        assert mirror("rev-parse", name) == clone("rev-parse", name)
    assert "topic" in {row["name"] for row in rows(gateway[0], "/v1/branches")}
    clone("push", "-q", "origin", "main")  # nothing new


def test_what_does_not_follow_is_refused(gateway: Gateway, clone: Git, tmp_path: Path) -> None:
    other = cloned(f"{gateway[1]}/main.git", tmp_path / "other")
    other.write("theirs", "1")
    other.commit("theirs")
    other("push", "-q")
    clone.write("mine", "1")
    clone.commit("mine")
    assert "fetch first" in clone("push", code=1)
    assert "non-fast-forward" in clone("push", "--force", code=1)
    assert "mine" not in listed(gateway[0], "main")
    assert "deletion prohibited" in clone("push", "origin", ":main", code=1)
    said = clone("push", "--atomic", "origin", "+main", "main:fresh", code=1)
    assert "atomic" in said
    assert "fresh" not in {row["name"] for row in rows(gateway[0], "/v1/branches")}
    clone("pull", "-q", "--no-rebase", "--no-edit")
    clone("push", "-q")
    assert {"mine", "theirs"} <= listed(gateway[0], "main").keys()


def test_changes_in_no_snapshot_are_not_lost(gateway: Gateway, clone: Git, tmp_path: Path) -> None:
    """A push changes what it has to; where that was changed by others, it is refused."""
    served, _ = gateway
    changed = tmp_path / "changed"
    changed.mkdir()
    (changed / "live").write_text("live\n")
    body = {"source": str(changed), "delete": False}
    assert served.ask("POST", "/v1/branches/main/import", body)[0] == 200
    clone.write("readme", "pushed\n")
    clone.write("src/more", "more\n")
    (clone.path / "two").unlink()
    clone.commit("beside it")
    clone("push", "-q")
    now = listed(served, "main")
    assert {"live", "readme", "one"} <= now.keys()
    assert "two" not in now
    assert "more" in listed(served, "main/src")
    (changed / "readme").write_text("changed in the live tree\n")
    assert served.ask("POST", "/v1/branches/main/import", body)[0] == 200
    clone.write("readme", "pushed again\n")
    clone.commit("in the way")
    said = clone("push", code=1)
    assert "changes that are in no snapshot would be overwritten: readme" in said
    assert listed(served, "main")["readme"]["size"] == 25
    assert served.ask("GET", "/v1/check")[1][0]["result"] == {"problems": []}


def test_an_atomic_push_waits_for_none_of_its_refs(
    gateway: Gateway, clone: Git, tmp_path: Path
) -> None:
    """What is in the way of one branch, in its live tree say, keeps the others as they are."""
    served, _ = gateway
    changed = tmp_path / "changed"
    changed.mkdir()
    (changed / "readme").write_text("changed in the live tree\n")
    body = {"source": str(changed), "delete": False}
    assert served.ask("POST", "/v1/branches/main/import", body)[0] == 200
    clone.write("readme", "pushed\n")
    clone.commit("in the way")
    names = "HEAD:refs/heads/fresh", "HEAD:refs/tags/fresh", "HEAD:main"
    before = clone("ls-remote", "origin")
    said = clone("push", "--atomic", "origin", *names, code=1)
    assert "would be overwritten: readme" in said
    assert said.count("(atomic transaction failed)") == 2
    assert clone("ls-remote", "origin") == before
    assert "fresh" not in {row["name"] for row in rows(served, "/v1/branches")}
    assert "would be overwritten: readme" in clone("push", "origin", *names, code=1)
    assert "fresh" in {row["name"] for row in rows(served, "/v1/branches")}


def test_what_git_looks_into_need_not_be_sent_again(
    gateway: Gateway, clone: Git, tmp_path: Path
) -> None:
    """`.gitattributes` of every directory that changes: git checks them with every pack."""
    for path in (".gitattributes", "src/.gitattributes", "src/deep/.gitattributes"):
        clone.write(path, "*.c text\n")
    clone.write(".gitmodules", '[submodule "x"]\n\tpath = x\n\turl = https://example.org/x\n')
    clone.commit("attributes")
    clone("push", "-q")
    clone.write("src/deep/er/file", "changed")
    clone.commit("beside them")
    clone("push", "-q")
    other = cloned(f"{gateway[1]}/main.git", tmp_path / "other")
    other.write("src/more", "more")
    (other.path / "readme").rename(other.path / "src" / "readme")
    tip = other.commit("by another")
    other("push", "-q", "origin", "HEAD:main", "HEAD:refs/heads/second")
    again = cloned(f"{gateway[1]}/main.git", tmp_path / "again")
    assert again("rev-parse", "HEAD").strip() == tip
    assert again.objects() == other.objects()


def test_snapshots_that_cannot_be_tags_beside_others_are_none(
    gateway: Gateway, clone: Git, tmp_path: Path
) -> None:
    """A clone has `v9/x` in a directory `v9`: it could not have the tag `v9` as well."""
    served, url = gateway
    clone("tag", "v9/x")
    clone("tag", "two")
    clone("push", "-q", "origin", "v9/x", "two")
    for branch, name in (("main", "v9"), ("two", "snap"), ("main", "fine")):
        body = {"branches": [branch], "name": name, "message": name}
        assert served.ask("POST", "/v1/snapshots", body)[0] == 200
    one = cloned(f"{url}/main.git", tmp_path / "one")
    assert set(one("tag").split()) == {"v9/x", "two", "fine", "light", "nested", "v1.0"}
    every = cloned(f"{url}/all.git", tmp_path / "every", "--mirror")
    tags = {"v9/x", "two", "main/v9", "main/fine", "light", "nested", "v1.0"}
    assert set(every("tag").split()) == tags
    assert cloned(f"{url}/two.git", tmp_path / "second")("tag") == "snap\n"


def test_pushes_to_a_gateway_that_says_no(gateway: Gateway, clone: Git) -> None:
    served, url = gateway
    clone.write("x", "x")
    clone.commit()
    assert "403" in clone("push", f"{url}/main/src.git", "HEAD:x", code=128)
    served.ask("PATCH", "/v1/exports/default", {"values": {"access": "ro"}})
    assert "403" in clone("push", code=128)


@pytest.mark.parametrize("push", ["forced"])
def test_forced_pushes(gateway: Gateway, clone: Git, tmp_path: Path) -> None:
    served, url = gateway
    old = clone("rev-parse", "HEAD").strip()
    clone("reset", "-q", "--hard", "HEAD~2")
    clone.write("instead", "x")
    tip = clone.commit("instead")
    assert "non-fast-forward" in clone("push", code=1)  # git itself does not even ask
    clone("push", "-q", "--force")
    assert "instead" in listed(served, "main")
    assert "last" not in listed(served, "main")
    kept = [
        row for row in rows(served, "/v1/branches/main/snapshots") if row["message"] == "last\n"
    ]
    assert kept  # what was replaced is a snapshot still
    clone("tag", "-f", "light")
    clone("push", "-q", "--force", "origin", "light")
    mirror = cloned(f"{url}/main.git", tmp_path / "mirror", "--mirror")
    assert mirror("rev-parse", "light", "main").split() == [tip, tip]
    assert old not in mirror("rev-list", "--all")
    clone("push", "-q", "origin", ":light")
    assert "light" not in {row["name"] for row in rows(served, "/v1/branches/main/snapshots")}
    clone("push", "-q", "origin", "HEAD:refs/heads/short-lived")
    (tmp_path / "changed").mkdir()
    (tmp_path / "changed" / "new").write_text("in no snapshot")
    body = {"source": str(tmp_path / "changed"), "delete": False}
    assert served.ask("POST", "/v1/branches/short-lived/import", body)[0] == 200
    said = clone("push", f"{url}/all.git", ":short-lived", code=1)
    assert "changes that are in no snapshot" in said
    assert served.ask("POST", "/v1/snapshots", {"branches": ["short-lived"]})[0] < 300
    tip = clone("ls-remote", f"{url}/all.git", "short-lived").split()[0]
    clone("push", "-q", f"{url}/all.git", ":short-lived")
    assert tip
    assert "short-lived" not in {row["name"] for row in rows(served, "/v1/branches")}


def test_what_is_pushed_to_an_empty_branch_belongs_to_its_owner(
    gateway: Gateway, clone: Git, tmp_path: Path
) -> None:
    served, url = gateway
    body = {"name": "empty", "uid": 1000, "gid": 100}
    assert served.ask("POST", "/v1/branches", body)[0] < 300
    clone("checkout", "-q", "--orphan", "new")
    clone.commit("a history of its own")
    clone("push", "-q", f"{url}/empty.git", "HEAD:refs/heads/empty")
    owners = {(row["uid"], row["gid"]) for row in listed(served, "empty").values()}
    assert owners == {(1000, 100)}


@pytest.mark.parametrize("push", ["off"])
def test_pushes_that_are_off(gateway: Gateway, clone: Git) -> None:
    clone.commit()
    assert "403" in clone("push", code=128)


@pytest.mark.slow
def test_a_large_file_and_many(gateway: Gateway, clone: Git, tmp_path: Path) -> None:
    clone.write("large", os.urandom(1 << 20) * 24)
    for number in range(2000):
        clone.write(f"many/{number % 40}/{number}", f"{number}\n")
    clone.commit("much")
    clone("-c", "pack.compression=1", "push", "-q")
    again = cloned(f"{gateway[1]}/main.git", tmp_path / "again")
    assert again.objects() == clone.objects()
