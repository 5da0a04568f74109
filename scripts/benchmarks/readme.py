"""A run's rows as a table of README.md, between `<!-- bench:AREA -->` and `<!-- /bench:AREA -->`.

A row named `X: CPU` becomes two columns of the row X, so that a figure and its price stand in one
line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from scripts.benchmarks.rows import Row, number

CPU = ": CPU"

_HEAD = ("what", "fsgw", "peer", "its figure", "ratio", "to reach", "reached")
_CPU_HEAD = ("CPU s/1,000 calls", "peer's")
_REACHED = {None: "", True: "yes", False: "**no**"}


def as_readme(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    prices = {row.name.removesuffix(CPU): row for row in rows if row.name.endswith(CPU)}
    lines = [[*_HEAD, *(_CPU_HEAD if prices else ())]]
    lines.append(["---"] * len(lines[0]))
    for row in rows:
        if not row.name.endswith(CPU):
            price = prices.get(row.name)
            lines.append([*_cells(row), *(_price(price) if prices else ())])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def put_in(readme: Path, area: str, rows: Sequence[Row], conditions: str) -> None:
    """Replace an area's table, and the sentence about the conditions of the run, in a README.

    Raises ValueError where the area's two markers are missing.
    """
    text = readme.read_text("utf-8")
    start, end = f"<!-- bench:{area} -->", f"<!-- /bench:{area} -->"
    block = f"{start}\n{conditions}\n\n{as_readme(rows)}\n{end}"
    between = f"{re.escape(start)}.*?{re.escape(end)}"
    text, count = re.subn(between, lambda _: block, text, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"{readme}: no {start} ... {end}")
    readme.write_text(text, "utf-8")


def _cells(row: Row) -> list[str]:
    return [
        row.name,
        f"{number(row.value)} {row.unit}",
        row.peer or "",
        "" if row.peer_value is None else number(row.peer_value),
        "" if row.ratio is None else f"{row.ratio:.2f}",
        row.target or "",
        _REACHED[row.ok],
    ]


def _price(row: Row | None) -> list[str]:
    if row is None or row.peer_value is None:
        return ["", ""]
    judged = "" if row.target is None else f" ({row.target}: {_REACHED[row.ok]})"
    return [f"{number(row.value)}{judged}", number(row.peer_value)]
