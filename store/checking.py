"""Check: every invariant of FORMAT.md, looked at in an open store as it is now.

Nothing is changed and nothing is made durable. Each pack, each node and each point (a branch or
a snapshot) is gone through once; with `data` every record is read and hashed as well. What is
damaged is reported with the files that it hits, and the check goes on: it does not raise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from store import check_refs, keys, records
from store.check_map import Judge, Known
from store.check_nodes import Nodes
from store.check_packs import Packs, problem_of
from store.check_view import Group, groups
from store.errors import StorageFailure, StoreError
from store.layer import Chain, Layer
from store.objectid import NODE
from store.objects import ObjectReader
from store.records import NO_ID
from store.tree import Tree
from store.types import Problem, Usage

if TYPE_CHECKING:
    from store.store import Store

_NODE_CACHE_BYTES = 32 * 1024 * 1024
# Findings reported of one point, and paths named for one damaged object; the rest is counted.
_FINDINGS_MAX = 100
_PATHS_MAX = 4
_DATA_KINDS = frozenset((keys.SYMLINK, keys.XATTR))

Progress = Callable[[int, int], None]


class _Point(NamedTuple):
    """A tree to be checked, with its label for people."""

    label: str
    layer: Layer
    root_ino: int
    usage: Usage


class _Hits:
    """Which files a damaged object hits, as far as they are named."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.more = 0

    def add(self, paths: Iterable[str]) -> None:
        for path in paths:
            if len(self.paths) < _PATHS_MAX:
                self.paths.append(path)
            else:
                self.more += 1

    def __str__(self) -> str:
        if not self.paths:
            return "no file of a branch or snapshot has it"
        more = f" and {self.more} more" if self.more else ""
        return f"hits {', '.join(self.paths)}{more}"


def check(store: Store, data: bool, progress: Progress | None = None) -> Iterator[Problem]:
    """Everything that is wrong with a store; nothing if all is well.

    `data`: read and hash every stored byte. `progress(done, total)` is called now and then, with
    records and inodes as the unit. Runs on the main thread; jobs may be under way.
    """
    return _Check(store, data, progress).run()


class _Check:
    """One check under way."""

    def __init__(self, store: Store, data: bool, progress: Progress | None) -> None:
        self._store, self._engine = store, store.engine
        engine = store.engine
        self._progress = progress
        self._done = self._shown = 0
        self._points = list(self._all_points())
        inodes = sum(point.usage.inodes for point in self._points)
        self._total = engine.reader.count(check_refs.OBJECTS) + engine.index.recent_count() + inodes
        self._packs = Packs(engine, data, self._advance)
        # A cache of its own: one that is warm would hide what the disk does not give any more.
        self._objects = ObjectReader(
            engine.index, engine.packs.reader, engine.reader, _NODE_CACHE_BYTES
        )
        self._nodes = Nodes(self._objects)
        self._hits: dict[bytes, _Hits] = {}
        self._known = Known(
            engine.block_bytes,
            lambda oid: engine.index.find(oid, engine.reader),
            self._packs.zero_ended,
            check_refs.ino_next(engine),
        )

    def run(self) -> Iterator[Problem]:
        """All findings; what the disk refuses in between is one of them."""
        for part in (self._packs.check, self._roots, self._trees, self._damage):
            yield from _guarded(part.__name__.strip("_"), part())
        yield from _guarded("tables", check_refs.check(self._store, self._objects))
        if self._progress is not None:
            self._progress(self._total, self._total)

    def _advance(self, count: int) -> None:
        self._done += count
        if self._progress is not None and self._done >= self._shown + max(1, self._total // 1000):
            self._shown = self._done
            self._progress(min(self._done, self._total), self._total)

    # --- points -------------------------------------------------------------------------------

    def _all_points(self) -> Iterator[_Point]:
        history, layers = self._store.history, self._engine.layers
        names = {}
        for name, head in history.heads():
            names[head.branch] = name
            usage = history.trees[head.branch].usage()
            yield _Point(name, layers[head.layer], head.root_ino, usage)
        for number, record in sorted(history.snapshots.items()):
            label = f"{names.get(record.branch, number)}@{record.name}"
            layer = layers.get(record.layer)
            if layer is not None:
                yield _Point(label, layer, record.root_ino, layer.usage)

    def _roots(self) -> Iterator[Problem]:
        """Nodes of every map that something stands on."""
        roots = {self._store.empty_root: None, **dict.fromkeys(self._store.view_roots())}
        for layer in self._engine.layers.values():
            roots[layer.root if layer.sealed else layer.base] = None
        roots.pop(NO_ID, None)
        for root in roots:
            yield from self._nodes.check(root)
        for oid in self._nodes.damaged:
            self._hits[oid] = _Hits()

    def _trees(self) -> Iterator[Problem]:
        seen: set[tuple[object, ...]] = set()
        for point in self._points:
            chain = Chain(self._engine, point.layer, NO_ID)
            # Points that read the same layers over the same root show the same.
            state = (chain.root, point.root_ino, point.usage, *[x.id for x in _changed(chain)])
            if state in seen:
                continue
            seen.add(state)
            yield from _guarded(point.label, self._tree(point, chain))

    def _tree(self, point: _Point, chain: Chain) -> Iterator[Problem]:
        if self._nodes.damaged_under(chain.root):
            self._explain(point, chain)
            return
        judge = Judge(self._known, point.root_ino)
        tree = Tree(self._engine, chain, point.root_ino, point.usage, read_only=True)
        count = 0

        def reported(findings: Iterable[tuple[int, str]]) -> Iterator[Problem]:
            nonlocal count
            for ino, what in findings:
                count += 1
                if count <= _FINDINGS_MAX:
                    yield Problem(f"{point.label}:{self._path(tree, ino)}", what)

        for group in self._groups(chain):
            yield from reported(judge.take(group))
            if self._packs.damaged:
                self._note_hits(point, tree, group)
        yield from reported(judge.finish(point.usage))
        if count > _FINDINGS_MAX:
            yield Problem(point.label, f"{count - _FINDINGS_MAX} more findings")

    def _groups(self, chain: Chain) -> Iterator[Group]:
        engine = self._engine
        for group in groups(
            self._objects, engine.reader, chain, engine.pages_per_block, _pass_over
        ):
            self._advance(1)
            yield group

    # --- damage -------------------------------------------------------------------------------

    def _path(self, tree: Tree, ino: int) -> str:
        """The path of an inode as text; its number where none can be found."""
        try:
            paths = tree.paths_of(ino)
        except (StoreError, RecursionError):
            paths = []
        return _text(paths[0]) if paths else f"inode {ino}"

    def _note_hits(self, point: _Point, tree: Tree, group: Group) -> None:
        """Note which damaged chunks an inode refers to."""
        values = [value for kind, _, value, _ in group.rows if kind in _DATA_KINDS]
        values += [value for _, value in group.blocks if value is not None]
        hit = {v[1:] for v in values if v[:1] == b"\1" and v[1:] in self._packs.damaged}
        for oid in hit:
            path = self._path(tree, group.ino)
            self._hits.setdefault(oid, _Hits()).add([f"{point.label}:{path}"])

    def _explain(self, point: _Point, chain: Chain) -> None:
        """Find what a map lost with its damaged nodes, by the names that are left."""
        tree = Tree(self._engine, chain, point.root_ino, point.usage, read_only=True)
        ranges = list(self._lost(chain.root))
        for group in self._groups(chain):
            self._note_hits(point, tree, group)
            for oid, first, last in ranges:
                if first <= group.ino <= last and group.record is not None:
                    path = self._path(tree, group.ino)
                    self._hits[oid].add([f"{point.label}:{path}"])
            for kind, _, value, _ in group.rows:
                if kind == keys.DIRENT and len(value) > 9:
                    self._note_lost(point, tree, group.ino, records.decode_dirent(value), ranges)

    def _note_lost(
        self,
        point: _Point,
        tree: Tree,
        directory: int,
        entry: records.Dirent,
        ranges: list[tuple[bytes, int, int]],
    ) -> None:
        for oid, first, last in ranges:
            if first <= entry.ino <= last:
                above = self._path(tree, directory).rstrip("/")
                self._hits[oid].add([f"{point.label}:{above}/{_text(entry.name)}"])

    def _lost(self, root: bytes) -> Iterator[tuple[bytes, int, int]]:
        """Damaged nodes of a map with the first and last inode number that they may hold."""
        todo = [(root, 0, INO_LAST)]
        while todo:
            oid, first, last = todo.pop()
            if oid in self._nodes.damaged:
                yield oid, first, last
                continue
            node = self._objects.node(oid)
            if not node.level:
                continue
            below = first
            for key, child in zip(node.keys, node.values, strict=True):
                upto = keys.unpack_u64(key[:8])
                todo.append((child, below, upto))
                below = upto

    def _damage(self) -> Iterator[Problem]:
        """What was found damaged, with what it hits."""
        found = dict(self._packs.damaged)
        for oid, error in self._nodes.damaged.items():
            found.setdefault(oid, problem_of(error, NODE))
        for oid, problem in found.items():
            hits = self._hits.get(oid, "no file of a branch or snapshot has it")
            yield problem._replace(what=f"{problem.what}; {hits}")


INO_LAST = (1 << 64) - 1


def _pass_over(oid: bytes, error: StorageFailure) -> None:
    """Damage was reported when nodes were looked at."""


def _changed(chain: Chain) -> list[Layer]:
    return [layer for layer in chain.layers() if not layer.pristine]


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")


def _guarded(where: str, problems: Iterator[Problem]) -> Iterator[Problem]:
    """The problems of one part; what ends it early is one more."""
    try:
        yield from problems
    except StoreError as error:
        yield Problem(where, f"cannot be looked at to its end: {error}")
