"""Refs that git deletes from within a mounted branch: `git branch -d`, `git tag -d`.

Git lets names go, and whatever only they led to is lost in time. Here a name may go if nothing is
lost by it: every state that it stands for is in the history of something that stays. A branch has
to be as its newest snapshot is, and nobody may have left anything in its `.git`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from gitdoor import receiving
from gitdoor.importing import Beside, branch_of
from gitdoor.names import HEADS
from gitdoor.receiving import Command, Rules
from gitdoor.refs import tag_names
from gitdoor.work import Work
from store.errors import NotPermitted
from store.records import NO_ID, Commit
from store.store import Store


def removed(
    store: Store,
    commands: Sequence[Command],
    own: bytes,
    rules: Rules,
    then: Callable[[], None],
) -> Beside:
    """Delete refs, and call `then` in the same step; `own` is the mounted branch's full name.

    Raises NotPermitted with what is wrong: then nothing has changed.
    """
    goes = _snapshots(store, commands, own, rules)
    records = store.history.snapshots
    wanted = {records[number].commit for number in goes}
    staying = {r.commit for number, r in records.items() if number not in goes} - {NO_ID}
    work = Work(store.engine)
    try:
        lost = yield partial(_unreached, work, wanted, staying)
    finally:
        work.close()
    if lost:
        raise NotPermitted("it has snapshots that are nowhere else: fsgw deletes those")
    if _snapshots(store, commands, own, rules) != goes or not staying <= {
        record.commit for record in store.history.snapshots.values()
    }:
        raise NotPermitted("it has changed meanwhile")
    then()
    for command in commands:
        receiving.done(store, command, None, rules, set())


def _snapshots(store: Store, commands: Sequence[Command], own: bytes, rules: Rules) -> set[int]:
    """The snapshots that go with some refs. Raises NotPermitted."""
    tags = tag_names(store, rules.branch)
    found: set[int] = set()
    for command in commands:
        reason = receiving.refusal(store, command, {}, rules, set())
        if reason:
            raise NotPermitted(reason)
        if command.name in tags:
            found.add(tags[command.name])
        if command.name.startswith(HEADS):
            found |= _of_branch(store, command.name, own)
    if any(store.history.snapshots[number].commit == NO_ID for number in found):
        raise NotPermitted("it has a snapshot that is not sealed yet")
    return found


def _of_branch(store: Store, name: bytes, own: bytes) -> set[int]:
    history, branch = store.history, branch_of(store, name)
    assert branch is not None
    number = history.head(branch).branch
    if name == own:
        raise NotPermitted("it is the branch that is mounted")
    if not history.is_clean(branch):
        raise NotPermitted("it has changes that are in no snapshot")
    if tag_names(store, branch):
        raise NotPermitted("it has snapshots with names")
    if number in history.annexes():
        raise NotPermitted("git was at work in a mount of it")
    return {n for n, record in history.snapshots.items() if record.branch == number}


def _unreached(work: Work, wanted: set[bytes], staying: set[bytes]) -> set[bytes]:
    """Those commits that others do not lead to. Any thread: it may be a long way."""
    left, seen, todo = set(wanted), set[bytes](), list(staying)
    while todo and left:
        oid = todo.pop()
        if oid not in seen:
            seen.add(oid)
            left.discard(oid)
            todo += Commit.decode(work.view.get(oid)).parents
    return left
