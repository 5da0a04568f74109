"""Clones and fetches over HTTP, by stock git: as from any other server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fsgw.served import Served
from tests.gitdoor.repositories import Git, cloned

Gateway = tuple[Served, str]


def heads(git: Git) -> dict[str, str]:
    return {name: oid for name, oid in git.refs().items() if name.startswith("refs/heads/")}


@pytest.mark.parametrize("version", [0, 1, 2])
def test_a_clone_of_all(gateway: Gateway, original: Git, tmp_path: Path, version: int) -> None:
    clone = cloned(f"{gateway[1]}/all.git", tmp_path / "clone", "--mirror", version=version)
    assert clone.refs() == original.refs()
    assert clone.objects() == original.objects()
    assert clone("symbolic-ref", "HEAD") == "refs/heads/main\n"
    assert clone("log", "--all", "--format=fuller") == original("log", "--all", "--format=fuller")


@pytest.mark.parametrize("version", [0, 2])
def test_a_clone_of_a_branch(gateway: Gateway, original: Git, tmp_path: Path, version: int) -> None:
    clone = cloned(f"{gateway[1]}/main.git", tmp_path / "clone", version=version)
    assert clone("rev-parse", "HEAD") == original("rev-parse", "main")
    assert clone("status", "--porcelain") == ""
    for words in (("log", "--stat", "-M"), ("blame", "readme"), ("log", "--graph", "--oneline")):
        assert clone(*words) == original(*words)


def test_what_comes_later_is_fetched(gateway: Gateway, tmp_path: Path) -> None:
    served, url = gateway
    clone = cloned(f"{url}/main.git", tmp_path / "clone")
    for version in (0, 2):
        body = {"branches": ["main"], "name": f"later{version}", "message": f"later {version}"}
        status, _ = served.ask("POST", "/v1/snapshots", body)
        assert status == 200
        clone("-c", f"protocol.version={version}", "pull", "-q")
        assert clone("log", "-1", "--format=%s") == f"later {version}\n"
        assert clone("describe", "--tags", "--exact-match").strip() == f"later{version}"
        clone.fsck()


@pytest.mark.parametrize("version", [0, 2])
def test_shallow(gateway: Gateway, original: Git, tmp_path: Path, version: int) -> None:
    url = f"{gateway[1]}/main.git"
    clone = cloned(url, tmp_path / "clone", "--depth", "1", version=version)
    assert len(clone("rev-list", "HEAD").split()) == 1
    clone("fetch", "-q", "--depth", "2")
    assert set(clone("rev-list", "HEAD").split()) == set(
        original("rev-list", "-1", "refs/heads/main").split()
        + original("rev-parse", "main^@").split()
    )
    clone("fetch", "-q", "--deepen", "1")
    assert "grafted" in clone("log", "--oneline", "--decorate")
    clone.fsck()
    clone("fetch", "-q", "--unshallow")
    assert clone("rev-list", "HEAD") == original("rev-list", "refs/heads/main")
    clone.fsck()
    since = cloned(url, tmp_path / "since", "--shallow-since", "1600000400", version=version)
    assert (
        0
        < len(since("rev-list", "HEAD").split())
        < len(original("rev-list", "refs/heads/main").split())
    )
    without = cloned(url, tmp_path / "without", "--shallow-exclude", "light", version=version)
    assert original("rev-parse", "light").strip() not in without("rev-list", "HEAD")


def test_partial(gateway: Gateway, original: Git, tmp_path: Path) -> None:
    url = f"{gateway[1]}/main.git"
    clone = cloned(url, tmp_path / "clone", "--filter=blob:none", "--no-checkout")
    missing = clone("rev-list", "--objects", "--missing=print", "HEAD").count("?")
    assert missing > 5
    assert clone("show", "HEAD~2:readme") == original("show", "main~2:readme")
    clone("checkout", "-q", "main")
    assert clone("status", "--porcelain") == ""
    small = cloned(url, tmp_path / "small", "--filter=blob:limit=1k", "--bare")
    listed = small("rev-list", "--objects", "--missing=print", "HEAD")
    assert listed.count("?") == 1  # src/deep/er/file
    trees = cloned(url, tmp_path / "trees", "--filter=tree:0", "--no-checkout")
    assert trees("show", "HEAD:last") == "last\n"
    bad = Git(tmp_path).run("clone", "-q", "--filter=sparse:oid=main", url, tmp_path / "bad")
    assert b"invalid filter-spec 'sparse:oid=main'" in bad.stderr


def test_one_commit_by_its_id(gateway: Gateway, original: Git, tmp_path: Path) -> None:
    git = Git(tmp_path / "one").init()
    oid = original("rev-parse", "main~2").strip()
    git("fetch", "-q", "--depth", "1", f"{gateway[1]}/main.git", oid)
    assert git("rev-parse", "FETCH_HEAD").strip() == oid
    elsewhere = original("rev-parse", "by-hand").strip()
    refused = git.run("fetch", f"{gateway[1]}/main.git", elsewhere)
    assert f"not our ref {elsewhere}".encode() in refused.stderr


def test_a_directory_has_its_own_history(gateway: Gateway, original: Git, tmp_path: Path) -> None:
    expected = original("subtree", "split", "--prefix=src", "main").strip()
    clone = cloned(f"{gateway[1]}/main/src.git", tmp_path / "clone")
    assert clone("rev-parse", "HEAD").strip() == expected
    assert len(clone("rev-list", "HEAD").split()) == len(original("rev-list", expected).split())
    deeper = cloned(f"{gateway[1]}/main/src/deep/er.git", tmp_path / "deeper")
    assert deeper("ls-files") == "file\n"
    assert deeper("rev-list", "--count", "HEAD") == "1\n"
    assert original("subtree", "split", "--prefix=src/deep/er", "main") == deeper(
        "rev-parse", "HEAD"
    )


def test_what_is_not_there(gateway: Gateway, tmp_path: Path) -> None:
    for name in ("nope", "main/nope", "main/readme", "..", "all/src", ""):
        failed = Git(tmp_path).run("ls-remote", f"{gateway[1]}/{name}.git")
        assert failed.returncode == 128
        assert b"not found" in failed.stderr


def test_an_empty_branch(gateway: Gateway, tmp_path: Path) -> None:
    served, url = gateway
    served.ask("POST", "/v1/branches", {"name": "empty"})
    clone = Git(tmp_path / "clone")
    said = Git(tmp_path).run("clone", f"{url}/empty.git", clone.path)
    assert b"empty repository" in said.stderr
    assert clone.refs() == {}


def test_exports_say_who_sees_what(gateway: Gateway, original: Git, tmp_path: Path) -> None:
    served, url = gateway
    status, _ = served.ask("PATCH", "/v1/exports/default", {"values": {"branches": ["main"]}})
    assert status == 200
    listed = Git(tmp_path)("ls-remote", f"{url}/all.git")
    assert "refs/heads/main" in listed
    assert "refs/heads/two" not in listed
    assert Git(tmp_path).run("ls-remote", f"{url}/two.git").returncode == 128
    git = Git(tmp_path / "git").init()
    hidden = original("rev-parse", "by-hand:plain").strip()
    assert git.run("fetch", f"{url}/main.git", hidden).returncode == 0  # main has it as well
    hidden = original("rev-parse", "by-hand^{tree}").strip()
    assert b"not our ref" in git.run("fetch", f"{url}/main.git", hidden).stderr


def test_a_branch_whose_name_is_a_directory_of_names_to_git(
    gateway: tuple[Served, str], tmp_path: Path
) -> None:
    """The shorter name stays: no repository can have both."""
    served, url = gateway
    before = cloned(f"{url}/all.git", tmp_path / "before", "--mirror").refs().keys()
    assert "refs/heads/feature/one" in before
    body = {"source": "main", "name": "feature"}
    assert served.ask("POST", "/v1/branches/fork", body)[0] < 300
    after = cloned(f"{url}/all.git", tmp_path / "after", "--mirror").refs().keys()
    assert after == (before | {"refs/heads/feature"}) - {"refs/heads/feature/one"}
