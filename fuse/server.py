"""A mount being served: the open device in the event loop, and the thread that tells the kernel.

Requests are read until there are none, and each is run as soon as it is read. A caller that waits
for one answer before it asks again does so at once: so the next request is looked for a moment
before this falls asleep, where that has paid of late.
"""

from __future__ import annotations

import logging
import os
import select
import time
from collections.abc import Callable

import trio

from fuse.errno import DEVICE_ENDED, EINTR, EIO, REQUEST_GONE
from fuse.init import WRITE_BYTES_MAX
from fuse.notices import Notices, Told
from fuse.protocol import OUT_HEADER, READ_BUFFER_BYTES_LEAST, REQUEST_BYTES
from fuse.session import Session
from store.memtable import Buffer

log = logging.getLogger(__name__)

# Room for the longest request. The kernel wants some for the header of a WRITE beside its data.
_REQUEST_BYTES_MAX = WRITE_BYTES_MAX + max(REQUEST_BYTES, READ_BUFFER_BYTES_LEAST)
# Requests run before other tasks get their turn: some milliseconds.
_REQUESTS_A_TURN = 64
# To look for the next request so long costs about what falling asleep and waking up does.
SPIN_S = 0.00008
_LUCK_MAX, _LUCK_LOST, _UNLUCKY_MAX = 16, 4, 64
# Between two looks whether requests that wait for memory or the disk have become fewer.
_FULL_LOOK_S = 0.005
_SPINS = (os.cpu_count() or 1) > 1


class Server:
    """See the module. It owns the descriptor, which `run` closes."""

    def __init__(self, descriptor: int, told: Told, tick: Callable[[], bool]) -> None:
        """`tick` is called when requests were run; it says whether others have work to do."""
        self._descriptor, self._told, self._tick = descriptor, told, tick
        self._sweep_wanted = trio.Event()
        self._luck = self._unlucky = 0
        self.ended = trio.Event()
        self._is_over = False

    def send(self, parts: list[Buffer]) -> None:
        """Send one reply. That nobody waits for it any more is no error."""
        try:
            os.writev(self._descriptor, parts)
        except OSError as error:
            if error.errno in DEVICE_ENDED:
                self._is_over = True
            elif error.errno != REQUEST_GONE:
                log.error("the kernel does not take a reply: %s", error.strerror)
                _, _, unique = OUT_HEADER.unpack_from(bytes(parts[0]))
                self._send_failure(unique)

    def _send_failure(self, unique: int) -> None:
        try:
            os.write(self._descriptor, OUT_HEADER.pack(OUT_HEADER.size, -EIO, unique))
        except OSError as error:
            log.error("nor an error instead: %s", error.strerror)

    async def run(
        self, session: Session, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until the mount is gone, or cancelled."""
        token = trio.lowlevel.current_trio_token()
        # A descriptor of its own: the number of one that was closed may be another file's.
        telling = os.dup(self._descriptor)
        notices = Notices(self._told, _writer(telling), token.run_sync_soon)
        session.begin(notices, self._sweep_wanted_now)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._sweep, session)
                task_status.started()
                await self._serve(session)
                nursery.cancel_scope.cancel()
        finally:
            session.end()
            trio.lowlevel.notify_closing(self._descriptor)
            os.close(self._descriptor)
            self.ended.set()
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(notices.join)
            os.close(telling)

    async def _serve(self, session: Session) -> None:
        """Read and run requests."""
        tick, ran = self._tick, 0
        while not self._is_over:
            more = self._turn(session, _REQUESTS_A_TURN - ran)
            ran += more
            if (more and tick()) or ran >= _REQUESTS_A_TURN:
                ran = 0
                await trio.lowlevel.checkpoint()
            elif session.is_full:
                await trio.sleep(_FULL_LOOK_S)
            elif not more and not (ran and self._linger()):
                ran = 0
                await trio.lowlevel.wait_readable(self._descriptor)

    def _turn(self, session: Session, most: int) -> int:
        """Run requests that are there; how many."""
        descriptor, read, handle = self._descriptor, os.read, session.handle
        ran = 0
        while ran < most and not self._is_over and not session.is_full:
            try:
                data = read(descriptor, _REQUEST_BYTES_MAX)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in DEVICE_ENDED:
                    self._is_over = True
                    break
                if error.errno in (REQUEST_GONE, EINTR):
                    continue  # interrupted before it was read
                raise
            if not data:
                self._is_over = True
                break
            handle(data)
            ran += 1
        return ran

    def _linger(self) -> bool:
        """Look for the next request for a moment, if that is likely to be worth it; whether there
        is one."""
        if not _SPINS:
            return False
        if self._luck <= 0 and self._unlucky < _UNLUCKY_MAX:
            self._unlucky += 1
            return False
        self._unlucky = 0
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        look, now = poll.poll, time.perf_counter
        until = now() + SPIN_S
        while now() < until:
            if look(0):
                self._luck = min(self._luck + 1, _LUCK_MAX)
                return True
        self._luck -= _LUCK_LOST
        return False

    def _sweep_wanted_now(self) -> None:
        self._sweep_wanted.set()

    async def _sweep(self, session: Session) -> None:
        """Tell the kernel of trees that were replaced, beside other work."""
        while True:
            await self._sweep_wanted.wait()
            self._sweep_wanted = trio.Event()
            while session.sweep():
                await trio.lowlevel.checkpoint()


def _writer(descriptor: int) -> Callable[[bytes], bool]:
    """What sends notices, on any thread."""

    def write(message: bytes) -> bool:
        try:
            os.write(descriptor, message)
        except OSError as error:
            return error.errno not in DEVICE_ENDED
        return True

    return write
