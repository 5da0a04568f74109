"""The history of a point, newest first: its snapshots, then the commits below them."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import chain

from store.points import Point, Points
from store.records import NO_ID, SnapshotRecord
from store.types import LogEntry


def log(history: Points, point: Point) -> Iterator[LogEntry]:
    """Entries of a point's history. Raises Damaged, StorageFailure as it goes.

    Names are those of now; snapshots may come and go while the entries are taken one by one.
    """
    names = {r.commit: (n, r) for n, r in history.snapshots.items() if r.commit != NO_ID}
    # Snapshots of two branches may be one commit; of those, the history's own are meant.
    for number, record in _below(history, point.snapshot):
        names[record.commit] = number, record
    unsealed: list[LogEntry] = []
    number, commit = point.snapshot, point.commit
    while number:
        record = history.snapshots[number]
        if record.commit != NO_ID:
            commit = record.commit
            break
        above = history.snapshots.get(record.parent)
        parent = record.parent_commit if above is None else above.commit
        unsealed.append(_unsealed(number, record, parent))
        number, commit = record.parent, record.parent_commit
    commits = _commits(history, commit, names) if commit != NO_ID else ()
    return chain(unsealed, commits)


def _below(history: Points, number: int) -> Iterator[tuple[int, SnapshotRecord]]:
    """A snapshot, and those that it stands on."""
    while number:
        record = history.snapshots[number]
        yield number, record
        number = record.parent


def _unsealed(number: int, record: SnapshotRecord, parent: bytes) -> LogEntry:
    parents = () if parent == NO_ID else (parent.hex(),)
    return LogEntry("", number, record.name, record.author, record.message, parents)


def _commits(
    history: Points, newest: bytes, names: dict[bytes, tuple[int, SnapshotRecord]]
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
