"""Annexes: writable trees beside branches, kept as branches are, and in no history."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from store import errors
from store.history import ANNEX_QUOTA
from store.refs import annex_ref
from store.store import Store
from store.tree import Tree
from store.types import ROOT

BLOCK_BYTES = 8192
DATA = random.Random("annex").randbytes(5 * BLOCK_BYTES)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    Store.init(tmp_path / "store", block_bytes=BLOCK_BYTES)
    store = Store.open(tmp_path / "store")
    store.create_branch("main")
    return store


def annex(store: Store, branch: str = "main") -> Tree:
    return store.annex(store.ids.branch(branch))


def freeze(store: Store, branch: str = "main") -> None:
    store.history.frozen_point(annex_ref(store.ids.branch(branch)))


def write(tree: Tree, name: bytes, data: bytes = DATA) -> None:
    ino = tree.create(ROOT, tree.root, name, 0o644).inode.ino
    tree.write(ROOT, ino, 0, data)


def content(tree: Tree, name: bytes) -> bytes:
    ino = tree.lookup(ROOT, tree.root, name).ino
    return bytes(tree.read(ROOT, ino, 0, len(DATA) + 1).data)


def test_it_is_kept_and_in_no_history(store: Store) -> None:
    tree = annex(store)
    assert annex(store) is tree
    write(tree, b"file")
    write(store.tree("main"), b"other", b"x")
    store.snapshot("main", "one")
    assert [info.name for info in store.branches()] == ["main"]
    assert [found.path for found in store.diff("main@one", "main")] == []
    store.fork("main", "fork")
    assert annex(store, "fork").getattr(1).size == 0
    store.rollback("main", "main@one")
    assert content(annex(store), b"file") == DATA
    store.settle()
    assert store.check(data=True) == []
    path = store.engine.path
    store.close()
    with Store.open(path) as again:
        assert content(annex(again), b"file") == DATA
        assert again.check(data=True) == []


def test_making_and_changing_one_is_no_change_of_what_shows(store: Store) -> None:
    version = store.ids.version
    write(annex(store), b"file")
    freeze(store)
    assert store.ids.version == version


def test_frozen_layers_are_sealed_and_garbage_collection_keeps_them(store: Store) -> None:
    tree = annex(store)
    for number in range(20):
        write(tree, b"%d" % number, DATA[number:])
        freeze(store)
        store.settle()
    for number in range(19):
        tree.unlink(ROOT, 1, b"%d" % number)
    freeze(store)
    store.settle()
    live = store.engine.layers[store.history.annexes()[store.ids.branch("main")].layer]
    assert live.parent is not None
    assert live.parent.sealed
    assert store.gc().objects_removed > 0
    assert content(tree, b"19") == DATA[19:]
    assert store.check(data=True) == []


def test_it_goes_with_its_branch_and_its_space_is_its_branchs(store: Store) -> None:
    store.create_branch("other")
    tree = annex(store, "other")
    write(tree, b"file")
    freeze(store, "other")
    store.settle()
    stats = {found.info.name: found.exclusive_bytes for found in store.stats().branches}
    assert stats["other"] > len(DATA)
    number = store.ids.branch("other")
    store.rename_branch("other", "another")
    assert annex(store, "another") is tree
    store.delete_branch("another")
    with pytest.raises(errors.UnknownRef):
        store.annex(number)
    with pytest.raises(errors.Stale):
        tree.getattr(1)
    store.settle()
    store.gc()
    assert store.check(data=True) == []
    assert not store.history.annexes()


def test_it_has_a_limit_of_its_own(store: Store) -> None:
    tree = annex(store)
    assert tree.quota == ANNEX_QUOTA
    tree.quota = ANNEX_QUOTA._replace(bytes_max=BLOCK_BYTES)
    with pytest.raises(errors.QuotaExceeded):
        write(tree, b"file")
