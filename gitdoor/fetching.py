"""What a client asks for when it fetches, and the pack that answers it, whatever the version."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from gitdoor import packing, reaching
from gitdoor.graph import Graph, Missing, Node
from gitdoor.names import HEADS, TAGS
from gitdoor.reaching import Filter, Item, ancestors
from gitdoor.serving import Repository
from gitdoor.wire import BadRequest, band, banded, git_id

_WORDS = re.compile(rb"blob:none|blob:limit=(\d+)([kmg]?)|tree:0")
_DEPTH_MAX = 0x7FFFFFFF


@dataclass
class Request:
    """What a client wants and has."""

    wants: list[bytes] = field(default_factory=list)
    haves: list[bytes] = field(default_factory=list)
    shallow: set[bytes] = field(default_factory=set)
    capabilities: set[bytes] = field(default_factory=set)
    depth: int = 0
    relative: bool = False
    since_s: int = 0
    without: list[bytes] = field(default_factory=list)
    rule: Filter = reaching.NOTHING_LEFT_OUT
    done: bool = False

    @property
    def deepens(self) -> bool:
        """Whether it asks for history to be cut."""
        return bool(self.depth or self.since_s or self.without)

    def take(self, words: bytes) -> bool:
        """Take a line that both versions have; whether it is one. Raises BadRequest."""
        word, _, rest = words.partition(b" ")
        match word:
            case b"want":
                self.wants.append(git_id(rest[:40]))
            case b"have":
                self.haves.append(git_id(rest))
            case b"shallow":
                self.shallow.add(git_id(rest))
            case b"deepen":
                self.depth = _number(rest, _DEPTH_MAX)
            case b"deepen-since":
                self.since_s = _number(rest, 2**62)
            case b"deepen-not":
                self.without.append(rest)
            case b"filter":
                self.rule = _filter(rest)
            case b"done":
                self.done = True
            case _:
                return False
        return True


def _number(word: bytes, most: int) -> int:
    if not word.isdigit() or not 0 < int(word) <= most:
        raise BadRequest(f"invalid deepen: {word[:60]!r}")
    return int(word)


def _filter(spec: bytes) -> Filter:
    found = _WORDS.fullmatch(spec)
    if found is None:
        raise BadRequest(f"invalid filter-spec {spec[:60].decode(errors='replace')!r}")
    if spec == b"tree:0":
        return Filter(0, False)
    if found[1] is None:
        return Filter(0)
    return Filter(int(found[1]) << 10 * b" kmg".index(found[2] or b" "))


class _Cut:
    """A graph that ends where a client's does."""

    def __init__(self, graph: Graph, shallow: set[bytes]) -> None:
        self._graph, self._shallow = graph, shallow

    def node(self, git_id: bytes) -> Node | None:
        """See `Graph`."""
        found = self._graph.node(git_id)
        return found._replace(parents=()) if found and git_id in self._shallow else found


class Answer:
    """What a client is sent: commits and other objects, and where its history is cut then.

    Raises Missing for what it may not have.
    """

    def __init__(self, repository: Repository, request: Request) -> None:
        self._repository, self._request = repository, request
        graph = repository.graph
        behind = {want: repository.commit_of(want) for want in request.wants}
        self._commits = [oid for oid in behind.values() if oid is not None]
        self._single = [want for want, oid in behind.items() if oid is None]
        self.shallow: set[bytes] = set()
        self.unshallow: set[bytes] = set()
        common = [oid for oid in request.haves if repository.knows_commit(oid)]
        if request.deepens or request.shallow:
            self._cut(graph, common)
        else:
            picked = reaching.chosen(graph, self._commits, common)
            self._nodes, self.shallow = picked.nodes, picked.shallow
            sent = {node.id for node in self._nodes}

            def present(oid: bytes) -> bool:
                # A parent that is not sent is one that the other side has, or was collected.
                return oid in sent or graph.node(oid) is not None

            self._present: Callable[[bytes], bool] = present

    def _cut(self, graph: Graph, common: list[bytes]) -> None:
        request = self._request
        there = ancestors(_Cut(graph, request.shallow), common, set())
        if request.deepens:
            found, cut = self._found(graph, there)
            self.shallow = cut - request.shallow
            self.unshallow = {oid for oid in request.shallow if oid in found and oid not in cut}
            # What was cut off before and is not any more is sent with what lies below it.
            wanted = found - there
        else:
            wanted = ancestors(_Cut(graph, request.shallow), self._commits, there)
        nodes = [graph.node(oid) for oid in wanted]
        self._nodes = sorted([n for n in nodes if n is not None], key=lambda n: -n.time_s)
        for node in self._nodes:
            if any(graph.node(parent) is None for parent in node.parents):
                self.shallow.add(node.id)
        self._present = (there | wanted).__contains__

    def _found(self, graph: Graph, there: set[bytes]) -> tuple[set[bytes], set[bytes]]:
        """The commits that the client is to have, and those at the cut. Raises BadRequest where
        there are none."""
        request = self._request
        if request.depth:
            if request.relative:
                deeper, cut = reaching.to_depth(graph, request.shallow, request.depth + 1)
                return there | deeper, cut
            return reaching.to_depth(graph, self._commits, request.depth)
        names = {ref.name: ref.commit for ref in self._repository.refs}
        excluded = ancestors(graph, self._excluded(names), set())
        found, cut, todo = set[bytes](), set[bytes](), list(self._commits)
        young = False
        while todo:
            oid = todo.pop()
            node = graph.node(oid)
            if oid in found or node is None or oid in excluded:
                continue
            found.add(oid)
            young = young or node.time_s >= request.since_s
            for parent in node.parents:
                above = graph.node(parent)
                if above is None or parent in excluded or above.time_s < request.since_s:
                    cut.add(oid)
                else:
                    todo.append(parent)
        if not young:
            raise BadRequest("no commits selected for shallow requests")
        return found, cut

    def _excluded(self, names: dict[bytes, bytes]) -> list[bytes]:
        found = []
        for name in self._request.without:
            full = [prefix + name for prefix in (b"", HEADS, TAGS) if prefix + name in names]
            if not full:
                told = name[:60].decode("utf-8", "replace")
                raise BadRequest(f"git upload-pack: ambiguous deepen-not: deepen-not {told}")
            found.append(names[full[0]])
        return found

    def items(self) -> list[Item]:
        """The objects to be sent."""
        repository, request = self._repository, self._request
        found = repository.tag_items(request.wants)
        if b"include-tag" in request.capabilities:
            found += repository.tags_of({node.id for node in self._nodes})
        found += reaching.items(
            repository.history, repository.graph, self._nodes, self._present, request.rule
        )
        found += repository.single_items(self._single, request.rule.blob_bytes_max != 0)
        return list({item.id: item for item in found}.values())

    def pack(self) -> Iterator[bytes]:
        """The pack as the client wants it: on side bands, or as it is."""
        request = self._request
        items = self.items()
        pieces = packing.pack(self._repository.history, items)
        if b"side-band-64k" not in request.capabilities:
            yield from pieces
            return
        if b"no-progress" not in request.capabilities:
            yield from band(2, b"Sending %d objects, undeltified.\n" % len(items))
        yield from banded(pieces)
        yield b"0000"


def refused(error: Missing) -> bytes:
    """What git says of an id that it does not give away."""
    return b"upload-pack: not our ref " + str(error).encode()
