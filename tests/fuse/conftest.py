"""What tests of the FUSE door share: a running gateway with a branch, and its mounts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fuse.mounting import Mounts, require, watched
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
