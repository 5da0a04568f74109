"""Check: every invariant of FORMAT.md, looked at in an open store as it is now, or was.

Of a store itself it runs in one go, on the main thread. Beside clients it runs on a `Moment`,
which is one consistent state of the store for as long as the check takes.

Nothing is changed and nothing is made durable. Each pack and each node is gone through once, and
of points (branches and snapshots) that are like the one before, only what differs; with `data`
every record is read and hashed as well. What is damaged is reported with the files that it hits,
and the check goes on: it does not raise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from store import check_git, check_refs
from store.check_data import Values
from store.check_hits import Hits, path_text
from store.check_map import Judge
from store.check_nodes import Nodes
from store.check_packs import Packs, problem_of
from store.check_view import Group, View
from store.errors import StorageFailure, StoreError
from store.layer import Chain, Layer
from store.objectid import NODE
from store.objects import ObjectReader
from store.records import NO_ID
from store.tree import Tree
from store.types import Problem, Usage

if TYPE_CHECKING:
    from store.readstore import ReadStore

_NODE_CACHE_BYTES = 32 * 1024 * 1024
# Findings of one point that are reported; the rest is counted.
_FINDINGS_MAX = 100

Progress = Callable[[int, int], None]


class _Point(NamedTuple):
    """A tree to be checked, with its label for people."""

    label: str
    layer: Layer
    root_ino: int
    usage: Usage


def check(store: ReadStore, data: bool, progress: Progress | None = None) -> Iterator[Problem]:
    """Everything that is wrong with a store; nothing if all is well.

    `data`: read and hash every stored byte. `progress(done, total)` is called now and then, with
    records and inodes as the unit; what it raises ends the check. Jobs may be under way.
    """
    return _Check(store, data, progress).run()


class _Check:
    """One check under way."""

    def __init__(self, store: ReadStore, data: bool, progress: Progress | None) -> None:
        engine = store.engine
        self._store, self._engine, self._progress = store, engine, progress
        self._points = list(self._all_points())
        self._done = self._shown = 0
        self._total = sum(point.usage.inodes for point in self._points)
        self._total += check_refs.object_count(engine)
        self._packs = Packs(engine, data, self._advance)
        # A cache of its own: one that is warm would hide what the disk does not give any more.
        self._objects = ObjectReader(
            engine.index, engine.packs.reader, engine.reader, _NODE_CACHE_BYTES
        )
        self._nodes = Nodes(self._objects)
        self._hits = Hits(self._packs.damaged)
        self._judge = self._new_judge()
        self._before: View | None = None  # what the judge has taken
        self._git = check_git.Git(store, self._objects)

    def run(self) -> Iterator[Problem]:
        """All findings; what the disk refuses in between is one of them."""
        tables = check_refs.check(self._store, self._objects)
        yield from _guarded("packs", self._packs.check())
        yield from _guarded("maps", self._roots())
        for point in self._points:
            yield from _guarded(point.label, self._point(point))
        yield from self._damage()
        yield from _guarded("tables", tables)
        yield from _guarded("tables of git", self._git.check())
        if self._progress is not None:
            self._progress(self._total, self._total)

    def _advance(self, count: int) -> None:
        self._done += count
        if self._progress is not None and self._done >= self._shown + max(1, self._total // 1000):
            self._shown = self._done
            self._progress(min(self._done, self._total), self._total)

    def _all_points(self) -> Iterator[_Point]:
        """Branches, each followed by its snapshots, newest first: neighbours are alike."""
        history, layers = self._store.history, self._engine.layers
        heads = [(head.branch, name, head) for name, head in history.heads()]
        annexes = history.annexes()
        snapshots = sorted(history.snapshots.items(), reverse=True)
        for branch, name, head in heads:
            if head.layer in layers and branch in history.trees:
                usage = history.trees[branch].usage()
                yield _Point(name, layers[head.layer], head.root_ino, usage)
            annex = annexes.get(branch)
            if annex is not None and annex.layer in layers and annex.branch in history.trees:
                usage = history.trees[annex.branch].usage()
                yield _Point(f"{name}'s annex", layers[annex.layer], annex.root_ino, usage)
            for _, record in snapshots:
                if record.branch == branch and record.layer in layers:
                    layer = layers[record.layer]
                    yield _Point(f"{name}@{record.name}", layer, record.root_ino, layer.usage)
        for number, record in snapshots:
            if not record.branch and record.layer in layers:
                layer = layers[record.layer]
                yield _Point(f"snapshot {number}", layer, record.root_ino, layer.usage)

    def _roots(self) -> Iterator[Problem]:
        """Nodes of every map that something stands on."""
        roots = {self._store.empty_root: None, **dict.fromkeys(self._store.view_roots())}
        for layer in self._engine.layers.values():
            roots[layer.root if layer.sealed else layer.base] = None
        roots.pop(NO_ID, None)
        roots.update(dict.fromkeys(self._git.maps))
        for root in roots:
            yield from self._nodes.check(root)

    # --- points -------------------------------------------------------------------------------

    def _point(self, point: _Point) -> Iterator[Problem]:
        engine = self._engine
        chain = Chain(engine, point.layer, NO_ID)
        view = View(self._objects, engine.reader, chain, engine.pages_per_block, _pass_over)
        tree = Tree(engine, chain, point.root_ino, point.usage, read_only=True)
        lost = self._nodes.lost(chain.root) if self._nodes.damaged else []
        if lost:
            # What is left of the map does not agree with itself: only say what is lost.
            self._hits.lost(point.label, lost)
            for group in view.groups():
                self._hits.explain(point.label, tree, group, lost)
            return
        findings = self._findings(point, tree, view)
        count = 0
        for ino, what in findings:
            count += 1
            if count <= _FINDINGS_MAX:
                yield Problem(f"{point.label}:{path_text(tree, ino)}", what)
        if count > _FINDINGS_MAX:
            yield Problem(point.label, f"{count - _FINDINGS_MAX} more findings")

    def _findings(self, point: _Point, tree: Tree, view: View) -> Iterator[tuple[int, str]]:
        for group in self._groups(view, point.usage.inodes):
            for flaw in self._judge.take(group):
                yield group.ino, flaw
            self._hits.note(point.label, tree, group)
        yield from self._judge.finish(point.root_ino, point.usage)

    def _groups(self, view: View, inodes: int) -> Iterator[Group]:
        """The inodes that the judge has to take so that it has judged all of a view."""
        before, self._before = self._before, None  # a walk cut short by damage is no base
        changed = None if before is None else view.unlike(before)
        if before is None or changed is None or len(changed) > inodes // 4:
            self._judge = self._new_judge()
            for group in view.groups():
                self._advance(1)
                yield group
        else:
            for ino in changed:
                self._judge.take_back(before.group(ino))
                yield view.group(ino)
            self._advance(inodes)
        self._before = view

    def _new_judge(self) -> Judge:
        engine = self._engine
        values = Values(
            engine.block_bytes,
            lambda oid: engine.index.find(oid, engine.reader),
            self._packs.zero_ended,
        )
        return Judge(values, check_refs.ino_next(engine))

    def _damage(self) -> Iterator[Problem]:
        """What was found damaged, with the files that it hits."""
        found = dict(self._packs.damaged)
        for oid, error in self._nodes.damaged.items():
            found.setdefault(oid, problem_of(oid, error, NODE))
        for oid, problem in found.items():
            yield problem._replace(what=f"{problem.what}; {self._hits.of(oid)}")


def _pass_over(oid: bytes, error: StorageFailure) -> None:
    """Damage was reported when nodes were looked at."""


def _guarded(where: str, problems: Iterator[Problem]) -> Iterator[Problem]:
    """The problems of one part; what ends it early is one more."""
    try:
        yield from problems
    except StoreError as error:
        yield Problem(where, f"cannot be looked at to its end: {error}")
