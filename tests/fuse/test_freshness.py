"""Nobody sees what was there before a change that has been answered, through whatever door."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuse.freshness import KINDS
from tests.fuse.mounting import Mounts
from tests.fuse.stress import MountFs
from tests.fuse.wire import WireClient
from tests.system.gateway import Gateway

pytestmark = [pytest.mark.slow, pytest.mark.root]

APPENDS = 300  # of each process
# A part of a page: what crosses pages the kernel may hand over in two parts, and then what is
# appended through another mount may come between them.
RECORD_BYTES = 32


def run_together(commands: list[list[str]]) -> None:
    """Run `tests.fuse.freshness` with each of these arguments; all must succeed."""
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.fuse.freshness", *words],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for words in commands
    ]
    complaints = [worker.communicate()[1].decode() for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * len(workers), "\n".join(complaints)


@pytest.mark.parametrize("made_through", ["nfs", "mount"])
def test_what_was_answered_is_seen(
    made_through: str, gateway: Gateway, mounts: Mounts, tmp_path: Path
) -> None:
    first, second = mounts.mount(), mounts.mount()
    prepared = MountFs(str(first))
    for kind in KINDS:
        kind(prepared).prepare()
    numbers = tmp_path / "numbers"
    numbers.touch()
    nfs = ["nfs", str(gateway.port), "/main"]
    readers = [["mount", str(first)], ["mount", str(first)], nfs]
    writer = nfs if made_through == "nfs" else ["mount", str(second)]
    run_together(
        [
            *(["look", str(numbers), str(n), *each] for n, each in enumerate(readers)),
            ["make", str(numbers), str(len(readers)), *writer],
        ]
    )


APPEND = """
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
for number in range(int(sys.argv[3])):
    os.write(fd, f"{sys.argv[2]} {number}".ljust(31).encode() + b"\\n")
"""


def test_appending_through_two_mounts_loses_nothing(gateway: Gateway, mounts: Mounts) -> None:
    first, second = mounts.mount(), mounts.mount()
    (first / "log").touch()
    writers = [
        subprocess.Popen([sys.executable, "-c", APPEND, mount / "log", str(number), str(APPENDS)])
        for number, mount in enumerate((first, first, second, second))
    ]
    assert [writer.wait() for writer in writers] == [0] * len(writers)
    data = (first / "log").read_bytes()
    assert (second / "log").read_bytes() == data
    with WireClient(gateway.port) as client:
        file = client.find(client.mount("/main"), b"log")
        assert client.read(file).ok().data == data
    lines = [line.split() for line in data.decode().splitlines()]
    for number in range(len(writers)):
        own = [int(count) for who, count in lines if int(who) == number]
        assert own == list(range(APPENDS))
    assert len(data) == len(writers) * APPENDS * RECORD_BYTES
