"""The three-way merge of maps: what theirs changed since the ancestor is done to ours.

It looks at what differs between the ancestor and theirs, and of ours at the same inodes alone: the
cost, and the memory, follow the size of theirs' changes. Nothing is written where it conflicts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from store import keys
from store.conflicts import Conflict, Favor, Findings, Kind
from store.grafting import Graft
from store.merge_content import Content, Contents
from store.merge_names import Names
from store.scratch import Scratch
from store.threeway import NO_TOUCH, Name, Side, Touch, touched
from store.types import Inode, Usage

# Changes in memory before they are folded into the map.
_WEIGHT_MAX = 32 << 20


class Ours(NamedTuple):
    """The state that changes."""

    root: bytes
    root_ino: int
    usage: Usage


class MapMerge:
    """One merge of three maps; see the module."""

    def __init__(
        self,
        scratch: Scratch,
        base: bytes,
        ours: Ours,
        theirs: bytes,
        favor: Favor | None,
        doubtful: frozenset[int] = frozenset(),
    ) -> None:
        """Without `favor` what conflicts stays as ours, so that all conflicts are found.
        `doubtful`: inodes whose state in `base` stands for nothing."""
        self._scratch, self._start = scratch, ours
        self._base, self._ours = Side(scratch, base), Side(scratch, ours.root)
        self._theirs = Side(scratch, theirs)
        sides = self._base, self._ours, self._theirs
        word = favor or Favor.OURS
        self._favor, self._theirs_count = favor, word is Favor.THEIRS
        asked = self._ours, self._theirs, self._base
        self._findings = Findings(asked, ours.root_ino)
        self._contents = Contents(*sides, word, self._findings)
        self._names = Names(*sides, word, self._findings, self._contents)
        self._doubtful = doubtful
        self._both: list[int] = []  # inodes that both sides have
        self._touches: dict[int, Touch] = {}

    def decide(self) -> list[Conflict]:
        """Work out what is to be done; the conflicts that keep it from being done."""
        self._touches = touched(self._scratch.nodes, self._base.root, self._theirs.root)
        for ino in self._doubtful:
            self._touches.setdefault(ino, NO_TOUCH)
        for ino, touch in self._touches.items():
            self._sort(ino, touch)
        self._names.decide(self._start.root_ino)
        self._edits = dict(self._merged())
        found = self._findings.all()
        return found if self._favor is None else [one for one in found if not one.decidable]

    def _sort(self, ino: int, touch: Touch) -> None:
        """Say what theirs did to an inode."""
        was, theirs = self._base.inode(ino), self._theirs.inode(ino)
        ours = self._ours.inode(ino)
        if theirs is None:
            if was is not None and ours is not None:
                self._gone_there(ino)
        elif ours is not None:
            self._both.append(ino)
            self._moved(ino)
        elif was is None or self._is_brought_back(ino, touch):
            self._names.move(ino, set(), self._theirs.names(ino))

    def _gone_there(self, ino: int) -> None:
        """Theirs removed an inode that ours has."""
        named = self._ours.names(ino) - self._base.names(ino)
        if named or self._contents.changed(self._ours, ino):
            self._findings.add(Kind.REMOVED_THEIRS, ino)
            if not self._theirs_count:
                self._names.keep(ino)
                return
        self._names.remove(ino)

    def _is_brought_back(self, ino: int, touch: Touch) -> bool:
        """Whether an inode that ours removed is there again, as theirs changed it."""
        named = self._theirs.names(ino) - self._base.names(ino)
        if not named and not self._contents.changed(self._theirs, ino, touch):
            return False
        self._findings.add(Kind.REMOVED_OURS, ino)
        return self._theirs_count

    def _moved(self, ino: int) -> None:
        """What theirs did to the names of an inode that both sides have."""
        before, after = self._base.inode(ino), self._theirs.inode(ino)
        if before and after and before.parent and _place(before) == _place(after):
            return
        was, ours, theirs = (side.names(ino) for side in (self._base, self._ours, self._theirs))
        if theirs in (was, ours):
            return
        drop, make = was - theirs, theirs - was
        parted = drop & (was - ours) and make != ours - was
        if parted or not (ours - drop) | make:
            self._findings.add(Kind.RENAMED, ino)
            if not self._theirs_count:
                return
            drop, make = ours - theirs, theirs - ours
        self._names.move(ino, drop & ours, make - ours)

    def _merged(self) -> Iterator[tuple[int, Content]]:
        for ino in self._both:
            if not self._names.is_lost(ino):
                if ino in self._doubtful:
                    content = self._contents.united(ino, ino)
                else:
                    content = self._contents.merged(ino, self._touches[ino])
                if content is not None:
                    yield ino, content
        for theirs, ours in self._names.united.items():
            content = self._contents.united(ours, theirs)
            if content is not None:
                yield ours, content

    # --- doing it -----------------------------------------------------------------------------

    def make(self) -> tuple[bytes, Usage]:
        """Make the map that `decide` found to be possible; its root, and what it holds."""
        root, root_ino, usage = self._start
        self._tree = tree = self._scratch.made_over(Graft, root, root_ino, usage)
        for content in self._edits.values():
            tree.become(*content)
            self._fold_some()
        changes = list(self._names.changes())
        for ino, lost, _ in changes:
            for name in sorted(lost):
                tree.detach(ino, name)
            self._fold_some()
        planted = list(self._planted(changes))
        for ino, _, got in changes:
            for name in sorted(got):
                tree.attach(ino, name)
            self._fold_some()
        for inode in planted:
            tree.settle_times(inode)
        for ino, lost, _ in changes:
            if lost and self._names.is_lost(ino):
                tree.discard(ino)
        return self._scratch.fold(tree), tree.usage()

    def _planted(self, changes: list[tuple[int, set[Name], set[Name]]]) -> Iterator[Inode]:
        """Bring in what theirs alone has."""
        for ino, _, got in changes:
            inode = self._theirs.inode(ino)
            if not got or inode is None or self._ours.inode(ino) is not None:
                continue
            kinds = (keys.SYMLINK, keys.XATTR)
            rows = [(kind, *row) for kind in kinds for row in self._theirs.rows(ino, kind)]
            extents = self._theirs.rows(ino, keys.EXTENT)
            blocks = ((keys.unpack_u64(rest), value) for rest, value in extents)
            self._tree.plant(inode, rows, blocks)
            self._fold_some()
            yield inode

    def _fold_some(self) -> None:
        if self._scratch.weight > _WEIGHT_MAX:
            self._scratch.fold(self._tree)


def _place(inode: Inode) -> tuple[int, int]:
    """Where an inode with one name has it."""
    return inode.parent, inode.slot
