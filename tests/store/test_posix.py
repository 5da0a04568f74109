"""The POSIX suite on the tree interface, and on local file systems to prove the suite itself.

On a tree whose changes stay in memory every case is a test of its own. The same cases run again,
a module of the suite at a time, on a tree that is flushed or sealed every few changes, so that
they read from every place where a store keeps things; and on what the kernel brings along.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.posix")

from store import errors  # noqa: E402 - the suite is imported once its asserts are rewritten
from store.store import Store  # noqa: E402
from tests.posix import suite  # noqa: E402
from tests.posix.differences import DIFFERENCES, difference  # noqa: E402
from tests.posix.errornames import ERROR_NAMES, NOT_FROM_A_TREE  # noqa: E402
from tests.posix.osfs import OsFs  # noqa: E402
from tests.posix.running import CASES, run, run_all  # noqa: E402
from tests.posix.treefs import TreeFs, no_hook  # noqa: E402

PEERS = {"ext4": "/var/tmp", "tmpfs": "/dev/shm"}
# Changes from one to the next: odd, so that they fall anywhere in a case.
FLUSH_EVERY, SNAPSHOT_EVERY, SETTLE_EVERY = 31, 61, 307


# --- the tree interface -----------------------------------------------------------------------


Hook = Callable[[], None]


def every(calls: dict[int, Callable[[], object]]) -> Hook:
    """A hook that makes each call after every so many changes."""
    numbers = count(1)

    def hook() -> None:
        number = next(numbers)
        for changes, call in calls.items():
            if number % changes == 0:
                call()

    return hook


def in_memory(store: Store) -> Hook:
    """Everything stays where it was changed."""
    return no_hook


def flushed(store: Store) -> Hook:
    """Whole blocks go to packs."""
    return every({FLUSH_EVERY: store.flush})


def sealed(store: Store) -> Hook:
    """Layers are frozen, written to the database, folded into the base map, dropped."""

    def settle() -> None:
        store.settle()
        for old in store.snapshots("main")[:-1]:
            store.delete_snapshot("main", old.name)

    return every({SNAPSHOT_EVERY: lambda: store.snapshot("main"), SETTLE_EVERY: settle})


def open_tree(path: Path, state: Callable[[Store], Hook]) -> Iterator[TreeFs]:
    """A new store's tree, kept in that state; `check` finds nothing when its tests are through."""
    Store.init(path)
    with Store.open(path) as store:
        store.create_branch("main")
        tree = store.tree("main")
        yield TreeFs(tree, tree.root, hook=state(store))
        store.snapshot("main")
        store.settle()
        assert store.check(data=True) == []


@pytest.fixture(scope="module")
def tree_fs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TreeFs]:
    yield from open_tree(tmp_path_factory.mktemp("posix") / "store", in_memory)


@pytest.fixture(scope="module", params=[flushed, sealed])
def settling_fs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TreeFs]:
    yield from open_tree(tmp_path_factory.mktemp("posix") / "store", request.param)


@pytest.mark.parametrize("name", CASES)
def test_posix(tree_fs: TreeFs, name: str) -> None:
    reason = run(tree_fs, "tree", name)
    if reason is not None:
        pytest.xfail(reason)


@pytest.mark.parametrize("module", suite.MODULES)
def test_posix_while_the_store_settles(settling_fs: TreeFs, module: str) -> None:
    run_all(settling_fs, "tree", module)


def test_every_error_has_one_name() -> None:
    family = set(errors.StoreError.__subclasses__()) | set(errors.StorageFailure.__subclasses__())
    assert set(ERROR_NAMES) | NOT_FROM_A_TREE == family
    assert not set(ERROR_NAMES) & NOT_FROM_A_TREE


# --- the suite itself ---------------------------------------------------------------------------


def kind_of(path: str) -> str:
    """The type of the file system at `path`, by the longest mount point above it."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    above = [mount for mount in mounts if os.path.commonpath([mount[0], path]) == mount[0]]
    return max(above, key=lambda mount: len(mount[0]))[1]


@pytest.fixture(scope="module", params=PEERS)
def local_fs(request: pytest.FixtureRequest) -> Iterator[tuple[str, OsFs]]:
    """A directory of a file system that the kernel brings along, with that system's name."""
    kind: str = request.param
    where = PEERS[kind]
    if not os.path.isdir(where) or kind_of(where) != kind:
        pytest.skip(f"{where} is not on {kind}")
    path = tempfile.mkdtemp(prefix="posix-", dir=where)
    os.chmod(path, 0o755)
    try:
        yield kind, OsFs(path)
    finally:
        shutil.rmtree(path)


@pytest.mark.root
@pytest.mark.parametrize("module", suite.MODULES)
def test_posix_local(local_fs: tuple[str, OsFs], module: str) -> None:
    kind, root = local_fs
    run_all(root, kind, module)


def test_the_suite_is_large_and_its_differences_are_of_it() -> None:
    assert len(CASES) >= 300
    for driver, pattern in DIFFERENCES:
        assert driver in {"tree", "fuse", "fuse-writeback", "nfs", *PEERS}
        assert any(difference(driver, name) for name in CASES), pattern
