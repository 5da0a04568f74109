"""The command as a whole: how it finds its store, how it ends, what it says of errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from fsgw.cli import main
from fsgw.session import exit_code, one_line
from store import errors
from store.store import Store
from tests.fsgw.helpers import Fsgw

ROOT = Path(__file__).parent.parent.parent


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
        "restore main/nope out",
    ],
)
def test_wrong_input_changes_nothing(fsgw: Fsgw, words: str) -> None:
    before = fsgw.json("branch", "list")
    fsgw(*words.split(), code=3)
    assert fsgw.json("branch", "list") == before
    assert fsgw.json("snapshot", "list", "main") == []


def test_a_process_of_its_own(fsgw: Fsgw, source: Path, tmp_path: Path) -> None:
    with open(os.path.join(os.fsencode(source), b"n\xff"), "wb") as file:
        file.write(b"odd")
    environment = {**os.environ, "FSGW_STORE": str(fsgw.path)}
    done = run_process("import", source, "main", env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    done = run_process("cat", b"main/n\xff", env=environment)  # type: ignore[arg-type]
    assert (done.returncode, done.stdout, done.stderr) == (0, "odd", "")
    done = run_process("restore", "main@nope", tmp_path / "x", env=environment)
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


def test_help_names_every_command_once() -> None:
    text = CliRunner().invoke(main, ["--help"]).stdout
    listed = text.partition("Commands:\n")[2].split("\n  ")
    context = click.Context(main)
    assert [line.split()[0] for line in listed] == main.list_commands(context)
