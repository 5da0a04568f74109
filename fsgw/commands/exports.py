"""`fsgw export ...`: which clients may mount which branches, and how.

The options of `add` and `set` are the keys of the file, made from their declaration.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from fsgw import settings
from fsgw.exports import DEFAULT, Export
from fsgw.plain import Plain
from fsgw.render import Lines, plural, show, show_one, table
from fsgw.session import Session, json_option
from fsgw.settings import Choice, Flag, ListOf, Whole

F = TypeVar("F", bound=Callable[..., Any])

# Keys that are lists take one item an option, which is named for the item.
_ITEMS = {"branches": ("--branch", "PATTERN"), "clients": ("--client", "NETWORK")}
_DEFAULT = settings.plain(DEFAULT[0])


def _option(field: dataclasses.Field[Any]) -> Callable[[F], F]:
    """The option for a key; its value is None, or for a list (), where it is not given."""
    kind, key, text = field.metadata["kind"], field.name, field.metadata["text"]
    words = f"--{key.replace('_', '-')}"
    match kind:
        case Flag():
            return click.option(f"{words}/--no-{words[2:]}", key, default=None, help=text)
        case Whole():
            limits = click.IntRange(kind.least, kind.most)
            return click.option(words, key, type=limits, metavar="NUMBER", help=text)
        case Choice():
            return click.option(words, key, type=click.Choice(kind.choices), help=text)
        case ListOf():
            single, item = _ITEMS[key]
            more = f"{text} Give it again for more."
            return click.option(single, key, multiple=True, metavar=item, help=more)
    return click.option(words, key, metavar="TEXT", help=text)


def _options(command: F) -> F:
    """Every key of an export as an option."""
    for field in reversed(dataclasses.fields(Export)):
        command = _option(field)(command)
    return command


def _given(values: dict[str, Any]) -> dict[str, object]:
    """The keys that were given, as they would stand in the file."""
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in values.items()
        if value not in (None, ())
    }


# What `--git` is to the group: a name that nobody can type.
_GIT = "\0git"


class _OrGit(click.Group):
    """The group, in which `--git` is a command as well: writing a repository is an export, too."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        words = [_GIT, *args[1:]] if args[:1] == ["--git"] else args
        return super().parse_args(ctx, words)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return git if cmd_name == _GIT else super().get_command(ctx, cmd_name)


@click.group(cls=_OrGit)
def export() -> None:
    """List and change which clients may mount which branches; or write a git repository.

    `fsgw export --git [BRANCH...] DIR` writes branches and their named snapshots, or all there
    are, as a bare git repository.

    The first export that names both the branch and the client decides; a client that none names
    is refused. An export is named by its name or its number in the list. A gateway that runs
    applies each change at once.
    """


def _lines(rows: Iterable[Plain]) -> Lines:
    cells = [
        (
            str(row["number"]),
            row["name"] or "-",
            " ".join(row["branches"]),
            " ".join(row["clients"]),
            _rules(row),
        )
        for row in rows
    ]
    return table([("NO", "NAME", "BRANCHES", "CLIENTS", "RULES"), *cells], right=frozenset({0}))


def _rules(row: Plain) -> str:
    """Access, and what is not as it is by default."""
    shown = {key for key in _DEFAULT if row[key] != _DEFAULT[key]}
    shown -= {"name", "branches", "clients", "access"}
    special = [f"{key}={str(row[key]).lower()}" for key in _DEFAULT if key in shown]
    return " ".join([row["access"], *special])


@export.command("list")
@json_option
@click.pass_obj
def list_exports(session: Session, as_json: bool) -> None:
    """List all exports, in the order in which they are asked."""
    with session.rows("exports.list") as rows:
        show(rows, as_json, _lines)


def _answer(row: Plain, as_json: bool, done: str) -> None:
    show_one(row, as_json, lambda row: f"{done} export {row['name'] or row['number']}")


@export.command("add")
@click.option("--at", type=click.IntRange(min=1), metavar="NO", help="Its place; else the last.")
@_options
@json_option
@click.pass_obj
def add(session: Session, /, at: int | None, as_json: bool, **values: Any) -> None:
    """Add an export of the branches --branch to the clients --client."""
    _answer(session.call("exports.add", values=_given(values), to=at), as_json, "added")


@export.command("set")
@click.argument("which", metavar="EXPORT")
@click.option(
    "--default",
    "defaults",
    multiple=True,
    type=click.Choice(settings.names(Export)),
    metavar="KEY",
    help="Give this key its default again, and again for more.",
)
@_options
@json_option
@click.pass_obj
def change(
    session: Session, /, which: str, defaults: tuple[str, ...], as_json: bool, **values: Any
) -> None:
    """Change the keys given of the export EXPORT."""
    given = {**dict.fromkeys(defaults), **_given(values)}
    _answer(session.call("exports.set", which=which, values=given), as_json, "changed")


@export.command("remove")
@click.argument("which", metavar="EXPORT")
@json_option
@click.pass_obj
def remove(session: Session, which: str, as_json: bool) -> None:
    """Remove the export EXPORT."""
    _answer(session.call("exports.remove", which=which), as_json, "removed")


@export.command("move")
@click.argument("which", metavar="EXPORT")
@click.argument("to", metavar="NO", type=click.IntRange(min=1))
@json_option
@click.pass_obj
def move(session: Session, which: str, to: int, as_json: bool) -> None:
    """Move the export EXPORT to the place NO of the list."""
    _answer(session.call("exports.move", which=which, to=to), as_json, "moved")


@export.command("reload")
@json_option
@click.pass_obj
def reload(session: Session, as_json: bool) -> None:
    """Check the file of exports, after changing it by hand, and have the gateway apply it.

    Lists the exports. Where they are wrong, a gateway that runs keeps those that it has.
    """
    with session.rows("exports.reload") as rows:
        show(rows, as_json, _lines)


def _git_text(row: Plain) -> str:
    counts = (plural(row["commits"], "commit"), plural(row["objects"], "object"))
    text = f"{counts[0]} and {plural(row['refs'], 'ref')} exported as {counts[1]}"
    if row["left_out"]:
        text += f"; left out, as git cannot have them: {plural(row['left_out'], 'name')}"
    return text


@click.command("--git")
@click.argument("words", metavar="[BRANCH...] DIR", nargs=-1, required=True)
@json_option
@click.pass_obj
def git(session: Session, words: tuple[str, ...], as_json: bool) -> None:
    """Write branches and their named snapshots, or all there are, as a bare git repository.

    DIR is made if missing and must be empty.
    """
    *names, target = words
    target = os.path.abspath(target)
    done = session.task("git.export", "export", names=names, target=target)
    show_one(done, as_json, _git_text)
