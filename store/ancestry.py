"""The common ancestors of two commits, as git's `merge-base --all` defines them.

It looks at parents alone, never at times: clocks are no proof of what came first. The cost is one
look at each commit of both histories.
"""

from __future__ import annotations

from collections.abc import Callable

from store.records import Commit

Look = Callable[[bytes], Commit]
Parents = dict[bytes, tuple[bytes, ...]]


def history(look: Look, tip: bytes) -> Parents:
    """A commit and all that it descends from, each with its parents."""
    found: Parents = {}
    todo = [tip]
    while todo:
        oid = todo.pop()
        if oid not in found:
            found[oid] = look(oid).parents
            todo += found[oid]
    return found


def best_common(look: Look, one: bytes, other: bytes) -> list[bytes]:
    """The common ancestors from which no other common ancestor descends, the newest first.

    Either commit may be one itself. There are several where histories cross, and none where they
    have nothing in common.
    """
    here, there = history(look, one), history(look, other)
    common = here.keys() & there.keys()
    # All that a common ancestor descends from is common: one that is nobody's parent is a best.
    above = {parent for oid in common for parent in here[oid]}
    return sorted(common - above, key=lambda oid: (look(oid).committer.time_ns, oid), reverse=True)
