"""A client's connection as the programs see it: where it comes from, and what it may use.

Knows no socket: the server makes a peer for each connection (or datagram), and keeps its figures.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nfs.exported import Exported

_numbers = itertools.count(1)


class Peer:
    """One connection's other end.

    `address` is an IP address as text, `port` its port, `transport` `tcp` or `udp`;
    `local_address` is the address of ours that it called, empty where that is unknown. `exports`
    holds what this peer was let into, by the prefix of its handles, as of `exports_version`.
    """

    __slots__ = (
        "address",
        "port",
        "transport",
        "local_address",
        "number",
        "calls",
        "received_bytes",
        "sent_bytes",
        "reading_bytes",
        "exports",
        "exports_version",
    )

    def __init__(
        self, address: str, port: int, transport: str = "tcp", local_address: str = ""
    ) -> None:
        self.address, self.port, self.transport = address, port, transport
        self.local_address = local_address
        self.number = next(_numbers)
        self.calls = self.received_bytes = self.sent_bytes = 0
        # Data that is being read from disk for replies.
        self.reading_bytes = 0
        self.exports: dict[bytes, Exported] = {}
        self.exports_version = -1
