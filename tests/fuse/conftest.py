"""What tests of the FUSE door share: a running gateway with a branch, and its mounts."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from store.store import Options, Store
from tests.fuse.kernel import Kernel
from tests.fuse.mounting import Mounts, require, watched
from tests.nfs.gateway import Clock, make_store
from tests.system.gateway import Gateway


@contextmanager
def served(room: Path) -> Iterator[Gateway]:
    """A gateway with an empty branch `main`; at the end its store is whole."""
    require()
    made = Gateway(room)
    made.fsgw("branch", "create", "main")
    made.start()
    with watched(made.pid):
        yield made
        made.close()


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway of the test's own."""
    with served(tmp_path) as made:
        yield made


@pytest.fixture
def mounts(gateway: Gateway, tmp_path: Path) -> Iterator[Mounts]:
    """Mounts of that gateway."""
    made = Mounts(gateway, tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def common_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One for all of a module's tests that do it no harm."""
    with served(tmp_path_factory.mktemp("gateway")) as made:
        yield made


@pytest.fixture(scope="module")
def common_mounts(
    common_gateway: Gateway, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mounts]:
    """Mounts of that one."""
    made = Mounts(common_gateway, tmp_path_factory.mktemp("mounts"))
    yield made
    made.close()


# --- without a mount ------------------------------------------------------------------------------


@pytest.fixture
def clock() -> Clock:
    """The store's clock, which stands still until it is moved."""
    return Clock()


@pytest.fixture
def store(clock: Clock) -> Iterator[Store]:
    """A store with an empty branch `main`, whole at the end."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(
        prefix="fsgw-", dir=memory if memory.is_dir() else None
    ) as room:
        make_store(Path(room) / "store")
        with Store.open(Path(room) / "store", Options(clock=clock)) as opened:
            yield opened
            assert opened.check() == []


@pytest.fixture
def kernel(store: Store) -> Iterator[Kernel]:
    """A kernel with a mount of the branch, which is unmounted at the end."""
    made = Kernel(store)
    yield made
    made.close()
