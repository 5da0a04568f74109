"""What the NFS rows share: both servers, the client that loads them, and the comparison.

The client is `nfsload/`, the same program for both servers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from scripts.benchmarks import compared
from scripts.benchmarks.bench import Bench
from scripts.benchmarks.compared import Compared, Option, Report, build, compare, run_load
from scripts.benchmarks.nfs_servers import SYNC, Exporting, Ganesha, Share

PEER = "nfs-ganesha"
CLIENT = "nfsload"
IN_FLIGHT = (1, 16)


class Servers(NamedTuple):
    """Both servers, running, and the compiled client."""

    client: Path
    ours: Exporting
    peer: Ganesha

    def load(self, share: Share, operation: str, **options: Option) -> Report:
        """Run the client against a share, with options as `run_load` takes them."""
        where: dict[str, Option] = {
            "port": share.port,
            "mount_port": share.mount_port,
            "export": share.export,
            "server_pid": share.pid,
        }
        return run_load(self.client, operation, **where, **options)


def make_servers(bench: Bench) -> Servers:
    """Start both, and compile the client."""
    bench.say("starting nfs-ganesha and a gateway")
    return Servers(build(CLIENT, bench.path(CLIENT)), Exporting(bench), Ganesha(bench))


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
    (one,) = compare_on_shares(
        bench, what, lambda share: [servers.load(share, operation, **options)]
    )
    return one


rows_of = partial(compared.rows_of, peer=PEER)
