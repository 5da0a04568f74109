"""`.git`: a virtual directory whose files are made from the store as they are asked for.

Files that git replaces, HEAD and the index say, are other inodes here whenever their contents are
others, as they are where git writes them: so what a kernel keeps of one never misleads, and who
has an old one open goes on reading it. Numbers say what is meant, so that a handle lasts:

    2**62 | what it is, 2 bits | 60 bits: of an object's id, of a directory's path hashed, or of a
                                 file's path and content hashed

Two objects whose ids begin with the same 60 bits would be one file, and git would say of one of
them that it is damaged: chance does not make such objects.
"""

from __future__ import annotations

import hashlib
import stat
from collections import OrderedDict
from collections.abc import Callable, Iterable

from gitdoor.checkout import Checkout, File, State
from gitdoor.names import joined
from gitdoor.shelf import Held, Loose, Shelf
from store import access
from store.errors import BadCookie, InvalidArgument, IsDirectory, NotDirectory, NotFound, Stale
from store.keys import first_slot
from store.types import (
    COOKIE_DOT,
    COOKIE_DOT_DOT,
    R_OK,
    Caller,
    Data,
    DirEntry,
    Inode,
    Listing,
    StatFs,
)
from store.virtual import Read, VirtualTree

NAME = b".git"
_BASE = 1 << 62
_BITS = 60
OBJECT, DIRECTORY, FILE, SCRATCH = (_BASE | kind << _BITS for kind in range(4))
_MASK = (1 << _BITS) - 1

_FANOUT = [b"%02x" % number for number in range(256)]
_FIXED = [
    *(b"", b"info", b"objects", b"objects/info", b"objects/pack"),
    *(b"refs", b"refs/heads", b"refs/tags"),
    *(b"objects/" + name for name in _FANOUT),
]
# Files that have lost their names stay readable until there are so many bytes of them.
_REPLACED_BYTES_MAX = 16 << 20
_INODES_MAX = 20_000


def hashed(kind: int, text: bytes) -> int:
    """The number of a directory by its path, or of a file by path and content."""
    digest = hashlib.sha1(text, usedforsecurity=False).digest()
    return kind | int.from_bytes(digest[:8], "big") & _MASK


def _object_number(oid: bytes) -> int:
    return OBJECT | int.from_bytes(oid[:8], "big") >> 4


DIRECTORIES = {hashed(DIRECTORY, path): path for path in _FIXED}


class GitDirectory(VirtualTree):
    """`.git` of one mount or export; those of one repository share its `Checkout`."""

    name = NAME
    root = hashed(DIRECTORY, b"")
    numbers = range(_BASE, 2 * _BASE)
    cookie = COOKIE_DOT_DOT + 2

    def __init__(self, checkout: Checkout, shelf: Shelf, listed: bool = False) -> None:
        self.listed = listed
        self._checkout, self._shelf = checkout, shelf
        self._files: dict[int, File] = {}
        self._replaced: OrderedDict[int, File] = OrderedDict()
        self._shown: State | None = None
        self._inodes: dict[int, Inode] = {}
        self._watchers: list[Callable[[], None]] = []
        self._owner = (-1, -1)

    # --- what there is ------------------------------------------------------------------------

    def _state(self) -> State:
        """What there is as of now. Raises NotYet."""
        state = self._checkout.current()
        if state is not self._shown:
            self._take(state)
        return state

    def _take(self, state: State) -> None:
        """Take the files of a state over; those of before can still be read by who has them."""
        index = [file for file in self._files.values() if file.path == b"index"]
        now = {hashed(FILE, file.digest): file for file in (*state.files.values(), *index)}
        self._drop({n: file for n, file in self._files.items() if n not in now})
        self._files, self._shown = now, state
        for number in now:
            self._replaced.pop(number, None)
        self._tell()

    def _tell(self) -> None:
        """Have those who keep listings and owners look at them anew."""
        for changed in self._watchers:
            changed()

    def _drop(self, files: dict[int, File]) -> None:
        self._replaced.update(files)
        total = sum(len(file.data) for file in self._replaced.values())
        while total > _REPLACED_BYTES_MAX:
            total -= len(self._replaced.popitem(last=False)[1].data)

    def _index(self) -> File | None:
        """The index as of now."""
        file = self._checkout.index()
        known = {n: f for n, f in self._files.items() if f.path == b"index"}
        if file is not None and file not in known.values():
            for number in known:
                del self._files[number]
            self._drop(known)
            number = hashed(FILE, file.digest)
            self._files[number] = file
            self._replaced.pop(number, None)
        return file

    def _file(self, path: bytes) -> File | None:
        state = self._state()
        return self._index() if path == b"index" else state.files.get(path)

    def _find(self, number: int) -> File:
        """A file by its number. Raises Stale, NotYet."""
        found = self._files.get(number) or self._replaced.get(number)
        if found is None:
            self._state()
            found = self._files.get(number) or self._replaced.get(number)
        if found is None:
            self._index()
            found = self._files.get(number)
        if found is None:
            raise Stale("the file was replaced long ago")
        return found

    def _object(self, number: int) -> Loose:
        """An object by its number. Raises Stale, NotYet."""
        state = self._checkout.latest()
        found = self._shelf.by_number(number & _MASK, state.visible, state.packed, state.unpacked)
        if found is None:
            raise Stale("the object is gone")
        return found

    def _path(self, number: int) -> bytes:
        """The path of a directory. Raises Stale, NotDirectory."""
        path = DIRECTORIES.get(number)
        if path is None:
            self.getattr(number)
            raise NotDirectory("a file of the repository")
        return path

    # --- inodes -------------------------------------------------------------------------------

    def lasting(self, ino: int) -> bool:
        """Objects and packs are what they are; of directories watchers are told."""
        if ino < FILE:
            return True
        file = self._files.get(ino)
        return file is not None and file.path.startswith(b"objects/pack/")

    def lasting_attributes(self, ino: int) -> bool:
        """Another content is another file."""
        return True

    def watch(self, changed: Callable[[], None]) -> None:
        """As `VirtualTree.watch`."""
        self._watchers.append(changed)

    def directories(self) -> Iterable[int]:
        """All directories."""
        return DIRECTORIES

    def replaced(self, ino: int) -> bool:
        """Whether a file has another content by now, and so is another file."""
        if not FILE <= ino < SCRATCH:
            return False
        if ino in self._replaced:
            return True
        file = self._files.get(ino)
        return file is not None and self._file(file.path) is not file

    def getattr(self, ino: int) -> Inode:
        """As `Tree.getattr`."""
        top = self._top()
        if (top.uid, top.gid) != self._owner or len(self._inodes) > _INODES_MAX:
            self._owner = top.uid, top.gid
            self._inodes.clear()
            self._tell()
        if FILE > ino >= DIRECTORY:
            return self._directory(ino)
        found = self._inodes.get(ino)
        if found is not None:
            return found
        if ino < DIRECTORY:
            loose = self._object(ino)
            size = self._shelf.file_bytes(loose)
            parent = b"objects/%02x" % loose.id[0]
            found = self._inode(ino, stat.S_IFREG | 0o444, size, top.btime_ns, parent)
        else:
            file = self._find(ino)
            parent = file.path.rpartition(b"/")[0]
            mode = stat.S_IFREG | (0o444 if parent == b"objects/pack" else 0o644)
            found = self._inode(ino, mode, len(file.data), file.time_ns, parent)
        self._inodes[ino] = found
        return found

    def _top(self) -> Inode:
        """The directory that this is in."""
        tree = self._checkout.tree
        return tree.getattr(self._checkout.root or tree.root)

    def _inode(self, ino: int, mode: int, size: int, time_ns: int, parent: bytes) -> Inode:
        uid, gid = self._owner
        above = hashed(DIRECTORY, parent)
        times = time_ns, time_ns, time_ns, time_ns
        return Inode(ino, mode, 1, uid, gid, size, size, 0, 0, *times, above, 0, 0)

    def _directory(self, ino: int) -> Inode:
        path = DIRECTORIES.get(ino)
        if path is None:
            raise Stale("no such directory")
        time_ns = self._state().time_ns
        known = self._inodes.get(ino)
        if known is None or known.mtime_ns != time_ns:
            parent = path.rpartition(b"/")[0]
            known = self._inode(ino, stat.S_IFDIR | 0o755, 1, time_ns, parent)
            if not path:
                known = known._replace(parent=self._top().ino)
            self._inodes[ino] = known = known._replace(nlink=2)
        return known

    # --- names --------------------------------------------------------------------------------

    def lookup(self, who: Caller, parent: int, name: bytes) -> Inode:
        """As `Tree.lookup`."""
        path = self._path(parent)
        if name == b".":
            return self.getattr(parent)
        if name == b"..":
            above = hashed(DIRECTORY, path.rpartition(b"/")[0])
            return self.getattr(above) if path else self._top()
        wanted = joined(path, name)
        number = hashed(DIRECTORY, wanted)
        if number in DIRECTORIES:
            return self.getattr(number)
        if path.startswith(b"objects/") and path[8:] in _FANOUT:
            return self.getattr(self._loose(path[8:] + name))
        file = self._file(wanted)
        if file is None:
            raise NotFound(f"no {wanted!r} in the repository")
        return self.getattr(hashed(FILE, file.digest))

    def _loose(self, name: bytes) -> int:
        """The number of the object of an id in hex. Raises NotFound."""
        try:
            oid = bytes.fromhex(name.decode())
        except ValueError:
            oid = b""
        if len(oid) == 20 and oid.hex().encode() == name:
            state = self._checkout.latest()
            for found in (state, None):
                # What came since may be named by those who know of it.
                state = found or self._state()
                if self._shelf.find(oid, state.visible, state.packed, state.unpacked):
                    return _object_number(oid)
        raise NotFound(f"no object {name!r}")

    def readdir(self, who: Caller, ino: int, cookie: int = 0, count: int = 1000) -> Listing:
        """As `Tree.readdir`."""
        if not 0 <= cookie < 2**63:
            raise BadCookie(f"cookie {cookie}")
        entries = self._entries(who, ino, self._path(ino))
        entries.sort(key=lambda entry: entry.cookie)
        left = [entry for entry in entries if entry.cookie > cookie]
        return Listing(left[:count], len(left) <= count)

    def _entries(self, who: Caller, ino: int, path: bytes) -> list[DirEntry]:
        """All entries of a directory."""
        above = self.lookup(who, ino, b"..").ino
        entries = [
            DirEntry(b".", ino, stat.S_IFDIR, COOKIE_DOT),
            DirEntry(b"..", above, stat.S_IFDIR, COOKIE_DOT_DOT),
        ]
        if path.startswith(b"objects/") and path[8:] in _FANOUT:
            state = self._state()
            for oid in self._shelf.ids_from(path[8:], state.visible, state.packed, state.unpacked):
                number = _object_number(oid)
                name = oid.hex().encode()[2:]
                at = (number & _MASK) + COOKIE_DOT_DOT + 1
                entries.append(DirEntry(name, number, stat.S_IFREG, at))
        else:
            entries += self._names(path)
        return entries

    def _names(self, path: bytes) -> list[DirEntry]:
        """The entries of a directory but for `.` and `..`."""
        files = [*self._state().files.values()]
        index = None if path else self._index()
        if index is not None:
            files.append(index)
        found = []
        for file in files:
            directory, _, name = file.path.rpartition(b"/")
            if directory == path:
                number = hashed(FILE, file.digest)
                found.append(DirEntry(name, number, stat.S_IFREG, first_slot(name)))
        for number, below in DIRECTORIES.items():
            directory, _, name = below.rpartition(b"/")
            if directory == path and below:
                found.append(DirEntry(name, number, stat.S_IFDIR, first_slot(name)))
        return found

    # --- data ---------------------------------------------------------------------------------

    def begin_read(
        self,
        who: Caller | None,
        ino: int,
        offset: int,
        count: int,
        take: Callable[[int], memoryview] | None = None,
    ) -> Read:
        """As `Tree.begin_read`."""
        inode = self.getattr(ino)
        if stat.S_ISDIR(inode.mode):
            raise IsDirectory("a directory of the repository")
        if who is not None and who.uid != inode.uid:
            access.require(inode, who, R_OK)
        if offset < 0 or count < 0:
            raise InvalidArgument(f"{count} bytes at offset {offset}")
        if ino < DIRECTORY:
            return self._shelf.begin_read(self._object(ino), offset, count, inode)
        data = self._find(ino).data
        stop = min(offset + count, len(data))
        return Held(Data(memoryview(data)[offset:stop], stop >= len(data), inode))

    def statfs(self) -> StatFs:
        """The branch's."""
        return self._checkout.tree.statfs()
