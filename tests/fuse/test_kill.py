"""A gateway is killed while its mounts are in use: nobody hangs, and the next one clears up."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fuse.caller import KINDS, RECORD_BYTES, record
from tests.fuse.mounting import Mounts, require, watched
from tests.system.gateway import Gateway
from tests.system.output import Printed

pytestmark = [pytest.mark.slow, pytest.mark.root]

# By far longer than an error takes on the busiest machine.
PROMPTLY_S = 30
DEAD = ("ENOTCONN", "ECONNABORTED")


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway that is going to be killed; its store is whole at the end."""
    require()
    made = Gateway(tmp_path)
    made.fsgw("branch", "create", "main")
    made.start()
    yield made
    made.close()


@pytest.fixture
def mounts(victim: Gateway, tmp_path: Path) -> Iterator[Mounts]:
    made = Mounts(victim, tmp_path)
    yield made
    made.close()


class Caller:
    """A process that uses a mount; see `tests.fuse.caller`. `done` is what it said last."""

    def __init__(self, kind: str, directory: Path) -> None:
        self.done = -1
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuse.caller", kind, str(directory)],
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        assert self.process.stdout is not None
        self._said = Printed(self.process.stdout)

    def go_on(self, count: int) -> None:
        """Wait for it to have done so many things more."""
        self.done += count
        self._said.wait(f"^{self.done}$")

    def error(self) -> str:
        """The error that ends it."""
        assert self.process.wait(timeout=PROMPTLY_S) == 0
        self._said.join()
        *numbers, error = self._said.text.split()
        self.done = int(numbers[-1])
        return error

    def close(self) -> None:
        """End it, if it goes on."""
        self.process.kill()
        self.process.wait()
        self._said.join()
        assert self.process.stdout is not None
        self.process.stdout.close()

    @property
    def waits_for_an_answer(self) -> bool:
        """Whether it sits in the kernel, for want of an answer or of a page."""
        stack = Path(f"/proc/{self.process.pid}/stack").read_text()
        return "request_wait_answer" in stack or "folio_wait" in stack


Call = Callable[[Path], dict[str, Caller]]


@pytest.fixture
def call(mounts: Mounts) -> Iterator[Call]:
    """Starts callers of every kind; they end with the test, before the mounts."""
    made: dict[str, Caller] = {}

    def start(directory: Path) -> dict[str, Caller]:
        made.update({kind: Caller(kind, directory) for kind in KINDS})
        return made

    yield start
    for caller in made.values():
        caller.close()


def is_dead(directory: Path) -> bool:
    """Whether nobody answers; what the kernel knows by itself it tells all the same."""
    try:
        os.statvfs(directory)
    except OSError as error:
        return errno.errorcode[error.errno or 0] in DEAD
    return False


def expect_written(directory: Path, callers: dict[str, Caller], *, names: bool) -> None:
    """All that was synced is there; `names`: what was made and answered is, too."""
    found = (directory / "log").read_bytes()
    whole = len(found) // RECORD_BYTES
    assert whole > callers["append"].done
    assert found[: whole * RECORD_BYTES] == b"".join(map(record, range(whole)))
    for number in range(callers["files"].done + 1):
        assert (directory / "files" / str(number)).read_bytes() == record(number)
    if names:
        made = {str(number) for number in range(callers["names"].done + 1)}
        assert made <= set(os.listdir(directory / "names"))


@pytest.mark.parametrize("options", [(), ("sync",), ("writeback_cache",)], ids=str)
def test_callers_get_an_error_and_find_what_they_synced(
    options: tuple[str, ...], victim: Gateway, mounts: Mounts, call: Call, rng: random.Random
) -> None:
    directory = mounts.directory()
    with watched(victim.pid):
        mounts.mount("main", *options, at=directory)
        callers = call(directory)
        for caller in callers.values():
            caller.go_on(rng.randint(3, 30))
        victim.kill()
    for kind, caller in callers.items():
        assert caller.error() in DEAD, kind
    assert is_dead(directory)

    victim.start()
    with watched(victim.pid):
        assert not directory.is_mount()
        assert os.listdir(directory) == []
        assert json.loads(victim.fsgw("mounts", "--json") or "[]") == []
        mounts.mount("main", *options, at=directory)
        expect_written(directory, callers, names="sync" in options)
        (directory / "again").write_text("text")
        mounts.umount(directory)
        assert victim.cat("main/again") == b"text"


def test_callers_in_the_middle_of_a_call(victim: Gateway, mounts: Mounts, call: Call) -> None:
    """The gateway does not answer any more; then it is gone, and with it the waiting."""
    directory = mounts.mount()
    callers = call(directory)
    for caller in callers.values():
        caller.go_on(2)
    os.kill(victim.pid, signal.SIGSTOP)
    give_up = time.monotonic() + PROMPTLY_S
    while not all(caller.waits_for_an_answer for caller in callers.values()):
        assert time.monotonic() < give_up, "somebody does not wait"
    victim.kill()
    for kind, caller in callers.items():
        assert caller.error() in DEAD, kind
    victim.start()
    with watched(victim.pid):
        assert os.listdir(directory) == []


def test_a_dead_mount_that_is_still_used_is_cleared_up(victim: Gateway, mounts: Mounts) -> None:
    """By somebody whose working directory is in it, with a file open and mapped."""
    directory = mounts.mount()
    (directory / "sub").mkdir()
    (directory / "sub" / "file").write_bytes(bytes(100_000))
    holder = subprocess.Popen(
        ["sh", "-c", "exec 3<file; echo here; read -r _; read -r _ <&3"],
        cwd=directory / "sub",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"here\n"
    victim.kill()
    assert is_dead(directory)
    victim.start()
    with watched(victim.pid):
        assert os.listdir(directory) == []
        mounts.mount(at=directory)
        (directory / "new").write_text("text")
        assert not (directory / "sub").exists() or (directory / "sub").is_dir()
        holder.communicate(b"\n", timeout=PROMPTLY_S)
        assert (directory / "new").read_text() == "text"


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Gateway]:
    """The gateway of another store."""
    (tmp_path / "other").mkdir()
    made = Gateway(tmp_path / "other")
    made.fsgw("branch", "create", "main")
    made.start()
    with watched(made.pid):
        yield made
        made.close()


def test_mounting_takes_a_dead_mount_away(victim: Gateway, mounts: Mounts, other: Gateway) -> None:
    """Also one of another store's gateway; which, when it is back, leaves the new one alone."""
    directory = mounts.mount()
    victim.kill()
    other.fsgw("mount", "main", directory)
    (directory / "file").write_text("other")
    victim.start()
    assert directory.is_mount()
    assert (directory / "file").read_text() == "other"
    other.fsgw("umount", directory)


def test_users_of_a_gateway_that_is_stopped(victim: Gateway, mounts: Mounts, call: Call) -> None:
    """SIGTERM: in order, whoever is using a mount; everything is written, synced or not."""
    directory = mounts.mount()
    callers = call(directory)
    for caller in callers.values():
        caller.go_on(5)
    victim.stop()
    for kind, caller in callers.items():
        assert caller.error() in (*DEAD, "ENOENT", "ENOTDIR"), kind
    assert not directory.is_mount()
    assert os.listdir(directory) == []
    victim.start()
    with watched(victim.pid):
        mounts.mount(at=directory)
        expect_written(directory, callers, names=True)
