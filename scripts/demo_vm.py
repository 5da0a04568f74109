"""The second half of scripts/demo: virtual machines on branches, and an admin at work beside them.

Takes the directory in which the first half left `store`, with the tree `v1` as `main@first`. Real
Linux kernels mount a fork each; what they see is checked through a snapshot, a rollback and a
SIGKILL of the gateway. Prints every command of the admin (`$`) and of a virtual machine (`vm-1#`),
and what each step has shown (`=>`). The exit code is 1 where anything is not as it should be.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
from pathlib import Path

from tests.system.gateway import Gateway, lasting_port
from tests.system.images import test_image
from tests.system.vm import Vm, mount_command

# Ask the gateway each time, so that a change made by the admin shows at once.
FRESH = "actimeo=0"
LINES_MAX = 8
RECORD_BYTES = 6000
WORK = "/mnt/vm-work"

MAKE = f"""\
mkdir {WORK} && cd {WORK} && seq 100000 >numbers && mkdir small
for n in $(seq 60); do echo $n >small/$n; done
dd if=/dev/urandom of=data bs=1M count=8 2>/dev/null
md5sum numbers data small/* >sums && sync"""
BREAK = f"""\
cd {WORK} && rm -r small && echo garbage >numbers && mv data lost
dd if=/dev/zero of=lost bs=64k count=1 conv=notrunc 2>/dev/null; sync"""
VERIFY = f"cd {WORK} && md5sum -c sums | grep -c OK"
APPEND = f"append {WORK}/log 1 1000000 {RECORD_BYTES} >/dev/console 2>&1 &"


def title(text: str) -> None:
    """Begin a part."""
    print(f"\n# {text}", flush=True)


def proved(claim: str, holds: bool) -> None:
    """Say what a step has shown; raises AssertionError if it has not."""
    if not holds:
        raise AssertionError(f"it is not so that {claim}")
    print(f"=> {claim}", flush=True)


def show(prompt: str, command: str, output: str) -> None:
    """Print a command and the first lines of what it printed."""
    lines = output.splitlines()
    print(f"{prompt} {command}", *lines[:LINES_MAX], sep="\n", flush=True)
    if len(lines) > LINES_MAX:
        print(f"... and {len(lines) - LINES_MAX} lines more", flush=True)


class Guest(Vm):
    """A virtual machine with a name, which is also its branch's, whose commands are shown."""

    def __init__(self, name: str) -> None:
        super().__init__(test_image(), append="quiet", memory_mib=256)
        self.name = name

    def shown(self, command: str) -> str:
        """Run a command that must succeed: what it printed."""
        output = self.run(command)
        show(f"{self.name}#", command, output)
        return output

    def shown_to_fail(self, command: str) -> str:
        """Run a command that must fail: what it printed."""
        output = self.fails(command)
        show(f"{self.name}#", command, output)
        return output

    @property
    def acknowledged(self) -> int:
        """How many records a process here has been told to be on disk."""
        said = re.findall(r"^acknowledged (\d+)$", self.console.text, re.MULTILINE)
        return max(map(int, said), default=0)

    def wait_for_acknowledged(self, count: int) -> None:
        """Wait until that many are."""
        since = self.console.end
        while self.acknowledged < count:
            since = self.console.wait(r"^acknowledged \d+$", since=since).end()


class Admin:
    """Whoever has the store: starts and ends its gateway, and runs commands, which are shown."""

    def __init__(self, directory: Path) -> None:
        # Without an export nobody is let in.
        self.gateway = Gateway(directory, exports="", port=lasting_port())

    def __call__(self, *words: str) -> str:
        output = self.gateway.fsgw(*words)
        show("$", shlex.join(["fsgw", *words]), output)
        return output

    def serve(self) -> None:
        """Start the gateway."""
        show("$", f"fsgw serve --port {self.gateway.port} --portmap off &", "")
        self.gateway.start()

    def end(self, how: signal.Signals) -> None:
        """End the gateway with a signal; with SIGTERM its exit code must be 0."""
        show("$", f"kill -{how.name.removeprefix('SIG')} %1", "")
        if how is signal.SIGKILL:
            self.gateway.kill()
        else:
            self.gateway.stop()


def mount(admin: Admin, first: Guest, second: Guest, files: int) -> None:
    """Each machine mounts a branch of its own, once it may."""
    title("A fork for each virtual machine, and its kernel mounts it")
    for guest in (first, second):
        admin("branch", "fork", "main@first", guest.name)
        guest.wait_for_agent().run("mkdir -p /mnt")
    first.shown("uname -srm")
    port = admin.gateway.port
    refused = first.shown_to_fail(mount_command(port, f"/{first.name}", "/mnt", FRESH))
    proved("a client that no export names is refused", "denied" in refused)
    admin(
        *("export", "add", "--name", "vms", "--branch", "vm-*"),
        *("--client", "127.0.0.0/8", "--squash", "none"),
    )
    for guest in (first, second):
        guest.shown(mount_command(port, f"/{guest.name}", "/mnt", FRESH))
    proved(
        "the kernel sees the tree that was imported, file by file",
        int(first.shown("find /mnt -type f | wc -l")) == files,
    )


def work(admin: Admin, first: Guest, second: Guest) -> None:
    """One writes, the other does not see it, the admin does."""
    title("It writes into its fork, while the admin looks on")
    first.shown(MAKE)
    missing = second.shown_to_fail(f"ls {WORK}")
    proved("the other fork of the same tree does not change", "No such file" in missing)
    admin("snapshot", "create", first.name, "--name", "good", "-m", "While the VM runs")
    clients = admin("clients")
    proved(
        "the gateway knows who uses it, and what for",
        all(f"/{guest.name}" in clients for guest in (first, second)),
    )
    changes = admin("diff", "main@first", f"{first.name}@good").splitlines()
    proved(
        "what differs from the tree as it came is what the machine wrote",
        bool(changes) and all("vm-work" in change for change in changes),
    )


def roll_back(admin: Admin, guest: Guest) -> None:
    """What was broken is as it was, under the machine's mount."""
    title("It breaks what it has, and is rolled back")
    guest.shown(BREAK)
    guest.shown_to_fail(VERIFY)
    admin("diff", f"{guest.name}@good", guest.name)
    admin("rollback", guest.name, f"{guest.name}@good")
    proved(
        "the machine, which went on running, reads what it had written, every byte of it",
        guest.shown(VERIFY) == "62",
    )
    proved(
        "nothing differs from the snapshot",
        admin("diff", f"{guest.name}@good", guest.name) == "",
    )


def whole_records(log: bytes) -> int:
    """How many records of `append` a file begins with, each in its place."""
    for number in range(1, len(log) // RECORD_BYTES + 1):
        start = (number - 1) * RECORD_BYTES
        if log[start : start + RECORD_BYTES] != b"%012d" % number * (RECORD_BYTES // 12):
            return number - 1
    return len(log) // RECORD_BYTES


def survive(admin: Admin, guest: Guest) -> None:
    """The gateway is killed and started again while the machine writes."""
    title("The gateway is killed in the middle of the machine's writing")
    guest.shown(APPEND)
    guest.wait_for_acknowledged(20)
    admin.end(signal.SIGKILL)
    before = guest.acknowledged
    proved("the store needs no repair", admin("check", "--data") == "no problems found\n")
    found = whole_records(admin.gateway.cat(f"{guest.name}{WORK.removeprefix('/mnt')}/log"))
    proved(f"all {before} records that the machine had synced are there", found >= before)
    admin.serve()
    guest.wait_for_acknowledged(before + 20)
    proved("the machine goes on by itself, with the mount it had", guest.acknowledged > before)
    guest.shown("killall append; cd / && umount /mnt")
    guest.shown(mount_command(admin.gateway.port, f"/{guest.name}", "/mnt"))
    proved("mounted anew, all that it had is right", guest.shown(VERIFY) == "62")
    log = admin.gateway.cat(f"{guest.name}{WORK.removeprefix('/mnt')}/log")
    proved(
        "its log has every record, from before the kill and after it",
        whole_records(log) >= guest.acknowledged,
    )


def demonstrate(directory: Path) -> None:
    """All of it; raises AssertionError at the first thing that is not as it should be."""
    files = sum(len(names) for _, _, names in os.walk(directory / "v1"))
    title("A gateway on the same store")
    admin = Admin(directory)
    admin.serve()
    with Guest("vm-1") as first, Guest("vm-2") as second:
        mount(admin, first, second, files)
        work(admin, first, second)
        roll_back(admin, first)
        survive(admin, first)
        for guest in (first, second):
            guest.shown("umount /mnt")
    title("The end of it")
    admin.end(signal.SIGTERM)
    proved("the gateway has written everything, and exits with 0", True)
    admin("log", "vm-1")
    proved("every byte of every branch is whole", admin("check", "--data") == "no problems found\n")


def main() -> int:
    """Demonstrate in the directory that the command line names."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        demonstrate(Path(sys.argv[1]))
    except AssertionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
