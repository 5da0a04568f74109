"""`fsgw merge`: one line of history into another."""

from __future__ import annotations

from collections.abc import Iterable

import click

from fsgw.commands.history import difference_lines
from fsgw.paths import path_text
from fsgw.plain import Plain
from fsgw.render import Lines, plural, show
from fsgw.session import EXIT_FOUND, Session, json_option


def _ref(snapshot: Plain) -> str:
    return f"{snapshot['branch']}@{snapshot['name']}"


def _done_lines(row: Plain, source: str, branch: str) -> Lines:
    """What became of a merge that was done."""
    made = row["snapshot"]
    if row["outcome"] == "fast-forward":
        yield f"{branch} had nothing of its own, and is now as {source}: {_ref(made)}"
    else:
        yield f"merged {source} into {branch}: {_ref(made)}"
    if row["before"]:
        yield f"{branch} was {_ref(row['before'])}"
    if row["source"]:
        yield f"{source} is {_ref(row['source'])}"


def _lines(row: Plain, source: str, branch: str) -> Lines:
    yield from difference_lines(row["changes"])
    if row["outcome"] == "up-to-date":
        yield f"{branch} has all of {source} already"
    elif row["snapshot"]:
        yield from _done_lines(row, source, branch)
    for one in row["conflicts"]:
        yield f"conflict: {path_text(one, 'path')}: {one['what']}"
    count = row["conflicts_total"]
    if count:
        left = count - len(row["conflicts"])
        more = f", {left} of them not shown" if left else ""
        yield f"{plural(count, 'conflict')} of {branch} (here) and {source} (there){more}"
        yield f"{branch} is as it was"


@click.command()
@click.argument("source")
@click.argument("branch")
@click.option("--favor", type=click.Choice(["ours", "theirs"]), help="Who wins in a conflict.")
@click.option("--no-ff", is_flag=True, help="Make a commit even where BRANCH has nothing new.")
@click.option("--dry-run", is_flag=True, help="Only show what would change, and conflicts.")
@click.option("--name", help="Name of the snapshot that the merge becomes (default: the time).")
@click.option("-m", "--message", default="", help="What it is for.")
@click.option("--author", envvar="FSGW_AUTHOR", help="Who merges: 'Ann <ann@example.org>'.")
@json_option
@click.pass_context
def merge(
    context: click.Context,
    source: str,
    branch: str,
    favor: str | None,
    no_ff: bool,
    dry_run: bool,
    name: str | None,
    message: str,
    author: str | None,
    as_json: bool,
) -> None:
    """Merge SOURCE into BRANCH, under its users: all that SOURCE changed since their common
    ancestor is done to BRANCH.

    Where both changed the same, nothing is done, each conflict is shown, and the exit code is 1;
    --favor lets BRANCH (ours) or SOURCE (theirs) win. What BRANCH was is kept as a snapshot, so
    that a rollback undoes the merge. --dry-run prints lines as of `fsgw diff`.
    """
    session: Session = context.obj
    done = session.task(
        "merge",
        "merge",
        branch=branch,
        source=source,
        name=name,
        message=message,
        author=author,
        favor=favor,
        fast_forward=not no_ff,
        dry_run=dry_run,
    )

    def text(rows: Iterable[Plain]) -> Lines:
        return (line for row in rows for line in _lines(row, source, branch))

    show([done], as_json, text)
    if done["conflicts_total"]:
        context.exit(EXIT_FOUND)
