"""Measurements that need a new process: started by `run_child`, answered as one JSON object.

`python -m scripts.benchmarks.children read STORE BRANCH PATH` reads a file, `walk STORE BRANCH
PATH` visits every inode below a directory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from scripts.benchmarks.bench import MIB
from scripts.benchmarks.engine import walk
from store.store import Store
from store.types import ROOT

_KIB_BYTES = 1024


def run_child(task: str, store: Path, branch: str, path: str) -> dict[str, float]:
    """What `task` reports about a path in a store that nothing else has open."""
    command = [sys.executable, "-P", "-m", __name__, task, str(store), branch, path]
    answer = subprocess.run(
        command,
        check=True,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    report: dict[str, float] = json.loads(answer.stdout)
    return report


def read(store_path: str, branch: str, path: str) -> dict[str, float]:
    """Read a file from start to end in calls of 1 MiB; time runs from before the store is open."""
    started = time.perf_counter()
    offset = 0
    with Store.open(Path(store_path)) as store:
        tree = store.tree(branch)
        ino = tree.resolve(os.fsencode(path)).ino
        eof = False
        while not eof:
            piece = tree.read(ROOT, ino, offset, MIB)
            offset += len(piece.data)
            eof = piece.eof
        elapsed_s = time.perf_counter() - started
    return {"bytes": offset, "elapsed_s": elapsed_s}


def visit(store_path: str, branch: str, path: str) -> dict[str, float]:
    """Visit every inode below a directory; the memory that this process then has."""
    with Store.open(Path(store_path)) as store:
        tree = store.tree(branch)
        inodes = sum(1 for _ in walk(tree, tree.resolve(os.fsencode(path)).ino))
        memory = _memory_bytes()
    return {"inodes": inodes, **memory}


def _memory_bytes() -> dict[str, float]:
    """Resident bytes, all and those not mapped from files (RssAnon), of this process."""
    with open("/proc/self/status", encoding="ascii") as status:
        fields = dict(line.split(":", 1) for line in status)
    return {
        "resident": int(fields["VmRSS"].split()[0]) * _KIB_BYTES,
        "anonymous": int(fields["RssAnon"].split()[0]) * _KIB_BYTES,
    }


_TASKS: dict[str, Callable[[str, str, str], dict[str, float]]] = {"read": read, "walk": visit}

if __name__ == "__main__":
    print(json.dumps(_TASKS[sys.argv[1]](*sys.argv[2:])))
