"""What refers to what: the objects that maps and layers lead to."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from store import database as db
from store import keys
from store.node import Node, NodeSource
from store.records import chunk_of

_DATA_KINDS = frozenset((keys.EXTENT, keys.XATTR, keys.SYMLINK))


def chunks_of_node(node: Node) -> Iterator[bytes]:
    """Ids of the chunks that a leaf's entries refer to."""
    for key, value in zip(node.keys, node.values, strict=True):
        if value[0] == 1 and key[8] in _DATA_KINDS:
            oid = chunk_of(value)
            if oid is not None:
                yield oid


def chunks_of_layer(reader: db.Reader, layer: int) -> Iterator[bytes]:
    """Ids of the chunks that a layer's rows in the database refer to."""
    start = keys.pack_u64(layer)
    for key, value in reader.items(db.LAYERS, start, keys.after(start)):
        if key[16] in _DATA_KINDS and value[:1] == b"\x01":
            yield value[1:]


def walk(source: NodeSource, root: bytes, enter: Callable[[bytes], bool]) -> None:
    """Visit a map's nodes and chunks, parents first; `enter(id)` says whether to go below one.

    Raises Damaged, StorageFailure: what a damaged node leads to is not known.
    """
    todo = [root]
    while todo:
        oid = todo.pop()
        if not enter(oid):
            continue
        node = source.node(oid)
        if node.level:
            todo.extend(node.values)
        else:
            for chunk in chunks_of_node(node):
                enter(chunk)
