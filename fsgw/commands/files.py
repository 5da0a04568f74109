"""`fsgw import`, `restore`, `ls`, `cat`: files in and out."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable

import click

from fsgw.paths import path_text
from fsgw.plain import TYPE_NAMES, Plain
from fsgw.render import Lines, plural, show, show_one, size, when
from fsgw.session import EXIT_FOUND, Session, json_option, print_error

_TYPES = {name: kind for kind, name in TYPE_NAMES.items()}


def _report_troubles(context: click.Context, done: Plain, as_json: bool) -> None:
    """End a transfer: each path that was left out on stderr, and the exit code that says so."""
    if not as_json:
        for trouble in done["troubles"]:
            print_error(f"{path_text(trouble, 'path')}: {trouble['what']}")
        if hidden := done["troubles_total"] - len(done["troubles"]):
            print_error(f"... and {hidden} more")
    if done["troubles_total"]:
        context.exit(EXIT_FOUND)


def _import_text(row: Plain) -> str:
    text = (
        f"{row['added']} added, {row['changed']} changed, {row['removed']} removed, "
        f"{row['unchanged']} unchanged; {size(row['content_bytes'])} written"
    )
    if row["snapshot"] is not None:
        text += f"\n{row['snapshot']['branch']}@{row['snapshot']['name']}"
    return text


def _git_text(row: Plain) -> str:
    counts = (
        plural(row["commits"], "commit"),
        plural(row["branches"], "branch", "branches"),
        plural(row["tags"], "tag"),
    )
    return f"{counts[0]} imported; {counts[1]} and {counts[2]} changed"


@click.command("import")
@click.argument("words", metavar="DIR BRANCH[/SUB/DIR]", nargs=-1, type=click.Path())
@click.option("--git", "git", is_flag=True, help="DIR is a git repository: see below.")
@click.option("--checksum", is_flag=True, help="Compare contents, not size and time.")
@click.option("--delete/--no-delete", default=True, help="Remove what DIR does not have.")
@click.option("--snapshot", metavar="NAME", help="Take this snapshot at the end.")
@click.option("-m", "--message", default="", help="Message of the snapshot.")
@click.option("--author", envvar="FSGW_AUTHOR", help="Author of the snapshot.")
@json_option
@click.pass_context
def import_command(
    context: click.Context,
    words: tuple[str, ...],
    git: bool,
    snapshot: str | None,
    message: str,
    author: str | None,
    as_json: bool,
    checksum: bool,
    delete: bool,
) -> None:
    """Make a branch, or a directory in it, equal to the local directory DIR.

    Writes only what differs: a file with the same size and modification time is taken as the same.
    What cannot be read is reported, left in the branch as it was, and makes the exit code 1.

    `fsgw import --git REPOSITORY [PREFIX...]` brings a whole history in instead: git's branches
    (those whose names start with a PREFIX) become branches, its tags snapshots. Again, it brings
    in what is new. A branch that went on here is left alone, which makes the exit code 1.
    """
    session: Session = context.obj
    if git and words:
        _import_git(context, *words, as_json=as_json)
        return
    if len(words) != 2:
        raise click.UsageError("what is needed is DIR and BRANCH, or --git and a repository")
    if not os.path.isdir(words[0]):
        raise click.UsageError(f"{words[0]!r} is no directory")
    source, target = words
    branch, _, path = target.partition("/")
    done = session.task(
        "import",
        "import",
        branch=branch,
        path=path,
        source=os.path.abspath(source),
        checksum=checksum,
        delete=delete,
        snapshot=snapshot,
        message=message,
        author=author,
    )
    show_one(done, as_json, _import_text)
    _report_troubles(context, done, as_json)


def _import_git(context: click.Context, source: str, *prefixes: str, as_json: bool) -> None:
    session: Session = context.obj
    source = os.path.abspath(source)
    done = session.task(
        "git.import",
        "import",
        source=source,
        prefixes=list(prefixes),
        uid=os.getuid(),
        gid=os.getgid(),
    )
    show_one(done, as_json, _git_text)
    if not as_json:
        for trouble in done["troubles"]:
            print_error(trouble)
    if done["troubles"]:
        context.exit(EXIT_FOUND)


def _restore_text(row: Plain) -> str:
    return f"{row['added']} restored; {size(row['content_bytes'])} written"


@click.command()
@click.argument("source", metavar="REF[/SUB/DIR]")
@click.argument("target", metavar="DIR", type=click.Path(file_okay=False))
@click.option("--force", is_flag=True, help="Into a directory that is not empty, over its files.")
@json_option
@click.pass_context
def restore(context: click.Context, source: str, target: str, force: bool, as_json: bool) -> None:
    """Restore a branch, snapshot or commit, or a directory in one, as the local directory DIR.

    DIR is made if missing and must be empty. What cannot be made there is reported and makes the
    exit code 1. Owners are restored as root only.
    """
    session: Session = context.obj
    done = session.task(
        "restore", "restore", source=source, target=os.path.abspath(target), force=force
    )
    show_one(done, as_json, _restore_text)
    _report_troubles(context, done, as_json)


def _long_lines(rows: Iterable[Plain]) -> Lines:
    return (_long_line(row) for row in rows)


def _long_line(row: Plain) -> str:
    kind = _TYPES[row["type"]]
    length = size(row["size"])
    if row["type"].endswith("device"):
        length = "{}, {}".format(*row["rdev"])
    line = (
        f"{stat.filemode(kind | int(row['mode'], 8))} {row['nlink']:>3} {row['uid']:>5} "
        f"{row['gid']:>5} {length:>10} {when(row['mtime_ns'])} {path_text(row, 'name')}"
    )
    return f"{line} -> {path_text(row, 'target')}" if "target" in row else line


def _name_lines(rows: Iterable[Plain]) -> Lines:
    return (path_text(row, "name") for row in rows)


@click.command()
@click.argument("ref", metavar="REF[/PATH]")
@click.option("-l", "long", is_flag=True, help="Mode, links, owner, size and time as well.")
@json_option
@click.pass_obj
def ls(session: Session, ref: str, long: bool, as_json: bool) -> None:
    """List a directory of a branch, snapshot or commit."""
    with session.rows("ls", ref=ref) as rows:
        show(rows, as_json, _long_lines if long else _name_lines)


@click.command()
@click.argument("ref", metavar="REF/PATH")
@click.pass_obj
def cat(session: Session, ref: str) -> None:
    """Write a file's bytes to standard output."""
    out = sys.stdout.buffer
    with session.content("cat", ref=ref) as pieces:
        for data in pieces:
            out.write(data)
        out.flush()
