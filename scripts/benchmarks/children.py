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
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from fsgw.process import tune
from scripts.benchmarks.bench import MIB
from scripts.benchmarks.engine import walk
from store.reading import ReadJob
from store.store import Store
from store.types import ROOT

_KIB_BYTES = 1024
_READ_THREADS = 2
_READS_IN_FLIGHT = 4


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
    """Read a file from start to end in calls of 1 MiB; time runs from before the store is open.

    A few calls are in flight, their I/O on threads, as a gateway serves a client's readahead.
    """
    started = time.perf_counter()
    total = 0
    with Store.open(Path(store_path)) as store, ThreadPoolExecutor(_READ_THREADS) as pool:
        tree = store.tree(branch)
        inode = tree.resolve(os.fsencode(path))
        under_way: deque[tuple[ReadJob, Future[None]]] = deque()
        for offset in range(0, inode.size, MIB):
            job = tree.begin_read(ROOT, inode.ino, offset, MIB)
            under_way.append((job, pool.submit(job.run)))
            if len(under_way) == _READS_IN_FLIGHT:
                total += _finished(*under_way.popleft())
        while under_way:
            total += _finished(*under_way.popleft())
        elapsed_s = time.perf_counter() - started
    return {"bytes": total, "elapsed_s": elapsed_s}


def _finished(job: ReadJob, future: Future[None]) -> int:
    future.result()
    return len(job.finish().data)


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
    tune()
    print(json.dumps(_TASKS[sys.argv[1]](*sys.argv[2:])))
