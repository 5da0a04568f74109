"""Rows about how soon a fork can be worked in: forked, mounted, a file's first byte read."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from scripts.benchmarks.bench import Bench
from scripts.benchmarks.fuse_mounts import BRANCH, OurSide
from scripts.benchmarks.gateway import Gateway
from scripts.benchmarks.rows import Row, Target, make_row

_SOON = Target("<", 150)
_FILE = "sub/file"

_new_branch = map("fork-{}".format, itertools.count(1)).__next__

Ask = Callable[[str, Path], None]


def fork(bench: Bench) -> Iterator[Row]:
    """By commands, each a process of its own; and by requests on the gateway's socket."""
    side = OurSide(bench)
    with side.mounted() as mount:
        path = mount.path / _FILE
        path.parent.mkdir()
        path.write_bytes(b"first")
    for how, ask in (
        ("fsgw branch fork, fsgw mount", _by_commands(side.gateway)),
        ("by the admin API", _by_requests(side.gateway)),
    ):
        name = f"fork, mount and first byte, {how}"
        results = [_once_ms(side, ask, bench.path("fork")) for _ in range(bench.size(15, 3))]
        bench.say(f"{name}, ms: {' '.join(f'{result:.1f}' for result in results)}")
        yield make_row(name, statistics.median(results), "ms", target=_SOON)


def _by_commands(gateway: Gateway) -> Ask:
    def ask(branch: str, path: Path) -> None:
        gateway.command("branch", "fork", BRANCH, branch)
        gateway.command("mount", branch, str(path))

    return ask


def _by_requests(gateway: Gateway) -> Ask:
    def ask(branch: str, path: Path) -> None:
        with gateway.requests() as call:
            call("branches.fork", source=BRANCH, name=branch)
            call("mounts.create", source=branch, directory=str(path))

    return ask


def _once_ms(side: OurSide, ask: Ask, path: Path) -> float:
    branch = _new_branch()
    path.mkdir()
    started = time.perf_counter()
    ask(branch, path)
    with (path / _FILE).open("rb", buffering=0) as file:
        first = file.read(1)
    elapsed_ms = (time.perf_counter() - started) * 1000
    if first != b"f":
        raise RuntimeError(f"the first byte is {first!r}")
    with side.gateway.requests() as call:
        call("mounts.delete", directory=str(path))
        call("branches.delete", branch=branch)
    return elapsed_ms
