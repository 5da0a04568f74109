"""A virtual machine with a real Linux kernel, in QEMU without hardware virtualisation.

It boots the kernel and the initramfs of `scripts/vm-image`, sees the host's loopback as 10.0.2.2,
and has two lines to the test: the console, which is read all the time, and the agent's port, over
which commands run one at a time. Knows nothing of the server that it is a client of. All waits are
for output, and the time limits only say when to give up.
"""

from __future__ import annotations

import base64
import itertools
import socket
import subprocess
from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple, Self

from tests.system.images import Image
from tests.system.output import GIVE_UP_S, Printed

HOST = "10.0.2.2"


class VmError(AssertionError):
    """A command failed, took too long, or the virtual machine is gone."""


class Output(NamedTuple):
    """What a command printed, on either stream, and its exit status."""

    status: int
    text: str


class Vm:
    """One virtual machine; a context manager, which boots it and stops it at once.

    append: more arguments of the kernel. within: a command that runs QEMU, such as `nsenter ...`.
    """

    def __init__(
        self,
        image: Image,
        *,
        append: str = "",
        memory_mib: int = 512,
        within: Sequence[str] = (),
    ) -> None:
        self._within = within
        self._image = image
        self._append = append
        self._memory_mib = memory_mib
        self._marks = itertools.count(1)

    def _arguments(self, agent: int) -> list[str]:
        return [
            *("qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", str(self._memory_mib)),
            *("-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio"),
            *("-kernel", str(self._image.kernel), "-initrd", str(self._image.initrd)),
            *("-append", f"console=ttyS0 panic=-1 mitigations=off {self._append}".strip()),
            *("-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="),
            *("-chardev", f"socket,id=agent,fd={agent}", "-device", "virtio-serial-pci"),
            *("-device", "virtserialport,chardev=agent,name=agent"),
        ]

    def __enter__(self) -> Self:
        ours, theirs = socket.socketpair()
        self._port = ours
        with theirs:
            self._process = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL", "--", *self._within),
                    *self._arguments(theirs.fileno()),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
                bufsize=0,
            )
        assert self._process.stdout is not None
        self.console = Printed(self._process.stdout)
        self._lines = ours.makefile("rb")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()

    def kill(self) -> None:
        """Pull the plug; whatever the guest had not sent is lost."""
        self._process.kill()
        self.wait_for_end()

    def wait_for_end(self, timeout_s: float = GIVE_UP_S) -> None:
        """Wait until the virtual machine has switched itself off (or was killed)."""
        self._process.wait(timeout_s)
        self.console.join()
        self._lines.close()
        self._port.close()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()

    def type(self, text: str) -> None:
        """Type on the console."""
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode())

    def _trouble(self, what: str) -> VmError:
        return VmError(f"{what}; the console's last lines:\n{self.console.tail()}")

    def _read_line(self, timeout_s: float) -> bytes:
        self._port.settimeout(timeout_s)
        try:
            line = self._lines.readline()
        except TimeoutError:
            raise self._trouble(f"no answer in {timeout_s:.0f} s") from None
        if not line:
            raise self._trouble("the virtual machine is gone")
        return line

    def wait_for_agent(self) -> Self:
        """Wait until commands can be run."""
        assert self._read_line(GIVE_UP_S) == b"ready\n"
        return self

    def begin(self, command: str) -> bytes:
        """Begin a shell command; without its answer no other can follow. Its mark."""
        mark = f"#{next(self._marks)}".encode()
        self._port.sendall(mark + b" " + base64.b64encode(command.encode()) + b"\n")
        return mark

    def execute(self, command: str, *, timeout_s: float = GIVE_UP_S) -> Output:
        """Run a shell command (or several lines of them) and wait for its end."""
        mark = self.begin(command)
        answer, status, size = self._read_line(timeout_s).split()
        assert answer == mark
        return Output(int(status), self._lines.read(int(size)).decode("utf-8", "replace"))

    def run(self, command: str, *, timeout_s: float = GIVE_UP_S) -> str:
        """The same for a command that must succeed: what it printed, without the last newline."""
        status, text = self.execute(command, timeout_s=timeout_s)
        if status:
            raise self._trouble(f"exit status {status} of {command!r}: {text[-4000:]}")
        return text.removesuffix("\n")

    def fails(self, command: str, *, timeout_s: float = GIVE_UP_S) -> str:
        """The same for a command that must not succeed: what it printed."""
        status, text = self.execute(command, timeout_s=timeout_s)
        if not status:
            raise self._trouble(f"no failure of {command!r}: {text[-4000:]}")
        return text.removesuffix("\n")

    def mount(self, port: int, path: str, where: str, options: str = "") -> None:
        """Mount a branch, MOUNT and NFS both on one port of the host, as README shows it."""
        self.run(f"mkdir -p {where} && {mount_command(port, path, where, options)}")

    def mount_fails(self, port: int, path: str, where: str, options: str = "") -> str:
        """Try the same, which must be refused: what mount(8) says."""
        return self.fails(f"mkdir -p {where} && {mount_command(port, path, where, options)}")

    def umount(self, where: str) -> None:
        self.run(f"umount {where}")


def mount_command(port: int, path: str, where: str, options: str = "") -> str:
    """The guest's command that mounts a branch."""
    chosen = f"addr={HOST},vers=3,proto=tcp,port={port},mountport={port},mountproto=tcp,nolock"
    if options:
        chosen += f",{options}"
    return f"mount -t nfs -o {chosen} {HOST}:{path} {where}"
