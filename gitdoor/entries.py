"""A commit's map of entries (`store.gitrows`): trees, and the way to a path, out of it."""

from __future__ import annotations

from collections.abc import Iterator

from gitdoor.objects import DIRECTORY, EMPTY_TREE, tree_bytes
from store import keys, prolly
from store.gitrows import ROOT_KEY, TREE, GitCommit, GitEntry
from store.node import NodeSource

Listed = tuple[bytes, GitEntry]
"""A name as git sorts it, and the entry."""


def key_of(directory: int, sorted_name: bytes) -> bytes:
    """The key of an entry."""
    return keys.prefix(directory, keys.GIT_ENTRY) + sorted_name


def listing(nodes: NodeSource, entries: bytes, directory: int) -> list[Listed]:
    """The entries of a directory, in git's order."""
    start = keys.prefix(directory, keys.GIT_ENTRY)
    found = prolly.items(nodes, entries, start, keys.after(start))
    return [(key[keys.PREFIX_BYTES :], GitEntry.decode(value)) for key, value in found]


def plain_name(listed: Listed) -> bytes:
    """An entry's name."""
    name, entry = listed
    return name[:-1] if entry.mode == DIRECTORY else name


def tree_of(found: list[Listed]) -> bytes:
    """The tree object of a directory's entries."""
    return tree_bytes((plain_name(item), item[1].mode, item[1].id) for item in found)


def root_entry(nodes: NodeSource, entries: bytes) -> GitEntry:
    """The entry of the whole map's root directory."""
    value = prolly.get(nodes, entries, ROOT_KEY)
    return GitEntry(DIRECTORY, EMPTY_TREE, 1) if value is None else GitEntry.decode(value)


def subtree(nodes: NodeSource, record: GitCommit, path: list[bytes]) -> GitEntry | None:
    """The directory at a path of a commit, None where git sees no directory there."""
    found = GitEntry(DIRECTORY, record.tree, record.root_ino)
    for name in path:
        value = prolly.get(nodes, record.entries, key_of(found.ino, name + b"/"))
        if value is None:
            return None
        found = GitEntry.decode(value)
    return found


def walk(
    nodes: NodeSource, entries: bytes, top: GitEntry, seen: set[bytes]
) -> Iterator[tuple[GitEntry, bytes]]:
    """Every entry below a directory, itself first, with its path; trees in `seen` are passed over.

    What is yielded is added to `seen`.
    """
    todo = [(top, b"")]
    while todo:
        entry, path = todo.pop()
        if entry.id in seen or not entry.kind:
            continue
        seen.add(entry.id)
        yield entry, path
        if entry.kind == TREE:
            below = listing(nodes, entries, entry.ino)
            todo += [
                (item[1], path + b"/" + plain_name(item) if path else plain_name(item))
                for item in reversed(below)
            ]
