"""`fsgw export ...`: which clients may mount which branches, and how.

The options of `add` and `set` are the keys of the file, made from their declaration.
"""

from __future__ import annotations

import dataclasses
import http.client
import os
import socket
from collections.abc import Callable, Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import click

from fsgw import exports_file, settings
from fsgw.config import EXPORTS_NAME, SOCKET_NAME
from fsgw.exports import DEFAULT, Export
from fsgw.plain import Plain
from fsgw.render import Lines, show, show_one, table
from fsgw.session import Session, json_option
from fsgw.settings import Choice, Flag, ListOf, Whole
from store import directory
from store.errors import InvalidArgument

F = TypeVar("F", bound=Callable[..., Any])

# Keys that are lists take one item an option, which is named for the item.
_ITEMS = {"branches": ("--branch", "PATTERN"), "clients": ("--client", "NETWORK")}
_DEFAULT = settings.plain(DEFAULT[0])
_GATEWAY_TIMEOUT_S = 60


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


def _file(session: Session) -> Path:
    """The store's file of exports. Raises NotAStore, WrongVersion."""
    path = Path(session.path)
    directory.identity(path)
    return path / EXPORTS_NAME


class _Gateway(http.client.HTTPConnection):
    """A connection to the admin socket of a gateway."""

    def __init__(self, path: Path) -> None:
        super().__init__("gateway", timeout=_GATEWAY_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        """Connect. Raises OSError."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(os.fspath(self._path))


def apply(session: Session) -> bool:
    """Have the gateway that has the store load the exports; whether one runs.

    Raises InvalidArgument where it does not; the file is changed nevertheless.
    """
    gateway = _Gateway(Path(session.path) / SOCKET_NAME)
    try:
        gateway.connect()
    except (FileNotFoundError, ConnectionRefusedError):
        gateway.close()
        return False
    try:
        gateway.request("POST", "/v1/exports/reload")
        answer = gateway.getresponse()
        said = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise InvalidArgument(f"the gateway did not load the exports: {error}") from error
    finally:
        gateway.close()
    if answer.status >= HTTPStatus.BAD_REQUEST:
        raise InvalidArgument(f"the gateway did not load the exports: {said}")
    return True


@click.group()
def export() -> None:
    """List and change which clients may mount which branches.

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
    show(exports_file.listing(_file(session)), as_json, _lines)


def _changed(session: Session, as_json: bool, word: str, row: Plain) -> None:
    """Have the change applied, and answer."""
    apply(session)
    show_one(row, as_json, lambda row: f"{word} export {row['name'] or row['number']}")


@export.command("add")
@click.option("--at", type=click.IntRange(min=1), metavar="NO", help="Its place; else the last.")
@_options
@json_option
@click.pass_obj
def add(session: Session, /, at: int | None, as_json: bool, **values: Any) -> None:
    """Add an export of the branches --branch to the clients --client."""
    row = exports_file.add(_file(session), _given(values), at)
    _changed(session, as_json, "added", row)


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
    row = exports_file.change(_file(session), which, given)
    _changed(session, as_json, "changed", row)


@export.command("remove")
@click.argument("which", metavar="EXPORT")
@json_option
@click.pass_obj
def remove(session: Session, which: str, as_json: bool) -> None:
    """Remove the export EXPORT."""
    _changed(session, as_json, "removed", exports_file.remove(_file(session), which))


@export.command("move")
@click.argument("which", metavar="EXPORT")
@click.argument("to", metavar="NO", type=click.IntRange(min=1))
@json_option
@click.pass_obj
def move(session: Session, which: str, to: int, as_json: bool) -> None:
    """Move the export EXPORT to the place NO of the list."""
    _changed(session, as_json, "moved", exports_file.move(_file(session), which, to))


@export.command("reload")
@click.pass_obj
def reload(session: Session) -> None:
    """Check the file of exports, after changing it by hand, and have the gateway apply it."""
    exports_file.listing(_file(session))
    click.echo("reloaded" if apply(session) else "no problems found; no gateway runs")
