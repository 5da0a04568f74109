"""What the FUSE rows share: both mounts, the program that loads them, and the comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from scripts.benchmarks import compared
from scripts.benchmarks.bench import Bench
from scripts.benchmarks.compared import Compared, Option, Report, build, compare, run_load
from scripts.benchmarks.fuse_mounts import PEER, Mount, Side, make_sides

PROGRAM = "fsload"


class Loader:
    """The load program."""

    def __init__(self, bench: Bench) -> None:
        self._program = build(PROGRAM, bench.path(PROGRAM))

    def load(self, mount: Mount, operation: str, directory: str, **options: Option) -> Report:
        """Run it in a directory of a mount, with options as `run_load` takes them."""
        where = str(mount.path / directory)
        return run_load(self._program, operation, where, server_pid=mount.server_pid, **options)


def compare_sides(
    bench: Bench, what: str, run: Callable[[Side], Sequence[Report]]
) -> list[Compared]:
    """The same run on our side and on the peer's."""
    sides = bench.fixture(make_sides)
    return compare(bench, what, lambda: run(sides.ours), lambda: run(sides.peer))


rows_of = partial(compared.rows_of, peer=PEER)
