"""Export: branches and snapshots as a plain bare repository."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from gitdoor import reaching
from gitdoor.attributes import REF
from gitdoor.graph import History
from gitdoor.importing import Advance, Beside
from gitdoor.mapping import Mapper
from gitdoor.names import HEADS
from gitdoor.packing import Ref, write_repository
from gitdoor.reaching import Item
from gitdoor.refs import Tip, first_branch, tag_ids, tips
from gitdoor.telling import Telling
from gitdoor.work import Work
from store import errors
from store.gitrows import TAG, GitRows
from store.store import Store

_NODE_CACHE_BYTES = 32 * 1024 * 1024
_COMMITS_A_TIME = 64


class Exported(NamedTuple):
    """What an export wrote."""

    commits: int
    objects: int
    refs: int
    left_out: int  # names of the branches' trees that git cannot have


def named(store: Store, commits: Sequence[bytes], advance: Advance) -> Beside:
    """Give all commits that these lead to their names in git; GC is held off by the caller."""
    rows = GitRows(store.engine)
    if all(rows.commit(oid) is not None for oid in commits):
        return
    work = Work(store.engine)
    try:
        mapper = Mapper(store.engine, work)
        missing = yield partial(mapper.missing, list(commits))
        done = 0
        while done < len(missing):
            before, done = done, (yield partial(mapper.run, missing, done, _COMMITS_A_TIME))
            yield work.sync
            work.publish()
            advance(done - before)
            yield 0
    finally:
        work.close()


def export(store: Store, refs: Sequence[str], path: Path, advance: Advance) -> Beside:
    """Write a bare repository with all branches and named snapshots, or those of some branches.

    Snapshots have to be sealed. Raises UnknownRef, Exists, OSError.
    """
    found = selected(store, refs)
    with store.held():
        yield from named(store, [tip.commit for tip in found], advance)
        return (yield partial(_write, store, found, path, advance))


def selected(store: Store, refs: Sequence[str]) -> list[Tip]:
    """The refs of some branches, or of all. Raises UnknownRef."""
    for ref in refs:
        store.history.head(ref)
    if len(refs) == 1:
        return tips(store, refs[0])
    if not refs:
        return tips(store)
    found = {tip for ref in refs for tip in tips(store, ref) if tip.name.startswith(HEADS)}
    numbers = {store.history.head(ref).branch for ref in refs}
    snapshots = store.history.snapshots
    found |= {
        tip for tip in tips(store) if tip.snapshot and snapshots[tip.snapshot].branch in numbers
    }
    return sorted(found)


def _write(store: Store, found: list[Tip], path: Path, advance: Advance) -> Exported:
    view = store.engine.views.open(_NODE_CACHE_BYTES)
    try:
        history = History(store.engine, view, GitRows(store.engine, view.reader))
        refs, items = [], list[Item]()
        wants: list[bytes] = []
        left = 0
        for tip in found:
            record = history.rows.commit(tip.commit)
            if record is None or history.node(record.id) is None:
                raise errors.Damaged(f"{tip.name.decode(errors='replace')} cannot be read")
            wants.append(record.id)
            ids = list(tag_ids(tip.tags))
            refs.append(Ref(tip.name, *((ids[0][0], record.id) if ids else (record.id, None))))
            items += [Item(TAG, oid, None, 0, raw) for oid, raw in ids]
            left += record.left_out if tip.name.startswith(HEADS) else 0
        picked = reaching.chosen(history, wants, [])
        inside = {node.id for node in picked.nodes}
        items += reaching.items(history, history, picked.nodes, inside.__contains__)
        told = Telling(history, picked.nodes)
        try:
            for node in reaching.parents_first(picked.nodes):
                told.add(node)
            also = told.finish()
            if also is not None:
                there = {item.id for item in items}
                items += [item for item in also.items if item.id not in there]
            more = [] if also is None else [Ref(REF, also.commit, None)]
            head = first_branch(found)
            write_repository(path, history, items, [*refs, *more], head, picked.shallow, advance)
        finally:
            told.close()
        return Exported(len(picked.nodes), len(items), len(refs), left)
    finally:
        view.close()
