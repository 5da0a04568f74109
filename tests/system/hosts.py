"""Hosts of their own for clients and servers: namespaces with a network, and nothing of ours in it.

Each has its own addresses, ports (111 among them) and /run. Its daemons end with it.
"""

from __future__ import annotations

import subprocess
from types import TracebackType
from typing import Self

# The first process of a host. /proc still is the outer one's and tells the outer process id.
_FIRST = """
mount -t tmpfs tmpfs /run && mkdir /run/rpcbind && ip link set lo up
read pid rest </proc/self/stat && echo $pid && exec cat
"""


class Host:
    """One host; a context manager."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", _FIRST],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self.pid = self._process.stdout.readline().decode().strip()
        assert self.pid.isdigit()
        # Runs a program here, in its place: it keeps the process id, signals reach it.
        self.within = ["nsenter", f"--target={self.pid}", "--net", "--mount", "--"]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def execute(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a program here; its output has both streams."""
        return subprocess.run(
            [*self.within, *words],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=120,
        )

    def run(self, *words: str) -> str:
        """The same for one that must succeed: what it printed."""
        done = self.execute(*words)
        assert done.returncode == 0, f"{words}: {done.stdout}"
        return done.stdout

    def fails(self, *words: str) -> str:
        """The same for one that must not."""
        done = self.execute(*words)
        assert done.returncode != 0, f"{words}: {done.stdout}"
        return done.stdout

    def start_rpcbind(self) -> None:
        """Run rpcbind; it goes to the background once it answers."""
        # As a process of this host, so that it ends with it.
        subprocess.run(
            ["nsenter", f"--target={self.pid}", "--net", "--mount", "--pid", "--", "rpcbind"],
            check=True,
        )


def connect(one: Host, one_address: str, other: Host, other_address: str) -> None:
    """Lay a cable between two hosts; addresses have a prefix length."""
    one.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", other.pid)
    for host, address in ((one, one_address), (other, other_address)):
        host.run("ip", "addr", "add", address, "dev", "eth0")
        host.run("ip", "link", "set", "eth0", "up")
