"""The commands on branches, history and files: what each prints as text and as JSON."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

from click.testing import CliRunner

from fsgw.cli import main
from fsgw.render import when
from store.store import Store
from store.types import ROOT as ROOT_USER
from tests.fsgw.helpers import (
    BRANCH_KEYS,
    INODE_KEYS,
    LOG_KEYS,
    QUOTA_KEYS,
    SNAPSHOT_KEYS,
    TRANSFER_KEYS,
    Fsgw,
    keys_of,
)

HEX = frozenset("0123456789abcdef")


def write(fsgw: Fsgw, source: Path, **files: str) -> None:
    """Make `main` hold exactly these files."""
    for path in source.iterdir():
        path.unlink()
    for name, text in files.items():
        (source / name).write_text(text)
    fsgw("import", "--checksum", source, "main")


def test_branches(fsgw: Fsgw, source: Path) -> None:
    write(fsgw, source, file="text")
    assert fsgw.lines("branch", "create", "other") == ["created branch other"]
    assert fsgw.lines("branch", "rename", "other", "second") == ["renamed branch other to second"]
    assert fsgw.lines("branch", "fork", "main", "copy") == ["created branch copy from main"]
    rows = fsgw.json("branch", "list")
    assert keys_of(rows) == BRANCH_KEYS
    assert [row["name"] for row in rows] == ["copy", "main", "second"]
    assert [row["inodes"] for row in rows] == [2, 2, 1]
    assert len({row["id"] for row in rows}) == 3
    lines = fsgw.lines("branch", "list")
    assert lines[0].split() == ["NAME", "USED", "INODES", "CREATED"]
    assert [line.split()[:4] for line in lines[1:]] == [
        ["copy", "4.0", "KiB", "2"],
        ["main", "4.0", "KiB", "2"],
        ["second", "0", "B", "1"],
    ]
    assert fsgw("cat", "copy/file").stdout == "text"
    assert fsgw.lines("branch", "delete", "main") == ["deleted branch main"]
    assert [row["name"] for row in fsgw.json("branch", "list")] == ["copy", "second"]
    assert fsgw("cat", "copy/file").stdout == "text"
    assert keys_of(fsgw.json("branch", "create", "main")) == BRANCH_KEYS
    assert keys_of(fsgw.json("branch", "fork", "copy", "third")) == BRANCH_KEYS
    assert keys_of(fsgw.json("branch", "rename", "third", "last")) == BRANCH_KEYS


def test_a_fork_of_a_sub_directory(fsgw: Fsgw, source: Path) -> None:
    (source / "sub").mkdir()
    (source / "sub" / "file").write_text("inner")
    (source / "top").touch()
    fsgw("import", source, "main")
    row = fsgw.json("branch", "fork", "main/sub", "part")[0]
    assert row["root_ino"] != 1
    assert fsgw.lines("ls", "part") == ["file"]
    fsgw("import", source, "part/again")
    assert fsgw.lines("ls", "part/again") == ["sub", "top"]
    assert fsgw.lines("ls", "main") == ["sub", "top"]


def test_quota(fsgw: Fsgw, source: Path) -> None:
    write(fsgw, source, file="text")
    assert fsgw.lines("quota", "main") == [
        "main: 4.0 KiB used of no limit, 2 inodes of no limit",
    ]
    assert fsgw.lines("quota", "main", "--bytes", "10M") == [
        "main: 4.0 KiB used of 10.0 MiB, 2 inodes of no limit",
    ]
    row = fsgw.json("quota", "main", "--inodes", "3")[0]
    assert set(row) == QUOTA_KEYS
    assert (row["bytes_max"], row["inodes_max"]) == (10 << 20, 3)
    assert (row["used_bytes"], row["inodes"]) == (4096, 2)
    (source / "a").touch()
    (source / "b").touch()
    assert "quota" in fsgw("import", source, "main", code=4).stderr
    fsgw("quota", "main", "--inodes", "0")
    fsgw("import", source, "main")
    assert fsgw.lines("ls", "main") == ["a", "b", "file"]
    assert fsgw.json("quota", "main")[0]["bytes_max"] == 10 << 20


def test_snapshots(fsgw: Fsgw, source: Path) -> None:
    fsgw("branch", "create", "other")
    write(fsgw, source, file="one")
    made = ["--name", "v1", "-m", "first\nmore", "--author", "Ann <ann@example.org>"]
    assert fsgw.lines("snapshot", "create", "main", "other", *made) == ["main@v1", "other@v1"]
    write(fsgw, source, file="two")
    rows = fsgw.json("snapshot", "create", "main")
    assert keys_of(rows) == SNAPSHOT_KEYS
    assert rows[0]["branch"] == "main"
    assert rows[0]["name"].startswith("20")

    rows = fsgw.json("snapshot", "list", "main")
    assert keys_of(rows) == SNAPSHOT_KEYS
    assert [row["message"] for row in rows] == ["first\nmore", ""]
    assert rows[0]["author"] == "Ann <ann@example.org>"
    assert rows[1]["parent"] == rows[0]["id"]
    assert len(rows[0]["commit"]) == 64
    assert set(rows[0]["commit"]) <= HEX
    lines = fsgw.lines("snapshot", "list", "main")
    assert lines[0].split() == ["NAME", "TIME", "USED", "COMMIT", "AUTHOR", "MESSAGE"]
    assert lines[1].split()[0] == "v1"
    assert lines[1].endswith("Ann <ann@example.org>  first")

    assert fsgw("cat", "main@v1/file").stdout == "one"
    assert fsgw("cat", f"{rows[0]['commit'][:12]}/file").stdout == "one"
    assert fsgw.lines("snapshot", "delete", "main@v1") == ["deleted snapshot main@v1"]
    assert [row["id"] for row in fsgw.json("snapshot", "list", "main")] == [rows[1]["id"]]
    assert [row["name"] for row in fsgw.json("snapshot", "list", "other")] == ["v1"]
    fsgw("cat", "main@v1/file", code=3)


def test_an_author_from_the_environment(fsgw: Fsgw) -> None:
    words = ["--store", str(fsgw.path), "snapshot", "create", "main", "--json"]
    done = CliRunner().invoke(main, words, env={"FSGW_AUTHOR": "Bo"})
    assert json.loads(done.stdout)["author"] == "Bo"


def test_log(fsgw: Fsgw, source: Path) -> None:
    for name in ("v1", "v2", "v3"):
        write(fsgw, source, file=name)
        fsgw("snapshot", "create", "main", "--name", name, "-m", f"This is {name}", "--author", "A")
    rows = fsgw.json("log", "main")
    assert keys_of(rows) == LOG_KEYS
    assert [row["name"] for row in rows] == ["v3", "v2", "v1"]
    assert [row["commit"] for row in rows[1:]] == [row["parents"][0] for row in rows[:2]]
    assert rows[2]["parents"] == []
    assert fsgw.json("log", "main", "-n", "2") == rows[:2]
    assert fsgw.json("log", "main@v2") == rows[1:]
    assert fsgw.json("log", rows[1]["commit"][:16]) == rows[1:]
    assert fsgw.lines("log", "main", "-n", "1") == [
        f"commit {rows[0]['commit']} (v3)",
        "Author: A",
        f"Date:   {when(rows[0]['time_ns'])}",
        "",
        "    This is v3",
    ]
    assert fsgw.lines("log", "main").count("") == 5


def test_diff(fsgw: Fsgw, source: Path) -> None:
    write(fsgw, source, changed="1", gone="2", moved="3", same="4")
    fsgw("snapshot", "create", "main", "--name", "a")
    assert fsgw.lines("diff", "main@a", "main") == []
    assert fsgw.json("diff", "main@a", "main", "--exit-code") == []

    (source / "gone").unlink()
    (source / "changed").write_text("other")
    (source / "new\n\\").write_text("new")
    with open(os.path.join(os.fsencode(source), b"odd\xff"), "wb"):
        pass
    fsgw("import", source, "main")
    lines = fsgw("diff", "main@a", "main").stdout_bytes.splitlines()
    assert sorted(line for line in lines if not line.endswith(b" /")) == [
        b"A /new\\n\\\\",
        b"A /odd\xff",
        b"D /gone",
        b"M /changed",
    ]
    rows = {row["path"]: row for row in fsgw.json("diff", "main@a", "main") if row["path"] != "/"}
    assert set(rows) == {"/new\n\\", "/odd\ufffd", "/gone", "/changed"}
    assert set(rows["/changed"]) == {"kind", "path", "old", "new"}
    assert set(rows["/changed"]["old"]) == INODE_KEYS
    assert (rows["/changed"]["old"]["size"], rows["/changed"]["new"]["size"]) == (1, 5)
    assert rows["/gone"]["new"] is None
    assert rows["/new\n\\"]["old"] is None
    assert rows["/odd\ufffd"]["path_base64"] == "L29kZP8="
    assert "path_base64" not in rows["/changed"]
    fsgw("diff", "main@a", "main", "--exit-code", code=1)
    assert {row["kind"] for row in rows.values()} == {"added", "removed", "modified"}


def test_diff_of_a_rename(fsgw: Fsgw, source: Path) -> None:
    write(fsgw, source, before="text")
    fsgw("snapshot", "create", "main", "--name", "a")
    with Store.open(str(fsgw.path)) as store:
        tree = store.tree("main")
        tree.rename(ROOT_USER, tree.root, b"before", tree.root, b"after")
    lines = fsgw.lines("diff", "main@a", "main")
    assert "R /before -> /after" in lines
    row = next(row for row in fsgw.json("diff", "main@a", "main") if row["kind"] == "renamed")
    assert (row["old_path"], row["path"]) == ("/before", "/after")
    assert row["old"]["ino"] == row["new"]["ino"]


def test_rollback_and_back(fsgw: Fsgw, source: Path) -> None:
    write(fsgw, source, file="one")
    fsgw("snapshot", "create", "main", "--name", "v1")
    write(fsgw, source, file="two", more="2")
    row = fsgw.json("rollback", "main", "main@v1")[0]
    assert set(row) == SNAPSHOT_KEYS
    assert row["name"].startswith("rollback-")
    assert fsgw.lines("ls", "main") == ["file"]
    assert fsgw("cat", "main/file").stdout == "one"
    lines = fsgw.lines("rollback", "main", f"main@{row['name']}")
    assert lines[0].startswith(f"main is now as main@{row['name']}; it was main@rollback-")
    assert fsgw("cat", "main/file").stdout == "two"
    assert fsgw.lines("ls", "main") == ["file", "more"]


def test_ls(fsgw: Fsgw, source: Path) -> None:
    (source / "dir").mkdir(mode=0o755)
    (source / "file").write_text("text")
    (source / "file").chmod(0o640)
    (source / "link").symlink_to("to/here")
    fsgw("import", source, "main")
    assert fsgw.lines("ls", "main") == ["dir", "file", "link"]
    assert fsgw.lines("ls", "main/") == ["dir", "file", "link"]
    assert fsgw.lines("ls", "main/dir") == []
    assert fsgw.lines("ls", "main//file") == ["file"]
    rows = {row["name"]: row for row in fsgw.json("ls", "main")}
    assert set(rows["file"]) == INODE_KEYS | {"name"}
    assert set(rows["link"]) == INODE_KEYS | {"name", "target"}
    assert [row["type"] for row in rows.values()] == ["directory", "file", "symlink"]
    assert (rows["file"]["mode"], rows["file"]["size"]) == ("0640", 4)
    assert rows["link"]["target"] == "to/here"
    long = {line.split("Z ")[1]: line for line in fsgw.lines("ls", "-l", "main")}
    assert long["dir"].startswith("drwxr-xr-x   2 ")
    assert long["file"].startswith("-rw-r-----   1 ")
    assert f" 4 B {when((source / 'file').stat().st_mtime_ns)} file" in long["file"]
    assert "link -> to/here" in long


def test_cat(fsgw: Fsgw, source: Path) -> None:
    data = random.Random(4).randbytes(2_500_000)
    (source / "file").write_bytes(data)
    (source / "empty").touch()
    fsgw("import", source, "main")
    assert fsgw("cat", "main/file").stdout_bytes == data
    assert fsgw("cat", "main/empty").stdout_bytes == b""


def test_import_and_restore_print_what_they_did(fsgw: Fsgw, source: Path, tmp_path: Path) -> None:
    (source / "file").write_text("text")
    assert fsgw.lines("import", source, "main") == [
        "1 added, 1 changed, 0 removed, 0 unchanged; 4 B written"
    ]
    (row,) = fsgw.json("import", source, "main", "--snapshot", "s")
    assert set(row) == TRANSFER_KEYS | {"snapshot"}
    assert set(row["snapshot"]) == SNAPSHOT_KEYS
    assert fsgw.lines("restore", "main", tmp_path / "a") == ["2 restored; 4 B written"]
    (row,) = fsgw.json("restore", "main", tmp_path / "b")
    assert set(row) == TRANSFER_KEYS
    assert (row["added"], row["content_bytes"], row["troubles"]) == (2, 4, [])
