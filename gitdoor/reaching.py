"""Which objects somebody needs who wants some commits and has others.

Objects come commit by commit, each with what it has and its first parent has not: two maps of
entries are compared (`store.prolly.diff`), so the cost follows what changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from heapq import heappop, heappush
from typing import NamedTuple

from gitdoor.entries import listing
from gitdoor.graph import Graph, History, Node
from store import keys, prolly
from store.gitrows import BLOB, COMMIT, TREE, GitCommit, GitEntry


class Item(NamedTuple):
    """An object to be sent: what it is, and the commit's record and inode that it is made from.

    Without a record `raw` has the bytes, or gives them.
    """

    kind: int
    id: bytes
    record: GitCommit | None
    ino: int
    raw: bytes | Callable[[], bytes]


class Filter(NamedTuple):
    """What a partial clone leaves out: blobs longer than `blob_bytes_max` (-1: none), and with
    `trees` False all trees and blobs."""

    blob_bytes_max: int = -1
    trees: bool = True


NOTHING_LEFT_OUT = Filter()


class Chosen(NamedTuple):
    """Commits to be sent, newest first, and where history is cut."""

    nodes: list[Node]
    shallow: set[bytes]  # commits without their parents


def ancestors(graph: Graph, tips: Iterable[bytes], stop: set[bytes]) -> set[bytes]:
    """The commits that tips lead to, those in `stop` not passed."""
    seen: set[bytes] = set()
    todo = [tip for tip in tips if tip not in stop]
    while todo:
        oid = todo.pop()
        if oid in seen:
            continue
        node = graph.node(oid)
        if node is not None:
            seen.add(oid)
            todo += [parent for parent in node.parents if parent not in seen | stop]
    return seen


def chosen(graph: Graph, wants: Iterable[bytes], haves: Iterable[bytes]) -> Chosen:
    """The commits that `wants` lead to and `haves` do not."""
    known: set[bytes] = set()
    unknown: set[bytes] = set()  # of those waiting
    nodes: list[Node] = []
    shallow: set[bytes] = set()
    # By time, newest first; what is known is passed on, so that neither side runs to the root
    # unless the other does.
    waiting: list[tuple[int, bytes]] = []
    state: dict[bytes, bool] = {}  # whether it is known to the other side

    def put(oid: bytes, is_known: bool) -> None:
        before = state.get(oid)
        if before is None or (is_known and not before):
            state[oid] = is_known
            node = graph.node(oid)
            if node is not None:
                heappush(waiting, (-node.time_s, oid))
                (unknown.discard if is_known else unknown.add)(oid)

    for oid in haves:
        put(oid, True)
    for oid in wants:
        put(oid, False)
    while unknown:
        _, oid = heappop(waiting)
        unknown.discard(oid)
        node = graph.node(oid)
        assert node is not None
        if state[oid]:
            known.add(oid)
        else:
            nodes.append(node)
        for parent in node.parents:
            put(parent, state[oid])
    # Clocks may be wrong: a commit found to be known late takes its ancestors along.
    late = {node.id for node in nodes if state[node.id]}
    gone = ancestors(graph, late, known) if late else set()
    nodes = [node for node in dict.fromkeys(nodes) if node.id not in gone and not state[node.id]]
    for node in nodes:
        if any(graph.node(parent) is None for parent in node.parents):
            shallow.add(node.id)
    return Chosen(nodes, shallow)


def parents_first(nodes: Iterable[Node]) -> list[Node]:
    """The same commits, each after those of its parents that are among them."""
    left = {node.id: node for node in nodes}
    found: list[Node] = []
    todo = list(left.values())
    while todo:
        node = todo[-1]
        waiting = [left[parent] for parent in node.parents if parent in left]
        if node.id not in left:
            todo.pop()
        elif waiting:
            todo += waiting
        else:
            del left[node.id]
            found.append(todo.pop())
    return found


def to_depth(graph: Graph, wants: Iterable[bytes], depth: int) -> tuple[set[bytes], set[bytes]]:
    """Commits at most so deep below wanted ones (which are at depth 1), and those where the cut
    is."""
    level, found, cut = set(wants), set[bytes](), set[bytes]()
    for at in range(1, depth + 1):
        below: set[bytes] = set()
        for oid in level - found:
            node = graph.node(oid)
            if node is None:
                continue
            found.add(oid)
            if at == depth and node.parents:
                cut.add(oid)
            below.update(node.parents)
        level = below
        if not level:
            break
    return found, cut


def items(
    history: History,
    graph: Graph,
    nodes: list[Node],
    present: Callable[[bytes], bool],
    rule: Filter = NOTHING_LEFT_OUT,
) -> Iterator[Item]:
    """All objects of commits: the commits first, each once.

    `present` says whether the other side has a commit, or gets it here: then what that has, too.
    """
    for node in nodes:
        yield Item(COMMIT, node.id, None, 0, node.raw)
    if not rule.trees:
        return
    seen: set[bytes] = set()
    for node in reversed(nodes):
        base = next((p for p in node.parents if present(p)), None)
        before = None if base is None else graph.node(base)
        for entry in _fresh(history, node, before):
            if entry.id in seen or not entry.kind:
                continue
            seen.add(entry.id)
            if entry.kind == BLOB and rule.blob_bytes_max >= 0:
                size = history.blob_size(node.record, entry.ino) if rule.blob_bytes_max else 1
                if size >= max(1, rule.blob_bytes_max):
                    continue
            yield Item(entry.kind, entry.id, node.record, entry.ino, b"")


def _fresh(history: History, node: Node, before: Node | None) -> Iterator[GitEntry]:
    """The entries of a commit's tree that the one before may not have."""
    if before is not None and node.top.id == before.top.id:
        return
    yield node.top
    whole = node.top.ino == 1 and (before is None or before.top.ino == 1)
    if whole and before is not None:
        for key, _, now in prolly.diff(history.nodes, before.record.entries, node.record.entries):
            if now is not None and key[:8] != _ROOT:
                yield GitEntry.decode(now)
    elif whole:
        for key, value in prolly.items(history.nodes, node.record.entries, keys.pack_u64(1)):
            if key[:8] != _ROOT:
                yield GitEntry.decode(value)
    else:
        yield from _compared(history, node, before)


_ROOT = keys.pack_u64(0)


def _compared(history: History, node: Node, before: Node | None) -> Iterator[GitEntry]:
    """The same for a part of the map: directory by directory."""
    todo = [(node.top, None if before is None else before.top)]
    while todo:
        top, was = todo.pop()
        old: dict[bytes, GitEntry] = {}
        if was is not None and before is not None:
            old = dict(listing(history.nodes, before.record.entries, was.ino))
        for name, entry in listing(history.nodes, node.record.entries, top.ino):
            known = old.get(name)
            if known is not None and known.id == entry.id:
                continue
            yield entry
            if entry.kind == TREE:
                todo.append((entry, known))
