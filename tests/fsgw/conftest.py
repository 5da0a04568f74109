"""A store of its own for each test, with the command that works on it, and a local directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fsgw.helpers import Fsgw


@pytest.fixture
def fsgw(tmp_path: Path) -> Iterator[Fsgw]:
    """The command on a new store with an empty branch `main`; the store is whole at the end."""
    run = Fsgw(tmp_path / "store")
    run("init")
    run("branch", "create", "main")
    yield run
    assert run.lines("check", "--data") == ["no problems found"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """An empty local directory to import from."""
    path = tmp_path / "source"
    path.mkdir()
    return path
