"""Check finds nodes and maps that are not in their one form; the maps are built by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from store import keys, prolly
from store.node import Node, new
from store.objects import ObjectWriter
from store.types import ROOT, Problem
from tests.store.breaches import World, chunk, found, opened


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with opened(tmp_path / "store") as made:
        yield made


def entries_of(world: World) -> list[tuple[bytes, bytes]]:
    return list(prolly.items(world.store.engine.objects, world.tree.chain.root))


def build(world: World, entries: dict[bytes, bytes], shape: prolly.Shape = prolly.SHAPE) -> bytes:
    with_sink = _Sink(world)
    root = prolly.build(with_sink, sorted(entries.items()), shape)
    with_sink.publish()
    return root


class _Sink:
    """Stores nodes in the world's packs."""

    def __init__(self, world: World) -> None:
        self._engine = world.store.engine
        self._writer = ObjectWriter(self._engine.index, self._engine.packs, self._engine.reader)

    def put_node(self, node: Node) -> bytes:
        return self._writer.put_node(node)

    def publish(self) -> None:
        self._writer.sync()
        self._engine.publish(dict(self._writer.added), self._writer.sizes(), journalled=False)
        self._writer.close()


def seal_as(world: World, root: bytes) -> None:
    """Let another root stand for what is sealed below the live layer (and have no snapshot)."""
    store = world.store
    for info in store.snapshots("main"):
        store.delete_snapshot("main", info.name)
    top = world.tree.chain.top
    assert top is not None
    assert top.parent is not None
    top.parent.root = root
    store.engine.epoch += 1


def _sealed(world: World) -> dict[bytes, bytes]:
    """Make the world's map large, and seal it."""
    for number in range(300):
        world.tree.create(ROOT, world.ino["dir"], b"%d" % number, 0o644)
    world.store.snapshot("main", "sealed")
    world.store.settle()
    return dict(entries_of(world))


def test_map_cut_by_another_rule_is_found(world: World) -> None:
    """M3."""
    entries = _sealed(world)
    seal_as(world, build(world, entries))
    assert world.store.check(data=True) == []
    for shape in (prolly.Shape(1024, 8192, 15), prolly.Shape(16384, 65536, 255)):
        seal_as(world, build(world, entries, shape))
        problems = world.store.check()
        assert problems
        assert all("ends " in p.what or "single child" in p.what for p in problems)


def test_unsorted_node_is_found(world: World) -> None:
    """M2."""
    names, values = map(list, zip(*entries_of_new(world), strict=True))
    sink = _Sink(world)
    root = sink.put_node(new(0, [*names[1:], names[0]], [*values[1:], values[0]]))
    sink.publish()
    seal_as(world, root)
    (problem,) = world.store.check()
    assert "follows" in problem.what


def entries_of_new(world: World) -> list[tuple[bytes, bytes]]:
    world.store.snapshot("main", "sealed")
    world.store.settle()
    return entries_of(world)


@pytest.mark.parametrize("level", [1, 2])
def test_child_unlike_what_its_parent_says_is_found(world: World, level: int) -> None:
    """M2."""
    entries = entries_of_new(world)
    half = len(entries) // 2
    sink = _Sink(world)
    ids = [
        sink.put_node(new(0, *map(list, zip(*part, strict=True))))
        for part in (entries[:half], entries[half:])
    ]
    last = [entries[half - 1][0], entries[-1][0] + (b"x" if level == 1 else b"")]
    root = sink.put_node(new(level, last, ids))
    sink.publish()
    seal_as(world, root)
    problems = world.store.check()
    assert found(problems, "not what its parent says")


def test_root_with_a_single_child_is_found(world: World) -> None:
    """M3."""
    entries = _sealed(world)
    below = build(world, entries)
    sink = _Sink(world)
    root = sink.put_node(
        new(world.store.engine.objects.node(below).level + 1, [max(entries)], [below])
    )
    sink.publish()
    seal_as(world, root)
    (problem,) = world.store.check()
    assert problem == Problem(f"node {root.hex()}", "a root with a single child")


def test_missing_node_is_named_with_the_files_it_hits(world: World) -> None:
    _sealed(world)
    root = world.store.engine.objects.node(world.tree.chain.root)
    gone = root.values[len(root.values) // 2]
    world.store.engine.index.update({gone: None})
    (problem,) = [p for p in world.store.check() if gone.hex() in f"{p.where}{p.what}"]
    assert problem.where == f"object {gone.hex()}"
    assert "hits inodes " in problem.what
    assert " main:/" in problem.what


@pytest.mark.parametrize(
    ("name", "value"),
    [(b"user.inline", bytes(1) + b"x" * 257), (b"user.chunk", None)],
)
def test_attribute_in_a_sealed_map_has_its_one_form(
    world: World, name: bytes, value: bytes | None
) -> None:
    world.store.snapshot("main", "sound")
    world.store.settle()
    entries = dict(entries_of(world))
    value = chunk(world, b"x" * 200) if value is None else value
    entries[keys.prefix(world.ino["big"], keys.XATTR) + name] = value
    seal_as(world, build(world, entries))
    assert len(world.store.check()) == 1
