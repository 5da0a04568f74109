"""What tests of the FUSE door share: a running gateway with a branch, and its mounts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuse.mounting import Mounts, require, watched
from tests.system.gateway import Gateway


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway with an empty branch `main`; at the end its store is whole."""
    require()
    made = Gateway(tmp_path)
    made.fsgw("branch", "create", "main")
    made.start()
    with watched(made.pid):
        yield made
        made.close()


@pytest.fixture
def mounts(gateway: Gateway, tmp_path: Path) -> Iterator[Mounts]:
    """Mounts of that gateway."""
    made = Mounts(gateway, tmp_path)
    yield made
    made.close()
