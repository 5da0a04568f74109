"""What can be asked of a store: its branches, snapshots, history, and trees of what they hold.

A `Store` is asked as it is now, a `Moment` as it was. Nothing here changes what a store holds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from itertools import islice

from store import checking, diffing, node, objectid, statistics
from store.engine import Engine
from store.errors import InvalidArgument
from store.log import log
from store.points import Point, Points
from store.records import NO_ID
from store.tree import Tree
from store.types import BranchInfo, Difference, LogEntry, Problem, SnapshotInfo

EMPTY_ROOT = objectid.object_id(objectid.NODE, node.EMPTY.data)


class ReadStore(ABC):
    """See the module."""

    def __init__(self, engine: Engine) -> None:
        """Use `Store.open`."""
        self._engine = engine
        self._views: dict[int, tuple[Tree, Point]] = {}

    @property
    def engine(self) -> Engine:
        """The parts below, for this package's own modules and tests."""
        return self._engine

    @property
    @abstractmethod
    def history(self) -> Points:
        """Branches and snapshots, for this package's own modules and tests."""

    @property
    def quiet(self) -> bool:
        """Whether no job is under way that knows more than the engine."""
        return True

    @property
    def empty_root(self) -> bytes:
        """Root id of the empty map."""
        return EMPTY_ROOT

    # --- branches and snapshots ---------------------------------------------------------------

    def branches(self) -> list[BranchInfo]:
        """All branches, by name."""
        return [self.history.branch_info(name) for name, _ in self.history.heads()]

    def branch(self, name: str) -> BranchInfo:
        """One branch. Raises UnknownRef."""
        return self.history.branch_info(name)

    def snapshots(self, branch: str) -> list[SnapshotInfo]:
        """A branch's snapshots, oldest first. Raises UnknownRef."""
        number = self.history.head(branch).branch
        records = self.history.snapshots
        return [
            self.history.snapshot_info(n, branch)
            for n in sorted(records)
            if records[n].branch == number
        ]

    def log(self, ref: str, limit: int | None = None) -> Iterator[LogEntry]:
        """The history of what a ref names, newest first. Raises UnknownRef, AmbiguousId."""
        point, _ = self.history.resolve(ref)
        return islice(log(self.history, point), limit)

    def head(self, ref: str) -> str:
        """The newest commit that a ref stands on, in hex; empty where none is sealed yet."""
        for entry in self.log(ref):
            if entry.commit:
                return entry.commit
        return ""

    # --- trees --------------------------------------------------------------------------------

    def view(self, ref: str) -> Tree:
        """A read-only tree of what a ref names, as it is now; give it back with `close_view`.

        Raises UnknownRef, AmbiguousId.
        """
        point, path = self.history.resolve(ref)
        point = self._lasting(point, ref)
        tree = self.history.tree_at(point)
        if path.strip("/"):
            tree.root = tree.resolve(path.encode("utf-8", "surrogateescape")).ino
        if point.layer is not None:
            point.layer.users += 1
        self._views[id(tree)] = tree, point
        return tree

    def _lasting(self, point: Point, ref: str) -> Point:
        """A point that reads the same and stays as it is."""
        return point

    def close_view(self, tree: Tree) -> None:
        """Let a view go. Raises InvalidArgument for a tree that `view` did not hand out."""
        _, point = self._views.pop(id(tree), (None, None))
        if point is None:
            raise InvalidArgument("not an open view of this store")
        self._engine.release_layer(point.layer)

    def view_roots(self) -> list[bytes]:
        """Roots of open views of bare commits, which GC must keep."""
        return [p.base for _, p in self._views.values() if p.layer is None and p.base != NO_ID]

    def diff(
        self, old: str, new: str, advance: Callable[[], None] = lambda: None
    ) -> Iterator[Difference]:
        """What differs between two points, by path. Raises UnknownRef, AmbiguousId.

        `advance` is called now and then; what it raises ends the search.
        """
        before, after = self.view(old), self.view(new)
        try:
            yield from diffing.diff(self._engine, before, after, advance)
        finally:
            self.close_view(before)
            self.close_view(after)

    # --- care ---------------------------------------------------------------------------------

    def check(
        self, data: bool = False, progress: Callable[[int, int], None] | None = None
    ) -> list[Problem]:
        """Verify every invariant; with `data`, every stored byte too. Empty: all is well.

        `progress(done, total)` is called now and then.
        """
        return list(checking.check(self, data, progress))

    def stats(self, progress: Callable[[int, int], None] | None = None) -> statistics.Stats:
        """What is stored, and what deleting each branch or snapshot would free.

        `progress(done, total)` is called now and then. Raises Damaged, StorageFailure.
        """
        return statistics.stats(self, progress)
