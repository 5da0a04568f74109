"""Commits of a source, and what differs between their trees, read some commits ahead.

One question at a time would let git wait for us and us for git, several times a commit. So what
the next commits are likely to need, the trees that differ from those of their first parents, is
asked for together, one level of directories after the other. Nothing is decided by that: what was
not read ahead is read when it is wanted, and what is bad is said of the commit that has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from gitdoor.objects import (
    DIRECTORY_DIGITS,
    EMPTY_TREE,
    BadObject,
    TreeItem,
    parse_commit,
    parse_tree,
)
from gitdoor.source import Large, Source
from store.cache import Budget, GenerationCache
from store.disposal import Disposal
from store.errors import InvalidArgument
from store.gitrows import COMMIT, TREE

# Entries of trees that are kept for the commits that follow, some 200 bytes each.
_ITEMS_MAX = 200_000
_ITEM_BYTES = 200
# Commits that are read together: so many that turns do not show, and fewer where they bring more
# entries of trees than this (or as much in words), a fraction of what is kept.
_COMMITS_MAX = 64
_ITEMS_AHEAD_MAX = _ITEMS_MAX // 4
# Trees that are asked for together; a commit that has more is better read by itself.
_TREES_AHEAD_MAX = 2000

Pair = tuple[bytes, bytes]
"""The id of a tree, and that of the one before it."""


class Difference(NamedTuple):
    """The entries of a tree that are not in the one before, and those that were only there."""

    new: list[TreeItem]
    old: list[TreeItem]


class Reading:
    """See the module. Belongs to one thread at a time."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._trees: GenerationCache[bytes, list[TreeItem]] = GenerationCache(
            Budget(_ITEMS_MAX // 2, Disposal())
        )
        # What was read ahead, how many commits that are at a time, and how much it was.
        self._commits: dict[bytes, bytes] = {}
        self._differences: dict[Pair, Difference] = {}
        self._together = 1
        self._items = 0

    def commit(self, commits: Sequence[bytes], number: int) -> bytes:
        """The bytes of one of the commits, after which those that follow will be asked for.

        Raises InvalidArgument for what is no commit, NotFound, StorageFailure.
        """
        oid = commits[number]
        if oid not in self._commits:
            self._read_ahead(commits[number : number + self._together])
        return self._commits.pop(oid)

    def differences(self, pairs: Iterable[Pair]) -> dict[Pair, Difference]:
        """What differs between trees. Raises BadObject, NotFound, StorageFailure."""
        found = {pair: self._differences.get(pair) for pair in pairs}
        wanted = [pair for pair, known in found.items() if known is None]
        trees = {oid: self._known(oid) for pair in wanted for oid in pair}
        for oid, kind, data in self._source.read(
            [o for o, items in trees.items() if items is None]
        ):
            trees[oid] = self._tree(oid, kind, data)
        for new, old in wanted:
            found[new, old] = _difference(trees[new] or [], trees[old] or [])
        return {pair: known for pair, known in found.items() if known is not None}

    def _known(self, oid: bytes) -> list[TreeItem] | None:
        return [] if oid == EMPTY_TREE else self._trees.get(oid)

    def _tree(self, oid: bytes, kind: int, data: bytes | Large) -> list[TreeItem]:
        if kind != TREE or isinstance(data, Large):
            raise BadObject(f"{oid.hex()} is no tree")
        items = parse_tree(data)
        self._items += len(items)
        self._trees.put(oid, items, len(items) + 1)
        return items

    # --- ahead --------------------------------------------------------------------------------

    def _read_ahead(self, commits: Sequence[bytes]) -> None:
        self._commits, self._differences, self._items = {}, {}, 0
        for oid, kind, raw in self._source.read(commits):
            if kind != COMMIT or isinstance(raw, Large):
                raise InvalidArgument(f"{oid.hex()} is no commit")
            self._commits[oid] = raw
            self._items += len(raw) // _ITEM_BYTES
        level = self._tops()
        while level and self._items <= _ITEMS_AHEAD_MAX:
            level = self._compare(level)
        if self._items > _ITEMS_AHEAD_MAX:
            self._together = max(1, self._together // 2)
        else:
            self._together = min(_COMMITS_MAX, self._together * 2)

    def _tops(self) -> list[Pair]:
        """The trees of commits that were read together with their parents."""
        trees: dict[bytes, bytes] = {}
        pairs = []
        for oid, raw in self._commits.items():
            with suppress(BadObject):
                commit = parse_commit(raw)
                before = trees.get(commit.parents[0]) if commit.parents else None
                if before not in (None, commit.tree):
                    pairs.append((commit.tree, before))
                trees[oid] = commit.tree
        return pairs

    def _compare(self, level: list[Pair]) -> list[Pair]:
        """Find what differs between trees; says the directories of which it is to be found next."""
        wanted = {oid for pair in level for oid in pair if self._known(oid) is None}
        for oid, kind, data in self._source.read(list(wanted)[:_TREES_AHEAD_MAX]):
            with suppress(BadObject):
                self._tree(oid, kind, data)
        below: dict[Pair, None] = {}
        for new, old in level:
            items, before = self._known(new), self._known(old)
            if items is not None and before is not None:
                found = self._differences[new, old] = _difference(items, before)
                below.update(dict.fromkeys(_directories(found)))
        return list(below)


def _difference(new: list[TreeItem], old: list[TreeItem]) -> Difference:
    if not old:
        return Difference(new, [])
    both = set(old).intersection(new)
    return Difference(
        [item for item in new if item not in both], [item for item in old if item not in both]
    )


def _directories(found: Difference) -> list[Pair]:
    were = {name: oid for mode, name, oid in found.old if mode == DIRECTORY_DIGITS}
    return [
        (oid, were.get(name, EMPTY_TREE))
        for mode, name, oid in found.new
        if mode == DIRECTORY_DIGITS
    ]
