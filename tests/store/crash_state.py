"""All that can be seen of a store, and of a plain world, as values that compare equal.

`matching` finds out at which step of a history a store stands after a crash.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from typing import Any

from store.store import Store
from store.tree import Tree
from store.types import ROOT
from tests.store.crash_steps import Op, apply
from tests.store.model import Model
from tests.store.model_nodes import Node
from tests.store.model_steps import list_all, plain
from tests.store.model_world import World

State = dict[str, Any]


def state_of(store: Store) -> State:
    """Every branch and snapshot of a store with all that is reached from its root."""
    found: State = {}
    for info in store.branches():
        tree = store.tree(info.name)
        found[info.name] = (info.id, info.head, info.quota, _of_tree(tree))
        for saved in store.snapshots(info.name):
            ref = f"{info.name}@{saved.name}"
            view = store.view(ref)
            found[ref] = (saved.id, saved.parent, _of_tree(view))
            store.close_view(view)
    return found


def _of_tree(tree: Tree) -> tuple[Any, ...]:
    nodes: dict[int, Any] = {}
    todo = [tree.root]
    while todo:
        ino = todo.pop()
        if ino in nodes:
            continue
        inode = tree.getattr(ino)
        content: Any = None
        if stat.S_ISDIR(inode.mode):
            entries = list_all(tree, ino)[2:]
            content = {entry.name: entry.ino for entry in entries}
            todo += content.values()
        elif stat.S_ISREG(inode.mode):
            content = bytes(tree.read(ROOT, ino, 0, inode.size).data)
        elif stat.S_ISLNK(inode.mode):
            content = tree.readlink(ROOT, ino)
        xattrs = {name: tree.getxattr(ROOT, ino, name) for name in tree.listxattr(ROOT, ino)}
        nodes[ino] = plain(inode), content, xattrs
    return tree.root, tree.usage(), nodes


class Worlds:
    """Makes states of worlds; snapshots never change, so each is looked at only once."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[Model, Any]] = {}

    def state_of(self, world: World, *, held: bool = False) -> State:
        """The state in which a restart finds a world, or with `held` the one that it is in."""
        found: State = {}
        for name, branch in (world if held else world.restarted()).branches.items():
            found[name] = (branch.id, branch.head, branch.tree.quota, _of_model(branch.tree))
            for key, saved in branch.snapshots.items():
                ref = f"{name}@{key}"
                found[ref] = (saved.id, saved.parent, self._saved(saved.tree))
        return found

    def _saved(self, model: Model) -> Any:
        if id(model) not in self._seen:
            self._seen[id(model)] = model, _of_model(model)
        return self._seen[id(model)][1]


def _of_model(model: Model) -> tuple[Any, ...]:
    nodes = {
        node.ino: (model.attr(node), _content(model, node), node.xattrs)
        for _, _, node in model.walk()
    }
    return model.root, model.usage(), nodes


def _content(model: Model, node: Node) -> Any:
    if node.is_dir:
        return node.entries
    if stat.S_ISREG(node.mode):
        return model.content(node, 0, node.size)
    return node.target if stat.S_ISLNK(node.mode) else None


def matching(store: Store, world: World, history: Sequence[Op], durable: int) -> World:
    """The world at which a store stands: `world` and at least `durable` steps of the history.

    AssertionError where it is none of them; `world` itself moves on.
    """
    found, worlds = state_of(store), Worlds()
    for op in history[:durable]:
        apply(world, op)
    differing: list[tuple[int, str]] = []
    for count in range(durable, len(history) + 1):
        expected = worlds.state_of(world)
        if found == expected:
            return world.restarted()
        differing.append((count, _differing(found, expected)))
        if count < len(history):
            apply(world, history[count])
    count, least = min(differing, key=lambda item: len(item[1]))
    raise AssertionError(
        f"no state from step {durable} to step {len(history)}; nearest is {count}:\n{least}"
    )


def _differing(found: State, expected: State) -> str:
    """Where the store differs from a world, line by line."""
    lines = [f"{ref} is there" for ref in sorted(found.keys() - expected.keys())]
    lines += [f"{ref} is missing" for ref in sorted(expected.keys() - found.keys())]
    for ref in sorted(found.keys() & expected.keys()):
        *ours, (root, usage, nodes) = found[ref]
        *theirs, (their_root, their_usage, their_nodes) = expected[ref]
        if (*ours, root, usage) != (*theirs, their_root, their_usage):
            lines.append(f"{ref}: {ours, root, usage}, not {theirs, their_root, their_usage}")
        for ino in sorted(nodes.keys() | their_nodes.keys()):
            if nodes.get(ino) != their_nodes.get(ino):
                told = [f"{node}"[:400] for node in (nodes.get(ino), their_nodes.get(ino))]
                lines.append(f"{ref}: inode {ino}: {told[0]}, not {told[1]}")
    return "\n".join(lines)
