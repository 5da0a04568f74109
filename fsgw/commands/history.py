"""`fsgw snapshot ...`, `log`, `diff`, `rollback`: points in time."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

import click

from fsgw.paths import path_text
from fsgw.plain import Plain
from fsgw.render import Lines, show, show_one, size, table, when
from fsgw.session import EXIT_FOUND, Session, json_option
from store.errors import InvalidRef

_LETTERS = {"added": "A", "removed": "D", "modified": "M", "renamed": "R"}


@click.group()
def snapshot() -> None:
    """Create, list and delete snapshots."""


def _first_line(message: str) -> str:
    return message.partition("\n")[0]


def _snapshot_lines(rows: Iterable[Plain]) -> Lines:
    cells = [
        (
            row["name"],
            when(row["time_ns"]),
            size(row["used_bytes"]),
            row["commit"][:12] or "-",
            row["author"],
            _first_line(row["message"]),
        )
        for row in rows
    ]
    head = ("NAME", "TIME", "USED", "COMMIT", "AUTHOR", "MESSAGE")
    return table([head, *cells], right=frozenset({2}))


def _ref_lines(rows: Iterable[Plain]) -> Lines:
    return (f"{row['branch']}@{row['name']}" for row in rows)


@snapshot.command("create")
@click.argument("branches", metavar="BRANCH...", nargs=-1, required=True)
@click.option("--name", help="Name of the snapshot (default: the time).")
@click.option("-m", "--message", default="", help="What it is for.")
@click.option("--author", envvar="FSGW_AUTHOR", help="Who makes it: 'Ann <ann@example.org>'.")
@json_option
@click.pass_obj
def create(
    session: Session,
    branches: tuple[str, ...],
    name: str | None,
    message: str,
    author: str | None,
    as_json: bool,
) -> None:
    """Snapshot one branch, or several in one atomic step."""
    made = session.call(
        "snapshots.create", branches=list(branches), name=name, message=message, author=author
    )
    show(made, as_json, _ref_lines)


@snapshot.command("list")
@click.argument("branch")
@json_option
@click.pass_obj
def list_snapshots(session: Session, branch: str, as_json: bool) -> None:
    """List the snapshots of BRANCH, oldest first."""
    with session.rows("snapshots.list", branch=branch) as rows:
        show(rows, as_json, _snapshot_lines)


@snapshot.command("delete")
@click.argument("ref", metavar="BRANCH@NAME")
@click.pass_obj
def delete(session: Session, ref: str) -> None:
    """Delete the snapshot BRANCH@NAME."""
    branch, at, name = ref.partition("@")
    if not at:
        raise InvalidRef(f"{ref!r} is no snapshot: BRANCH@NAME is")
    session.call("snapshots.delete", branch=branch, snapshot=name)
    click.echo(f"deleted snapshot {ref}")


def _log_lines(rows: Iterable[Plain]) -> Lines:
    for index, row in enumerate(rows):
        if index:
            yield ""
        name = f" ({row['name']})" if row["name"] else ""
        yield f"commit {row['commit'] or 'not sealed yet'}{name}"
        if len(row["parents"]) > 1:
            yield f"Merge:  {' '.join(parent[:12] for parent in row['parents'])}"
        yield f"Author: {row['author']}"
        yield f"Date:   {when(row['time_ns'])}"
        if row["message"]:
            yield ""
            yield from (f"    {line}".rstrip() for line in row["message"].splitlines())


@click.command()
@click.argument("ref")
@click.option("-n", "limit", type=click.IntRange(min=0), help="At most so many entries.")
@json_option
@click.pass_obj
def log(session: Session, ref: str, limit: int | None, as_json: bool) -> None:
    """Show the history that led to REF, newest first."""
    with session.rows("log", ref=ref, limit=limit) as rows:
        show(rows, as_json, _log_lines)


def difference_lines(rows: Iterable[Plain]) -> Lines:
    """Differences for a person, a line each."""
    for row in rows:
        path = path_text(row, "path")
        if row["kind"] == "renamed":
            path = f"{path_text(row, 'old_path')} -> {path}"
        yield f"{_LETTERS[row['kind']]} {path}"


@click.command()
@click.argument("a")
@click.argument("b")
@click.option("--exit-code", is_flag=True, help="Exit with 1 when something differs.")
@json_option
@click.pass_context
def diff(context: click.Context, a: str, b: str, exit_code: bool, as_json: bool) -> None:
    """Show what differs from A to B (branches, snapshots or commits).

    One line a path: A added, D removed, M modified, R renamed (old -> new). A backslash or control
    character in a path is shown as \\\\, \\n or octal.
    """
    session: Session = context.obj
    with session.rows("diff", old=a, new=b) as rows:
        first = next(rows, None)
        if first is not None:
            show(chain([first], rows), as_json, difference_lines)
    if exit_code and first is not None:
        context.exit(EXIT_FOUND)


@click.command()
@click.argument("branch")
@click.argument("target")
@json_option
@click.pass_obj
def rollback(session: Session, branch: str, target: str, as_json: bool) -> None:
    """Put BRANCH back to TARGET; what it was is kept as a snapshot."""

    def text(row: Plain) -> str:
        return f"{branch} is now as {target}; it was {row['branch']}@{row['name']}"

    show_one(session.call("rollback", branch=branch, target=target), as_json, text)
