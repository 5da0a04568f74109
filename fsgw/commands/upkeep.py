"""`fsgw init`, `gc`, `check`, `stats`: the store as a whole."""

from __future__ import annotations

from collections.abc import Iterable

import click

from fsgw.plain import Plain
from fsgw.render import Lines, plural, show, show_one, size, table
from fsgw.session import EXIT_FOUND, Session, json_option, parse_size
from store.types import BLOCK_BYTES_DEFAULT


@click.command()
@click.argument("directory", metavar="[DIR]", required=False)
@click.option(
    "--block-bytes",
    type=parse_size,
    metavar="SIZE",
    default=str(BLOCK_BYTES_DEFAULT),
    help="Bytes in a block of file data, fixed for good (default 128K).",
)
@click.pass_obj
def init(session: Session, directory: str | None, block_bytes: int) -> None:
    """Make an empty store in DIR (default: the store of --store or FSGW_STORE)."""
    from store.store import Store

    path = directory or session.path
    Store.init(path, block_bytes=block_bytes)
    click.echo(f"made an empty store in {path}")


def _gc_text(row: Plain) -> str:
    return (
        f"freed {size(row['freed_bytes'])}: {plural(row['objects_removed'], 'object')} and "
        f"{plural(row['packs_removed'], 'pack')} removed, {size(row['copied_bytes'])} copied"
    )


def _gc_plan_text(row: Plain) -> str:
    chosen = [pack for pack in row["packs"] if pack["rewrite"]]
    return (
        f"would free {size(row['freed_bytes'])} of {size(row['dead_bytes'])} that nothing needs: "
        f"{plural(sum(pack['dead_objects'] for pack in chosen), 'object')} in "
        f"{plural(len(chosen), 'pack')} of {len(row['packs'])}"
    )


@click.command("gc")
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@json_option
@click.pass_obj
def collect(session: Session, dry_run: bool, as_json: bool) -> None:
    """Free the space of what no branch and no snapshot holds any more."""
    if dry_run:
        show_one(session.task("gc.plan", "gc"), as_json, _gc_plan_text)
    else:
        show_one(session.task("gc", "gc"), as_json, _gc_text)


def _problem_lines(rows: Iterable[Plain]) -> Lines:
    return (f"{row['where']}: {row['what']}" for row in rows)


@click.command()
@click.option("--data", is_flag=True, help="Read and verify every stored byte as well.")
@json_option
@click.pass_context
def check(context: click.Context, data: bool, as_json: bool) -> None:
    """Verify the store; exit code 1 when there are problems, one line for each."""
    session: Session = context.obj
    found = session.task("check", "check", data=data)["problems"]
    show(found, as_json, _problem_lines)
    if not as_json:
        click.echo(plural(len(found), "problem") if found else "no problems found")
    if found:
        context.exit(EXIT_FOUND)


def _stats_lines(rows: Iterable[Plain]) -> Lines:
    (row,) = rows
    figures = [
        ("held by branches and snapshots", size(row["logical_bytes"])),
        ("objects", str(row["objects"])),
        ("their size", size(row["unique_bytes"])),
        ("their size as stored", size(row["stored_bytes"])),
        (plural(row["packs"], "pack"), size(row["pack_bytes"])),
        ("reclaimable by gc", size(row["reclaimable_bytes"])),
        ("database", size(row["database_bytes"])),
        ("journal", size(row["journal_bytes"])),
    ]
    yield from table(figures, right=frozenset({1}))
    owners = [
        *((one["name"], one) for one in row["branches"]),
        *((f"{one['branch']}@{one['name']}", one) for one in row["snapshots"]),
    ]
    cells = [(ref, size(one["used_bytes"]), size(one["exclusive_bytes"])) for ref, one in owners]
    yield ""
    yield from table([("REF", "HOLDS", "ALONE"), *cells], right=frozenset({1, 2}))


@click.command()
@json_option
@click.pass_obj
def stats(session: Session, as_json: bool) -> None:
    """Show what is stored: objects and bytes, in all and for each branch and snapshot.

    What a branch or snapshot holds ALONE is what deleting it would free.
    """
    show([session.task("stats", "stats")], as_json, _stats_lines)
