"""Inodes as they were last shown: attributes and handle, packed.

Packing an inode's seventeen numbers and signing its handle is most of what a LOOKUP costs, and
nearly all of an entry of READDIRPLUS. An inode is immutable, and its tree hands out the same
object until it changes: so what was packed for it holds exactly as long as it is that object.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from nfs.attributes import post_op
from nfs.handle import Handles
from store.cache import Budget, GenerationCache
from store.disposal import Disposal
from store.types import Inode

# Inodes of all volumes together, some 400 bytes each; at most twice as many are held.
_INODES_MAX = 100_000
_VOLUMES_MAX = 4096


class Shown(NamedTuple):
    """An inode's post_op_attr and handle."""

    inode: Inode
    attributes: bytes
    handle: bytes


class ShownInodes:
    """What was shown of one volume."""

    __slots__ = ("_fsid", "_handles", "_known", "_prefix")

    def __init__(self, handles: Handles, prefix: bytes, fsid: int, budget: Budget) -> None:
        self._handles, self._prefix, self._fsid = handles, prefix, fsid
        self._known: GenerationCache[int, Shown] = GenerationCache(budget)

    def of(self, inode: Inode) -> Shown:
        """An inode's attributes and handle."""
        ino = inode[0]
        known = self._known.get(ino)
        if known is None or known[0] is not inode:
            handle = self._handles.make(self._prefix, ino) if known is None else known[2]
            known = Shown(inode, post_op(inode, self._fsid), handle)
            self._known.put(ino, known)
        return known


class ShownVolumes:
    """What was shown of each volume that was used lately."""

    def __init__(self, handles: Handles) -> None:
        self._handles = handles
        self._budget = Budget(_INODES_MAX, Disposal())
        self._volumes: OrderedDict[bytes, ShownInodes] = OrderedDict()

    def of(self, prefix: bytes, fsid: int) -> ShownInodes:
        """What was shown of the volume whose handles have the prefix."""
        found = self._volumes.get(prefix)
        if found is None:
            found = ShownInodes(self._handles, prefix, fsid, self._budget)
            self._volumes[prefix] = found
            if len(self._volumes) > _VOLUMES_MAX:
                self._volumes.popitem(last=False)
        self._volumes.move_to_end(prefix)
        return found
