"""The part of a merge that any thread can do: find the ancestor, compare, store what comes of it.

It is given two commits, which need not be stored, and gives back another, which is, or the reason
why there is none. It knows no branch.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from store import carrying, diffing, objectid
from store.ancestry import best_common
from store.codec import LEVEL_FAST
from store.conflicts import Conflict, Favor
from store.engine import Engine
from store.errors import InvalidArgument
from store.merge_base import Commits
from store.merge_maps import MapMerge, Ours
from store.objects import ObjectReader, ObjectWriter
from store.records import Commit
from store.scratch import Scratch
from store.threeway import Side
from store.types import Difference, Usage, Who

_NODE_CACHE_BYTES = 32 << 20


class Outcome(enum.Enum):
    """What became of a merge."""

    MERGED = "merged"
    FAST_FORWARD = "fast-forward"
    UP_TO_DATE = "up-to-date"
    CONFLICTS = "conflicts"


class Input(NamedTuple):
    """One side: its commit's id, and the commit where it is not stored yet."""

    oid: bytes
    commit: Commit | None

    @classmethod
    def new(cls, commit: Commit) -> Input:
        """A commit that is not stored."""
        return cls(objectid.object_id(objectid.COMMIT, commit.encode()), commit)


class Wanted(NamedTuple):
    """What kind of merge it is. `root_ino`: of the branch's tree. `committer` has the time that
    changes are made at."""

    root_ino: int
    favor: Favor | None
    fast_forward: bool
    dry_run: bool
    message: str
    author: Who
    committer: Who


class Worked(NamedTuple):
    """What came of it: a commit where the outcome is one, with what takes the branch's map there
    (`carrying`); and of a dry run what it would change, by path."""

    outcome: Outcome
    ancestor: bytes
    commit: bytes
    usage: Usage
    conflicts: list[Conflict]
    old_root: bytes
    steps: list[carrying.Difference]
    changes: list[Difference]


class MergeWork:
    """See the module. `writer` is the caller's to publish or undo."""

    def __init__(self, engine: Engine, ours: Input, theirs: Input, wanted: Wanted) -> None:
        self._engine, self._ours, self._theirs = engine, ours, theirs
        self._wanted = wanted
        self.writer: ObjectWriter | None = None

    def run(self) -> Worked:
        """Do it. Raises InvalidArgument without a common ancestor, UnknownRef, NoSpace, Damaged,
        StorageFailure."""
        engine = self._engine
        view = engine.views.open(_NODE_CACHE_BYTES)
        try:
            self.writer = writer = ObjectWriter(engine.index, engine.packs, view.reader, LEVEL_FAST)
            for side in (self._ours, self._theirs):
                if side.commit is not None:
                    writer.put(objectid.COMMIT, side.commit.encode())
            done = self._merged(view, writer)
            writer.sync()
            return done
        finally:
            view.close()

    def _merged(self, view: ObjectReader, writer: ObjectWriter) -> Worked:
        wanted, commits = self._wanted, Commits(view)
        ours, theirs = self._known(commits, self._ours), self._known(commits, self._theirs)
        here, there = commits.look(ours), commits.look(theirs)
        bases = best_common(commits.look, ours, theirs)
        if not bases:
            raise InvalidArgument("the two have no common ancestor: there is nothing to start from")
        scratch = Scratch(self._engine, view, writer, iter(()))
        scratch.now_ns = wanted.committer.time_ns
        if theirs in bases:  # ours is it, or descends from it
            return Worked(Outcome.UP_TO_DATE, theirs, ours, here.usage, [], here.root, [], [])
        same_root = here.root_ino == there.root_ino == wanted.root_ino
        if ours in bases and wanted.fast_forward and same_root:
            outcome, oid, made = Outcome.FAST_FORWARD, theirs, there
            conflicts: list[Conflict] = []
        else:
            base = commits.base_of(scratch, bases)
            merge = MapMerge(
                scratch,
                base.root,
                Ours(here.root, wanted.root_ino, here.usage),
                there.root,
                wanted.favor,
                base.doubtful,
            )
            conflicts = merge.decide()
            outcome = Outcome.CONFLICTS if conflicts else Outcome.MERGED
            root, usage = here.root, here.usage
            if not conflicts or (wanted.dry_run and all(one.decidable for one in conflicts)):
                root, usage = merge.make()
            made = Commit(
                root,
                wanted.root_ino,
                usage,
                (ours, theirs),
                wanted.author,
                wanted.committer,
                wanted.message,
            )
            oid = ours if conflicts else writer.put(objectid.COMMIT, made.encode())
        steps = carrying.differences(scratch.nodes, here.root, made.root)
        changes = self._changes(scratch, here.root, made.root)
        return Worked(outcome, bases[0], oid, made.usage, conflicts, here.root, steps, changes)

    @staticmethod
    def _known(commits: Commits, side: Input) -> bytes:
        return side.oid if side.commit is None else commits.add(side.commit)

    def _changes(self, scratch: Scratch, old: bytes, new: bytes) -> list[Difference]:
        if not self._wanted.dry_run:
            return []
        before, after = (Side(scratch, root).tree_at(self._wanted.root_ino) for root in (old, new))
        return list(diffing.diff(scratch, before, after, lambda: None))
