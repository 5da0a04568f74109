"""The state that both sides of a merge started from.

That is the best common ancestor of the two. Where histories cross there are several, and none of
them alone is right: what the other one decided would look like a change of one side. So they are
merged themselves, as git does it, on the way through their own ancestors. A file of which they
disagree has no common state: unless both sides have the same, it conflicts.
"""

from __future__ import annotations

from typing import NamedTuple

from store import objectid
from store.ancestry import best_common
from store.conflicts import CONTENT, Conflict
from store.errors import InvalidArgument, UnknownRef
from store.merge_maps import MapMerge, Ours
from store.objects import ObjectReader
from store.records import Commit
from store.scratch import Scratch


class Base(NamedTuple):
    """A map's root, and the inodes in it that stand for no common state."""

    root: bytes
    doubtful: frozenset[int] = frozenset()


class Commits:
    """Commits by their ids: those that are stored, and those that are being made."""

    def __init__(self, view: ObjectReader) -> None:
        self._view = view
        self._made: dict[bytes, Commit] = {}

    def look(self, oid: bytes) -> Commit:
        """A commit. Raises Damaged, StorageFailure."""
        return self._made.get(oid) or Commit.decode(self._view.get(oid))

    def add(self, commit: Commit) -> bytes:
        """Know a commit that is not stored yet; its id."""
        oid = objectid.object_id(objectid.COMMIT, commit.encode())
        self._made[oid] = commit
        return oid

    def base_of(self, scratch: Scratch, bases: list[bytes]) -> Base:
        """What stands for some best common ancestors, the newest first. Raises UnknownRef where
        the files of one have been collected, InvalidArgument where they cannot be merged."""
        for oid in bases:
            if not self._view.has(self.look(oid).root):
                raise UnknownRef(
                    f"the common ancestor {oid.hex()} has been collected, as no snapshot had it"
                )
        base, at = Base(self.look(bases[0]).root), bases[0]
        for other in bases[1:]:
            below = self.base_of(scratch, self._best(at, other))
            base = self._crossed(scratch, base, below, at, other)
            at = self.add(self.look(at)._replace(root=base.root, parents=(at, other)))
        return base

    def _best(self, one: bytes, other: bytes) -> list[bytes]:
        found = best_common(self.look, one, other)
        if not found:
            raise InvalidArgument("the histories cross, and come from different beginnings")
        return found

    def _crossed(self, scratch: Scratch, base: Base, below: Base, at: bytes, other: bytes) -> Base:
        here, there = self.look(at), self.look(other)
        ours = Ours(base.root, here.root_ino, here.usage)
        merge = MapMerge(scratch, below.root, ours, there.root, None, below.doubtful)
        found = merge.decide()
        hard = [conflict for conflict in found if conflict.kind not in CONTENT]
        if hard:
            raise InvalidArgument(
                "the histories cross, and their common ancestors disagree on names: " + _told(hard)
            )
        root, _ = merge.make()
        doubtful = base.doubtful | {conflict.ino for conflict in found}
        return Base(root, doubtful)


def _told(found: list[Conflict]) -> str:
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return found[0].path.decode("utf-8", "surrogateescape") + more
