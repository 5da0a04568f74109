"""Plain data as text for people and as JSON for scripts, on standard output."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fsgw.plain import Plain

Lines = Iterable[str]


def size(count: int) -> str:
    """Bytes for a person: three or so digits and a binary unit."""
    if count < 1024:
        return f"{count} B"
    amount = count / 1024
    units = iter(("KiB", "MiB", "GiB", "TiB", "PiB", "EiB"))
    unit = next(units)
    while amount >= 1023.95 and unit != "EiB":
        amount, unit = amount / 1024, next(units)
    return f"{amount:.1f} {unit}"


def when(time_ns: int) -> str:
    """A time in UTC, to the second."""
    try:
        return datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError):  # beyond the years 1 to 9999
        return f"{time_ns // 1_000_000_000} s"


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """`1 file`, `2 files`."""
    return f"{count} {noun}" if count == 1 else f"{count} {nouns or noun + 's'}"


def table(rows: Iterable[Iterable[str]], right: frozenset[int] = frozenset()) -> Lines:
    """Rows in aligned columns, those numbered in `right` to the right; the last is not padded."""
    cells = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        padded = [
            text.rjust(width) if index in right else text.ljust(width)
            for index, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(padded).rstrip()


def show(data: Iterable[Plain], as_json: bool, text: Callable[[Iterable[Plain]], Lines]) -> None:
    """Print data as it comes: a JSON object a line, or the lines that `text` makes of it.

    Lines of text may hold surrogate escapes: they go out as the bytes they stand for.
    """
    lines = (json.dumps(row) for row in data) if as_json else text(data)
    out = sys.stdout.buffer
    for line in lines:
        out.write(os.fsencode(line) + b"\n")
    out.flush()


def show_one(data: Plain, as_json: bool, text: Callable[[Plain], str]) -> None:
    """Print one object: as JSON, or as the line or lines that `text` makes of it."""
    show([data], as_json, lambda rows: (text(row) for row in rows))
