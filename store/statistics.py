"""How much is stored, and for whom.

An object is owned by the one branch or snapshot that needs it, or shared. One pass over all maps
finds the owners: a part of a map is walked again only once, when a second one is found to need it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from store import database as db
from store import reach
from store.gitrows import needed, shown_commits
from store.layer import Layer
from store.pack import FILE_HEADER_BYTES, RECORD_HEADER_BYTES, Location
from store.records import NO_ID
from store.types import BranchInfo, SnapshotInfo

if TYPE_CHECKING:
    from store.engine import Engine
    from store.readstore import ReadStore

Progress = Callable[[int, int], None]

_SHARED = -1
_OBJECTS_A_TIME = 1000


class BranchStats(NamedTuple):
    """A branch and the stored bytes that only it needs."""

    info: BranchInfo
    exclusive_bytes: int


class SnapshotStats(NamedTuple):
    """A snapshot and the stored bytes that deleting it, and GC, would free."""

    info: SnapshotInfo
    exclusive_bytes: int


class Stats(NamedTuple):
    """Figures of a whole store; bytes.

    logical: what all branches and snapshots hold, each for itself. unique: the objects,
    uncompressed. stored: the objects in packs. reclaimable: stored, and needed by nothing.
    """

    objects: int
    logical_bytes: int
    unique_bytes: int
    stored_bytes: int
    reclaimable_bytes: int
    packs: int
    pack_bytes: int
    database_bytes: int
    journal_bytes: int
    branches: list[BranchStats]
    snapshots: list[SnapshotStats]


class _Owners:
    """Who needs which object or layer."""

    def __init__(self, engine: Engine, advance: Callable[[], None]) -> None:
        self._engine, self._advance = engine, advance
        self.owner: dict[bytes, int] = {}
        self._layers: dict[int, int] = {}

    def add(self, who: int, layer: Layer | None, base: bytes) -> None:
        """Take in all that a layer, or a bare root, needs."""
        while layer is not None and not layer.sealed:
            known = self._layers.get(layer.id)
            if known in (who, _SHARED):
                return
            self._layers[layer.id] = who = who if known is None else _SHARED
            for oid in reach.chunks_of_layer(self._engine.reader, layer.id):
                self._enter(oid, who)
            base, layer = layer.base, layer.parent
        self._walk(base if layer is None else layer.root, who)

    def share(self, root: bytes) -> None:
        """Take in a map that no single branch or snapshot answers for."""
        self._walk(root, _SHARED)

    def _walk(self, root: bytes, who: int) -> None:
        todo = [(root, who)]
        while todo:
            oid, above = todo.pop()
            mark = self._enter(oid, above)
            if mark is None:
                continue
            node = self._engine.objects.node(oid)
            if node.level:
                todo += [(child, mark) for child in node.values]
            else:
                for chunk in reach.chunks_of_node(node):
                    self._enter(chunk, mark)

    def _enter(self, oid: bytes, who: int) -> int | None:
        """Note who needs an object; says what its parts are to be noted as, None for as before."""
        known = self.owner.get(oid)
        if known in (who, _SHARED):
            return None
        # What is found to be shared is shared with all below it.
        self.owner[oid] = mark = who if known is None else _SHARED
        self._advance()
        return mark


class _Counter:
    """Counts objects, once when an owner is found and once when they are summed up."""

    def __init__(self, engine: Engine, progress: Progress | None) -> None:
        self._progress = progress
        self._total = 2 * engine.reader.count(db.OBJECTS)
        self._done = 0

    def advance(self) -> None:
        self._done += 1
        if self._progress is not None and not self._done % _OBJECTS_A_TIME:
            self._progress(min(self._done, self._total), self._total)


def stats(store: ReadStore, progress: Progress | None = None) -> Stats:
    """Figures of a store that has just made a checkpoint, or of a moment.

    `progress(done, total)` is called now and then; what it raises passes through. Raises Damaged,
    StorageFailure.
    """
    engine, history = store.engine, store.history
    advance = _Counter(engine, progress).advance
    owners = _Owners(engine, advance)
    users: list[tuple[Layer | None, bytes]] = []
    branches, snapshots = [], sorted(history.snapshots)
    for name, head in history.heads():
        branches.append(history.branch_info(name))
        users.append((engine.layers[head.layer], NO_ID))
    for number in snapshots:
        record = history.snapshots[number]
        users.append((engine.layers[record.layer], NO_ID))
    for who, (layer, base) in enumerate(users):
        owners.add(who, layer, base)
    annexes = history.annexes()
    for who, info in enumerate(branches):
        if info.id in annexes:  # it goes with the branch
            owners.add(who, engine.layers[annexes[info.id].layer], NO_ID)
    reached = {oid for oid, _ in history.commits()}
    owners.owner.update(dict.fromkeys(reached, _SHARED))
    for root in needed(engine, engine.reader, reached, shown_commits(history)).maps:
        owners.share(root)
    owners.owner.setdefault(store.empty_root, _SHARED)
    exclusive = [0] * len(users)
    objects = unique = stored = wanted = 0
    for oid, value in engine.reader.all(db.OBJECTS):
        advance()
        location = Location.from_bytes(value)
        length = RECORD_HEADER_BYTES + location.stored
        objects, unique, stored = objects + 1, unique + location.raw, stored + length
        owner = owners.owner.get(oid)
        if owner is not None:
            wanted += length
            if owner != _SHARED:
                exclusive[owner] += length
    infos = [history.snapshot_info(number) for number in snapshots]
    usages = [info.usage for info in branches] + [info.usage for info in infos]
    pack_bytes = sum(engine.packs.sizes.values())
    return Stats(
        objects,
        sum(usage.used_bytes for usage in usages),
        unique,
        stored,
        pack_bytes - wanted - FILE_HEADER_BYTES * len(engine.packs.sizes),
        len(engine.packs.sizes),
        pack_bytes,
        engine.database.size_bytes()[1],
        engine.journal.allocated_bytes,
        [BranchStats(info, exclusive[n]) for n, info in enumerate(branches)],
        [SnapshotStats(info, exclusive[len(branches) + n]) for n, info in enumerate(infos)],
    )
