"""Merging a point into a branch, while it is in use: three-way, key by key.

A try freezes what both sides are, compares on any thread (`merge_work`), and takes effect in one
step on the main thread: the merge is a commit with two parents, a snapshot of the branch, and the
branch is carried there with all that was written meanwhile. Where such a write is in the way,
nothing has happened, and all begins anew. What the branch was, and what a branch that is merged
was, become snapshots where they are none, so that the merge can be undone and its parents seen.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from store import carrying
from store.conflicts import Conflict, Favor
from store.errors import Busy, InvalidArgument, QuotaExceeded, RefConflict, RefExists, UnknownRef
from store.merge_work import Input, MergeWork, Outcome, Wanted, Worked
from store.records import NO_ID, Commit
from store.refs import check_name, head_ref, tag_ref
from store.types import Difference, SnapshotInfo, Usage, Who

if TYPE_CHECKING:
    from store.carrying import Carriage
    from store.layer import Layer
    from store.store import Store

# How often a merge is begun anew as what it would change was written to: who goes on like that
# would be there any number of times.
_TRIES = 8

Until = Callable[[Callable[[], bool]], Generator[Any, Any, None]]
"""Steps that end when a condition holds, which the sealing of frozen layers brings about."""


class Request(NamedTuple):
    """What is asked for. `name` None: the time; `fast_forward`: without a commit of its own where
    the branch has nothing that the source has not; `dry_run`: only find out."""

    source: str
    branch: str
    name: str | None = None
    message: str = ""
    author: Who | None = None
    favor: Favor | None = None
    fast_forward: bool = True
    dry_run: bool = False


class Merged(NamedTuple):
    """The result. `ancestor` and `ours`, what the branch was, are commits in hex.

    `snapshot` is what the branch is now, `before` what it was and `source` what was merged, where
    these were in no snapshot; None of a dry run, and where nothing changed. `changes` are those of
    a dry run: with conflicts, what would change if these were left as they are in the branch.
    """

    outcome: Outcome
    ancestor: str
    ours: str
    conflicts: list[Conflict]
    changes: list[Difference]
    snapshot: SnapshotInfo | None = None
    before: SnapshotInfo | None = None
    source: SnapshotInfo | None = None


def merge(store: Store, request: Request, until: Until) -> Generator[Any, Any, Merged]:
    """The steps of a merge: functions to be called on any thread, and those of `until`.

    Raises UnknownRef, AmbiguousId, InvalidRef, RefExists, InvalidArgument where there is no common
    ancestor, QuotaExceeded, NoSpace, Busy, StorageFailure, and RefConflict where others were in
    the way every time. Nothing has changed then, nor where conflicts are the outcome.
    """
    with store.held():
        for _ in range(_TRIES):
            with closing(_Try(store, request)) as one:
                yield from until(one.is_ready)
                if one.has_moved():
                    continue
                work = one.work()
                worked = yield work.run
                yield from until(partial(_has_room, store))
                done = one.finish(worked)
            if done is not None:
                return done
    raise RefConflict(f"what {request.source} would change in {request.branch} is being changed")


def _has_room(store: Store) -> bool:
    """Whether memory takes more changes."""
    try:
        store.engine.admit(-1)
    except Busy:
        return False
    return True


class _Side:
    """What one side was when the try began, held."""

    def __init__(self, store: Store, ref: str) -> None:
        history, engine = store.history, store.engine
        self._store = store
        point, path = history.resolve(ref)
        if path.strip("/"):
            raise InvalidArgument(f"whole trees are merged, not {ref!r}")
        self.branch = None
        self.is_new = False  # it is a branch's, and in no snapshot
        if point.layer is not None and not point.layer.frozen:
            self.branch = ref.partition("/")[0]
            self.is_new = not (point.snapshot and history.is_clean(self.branch))
            if self.is_new:
                point = history.frozen_point(head_ref(self.branch))
            else:
                layer = engine.layers[history.snapshots[point.snapshot].layer]
                point = point._replace(layer=layer)
        self.point = point
        if point.layer is not None:
            point.layer.users += 1

    def release(self) -> None:
        """Let it go."""
        self._store.engine.release_layer(self.point.layer)

    @property
    def is_sealed(self) -> bool:
        """Whether its map and the commit that it is or stands on are there."""
        record = self._store.history.snapshots.get(self.point.snapshot)
        layer = self.point.layer
        return (layer is None or layer.sealed) and (record is None or record.commit != NO_ID)

    def has_moved(self) -> bool:
        """Whether its branch goes on from another state by now, or is gone; or its snapshot is."""
        history, number = self._store.history, self.point.snapshot
        if self.branch is None:
            return number != 0 and number not in history.snapshots
        try:
            moved = history.head(self.branch).snapshot != number
        except UnknownRef:
            return True
        return moved or not history.stands_on(self.branch, self._held())

    def _held(self) -> Layer:
        assert self.point.layer is not None  # all but bare commits have one
        return self.point.layer

    def input(self, message: str, committer: Who) -> Input:
        """Its commit."""
        record = self._store.history.snapshots.get(self.point.snapshot)
        below = self.point.commit if record is None else record.commit
        if not self.is_new:
            return Input(below, None)
        layer = self._held()
        parents = () if below == NO_ID else (below,)
        root_ino = self.point.root_ino
        return Input.new(
            Commit(layer.root, root_ino, layer.usage, parents, committer, committer, message)
        )

    def kept(self, commit: bytes) -> int:
        """Make it a snapshot of its branch, which stays as it is, unless it is one."""
        if self.branch is None or not self.is_new:
            return 0
        history = self._store.history
        number = history.add_snapshot(self.branch, commit, None, self.point.snapshot)
        history.adopt(self.branch, number)
        return number


class _Try:
    """One try; all of it is for the main thread."""

    def __init__(self, store: Store, request: Request) -> None:
        self._store, self._request = store, request
        self._check_name()
        store.history.resolve(request.source)  # before anything is frozen
        self._work: MergeWork | None = None
        self._sides: list[_Side] = []
        try:
            for ref in (request.branch, request.source):
                self._sides.append(_Side(store, ref))
        except BaseException:
            self.close()
            raise
        self._ours, self._theirs = self._sides

    def _check_name(self) -> None:
        name, branch = self._request.name, self._request.branch
        history = self._store.history
        number = history.head(branch).branch
        if name is not None and history.refs.get(tag_ref(number, check_name(name))) is not None:
            raise RefExists(f"branch {branch!r} has a snapshot {name!r}")

    def close(self) -> None:
        """Let go of all that was held; what was stored and not taken over is forgotten."""
        for side in self._sides:
            side.release()
        self._sides = []
        self._undo()

    def _undo(self) -> None:
        work, self._work = self._work, None
        if work is not None and work.writer is not None:
            work.writer.undo()

    def is_ready(self) -> bool:
        """Whether all that was frozen is sealed, or no longer to be waited for."""
        return self.has_moved() or all(side.is_sealed for side in self._sides)

    def has_moved(self) -> bool:
        """Whether one of the branches has got another history meanwhile."""
        return any(side.has_moved() for side in self._sides)

    def work(self) -> MergeWork:
        """What is to be run on any thread."""
        request, now = self._request, self._store.engine.now
        source, branch = request.source, request.branch
        self._inputs = ours, theirs = (
            self._ours.input(f"before merging {source}", Who("fsgw", now())),
            self._theirs.input(f"as merged into {branch}", Who("fsgw", now())),
        )
        if self._ours.branch == self._theirs.branch:
            theirs = ours  # one and the same: the branch has all of it
        committer = Who("fsgw", now())
        wanted = Wanted(
            self._ours.point.root_ino,
            request.favor,
            request.fast_forward,
            request.dry_run,
            request.message or f"Merge {source} into {branch}",
            request.author or committer,
            committer,
        )
        self._work = MergeWork(self._store.engine, ours, theirs, wanted)
        return self._work

    def finish(self, done: Worked) -> Merged | None:
        """Take over what came of it; None where others were in the way."""
        ours = self._inputs[0].oid
        result = Merged(done.outcome, done.ancestor.hex(), ours.hex(), done.conflicts, done.changes)
        if self._request.dry_run or done.outcome in (Outcome.UP_TO_DATE, Outcome.CONFLICTS):
            return result
        if self.has_moved():
            return None
        self._publish()
        branch = self._request.branch
        way: Carriage | None = None
        if not self._is_clean():
            tree = self._store.tree(branch)
            way = carrying.plan(self._store.engine, tree, done.old_root, done.steps)
            if way.in_the_way:
                return None
        self._check_name()
        self._check_quota(done.usage if way is None else way.usage)
        self._store.engine.admit(0)
        return self._take_effect(done, way, result)

    def _publish(self) -> None:
        """Let the store know what was stored; nothing refers to it yet."""
        assert self._work is not None
        writer = self._work.writer
        assert writer is not None
        self._store.engine.publish(dict(writer.added), writer.sizes(), journalled=False)
        writer.close()
        self._work = None

    def _is_clean(self) -> bool:
        """Whether the branch is still what it was."""
        history, branch = self._store.history, self._request.branch
        if not self._ours.is_new:
            return history.is_clean(branch)
        layer = self._store.engine.layers[history.head(branch).layer]
        return layer.pristine and layer.parent is self._ours.point.layer

    def _check_quota(self, usage: Usage) -> None:
        """Raises QuotaExceeded where the branch would come to use more than it may."""
        branch = self._store.branch(self._request.branch)
        now, limits = branch.usage, branch.quota
        for what, used, before, limit in zip(("bytes", "inodes"), usage, now, limits, strict=True):
            if limit and used > max(limit, before):
                raise QuotaExceeded(f"the quota of {limit} {what} would be passed")

    def _take_effect(self, done: Worked, way: Carriage | None, result: Merged) -> Merged:
        """Change the branches, in one step."""
        history, branch = self._store.history, self._request.branch
        before, source = (
            side.kept(given.oid) for side, given in zip(self._sides, self._inputs, strict=True)
        )
        below = history.head(branch).snapshot
        number = history.add_snapshot(branch, done.commit, self._request.name, below)
        if way is None:
            history.advance(branch, number)
        else:
            history.carry(branch, number, way)
        info = history.snapshot_info
        return result._replace(
            snapshot=info(number),
            before=info(before) if before else None,
            source=info(source) if source else None,
        )
