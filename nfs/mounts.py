"""The mount table: which client says that it has mounted what, and since when.

For people to look at (RFC 1813 5: DUMP "has no effect on the protocol"): no access is decided by
it, and it is empty again after a restart. Clients fill it, so it is bounded, and each client can
only push out what it wrote itself until all the table is full. Pure.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

# A path has at most 1 KiB, so that a table filled by force takes some 10 MiB.
MOUNTS_MAX = 8192
# A host of containers mounts a branch for each; none needs an eighth of the table.
CLIENT_MOUNTS_MAX = 1024


class Mount(NamedTuple):
    """One entry: the client's IP address, the name it gave itself (empty: none), and the path."""

    address: str
    name: bytes
    path: bytes
    since_ns: int


class MountTable:
    """Mounts by client and path."""

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        """`clock` gives nanoseconds since the epoch."""
        self._clock = clock
        # Clients in the order in which they last mounted, the mounts of each in order of time.
        self._clients: dict[str, dict[bytes, Mount]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, address: str, name: bytes, path: bytes) -> None:
        """A client mounted a path; at a limit the oldest entry is forgotten: the client's own, or
        that of the client that has not mounted anything for longest."""
        self.remove(address, path)
        if len(self._clients.get(address, {})) >= CLIENT_MOUNTS_MAX:
            self._forget_oldest(address)
        elif self._count >= MOUNTS_MAX:
            self._forget_oldest(next(iter(self._clients)))
        mounts = self._clients.pop(address, {})
        mounts[path] = Mount(address, name, path, self._clock())
        self._clients[address] = mounts
        self._count += 1

    def _forget_oldest(self, address: str) -> None:
        self.remove(address, next(iter(self._clients[address])))

    def remove(self, address: str, path: bytes) -> bool:
        """A client unmounted a path; whether it had mounted it."""
        mounts = self._clients.get(address, {})
        if mounts.pop(path, None) is None:
            return False
        self._count -= 1
        if not mounts:
            del self._clients[address]
        return True

    def remove_all(self, address: str) -> int:
        """A client unmounted everything; how much that was."""
        count = len(self._clients.pop(address, {}))
        self._count -= count
        return count

    def entries(self) -> Iterator[Mount]:
        """All entries, client by client."""
        for mounts in self._clients.values():
            yield from mounts.values()
