"""The refs that git is shown: branches, and tags for snapshots that somebody named.

Of the whole store (`all.git`) a branch is `refs/heads/BRANCH` and a snapshot the tag
`refs/tags/BRANCH/NAME`; of one branch alone, `refs/tags/NAME`. What came from git has the name
that it had there. A branch's tip is its newest snapshot that is sealed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

from gitdoor.names import HEADS, TAGS, folders, is_automatic, is_ref
from gitdoor.objects import object_id
from store.gitrows import TAG, GitRef, GitRows
from store.readstore import ReadStore
from store.records import NO_ID


class Tip(NamedTuple):
    """A ref: its full name, the store's commit, and the tag objects on the way to it."""

    name: bytes
    commit: bytes
    tags: tuple[bytes, ...]
    snapshot: int  # of a tag: its snapshot


def branch_names(store: ReadStore) -> dict[bytes, str]:
    """Full names in git of all branches -> their names in the store."""
    rows = GitRows(store.engine)
    return {_branch_name(rows, name, head.branch): name for name, head in store.history.heads()}


def _branch_name(rows: GitRows, name: str, number: int) -> bytes:
    known = rows.branch_ref(number)
    return HEADS + name.encode() if known is None else known.name


def tag_names(store: ReadStore, branch: str | None = None) -> dict[bytes, int]:
    """Full names in git of snapshots -> their numbers, of one branch or of all.

    Names that git gave come first; a snapshot whose name cannot stand beside them is no tag.
    """
    rows = GitRows(store.engine)
    names = {head.branch: name for name, head in store.history.heads()}
    only = None if branch is None else store.history.head(branch).branch
    found: dict[bytes, int] = {}
    others: dict[bytes, int] = {}
    for number, record in sorted(store.history.snapshots.items()):
        if record.branch not in names or only not in (None, record.branch):
            continue
        known = rows.snapshot_ref(number)
        if known is not None:
            found[known.name] = number
        elif not is_automatic(record.name):
            prefix = b"" if only is not None else names[record.branch].encode() + b"/"
            full = TAGS + prefix + record.name.encode()
            if is_ref(full):
                others[full] = number
    taken = {*found, *(folder for full in found for folder in folders(full))}
    for full, number in others.items():
        if full not in taken and not any(folder in found for folder in folders(full)):
            found[full] = number
    return found


def tips(store: ReadStore, branch: str | None = None) -> list[Tip]:
    """All refs of one branch, or of the store, by name; snapshots not sealed yet are left out, and
    names in which another one would be a directory, as no repository can have both."""
    rows, history = GitRows(store.engine), store.history
    found = []
    for full, name in branch_names(store).items():
        if branch not in (None, name):
            continue
        oid = newest_commit(store, history.head(name).snapshot)
        if oid != NO_ID:
            found.append(Tip(full, oid, (), 0))
    for full, number in tag_names(store, branch).items():
        record = history.snapshots[number]
        if record.commit != NO_ID:
            known: GitRef | None = rows.snapshot_ref(number)
            tags = () if known is None else known.tags
            found.append(Tip(full, record.commit, tags, number))
    return beside_each_other(found)


def beside_each_other(found: Collection[Tip]) -> list[Tip]:
    """Refs by name, but for those with another one as a directory in their names."""
    names = {tip.name for tip in found}
    return sorted(tip for tip in found if names.isdisjoint(folders(tip.name)))


def newest_commit(store: ReadStore, snapshot: int) -> bytes:
    """The commit of a snapshot, or of the newest before it that has one; NO_ID without any."""
    snapshots = store.history.snapshots
    while snapshot:
        record = snapshots[snapshot]
        if record.commit != NO_ID:
            return record.commit
        if not record.parent:
            return record.parent_commit
        snapshot = record.parent
    return NO_ID


def unsealed(store: ReadStore) -> bool:
    """Whether a snapshot waits to be sealed, and cannot be shown yet."""
    return any(record.commit == NO_ID for record in store.history.snapshots.values())


def first_branch(found: list[Tip]) -> bytes:
    """What HEAD is: `main`, `master`, or the first branch; of no branches, `main`."""
    heads = [tip.name for tip in found if tip.name.startswith(HEADS)]
    for name in (HEADS + b"main", HEADS + b"master", *heads):
        if name in heads:
            return name
    return HEADS + b"main"


def tag_ids(tags: tuple[bytes, ...]) -> Iterator[tuple[bytes, bytes]]:
    """Ids of tag objects, with their bytes."""
    return ((object_id(TAG, raw), raw) for raw in tags)
