"""The two NFS servers of a comparison: a gateway of ours and nfs-ganesha, on the same disk.

Both listen on free ports of the loopback only and end with the run. What stands on the other side
of the connection is no concern of this module.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from scripts.benchmarks.bench import Bench

SYNC, ASYNC = "sync", "async"

# Our server as users get it: compiled, where scripts/bench has made that ready.
PYTHON = os.environ.get("FSGW_BENCH_PYTHON", sys.executable)

# Without that: the modules that this process has.
_PLAIN = {"PYTHONPATH": os.pathsep.join(sys.path)}

_LOOPBACK = "127.0.0.1"
_PORTMAP_PORT = 111
_START_S, _STOP_S, _POLL_S = 60.0, 60.0, 0.02

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


class Gateway:
    """`fsgw serve` on a store of its own with one branch exported sync and one async.

    With `bench.profile` it runs under cProfile, which writes that file when the server stops.
    """

    def __init__(self, bench: Bench) -> None:
        self.store = bench.path("gateway-store")
        self._bench = bench
        # The path of a socket is short (unix(7)), that of the store may be long.
        runtime = tempfile.TemporaryDirectory(prefix="fsgw-bench-")
        self._runtime = Path(bench.resources.enter_context(runtime))
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self.command("init")
        for branch in (SYNC, ASYNC):
            self.command("branch", "create", branch)
        entries = [
            _EXPORTS.format(branch=name, sync=str(name == SYNC).lower()) for name in (SYNC, ASYNC)
        ]
        (self.store / "exports.toml").write_text("\n".join(entries))
        self._start()
        bench.resources.callback(self._stop)

    def command(self, *words: str) -> None:
        """Run `fsgw --store STORE WORDS...`."""
        subprocess.run([*self._program(), *words], check=True, stdout=subprocess.DEVNULL)

    def share(self, branch: str) -> Share:
        """SYNC or ASYNC, as it is reached now."""
        assert self._process is not None
        return Share(self._port, self._port, f"/{branch}", self._process.pid)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[Path]:
        """The store, with no process that has it open; afterwards the gateway runs again."""
        self._stop()
        yield self.store
        self._start()

    def _program(self, *wrapper: str) -> list[str]:
        python = sys.executable if wrapper else PYTHON  # a profiler sees plain Python alone
        return [python, "-P", *wrapper, "-m", "fsgw", "--store", str(self.store)]

    def _start(self) -> None:
        profile = self._bench.profile
        wrapper = ["-m", "cProfile", "-o", str(profile)] if profile else []
        log = self._bench.path("gateway.log")
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [
                    *self._program(*wrapper),
                    *("serve", "--port", "0", "--portmap", "off", "--log-format", "json"),
                    *("--admin-socket", str(self._runtime / "gateway.sock")),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(_PLAIN if sys.executable == PYTHON else {})},
            )
        for _ in _until_ready(self._process, log):
            for line in log.read_text().splitlines():
                with contextlib.suppress(ValueError):
                    event = json.loads(line)
                    if event.get("event") == "ready":
                        self._port = int(event["nfs_port"])
                        return

    def _stop(self) -> None:
        if self._process is not None:
            _end(self._process)
            self._process = None


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
        self._process = _spawn("ganesha.nfsd", "-F", *map(str, options))
        bench.resources.callback(_end, self._process)
        for _ in _until_ready(self._process, log):
            if all(map(_answers, self._ports)):
                return

    def share(self) -> Share:
        """Its one export."""
        return Share(self._ports[0], self._ports[1], str(self.root), self._process.pid)


def _spawn(program: str, *arguments: str) -> subprocess.Popen[bytes]:
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise SystemExit(f"bench: {program} is not installed; scripts/bench installs it")
    quiet = subprocess.DEVNULL
    return subprocess.Popen([found, *arguments], stdin=quiet, stdout=quiet, stderr=quiet)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _until_ready(process: subprocess.Popen[bytes], log: Path) -> Iterator[None]:
    """Comes round again and again while the process runs and has time left to get ready."""
    deadline = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < deadline:
        yield
        time.sleep(_POLL_S)
    words = process.args if isinstance(process.args, Sequence) else [process.args]
    text = log.read_text(errors="replace") if log.exists() else ""
    raise RuntimeError(f"{' '.join(map(str, words))}: did not start\n{text[-2000:]}")


def _ensure_rpcbind(bench: Bench) -> None:
    if _answers(_PORTMAP_PORT):
        return
    process = _spawn("rpcbind", "-f")
    bench.resources.callback(_end, process)
    for _ in _until_ready(process, bench.path("rpcbind.log")):
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
