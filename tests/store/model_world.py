"""A plain model of the store as a whole: branches and snapshots as deep copies of trees.

A crash leaves the copy of the world that was taken when the last successful flush began; a diff is
the comparison of two copies, inode by inode.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from store.types import DiffKind
from tests.store.model import Model
from tests.store.model_nodes import Node, Nodes, Place


@dataclass(frozen=True)
class Saved:
    """A snapshot; `tree` never changes, so copies of the world share it."""

    id: int
    tree: Model
    parent: int


@dataclass
class Branch:
    """A branch; `head` is the id of the newest snapshot below what is live."""

    id: int
    tree: Model
    head: int = 0
    snapshots: dict[str, Saved] = field(default_factory=dict)


class World:
    """Every branch by name, the number of every inode that ever was, and an age in steps."""

    def __init__(self) -> None:
        self.branches: dict[str, Branch] = {}
        self.numbers: set[int] = set()
        self.age = 0
        self.merges = 0

    def copy(self) -> World:
        twin = World()
        twin.numbers, twin.age, twin.merges = set(self.numbers), self.age, self.merges
        for name, branch in self.branches.items():
            saved = dict(branch.snapshots)
            twin.branches[name] = Branch(branch.id, branch.tree.copy(), branch.head, saved)
        return twin

    def restarted(self) -> World:
        """This world as a restart finds it: nothing is held open."""
        twin = self.copy()
        for branch in twin.branches.values():
            branch.tree = branch.tree.restarted()
        return twin

    def has_snapshots(self) -> bool:
        return any(branch.snapshots for branch in self.branches.values())

    def forget(self, gone: Saved) -> None:
        """What stood on a snapshot that is deleted stands on its parent."""
        for branch in self.branches.values():
            if branch.head == gone.id:
                branch.head = gone.parent
            for name, saved in branch.snapshots.items():
                if saved.parent == gone.id:
                    branch.snapshots[name] = replace(saved, parent=gone.parent)

    def story(self, head: int) -> list[int]:
        """Ids of the snapshots that lead up to one, newest first."""
        parents = {s.id: s.parent for b in self.branches.values() for s in b.snapshots.values()}
        found = []
        while head:
            found.append(head)
            head = parents[head]
        return found

    def points(self) -> list[tuple[str, Model, int]]:
        """Every branch and every snapshot: ref, tree, and newest snapshot."""
        found = []
        for name, branch in self.branches.items():
            found.append((name, branch.tree, branch.head))
            found += [(f"{name}@{k}", s.tree, s.id) for k, s in branch.snapshots.items()]
        return found


class Found(NamedTuple):
    """One difference, without the inodes that go with it."""

    kind: DiffKind
    path: bytes
    old_path: bytes | None
    old: int | None
    new: int | None


def differences(old: Nodes, new: Nodes) -> list[Found]:
    """What turns `old` into `new`, sorted by path; both have the same root.

    An inode is renamed where one of its names went and one came; a name is a place in a directory,
    whatever that directory is called, so what lies below a renamed one did not move.
    """
    old_paths, new_paths = paths_by_ino(old), paths_by_ino(new)
    found: list[Found] = []
    for ino in old_paths.keys() | new_paths.keys():
        before, after = old_paths.get(ino, {}), new_paths.get(ino, {})
        went = [before[place] for place in before.keys() - after.keys()]
        came = [after[place] for place in after.keys() - before.keys()]
        if before and after and len(went) == len(came) == 1:
            found.append(Found(DiffKind.RENAMED, came[0], went[0], ino, ino))
        else:
            found += [Found(DiffKind.REMOVED, path, path, ino, None) for path in went]
            found += [Found(DiffKind.ADDED, path, None, None, ino) for path in came]
        same = before.keys() & after.keys()
        if same and looks(old.nodes[ino]) != looks(new.nodes[ino]):
            found += [Found(DiffKind.MODIFIED, after[p], before[p], ino, ino) for p in same]
    return sorted(found, key=sort_key)


def paths_by_ino(tree: Nodes) -> dict[int, dict[Place, bytes]]:
    found: dict[int, dict[Place, bytes]] = {}
    for path, place, node in tree.walk():
        found.setdefault(node.ino, {})[place] = path
    return found


def looks(node: Node) -> tuple[object, ...]:
    """All that a diff compares: data, attributes other than times, extended attributes."""
    data = {n: block for n, block in node.blocks.items() if any(block)}
    links = 0 if node.is_dir else len(node.names)
    return node.mode, node.uid, node.gid, links, node.rdev, node.size, data, node.xattrs


def sort_key(found: Found) -> tuple[bytes, str, bytes]:
    return found.path, found.kind.value, found.old_path or b""
