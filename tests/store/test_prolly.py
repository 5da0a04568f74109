"""The persistent ordered map against a plain dict: content, where nodes end, height.

Most tests use small nodes, so that a few hundred entries make a tree of several levels.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from store import prolly
from store.node import EMPTY
from store.prolly import SHAPE, Shape
from store.prolly_build import BATCH_CHANGES, boundaries
from tests.store.prolly_nodes import (
    SMALL,
    TINY,
    Model,
    Nodes,
    applied,
    build,
    check,
    depth,
    edit,
    numbered,
)

keys = st.one_of(
    st.integers(0, 400).map(lambda number: b"%03d" % number),
    st.binary(max_size=6),
)
values = st.one_of(st.binary(max_size=12), st.integers(0, 400).map(lambda size: b"v" * size))
models = st.dictionaries(keys, values, max_size=120)
changesets = st.dictionaries(keys, st.none() | values, max_size=60)
shapes = st.sampled_from([SMALL, TINY, Shape(1, 1, 0), Shape(200, 250, 1), SHAPE])


# --- content -----------------------------------------------------------------------------------


@given(shapes, models, st.lists(changesets, max_size=4))
def test_any_edits_give_the_map_that_building_gives(
    shape: Shape, model: Model, edits: list[dict[bytes, bytes | None]]
) -> None:
    nodes = Nodes()
    root = build(nodes, model, shape)
    check(nodes, root, model, shape)
    for changes in edits:
        root = edit(nodes, root, changes, shape)
        model = applied(model, changes.items())
        check(nodes, root, model, shape)


@settings(max_examples=20)
@given(st.integers(0, 2**32), shapes)
def test_long_histories(seed: int, shape: Shape) -> None:
    """Ranges filled, emptied and overwritten, growing and shrinking the tree by levels."""
    rng = random.Random(seed)
    nodes = Nodes()
    model: Model = {}
    root = build(nodes, model, shape)
    for _ in range(8):
        first = rng.randrange(600)
        last = first + rng.choice([1, 5, 50, 400])
        density = rng.choice([0.05, 0.5, 1])
        deleting = rng.choice([0, 0.1, 1])
        changes: dict[bytes, bytes | None] = {
            b"%04d" % at: None if rng.random() < deleting else rng.randbytes(rng.randrange(30))
            for at in range(first, last)
            if rng.random() < density
        }
        root = edit(nodes, root, changes, shape)
        model = applied(model, changes.items())
        check(nodes, root, model, shape)


@given(models, st.lists(keys, max_size=20))
def test_get(model: Model, absent: list[bytes]) -> None:
    nodes = Nodes()
    root = build(nodes, model)
    for key in [*model, *absent]:
        assert prolly.get(nodes, root, key) == model.get(key)


@given(shapes, models, keys, st.none() | keys)
def test_items_of_a_range(shape: Shape, model: Model, start: bytes, stop: bytes | None) -> None:
    nodes = Nodes()
    root = build(nodes, model, shape)
    expected = [
        (key, value)
        for key, value in sorted(model.items())
        if key >= start and (stop is None or key < stop)
    ]
    assert list(prolly.items(nodes, root, start, stop)) == expected


def differences(
    old: Model, new: Model, start: bytes, stop: bytes | None
) -> list[tuple[bytes, bytes | None, bytes | None]]:
    return [
        (key, old.get(key), new.get(key))
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key) and key >= start and (stop is None or key < stop)
    ]


@given(shapes, models, changesets, keys, st.none() | keys)
def test_diff_of_an_edit(
    shape: Shape,
    old: Model,
    changes: dict[bytes, bytes | None],
    start: bytes,
    stop: bytes | None,
) -> None:
    nodes = Nodes()
    old_root = build(nodes, old, shape)
    new_root = edit(nodes, old_root, changes, shape)
    new = applied(old, changes.items())
    assert list(prolly.diff(nodes, old_root, new_root)) == differences(old, new, b"", None)
    found = list(prolly.diff(nodes, new_root, old_root, start, stop))
    assert found == differences(new, old, start, stop)


@given(models, models)
def test_diff_of_unrelated_maps(old: Model, new: Model) -> None:
    nodes = Nodes()
    found = list(prolly.diff(nodes, build(nodes, old), build(nodes, new)))
    assert found == differences(old, new, b"", None)


# --- where nodes end ---------------------------------------------------------------------------


def plain_boundaries(shape: Shape, level: int, keys: list[bytes], values: list[bytes]) -> list[int]:
    """The rule, entry by entry."""
    cuts: list[int] = []
    size = start = 0
    for at, (key, value) in enumerate(zip(keys, values, strict=True)):
        size += len(key) + len(value)
        if level and at == start:
            continue
        chosen = (
            size >= shape.bytes_min and xxh3_64_intdigest(key, seed=level) % (shape.mask + 1) == 0
        )
        if chosen or size >= shape.bytes_max:
            cuts.append(at + 1)
            size, start = 0, at + 1
    return cuts


@given(shapes, st.integers(0, 3), models)
def test_boundaries_follow_the_rule(shape: Shape, level: int, model: Model) -> None:
    entries = sorted(model.items())
    names = [key for key, _ in entries]
    contents = [value for _, value in entries]
    expected = plain_boundaries(shape, level, names, contents)
    assert boundaries(shape, level, names, contents) == expected


def test_boundaries_of_the_real_shape() -> None:
    """Held to literal numbers: they decide root ids, so a change is a change of format."""
    names = [b"key%06d" % at for at in range(2000)]
    contents = [b"value%d" % at for at in range(2000)]
    cuts = boundaries(SHAPE, 0, names, contents)
    assert cuts == plain_boundaries(SHAPE, 0, names, contents)
    assert cuts == [395, 663, 909, 1169, 1491, 1759]
    assert (
        build(Nodes(), dict(zip(names, contents, strict=True)), SHAPE).hex()
        == "3d37110410d90b9c5ba545cd6318145ab0924fdabb334a42e7df4279385b3aed"
    )


def hash_free(count: int, level: int = 0) -> list[bytes]:
    """Keys that the hash never ends a node after."""
    found = (b"%07d" % at for at in range(10**7))
    wanted = (key for key in found if xxh3_64_intdigest(key, level) & SHAPE.mask)
    return [next(wanted) for _ in range(count)]


def test_forced_boundaries() -> None:
    """Where no key ends a node its size does, in leaves of exactly as many entries as fit."""
    entry_bytes = 7 + 249
    per_leaf = SHAPE.bytes_max // entry_bytes
    model = dict.fromkeys(hash_free(5 * per_leaf + 1), b"v" * 249)
    nodes = Nodes()
    root = build(nodes, model, SHAPE)
    leaves = [node for _, node in prolly.walk(nodes, root, set()) if not node.level]
    assert [len(leaf.keys) for leaf in leaves] == [per_leaf] * 5 + [1]
    # Without a hash to fall back on, an entry less moves every later boundary.
    first = min(model)
    root = edit(nodes, root, {first: None}, SHAPE)
    del model[first]
    check(nodes, root, model, SHAPE)


def test_values_longer_than_a_node() -> None:
    nodes = Nodes()
    model = {b"%03d" % at: bytes([at]) * 70 * 1024 for at in range(20)}
    root = build(nodes, model, SHAPE)
    leaves = [node for _, node in prolly.walk(nodes, root, set()) if not node.level]
    assert [len(leaf.keys) for leaf in leaves] == [1] * 20
    root = edit(nodes, root, {b"007": b"short", b"008x": b"y" * 70 * 1024}, SHAPE)
    check(nodes, root, model | {b"007": b"short", b"008x": b"y" * 70 * 1024}, SHAPE)


def test_keys_longer_than_a_node_still_make_a_tree() -> None:
    """Inner nodes have two entries at least, so the tree narrows whatever its keys."""
    nodes = Nodes()
    model = {b"%02d" % at + b"k" * 40_000: b"v" for at in range(9)}
    root = build(nodes, model, SHAPE)
    assert depth(nodes, root) == 4
    check(nodes, root, model, SHAPE)


# --- growing and shrinking ---------------------------------------------------------------------


def test_empty_map() -> None:
    nodes = Nodes()
    root = build(nodes, {})
    assert nodes.data[root] == EMPTY.data
    assert prolly.get(nodes, root, b"") is None
    assert list(prolly.items(nodes, root)) == []
    assert edit(nodes, root, {}) == root
    assert edit(nodes, root, {b"absent": None}) == root
    assert list(prolly.diff(nodes, root, root)) == []


def test_empty_key_and_value() -> None:
    nodes = Nodes()
    root = edit(nodes, build(nodes, {}), {b"": b""})
    assert prolly.get(nodes, root, b"") == b""
    check(nodes, root, {b"": b""})
    assert edit(nodes, root, {b"": None}) == build(nodes, {})


@pytest.mark.parametrize("shape", [SMALL, TINY], ids=["small", "tiny"])
@pytest.mark.parametrize("order", ["ascending", "descending", "random"])
def test_height_grows_and_shrinks(shape: Shape, order: str) -> None:
    """Entry by entry up to several levels and down to empty: each step is the one right tree."""
    model = numbered(120)
    names = sorted(model, reverse=order == "descending")
    if order == "random":
        random.Random(1).shuffle(names)
    nodes = Nodes()
    roots = [build(nodes, {}, shape)]
    for key in names:
        roots.append(edit(nodes, roots[-1], {key: model[key]}, shape))
    assert depth(nodes, roots[-1]) >= 2
    assert roots[-1] == build(nodes, model, shape)
    root = roots[-1]
    for at, key in reversed(list(enumerate(names))):
        root = edit(nodes, root, {key: None}, shape)
        assert root == roots[at]
    assert nodes.data[root] == EMPTY.data


@pytest.mark.parametrize("kept", [slice(0, 1), slice(-1, None), slice(2000, 2001), slice(900, 930)])
def test_deleting_nearly_everything_lowers_the_root(kept: slice) -> None:
    nodes = Nodes()
    model = numbered(4000)
    root = build(nodes, model)
    assert depth(nodes, root) >= 3
    rest = dict(sorted(model.items())[kept])
    root = edit(nodes, root, {key: None for key in model if key not in rest})
    check(nodes, root, rest)


def test_root_lowered_to_an_untouched_node() -> None:
    """All but one child of the root goes: what is left of the map is that child as it was."""
    nodes = Nodes()
    model = numbered(4000)
    top = nodes.node(build(nodes, model))
    for at in range(len(top.keys)):
        low = top.keys[at - 1] if at else b""
        rest = {key: value for key, value in model.items() if low < key <= top.keys[at]}
        root = edit(nodes, build(nodes, model), {key: None for key in model if key not in rest})
        check(nodes, root, rest)
        if len(nodes.node(top.values[at]).keys) > 1:
            assert root == top.values[at]


def test_more_changes_than_a_batch_in_one_leaf() -> None:
    """A leaf's range fed in pieces: before, between and after its entries, with deletions."""
    nodes = Nodes()
    count = 2 * BATCH_CHANGES + 100
    model = {b"%08d" % at: b"old" for at in range(0, count, 997)}
    root = build(nodes, model, SHAPE)
    assert depth(nodes, root) == 0
    changes: dict[bytes, bytes | None] = {
        b"%08d" % at: None if at % 1994 == 0 else b"new%d" % at for at in range(count)
    }
    new = edit(nodes, root, changes, SHAPE)
    check(nodes, new, applied(model, changes.items()), SHAPE)
    assert edit(nodes, root, dict.fromkeys(changes), SHAPE) == build(nodes, {}, SHAPE)
    absent: dict[bytes, bytes | None] = dict.fromkeys(key for key in changes if key not in model)
    assert edit(nodes, root, absent, SHAPE) == root


@pytest.mark.parametrize("names", [[b"b", b"a"], [b"a", b"a"]], ids=["descending", "twice"])
def test_changes_out_of_order_are_refused(names: list[bytes]) -> None:
    nodes = Nodes()
    entries = [(key, b"") for key in names]
    with pytest.raises(ValueError, match="ascending"):
        prolly.build(nodes, entries)
    root = build(nodes, numbered(10))
    with pytest.raises(ValueError, match="ascending"):
        prolly.edit(nodes, nodes, root, entries)


def test_order_is_held_across_batches() -> None:
    entries = sorted(numbered(BATCH_CHANGES).items())
    with pytest.raises(ValueError, match="ascending"):
        prolly.build(Nodes(), [*entries, entries[-1]])
