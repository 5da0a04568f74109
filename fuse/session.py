"""One mount's conversation with the kernel: requests in, replies out, and what lies between.

Everything here is one synchronous step on the thread that has the store. A reply is given at once,
or when the store is durable, or when a read from disk is done, and, after a change, when the
kernels of other mounts have been told of it. Knows no device and no event loop.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Protocol

from fuse import errno
from fuse.errno import Refused, errno_of
from fuse.nodes import Nodes
from fuse.notices import Notices, Told
from fuse.options import Options
from fuse.protocol import IN_HEADER, OUT_HEADER, ROOT_ID, BadRequest, reply_header
from fuse.request import Durable, Operation, Payload, Reading, Request, Result
from fuse.sweep import sweep
from fuse.views import Snapshots, Views
from fuse.volumes import Timeouts, Volume, new_budget
from store.errors import Busy, NotFound, StoreError
from store.memtable import Buffer
from store.snapdir import SnapshotDirectory
from store.tree import Tree
from store.treebase import TreeBase
from store.types import SetAttr
from store.virtual import NotYet, Read, VirtualTree
from store.watch import TO_END

log = logging.getLogger(__name__)

# How often a request is tried again when memory was full, each time after room was made.
TRIES = 100
# The longest read: what one reply may hold, and the memory kept for it.
READ_BYTES_MAX = 1 << 20
# Bytes of requests that wait for room in memory or for the disk; more are not read until fewer do.
PARKED_BYTES_MAX = 64 << 20


class Waiting(Protocol):
    """What the gateway does for requests that cannot be answered at once."""

    def when_durable(self, then: Callable[[StoreError | None], None]) -> None:
        """Call back once all changes made until now are durable, or could not be made so."""

    def when_room(self, then: Callable[[], None]) -> None:
        """Call back once memory that was full may have room again."""

    def elsewhere(self, run: Callable[[], None], then: Callable[[], None]) -> None:
        """Run something on another thread, then something on this one."""


class Session:
    """See the module. `send` takes a reply's parts and says whether there is anybody to read it."""

    def __init__(
        self,
        tree: Tree,
        root: int,
        options: Options,
        waiting: Waiting,
        told: Told,
        send: Callable[[list[Buffer]], None],
        operations: Mapping[int, Operation],
        virtual: Sequence[VirtualTree] = (),
        snapshots: Snapshots | None = None,
    ) -> None:
        """`root` is the inode that is the mount's root. `virtual` are the directories in it, and
        `snapshots` is for what is in `.snapshots`, where that is one of them."""
        self.options, self._waiting, self._told, self._send = options, waiting, told, send
        self._operations = operations
        self._budget = new_budget()
        timeouts = Timeouts(options.entry_timeout_s, options.attr_timeout_s)
        self.timeouts = timeouts
        # The answer that there is no such name, with how long that holds.
        self.absent = timeouts.absent
        self.main = Volume(tree, timeouts, self._budget)
        self.tree = tree
        self._follows_root = root == tree.root
        self._views: Views | None = None
        if snapshots is not None:
            self._views = Views(snapshots, timeouts, self._budget)
        self.nodes = Nodes(self.main, root, self._idle)
        self._virtual = {found.name: Volume(found, timeouts, self._budget) for found in virtual}
        self.nodes.virtual = list(self._virtual.values())
        self.listed = [found.entry for found in virtual if found.listed]
        # What the kernel and this agreed on, once it has introduced itself.
        self.open_answer: bytes | None = None
        self.opendir_answer: bytes | None = None
        self.requests = 0
        self._acting = False
        # The request under way has found out that virtual directories list other names: it is
        # answered once the kernel knows, which for that takes no lock that a look-up holds.
        self._listings_changed = False
        self._parked: dict[int, Request] = {}
        self._parked_bytes = 0
        self._untold: list[Callable[[], None]] = []
        self._notices: Notices | None = None
        self._ask_for_sweep: Callable[[], None] = lambda: None
        self._memory = memoryview(bytearray(READ_BYTES_MAX))
        self.sweeps: list[Iterator[None]] = []
        tree.watch(self)
        self._unwatch: list[Callable[[], None]] = []
        for found in virtual:
            found.watch(partial(self._virtual_changed, found))
            self._unwatch.append(found.watch_inodes(_Inside(self)))

    def begin(self, notices: Notices, sweep: Callable[[], None]) -> None:
        """From now on the kernel can be told of changes. `sweep` asks for `sweep` to be called."""
        self._notices, self._ask_for_sweep = notices, sweep
        notices.on_put = self._release_untold

    def end(self) -> None:
        """The mount is gone."""
        self.tree.unwatch(self)
        for unwatch in self._unwatch:
            unwatch()
        if self._notices is not None:
            self._notices.close()
        while self.sweeps:
            self.sweeps.pop()
            self._told.end_sweep()
        for request in list(self._parked.values()):
            request.over = True
        self._parked.clear()
        self.nodes.forget_all()

    # --- requests -----------------------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        """Whether no more requests should be read for now."""
        return self._parked_bytes >= PARKED_BYTES_MAX

    @property
    def waits(self) -> bool:
        """Whether a request waits for memory or the disk."""
        return bool(self._parked)

    def handle(self, data: bytes) -> None:
        """Run a request; its reply is sent now or later."""
        try:
            _, opcode, unique, node, uid, gid, pid, _, _ = IN_HEADER.unpack_from(data)
        except struct.error:
            log.error("the kernel sent %d bytes, which is no request", len(data))
            return
        self.requests += 1
        operation = self._operations.get(opcode)
        if operation is None:
            self._fail(unique, errno.NOT_OFFERED)
            return
        self._run(Request(unique, node, uid, gid, pid, data, operation))

    def _run(self, request: Request) -> None:
        operation = request.operation
        queued = self._told.queued
        self._acting = True
        try:
            result: Result = operation.handler(self, request)
        except Busy:
            request.tries += 1
            if request.tries < TRIES:
                self._park(request)
                self._waiting.when_room(lambda: self._again(request))
                return
            self._fail(request.unique, errno.EIO)
            return
        except NotYet as wait:
            self._park(request)
            wait.when(lambda: self._again(request))
            return
        except StoreError as error:
            self._fail(request.unique, errno_of(error))
            return
        except Refused as refused:
            self._fail(request.unique, refused.errno)
            return
        except (BadRequest, struct.error) as error:
            log.error("%s: %s", operation.name, error)
            self._fail(request.unique, errno.EPROTO)
            return
        except Exception:
            log.exception("%s failed", operation.name)
            self._fail(request.unique, errno.EIO)
            return
        finally:
            self._acting = False
        if isinstance(result, Durable):
            self._when_durable(request, result.payload)
        elif isinstance(result, Reading):
            self._read(request, result.job)
        elif result is not None:
            if self._listings_changed:
                self._listings_changed = False
                self._told.when_told(lambda: self._answer(request.unique, result))
                return
            if operation.changes:
                if self.options.sync:
                    self._when_durable(request, result)
                    return
                if self._told.queued != queued:
                    self._when_told(request, result)
                    return
            self._answer_change(request, result)

    def _again(self, request: Request) -> None:
        if self._unpark(request):
            self._run(request)

    def _park(self, request: Request) -> None:
        """Keep a request that waits, so that it can be interrupted."""
        self._parked[request.unique] = request
        self._parked_bytes += len(request.data)

    def _unpark(self, request: Request) -> bool:
        """The wait is over; whether the request still wants an answer."""
        if request.over or self._parked.pop(request.unique, None) is None:
            return False
        self._parked_bytes -= len(request.data)
        return True

    def interrupt(self, unique: int) -> None:
        """The caller of a request was sent a signal: if it waits, it need not any longer."""
        request = self._parked.get(unique)
        if request is not None and self._unpark(request):
            request.over = True
            self._fail(unique, errno.EINTR)

    def _when_durable(self, request: Request, payload: Payload) -> None:
        self._park(request)

        def then(error: StoreError | None) -> None:
            if not self._unpark(request):
                return
            if error is None:
                self._when_told(request, payload)
            else:
                self._fail(request.unique, errno_of(error))

        self._waiting.when_durable(then)

    def _when_told(self, request: Request, payload: Payload) -> None:
        """Answer once the other mounts' kernels know; see `fuse.notices` for when not to wait."""
        notices = self._notices
        if not self._told.pending or (notices is not None and notices.pending):
            self._answer_change(request, payload)
            return

        def then() -> None:
            if not request.over:
                request.over = True
                self._answer_change(request, payload)

        self._untold.append(then)
        self._told.when_told(then)

    def _release_untold(self) -> None:
        """This kernel is to be told something, for which it may need what it waits for."""
        untold, self._untold = self._untold, []
        for then in untold:
            then()

    def _read(self, request: Request, job: Read) -> None:
        if job.run_cached():
            self._finish_read(request, job)
            return
        self._waiting.elsewhere(job.run, lambda: self._finish_read(request, job))

    def _finish_read(self, request: Request, job: Read) -> None:
        try:
            self._answer(request.unique, job.finish().data)
        except StoreError as error:
            self._fail(request.unique, errno_of(error))

    def _answer_change(self, request: Request, payload: Payload) -> None:
        """Answer, and have the kernel forget what it now has where it is not. It is not told before
        that: it could not take it, and the request would not wait for others' kernels."""
        self._answer(request.unique, payload)
        if request.misplaced >= 0 and self._notices is not None:
            self._notices.put_data(request.node, request.misplaced, TO_END)

    def take(self, length: int) -> memoryview:
        """Memory to read into; what is there is sent before anybody else gets it."""
        return self._memory[:length]

    def _answer(self, unique: int, payload: Payload) -> None:
        if isinstance(payload, bytes):
            self._send([reply_header(unique, len(payload)) + payload])
        elif isinstance(payload, (bytearray, memoryview)):
            self._send([reply_header(unique, len(payload)), memoryview(payload)])
        else:
            parts = list(payload)
            self._send([reply_header(unique, sum(map(len, parts))), *parts])

    def _fail(self, unique: int, number: int) -> None:
        self._send([OUT_HEADER.pack(OUT_HEADER.size, -number, unique)])

    # --- volumes ------------------------------------------------------------------------------

    def find(self, node: int) -> tuple[Volume, int]:
        """The volume and inode number of a node. Raises Stale."""
        volume, ino = self.nodes.find(node)
        if volume.snapshot and self._views is not None:
            self._views.check(volume)
        return volume, ino

    def entry(self, volume: Volume, ino: int) -> bytes:
        """An inode as fuse_entry_out, counted as looked up once more."""
        inode = volume.tree.getattr(ino)
        return volume.entry(inode, self.nodes.remember(volume, ino))

    def snapshot_entry(self, snapshots: SnapshotDirectory, name: bytes) -> bytes:
        """The entry of a name in `.snapshots`. Raises NotFound."""
        views = self._views
        assert views is not None
        info = snapshots.snapshot(name)
        if info is None:
            raise NotFound(f"no snapshot {name!r}")
        volume = views.get(info.id)
        root = snapshots.root_of(info)
        inode = volume.tree.getattr(root)
        node = self.nodes.remember(volume, root)
        return volume.passing_entry(inode, node)

    def virtual(self, node: int, name: bytes) -> Volume | None:
        """The virtual directory that a name in a directory is, None where it is none."""
        return self._virtual.get(name) if node == ROOT_ID else None

    def _idle(self, volume: Volume) -> None:
        if volume.snapshot and self._views is not None:
            self._views.let_go(volume)

    @staticmethod
    def owner(request: Request, tree: Tree | VirtualTree, directory: int) -> SetAttr:
        """Whose a new inode is: the caller's, in a set-group-id directory that group's."""
        sgid = tree.getattr(directory).mode & 0o2000
        return SetAttr(uid=request.uid, gid=None if sgid else request.gid)

    # --- changes made elsewhere (store.watch.Watcher) ---------------------------------------------

    def inode_changed(self, ino: int) -> None:
        """Tell the kernel, unless it changed that itself."""
        if not self._acting and self._notices is not None and (node := self.nodes.known(ino)):
            self._notices.put_inode(node)

    def data_changed(self, ino: int, start: int, stop: int) -> None:
        """As `inode_changed`."""
        if not self._acting and self._notices is not None and (node := self.nodes.known(ino)):
            self._notices.put_data(node, start, stop)

    def _virtual_changed(self, tree: VirtualTree) -> None:
        """Have the kernel look at the directories of a virtual one anew."""
        if self._notices is not None:
            for ino in tree.directories():
                if self.nodes.knows(ino):
                    self._notices.put_data(ino, 0, TO_END)
                    self._listings_changed = True

    def entry_changed(self, directory: int, name: bytes) -> None:
        """As `inode_changed`; what the kernel keeps of the directory's listing goes as well."""
        if not self._acting and self._notices is not None:
            node = self.nodes.known(directory)
            if node:
                self._notices.put_entry(node, name)
                self._notices.put_data(node, 0, TO_END)

    def tree_replaced(self, old: TreeBase) -> None:
        """Begin to tell the kernel of all that it may know."""
        if self._follows_root:
            self.nodes.root = self.tree.root
        if self._notices is not None:
            self._told.begin_sweep()
            self.sweeps.append(sweep(self.nodes, self._notices, old, self.tree))
            self._ask_for_sweep()

    def sweep(self) -> bool:
        """Do a part of what a replaced tree asks for; whether there is more."""
        if self.sweeps:
            try:
                next(self.sweeps[0])
            except StopIteration:
                self.sweeps.pop(0)
                self._told.end_sweep()
        return bool(self.sweeps)


class _Inside:
    """Tells the kernel of changes in a virtual directory, whose names it asks for each time.

    So it is told nothing of names alone. For that it would take a directory's lock, which may be
    held by a request that waits for just this change.
    """

    def __init__(self, session: Session) -> None:
        self.inode_changed, self.data_changed = session.inode_changed, session.data_changed

    def entry_changed(self, directory: int, name: bytes) -> None:
        """What the kernel keeps of the listing goes."""
        self.data_changed(directory, 0, TO_END)

    def tree_replaced(self, old: TreeBase) -> None:
        """All of it is stale."""
