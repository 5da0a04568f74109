"""What only the tests of the store need."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_MEMORY = Path("/dev/shm")


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory where there is such a place, else on disk.

    For tests that sync all the time and never cut the power for real: what a killed process had
    written is there afterwards, synced or not.
    """
    if not _MEMORY.is_dir():
        yield tmp_path
        return
    path = Path(tempfile.mkdtemp(prefix="fsgw-", dir=_MEMORY))
    try:
        yield path
    finally:
        shutil.rmtree(path)
