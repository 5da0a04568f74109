"""Many processes change the same few names, through two mounts and NFS, while history moves."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fuse.admin import Admin
from tests.fuse.mounting import Mounts
from tests.fuse.nfsfs import NfsFs
from tests.fuse.stress import STEPS_EVERY
from tests.fuse.trees import attributes, expect_same, expect_sane, through_mount, through_nfs
from tests.fuse.wire import WireClient
from tests.system.gateway import Gateway

pytestmark = [pytest.mark.slow, pytest.mark.root]

OPERATIONS = 1000  # of each process
ADMIN_STEPS = 12

Doing = Callable[[], None]


class Historian:
    """The administrator between: each call does one thing with the branch's history."""

    def __init__(self, admin: Admin, rng: random.Random) -> None:
        self._admin = admin
        self._rng = rng
        self._snapshots: list[str] = []
        self._count = 0

    def step(self, *, rollbacks: bool) -> None:
        """Snapshot, roll back, collect garbage, fork, or delete."""
        kinds: list[Doing] = [self._snapshot, self._snapshot, self._fork, self._admin.gc]
        if rollbacks:
            kinds += [self._rollback, self._rollback, self._delete]
        self._rng.choice(kinds if self._snapshots else [self._snapshot])()

    def _snapshot(self) -> None:
        self._count += 1
        self._snapshots.append(f"s{self._count}")
        self._admin.snapshot("main", self._snapshots[-1])

    def _rollback(self) -> None:
        self._admin.rollback("main", f"main@{self._rng.choice(self._snapshots)}")

    def _delete(self) -> None:
        number = self._rng.randrange(len(self._snapshots))
        self._admin.delete_snapshot("main", self._snapshots.pop(number))

    def _fork(self) -> None:
        self._admin.fork(f"main@{self._rng.choice(self._snapshots)}", "fork")
        self._admin.delete_branch("fork")


def run_all(
    commands: list[list[str]], room: Path, between: Doing, times: int
) -> list[dict[str, Any]]:
    """Run stress processes together, with something in between, spread over their course."""
    reading, writing = os.pipe()
    results = [room / f"result{number}" for number in range(len(commands))]
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.fuse.stress", str(result), *words],
            stdin=subprocess.DEVNULL,
            stdout=writing,
        )
        for result, words in zip(results, commands, strict=True)
    ]
    os.close(writing)
    every = max(OPERATIONS // STEPS_EVERY * len(commands) // times, 1)
    with os.fdopen(reading) as lines:
        for step, _ in enumerate(lines):
            if step % every == 0:
                between()
    assert [worker.wait() for worker in workers] == [0] * len(workers)
    return [json.loads(result.read_text()) for result in results]


@pytest.mark.parametrize("rollbacks", [False, True], ids=["snapshots", "rollbacks"])
@pytest.mark.parametrize("options", ["", "attr_timeout=0,entry_timeout=0"], ids=["cached", "not"])
def test_processes_in_each_others_way(
    rollbacks: bool,
    options: str,
    gateway: Gateway,
    mounts: Mounts,
    tmp_path: Path,
    rng: random.Random,
) -> None:
    first, second = (mounts.mount("main", *filter(None, [options])) for _ in range(2))
    places = [["mount", str(first)], ["mount", str(first)], ["mount", str(second)]]
    places += [["nfs", str(gateway.port), "/main"]] * 2
    commands = [[str(rng.getrandbits(31)), str(OPERATIONS), *place] for place in places]
    admin = Admin(gateway.store / "gateway.sock")
    historian = Historian(admin, rng)
    results = run_all(commands, tmp_path, lambda: historian.step(rollbacks=rollbacks), ADMIN_STEPS)

    assert [result["unexpected"] for result in results] == [[]] * len(commands)
    outcomes = sum((Counter(result["outcomes"]) for result in results), Counter[str]())
    done = sum(count for what, count in outcomes.items() if what.endswith(" ok"))
    assert done > OPERATIONS * len(commands) // 20, outcomes  # else this was no stress

    tree = through_mount(first)
    expect_sane(tree)
    expect_same(tree, through_mount(second))
    with WireClient(gateway.port) as client:
        expect_same(tree, through_nfs(NfsFs(client, client.mount("/main"))))
    assert attributes(first, tree) == attributes(second, tree)
    admin.check()
    for directory in (first, second):
        mounts.umount(directory)
    expect_same(tree, through_mount(mounts.mount()))
