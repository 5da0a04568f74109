"""What a kernel is to be told when a branch was put back: every name and inode that it may know.

Made in steps, so that others have their turn in between; what the kernel is asked meanwhile it is
answered by the new state anyhow.
"""

from __future__ import annotations

import logging
import stat
from collections.abc import Iterator

from fuse.nodes import Nodes
from fuse.notices import Notices
from store.errors import StoreError
from store.tree import Tree
from store.treebase import TreeBase
from store.types import COOKIE_DOT_DOT, ROOT
from store.watch import TO_END

log = logging.getLogger(__name__)

# Nodes looked at, and names of a directory, before others have their turn.
_STEP_NODES = 64
_STEP_NAMES = 1000


def sweep(nodes: Nodes, notices: Notices, old: TreeBase, tree: Tree) -> Iterator[None]:
    """Puts all of it into the notices; `old` is what the tree stood on before."""
    for count, ino in enumerate(nodes.known_inodes()):
        if count % _STEP_NODES == _STEP_NODES - 1:
            yield
        if node := nodes.known(ino):
            notices.put_data(node, 0, TO_END)
        for directory, name in _names(old, ino):
            if node := nodes.known(directory):
                notices.put_entry(node, name)
        # Names that were not there may be known not to be.
        now = tree.find(ino)
        if now is not None and stat.S_ISDIR(now.mode):
            yield from _new_names(nodes, notices, tree, ino)


def _new_names(nodes: Nodes, notices: Notices, tree: Tree, ino: int) -> Iterator[None]:
    cookie, eof = COOKIE_DOT_DOT, False
    while not eof and (node := nodes.known(ino)):
        try:
            entries, eof = tree.readdir(ROOT, ino, cookie, _STEP_NAMES)
        except StoreError as error:
            log.error("the names in directory %d after a rollback: %s", ino, error)
            return
        for entry in entries:
            notices.put_entry(node, entry.name)
            cookie = entry.cookie
        yield


def _names(tree: TreeBase, ino: int) -> list[tuple[int, bytes]]:
    """The names of an inode, with their directories; none where they cannot be read any more."""
    try:
        inode = tree.find(ino)
        found = [] if inode is None else tree.names_of(inode)
        named = [(directory, tree.name_at(directory, slot)) for directory, slot in found]
    except StoreError as error:
        log.error("the names of inode %d before a rollback: %s", ino, error)
        return []
    return [(directory, name) for directory, name in named if name is not None]
