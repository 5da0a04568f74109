"""Refs that git moves from within a mounted branch: `git commit`, `branch`, `tag`, `merge`.

The objects behind the new value are in the branch's annex; they are brought in as those of a push
are. What HEAD's branch is moved to was made from the files of the mount, though. So it is brought
in as what the mounted tree is when all that was not committed is taken back: whatever git cannot
say of the files, down to their inode numbers, is in the snapshot as it is in the mount. The mounted
tree itself stays as it is, with its newest snapshot behind it.

Both trees are frozen in the step in which git asks, and the ref is moved in one step at the end,
if it still is what git took it for: else nothing has changed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from gitdoor import importing, receiving
from gitdoor.importing import Beside, branch_of, obstacle
from gitdoor.mapping import Live, Mapper
from gitdoor.names import HEADS
from gitdoor.objects import BadObject
from gitdoor.receiving import NOTHING, Command, New, Rules
from gitdoor.translate import FromFiles
from gitdoor.work import Work
from gitdoor.written import Written
from store import errors
from store.layer import Layer
from store.points import Point
from store.records import NO_ID
from store.refs import annex_ref, head_ref
from store.store import Store


class _Begun(NamedTuple):
    """What was so when git asked: the mounted branch, its annex, its tree where the new commit was
    made from that, and the newest snapshot of the branch that is to be moved."""

    branch: str
    annex: Point
    live: Point | None
    newest: int


def moved(
    store: Store,
    branch: int,
    command: Command,
    rules: Rules,
    then: Callable[[], None],
    *,
    from_files: bool,
) -> Beside:
    """Move a ref, and call `then` in the same step; `branch` is the id of the mounted branch, and
    `from_files` says whether the ref is HEAD's.

    What it needs is frozen before its first pause, and has to be sealed when it goes on. Raises
    NotPermitted with what is wrong, QuotaExceeded, NoSpace, StorageFailure: then nothing has
    changed.
    """
    begun = _begin(store, branch, command, from_files)
    try:
        yield 0
        yield from _moved(store, begun, command, rules, then)
    finally:
        for point in (begun.annex, begun.live):
            if point is not None and point.layer is not None:
                store.engine.release_layer(point.layer)


def _begin(store: Store, branch: int, command: Command, from_files: bool) -> _Begun:
    name = store.ids.branch_name(branch)
    if name is None:
        raise errors.Stale("the branch was deleted")
    history = store.history
    annex = history.frozen_point(annex_ref(branch))
    live = history.frozen_point(head_ref(name)) if from_files else None
    for point in (annex, live):
        if point is not None and point.layer is not None:
            point.layer.users += 1
    return _Begun(name, annex, live, _newest(store, command.name))


def _newest(store: Store, name: bytes) -> int:
    """The newest snapshot of a branch of git's, 0 for none."""
    branch = branch_of(store, name) if name.startswith(HEADS) else None
    return 0 if branch is None else store.history.head(branch).snapshot


def _moved(
    store: Store, begun: _Begun, command: Command, rules: Rules, then: Callable[[], None]
) -> Beside:
    work = Work(store.engine)
    source = Written(store.engine, work, _layer(begun.annex).root, begun.annex.root_ino)
    try:
        try:
            found = yield from _brought_in(store, begun, command, rules, work, source)
        except (BadObject, errors.NotFound, errors.InvalidArgument) as error:
            raise errors.NotPermitted(str(error)) from None
        reason = _refusal(store, begun, command, found, rules)
        if reason:
            raise errors.NotPermitted(reason)
        then()
        _put(store, begun, command, found[command.new], rules)
    finally:
        source.close()
        work.close()


def _layer(point: Point) -> Layer:
    assert point.layer is not None
    assert point.layer.sealed
    return point.layer


def _brought_in(
    store: Store, begun: _Begun, command: Command, rules: Rules, work: Work, source: Written
) -> Beside:
    """Bring in what the new value leads to; id -> what it is."""
    chains = yield partial(receiving.peeled, source, work, [command.new])
    if command.new not in chains:
        raise BadObject(f"{command.new.hex()} is no commit")
    tip, tags = chains[command.new]
    order = yield partial(receiving.unknown, source, work, [tip])
    from_files: FromFiles | None = None
    if begun.live is not None and tip in order:
        layer = _layer(begun.live)
        record = store.history.snapshots.get(begun.live.snapshot)
        parent = NO_ID if record is None else record.commit
        mapper = Mapper(store.engine, work)
        live: Live = yield partial(
            mapper.live, layer.root, begun.live.root_ino, layer.usage, parent
        )
        source.know(live)
        from_files = FromFiles(tip, live)
    now_ns = store.engine.now()
    yield from importing.translated(
        store,
        work,
        source,
        order,
        now_ns,
        lambda count: None,
        from_files,
        owner=receiving.owner_of(store, [command], rules),
    )
    oid = work.commit_of(tip)
    return {} if oid is None else {command.new: New(oid, tags)}


def _refusal(
    store: Store, begun: _Begun, command: Command, found: dict[bytes, New], rules: Rules
) -> str:
    """Why the ref stays; nothing if it may be moved."""
    name = command.name
    if _newest(store, name) != begun.newest:
        return "the branch has another snapshot by now"
    reason = receiving.refusal(store, command, found, rules, set())
    if reason:
        return reason
    if command.old == NOTHING:
        return receiving.clashes(store, rules, [name]).get(name, "")
    branch = branch_of(store, name) if name.startswith(HEADS) else None
    if branch is None or branch == begun.branch:
        return ""
    return obstacle(store, branch, found[command.new].commit, None)


def _put(store: Store, begun: _Begun, command: Command, new: New, rules: Rules) -> None:
    """Move the ref. Raises NotPermitted."""
    if command.name.startswith(HEADS) and branch_of(store, command.name) == begun.branch:
        _adopt(store, begun.branch, new.commit)
        return
    reason = receiving.done(store, command, new, rules, set())
    if reason:
        raise errors.NotPermitted(reason)


def _adopt(store: Store, branch: str, commit: bytes) -> None:
    """Have a commit as the newest snapshot of the branch whose files it was made from."""
    history = store.history
    newest = history.snapshots.get(history.head(branch).snapshot)
    if newest is None or newest.commit != commit:
        history.adopt(branch, history.add_snapshot(branch, commit, None))
