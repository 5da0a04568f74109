"""`fsgw status` and `fsgw clients`: what the gateway does, and for whom."""

from __future__ import annotations

from collections.abc import Iterable

import click

from fsgw.plain import Plain
from fsgw.render import Lines, plural, show, show_one, size, table, when
from fsgw.session import Session, json_option


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days} d {hours:02}:{minutes:02}:{seconds:02}"


def _status_text(row: Plain) -> str:
    lines = [
        ("store", row["store"]),
        ("running", f"{_duration(row['uptime_s'])}, process {row['pid']}"),
        ("calls", f"{row['calls_per_s']}/s"),
        ("to be flushed", size(row["dirty_bytes"])),
        ("changes in memory", f"{size(row['held_bytes'])}, journal {size(row['journal_bytes'])}"),
        ("to be sealed", plural(row["unsealed"], "layer")),
        ("flushes", f"{row['flushes']}, {row['failures']} failed"),
        ("last error", row["last_error"] or "none"),
    ]
    for name, door in row["doors"].items():
        figures = ", ".join(f"{key} {value}" for key, value in door.items() if value != "")
        lines.append((name, figures))
    return "\n".join(table(lines))


@click.command()
@json_option
@click.pass_obj
def status(session: Session, as_json: bool) -> None:
    """Show what the gateway does that has the store; exit code 1 when there is none."""
    show_one(session.call("status"), as_json, _status_text)


def _client_lines(rows: Iterable[Plain]) -> Lines:
    head = ("ADDRESS", "SINCE", "CALLS/S", "RECEIVED/S", "SENT/S", "CALLS", "MOUNTS")
    cells = [
        (
            row["address"],
            when(int(row["since_s"] * 1e9)),
            str(row["calls_per_s"]),
            size(int(row["received_bytes_per_s"])),
            size(int(row["sent_bytes_per_s"])),
            str(row["calls"]),
            " ".join(row["mounts"]) or "-",
        )
        for row in rows
    ]
    return table([head, *cells], right=frozenset({2, 3, 4, 5}))


@click.command()
@json_option
@click.pass_obj
def clients(session: Session, as_json: bool) -> None:
    """List who uses the gateway: where from, since when, how much, and what they mounted."""
    with session.rows("clients") as rows:
        show(rows, as_json, _client_lines)
