"""What the kernel must be told to forget, and the thread that tells it.

Telling can wait: for the lock of a directory in which a caller's request is under way, or for a
page that is being read, so for answers of ours. It is therefore done on a thread of its own for
each mount. What is to be told is merged as long as it waits. Whoever made a change is answered once
everybody who may have a copy has been told (`Told`), so that no door shows old data after another's
operation has returned.

Two mounts could wait for each other: a request to A for B's kernel to be told, that for a lock
that a request to B holds, and that one for A's. So a request does not wait for others' kernels to
be told while its own is yet to be told something: `Notices.pending` says so.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from fuse.protocol import inval_entry, inval_inode
from store.watch import TO_END

log = logging.getLogger(__name__)

_NO_DATA = (-1, -1)


class Told:
    """How far all kernels have been told; on the loop's thread only."""

    def __init__(self) -> None:
        # Things to tell, of all mounts, that are not told yet.
        self.pending = 0
        # Grows with each of them.
        self.queued = 0
        self._all: set[Notices] = set()
        self._waiting: list[tuple[dict[Notices, int], Callable[[], None]]] = []
        self._sweeps = 0
        self._unswept: list[Callable[[], None]] = []

    def join(self, notices: Notices) -> None:
        """Count what a mount has to be told."""
        self._all.add(notices)

    def leave(self, notices: Notices) -> None:
        """A mount has ended: there is nobody to tell any more."""
        self._all.discard(notices)
        self.pending -= notices.pending
        notices.told = notices.queued
        self.advance()

    def when_told(self, then: Callable[[], None]) -> None:
        """Call back once all that there is to tell now is told; at once where that is nothing."""
        marks = {one: one.queued for one in self._all if one.pending}
        if marks:
            self._waiting.append((marks, then))
        else:
            then()

    def when_swept(self, then: Callable[[], None]) -> None:
        """The same, once no mount is still finding out what it has to tell."""
        if self._sweeps:
            self._unswept.append(then)
        else:
            self.when_told(then)

    def begin_sweep(self) -> None:
        """A mount begins to find out, beside other work, what it has to tell."""
        self._sweeps += 1

    def end_sweep(self) -> None:
        """It has put all of it."""
        self._sweeps -= 1
        if not self._sweeps:
            waiting, self._unswept = self._unswept, []
            for then in waiting:
                self.when_told(then)

    def advance(self) -> None:
        """Something was told: call back those who waited for it."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        for marks, then in waiting:
            left = {one: mark for one, mark in marks.items() if one.told < mark}
            if left:
                self._waiting.append((left, then))
            else:
                then()


class Notices:
    """What one kernel is yet to be told. `put_*` and `progress` run on the loop's thread."""

    def __init__(
        self, told: Told, write: Callable[[bytes], bool], wake: Callable[[Callable[[], None]], None]
    ) -> None:
        """`write` sends one message, on any thread, and says whether there is anybody to send to;
        `wake` has a function called on the loop's thread, from any."""
        self._told, self._write, self._wake = told, write, wake
        self.queued = self.told = 0
        # Called when something is put that the kernel is to be told.
        self.on_put: Callable[[], None] = lambda: None
        self._changed = threading.Condition()
        self._inodes: dict[int, tuple[int, int]] = {}
        self._entries: dict[tuple[int, bytes], None] = {}
        self._ending = False
        told.join(self)
        self._thread = threading.Thread(target=self._run, name="fsgw-notices", daemon=True)
        self._thread.start()

    @property
    def pending(self) -> int:
        """Things that are not told yet."""
        return self.queued - self.told

    def put_inode(self, nodeid: int) -> None:
        """The attributes of a node are others."""
        with self._changed:
            self._inodes.setdefault(nodeid, _NO_DATA)
            self._added()

    def put_data(self, nodeid: int, start: int, stop: int) -> None:
        """The attributes of a node, and its bytes start <= i < stop, are others."""
        with self._changed:
            known = self._inodes.get(nodeid, _NO_DATA)
            if known != _NO_DATA:
                start, stop = min(start, known[0]), max(stop, known[1])
            self._inodes[nodeid] = start, stop
            self._added()

    def put_entry(self, parent: int, name: bytes) -> None:
        """A name in a directory leads elsewhere."""
        with self._changed:
            self._entries[parent, name] = None
            self._added()

    def _added(self) -> None:
        self.queued += 1
        told = self._told
        told.pending += 1
        told.queued += 1
        self._changed.notify()
        self.on_put()

    # --- the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._inodes or self._entries or self._ending):
                    self._changed.wait()
                if self._ending:
                    return
                inodes, self._inodes = self._inodes, {}
                entries, self._entries = self._entries, {}
                mark = self.queued
            there = True
            for parent, name in entries:
                there = there and self._write(inval_entry(parent, name))
            for nodeid, (start, stop) in inodes.items():
                length = 0 if stop == TO_END else stop - start
                there = there and self._write(inval_inode(nodeid, start, length))
            self._wake(lambda mark=mark: self.progress(mark))  # type: ignore[misc]

    def progress(self, mark: int) -> None:
        """All that was put until that many had been put is told."""
        if mark > self.told:
            self._told.pending -= mark - self.told
            self.told = mark
            self._told.advance()

    def close(self) -> None:
        """There is nobody to tell any more; the thread ends as soon as it can."""
        self._told.leave(self)
        with self._changed:
            self._ending = True
            self._changed.notify()

    def join(self) -> None:
        """Wait for the thread to end."""
        self._thread.join()
