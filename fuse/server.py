"""A mount being served: its device in the event loop, and the thread that tells the kernel."""

from __future__ import annotations

import os
from collections.abc import Callable

import trio

from fuse.device import REQUESTS_A_TURN, Device
from fuse.errno import DEVICE_ENDED
from fuse.init import WRITE_BYTES_MAX
from fuse.notices import Notices, Told
from fuse.protocol import READ_BUFFER_BYTES_LEAST, REQUEST_BYTES
from fuse.session import Session

# Room for the longest request. The kernel wants some for the header of a WRITE beside its data.
_REQUEST_BYTES_MAX = WRITE_BYTES_MAX + max(REQUEST_BYTES, READ_BUFFER_BYTES_LEAST)
# Between two looks whether requests that wait for memory or the disk have become fewer.
_FULL_LOOK_S = 0.005


class Server:
    """See the module. It owns the descriptor, which `run` closes."""

    def __init__(self, descriptor: int, told: Told, tick: Callable[[], bool]) -> None:
        """`tick` is called when requests were run; it says whether others have work to do."""
        self._told, self._tick = told, tick
        self._device = Device(descriptor, _REQUEST_BYTES_MAX)
        self.send = self._device.send
        self._sweep_wanted = trio.Event()
        self.ended = trio.Event()

    async def run(
        self, session: Session, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until the mount is gone, or cancelled."""
        descriptor = self._device.descriptor
        token = trio.lowlevel.current_trio_token()
        # A descriptor of its own: the number of one that was closed may be another file's.
        telling = os.dup(descriptor)
        notices = Notices(self._told, _writer(telling), token.run_sync_soon)
        session.begin(notices, self._want_sweep)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._sweep, session)
                task_status.started()
                await self._serve(session)
                nursery.cancel_scope.cancel()
        finally:
            session.end()
            trio.lowlevel.notify_closing(descriptor)
            os.close(descriptor)
            self.ended.set()
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(notices.join)
            os.close(telling)

    async def _serve(self, session: Session) -> None:
        """Read and run requests."""
        device, tick = self._device, self._tick
        while True:
            ran = device.run(session, tick)
            if device.is_over:
                return
            if session.is_full:
                await trio.sleep(_FULL_LOOK_S)
            elif ran < REQUESTS_A_TURN:
                await trio.lowlevel.wait_readable(device.descriptor)
            else:
                await trio.lowlevel.checkpoint()

    def _want_sweep(self) -> None:
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
