"""The open device of a mount: requests read and run, replies written, without an event loop.

A caller that waits for one answer before it asks again does so at once: so the next request is
looked for a moment before the device is left to the event loop, where that has paid of late. To
look first and then to read costs less than a read that finds nothing.
"""

from __future__ import annotations

import logging
import os
import select
import time
from collections.abc import Callable

from fuse.errno import DEVICE_ENDED, EINTR, EIO, REQUEST_GONE
from fuse.protocol import OUT_HEADER
from fuse.session import Session
from store.memtable import Buffer

log = logging.getLogger(__name__)

# Requests run before other tasks get their turn: some milliseconds.
REQUESTS_A_TURN = 64
# ... and between two looks whether what they changed should be written.
_REQUESTS_A_TICK = 16
# To look for the next request so long costs about what falling asleep and waking up does. A single
# processor is better left to the caller.
SPIN_S = 0.00008 if (os.cpu_count() or 1) > 1 else 0.0
# Looking is given up where it has found nothing, and tried again now and then.
_LUCK_MAX, _LUCK_LOST, _UNLUCKY_MAX = 16, 4, 64


class Device:
    """See the module. The descriptor is closed by its owner."""

    def __init__(self, descriptor: int, request_bytes_max: int) -> None:
        self.descriptor = descriptor
        # Whether the mount is gone.
        self.is_over = False
        self._request_bytes_max = request_bytes_max
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        self._look: Callable[[int], list[tuple[int, int]]] = poll.poll
        self._luck = self._unlucky = 0

    def send(self, parts: list[Buffer]) -> None:
        """Send one reply. That nobody waits for it any more is no error."""
        try:
            if len(parts) == 1:
                os.write(self.descriptor, parts[0])
            else:
                os.writev(self.descriptor, parts)
        except OSError as error:
            self._not_sent(error, parts)

    def _not_sent(self, error: OSError, parts: list[Buffer]) -> None:
        if error.errno in DEVICE_ENDED:
            self.is_over = True
        elif error.errno != REQUEST_GONE:
            log.error("the kernel does not take a reply: %s", error.strerror)
            _, _, unique = OUT_HEADER.unpack_from(parts[0])
            try:
                os.write(self.descriptor, OUT_HEADER.pack(OUT_HEADER.size, -EIO, unique))
            except OSError as again:
                log.error("nor an error instead: %s", again.strerror)

    def run(self, session: Session, tick: Callable[[], bool]) -> int:
        """Run requests until none comes, or others are to have their turn; how many.

        `tick` is called when something may have to be written; it says whether other tasks have
        work to do.
        """
        ran = 0
        while ran < REQUESTS_A_TURN and not session.is_full and self._is_there(ran):
            data = self._read()
            if data is None:
                if self.is_over:
                    break
                continue
            session.handle(data)
            ran += 1
            if (session.waits or ran % _REQUESTS_A_TICK == 0) and tick():
                return REQUESTS_A_TURN
        if ran and tick():
            return REQUESTS_A_TURN
        return ran

    def _read(self) -> bytes | None:
        """One request; None for one that is gone again, or where there will be none."""
        try:
            data = os.read(self.descriptor, self._request_bytes_max)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno in DEVICE_ENDED:
                self.is_over = True
                return None
            if error.errno in (REQUEST_GONE, EINTR):
                return None  # interrupted before it was read
            raise
        if not data:
            self.is_over = True
            return None
        return data

    def _is_there(self, ran: int) -> bool:
        """Whether there is a request to read; after others, one that comes within a moment."""
        look = self._look
        if look(0):
            return True
        if not ran:
            return False
        if self._luck <= 0 and self._unlucky < _UNLUCKY_MAX:
            self._unlucky += 1
            return False
        self._unlucky = 0
        now = time.perf_counter
        until = now() + SPIN_S
        while now() < until:
            if look(0):
                if self._luck < _LUCK_MAX:
                    self._luck += 1
                return True
        self._luck -= _LUCK_LOST
        return False
