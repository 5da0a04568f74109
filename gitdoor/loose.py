"""What a `.git` directory is made of: refs as text, objects as loose files, an index.

For doors that show such a directory: synchronous, on the main thread, with the store's own reader.
Commits have to have their names already (`exporting.named`); `unnamed` says which do not.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from gitdoor import entries
from gitdoor.content import inode_at
from gitdoor.graph import History, Missing, loose
from gitdoor.names import HEADS
from gitdoor.objects import object_id
from gitdoor.refs import Tip, first_branch, tips
from gitdoor.source import Large
from store.gitrows import TAG, TREE, GitEntry, GitRows
from store.store import Store
from store.types import Inode

_LEVEL = 1
_NS = 1_000_000_000
_INDEX_HEAD = struct.Struct(">4sII")
_INDEX_ENTRY = struct.Struct(">10I20sH")
# Directories of loose objects are named for the first byte of their ids.
FOLDERS = tuple(f"{number:02x}" for number in range(256))


class Ref(NamedTuple):
    """A ref of a branch's repository: full name and id; of a tag object what it leads to."""

    name: bytes
    id: bytes
    peeled: bytes


class Repository:
    """The repository of one branch, as it is now."""

    def __init__(self, store: Store, branch: str) -> None:
        self._store, self._branch = store, branch
        engine = store.engine
        self.history = History(engine, engine.objects, GitRows(engine))

    def _tips(self) -> list[Tip]:
        return tips(self._store, self._branch)

    def unnamed(self) -> list[bytes]:
        """The store's commits of refs that have no name in git yet."""
        return [t.commit for t in self._tips() if self.history.rows.commit(t.commit) is None]

    def refs(self) -> list[Ref]:
        """All refs, by name."""
        found = []
        for tip in self._tips():
            record = self.history.rows.commit(tip.commit)
            if record is not None:
                first = object_id(TAG, tip.tags[0]) if tip.tags else record.id
                found.append(Ref(tip.name, first, record.id))
        return found

    def head(self) -> bytes:
        """What HEAD holds."""
        return b"ref: " + first_branch(self._tips()) + b"\n"

    def packed_refs(self) -> bytes:
        """The file `packed-refs`."""
        lines = [b"# pack-refs with: peeled fully-peeled sorted \n"]
        for ref in self.refs():
            lines.append(b"%s %s\n" % (ref.id.hex().encode(), ref.name))
            if ref.peeled != ref.id:
                lines.append(b"^%s\n" % ref.peeled.hex().encode())
        return b"".join(lines)

    def object_names(self, folder: str) -> Iterator[str]:
        """The names of the files in `objects/FOLDER`: of all objects of the store, in no order."""
        for oid in self.history.rows.ids_from(bytes.fromhex(folder)):
            yield oid.hex()[2:]

    def object_pieces(self, git_id: bytes) -> Iterator[bytes]:
        """A loose object's file, in pieces. Raises Missing."""
        kind, data = self.history.read(git_id)
        if not isinstance(data, Large):
            yield zlib.compress(loose(kind, data), _LEVEL)
            return
        packer = zlib.compressobj(_LEVEL)
        yield packer.compress(loose(kind, b"").replace(b" 0\0", b" %d\0" % data.size))
        for piece in data.pieces:
            yield packer.compress(piece)
        yield packer.flush()

    def index(self) -> bytes:
        """The file `index` that matches the newest commit (gitformat-index(5)).

        A file that is in the branch what it was in the commit has its attributes, so that `git
        status` does not read it; all others have none, and are compared.
        """
        name = next((ref.id for ref in self.refs() if ref.name.startswith(HEADS)), None)
        node = None if name is None else self.history.node(name)
        if node is None:
            raise Missing("there is no commit")
        tree, record, nodes = self._store.tree(self._branch), node.record, self.history.nodes
        found: list[tuple[bytes, GitEntry]] = []
        todo = [(b"", node.top.ino)]
        while todo:
            path, ino = todo.pop()
            for item in entries.listing(nodes, record.entries, ino):
                below = path + entries.plain_name(item)
                if item[1].kind == TREE:
                    todo.append((below + b"/", item[1].ino))
                else:
                    found.append((below, item[1]))
        parts = [_INDEX_HEAD.pack(b"DIRC", 2, len(found))]
        for path, entry in sorted(found):
            live = tree.find(entry.ino)
            same = live is not None and live == inode_at(nodes, record.root, entry.ino)
            parts.append(_index_entry(path, entry, live if same else None))
        data = b"".join(parts)
        return data + hashlib.sha1(data, usedforsecurity=False).digest()


def _index_entry(path: bytes, entry: GitEntry, inode: Inode | None) -> bytes:
    stat = (0,) * 6
    owner = (0,) * 3
    if inode is not None:
        stat = (*divmod(inode.ctime_ns, _NS), *divmod(inode.mtime_ns, _NS), 0, inode.ino)
        owner = inode.uid, inode.gid, inode.size
    low = [number & 0xFFFFFFFF for number in (*stat, entry.mode, *owner)]
    data = _INDEX_ENTRY.pack(*low, entry.id, min(len(path), 0xFFF)) + path
    return data + bytes(8 - len(data) % 8)
