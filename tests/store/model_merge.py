"""What a merge is, said once more in the simplest way: whole trees as plain dicts, and sets.

It walks everything, knows no maps, layers or slots, and does not say where a conflict is, only
that there is one.
"""

from __future__ import annotations

import stat
from typing import Any, NamedTuple

from store.tree import Tree
from store.types import ROOT
from tests.store.model_steps import list_all

Link = tuple[int, bytes]  # directory, name
ROOT_INO = 1


class Clashes(Exception):
    """The two do not merge."""


class Plain(NamedTuple):
    """A tree: what is in each inode, by field, and what leads to it."""

    fields: dict[int, dict[str, Any]]
    links: dict[int, frozenset[Link]]


def plain(tree: Tree) -> Plain:
    """All of a tree."""
    fields: dict[int, dict[str, Any]] = {}
    links: dict[int, set[Link]] = {ROOT_INO: set()}
    todo = [ROOT_INO]
    while todo:
        ino = todo.pop()
        if ino in fields:
            continue
        inode = tree.getattr(ino)
        found = fields[ino] = {
            "type": stat.S_IFMT(inode.mode),
            "mode": inode.mode,
            "uid": inode.uid,
            "gid": inode.gid,
        }
        for name, value in tree.xattrs_of(ino).items():
            found[name.decode()] = value
        if stat.S_ISREG(inode.mode):
            content = bytes(tree.read(ROOT, ino, 0, inode.size).data)
            found["data"] = content, tuple(tree.allocated_blocks(ino, 0))
        elif stat.S_ISLNK(inode.mode):
            found["target"] = tree.readlink(ROOT, ino)
        elif stat.S_ISDIR(inode.mode):
            for entry in list_all(tree, ino)[2:]:
                links.setdefault(entry.ino, set()).add((ino, entry.name))
                todo.append(entry.ino)
    return Plain(fields, {ino: frozenset(found) for ino, found in links.items()})


def is_dir(fields: dict[str, Any]) -> bool:
    return bool(fields["type"] == stat.S_IFDIR)


def merged(base: Plain, ours: Plain, theirs: Plain) -> Plain:
    """The merge of two trees. Raises Clashes."""
    fields: dict[int, dict[str, Any]] = {}
    links: dict[int, set[Link]] = {}
    for ino in sorted(ours.fields.keys() | theirs.fields.keys()):
        here, there = ino in ours.fields, ino in theirs.fields
        if here and there:
            was = base.fields.get(ino, {})
            fields[ino] = _fields(was, ours.fields[ino], theirs.fields[ino])
            links[ino] = _links(
                base.links.get(ino, frozenset()), ours.links[ino], theirs.links[ino]
            )
            continue
        side = ours if here else theirs
        if ino not in base.fields:
            fields[ino], links[ino] = dict(side.fields[ino]), set(side.links[ino])
        elif side.fields[ino] != base.fields[ino] or side.links[ino] - base.links[ino]:
            raise Clashes
    made = {ino for ino in fields if ino not in base.fields}
    _unite(fields, links, made)
    _verify(fields, links)
    return Plain(fields, {ino: frozenset(found) for ino, found in links.items()})


def _fields(was: dict[str, Any], ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for key in was.keys() | ours.keys() | theirs.keys():
        before, here, there = was.get(key), ours.get(key), theirs.get(key)
        if here != there and before not in (here, there):
            raise Clashes
        value = there if here == before else here
        if value is not None:
            found[key] = value
    return found


def _links(was: frozenset[Link], ours: frozenset[Link], theirs: frozenset[Link]) -> set[Link]:
    if (was - ours) & (was - theirs) and ours - was != theirs - was:
        raise Clashes
    found = set(ours - (was - theirs) | (theirs - was))
    if not found and ours:
        raise Clashes  # either side has left it a name
    return found


def _unite(fields: dict[int, dict[str, Any]], links: dict[int, set[Link]], made: set[int]) -> None:
    """Let what both sides made under one name be one."""
    while True:
        at: dict[Link, int] = {}
        for ino in sorted(fields):
            for link in links[ino]:
                if link in at:
                    break
                at[link] = ino
            else:
                continue
            _one(fields, links, made, at[link], ino)
            break
        else:
            return


def _one(
    fields: dict[int, dict[str, Any]], links: dict[int, set[Link]], made: set[int], a: int, b: int
) -> None:
    if not {a, b} <= made:
        raise Clashes
    if is_dir(fields[a]) and is_dir(fields[b]):
        for key in fields[a].keys() & fields[b].keys():
            if fields[a][key] != fields[b][key]:
                raise Clashes
        fields[a].update(fields[b])
        for ino, found in links.items():
            links[ino] = {(a if directory == b else directory, name) for directory, name in found}
    elif fields[a] != fields[b]:
        raise Clashes
    links[a] |= links.pop(b)
    del fields[b]


def _verify(fields: dict[int, dict[str, Any]], links: dict[int, set[Link]]) -> None:
    for ino, found in fields.items():
        for directory, _ in links[ino]:
            if directory not in fields:
                raise Clashes
        if is_dir(found) and len(links[ino]) != (ino != ROOT_INO):
            raise Clashes
        above, seen = ino, set[int]()
        while above != ROOT_INO:
            if above in seen:
                raise Clashes
            seen.add(above)
            above = min(links[above])[0]


def same_shape(one: Plain, other: Plain) -> bool:
    """Whether two trees are alike, whatever numbers what was made on both sides has."""
    return _by_path(one) == _by_path(other)


def _by_path(tree: Plain) -> dict[bytes, tuple[dict[str, Any], frozenset[bytes]]]:
    def paths(ino: int) -> frozenset[bytes]:
        if ino == ROOT_INO:
            return frozenset((b"",))
        return frozenset(
            path + b"/" + name for above, name in tree.links[ino] for path in paths(above)
        )

    return {path: (tree.fields[ino], paths(ino)) for ino in tree.fields for path in paths(ino)}
