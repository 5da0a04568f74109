"""Which modules run compiled, and that no compiled one hides its source."""

from __future__ import annotations

import ast
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


def _listed() -> list[str]:
    text = (ROOT / "setup.py").read_text()
    return re.findall(r'"((?:fuse|gitdoor|nfs|store)/[a-z0-9_]+[.]py)"', text)


@pytest.mark.skipif(EXPECTED, reason="there is no source tree here")
def test_no_compiled_class_has_an_heir_that_is_not() -> None:
    """Python refuses to make such a class, only where the modules are compiled."""
    listed = _listed()
    compiled = {path.removesuffix(".py").replace("/", ".") for path in listed}
    found = []
    for package in ("fsgw", "fuse", "gitdoor", "nfs", "store"):
        for path in (ROOT / package).rglob("*.py"):
            if str(path.relative_to(ROOT)) in listed:
                continue
            nodes = list(ast.walk(ast.parse(path.read_text())))
            imported = {
                alias.asname or alias.name
                for node in nodes
                if isinstance(node, ast.ImportFrom) and node.module in compiled
                for alias in node.names
            }
            found += [
                (path, node.name, base.id)
                for node in nodes
                if isinstance(node, ast.ClassDef)
                for base in node.bases
                if isinstance(base, ast.Name) and base.id in imported
            ]
    assert found == []


@pytest.mark.skipif(EXPECTED, reason="there is no source tree here")
def test_what_is_compiled_exists() -> None:
    listed = _listed()
    assert set(listed) >= {name.replace(".", "/") + ".py" for name in HOT}
    assert [path for path in listed if not (ROOT / path).is_file()] == []
