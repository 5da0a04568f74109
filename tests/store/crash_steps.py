"""Steps on a whole store: as values that can be told to a plain `World` as well."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NamedTuple

from store.store import Options
from store.types import Quota
from tests.store.model import Model
from tests.store.model_jobs import Clock
from tests.store.model_world import Branch, Saved, World

BLOCK_BYTES = 8192
# Small enough that checkpoints, journal segments and packs turn over all the time.
LIMITS: dict[str, int] = {
    "dirty_bytes_max": 400_000,
    "journal_bytes_max": 150_000,
    "node_cache_bytes": 100_000,
    "inode_cache_entries": 50,
}


class Fill(NamedTuple):
    """File data: `length` bytes that `seed` stands for."""

    length: int
    seed: int

    def data(self) -> bytes:
        return random.Random(self.seed).randbytes(self.length)


class Op(NamedTuple):
    """One step: a call of a tree (with its branch) or of the store, and what came of it that the
    model cannot know: times, numbers, names."""

    name: str
    branch: str
    operands: tuple[Any, ...]
    facts: tuple[Any, ...] = ()


# The store was closed and opened again: nothing is held any more.
RESTART = Op("restart", "", ())


def options(clock_ns: int) -> Options:
    """Limits as small as they go, and a clock that starts at a time."""
    clock = Ticking()
    clock.now = clock_ns
    return Options(clock=clock, **LIMITS)


class Ticking(Clock):
    """A clock that moves by a microsecond whenever it is read."""

    def __call__(self) -> int:
        self.now += 1000
        return self.now


# --- telling a step to the world ------------------------------------------------------------------


def apply(world: World, op: Op) -> None:
    """Do a step on the plain world alone."""
    if op == RESTART:
        for branch in world.branches.values():
            branch.tree = branch.tree.restarted()
        return
    if op.name in _APPLY:
        _APPLY[op.name](world, op)
        return
    model = world.branches[op.branch].tree
    model.begin(*op.facts)
    getattr(model, op.name)(*(x.data() if isinstance(x, Fill) else x for x in op.operands))


def _create_branch(world: World, op: Op) -> None:
    number, root = op.facts
    model = Model(BLOCK_BYTES)
    model.adopt_root(root)
    world.branches[op.branch] = Branch(number, model)


def _delete_branch(world: World, op: Op) -> None:
    for saved in world.branches[op.branch].snapshots.values():
        world.forget(saved)
    del world.branches[op.branch]


def _rename_branch(world: World, op: Op) -> None:
    world.branches[op.operands[0]] = world.branches.pop(op.branch)


def _snapshot(world: World, op: Op) -> None:
    for name, number in zip(op.operands[0], op.facts, strict=True):
        _save(world.branches[name], op.operands[1], number)


def _save(branch: Branch, name: str, number: int) -> None:
    branch.snapshots[name] = Saved(number, branch.tree.copy(), branch.head)
    branch.head = number


def _delete_snapshot(world: World, op: Op) -> None:
    world.forget(world.branches[op.branch].snapshots.pop(op.operands[0]))


def _rollback(world: World, op: Op) -> None:
    branch = world.branches[op.branch]
    target = branch.snapshots[op.operands[0]]
    _save(branch, *op.facts)
    now = branch.tree
    branch.head, branch.tree = target.id, target.tree.copy()
    branch.tree.last, branch.tree.holds, branch.tree.quota = now.last, now.holds, now.quota
    branch.tree.reap_all()


def _fork(world: World, op: Op) -> None:
    source, snapshot, directory = op.operands
    branch = world.branches[source]
    tree, head = branch.tree, branch.head
    if snapshot:
        tree, head = branch.snapshots[snapshot].tree, branch.snapshots[snapshot].id
    tree = tree.copy()
    tree.root = directory or tree.root
    tree = tree.restarted()
    tree.quota = Quota()
    world.branches[op.branch] = Branch(op.facts[0], tree, head)


def _set_quota(world: World, op: Op) -> None:
    world.branches[op.branch].tree.quota = op.operands[0]


_APPLY: dict[str, Callable[[World, Op], None]] = {
    "create_branch": _create_branch,
    "delete_branch": _delete_branch,
    "rename_branch": _rename_branch,
    "snapshot": _snapshot,
    "delete_snapshot": _delete_snapshot,
    "rollback": _rollback,
    "fork": _fork,
    "set_quota": _set_quota,
}
