"""The two NFS servers of a comparison: a gateway of ours and nfs-ganesha, on the same disk.

Both listen on free ports of the loopback only and end with the run. What stands on the other side
of the connection is no concern of this module.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from scripts.benchmarks.bench import Bench
from scripts.benchmarks.gateway import Gateway
from scripts.benchmarks.processes import end, spawn, until_ready

SYNC, ASYNC = "sync", "async"

_LOOPBACK = "127.0.0.1"
_PORTMAP_PORT = 111

_EXPORTS = """\
[[export]]
branches = ["{branch}"]
clients = ["127.0.0.0/8", "::1"]
access = "rw"
squash = "none"
sync = {sync}
"""

_GANESHA = """\
NFS_CORE_PARAM {{
    Bind_addr = {address}; NFS_Port = {nfs}; MNT_Port = {mount}; Protocols = 3;
    Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false; Plugins_Dir = "{plugins}";
}}
NFSV4 {{ Graceless = true; }}
EXPORT {{
    Export_Id = 1; Path = "{path}"; Pseudo = "/peer"; Access_Type = RW; Squash = No_root_squash;
    PrivilegedPort = false; Protocols = 3; Transports = TCP; SecType = sys; FSAL {{ Name = VFS; }}
}}
"""


class Share(NamedTuple):
    """A directory that a running server exports, as a client has to name it."""

    port: int
    mount_port: int
    export: str
    pid: int


class Exporting(Gateway):
    """A gateway with one branch exported sync and one async."""

    def __init__(self, bench: Bench) -> None:
        branches = (SYNC, ASYNC)
        exports = [
            _EXPORTS.format(branch=name, sync=str(name == SYNC).lower()) for name in branches
        ]
        super().__init__(bench, branches, "\n".join(exports))

    def share(self, branch: str) -> Share:
        """SYNC or ASYNC, as it is reached now."""
        return Share(self.port, self.port, f"/{branch}", self.pid)


class Ganesha:
    """nfs-ganesha exporting `root`, a new directory; it needs root and a running rpcbind.

    One rpcbind is started where none runs, and stopped at the end. ganesha caches attributes and
    names, leaves data to the page cache, and does not wait for metadata to be on disk.
    """

    def __init__(self, bench: Bench) -> None:
        if os.geteuid() != 0:
            raise SystemExit("bench: nfs-ganesha opens files by their handles: run this as root")
        self.root = bench.path("peer")
        self.root.mkdir()
        _ensure_rpcbind(bench)
        self._ports = _free_ports(2)
        settings, log = bench.path("ganesha.conf"), bench.path("ganesha.log")
        settings.write_text(
            _GANESHA.format(
                address=_LOOPBACK,
                nfs=self._ports[0],
                mount=self._ports[1],
                plugins=_plugins(),
                path=self.root,
            )
        )
        options = ["-f", settings, "-L", log, "-p", bench.path("ganesha.pid"), "-N", "EVENT"]
        self._process = spawn("ganesha.nfsd", "-F", *map(str, options))
        bench.resources.callback(end, self._process)
        for _ in until_ready(self._process, log):
            if all(map(_answers, self._ports)):
                return

    def share(self) -> Share:
        """Its one export."""
        return Share(self._ports[0], self._ports[1], str(self.root), self._process.pid)


def _ensure_rpcbind(bench: Bench) -> None:
    if _answers(_PORTMAP_PORT):
        return
    process = spawn("rpcbind", "-f")
    bench.resources.callback(end, process)
    for _ in until_ready(process, bench.path("rpcbind.log")):
        if _answers(_PORTMAP_PORT):
            return


def _answers(port: int) -> bool:
    try:
        socket.create_connection((_LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True


def _free_ports(count: int) -> Sequence[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((_LOOPBACK, 0))
        return [one.getsockname()[1] for one in sockets]


def _plugins() -> Path:
    """Debian keeps the file-system plug-ins in a directory named for the architecture."""
    found = sorted(Path("/usr/lib").glob("*/ganesha/libfsalvfs.so"))
    if not found:
        raise SystemExit("bench: nfs-ganesha-vfs is not installed; scripts/bench installs it")
    return found[0].parent
