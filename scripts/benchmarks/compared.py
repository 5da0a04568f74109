"""What a load program measured on either side, and the rows of it.

The same program loads both sides in turns. CPU seconds are the server's own, user and system, of
all its threads, within the measured time.
"""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from scripts.benchmarks.bench import Bench, Pair
from scripts.benchmarks.readme import CPU
from scripts.benchmarks.rows import Row, Target, make_row

_SOURCES = Path(__file__).parent
_SHARED = "load"
_CPU_UNIT = "s/1,000 calls"

FASTER = Target(">=", 1.5, of_ratio=True)
NO_SLOWER = Target(">=", 1.0, of_ratio=True)
NEARLY = Target(">=", 0.8, of_ratio=True)
NO_DEARER = Target("<=", 1.0, of_ratio=True)

Option = int | str | float | bool


class Report(NamedTuple):
    """What one run of a load program measured. `done` counts pieces of work of some calls each."""

    calls: int
    done: int
    seconds: float
    calls_per_s: float
    done_per_s: float
    mib_per_s: float
    entries_per_s: float = 0.0
    server_cpu_s: float = 0.0


def sources(name: str) -> list[Path]:
    """The C files of a load program."""
    return sorted(path for part in (name, _SHARED) for path in (_SOURCES / part).glob("*.c"))


def build(name: str, program: Path) -> Path:
    """A load program, compiled as `program`."""
    flags = ("-O2", "-Wall", "-pthread")
    subprocess.run(["gcc", *flags, "-o", program, *map(str, sources(name))], check=True)
    return program


def run_load(program: Path, *words: str, **options: Option) -> Report:
    """Run a load program: `block_bytes=4096` is given as `--block-bytes=4096`, True as a flag."""
    flags = []
    for key, value in options.items():
        name = f"--{key.replace('_', '-')}"
        if isinstance(value, bool):
            flags += [name] * value
        else:
            flags.append(f"{name}={value}")
    answer = subprocess.run([program, *flags, *words], check=True, stdout=subprocess.PIPE)
    fields = json.loads(answer.stdout)
    return Report(**{name: fields[name] for name in Report._fields if name in fields})


def run_s(bench: Bench) -> float:
    """Seconds that one run of a load program lasts, where no count ends it."""
    return 0.2 if bench.quick else 1.0


Run = Callable[[], Sequence[Report]]


class Compared(NamedTuple):
    """The reports of all rounds of one measurement, of either side."""

    ours: Sequence[Report]
    peer: Sequence[Report]

    def median(self, figure: str) -> Pair:
        """Of one field of the reports."""
        return Pair(*(statistics.median(getattr(one, figure) for one in side) for side in self))

    def cpu(self) -> Pair:
        """CPU seconds for 1,000 calls, over all rounds: one alone may be a few clock ticks."""
        return Pair(
            *(
                1000 * sum(one.server_cpu_s for one in side) / sum(one.calls for one in side)
                for side in self
            )
        )


def compare(bench: Bench, what: str, ours: Run, peer: Run) -> list[Compared]:
    """Run both in turns; one result for each of the reports that a run gives."""
    rounds: tuple[list[Sequence[Report]], list[Sequence[Report]]] = ([], [])

    def recorded(run: Run, reports: list[Sequence[Report]]) -> Callable[[], float]:
        def call() -> float:
            reports.append(run())
            return reports[-1][0].calls_per_s

        return call

    bench.alternate(
        f"{what}, calls/s", bench.size(3, 1), recorded(ours, rounds[0]), recorded(peer, rounds[1])
    )
    ours_by_kind, peer_by_kind = (zip(*side, strict=True) for side in rounds)
    return [Compared(*pair) for pair in zip(ours_by_kind, peer_by_kind, strict=True)]


def rows_of(
    name: str,
    compared: Compared,
    figure: str,
    unit: str,
    target: Target | None = None,
    *,
    peer: str,
    cpu_target: Target | None = None,
) -> Iterator[Row]:
    """The row of a figure beside that of `peer`, and the row of the CPU time it took either."""
    pair, cpu = compared.median(figure), compared.cpu()
    yield make_row(name, pair.ours, unit, peer=(peer, pair.peer), target=target)
    yield make_row(name + CPU, cpu.ours, _CPU_UNIT, peer=(peer, cpu.peer), target=cpu_target)
