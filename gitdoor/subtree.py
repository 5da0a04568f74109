"""The history of one directory, as `git subtree split` makes it of a repository.

A commit becomes one with the directory as its tree and the same author, committer and message.
Where the directory is what it was in a parent the commit is left out, a merge too, unless it
brings the line of another parent in. Ids depend on the commits alone, so they are the same on
every gateway, and the same that git gives; nothing of them is stored.
"""

from __future__ import annotations

from gitdoor.entries import subtree
from gitdoor.graph import Graph, History, Node, node_of
from gitdoor.objects import object_id
from gitdoor.reaching import ancestors
from store.gitrows import COMMIT


class Split:
    """The commits of a directory; a `Graph`. `tips` has those of the whole -> those of it."""

    def __init__(self, history: History, path: list[bytes], tips: list[bytes]) -> None:
        self.path = path
        self.tips: dict[bytes, bytes] = {}
        self._history = history
        self._nodes: dict[bytes, Node] = {}
        self._new: dict[bytes, tuple[bytes, ...]] = {}
        self.extend(history, tips)

    def extend(self, history: History, tips: list[bytes]) -> None:
        """Take further commits in; what is known already costs nothing."""
        self._history = history
        for oid in _in_order(history, tips, self._new):
            node = history.node(oid)
            assert node is not None
            self._new[oid] = self._copied(node)
        for tip in tips:
            if new := self._new.get(tip):
                self.tips[tip] = new[0]

    def node(self, git_id: bytes) -> Node | None:
        """See `Graph`."""
        return self._nodes.get(git_id)

    def _copied(self, node: Node) -> tuple[bytes, ...]:
        """What stands for a commit: one commit, or none where the directory never was."""
        above = [new for parent in node.parents for new in self._new.get(parent, ())]
        parents = tuple(dict.fromkeys(above))
        top = subtree(self._history.nodes, node.record, self.path)
        if top is None:
            return parents[:1]
        same = other = b""
        for parent in parents:
            if self._nodes[parent].top.id == top.id:
                same = parent
            else:
                other = parent
        if same and not (other and self._brings(other, same)):
            return (same,)
        raw = _copy(node.raw, top.id, parents)
        git_id = object_id(COMMIT, raw)
        self._nodes[git_id] = node_of(git_id, raw, node.record, top)
        return (git_id,)

    def _brings(self, other: bytes, same: bytes) -> bool:
        """Whether one line has commits that the other has not."""
        return bool(ancestors(self, [other], ancestors(self, [same], set())))


def _in_order(graph: Graph, tips: list[bytes], done: dict[bytes, tuple[bytes, ...]]) -> list[bytes]:
    """The commits that tips lead to and that are not done, parents first."""
    found: list[bytes] = []
    open_: set[bytes] = set()
    closed: set[bytes] = set()
    todo = list(tips)
    while todo:
        oid = todo[-1]
        node = None if oid in closed or oid in done else graph.node(oid)
        if node is None:
            todo.pop()
        elif oid in open_:
            todo.pop()
            closed.add(oid)
            found.append(oid)
        else:
            open_.add(oid)
            todo += [p for p in node.parents if p not in open_]
    return found


def _copy(raw: bytes, tree: bytes, parents: tuple[bytes, ...]) -> bytes:
    """The same commit with another tree and other parents; what else its header had is gone."""
    head, _, message = raw.partition(b"\n\n")
    lines = [b"tree " + tree.hex().encode()]
    lines += [b"parent " + parent.hex().encode() for parent in parents]
    lines += [line for line in head.split(b"\n") if line.startswith((b"author ", b"committer "))]
    return b"\n".join([*lines, b"", message])
