"""A `.git` directory made of what the door tells: stock git takes it for one."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsgw.pump import Pump
from gitdoor.exporting import named
from gitdoor.graph import Missing
from gitdoor.loose import FOLDERS, Repository
from store.store import Store
from store.types import ROOT, SetAttr
from tests.gitdoor.helpers import brought_in, put
from tests.gitdoor.repositories import Git


def laid_out(repository: Repository, path: Path) -> Git:
    """The directory, as files."""
    for folder in ("refs", "objects"):
        (path / ".git" / folder).mkdir(parents=True)
    (path / ".git" / "HEAD").write_bytes(repository.head())
    (path / ".git" / "packed-refs").write_bytes(repository.packed_refs())
    (path / ".git" / "index").write_bytes(repository.index())
    for folder in FOLDERS:
        (path / ".git" / "objects" / folder).mkdir()
        for name in repository.object_names(folder):
            pieces = repository.object_pieces(bytes.fromhex(folder + name))
            (path / ".git" / "objects" / folder / name).write_bytes(b"".join(pieces))
    return Git(path)


def test_git_takes_it_for_its_own(store: Store, original: Git, tmp_path: Path) -> None:
    brought_in(store, original)
    put(store.tree("main"), b"readme", b"changed here\n")
    put(store.tree("main"), b"large", b"x" * 3_000_000)
    store.snapshot("main", "here", "changed")
    store.settle()
    repository = Repository(store, "main")
    assert len(repository.unnamed()) == 2  # the branch, and the tag of its snapshot
    with Pump(store) as pump, store.held():
        pump.run(named(store, repository.unnamed(), lambda count: None))
    assert repository.unnamed() == []
    git = laid_out(repository, tmp_path / "laid out")
    git.fsck()
    assert git("log", "--format=%H", "main~1", "--") == original("log", "--format=%H", "main", "--")
    assert git("rev-parse", "v1.0", "nested") == original("rev-parse", "v1.0", "nested")
    staged = [line.split(" ", 2) for line in git("ls-files", "-s").splitlines()]
    listed = [line.split(" ", 2) for line in git("ls-tree", "-r", "main").splitlines()]
    assert [(mode, rest[:40]) for mode, rest, _ in staged] == [
        (mode, rest[:40]) for mode, _, rest in listed
    ]
    assert git("diff", "--cached", "--stat") == ""


def test_an_index_knows_what_has_not_changed(store: Store, tmp_path: Path) -> None:
    store.create_branch("main")
    tree = store.tree("main")
    same, other = put(tree, b"same", b"1234567"), put(tree, b"other", b"1")
    store.snapshot("main", "first")
    store.settle()
    tree.setattr(ROOT, other, SetAttr(mtime_ns=5))
    repository = Repository(store, "main")
    with pytest.raises(Missing):
        repository.index()
    with Pump(store) as pump, store.held():
        pump.run(named(store, repository.unnamed(), lambda count: None))
    git = laid_out(repository, tmp_path / "laid out")
    told = git("ls-files", "--debug").split("\n")
    assert f"ino: {same & 0xFFFFFFFF}" in "".join(told[told.index("same") :])
    assert "size: 7" in "".join(told[told.index("same") :])
    assert "ino: 0" in "".join(told[told.index("other") : told.index("same")])
