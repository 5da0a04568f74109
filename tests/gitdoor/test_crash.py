"""An import that is killed on the way: the store opens, is well, and the import goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from store.store import Store
from tests.gitdoor.helpers import brought_in, written
from tests.gitdoor.repositories import Git

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("lines", [1, 4, 9, 14, 1000])
def test_a_killed_import(tmp_path: Path, original: Git, lines: int) -> None:
    path = tmp_path / "store"
    Store.init(path)
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.gitdoor.crash_child", str(path), str(original.path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    for said, text in enumerate(child.stdout, 1):
        if said == lines or text == "done\n":
            break
    child.kill()
    child.communicate()
    with Store.open(path) as store:
        assert store.check(data=True) == []
        store.gc()
        assert store.check(data=True) == []
    with Store.open(path) as store:
        report = brought_in(store, original)
        assert report["troubles"] == []
        assert written(store, tmp_path / "out.git").refs() == original.refs()
        assert store.check(data=True) == []
