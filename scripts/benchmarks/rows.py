"""One measured figure beside its peer's, and how rows are printed.

A row's target applies to its value or to the ratio of value and peer value; a row without a
target only states its figure.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Sequence
from typing import NamedTuple

_HOLDS = {">=": operator.ge, "<=": operator.le, "<": operator.lt}


class Row(NamedTuple):
    """One figure. `ratio` is value / peer value; `ok` is None where there is no target."""

    name: str
    value: float
    unit: str
    peer: str | None
    peer_value: float | None
    ratio: float | None
    target: str | None
    ok: bool | None


class Target(NamedTuple):
    """What a row is to reach: `sign` is one of >=, <=, <.

    `near_peer`: the value may moreover not be more than this above the peer's.
    """

    sign: str
    limit: float
    of_ratio: bool = False
    near_peer: float | None = None


def make_row(
    name: str,
    value: float,
    unit: str,
    *,
    peer: tuple[str, float] | None = None,
    target: Target | None = None,
) -> Row:
    """A row judged by its target. `peer` is the peer's name and its figure in the same unit."""
    ratio = value / peer[1] if peer is not None and peer[1] else None
    ok = None
    text = None
    if target is not None:
        judged = ratio if target.of_ratio else value
        ok = judged is not None and bool(_HOLDS[target.sign](judged, target.limit))
        text = f"{target.sign} {target.limit:,g} {'x peer' if target.of_ratio else unit}"
        if target.near_peer is not None and peer is not None:
            ok = ok and value <= peer[1] + target.near_peer
            text += f", at most {target.near_peer:g} {unit} over peer"
    peer_name, peer_value = peer if peer is not None else (None, None)
    return Row(name, value, unit, peer_name, peer_value, ratio, text, ok)


def as_json(row: Row) -> str:
    """The row as one JSON object on one line, figures with five significant digits."""
    fields = row._asdict()
    for key in ("value", "peer_value", "ratio"):
        if fields[key] is not None:
            fields[key] = float(f"{fields[key]:.5g}")
    return json.dumps(fields)


def as_table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table whose columns are aligned in plain text too."""
    cells = [["what", "fsgw", "peer", "peer's", "ratio", "target", "reached"]]
    cells += [_cells(row) for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    cells.insert(1, ["-" * width for width in widths])
    return "\n".join(
        f"| {' | '.join(map(str.ljust, line, widths))} |"  # ljust(cell, width)
        for line in cells
    )


def _cells(row: Row) -> list[str]:
    return [
        row.name,
        f"{number(row.value)} {row.unit}",
        row.peer or "",
        "" if row.peer_value is None else f"{number(row.peer_value)} {row.unit}",
        "" if row.ratio is None else f"{row.ratio:.2f}",
        row.target or "stated",
        {None: "", True: "yes", False: "NO"}[row.ok],
    ]


def number(value: float) -> str:
    """A figure in words: three significant digits at least, and no exponent."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value else "0"
