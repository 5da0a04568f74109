"""A repository as one client may see it: its refs, and the objects that they lead to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from gitdoor import reaching
from gitdoor.entries import listing
from gitdoor.graph import Graph, History, Missing
from gitdoor.objects import object_id
from gitdoor.reaching import Item, ancestors
from gitdoor.refs import Tip, first_branch
from gitdoor.subtree import Split
from store.gitrows import BLOB, COMMIT, TAG, TREE, GitEntry


class Shown(NamedTuple):
    """A ref: its full name, the id that it has, and the commit behind its tag objects."""

    name: bytes
    id: bytes
    commit: bytes
    tags: tuple[bytes, ...]


class Repository:
    """See the module. Belongs to one thread at a time, as its history does."""

    def __init__(self, history: History, tips: list[Tip], split: Split | None, whole: bool) -> None:
        """`split`: a directory's history, of which the tips are those of the whole. `whole`: the
        client may see all that is in the store."""
        self.history = history
        self.graph: Graph = history if split is None else split
        self.refs: list[Shown] = []
        self._whole = whole and split is None
        self._visible: set[bytes] | None = None
        for tip in tips:
            record = history.rows.commit(tip.commit)
            if record is None:
                continue
            oid: bytes | None = record.id
            tags = tip.tags
            if split is not None:
                oid, tags = split.tips.get(record.id), ()
            if oid is not None and self.graph.node(oid) is not None:
                first = object_id(TAG, tags[0]) if tags else oid
                self.refs.append(Shown(tip.name, first, oid, tags))
        self.head = first_branch(tips)
        self._named = {ref.id: ref for ref in self.refs}
        self._tags = {object_id(TAG, raw): raw for ref in self.refs for raw in ref.tags}
        self._reached: set[bytes] | None = None

    @property
    def commits(self) -> list[bytes]:
        """The commits of all refs."""
        return [ref.commit for ref in self.refs]

    def shallow(self) -> set[bytes]:
        """Commits whose parents are not there any more."""
        return reaching.chosen(self.graph, self.commits, []).shallow

    def commit_of(self, want: bytes) -> bytes | None:
        """The commit that an id which may be wanted is, or leads to; None for a tree or blob.

        Raises Missing where no ref leads to it.
        """
        if want in self._named:
            return self._named[want].commit
        if want in self._tags:
            return next(ref.commit for ref in self.refs if self._tags[want] in ref.tags)
        if self.has_commit(want):
            return want
        self._check_visible(want)
        return None

    def has_commit(self, oid: bytes) -> bool:
        """Whether a commit is one of the repository's."""
        if self.graph.node(oid) is None:
            return False
        if self._reached is None:
            self._reached = ancestors(self.graph, self.commits, set())
        return oid in self._reached

    def knows_commit(self, oid: bytes) -> bool:
        """Whether a commit that the other side has is known, without a look at refs."""
        return self.graph.node(oid) is not None

    def _check_visible(self, want: bytes) -> None:
        row = self.history.rows.object(want)
        if row is None or row.kind not in (TREE, BLOB):
            raise Missing(want.hex())
        if self._whole:
            return
        if self._visible is None:
            nodes = reaching.chosen(self.graph, self.commits, []).nodes
            inside = {node.id for node in nodes}
            found = reaching.items(self.history, self.graph, nodes, inside.__contains__)
            self._visible = {item.id for item in found}
        if want not in self._visible:
            raise Missing(want.hex())

    def tag_items(self, wants: Iterable[bytes]) -> list[Item]:
        """The tag objects that lead from wanted ids to their commits."""
        found: dict[bytes, Item] = {}
        for want in wants:
            for ref in self.refs:
                ids = [object_id(TAG, raw) for raw in ref.tags]
                if want in ids:
                    at = ids.index(want)
                    for oid, raw in zip(ids[at:], ref.tags[at:], strict=True):
                        found[oid] = Item(TAG, oid, None, 0, raw)
        return list(found.values())

    def tags_of(self, commits: set[bytes]) -> list[Item]:
        """The tag objects of refs whose commits are among some."""
        return self.tag_items([ref.id for ref in self.refs if ref.tags and ref.commit in commits])

    def single_items(self, wants: Iterable[bytes], blobs: bool) -> list[Item]:
        """Wanted trees, with what is in them, and blobs."""
        found: dict[bytes, Item] = {}
        for want in wants:
            row = self.history.rows.object(want)
            record = None if row is None else self.history.rows.commit(row.commit)
            if row is None or record is None or row.kind == COMMIT:
                raise Missing(want.hex())
            mode = 0o040000 if row.kind == TREE else 0o100644
            todo = [GitEntry(mode, want, row.ino)]
            while todo:
                entry = todo.pop()
                if entry.id in found or not entry.kind:
                    continue
                if entry.kind == BLOB and not blobs and entry.id != want:
                    continue
                found[entry.id] = Item(entry.kind, entry.id, record, entry.ino, b"")
                if entry.kind == TREE:
                    below = listing(self.history.nodes, record.entries, entry.ino)
                    todo += [item[1] for item in below]
        return list(found.values())
