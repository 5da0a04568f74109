"""The part of `checking` that finds out which files a damaged object hits.

A file is named for the first point that is seen to have it: points after that are looked at only
where they differ. The names of what a damaged node took come from the directories that are left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from store import keys, records
from store.check_view import Group
from store.errors import StoreError
from store.tree import Tree
from store.types import Problem

# Paths named for one damaged object; the rest is counted.
_PATHS_MAX = 4
_DATA_KINDS = frozenset((keys.SYMLINK, keys.XATTR))

INO_LAST = (1 << 64) - 1

Lost = tuple[bytes, int, int]  # a damaged node, first and last inode number that it may have held


class Hits:
    """Damaged objects and what they hit."""

    def __init__(self, objects: Mapping[bytes, Problem]) -> None:
        """`objects`: the damaged ones, which may still become more."""
        self._objects = objects
        self._paths: dict[bytes, dict[str, None]] = {}
        self._ranges: dict[bytes, dict[str, None]] = {}

    def note(self, label: str, tree: Tree, group: Group) -> None:
        """Note which damaged chunks an inode refers to."""
        if not self._objects:
            return
        values = [value for kind, _, value, _ in group.rows if kind in _DATA_KINDS]
        values += [value for _, value in group.blocks if value is not None]
        for oid in {value[1:] for value in values if value[:1] == b"\1"}:
            if oid in self._objects:
                self._add(oid, f"{label}:{path_text(tree, group.ino)}")

    def lost(self, label: str, lost: Sequence[Lost]) -> None:
        """Note the damaged nodes of a point's map."""
        for oid, first, last in lost:
            what = f"inodes {first} to {last}" if first or last != INO_LAST else "all"
            self._ranges.setdefault(oid, {})[f"{what} of {label}"] = None

    def explain(self, label: str, tree: Tree, group: Group, lost: Sequence[Lost]) -> None:
        """Note an inode of a map that lost nodes: what it lost itself, and what it leads to."""
        self.note(label, tree, group)
        for oid, first, last in lost:
            if first <= group.ino <= last and group.record is not None:
                self._add(oid, f"{label}:{path_text(tree, group.ino)}")
        for kind, _, value, _ in group.rows:
            if kind != keys.DIRENT or len(value) <= 9:
                continue
            entry = records.decode_dirent(value)
            for oid, first, last in lost:
                if first <= entry.ino <= last:
                    above = path_text(tree, group.ino).rstrip("/")
                    self._add(oid, f"{label}:{above}/{_text(entry.name)}")

    def _add(self, oid: bytes, path: str) -> None:
        self._paths.setdefault(oid, {})[path] = None

    def of(self, oid: bytes) -> str:
        """What an object hits, in words."""
        found = [
            text
            for texts in (self._ranges.get(oid), self._paths.get(oid))
            if texts
            for text in _few(list(texts))
        ]
        if not found:
            return "no file of a branch or snapshot is known to need it"
        return f"hits {', '.join(found)}"


def _few(texts: list[str]) -> list[str]:
    more = len(texts) - _PATHS_MAX
    return [*texts[:_PATHS_MAX], f"{more} more"] if more > 0 else texts


def path_text(tree: Tree, ino: int) -> str:
    """The path of an inode as text; its number where none can be found."""
    names: list[bytes] = []
    seen = {ino}
    at = ino
    try:
        while at != tree.root:
            places = tree.names_of(tree.getattr(at))
            name = tree.name_at(*places[0]) if places else None
            if name is None or places[0][0] in seen:
                return f"inode {ino}"
            names.append(name)
            at = places[0][0]
            seen.add(at)
    except StoreError:
        return f"inode {ino}"
    return "/" + "/".join(_text(name) for name in reversed(names))


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
