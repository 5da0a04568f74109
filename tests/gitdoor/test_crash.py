"""Imports and pushes that are killed on the way: the store opens, is well, and all goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from store.store import Store
from tests.fsgw.served import serving
from tests.gitdoor.crafted import Door
from tests.gitdoor.helpers import brought_in, written
from tests.gitdoor.repositories import Git, cloned

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("seen", ["fsgw-push-*", "fsgw-push-*/objects/pack/pack-*.idx"])
def test_a_killed_push(tmp_path: Path, git: Git, seen: str) -> None:
    """When git unpacks it, and when it is taken in. The branch is what it was, or what was pushed;
    and the same push can be made again."""
    path, scratch, config = tmp_path / "store", tmp_path / "scratch", tmp_path / "fsgw.toml"
    scratch.mkdir()
    Store.init(path)
    with Store.open(path) as store:
        brought_in(store, git)
    config.write_text('[git]\nlisten = ["127.0.0.1"]\nport = 0\n')
    old = git("rev-parse", "main").strip()
    for number in range(200):
        git.write(f"new/{number % 5}/{number}", f"{number}\n" * 50)
    tip = git.commit("much")
    options = "--config", str(config)
    with serving(path, *options, environment={"TMPDIR": str(scratch)}) as served:
        url = f"{Door(served, scratch).url}/main.git"
        command = ["git", "push", "-q", url, "main"]
        with subprocess.Popen(command, cwd=git.path, stderr=subprocess.DEVNULL) as push:
            while push.poll() is None and not any(scratch.glob(seen)):
                pass
            served.process.kill()
    with Store.open(path) as store:
        assert store.check(data=True) == []
    with serving(path, *options, environment={"TMPDIR": str(tmp_path)}) as served:
        door = Door(served, tmp_path)
        assert door.tip() in (old, tip)
        assert ("/new" in door.tree("main")) == (door.tip() == tip)
        git("push", "-q", f"{door.url}/main.git", "main")
        assert door.tip() == tip
        clone = cloned(f"{door.url}/main.git", tmp_path / "clone")
        assert clone("rev-parse", "HEAD").strip() == tip
    with Store.open(path) as store:
        store.gc()
        assert store.check(data=True) == []
