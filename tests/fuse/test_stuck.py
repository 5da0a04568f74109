"""A gateway is killed while its kernel was being told something that waits for a call of a mount.

Neither the call nor the process can end by themselves then; the next gateway ends the connection.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuse import stuck_gateway
from tests.fuse.mounting import require
from tests.system.gateway import Gateway
from tests.system.output import GIVE_UP_S, Printed

pytestmark = [pytest.mark.slow, pytest.mark.root]


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Gateway]:
    """A store that a gateway takes at the end, and finds whole."""
    require()
    made = Gateway(tmp_path)
    made.fsgw("branch", "create", "main")
    yield made
    made.close()


def _first_thread_is_dead(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_the_next_gateway_frees_what_is_stuck(victim: Gateway, tmp_path: Path) -> None:
    directory = tmp_path / "mount"
    directory.mkdir()
    stuck = subprocess.Popen(
        [sys.executable, stuck_gateway.__file__, str(victim.store), str(directory)],
        stdout=subprocess.PIPE,
        bufsize=0,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert stuck.stdout is not None
    said = Printed(stuck.stdout)
    said.wait("^mounted$")
    caller = subprocess.Popen(["stat", str(directory / "name")], stderr=subprocess.PIPE)
    said.wait("^looked up$")
    stuck.kill()
    deadline = time.monotonic() + GIVE_UP_S
    while not _first_thread_is_dead(stuck.pid):
        assert time.monotonic() < deadline
        os.sched_yield()
    if not os.listdir(f"/proc/{stuck.pid}/task"):
        pytest.fail("it was not stuck")
    assert caller.poll() is None
    victim.start()
    assert stuck.wait(GIVE_UP_S) < 0
    _, error = caller.communicate(timeout=GIVE_UP_S)
    assert caller.returncode == 1
    assert b"not connected" in error or b"connection abort" in error
    said.join()
    stuck.stdout.close()
    assert list(directory.iterdir()) == []
    assert victim.fsgw("mounts", "--json") == ""
