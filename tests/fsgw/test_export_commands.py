"""`fsgw export` and `fsgw config` on a store that no gateway has."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from fsgw import config as configuration
from fsgw import exports
from fsgw.commands import config as config_commands
from fsgw.commands import exports as export_commands
from fsgw.config import EXPORTS_NAME
from fsgw.exports import Export
from fsgw.session import Commands, Session
from store import directory

COMMANDS = Commands("fsgw", commands=[export_commands.export, config_commands.config])


class Exporting:
    """Runs `fsgw export ...` and `fsgw config ...` on one store."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, *words: str | Path, code: int = 0) -> Result:
        session = Session(os.fspath(self.path))
        done = CliRunner().invoke(COMMANDS, [str(word) for word in words], obj=session)
        assert done.exit_code == code, (words, done.stdout, done.stderr)
        assert (code == 0) == (not done.stderr)
        if code == 3:
            assert done.stderr.startswith("fsgw: ")
            assert done.stderr.count("\n") == 1
        return done

    def lines(self, *words: str) -> list[str]:
        return self(*words).stdout.splitlines()


@pytest.fixture
def run(tmp_path: Path) -> Exporting:
    path = tmp_path / "s"
    directory.create(path)
    return Exporting(path)


LAB = ("--branch", "vm-*", "--client", "10.0.0.0/8")


def test_every_key_has_an_option() -> None:
    for command in (export_commands.add, export_commands.change):
        named = {parameter.name for parameter in command.params}
        assert set(Export.__dataclass_fields__) <= named


def test_list_add_set_move_remove(run: Exporting) -> None:
    assert run.lines("export", "list") == [
        "NO  NAME     BRANCHES  CLIENTS              RULES",
        " 1  default  *         127.0.0.0/8 ::1/128  rw",
    ]
    more = ("--branch", "main", "--squash", "none", "--no-sync", "--anonuid", "7", "--access", "ro")
    assert run.lines("export", "add", *LAB, *more, "--name", "lab") == ["added export lab"]
    assert run.lines("export", "add", *LAB, "--at", "1") == ["added export 1"]
    assert run.lines("export", "list")[1:] == [
        " 1  -        vm-*       10.0.0.0/8           rw",
        " 2  default  *          127.0.0.0/8 ::1/128  rw",
        " 3  lab      vm-* main  10.0.0.0/8           ro squash=none anonuid=7 sync=false",
    ]
    changes = ("--default", "squash", "--default", "anonuid", "--sync", "--snapshots", "listed")
    assert run.lines("export", "set", "lab", *changes) == ["changed export lab"]
    assert run.lines("export", "move", "3", "1") == ["moved export lab"]
    assert run.lines("export", "remove", "2") == ["removed export 2"]
    assert run.lines("export", "list")[1:] == [
        " 1  lab      vm-* main  10.0.0.0/8           ro snapshots=listed",
        " 2  default  *          127.0.0.0/8 ::1/128  rw",
    ]
    assert run.lines("export", "reload") == run.lines("export", "list")


def test_json_is_what_the_functions_return(run: Exporting) -> None:
    (added,) = run.lines("export", "add", *LAB, "--json")
    (_, listed) = run.lines("export", "list", "--json")
    assert json.loads(added) == json.loads(listed)
    assert set(json.loads(added)) == {"number", *Export.__dataclass_fields__}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("export", "remove", "9"), 3),
        (("export", "set", "nobody", "--access", "ro"), 3),
        (("export", "add", "--branch", "a/b", "--client", "::1"), 3),
        (("export", "add", "--branch", "main"), 3),
        (("export", "add", *LAB, "--name", "default"), 3),
        (("export", "add", *LAB, "--at", "4"), 3),
        (("export", "move", "1", "0"), 2),
        (("export", "add", *LAB, "--access", "wr"), 2),
        (("export", "add", *LAB, "--anonuid", "-1"), 2),
        (("export", "set", "1", "--default", "x"), 2),
    ],
)
def test_what_is_refused(run: Exporting, words: tuple[str, ...], code: int) -> None:
    run(*words, code=code)
    assert not (run.path / EXPORTS_NAME).exists()


def test_a_directory_that_is_no_store(tmp_path: Path) -> None:
    Exporting(tmp_path)("export", "list", code=3)
    Exporting(tmp_path)("export", "add", *LAB, code=3)


def test_reload_checks_the_file(run: Exporting) -> None:
    (run.path / EXPORTS_NAME).write_text("[[export]]\nbranches = 1")
    assert "clients is missing" in run("export", "reload", code=3).stderr


# --- fsgw config ------------------------------------------------------------------------------


def test_samples(run: Exporting) -> None:
    assert run("config", "sample").stdout == configuration.sample()
    assert run("config", "sample", "--exports").stdout == exports.sample()


def test_check(run: Exporting, tmp_path: Path) -> None:
    file = tmp_path / "fsgw.toml"
    file.write_text('[store]\ndirectory = "s"\n')
    assert run("config", "check", file).stdout == f"{file}: no problems found\n"
    (run.path / EXPORTS_NAME).write_text("x = 1")
    assert "no key x" in run("config", "check", file, code=3).stderr
    file.write_text("[nfs]\nport = -1\n")
    assert "nfs.port" in run("config", "check", file, code=3).stderr
    run("config", "check", tmp_path / "none", code=3)


def test_the_commands_are_groups() -> None:
    assert isinstance(export_commands.export, click.Group)
    assert list(export_commands.export.commands) == [
        "list", "add", "set", "remove", "move", "reload",
    ]  # fmt: skip
