"""The part of a merge that decides where everything is: which name leads to which inode.

Names are taken as what leads to an inode, not as what a directory holds: so an inode that was
moved is one that lost a name and got another, hard links come and go one by one, and what a
directory above it went through does not matter. What directories count, and where inodes say that
they are, follows from it (`grafting`).

The plan lies over our side: first all names go that theirs has taken away, then those are made
that it has made, and those that cannot be are given up, with all that relied on them. At last
directories that are to go must be empty, and none may be within itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from store.conflicts import Favor, Findings, Kind
from store.merge_content import Contents
from store.threeway import ROOT_INO, Name, Side, is_directory


class _Move:
    """What theirs does to the names of one inode; directories are numbered as there."""

    __slots__ = ("drop", "fresh", "given_up", "ino", "make", "target")

    def __init__(self, ino: int, drop: set[Name], make: set[Name], fresh: bool) -> None:
        self.ino, self.drop, self.make, self.fresh = ino, drop, make, fresh
        self.target = ino  # what the names are to lead to
        self.given_up = False


class Names:
    """See the module. `move` and `remove` what theirs does, then `decide`."""

    def __init__(
        self,
        base: Side,
        ours: Side,
        theirs: Side,
        favor: Favor,
        findings: Findings,
        contents: Contents,
    ) -> None:
        self._base, self._ours, self._theirs = base, ours, theirs
        self._theirs_count = favor is Favor.THEIRS
        self._findings, self._contents = findings, contents
        self._at: dict[Name, int] = {}  # what names lead to where that is not as in ours
        self._grown: Counter[int] = Counter()  # entries that directories have more than in ours
        self._kept: Counter[int] = Counter()  # entries that stay because of a conflict told already
        self._moves: dict[int, _Move] = {}
        self.names: dict[int, set[Name]] = {}  # of the inodes whose names may change
        self.united: dict[int, int] = {}  # a directory of theirs -> the one of ours that it is
        self._removed: dict[int, None] = {}  # directories of ours that are to go

    # --- what theirs does ---------------------------------------------------------------------

    def move(self, ino: int, drop: set[Name], make: set[Name]) -> None:
        """Take names from an inode and give it others."""
        self._moves[ino] = _Move(ino, drop, make, self._ours.inode(ino) is None)

    def remove(self, ino: int) -> None:
        """Take all its names from an inode."""
        inode = self._ours.inode(ino)
        assert inode is not None
        if is_directory(inode):
            self._removed[ino] = None
        self.move(ino, self._ours.names(ino), set())

    def keep(self, ino: int) -> None:
        """An inode of ours stays where theirs removed it, which has been told."""
        for name in self._ours.names(ino):
            self._kept[name.directory] += 1

    # --- the plan -----------------------------------------------------------------------------

    def decide(self, root_ino: int) -> None:
        """Work out the names of all that was moved or removed."""
        if root_ino in self._removed:
            self._findings.add(Kind.ROOT, root_ino, decidable=not self._theirs_count)
            self._give_up(self._moves[root_ino])
        for move in list(self._moves.values()):
            self._drop(move)
        for move in self._in_order(list(self._moves.values())):
            self._make(move)
        while True:
            self._part_cycles()
            self._clear_removed()
            if not self._lose_loose_ends():
                break
        if root_ino != ROOT_INO and not self._is_there(root_ino):
            self._findings.add(Kind.ROOT, root_ino, decidable=False)

    def entry(self, name: Name) -> int:
        """The inode that a name leads to, 0 for none."""
        found = self._at.get(name)
        return self._ours.entry(name) if found is None else found

    def _set(self, name: Name, ino: int) -> None:
        before = self.entry(name)
        self._at[name] = ino
        self._grown[name.directory] += (ino != 0) - (before != 0)
        if before:
            self._known(before).discard(name)
        if ino:
            self._known(ino).add(name)

    def _known(self, ino: int) -> set[Name]:
        names = self.names.get(ino)
        if names is None:
            names = self.names[ino] = self._ours.names(ino)
        return names

    def _drop(self, move: _Move) -> None:
        self._known(move.ino)
        if not move.given_up:
            for name in move.drop:
                if self.entry(name) == move.ino:
                    self._set(name, 0)

    def _in_order(self, moves: list[_Move]) -> list[_Move]:
        """New directories before what is put into them."""
        depths: dict[int, int] = {}

        def depth(ino: int) -> int:
            """How many new directories stand above and including a new one; 0 for others."""
            trail = []
            while ino not in depths and (move := self._moves.get(ino)) and move.fresh:
                trail.append(ino)
                inode = self._theirs.inode(ino)
                ino = 0 if inode is None else inode.parent
            count = depths.get(ino, 0)
            for one in reversed(trail):
                count += 1
                depths[one] = count
            return count

        def rank(move: _Move) -> tuple[int, int, int]:
            inode = self._theirs.inode(move.ino) if move.fresh else None
            if inode is not None and is_directory(inode):
                return 0, depth(move.ino), move.ino
            return 1, 0, move.ino

        return sorted((move for move in moves if move.make), key=rank)

    def _make(self, move: _Move) -> None:
        for name in sorted(move.make):
            if move.given_up:
                return
            self._make_one(move, name)

    def _make_one(self, move: _Move, wanted: Name) -> None:
        directory = self.united.get(wanted.directory, wanted.directory)
        name = Name(directory, wanted.name)
        if not self._is_there(directory) and not self._open(directory, wanted):
            self._refuse(move)
            return
        found = self.entry(name)
        if found == move.target or (found and self._settled(move, name, found)):
            return
        self._set(name, move.target)

    def _open(self, directory: int, wanted: Name) -> bool:
        """Bring a directory back that ours removed and theirs put something into, if its word
        counts."""
        lost = self._moves.get(directory)
        if lost is not None and lost.fresh:
            return False  # it was given up itself, which has been told
        self._findings.add_name(Kind.FILLED_THEIRS, wanted)
        if not self._theirs_count or self._theirs.inode(directory) is None:
            return False
        move = _Move(directory, set(), self._theirs.names(directory), fresh=True)
        self._moves[directory] = move
        self._known(directory)
        self._make(move)
        return self._is_there(directory)

    def _is_there(self, directory: int) -> bool:
        if directory in self._removed:
            return False
        names = self.names.get(directory)
        if names is None or directory == ROOT_INO:
            return self._ours.inode(directory) is not None
        # One that is being moved has no name for a while.
        move = self._moves.get(directory)
        return bool(names) or (move is not None and not move.fresh)

    def _settled(self, move: _Move, name: Name, found: int) -> bool:
        """Whether nothing more is to be done about a name that both sides made; otherwise it is
        free."""
        ours, theirs = self._ours.inode(found), self._theirs.inode(move.ino)
        if ours is not None and theirs is not None and move.fresh and self._is_new(move.ino):
            both = is_directory(ours), is_directory(theirs)
            if all(both) and self._is_new(found):
                self.united[move.ino] = found
                return True
            if not any(both) and self._contents.same(found, move.ino):
                if move.target == move.ino:
                    self._let_be(move, found)
                return True
        self._findings.add_name(Kind.NAME, name, decidable=ours is not None)
        if self._theirs_count and ours is not None:
            self._evict(name, found)
            return False
        self._refuse(move)
        return True

    def _let_be(self, move: _Move, ino: int) -> None:
        """Take an inode of ours for one of theirs: its other names are that one's, too."""
        move.target = ino
        for name in list(self._known(move.ino)):
            self._set(name, ino)

    def _is_new(self, ino: int) -> bool:
        return self._base.inode(ino) is None

    # --- giving way ---------------------------------------------------------------------------

    def _refuse(self, move: _Move) -> None:
        """A name that theirs made is not made: what was there before stays where it was."""
        if not move.fresh:
            self._give_up(move)

    def _give_up(self, move: _Move) -> None:
        """Leave an inode of ours with the names that it has there."""
        todo = [move]
        while todo:
            move = todo.pop()
            if move.given_up:
                continue
            move.given_up = True
            self._removed.pop(move.ino, None)
            ours = self._ours.names(move.ino)
            for name in self._known(move.ino) - ours:
                self._set(name, 0)
            for name in ours:
                other = self.entry(name)
                if other == move.ino:
                    continue
                if other and other in self._moves and not self._moves[other].fresh:
                    todo.append(self._moves[other])
                self._set(name, move.ino)
                self._kept[name.directory] += 1

    def _evict(self, name: Name, ino: int) -> None:
        """Take a name that ours made away, with all below that theirs does not have: what it has
        goes where it has it."""
        todo = [(name, ino)]
        while todo:
            name, ino = todo.pop()
            if self.entry(name) != ino:
                continue
            self._set(name, 0)
            if self._theirs.inode(ino) is not None:
                back = self._theirs.names(ino) - self._known(ino)
                move = self._moves[ino] = _Move(ino, set(), back, fresh=False)
                self._make(move)
                continue
            inode = self._ours.inode(ino)
            if inode is not None and is_directory(inode):
                self._removed[ino] = None
                todo += self._ours.entries(ino)

    # --- the whole ----------------------------------------------------------------------------

    def _parent(self, directory: int) -> int:
        names = self.names.get(directory)
        if names is not None:
            return next(iter(names)).directory if names else 0
        inode = self._ours.inode(directory)
        return 0 if inode is None else inode.parent

    def _part_cycles(self) -> None:
        """Undo moves of directories into what is below them."""
        for move in list(self._moves.values()):
            if move.given_up or move.fresh or not move.make:
                continue
            seen: set[int] = set()
            at = move.ino
            while at and at not in seen:
                seen.add(at)
                at = self._parent(at)
            if at == move.ino:
                self._findings.add(Kind.CYCLE, move.ino, decidable=not self._theirs_count)
                self._give_up(move)

    def _left(self, directory: int) -> int:
        """How many entries a directory of ours has in the end."""
        inode = self._ours.inode(directory)
        return self._grown[directory] + (0 if inode is None else inode.size)

    def _clear_removed(self) -> None:
        """Directories that are to go must be empty, or stay."""
        for ino in list(self._removed):
            if ino in self._removed and self._left(ino) > self._kept[ino]:
                self._findings.add(Kind.FILLED_OURS, ino)
                if self._theirs_count:
                    for name, child in list(self._ours.entries(ino)):
                        self._evict(name, child)
        changed = True
        while changed:
            changed = False
            for ino in list(self._removed):
                at = ino
                while at in self._removed and self._left(at) > 0 and at in self._moves:
                    self._give_up(self._moves[at])
                    changed = True
                    at = self._parent(at)

    def _lose_loose_ends(self) -> bool:
        """Give up what is in a directory that was itself given up; whether there was anything."""
        changed = False
        for ino, names in list(self.names.items()):
            for name in [name for name in names if not self._is_there(name.directory)]:
                move = self._moves.get(ino)
                if move is not None and move.fresh:
                    self._set(name, 0)
                    changed = True
                elif move is not None and not move.given_up:
                    self._give_up(move)
                    changed = True
                else:  # no favor helps
                    self._findings.add_name(Kind.FILLED_THEIRS, name, decidable=False)
        return changed

    # --- the outcome --------------------------------------------------------------------------

    def is_lost(self, ino: int) -> bool:
        """Whether an inode has no name in the end; one that nothing happened to has."""
        names = self.names.get(ino)
        return names is not None and not names and ino != ROOT_INO

    def changes(self) -> Iterable[tuple[int, set[Name], set[Name]]]:
        """The inodes whose names change: those that they lose, and those that they get."""
        for ino, names in self.names.items():
            before = self._ours.names(ino)
            if names != before:
                yield ino, before - names, names - before
