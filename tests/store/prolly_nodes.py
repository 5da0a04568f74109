"""Nodes in memory and what every test of the persistent ordered map does with them."""

from __future__ import annotations

from collections.abc import Iterable

from blake3 import blake3

from store import prolly
from store.errors import StorageFailure
from store.node import Change, Node, decode
from store.prolly import Shape

SMALL = Shape(bytes_min=60, bytes_max=300, mask=3)
TINY = Shape(bytes_min=1, bytes_max=90, mask=1)  # nodes of one or two entries, many levels

Model = dict[bytes, bytes]


class Nodes:
    """Nodes in memory, by id; counts reads, and keeps what was read and put since `reset`."""

    def __init__(self) -> None:
        self.data: dict[bytes, bytes] = {}
        self.reads: list[bytes] = []
        self.puts: list[bytes] = []

    def node(self, oid: bytes) -> Node:
        self.reads.append(oid)
        if oid not in self.data:
            raise StorageFailure(f"no node {oid.hex()}")
        return decode(self.data[oid])

    def put_node(self, node: Node) -> bytes:
        oid = blake3(node.data).digest()
        self.data[oid] = node.data
        self.puts.append(oid)
        return oid

    def reset(self) -> None:
        self.reads.clear()
        self.puts.clear()


class WriteOnly:
    """A sink whose nodes cannot be read back before the edit is over."""

    def __init__(self) -> None:
        self.data: dict[bytes, bytes] = {}

    def put_node(self, node: Node) -> bytes:
        oid = blake3(node.data).digest()
        self.data[oid] = node.data
        return oid


def build(nodes: Nodes, model: Model, shape: Shape = SMALL) -> bytes:
    return prolly.build(nodes, sorted(model.items()), shape)


def edit(
    nodes: Nodes, root: bytes, changes: dict[bytes, bytes | None], shape: Shape = SMALL
) -> bytes:
    """An edit that may not read what it writes until it is over."""
    sink = WriteOnly()
    new = prolly.edit(nodes, sink, root, sorted(changes.items()), shape)
    for data in sink.data.values():
        nodes.put_node(decode(data))
    return new


def applied(model: Model, changes: Iterable[Change]) -> Model:
    after = dict(model)
    for key, value in changes:
        if value is None:
            after.pop(key, None)
        else:
            after[key] = value
    return after


def check(nodes: Nodes, root: bytes, model: Model, shape: Shape = SMALL) -> None:
    """Everything that holds for a map of this content, whatever led to it."""
    assert list(prolly.items(nodes, root)) == sorted(model.items())
    top = nodes.node(root)
    assert top.level == 0 or len(top.keys) >= 2
    for _, node in prolly.walk(nodes, root, set()):
        node.verify()
    assert root == build(Nodes(), model, shape)


def numbered(count: int) -> Model:
    return {b"key%06d" % at: b"value%d" % at for at in range(count)}


def depth(nodes: Nodes, root: bytes) -> int:
    return nodes.node(root).level
