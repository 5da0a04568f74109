"""The part of `checking` that looks at the store's own tables: refs, branches, snapshots, layers.

Numbers in comments are FORMAT.md's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from store import database as db
from store import keys, records
from store.errors import InvalidRef, StorageFailure
from store.objects import ObjectReader
from store.records import NO_ID, SnapshotRecord
from store.refs import HEADS, check_name, tag_ref
from store.types import Problem

if TYPE_CHECKING:
    from store.engine import Engine
    from store.layer import Layer
    from store.readstore import ReadStore

_COUNTER_BITS = 40
_ROW_HEAD_BYTES = 8 + keys.PREFIX_BYTES
_ROW_KINDS = frozenset(range(keys.INODE, keys.PAGE + 1))


def object_count(engine: Engine) -> int:
    """How many objects the index knows, about."""
    return engine.reader.count(db.OBJECTS) + engine.index.recent_count()


def ino_next(engine: Engine) -> Callable[[int], int]:
    """Says for an inode number which number its replica's allocator would give next, at least."""
    own = engine.identity.replica
    bound = engine._next_ino

    def bound_of(ino: int) -> int:
        return bound if ino >> _COUNTER_BITS == own else (ino >> _COUNTER_BITS) + 1 << _COUNTER_BITS

    return bound_of


def check(store: ReadStore, objects: ObjectReader) -> Iterator[Problem]:
    """Problems of the tables and of the commits that they name."""
    yield from _heads(store)
    yield from _snapshots(store, objects)
    yield from _commits(store, objects)
    yield from _layers(store)
    yield from _rows(store.engine, quiet=store.quiet)


def _heads(store: ReadStore) -> Iterator[Problem]:
    history, layers = store.history, store.engine.layers
    owners: Counter[int] = Counter()
    tops: Counter[int] = Counter()
    for branch, head in history.annexes().items():  # S7
        if branch not in history.branches:
            yield Problem(f"annex {branch}", "its branch is missing")
        if head.branch in history.branches or head.snapshot:
            yield Problem(f"annex {branch}", "is a branch, or has a history")
    for ref, head in history.live():
        where = ref.replace("heads/", "branch ", 1)
        tops[head.layer] += 1
        layer = layers.get(head.layer)
        if ref.startswith(HEADS):
            owners[head.branch] += 1
            if head.branch not in history.branches:  # S1
                yield Problem(where, f"branch record {head.branch} is missing")
        if layer is None:
            yield Problem(where, f"layer {head.layer} is missing")
        elif layer.frozen or layer.sealed:
            yield Problem(where, f"its live layer {layer.id} is frozen")
        if head.snapshot and head.snapshot not in history.snapshots:
            yield Problem(where, f"snapshot {head.snapshot} below it is missing")
    for number, record in history.branches.items():
        if owners[number] != 1:  # S2
            yield Problem(f"branch record {number}", f"{owners[number]} refs lead to it")
        if min(record.quota) < 0:
            yield Problem(f"branch record {number}", f"a quota of {record.quota}")
    for number, count in tops.items():
        if count > 1:
            yield Problem(f"layer {number}", f"is the live layer of {count} branches")
    if any(number >= store.engine._next_id for number in (*history.branches, *layers)):  # S6
        yield Problem("meta", "a number was given out that the allocator has not reached")


def _snapshots(store: ReadStore, objects: ObjectReader) -> Iterator[Problem]:
    history = store.history
    tags = dict(history.refs.list("tags/"))
    needed = {head.snapshot for _, head in history.heads()}
    needed.update(record.parent for record in history.snapshots.values())
    for number, record in history.snapshots.items():
        where = f"snapshot {number} {record.name}".rstrip()
        if record.branch:  # S3
            if record.branch not in history.branches:
                yield Problem(where, f"its branch {record.branch} is missing")
            if tags.pop(tag_ref(record.branch, record.name), None) != keys.pack_u64(number):
                yield Problem(where, "its ref is missing, or leads elsewhere")
            if not _is_name(record.name):
                yield Problem(where, "the name breaks the rules")
        elif number not in needed:
            yield Problem(where, "nameless, and nothing stands on it")
        if record.parent >= number or (record.parent and record.parent not in history.snapshots):
            yield Problem(where, f"its parent {record.parent} is missing or younger")  # S4
        yield from _sealing(store, objects, where, record)
    for ref in tags:
        yield Problem(f"ref {ref}", "leads to no snapshot of that name")


def _is_name(name: str) -> bool:
    try:
        check_name(name)
    except InvalidRef:
        return False
    return True


def _sealing(
    store: ReadStore, objects: ObjectReader, where: str, record: SnapshotRecord
) -> Iterator[Problem]:
    """S5: a snapshot's layer is frozen; its commit says what the layer's root and record say."""
    layer = store.engine.layers.get(record.layer)
    if layer is None:
        yield Problem(where, f"its layer {record.layer} is missing")
        return
    if not layer.frozen:
        yield Problem(where, f"its layer {record.layer} is not frozen")
    if layer.sealed != (record.commit != NO_ID):
        yield Problem(where, "has a commit but no root, or a root but no commit")
    if record.commit == NO_ID:
        return
    try:
        commit = records.Commit.decode(objects.get(record.commit))
    except StorageFailure:
        return  # C1 reports it
    told = (commit.root, commit.root_ino, commit.usage, commit.author, commit.message)
    kept = (layer.root, record.root_ino, layer.usage, record.author, record.message)
    if told != kept or commit.committer != record.committer:
        yield Problem(where, f"commit {record.commit.hex()} tells another story")


def _commits(store: ReadStore, objects: ObjectReader) -> Iterator[Problem]:
    """C1: commits that snapshots name are there, and so are all before them."""
    snapshots = store.history.snapshots
    todo = {c: n for n, r in snapshots.items() for c in (r.commit, r.parent_commit)}
    todo.pop(NO_ID, None)
    seen = set(todo)
    while todo:
        oid, number = todo.popitem()
        try:
            commit = records.Commit.decode(objects.get(oid))
        except StorageFailure as error:
            where = f"commit {oid.hex()}"
            yield Problem(where, f"{error}; it is below snapshot {snapshots[number].name}")
            continue
        for parent in commit.parents:
            if parent not in seen:
                seen.add(parent)
                todo[parent] = number


def _layers(store: ReadStore) -> Iterator[Problem]:
    engine, history = store.engine, store.history
    users: Counter[int] = Counter()
    for layer in engine.layers.values():
        if layer.parent is not None:
            users[layer.parent.id] += 1
    users.update(head.layer for _, head in history.live())
    users.update(record.layer for record in history.snapshots.values())
    for layer in engine.layers.values():
        where = f"layer {layer.id}"
        if not layer.users or layer.users < users[layer.id]:  # L3; open views are users, too
            yield Problem(where, f"{users[layer.id]} things stand on it, {layer.users} are counted")
        yield from _layer(engine, where, layer)


def _layer(engine: Engine, where: str, layer: Layer) -> Iterator[Problem]:
    parent = layer.parent
    if parent is not None and (  # L1
        parent.id >= layer.id or not parent.frozen or engine.layers.get(parent.id) is not parent
    ):
        yield Problem(where, f"its parent {parent.id} is missing, live or younger")
    if layer.sealed and (parent is not None or not layer.frozen):  # L2
        yield Problem(where, "is sealed and still live, or on another layer")
    if parent is None and not layer.sealed and layer.base == NO_ID:
        yield Problem(where, "stands on nothing")


def _rows(engine: Engine, quiet: bool) -> Iterator[Problem]:
    """L4, L5: rows in the database belong to layers that read them, or to known garbage.

    Unless it is `quiet`, a job knows more of the garbage than the engine.
    """
    garbage = engine.garbage | engine.garbage_fresh
    for key, value in engine.reader.all(db.LAYERS):
        number = keys.unpack_u64(key[:8])
        layer = engine.layers.get(number)
        if quiet and (layer is None or layer.sealed) and number not in garbage:
            yield Problem(f"layer {number}", f"has rows and no use for them: {key.hex()}")
            garbage = garbage | {number}
        if len(key) < _ROW_HEAD_BYTES or key[_ROW_HEAD_BYTES - 1] not in _ROW_KINDS:
            yield Problem(f"layer {number}", f"a row with key {key.hex()}")
        elif key[_ROW_HEAD_BYTES - 1] == keys.PAGE and not 0 < len(value) <= 4096:
            yield Problem(f"layer {number}", f"a page of {len(value)} bytes, key {key.hex()}")
