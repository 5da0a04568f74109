"""Quotas: what passes one is refused as a whole, and what a branch uses is counted exactly."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from store import errors
from store.store import Store
from store.tree import Tree
from store.types import ROOT, CreateHow, Quota, SetAttr, Usage
from tests.store.model_steps import list_all

BLOCK_BYTES = 8192
PAGE_BYTES = 4096


@pytest.fixture
def store(tmp_path: Path) -> Store:
    Store.init(tmp_path / "store", block_bytes=BLOCK_BYTES)
    store = Store.open(tmp_path / "store")
    store.create_branch("main")
    return store


def counted(tree: Tree) -> Usage:
    """What a walk over the whole tree finds in use."""
    used, seen, todo = 0, set[int](), [tree.root]
    while todo:
        ino = todo.pop()
        if ino not in seen:
            seen.add(ino)
            inode = tree.getattr(ino)
            used += inode.used
            if inode.mode & 0o170000 == 0o040000:
                todo += [entry.ino for entry in list_all(tree, ino)[2:]]
    return Usage(used, len(seen))


def assert_well(store: Store) -> None:
    """Counted right, in memory and when opened anew."""
    for info in store.branches():
        assert info.usage == counted(store.tree(info.name))
    assert store.check(data=True) == []
    path = store.engine.path
    store.close()
    with Store.open(path) as again:
        for info in again.branches():
            assert info.usage == counted(again.tree(info.name))


def test_bytes_are_refused_exactly_at_the_limit(store: Store) -> None:
    tree = store.tree("main")
    store.set_quota("main", Quota(bytes_max=10 * PAGE_BYTES))
    ino = tree.create(ROOT, tree.root, b"f", 0o644).inode.ino
    tree.write(ROOT, ino, 0, b"x" * 10 * PAGE_BYTES)
    before = tree.getattr(ino)
    with pytest.raises(errors.QuotaExceeded):
        tree.write(ROOT, ino, 10 * PAGE_BYTES, b"y")
    with pytest.raises(errors.QuotaExceeded):
        tree.write(ROOT, ino, 5 * PAGE_BYTES, b"y" * 6 * PAGE_BYTES)
    assert tree.getattr(ino) == before
    assert bytes(tree.read(ROOT, ino, 0, 1 << 20).data) == b"x" * 10 * PAGE_BYTES
    tree.write(ROOT, ino, 3, b"in place")
    assert tree.usage() == Usage(10 * PAGE_BYTES, 2)
    tree.setattr(ROOT, ino, SetAttr(size=PAGE_BYTES))
    tree.write(ROOT, ino, PAGE_BYTES, b"z" * PAGE_BYTES)
    assert_well(store)


def test_inodes_are_refused_exactly_at_the_limit(store: Store) -> None:
    tree = store.tree("main")
    store.set_quota("main", Quota(inodes_max=4))
    for name in (b"a", b"b", b"c"):
        tree.create(ROOT, tree.root, name, 0o644)
    before = tree.getattr(tree.root)
    with pytest.raises(errors.QuotaExceeded):
        tree.create(ROOT, tree.root, b"d", 0o644)
    with pytest.raises(errors.QuotaExceeded):
        tree.mkdir(ROOT, tree.root, b"d", 0o755)
    with pytest.raises(errors.QuotaExceeded):
        tree.symlink(ROOT, tree.root, b"d", b"target")
    with pytest.raises(errors.QuotaExceeded):
        tree.mknod(ROOT, tree.root, b"d", 0o010644)
    assert tree.getattr(tree.root) == before
    tree.create(ROOT, tree.root, b"a", 0o644, how=CreateHow.UNCHECKED)
    tree.link(ROOT, tree.lookup(ROOT, tree.root, b"a").ino, tree.root, b"second name")
    tree.unlink(ROOT, tree.root, b"b")
    tree.mkdir(ROOT, tree.root, b"d", 0o755)
    assert_well(store)


def test_a_quota_below_what_is_used_refuses_only_what_adds(store: Store) -> None:
    tree = store.tree("main")
    ino = tree.create(ROOT, tree.root, b"f", 0o644).inode.ino
    tree.write(ROOT, ino, 0, b"x" * 100_000)
    store.set_quota("main", Quota(PAGE_BYTES, 1))
    with pytest.raises(errors.QuotaExceeded):
        tree.write(ROOT, ino, 200_000, b"x")
    with pytest.raises(errors.QuotaExceeded):
        tree.mkdir(ROOT, tree.root, b"d", 0o755)
    tree.write(ROOT, ino, 50_000, b"in place")
    tree.rename(ROOT, tree.root, b"f", tree.root, b"g")
    store.snapshot("main", "s")
    tree.setattr(ROOT, ino, SetAttr(size=10))
    tree.unlink(ROOT, tree.root, b"g")
    store.rollback("main", "main@s")
    assert tree.usage().used_bytes == counted(tree).used_bytes > PAGE_BYTES
    assert tree.quota == Quota(PAGE_BYTES, 1)
    assert_well(store)


def test_at_random(store: Store, rng: random.Random) -> None:
    """Never over the limits, never a partial write, always counted right."""
    tree = store.tree("main")
    limits = Quota(40 * PAGE_BYTES, 12)
    store.set_quota("main", limits)
    data: dict[bytes, bytes] = {}
    refusals = 0
    for step in range(400):
        name = b"%d" % rng.randrange(20)
        try:
            if name in data and rng.random() < 0.3:
                tree.unlink(ROOT, tree.root, name)
                del data[name]
                continue
            if name not in data:
                tree.create(ROOT, tree.root, name, 0o644)
                data[name] = b""
            ino = tree.lookup(ROOT, tree.root, name).ino
            offset, piece = rng.randrange(30_000), rng.randbytes(rng.randrange(1, 60_000))
            tree.write(ROOT, ino, offset, piece)
            old = data[name].ljust(offset, b"\0")
            data[name] = old[:offset] + piece + old[offset + len(piece) :]
        except errors.QuotaExceeded:
            refusals += 1
        usage = tree.usage()
        assert usage.used_bytes <= limits.bytes_max
        assert usage.inodes <= limits.inodes_max
        if step % 20 == 0:
            assert usage == counted(tree)
            rng.choice((store.flush, store.settle))()
    assert refusals > 20
    for name, content in data.items():
        ino = tree.lookup(ROOT, tree.root, name).ino
        assert bytes(tree.read(ROOT, ino, 0, 1 << 20).data) == content
    assert_well(store)
