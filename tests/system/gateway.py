"""A gateway of its own for tests: `fsgw serve` as a child process on a store, and the CLI."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.system.output import Printed

# Every client comes from loopback: QEMU's user networking makes it so.
OPEN_TO_LOOPBACK = """
[[export]]
branches = ["*"]
clients = ["127.0.0.0/8", "::1"]
squash = "none"
"""


def lasting_port() -> int:
    """A free port that no outgoing connection is ever given: it is free again after a stop."""
    first_given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in random.SystemRandom().sample(range(10_000, first_given), 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("a hundred ports, and none is free")


class Gateway:
    """A store with `fsgw serve` on it, to be killed, stopped and started again at will.

    directory: where the store is, or will be. port: 0 for any. within: a command that runs another
    one, such as `nsenter ...`, before every command.
    """

    def __init__(
        self,
        directory: Path,
        *,
        exports: str = OPEN_TO_LOOPBACK,
        options: Sequence[str] = ("--portmap", "off"),
        port: int = 0,
        within: Sequence[str] = (),
    ) -> None:
        self.store = directory / "store"
        self.port = port
        self.ready: dict[str, Any] = {}
        self.options = list(options)
        self._within = list(within)
        self._process: subprocess.Popen[bytes] | None = None
        self.log: Printed | None = None
        if not self.store.exists():
            self.fsgw("init")
        self.write_exports(exports)

    def _command(self, *words: str) -> list[str]:
        return [*self._within, sys.executable, "-m", "fsgw", "--store", str(self.store), *words]

    def write_exports(self, text: str) -> None:
        """Replace the exports; a running gateway reads them when it is told to."""
        (self.store / "exports.toml").write_text(text)

    def fsgw(self, *words: str | Path, code: int = 0) -> str:
        """Run a command of the CLI, which must end with this exit code: what it printed."""
        done = subprocess.run(
            self._command(*map(str, words)),
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
        told = done.stderr.decode() + (self.log.tail() if self.log and done.returncode else "")
        assert done.returncode == code, f"{words}: exit code {done.returncode}: {told}"
        return done.stdout.decode()

    def cat(self, path: str) -> bytes:
        """A file's bytes, as the CLI shows them."""
        return subprocess.run(
            self._command("cat", path), check=True, stdin=subprocess.DEVNULL, capture_output=True
        ).stdout

    def start(self) -> Gateway:
        """Start serving, on the port of the last time if there was one; wait until it is ready."""
        assert self._process is None
        self._process = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "KILL", "--"),
                *self._command("serve", "--port", str(self.port), "--log-format", "json"),
                *self.options,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
        )
        assert self._process.stdout is not None
        self.log = Printed(self._process.stdout)
        self.ready = json.loads(self.log.wait(r'^\{.*"event": *"ready".*\}$').group())
        self.port = int(self.ready["nfs_port"])
        return self

    @property
    def pid(self) -> int:
        """The process that serves."""
        assert self._process is not None
        return self._process.pid

    def _ended(self) -> int:
        process, self._process = self._process, None
        assert process is not None and process.stdout is not None and self.log is not None
        code = process.wait(180)
        self.log.join()
        process.stdout.close()
        return code

    def kill(self) -> None:
        """SIGKILL, at whatever it is doing."""
        assert self._process is not None
        self._process.kill()
        self._ended()

    def stop(self) -> None:
        """SIGTERM: it must drain, flush and exit with 0."""
        assert self._process is not None and self.log is not None
        self._process.terminate()
        code = self._ended()
        assert code == 0, f"exit code {code}: {self.log.tail()}"

    def close(self) -> None:
        """Stop it if it runs, and find the store whole, all its data included."""
        if self._process is not None:
            self.stop()
        assert self.fsgw("check", "--data") == "no problems found\n"
