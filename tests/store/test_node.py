"""The bytes of map nodes: exact layout, refusal of anything else, and bounds."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.errors import Damaged
from store.node import COUNT_MAX, EMPTY, KEY_BYTES_MAX, Node, child, decode, new

LEAF = bytes.fromhex(
    "00"  # level: a leaf
    "0300"  # count
    "0100 0200 0200"  # key lengths
    "03000000 00000000 01000000"  # value lengths
    "61 6162 6200"  # keys
    "787978 7a"  # values; the second is empty
)
LEAF_KEYS, LEAF_VALUES = [b"a", b"ab", b"b\0"], [b"xyx", b"", b"z"]

INNER = (
    bytes.fromhex(
        "02"  # level: its children are inner nodes too
        "0200"  # count
        "0100 0300"  # key lengths
        "6b 6b6579"  # keys
    )
    + bytes(range(32))  # first child's id
    + bytes(range(32, 64))  # second child's id
)
INNER_KEYS, INNER_VALUES = [b"k", b"key"], [bytes(range(32)), bytes(range(32, 64))]


def test_layout_of_leaf() -> None:
    assert new(0, LEAF_KEYS, LEAF_VALUES).data == LEAF
    node = decode(LEAF)
    assert (node.level, node.keys, node.values) == (0, LEAF_KEYS, LEAF_VALUES)


def test_layout_of_inner_node() -> None:
    assert new(2, INNER_KEYS, INNER_VALUES).data == INNER
    node = decode(INNER)
    assert (node.level, node.keys, node.values) == (2, INNER_KEYS, INNER_VALUES)


def test_layout_of_empty_map() -> None:
    assert EMPTY.data == b"\0\0\0"
    node = decode(EMPTY.data)
    assert (node.level, node.keys, node.values) == (0, [], [])


@given(
    st.integers(0, 255),
    st.lists(st.tuples(st.binary(max_size=40), st.binary(max_size=300)), min_size=1, max_size=50),
)
def test_round_trip(level: int, entries: list[tuple[bytes, bytes]]) -> None:
    keys = [key for key, _ in entries]
    values = [value[:32].ljust(32, b"\0") if level else value for _, value in entries]
    node = decode(new(level, keys, values).data)
    assert (node.level, node.keys, node.values) == (level, keys, values)


def test_long_entries_round_trip() -> None:
    keys, values = [b"k" * KEY_BYTES_MAX], [b"v" * 70 * 1024]
    node = decode(new(0, keys, values).data)
    assert (node.keys, node.values) == (keys, values)


@pytest.mark.parametrize("data", [LEAF, INNER], ids=["leaf", "inner"])
def test_cut_at_every_length(data: bytes) -> None:
    for length in range(len(data)):
        with pytest.raises(Damaged):
            decode(data[:length])


@pytest.mark.parametrize("data", [LEAF, INNER, EMPTY.data], ids=["leaf", "inner", "empty"])
def test_trailing_byte(data: bytes) -> None:
    with pytest.raises(Damaged, match="where its lengths make"):
        decode(data + b"\0")


def test_inner_node_without_entries() -> None:
    with pytest.raises(Damaged, match="without entries"):
        decode(b"\1\0\0")


def test_lengths_beyond_the_data() -> None:
    for at in range(3, 3 + 3 * 6):
        grown = bytearray(LEAF)
        grown[at] = 0xFF
        with pytest.raises(Damaged):
            decode(bytes(grown))


@given(st.binary(max_size=200))
def test_any_bytes_decode_to_what_they_say_or_are_damaged(data: bytes) -> None:
    try:
        node = decode(data)
    except Damaged:
        return
    assert new(node.level, node.keys, node.values).data == data


@given(st.sampled_from([LEAF, INNER]), st.data())
def test_changed_bytes_decode_to_what_they_say_or_are_damaged(
    data: bytes, draw: st.DataObject
) -> None:
    changed = bytearray(data)
    changed[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    try:
        node = decode(bytes(changed))
    except Damaged:
        return
    assert new(node.level, node.keys, node.values).data == changed


@pytest.mark.parametrize(
    ("level", "keys", "values"),
    [
        (0, [b"k" * (KEY_BYTES_MAX + 1)], [b""]),
        (1, [b"k" * (KEY_BYTES_MAX + 1)], [bytes(32)]),
        (0, [struct.pack(">I", n) for n in range(COUNT_MAX + 1)], [b""] * (COUNT_MAX + 1)),
        (256, [b"k"], [bytes(32)]),
    ],
    ids=["leaf key", "inner key", "count", "level"],
)
def test_what_does_not_fit_is_refused(level: int, keys: list[bytes], values: list[bytes]) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        new(level, keys, values)


def test_verify_finds_order() -> None:
    decode(LEAF).verify()
    decode(EMPTY.data).verify()
    for keys in ([b"b", b"a"], [b"a", b"a"], [b"a", b"c", b"b"]):
        node = new(0, keys, [b""] * len(keys))
        with pytest.raises(Damaged, match=f"key {keys[-1].hex()} follows {keys[-2].hex()}"):
            node.verify()


def test_weight_covers_the_bytes_held() -> None:
    node = new(0, [b"k" * 100, b"l" * 100], [b"v" * 1000, b"w" * 1000])
    assert node.weight >= 2 * (100 + 1000) + 4 * 33


def test_size_is_that_of_the_bytes() -> None:
    for data in (LEAF, INNER, EMPTY.data):
        assert decode(data).size == len(data)
    assert new(0, LEAF_KEYS, LEAF_VALUES).size == len(LEAF)


def test_changed_keeps_keys_and_lengths() -> None:
    node = decode(LEAF)
    changed = node.changed([b"a", b"b\0", b"nothing"], [b"123", b"!", None])
    assert changed is not None
    assert changed.data == new(0, LEAF_KEYS, [b"123", b"", b"!"]).data
    assert (node.data, node.values) == (LEAF, LEAF_VALUES)


def test_changed_by_nothing_new_is_itself() -> None:
    node = decode(LEAF)
    for changes in ({}, {b"a": b"xyx", b"ab": b""}, {b"c": None}):
        assert node.changed(list(changes), list(changes.values())) is node


@pytest.mark.parametrize("change", [(b"a", None), (b"a", b"1"), (b"aa", b""), (b"c", b"")])
def test_changed_refuses_what_may_move_its_end(change: tuple[bytes, bytes | None]) -> None:
    keys, values = [b"b\0", change[0]], [b"?", change[1]]
    assert decode(LEAF).changed(keys, values) is None


class OneNode:
    """A source that answers every id with the same node."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def node(self, oid: bytes) -> Node:
        return self._node


def test_child_of_wrong_level() -> None:
    parent = decode(INNER)
    source = OneNode(decode(LEAF))
    with pytest.raises(Damaged, match="level 0 under a node of level 2"):
        child(source, parent, 0)
