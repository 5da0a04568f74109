"""`fsgw merge`: what it says, its exit codes, and what git makes of it."""

from __future__ import annotations

import json
import os
import re
import threading
from pathlib import Path

import pytest

from tests.fsgw.helpers import INODE_KEYS, LOG_KEYS, SNAPSHOT_KEYS, Fsgw, keys_of
from tests.fsgw.served import Served, closing_connection, serving
from tests.gitdoor.repositories import Git

MERGED_KEYS = {
    "outcome", "ancestor", "ours", "snapshot", "before", "source", "conflicts_total", "conflicts",
    "changes",
}  # fmt: skip


@pytest.fixture
def forked(fsgw: Fsgw, source: Path) -> Fsgw:
    """`main` and its fork `side`, each with a change of its own since `main@base`."""
    put(fsgw, source, "main", kept="1", both="1", gone="1")
    fsgw("snapshot", "create", "main", "--name", "base")
    fsgw("branch", "fork", "main@base", "side")
    put(fsgw, source, "side", kept="1", both="side", new="1")
    put(fsgw, source, "main", kept="main", both="1", gone="1")
    return fsgw


def put(fsgw: Fsgw, source: Path, branch: str, **files: str) -> None:
    """Make a branch hold exactly these files."""
    for path in source.iterdir():
        path.unlink()
    for name, text in files.items():
        (source / name).write_text(text)
    fsgw("import", "--checksum", source, branch)


def test_what_it_says(forked: Fsgw, source: Path) -> None:
    assert forked.lines("merge", "--dry-run", "side", "main") == ["M /both", "D /gone", "A /new"]
    lines = forked.lines("merge", "side", "main", "--name", "v2", "-m", "Take it", "--author", "Bo")
    assert lines[0] == "merged side into main: main@v2"
    assert re.fullmatch(r"main was main@[-0-9T.]+Z", lines[1])
    assert re.fullmatch(r"side is side@[-0-9T.]+Z", lines[2])
    assert [forked("cat", f"main/{n}").stdout for n in ("kept", "both", "new")] == [
        "main", "side", "1",
    ]  # fmt: skip
    log = forked.lines("log", "main", "-n", "1")
    assert log[0].endswith(" (v2)")
    assert re.fullmatch(r"Merge:  [0-9a-f]{12} [0-9a-f]{12}", log[1])
    assert (log[2], log[-1]) == ("Author: Bo", "    Take it")
    assert forked.lines("merge", "side", "main") == ["main has all of side already"]
    (line,) = forked.lines("merge", "main", "side")
    assert line.startswith("side had nothing of its own, and is now as main: side@")
    before = lines[1].removeprefix("main was ")
    forked("rollback", "main", before)
    assert forked("cat", "main/both").stdout == "1"


def test_conflicts(forked: Fsgw, source: Path) -> None:
    put(forked, source, "main", kept="main", both="main", gone="1", new="2")
    before = forked.json("snapshot", "list", "main")
    expected = [
        "conflict: /both: its data was changed on both sides",
        "conflict: /new: the name was made on both sides",
        "2 conflicts of main (here) and side (there)",
        "main is as it was",
    ]
    assert forked.lines("merge", "side", "main", code=1) == expected
    assert forked.lines("merge", "side", "main", "--dry-run", code=1) == ["D /gone", *expected]
    assert forked.json("snapshot", "list", "main") == before
    assert forked.lines("merge", "side", "main", "--favor", "ours")[0].startswith("merged side")
    assert forked("cat", "main/both").stdout == "main"


def test_many_conflicts_are_counted(fsgw: Fsgw, source: Path) -> None:
    fsgw("snapshot", "create", "main", "--name", "base")
    fsgw("branch", "fork", "main@base", "side")
    for branch in ("main", "side"):
        put(fsgw, source, branch, **{f"f{number}": branch for number in range(150)})
    lines = fsgw.lines("merge", "side", "main", code=1)
    assert lines[-2] == "150 conflicts of main (here) and side (there), 50 of them not shown"
    assert len(lines) == 102
    (row,) = fsgw.json("merge", "side", "main", code=1)
    assert (row["conflicts_total"], len(row["conflicts"])) == (150, 100)


def test_json(forked: Fsgw) -> None:
    (row,) = forked.json("merge", "side", "main", "--dry-run")
    assert set(row) == MERGED_KEYS
    assert row["outcome"] == "merged"
    assert [change["path"] for change in row["changes"]] == ["/both", "/gone", "/new"]
    assert set(row["changes"][0]["new"]) == INODE_KEYS
    (row,) = forked.json("merge", "side", "main", "--no-ff")
    assert (row["outcome"], row["conflicts"], row["changes"]) == ("merged", [], [])
    assert keys_of([row["snapshot"], row["before"], row["source"]]) == SNAPSHOT_KEYS
    assert row["before"]["commit"] == row["ours"]
    log = forked.json("log", "main", "-n", "1")
    assert keys_of(log) == LOG_KEYS
    assert log[0]["parents"] == [row["ours"], row["source"]["commit"]]
    assert forked.json("merge", "side", "main")[0]["outcome"] == "up-to-date"


def test_it_is_refused(forked: Fsgw) -> None:
    forked("branch", "create", "lone")
    forked("quota", "main", "--inodes", "4")
    for words, code in (
        (("nope", "main"), 3),
        (("side", "nope"), 3),
        (("lone", "main"), 3),
        (("side", "main", "--name", "base"), 3),
        (("side", "main", "--favor", "me"), 2),
        (("side",), 2),
    ):
        forked("merge", *words, code=code)
    forked("snapshot", "delete", "main@base")  # neither has another one
    forked("merge", "side", "main", "--dry-run", code=3)


def test_git_sees_it(forked: Fsgw, tmp_path: Path) -> None:
    """As a merge, with ids that are those of the same history elsewhere."""
    forked("merge", "side", "main", "--name", "v2", "-m", "Take it", "--author", "Bo <bo@x.org>")
    forked("export", "--git", tmp_path / "out.git")
    git = Git(tmp_path / "out.git")
    assert git("log", "-1", "--format=%s %an %ae", "main") == "Take it Bo bo@x.org\n"
    graph = [line.rstrip() for line in git("log", "--graph", "--format=%s", "main").splitlines()]
    assert graph[:2] == ["*   Take it", "|\\"]
    assert sorted(graph[2:4]) == ["* | before merging side", "| * as merged into main"]
    assert git("ls-tree", "--name-only", "main").split() == ["both", "kept", "new"]
    git("fsck", "--strict")
    other = Fsgw(tmp_path / "other")
    other("init")
    other("import", "--git", tmp_path / "out.git")
    other("export", "--git", tmp_path / "again.git")
    again = Git(tmp_path / "again.git")
    assert again("rev-parse", "main", "side") == git("rev-parse", "main", "side")


@pytest.mark.slow
def test_merges_beside_writers(forked: Fsgw, source: Path, tmp_path: Path) -> None:
    """A gateway merges back and forth, while others import into both branches."""
    with serving(forked.path) as served:
        done = threading.Event()
        trees = {name: tmp_path / name for name in ("main", "side")}
        for name, tree in trees.items():
            tree.mkdir()
            (tree / "file").write_text(name)
        writers = [
            threading.Thread(target=write_on, args=(served, *one, done)) for one in trees.items()
        ]
        for writer in writers:
            writer.start()
        try:
            for number in range(10):
                pair = ("side", "main") if number % 2 else ("main", "side")
                forked("merge", *pair, "--no-ff")
        finally:
            done.set()
            for writer in writers:
                writer.join()
        forked("merge", "main", "side")
        forked("merge", "side", "main")
        assert forked.lines("diff", "main", "side") == []
        for name in trees:
            counts = [int(row["name"]) for row in forked.json("ls", f"main/{name}")]
            assert sorted(counts) == list(range(len(counts)))
        assert forked.lines("check", "--data") == ["no problems found"]


def write_on(served: Served, branch: str, tree: Path, done: threading.Event) -> None:
    """Import into a branch of a gateway, a new directory each time."""
    number = 0
    while not done.is_set():
        with closing_connection(served.socket) as asked:
            body = {"source": os.fspath(tree), "path": f"{branch}/{number}"}
            asked.request("POST", f"/v1/branches/{branch}/import", json.dumps(body))
            answer = asked.getresponse()
            assert b"error" not in answer.read()
        number += 1
