"""What keeps two histories from being merged: values that a merge answers with.

`ours` is the branch that changes, `theirs` what is merged into it.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from store.threeway import ROOT_INO, Name, Side


class Favor(enum.Enum):
    """Whose word counts where both sides changed something."""

    OURS = "ours"
    THEIRS = "theirs"


class Kind(enum.Enum):
    """What is wrong, in words for a person; names are for programs, and stay."""

    DATA = "its data was changed on both sides"
    MODE = "its permissions were changed on both sides"
    OWNER = "its owner or group was changed on both sides"
    XATTR = "an extended attribute of it was changed on both sides"
    REMOVED_OURS = "removed here, changed there"
    REMOVED_THEIRS = "changed here, removed there"
    RENAMED = "renamed, or a name of it removed, on both sides"
    NAME = "the name was made on both sides"
    FILLED_OURS = "the directory was removed there, and something was put into it here"
    FILLED_THEIRS = "the directory was removed here, and something was put into it there"
    CYCLE = "directories would be within each other"
    ROOT = "the branch's root directory was removed there"


# Those about what is in an inode, whatever leads to it.
CONTENT = frozenset((Kind.DATA, Kind.MODE, Kind.OWNER, Kind.XATTR))


class Conflict(NamedTuple):
    """One conflict. `decidable`: favoring a side settles it, and has been done where that was
    asked for. `ino` 0: it is about a name."""

    kind: Kind
    path: bytes
    decidable: bool
    ino: int


class Findings:
    """The conflicts of one merge, found one by one; no two say the same."""

    def __init__(self, sides: tuple[Side, Side, Side], root_ino: int) -> None:
        """`sides` in the order in which they are asked where something is."""
        self._sides, self._root_ino = sides, root_ino
        self._found: dict[tuple[Kind, bytes], Conflict] = {}

    def add(self, kind: Kind, ino: int, decidable: bool = True) -> None:
        """Something is wrong with an inode."""
        self._add(kind, self._path(ino), decidable, ino)

    def add_name(self, kind: Kind, name: Name, decidable: bool = True) -> None:
        """Something is wrong with a name."""
        above = self._path(name.directory)
        self._add(kind, above.rstrip(b"/") + b"/" + name.name, decidable, 0)

    def _add(self, kind: Kind, path: bytes, decidable: bool, ino: int) -> None:
        self._found.setdefault((kind, path), Conflict(kind, path, decidable, ino))

    def _path(self, ino: int) -> bytes:
        # What a branch of a sub-directory shares with others may lie outside of it.
        for root_ino in dict.fromkeys((self._root_ino, ROOT_INO)):
            for side in self._sides:
                path = side.path(ino, root_ino)
                if path is not None:
                    return path
        return b"inode %d" % ino

    def all(self) -> list[Conflict]:
        """All of them, by path."""
        return sorted(self._found.values(), key=lambda one: (one.path, one.kind.name))
