"""`fsgw branch ...` and `fsgw quota`: lines of history and their limits."""

from __future__ import annotations

import os
from collections.abc import Iterable

import click

from fsgw.plain import Plain
from fsgw.render import Lines, plural, show, show_one, size, table, when
from fsgw.session import Session, json_option, parse_size


@click.group()
def branch() -> None:
    """List, create, delete, rename and fork branches."""


def _branch_lines(rows: Iterable[Plain]) -> Lines:
    cells = [
        (row["name"], size(row["used_bytes"]), str(row["inodes"]), when(row["created_ns"]))
        for row in rows
    ]
    return table([("NAME", "USED", "INODES", "CREATED"), *cells], right=frozenset({1, 2}))


@branch.command("list")
@json_option
@click.pass_obj
def list_branches(session: Session, as_json: bool) -> None:
    """List all branches."""
    with session.rows("branches.list") as rows:
        show(rows, as_json, _branch_lines)


@branch.command("create")
@click.argument("name")
@json_option
@click.pass_obj
def create(session: Session, name: str, as_json: bool) -> None:
    """Create the empty branch NAME, its root directory yours."""
    made = session.call("branches.create", name=name, uid=os.getuid(), gid=os.getgid())
    show_one(made, as_json, lambda row: f"created branch {row['name']}")


@branch.command("delete")
@click.argument("name")
@click.pass_obj
def delete(session: Session, name: str) -> None:
    """Delete the branch NAME and its snapshots."""
    session.call("branches.delete", branch=name)
    click.echo(f"deleted branch {name}")


@branch.command("rename")
@click.argument("old")
@click.argument("new")
@json_option
@click.pass_obj
def rename(session: Session, old: str, new: str, as_json: bool) -> None:
    """Rename the branch OLD to NEW."""

    def text(row: Plain) -> str:
        return f"renamed branch {old} to {row['name']}"

    show_one(session.call("branches.rename", branch=old, name=new), as_json, text)


@branch.command("fork")
@click.argument("source")
@click.argument("name")
@json_option
@click.pass_obj
def fork(session: Session, source: str, name: str, as_json: bool) -> None:
    """Create the branch NAME from SOURCE: a branch, snapshot, commit, or directory in one."""

    def text(row: Plain) -> str:
        return f"created branch {row['name']} from {source}"

    show_one(session.call("branches.fork", source=source, name=name), as_json, text)


def _quota_text(row: Plain) -> str:
    bytes_max = size(row["bytes_max"]) if row["bytes_max"] else "no limit"
    inodes_max = str(row["inodes_max"] or "no limit")
    return (
        f"{row['name']}: {size(row['used_bytes'])} used of {bytes_max}, "
        f"{plural(row['inodes'], 'inode')} of {inodes_max}"
    )


@click.command()
@click.argument("name", metavar="BRANCH")
@click.option(
    "--bytes",
    "bytes_max",
    type=parse_size,
    metavar="SIZE",
    help="Most bytes the branch may use; 0: any.",
)
@click.option("--inodes", "inodes_max", type=click.IntRange(min=0), help="Most inodes; 0: any.")
@json_option
@click.pass_obj
def quota(
    session: Session, name: str, bytes_max: int | None, inodes_max: int | None, as_json: bool
) -> None:
    """Show a branch's usage and limits, after setting the limits given.

    Sizes are bytes, or have a unit: 512M, 10G.
    """
    if bytes_max is None and inodes_max is None:
        row = session.call("quota.get", branch=name)
    else:
        row = session.call("quota.set", branch=name, bytes_max=bytes_max, inodes_max=inodes_max)
    show_one(row, as_json, _quota_text)
