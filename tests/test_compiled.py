"""Which modules run compiled, and that no compiled one hides its source."""

from __future__ import annotations

import importlib
import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXPECTED = os.environ.get("FSGW_EXPECT_COMPILED") == "1"
HOT = (
    "fuse.session",
    "gitdoor.translate",
    "nfs.dispatch",
    "nfs.nfs3_names",
    "nfs.record",
    "store.names",
    "store.content",
    "store.prolly_edit",
)


@pytest.mark.skipif(not EXPECTED, reason="runs where the compiled packages are installed")
@pytest.mark.parametrize("name", HOT)
def test_the_hot_modules_are_compiled(name: str) -> None:
    found = importlib.import_module(name).__file__
    assert found is not None
    assert found.endswith(".so")


@pytest.mark.skipif(EXPECTED, reason="there is no source tree here")
def test_no_compiled_module_hides_its_source() -> None:
    packages = ("fsgw", "fuse", "gitdoor", "nfs", "store")
    assert [path for name in packages for path in (ROOT / name).rglob("*.so")] == []


@pytest.mark.skipif(EXPECTED, reason="there is no source tree here")
def test_what_is_compiled_exists() -> None:
    text = (ROOT / "setup.py").read_text()
    listed = re.findall(r'"((?:fuse|gitdoor|nfs|store)/[a-z0-9_]+[.]py)"', text)
    assert set(listed) >= {name.replace(".", "/") + ".py" for name in HOT}
    assert [path for path in listed if not (ROOT / path).is_file()] == []
