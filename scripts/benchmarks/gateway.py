"""A gateway of ours, running beside what measures it, on a store of its own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fsgw.session import Session
from scripts.benchmarks.bench import Bench
from scripts.benchmarks.processes import end, until_ready

# Our server as users get it: compiled, where scripts/bench has made that ready.
PYTHON = os.environ.get("FSGW_BENCH_PYTHON", sys.executable)

# Where it looks for modules: without that where this process does, with it nowhere but in its own.
_MODULES = os.pathsep.join(sys.path) if sys.executable == PYTHON else ""


class Gateway:
    """`fsgw serve` on a new store with these branches, and these exports if any.

    With `bench.profile` it runs under cProfile, which writes that file when the server stops.
    """

    def __init__(self, bench: Bench, branches: Sequence[str], exports: str = "") -> None:
        self.store = bench.path("gateway-store")
        self._bench = bench
        # The path of a socket is short (unix(7)), that of the store may be long.
        runtime = tempfile.TemporaryDirectory(prefix="fsgw-bench-")
        self.socket = Path(bench.resources.enter_context(runtime)) / "gateway.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self.command("init")
        for branch in branches:
            self.command("branch", "create", branch)
        if exports:
            (self.store / "exports.toml").write_text(exports)
        self._start()
        bench.resources.callback(self._stop)

    @property
    def port(self) -> int:
        """Where it serves NFS and MOUNT now, on the loopback."""
        return self._port

    @property
    def pid(self) -> int:
        """Its process, while it runs."""
        assert self._process is not None
        return self._process.pid

    def command(self, *words: str) -> None:
        """Run `fsgw --store STORE WORDS...`: through the gateway, or without it on the store."""
        subprocess.run(
            [*self._program(), *words],
            check=True,
            stdout=subprocess.DEVNULL,
            env=_environment(),
        )

    @contextlib.contextmanager
    def requests(self) -> Iterator[Callable[..., Any]]:
        """A function that asks the gateway itself: `call("branches.create", name="new")`."""
        session = Session(str(self.store), str(self.socket))
        try:
            yield session.call
        finally:
            session.close(settle=False)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[Path]:
        """The store, with no process that has it open; afterwards the gateway runs again."""
        self._stop()
        yield self.store
        self._start()

    def _program(self, *wrapper: str) -> list[str]:
        python = sys.executable if wrapper else PYTHON  # a profiler sees plain Python alone
        where = ["--store", str(self.store), "--socket", str(self.socket)]
        return [python, "-P", *wrapper, "-m", "fsgw", *where]

    def _start(self) -> None:
        profile = self._bench.profile
        wrapper = ["-m", "cProfile", "-o", str(profile)] if profile else []
        log = self._bench.path("gateway.log")
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [
                    *self._program(*wrapper),
                    *("serve", "--port", "0", "--portmap", "off", "--log-format", "json"),
                    *("--admin-socket", str(self.socket)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=_environment(),
            )
        for _ in until_ready(self._process, log):
            for line in log.read_text().splitlines():
                with contextlib.suppress(ValueError):
                    event = json.loads(line)
                    if event.get("event") == "ready":
                        self._port = int(event["nfs_port"])
                        return

    def _stop(self) -> None:
        if self._process is not None:
            end(self._process)
            self._process = None


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": _MODULES}
