"""Fixtures: a store that is checked at the end of every test, and a gateway that serves git."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsgw.git import import_git
from store.store import Store
from tests.fsgw.served import Served, serving
from tests.gitdoor.crafted import Door
from tests.gitdoor.helpers import done
from tests.gitdoor.mounted import Scene, scene
from tests.gitdoor.repositories import Git, of_everything


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


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Git:
    """A history of everything, not to be changed."""
    return of_everything(tmp_path_factory.mktemp("original") / "repository")


@pytest.fixture
def git(original: Git, tmp_path: Path) -> Git:
    """A history of everything, to be changed."""
    shutil.copytree(original.path, tmp_path / "repository", symlinks=True)
    git = Git(tmp_path / "repository", minutes=1000)
    git("update-index", "-q", "--refresh")
    return git


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Scene]:
    """A gateway and its mounts."""
    with scene(tmp_path) as made:
        yield made


@pytest.fixture
def imported(here: Scene, original: Git) -> Scene:
    """The same, with a history of everything."""
    here.bring_in(original)
    return here


@pytest.fixture
def push() -> str:
    """What the gateway's configuration says of pushes."""
    return "fast-forward"


@pytest.fixture
def gateway(original: Git, tmp_path: Path, push: str) -> Iterator[tuple[Served, str]]:
    """A gateway with a history of everything, and the URL of its repositories."""
    path = tmp_path / "store"
    Store.init(path)
    with Store.open(path) as store:
        done(store, import_git(store, str(original.path), [], None))
    (tmp_path / "fsgw.toml").write_text(
        f'[git]\nlisten = ["127.0.0.1"]\nport = 0\npush = "{push}"\n'
    )
    with serving(path, "--config", str(tmp_path / "fsgw.toml")) as served:
        yield served, f"http://127.0.0.1:{served.lines[-1]['git_port']}"
    with Store.open(path) as store:
        assert store.check(data=True) == []


@pytest.fixture(scope="module")
def door(original: Git, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A gateway with a history of everything for all of a module's tests, whole at the end."""
    room = tmp_path_factory.mktemp("door")
    path, scratch, config = room / "store", room / "scratch", room / "fsgw.toml"
    scratch.mkdir()
    Store.init(path)
    with Store.open(path) as store:
        done(store, import_git(store, str(original.path), [], None))
    config.write_text('[git]\nlisten = ["127.0.0.1"]\nport = 0\npush_bytes_max = 4000000\n')
    environment = {"TMPDIR": str(scratch)}
    with serving(path, "--config", str(config), environment=environment) as served:
        yield Door(served, scratch)
    with Store.open(path) as store:
        assert store.check(data=True) == []
