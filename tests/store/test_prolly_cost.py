"""What operations on the persistent ordered map may read and write, and how it is walked."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Iterable
from itertools import islice

import pytest

from store import prolly
from store.errors import Damaged, StorageFailure
from store.node import Change, Node, new
from store.prolly import SHAPE
from store.prolly_build import BATCH_CHANGES
from tests.store.prolly_nodes import Nodes, build, depth, edit, numbered

# --- cost --------------------------------------------------------------------------------------


def test_edit_reads_and_writes_little_for_a_small_change() -> None:
    nodes = Nodes()
    model = numbered(60_000)
    root = build(nodes, model, SHAPE)
    levels = depth(nodes, root) + 1
    assert levels >= 3
    total = len(nodes.data)
    rng = random.Random(2)
    written = read = 0
    for number, key in enumerate(rng.sample(sorted(model), 50)):
        nodes.reset()
        new = prolly.edit(nodes, nodes, root, [(key, b"changed%d" % number)], SHAPE)
        written += len(set(nodes.puts))
        read += len(set(nodes.reads))
        assert prolly.get(nodes, new, key) == b"changed%d" % number
        root = new
    # One node a level, and now and then a neighbour until the boundaries meet again.
    assert written / 50 <= levels + 2
    assert read / 50 <= levels + 2
    assert total > 50 * levels


def test_edit_that_changes_nothing_writes_nothing() -> None:
    nodes = Nodes()
    model = numbered(5000)
    root = build(nodes, model, SHAPE)
    nodes.reset()
    same = [(key, model[key]) for key in sorted(model)[::50]]
    assert prolly.edit(nodes, nodes, root, same, SHAPE) == root
    absent = [(key + b"x", None) for key in sorted(model)[::50]]
    assert prolly.edit(nodes, nodes, root, absent, SHAPE) == root
    assert prolly.edit(nodes, nodes, root, [], SHAPE) == root
    assert nodes.puts == []


def test_building_puts_each_node_of_the_tree_once_and_nothing_else() -> None:
    nodes = Nodes()
    root = build(nodes, numbered(3000))
    reached = [oid for oid, _ in prolly.walk(nodes, root, set())]
    assert sorted(nodes.puts) == sorted(reached)


def test_edit_draws_changes_as_it_goes() -> None:
    """Nodes are written long before the last change is drawn: a change list is never held."""
    nodes = Nodes()
    drawn_at_first_put: list[int] = []
    drawn = 0

    class Sink:
        def put_node(self, node: Node) -> bytes:
            if not drawn_at_first_put:
                drawn_at_first_put.append(drawn)
            return nodes.put_node(node)

    def changes() -> Iterable[Change]:
        nonlocal drawn
        for drawn in range(1, 10 * BATCH_CHANGES):
            yield b"%09d" % drawn, b"value"

    root = prolly.edit(nodes, Sink(), build(nodes, {}), changes(), SHAPE)
    assert drawn_at_first_put[0] <= 2 * BATCH_CHANGES
    assert prolly.get(nodes, root, b"%09d" % drawn) == b"value"


def test_diff_reads_what_changed_and_no_more() -> None:
    nodes = Nodes()
    model = numbered(60_000)
    root = build(nodes, model, SHAPE)
    levels = depth(nodes, root) + 1
    rng = random.Random(3)
    for count in (1, 10, 40):
        sample = rng.sample(sorted(model), count)
        changes: dict[bytes, bytes | None] = {
            key: None if at % 3 == 0 else b"changed" for at, key in enumerate(sample)
        }
        new = edit(nodes, root, changes, SHAPE)
        nodes.reset()
        found = list(prolly.diff(nodes, root, new))
        assert [key for key, _, _ in found] == sorted(changes)
        assert len(set(nodes.reads)) <= count * 2 * (levels + 2)
    nodes.reset()
    assert list(prolly.diff(nodes, root, root)) == []
    assert nodes.reads == []


def test_diff_skips_what_is_shared_between_trees_of_different_heights() -> None:
    """A map cut out of a larger one shares its leaves from the first common boundary on."""
    nodes = Nodes()
    old = numbered(60_000)
    new = {key: old[key] for key in sorted(old)[30_000:38_000]}
    first, stop = b"key030000", b"key038000"
    old_root, new_root = build(nodes, old, SHAPE), build(nodes, new, SHAPE)
    assert depth(nodes, old_root) > depth(nodes, new_root)
    reachable = {oid for oid, _ in prolly.walk(nodes, new_root, set())}
    nodes.reset()
    assert list(prolly.diff(nodes, old_root, new_root, first, stop)) == []
    opened = set(nodes.reads)
    assert len(reachable) > 20
    assert len(opened & reachable) <= len(reachable) // 2
    assert len(opened) <= len(reachable)


def test_diff_of_a_large_insert_reads_the_insert() -> None:
    """A run of new leaves in the middle shifts everything after it; what is shared stays unread."""
    nodes = Nodes()
    old = numbered(60_000)
    old_root = build(nodes, old, SHAPE)
    added = {b"key030000+%06d" % at: b"inserted" for at in range(5000)}
    before = set(nodes.data)
    new_root = edit(nodes, old_root, dict(added), SHAPE)
    written = len(set(nodes.data) - before)
    nodes.reset()
    found = list(prolly.diff(nodes, old_root, new_root))
    assert [key for key, _, _ in found] == sorted(added)
    assert len(set(nodes.reads)) <= written + 6 * (depth(nodes, old_root) + 1)


def test_items_of_a_range_reads_the_range() -> None:
    nodes = Nodes()
    model = numbered(60_000)
    root = build(nodes, model, SHAPE)
    nodes.reset()
    assert len(list(prolly.items(nodes, root, b"key030000", b"key030010"))) == 10
    assert len(nodes.reads) <= depth(nodes, root) + 1 + 2
    nodes.reset()
    first = next(prolly.items(nodes, root, b"key050000"))
    assert first == (b"key050000", model[b"key050000"])
    assert len(nodes.reads) == depth(nodes, root) + 1


# --- walk --------------------------------------------------------------------------------------


def test_walk_visits_each_node_once_and_shared_ones_not_again() -> None:
    nodes = Nodes()
    model = numbered(3000)
    old_root = build(nodes, model)
    written = set(nodes.data)
    seen: set[bytes] = set()
    visited = [oid for oid, _ in prolly.walk(nodes, old_root, seen)]
    assert visited[0] == old_root
    assert len(visited) == len(set(visited)) == len(seen)
    assert set(visited) == seen == written
    new_root = edit(nodes, old_root, {sorted(model)[1500]: b"changed"})
    nodes.reset()
    again = [oid for oid, _ in prolly.walk(nodes, new_root, seen)]
    assert set(again) == set(nodes.data) - written
    assert sorted(nodes.reads) == sorted(again)


def test_walk_reports_what_cannot_be_read_and_goes_on() -> None:
    nodes = Nodes()
    root = build(nodes, numbered(3000))
    lost = nodes.node(root).values[1]
    below = {oid for oid, _ in prolly.walk(nodes, lost, set())}
    whole = set(nodes.data)
    del nodes.data[lost]
    with pytest.raises(StorageFailure):
        list(prolly.walk(nodes, root, set()))
    reports: list[bytes] = []
    found = prolly.walk(nodes, root, set(), lambda oid, error: reports.append(oid))
    assert {oid for oid, _ in found} == whole - below
    assert reports == [lost]


def swapped_parent(nodes: Nodes, level: int) -> tuple[bytes, bytes]:
    """A two-entry inner node whose second entry does not say what its child is; and that child."""
    left = nodes.put_node(new(0, [b"a"], [b"1"]))
    right = nodes.put_node(new(0, [b"b"], [b"2"]))
    last = b"b" if level > 1 else b"c"
    return nodes.put_node(new(level, [b"a", last], [left, right])), right


def test_walk_holds_children_to_their_parents_word() -> None:
    nodes = Nodes()
    root, wrong = swapped_parent(nodes, level=1)
    with pytest.raises(Damaged, match=wrong.hex()):
        list(prolly.walk(nodes, root, set()))


def test_wrong_levels_are_found_by_readers_too() -> None:
    nodes = Nodes()
    root, _ = swapped_parent(nodes, level=2)
    with pytest.raises(Damaged):
        list(prolly.walk(nodes, root, set()))
    with pytest.raises(Damaged):
        list(prolly.items(nodes, root))
    with pytest.raises(Damaged):
        list(prolly.diff(nodes, build(nodes, {}), root))
    with pytest.raises(Damaged):
        prolly.edit(nodes, nodes, root, [(b"a", b"3")])


def test_every_start_of_a_range_is_found() -> None:
    nodes = Nodes()
    model = numbered(300)
    root = build(nodes, model)
    entries = sorted(model.items())
    names = [key for key, _ in entries]
    for key in [*names, *(key + b"x" for key in names), b"", b"zzz"]:
        expected = entries[bisect_left(names, key) :][:1]
        assert list(islice(prolly.items(nodes, root, key), 1)) == expected
