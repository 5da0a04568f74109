"""The history of a point, newest first: its snapshots, then the commits below them."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from store.history import History
from store.points import Point
from store.records import NO_ID, SnapshotRecord
from store.types import LogEntry


def log(history: History, point: Point) -> Iterator[LogEntry]:
    """Entries of a point's history. Raises Damaged, StorageFailure as it goes."""
    names = {r.commit: (n, r) for n, r in history.snapshots.items() if r.commit != NO_ID}
    number, commit = point.snapshot, point.commit
    while number:
        record = history.snapshots[number]
        if record.commit != NO_ID:
            commit = record.commit
            break
        above = history.snapshots.get(record.parent)
        parent = record.parent_commit if above is None else above.commit
        yield _unsealed(number, record, parent)
        number, commit = record.parent, record.parent_commit
    if commit != NO_ID:
        yield from _commits(history, commit, names)


def _unsealed(number: int, record: SnapshotRecord, parent: bytes) -> LogEntry:
    parents = () if parent == NO_ID else (parent.hex(),)
    return LogEntry("", number, record.name, record.author, record.message, parents)


def _commits(
    history: History, newest: bytes, names: dict[bytes, tuple[int, SnapshotRecord]]
) -> Iterator[LogEntry]:
    """Commits from the newest on, those made later first."""
    seen = {newest}
    first = history.commit(newest)
    waiting = [(-first.committer.time_ns, newest, first)]
    while waiting:
        _, oid, commit = heapq.heappop(waiting)
        number, record = names.get(oid, (0, None))
        parents = tuple(parent.hex() for parent in commit.parents)
        name = "" if record is None else record.name
        yield LogEntry(oid.hex(), number, name, commit.author, commit.message, parents)
        for parent in commit.parents:
            if parent not in seen:
                seen.add(parent)
                older = history.commit(parent)
                heapq.heappush(waiting, (-older.committer.time_ns, parent, older))
