"""What the NFS rows share: both servers, the client that loads them, and the comparison.

The client is `nfsload/`, the same program for both servers. CPU seconds are the server's own, user
and system, of all its threads, within the measured time.
"""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from scripts.benchmarks.bench import Bench, Pair
from scripts.benchmarks.nfs_servers import SYNC, Ganesha, Gateway, Share
from scripts.benchmarks.readme import CPU
from scripts.benchmarks.rows import Row, Target, make_row

PEER = "nfs-ganesha"
IN_FLIGHT = (1, 16)

_CLIENT = Path(__file__).parent / "nfsload"
_CPU_UNIT = "s/1,000 calls"

FASTER = Target(">=", 1.5, of_ratio=True)
NO_SLOWER = Target(">=", 1.0, of_ratio=True)
NO_DEARER = Target("<=", 1.0, of_ratio=True)

Option = int | str | float | bool


class Report(NamedTuple):
    """What one run of the client measured. `done` counts pieces of work of one or more calls."""

    calls: int
    done: int
    seconds: float
    calls_per_s: float
    done_per_s: float
    mib_per_s: float
    entries_per_s: float
    server_cpu_s: float


class Servers(NamedTuple):
    """Both servers, running, and the compiled client."""

    client: Path
    ours: Gateway
    peer: Ganesha

    def load(self, share: Share, operation: str, **options: Option) -> Report:
        """Run the client: `block_bytes=4096` is given as `--block-bytes 4096`, True as a flag."""
        words = [
            f"--port={share.port}",
            f"--mount-port={share.mount_port}",
            f"--export={share.export}",
            f"--server-pid={share.pid}",
        ]
        for key, value in options.items():
            name = f"--{key.replace('_', '-')}"
            if isinstance(value, bool):
                words += [name] * value
            else:
                words.append(f"{name}={value}")
        answer = subprocess.run(
            [self.client, *words, operation], check=True, stdout=subprocess.PIPE
        )
        fields = json.loads(answer.stdout)
        return Report(*(fields[name] for name in Report._fields))


def make_servers(bench: Bench) -> Servers:
    """Start both, and compile the client."""
    bench.say("starting nfs-ganesha and a gateway")
    return Servers(build_client(bench.path("nfsload")), Gateway(bench), Ganesha(bench))


def build_client(program: Path) -> Path:
    """The client, compiled."""
    sources = map(str, sorted(_CLIENT.glob("*.c")))
    subprocess.run(["gcc", "-O2", "-Wall", "-o", program, *sources], check=True)
    return program


def run_s(bench: Bench) -> float:
    """Seconds that one run of the client lasts, where no count ends it."""
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
        f"{what}, calls/s", bench.size(5, 1), recorded(ours, rounds[0]), recorded(peer, rounds[1])
    )
    ours_by_kind, peer_by_kind = (zip(*side, strict=True) for side in rounds)
    return [Compared(*pair) for pair in zip(ours_by_kind, peer_by_kind, strict=True)]


def compare_on_shares(
    bench: Bench, what: str, run: Callable[[Share], Sequence[Report]], *, branch: str = SYNC
) -> list[Compared]:
    """The same run against an export of ours and against the peer's."""
    servers = bench.fixture(make_servers)
    return compare(
        bench,
        what,
        lambda: run(servers.ours.share(branch)),
        lambda: run(servers.peer.share()),
    )


def compare_calls(bench: Bench, what: str, operation: str, **options: Option) -> Compared:
    """The same single operation of the client against either server."""
    servers = bench.fixture(make_servers)
    (compared,) = compare_on_shares(
        bench, what, lambda share: [servers.load(share, operation, **options)]
    )
    return compared


def rows_of(
    name: str,
    compared: Compared,
    figure: str,
    unit: str,
    target: Target | None = None,
    *,
    cpu_target: Target | None = None,
) -> Iterator[Row]:
    """The row of a figure, and that of the CPU time it took either server."""
    pair, cpu = compared.median(figure), compared.cpu()
    yield make_row(name, pair.ours, unit, peer=(PEER, pair.peer), target=target)
    yield make_row(name + CPU, cpu.ours, _CPU_UNIT, peer=(PEER, cpu.peer), target=cpu_target)
