"""Fixtures: a store that is checked at the end of every test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.store import Store


@pytest.fixture(autouse=True)
def _stock_git() -> None:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    Store.init(tmp_path / "store")
    with Store.open(tmp_path / "store") as opened:
        yield opened
        assert opened.check(data=True) == []
