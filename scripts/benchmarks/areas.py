"""The areas that can be measured: names of rows (as `--only` takes them) and what measures each.

Rows run in this order; those that need a branch unsealed stand before those that seal it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from scripts.benchmarks.bench import Bench
from scripts.benchmarks.fuse_data import cold_read as fuse_cold_read
from scripts.benchmarks.fuse_data import sequential_read as fuse_read
from scripts.benchmarks.fuse_data import sequential_write as fuse_write
from scripts.benchmarks.fuse_fork import fork
from scripts.benchmarks.fuse_mounts import Caches
from scripts.benchmarks.fuse_names import names as fuse_names
from scripts.benchmarks.fuse_work import work
from scripts.benchmarks.git_history import clone_history, import_history
from scripts.benchmarks.git_mounts import working_directory
from scripts.benchmarks.nfs_calls import calls, readdirplus
from scripts.benchmarks.nfs_data import (
    cold_read,
    random_read,
    random_write,
)
from scripts.benchmarks.nfs_data import sequential_read as nfs_read
from scripts.benchmarks.nfs_data import sequential_write as nfs_write
from scripts.benchmarks.nfs_names import names, small_files
from scripts.benchmarks.nfs_servers import ASYNC, SYNC
from scripts.benchmarks.nfs_vm import vm
from scripts.benchmarks.rows import Row
from scripts.benchmarks.store_branches import diff, memory_sealed, memory_unsealed, steps
from scripts.benchmarks.store_calls import cached, create
from scripts.benchmarks.store_data import overwrite, sequential_read, sequential_write
from scripts.benchmarks.store_history import history
from scripts.benchmarks.store_seal import seal

Measure = Callable[[Bench], Iterator[Row]]

AREAS: Mapping[str, Mapping[str, Measure]] = {
    "store": {
        "create": create,
        "cached": cached,
        "write": sequential_write,
        "read": sequential_read,
        "overwrite": overwrite,
        "steps": steps,
        "memory-unsealed": memory_unsealed,
        "diff": diff,
        "memory-sealed": memory_sealed,
        "seal": seal,
        "history": history,
    },
    "nfs": {
        "getattr": calls("getattr"),
        "lookup": calls("lookup"),
        "access": calls("access"),
        "write": nfs_write,
        "read": nfs_read,
        "read-cold": cold_read,
        "random-read": random_read,
        "random-write": random_write,
        "names-sync": names(SYNC),
        "names-async": names(ASYNC),
        "small-files": small_files,
        "readdirplus": readdirplus,
        "vm": vm,
    },
    "fuse": {
        "names": fuse_names(Caches.ON),
        "names-uncached": fuse_names(Caches.OFF),
        "write": fuse_write,
        "read": fuse_read,
        "read-cold": fuse_cold_read,
        "work": work,
        "fork": fork,
    },
    "git": {
        "import": import_history,
        "clone": clone_history,
        "mount": working_directory,
    },
}
