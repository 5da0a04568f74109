"""Command line of the benchmarks: measure one area, print each row beside its peer's figure.

Figures go to standard output, as an aligned Markdown table or (`--json`) one object a line;
progress goes to standard error. The exit code is 0 whatever the figures are, 1 with `--strict`
where a target was missed, 2 for a wrong command line.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import tempfile
import time
from pathlib import Path

from fsgw.process import tune
from scripts.benchmarks.areas import AREAS, Measure
from scripts.benchmarks.bench import Bench
from scripts.benchmarks.readme import put_in
from scripts.benchmarks.rows import Row, as_json, as_table

CHECKOUT = Path(__file__).resolve().parent.parent


def _arguments() -> argparse.Namespace:
    names = "; ".join(f"{area}: {', '.join(rows)}" for area, rows in AREAS.items())
    parser = argparse.ArgumentParser(prog="bench", description=__doc__, epilog=f"Rows of {names}")
    parser.add_argument("area", choices=sorted(AREAS), help="what to measure")
    parser.add_argument("--quick", action="store_true", help="small sizes: under a minute")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--only", action="append", metavar="NAME", help="only this row; repeatable")
    parser.add_argument("--dir", type=Path, help="where to work (default: beside the checkout)")
    parser.add_argument("--strict", action="store_true", help="exit 1 where a target is missed")
    parser.add_argument("--readme", action="store_true", help="put the table into README.md")
    parser.add_argument(
        "--profile",
        type=Path,
        metavar="FILE",
        help="nfs, fuse: run our server under cProfile, whose statistics of its last process go to"
        " FILE (then: python -m pstats FILE); use it with --only",
    )
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.only or ()) - set(AREAS[arguments.area]))
    if unknown:
        parser.error(f"no such row: {', '.join(unknown)} ({names})")
    if arguments.dir is not None and not arguments.dir.is_dir():
        parser.error(f"--dir: no such directory: {arguments.dir}")
    return arguments


def _measure(bench: Bench, measures: list[Measure], *, json: bool) -> list[Row]:
    rows: list[Row] = []
    for measure in measures:
        for row in measure(bench):
            rows.append(row)
            if json:
                print(as_json(row), flush=True)
    return rows


def _conditions() -> str:
    return (
        f"Linux {platform.release().partition('-')[0]}, Python {platform.python_version()}, "
        f"{os.cpu_count()} cores; load average before it: {os.getloadavg()[0]:.1f}."
    )


def main() -> int:
    """Measure what the command line asks for and print it."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    tune()
    chosen = AREAS[arguments.area]
    measures = [chosen[name] for name in chosen if not arguments.only or name in arguments.only]
    started = time.monotonic()
    profile = arguments.profile.absolute() if arguments.profile else None
    where = (arguments.dir or CHECKOUT.parent).resolve()
    with (
        tempfile.TemporaryDirectory(prefix="fsgw-bench-", dir=where) as scratch,
        Bench(Path(scratch), quick=arguments.quick, profile=profile) as bench,
    ):
        conditions = _conditions()
        bench.say(f"{conditions} In {scratch}")
        rows = _measure(bench, measures, json=arguments.json)
        bench.say(f"done in {time.monotonic() - started:.0f} s")
    if not arguments.json:
        print(as_table(rows))
    if arguments.readme:
        kind = "quick run" if arguments.quick else "run"
        put_in(CHECKOUT / "README.md", arguments.area, rows, f"One {kind}. {conditions}")
    return int(arguments.strict and any(row.ok is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
