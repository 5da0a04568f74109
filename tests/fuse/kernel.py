"""A kernel that is none: builds requests, collects replies and notices, and keeps its own accounts.

It is on a real session on a real store. Requests are answered within `call`, unless a test holds
flushes or memory back; notices are told by the session's own thread, which a test may hold as well.
"""

from __future__ import annotations

import errno
import itertools
import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from fuse import protocol as p
from fuse.notices import Notices, Told
from fuse.operations import OPERATIONS
from fuse.options import Options
from fuse.protocol import Opcode
from fuse.session import Session
from store.errors import Stale
from store.memtable import Buffer
from store.snapdir import SnapshotDirectory
from store.store import Store
from store.tree import Tree
from store.virtual import VirtualTree
from tests.nfs.gateway import Flushing

# Requests whose answer has an entry, and where that begins.
_ENTRIES = {
    Opcode.LOOKUP, Opcode.CREATE, Opcode.MKNOD, Opcode.MKDIR, Opcode.SYMLINK, Opcode.LINK,
}  # fmt: skip
UNANSWERED = {Opcode.FORGET, Opcode.BATCH_FORGET, Opcode.INTERRUPT}
PATIENCE_S = 60


class Attr(NamedTuple):
    """fuse_attr."""

    ino: int
    size: int
    blocks: int
    atime: int
    mtime: int
    ctime: int
    atime_ns: int
    mtime_ns: int
    ctime_ns: int
    mode: int
    nlink: int
    uid: int
    gid: int
    rdev: int
    blksize: int
    flags: int


class Entry(NamedTuple):
    """fuse_entry_out."""

    nodeid: int
    generation: int
    entry_valid: int
    attr_valid: int
    entry_valid_ns: int
    attr_valid_ns: int
    attr: Attr


class Dirent(NamedTuple):
    """fuse_dirent with its name; with READDIRPLUS what stands before it."""

    ino: int
    off: int
    type: int
    name: bytes
    entry: Entry | None


class Failed(Exception):
    """A request was answered with an error."""

    def __init__(self, number: int) -> None:
        super().__init__(errno.errorcode[number])
        self.errno = number


class Snapshots:
    """The trees of a store's snapshots (`fuse.views.Snapshots`), counted."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.open_trees = 0

    @property
    def version(self) -> int:
        return self._store.ids.version

    def is_there(self, snapshot: int) -> bool:
        return self._store.ids.snapshot_ref(snapshot) is not None

    def open(self, snapshot: int) -> Tree:
        ref = self._store.ids.snapshot_ref(snapshot)
        if ref is None:
            raise Stale("the snapshot was deleted")
        self.open_trees += 1
        return self._store.view(ref)

    def close(self, tree: Tree) -> None:
        self.open_trees -= 1
        self._store.close_view(tree)


class Kernel:
    """See the module."""

    def __init__(
        self,
        store: Store,
        options: Options | None = None,
        *,
        path: bytes = b"/",
        beside: Kernel | None = None,
        snapshots: bool = True,
        snapshot_admin: bool = False,
        listed: bool = False,
        begin: bool = True,
    ) -> None:
        """`path`: the directory of `main` that is mounted. `beside`: another mount of the same
        gateway's. `begin`: notices can be told."""
        self.store, self.tree = store, store.tree("main")
        self.waiting = Flushing(store)
        self.told: Told = Told() if beside is None else beside.told
        self.company: list[Kernel] = [] if beside is None else beside.company
        self.company.append(self)
        self.views = Snapshots(store)
        root = self.tree.resolve(path).ino
        shown: list[VirtualTree] = []
        if snapshots and root == self.tree.root:
            branch = store.ids.branch("main")
            shown.append(SnapshotDirectory(store, branch, snapshot_admin, listed))
        self._uniques = itertools.count(2, 2)
        self.replies: dict[int, list[bytes]] = {}
        self.counts: Counter[int] = Counter()
        self._opcodes: dict[int, int] = {}
        self.session = Session(
            self.tree,
            root,
            options or Options(entry_timeout_s=1.5, attr_timeout_s=2.25),
            self.waiting,
            self.told,
            self._take,
            OPERATIONS,
            shown,
            self.views,
        )
        # What was told, and whether telling is held back: closed while it is.
        self.notices: list[bytes] = []
        self.gate = threading.Event()
        self.gate.set()
        # The thread that tells has come to the gate.
        self.at_gate = threading.Event()
        self._wakes: queue.Queue[Callable[[], None]] = queue.Queue()
        self.sweeps_wanted = 0
        self.telling: Notices | None = None
        if begin:
            self.telling = Notices(self.told, self._tell, self._wakes.put)
            self.session.begin(self.telling, self._want_sweep)

    # --- the other side -----------------------------------------------------------------------

    def _take(self, parts: list[Buffer]) -> None:
        reply = b"".join(parts)
        length, error, unique = p.OUT_HEADER.unpack_from(reply)
        assert length == len(reply), f"{length} is said to be the length of {len(reply)} bytes"
        assert -4096 < error <= 0
        assert not error or length == p.OUT_HEADER.size, "an error with more behind it"
        self.replies.setdefault(unique, []).append(reply)
        if not error:
            self._count(self._opcodes.get(unique, 0), reply[p.OUT_HEADER.size :])

    def _count(self, opcode: int, payload: bytes) -> None:
        """Count what a kernel counts as looked up."""
        if opcode in _ENTRIES:
            self.counts[parse_entry(payload).nodeid] += 1
        elif opcode == Opcode.READDIRPLUS:
            for dirent in parse_dirents(payload, plus=True):
                if dirent.entry is not None and dirent.entry.nodeid:
                    self.counts[dirent.entry.nodeid] += 1

    def _tell(self, message: bytes) -> bool:
        self.at_gate.set()
        assert self.gate.wait(PATIENCE_S)
        self.notices.append(message)
        return True

    def _want_sweep(self) -> None:
        self.sweeps_wanted += 1

    def tell_all(self) -> None:
        """Let everything be told that is to be."""
        while self.session.sweep():
            pass
        while self.telling is not None and self.telling.pending:
            self._wakes.get(timeout=PATIENCE_S)()

    def told_all(self) -> list[bytes]:
        """The same; all notices since the last time."""
        self.tell_all()
        told, self.notices = self.notices, []
        return told

    def close(self) -> None:
        """Unmount."""
        self.company.remove(self)
        self.gate.set()
        self.session.end()
        if self.telling is not None:
            self.telling.join()
        assert len(self.session.nodes) == 0
        assert self.views.open_trees == 0

    # --- requests -----------------------------------------------------------------------------

    def request(
        self, opcode: int, body: bytes = b"", node: int = 1, ids: tuple[int, int, int] = (0, 0, 1)
    ) -> bytes:
        """A request in bytes; `ids` are user, group and process."""
        unique = next(self._uniques)
        self._opcodes[unique] = opcode
        head = p.IN_HEADER.pack(p.IN_HEADER.size + len(body), opcode, unique, node, *ids, 0, 0)
        return head + body

    def send(self, message: bytes) -> int:
        """Send a request; its number, under which its replies are."""
        self.session.handle(message)
        return int(p.IN_HEADER.unpack_from(message)[2])

    def reply(self, unique: int) -> bytes:
        """The payload of the one reply to a request. Raises Failed."""
        (reply,) = self.replies.pop(unique)
        error = p.OUT_HEADER.unpack_from(reply)[1]
        if error:
            raise Failed(-error)
        return reply[p.OUT_HEADER.size :]

    def call(
        self, opcode: int, body: bytes = b"", node: int = 1, ids: tuple[int, int, int] = (0, 0, 1)
    ) -> bytes:
        """Send a request that is answered at once, or as soon as the others have been told of it;
        what it is answered. Raises Failed."""
        unique = self.send(self.request(opcode, body, node, ids))
        if unique not in self.replies:
            for other in self.company:
                other.tell_all()
        return self.reply(unique)

    def lookup(self, name: bytes, node: int = 1) -> Entry:
        return parse_entry(self.call(Opcode.LOOKUP, name + b"\0", node))

    def getattr(self, node: int = 1) -> Attr:
        return parse_attr(self.call(Opcode.GETATTR, bytes(16), node))

    def create(self, name: bytes, node: int = 1, mode: int = 0o644) -> Entry:
        body = p.CREATE_IN.pack(0, 0o100000 | mode, 0, 0) + name + b"\0"
        return parse_entry(self.call(Opcode.CREATE, body, node))

    def mkdir(self, name: bytes, node: int = 1) -> Entry:
        return parse_entry(self.call(Opcode.MKDIR, p.MKDIR_IN.pack(0o755, 0) + name + b"\0", node))

    def unlink(self, name: bytes, node: int = 1) -> None:
        assert self.call(Opcode.UNLINK, name + b"\0", node) == b""

    def rmdir(self, name: bytes, node: int = 1) -> None:
        assert self.call(Opcode.RMDIR, name + b"\0", node) == b""

    def read(self, node: int, offset: int = 0, size: int = 1 << 20) -> bytes:
        return self.call(Opcode.READ, p.READ_IN.pack(0, offset, size, 0, 0, 0, 0), node)

    def write(self, node: int, data: bytes, offset: int = 0, flags: int = 0) -> None:
        assert self.call(Opcode.WRITE, write_body(data, offset, flags), node) == p.WRITE_OUT.pack(
            len(data), 0
        )

    def fsync(self, node: int = 1) -> None:
        assert self.call(Opcode.FSYNC, bytes(16), node) == b""

    def listed(self, node: int = 1, *, plus: bool = False, size: int = 4096) -> list[Dirent]:
        """A whole directory, page by page."""
        opcode = Opcode.READDIRPLUS if plus else Opcode.READDIR
        found: list[Dirent] = []
        cookie = 0
        while page := self.call(opcode, p.READ_IN.pack(0, cookie, size, 0, 0, 0, 0), node):
            assert len(page) <= size
            found += parse_dirents(page, plus=plus)
            cookie = found[-1].off
        return found

    def forget(self, node: int, lookups: int = 1) -> None:
        self.counts[node] -= lookups
        message = self.request(Opcode.FORGET, p.FORGET_IN.pack(lookups), node)
        assert self.send(message) not in self.replies

    def fails(self, number: int, opcode: int, body: bytes = b"", node: int = 1) -> None:
        """Fail unless a request is answered with this error."""
        try:
            found = self.call(opcode, body, node)
        except Failed as failed:
            wanted = errno.errorcode[number]
            assert failed.errno == number, f"{failed} where {wanted} was due"
        else:
            raise AssertionError(f"{found!r} where {errno.errorcode[number]} was due")


def write_body(data: bytes, offset: int = 0, opened: int = 0, flags: int = 0) -> bytes:
    """fuse_write_in and what is to be written."""
    return p.WRITE_IN.pack(0, offset, len(data), flags, 0, opened, 0) + data


def parse_attr(payload: bytes) -> Attr:
    """fuse_attr_out."""
    assert len(payload) == p.ATTR_VALID.size + p.ATTR.size
    return Attr(*p.ATTR.unpack_from(payload, p.ATTR_VALID.size))


def parse_entry(payload: bytes) -> Entry:
    """fuse_entry_out, at the beginning."""
    attr = Attr(*p.ATTR.unpack_from(payload, p.ENTRY.size))
    return Entry._make((*p.ENTRY.unpack_from(payload), attr))


def parse_dirents(page: bytes, *, plus: bool) -> Iterator[Dirent]:
    """The entries of a READDIR or READDIRPLUS."""
    start = 0
    while start < len(page):
        entry = None
        if plus:
            entry = parse_entry(page[start:])
            start += p.ENTRY_BYTES
        ino, off, length, kind = p.DIRENT.unpack_from(page, start)
        start += p.DIRENT.size
        yield Dirent(ino, off, kind, page[start : start + length], entry)
        padded = p.align(length)
        assert page[start + length : start + padded] == bytes(padded - length)
        start += padded
    assert start == len(page)
