"""The command line: what each command prints as text and as JSON, and how it ends."""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from fsgw import progress
from fsgw.cli import main
from fsgw.paths import path_fields, path_text, split_ref
from fsgw.render import size, when
from fsgw.session import exit_code, one_line, parse_size
from store import errors
from store.store import Store
from store.types import ROOT as ROOT_USER
from tests.fsgw.conftest import Fsgw

ROOT = Path(__file__).parent.parent.parent
HEX = frozenset("0123456789abcdef")

INODE_KEYS = {
    "ino", "type", "mode", "nlink", "uid", "gid", "size", "used", "rdev",
    "atime_ns", "mtime_ns", "ctime_ns", "btime_ns",
}  # fmt: skip
QUOTA_KEYS = {"name", "used_bytes", "inodes", "bytes_max", "inodes_max"}
BRANCH_KEYS = QUOTA_KEYS | {"id", "root_ino", "head", "created_ns"}
SNAPSHOT_KEYS = {
    "branch", "name", "id", "parent", "author", "time_ns", "message", "commit",
    "used_bytes", "inodes",
}  # fmt: skip
LOG_KEYS = {"commit", "snapshot", "name", "author", "time_ns", "message", "parents"}
TRANSFER_KEYS = {
    "added", "changed", "removed", "unchanged", "content_bytes", "troubles_total", "troubles",
}  # fmt: skip


def keys_of(rows: Sequence[dict[str, Any]]) -> set[str]:
    """The keys that all rows have."""
    found = {frozenset(row) for row in rows}
    assert len(found) == 1
    return set(*found)


def write(fsgw: Fsgw, source: Path, **files: str) -> None:
    """Make `main` hold exactly these files."""
    for path in source.iterdir():
        path.unlink()
    for name, text in files.items():
        (source / name).write_text(text)
    fsgw("import", "--checksum", source, "main")


def run_process(*args: str | os.PathLike[str], **more: Any) -> subprocess.CompletedProcess[str]:
    """`python -m fsgw ARGS` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "fsgw", *args],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=more.pop("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        **more,
    )


# --- the store --------------------------------------------------------------------------------


def test_init(tmp_path: Path) -> None:
    path = tmp_path / "new" / "store"
    run = Fsgw(path)
    assert run.lines("init") == [f"made an empty store in {path}"]
    assert run.lines("branch", "list") == ["NAME  USED  INODES  CREATED"]
    assert run.json("branch", "list") == []
    assert "not empty" in run("init", code=3).stderr
    other = tmp_path / "other"
    run("init", other, "--block-bytes", "64K")
    assert Fsgw(other).json("branch", "list") == []
    run("init", tmp_path / "third", "--block-bytes", "1000", code=3)
    assert not (tmp_path / "third").exists()


def test_the_store_comes_from_the_environment_too(fsgw: Fsgw) -> None:
    environment = {"FSGW_STORE": str(fsgw.path)}
    done = CliRunner().invoke(main, ["branch", "list", "--json"], env=environment)
    assert [json.loads(line)["name"] for line in done.stdout.splitlines()] == ["main"]


@pytest.mark.parametrize(
    "args",
    [
        ["branch", "list"],  # no store
        ["init"],
        ["--store", "x", "nonsense"],
        ["--store", "x", "branch", "create"],
        ["--store", "x", "log", "main", "-n", "-1"],
        ["--store", "x", "quota", "main", "--bytes", "12Q"],
        ["--store", "x", "gc", "--wrong"],
    ],
)
def test_wrong_usage(args: list[str]) -> None:
    done = CliRunner().invoke(main, args, env={"FSGW_STORE": None})
    assert done.exit_code == 2
    assert done.stderr.startswith("Usage: ")
    assert not done.stdout


def test_a_directory_that_is_no_store(tmp_path: Path) -> None:
    Fsgw(tmp_path)("branch", "list", code=3)
    Fsgw(tmp_path / "missing")("branch", "list", code=3)
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_open_elsewhere(fsgw: Fsgw) -> None:
    with Store.open(str(fsgw.path)):
        done = run_process("--store", fsgw.path, "branch", "list")
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.startswith("fsgw: ")
    assert done.stderr.count("\n") == 1


def test_each_store_error_has_its_exit_code() -> None:
    def family(kind: type[errors.StoreError]) -> list[type[errors.StoreError]]:
        return [kind, *(inner for child in kind.__subclasses__() for inner in family(child))]

    codes = {kind: exit_code(kind("x")) for kind in family(errors.StoreError)}
    assert {kind for kind, code in codes.items() if code == 5} == {errors.AlreadyOpen}
    assert {kind for kind, code in codes.items() if code == 4} == {
        errors.StorageFailure,
        errors.Damaged,
        errors.NoSpace,
        errors.QuotaExceeded,
    }
    assert set(codes.values()) == {3, 4, 5}
    assert exit_code(OSError(28, "No space left on device")) == 4
    assert exit_code(OSError(13, "Permission denied")) == 3


def test_an_error_is_one_line() -> None:
    assert one_line(OSError(2, "No such file", b"a\xff")) == "'a\\udcff': No such file"
    assert one_line(errors.Damaged("pack 1\nis broken")) == "pack 1 is broken"
    assert one_line(errors.Busy()) == "Busy"


# --- refs that do not exist -------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        "branch delete nope",
        "branch rename nope new",
        "branch rename main main",
        "branch create main",
        "branch create no/slash",
        "branch create -- -dash",
        "branch fork nope new",
        "branch fork main main",
        "branch fork main/nope new",
        "snapshot create nope",
        "snapshot create main nope",
        "snapshot create main main",
        "snapshot create main --name no@at",
        "snapshot list nope",
        "snapshot delete main",
        "snapshot delete main@nope",
        "snapshot delete nope@nope",
        "log nope",
        "log main@nope",
        "log 0123456789abcdef",
        "diff main nope",
        "diff main@nope main",
        "rollback main nope",
        "rollback nope main",
        "quota nope",
        "ls nope",
        "ls main/nope",
        "ls /main",
        "ls main/../x",
        "cat main",
        "cat main/nope",
        "export main/nope out",
    ],
)
def test_wrong_input_changes_nothing(fsgw: Fsgw, words: str) -> None:
    before = fsgw.json("branch", "list")
    fsgw(*words.split(), code=3)
    assert fsgw.json("branch", "list") == before
    assert fsgw.json("snapshot", "list", "main") == []


# --- branches ---------------------------------------------------------------------------------


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


# --- history ----------------------------------------------------------------------------------


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


# --- files ------------------------------------------------------------------------------------


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


def test_import_and_export_print_what_they_did(fsgw: Fsgw, source: Path, tmp_path: Path) -> None:
    (source / "file").write_text("text")
    assert fsgw.lines("import", source, "main") == [
        "1 added, 1 changed, 0 removed, 0 unchanged; 4 B written"
    ]
    (row,) = fsgw.json("import", source, "main", "--snapshot", "s")
    assert set(row) == TRANSFER_KEYS | {"snapshot"}
    assert set(row["snapshot"]) == SNAPSHOT_KEYS
    assert fsgw.lines("export", "main", tmp_path / "a") == ["2 files exported; 4 B written"]
    (row,) = fsgw.json("export", "main", tmp_path / "b")
    assert set(row) == TRANSFER_KEYS
    assert (row["added"], row["content_bytes"], row["troubles"]) == (2, 4, [])


def test_a_process_of_its_own(fsgw: Fsgw, source: Path, tmp_path: Path) -> None:
    with open(os.path.join(os.fsencode(source), b"n\xff"), "wb") as file:
        file.write(b"odd")
    environment = {**os.environ, "FSGW_STORE": str(fsgw.path)}
    done = run_process("import", source, "main", env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    done = run_process("cat", b"main/n\xff", env=environment)  # type: ignore[arg-type]
    assert (done.returncode, done.stdout, done.stderr) == (0, "odd", "")
    done = run_process("export", "main@nope", tmp_path / "x", env=environment)
    assert done.returncode == 3
    assert done.stderr.startswith("fsgw: ")
    assert done.stderr.count("\n") == 1


def test_a_reader_that_leaves_is_no_error(fsgw: Fsgw, source: Path) -> None:
    (source / "file").write_bytes(bytes(3_000_000))
    fsgw("import", source, "main")
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = run_process("--store", fsgw.path, "cat", "main/file", stdout=writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


# --- upkeep -----------------------------------------------------------------------------------


def test_gc_frees_what_nothing_holds(fsgw: Fsgw, source: Path) -> None:
    (source / "file").write_bytes(random.Random(5).randbytes(3_000_000))
    fsgw("branch", "create", "other")
    fsgw("import", source, "other", "--snapshot", "s")
    fsgw("branch", "delete", "other")

    def stored() -> int:
        return sum(path.stat().st_size for path in (fsgw.path / "packs").iterdir())

    before = stored()
    (planned,) = fsgw.json("gc", "--dry-run")
    assert set(planned) == {"dead_bytes", "freed_bytes", "packs"}
    assert keys_of(planned["packs"]) == {
        "pack", "size_bytes", "live_bytes", "live_objects", "dead_objects", "rewrite",
    }  # fmt: skip
    assert planned["dead_bytes"] >= planned["freed_bytes"] >= 3_000_000
    assert fsgw.lines("gc", "--dry-run")[0].startswith("would free 2.9 MiB of 2.9 MiB ")
    assert stored() == before >= 3_000_000
    (done,) = fsgw.json("gc")
    assert set(done) == set(planned) | {"copied_bytes", "packs_removed", "objects_removed"}
    assert done["freed_bytes"] >= 3_000_000
    assert stored() < 200_000
    assert fsgw.json("gc", "--dry-run")[0]["freed_bytes"] == 0
    assert fsgw.lines("gc") == ["freed 0 B: 0 objects and 0 packs removed, 0 B copied"]


def test_check_finds_damage_and_reading_it_fails(tmp_path: Path, source: Path) -> None:
    run = Fsgw(tmp_path / "store")
    run("init")
    run("branch", "create", "main")
    (source / "file").write_bytes(random.Random(6).randbytes(500_000))
    (source / "other").write_bytes(b"whole" * 1000)
    run("import", source, "main", "--snapshot", "s")
    assert run.lines("check") == ["no problems found"]
    assert run.json("check", "--data") == []

    pack = max((run.path / "packs").iterdir(), key=lambda path: path.stat().st_size)
    with pack.open("r+b") as file:
        os.pwrite(file.fileno(), bytes(64), 250_000)
    rows = run.json("check", "--data", code=1)
    assert keys_of(rows) == {"where", "what"}
    lines = run.lines("check", "--data", code=1)
    assert lines[-1] == f"{len(rows)} problem" + "s" * (len(rows) > 1)
    assert lines[0] == f"{rows[0]['where']}: {rows[0]['what']}"
    run("cat", "main/file", code=4)
    assert run("cat", "main/other").stdout == "whole" * 1000
    done = run("export", "main", tmp_path / "out", code=1)
    assert done.stderr.startswith(f"fsgw: {tmp_path}/out/file: ")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["other"]


def test_stats(fsgw: Fsgw, source: Path) -> None:
    (source / "file").write_bytes(random.Random(7).randbytes(400_000))
    fsgw("import", source, "main", "--snapshot", "s")
    (row,) = fsgw.json("stats")
    assert set(row) == {
        "objects", "logical_bytes", "unique_bytes", "stored_bytes", "reclaimable_bytes",
        "packs", "pack_bytes", "database_bytes", "journal_bytes", "branches", "snapshots",
    }  # fmt: skip
    assert keys_of(row["branches"]) == BRANCH_KEYS | {"exclusive_bytes"}
    assert keys_of(row["snapshots"]) == SNAPSHOT_KEYS | {"exclusive_bytes"}
    assert row["pack_bytes"] >= row["stored_bytes"] >= 400_000
    assert row["logical_bytes"] >= 2 * 400_000
    lines = fsgw.lines("stats")
    assert lines[0].split()[-2:] == [*size(row["logical_bytes"]).split()]
    assert lines[-3].split() == ["REF", "HOLDS", "ALONE"]
    assert [line.split()[0] for line in lines[-2:]] == ["main", "main@s"]


# --- text -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"),
        (1024**2 - 1, "1.0 MiB"), (10 * 1024**3, "10.0 GiB"), (2**63 - 1, "8.0 EiB"),
        (2**70, "1024.0 EiB"),
    ],
)  # fmt: skip
def test_sizes_for_people(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("4096", 4096),
        ("1k", 1024),
        ("64KiB", 65536),
        ("10G", 10 << 30),
        (" 2mb ", 2 << 20),
    ],
)
def test_sizes_from_people(text: str, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["", "K", "-1", "1.5G", "12Q", "1 0", "0x10", "\u0661"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(click.BadParameter):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "ref", "path"),
    [
        ("main", "main", b"/"),
        ("main/", "main", b"/"),
        ("main@s/a//b/./c/", "main@s", b"/a/b/c"),
        ("main/\udcff\n", "main", b"/\xff\n"),
    ],
)
def test_refs_with_paths(text: str, ref: str, path: bytes) -> None:
    assert split_ref(text) == (ref, path)


@pytest.mark.parametrize("text", ["", "/a", "main/a/../b"])
def test_what_is_no_ref_with_a_path(text: str) -> None:
    with pytest.raises(errors.InvalidRef):
        split_ref(text)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (b"plain", "plain"),
        ("é".encode(), "é"),
        (b"a\nb\tc\\d", "a\\nb\\tc\\\\d"),
        (b"\x1b[0m\x7f", "\\033[0m\\177"),
        (b"\xff", "\udcff"),
    ],
)
def test_paths_for_people(path: bytes, text: str) -> None:
    assert path_text(path_fields("path", path), "path") == text


def test_times_for_people() -> None:
    assert when(1_600_000_000_999_999_999) == "2020-09-13 12:26:40Z"
    assert when(-1) == "1969-12-31 23:59:59Z"
    assert when(2**63 * 10**6).endswith(" s")


class Terminal(io.StringIO):
    """A stderr that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("length", [10 << 20, None])
def test_a_bar_is_shown_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, length: int | None
) -> None:
    asked = []

    def total() -> int | None:
        asked.append(1)
        return length

    for screen, shown in ((io.StringIO(), False), (Terminal(), True)):
        asked.clear()
        monkeypatch.setattr(sys, "stderr", screen)
        with progress.bar("import", total) as advance:
            for _ in range(10):
                advance(1 << 20)
        assert bool(asked) is shown
        assert ("import" in screen.getvalue()) is shown
        assert ("100%" in screen.getvalue()) is (shown and length is not None)


def test_help_names_every_command_once() -> None:
    text = CliRunner().invoke(main, ["--help"]).stdout
    listed = text.partition("Commands:\n")[2].split("\n  ")
    assert sorted(line.split()[0] for line in listed) == sorted(main.commands)
