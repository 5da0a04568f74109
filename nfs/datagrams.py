"""RPC over UDP: one dispatcher's programs on one socket.

For MOUNT and rpcbind, which answer at once. A datagram is a call and its answer is one datagram,
or nothing: what is no call is ignored, and where the network has no room an answer is dropped,
for its client will ask again. Nothing is held between one datagram and the next.
"""

from __future__ import annotations

import logging
import socket
import struct
from collections.abc import Callable
from typing import Any

import trio

from nfs import rpc
from nfs.dispatch import Dispatcher
from nfs.peer import Peer
from nfs.rpc import AcceptStat, BadMessage
from nfs.universal import is_wildcard
from nfs.xdr import Buffer

log = logging.getLogger(__name__)

# What ONC RPC clients have room for (UDPMSGSIZE). It also bounds what a forged source address
# makes us send to a third: a longer answer is SYSTEM_ERR, and TCP has it.
DATAGRAM_BYTES_MAX = 8800
# Datagrams taken before all else gets its turn.
_AT_ONCE = 16

# <linux/in.h>; the socket module has the constants for IPv6 only.
_IP_PKTINFO = 8
_PKTINFO = struct.Struct("@i4s4s")
_PKTINFO6 = struct.Struct("@16sI")
_ANCILLARY_BYTES = socket.CMSG_SPACE(_PKTINFO6.size)

Ancillary = list[tuple[int, int, bytes]]


class DatagramServer:
    """A bound UDP socket and the programs behind it.

    `address` and `port` say where it is bound; `received`, `answered` and `ignored` count
    datagrams.
    """

    def __init__(self, dispatcher: Dispatcher, address: str, port: int) -> None:
        """Bind to an IP address and a port (0: any free one). Raises OSError."""
        self._dispatcher = dispatcher
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            # An answer leaves from the address that was called, which only this tells.
            if family == socket.AF_INET6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            else:
                self._socket.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            self._socket.bind((address, port))
        except OSError:
            self._socket.close()
            raise
        self.address, self.port = self._socket.getsockname()[:2]
        self.received = self.answered = self.ignored = 0

    async def serve(self) -> None:
        """Answer until cancelled; the socket is closed then."""
        try:
            while True:
                await trio.lowlevel.wait_readable(self._socket)
                self._take_some()
        finally:
            self.close()

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()

    def _take_some(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                message, ancillary, flags, source = self._socket.recvmsg(
                    DATAGRAM_BYTES_MAX, _ANCILLARY_BYTES
                )
            except BlockingIOError:
                return
            except OSError as error:
                log.debug("no datagram received: %s", error)
                return
            self.received += 1
            if flags & socket.MSG_TRUNC:
                self.ignored += 1
            else:
                self._take(message, ancillary, source)

    def _take(self, message: bytes, ancillary: Ancillary, source: Any) -> None:
        local, origin = _called(ancillary)
        if not local and not is_wildcard(self.address):
            local = self.address
        peer = Peer(source[0].partition("%")[0], source[1], "udp", local)
        peer.received_bytes = len(message)
        try:
            self._dispatcher.dispatch(message, peer, self._answerer(peer, source, origin))
        except BadMessage:
            self.ignored += 1

    def _answerer(
        self, peer: Peer, source: Any, origin: Ancillary
    ) -> Callable[[list[Buffer]], None]:
        def send(reply: list[Buffer]) -> None:
            datagram = b"".join(reply)
            if len(datagram) > DATAGRAM_BYTES_MAX:
                datagram = datagram[:4] + rpc.accepted(AcceptStat.SYSTEM_ERR)
            try:
                self._socket.sendmsg([datagram], origin, 0, source)
            except OSError as error:
                # No room, no route, or a source that nothing can be sent to.
                log.debug("answer to %s dropped: %s", peer.address, error)
            else:
                self.answered += 1

        return send


def _called(ancillary: Ancillary) -> tuple[str, Ancillary]:
    """The address of ours that a datagram came to (empty: unknown), and what makes its answer
    leave from there."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            _, local, _ = _PKTINFO.unpack(data)
            origin = _PKTINFO.pack(0, local, bytes(4))
            return socket.inet_ntop(socket.AF_INET, local), [(level, kind, origin)]
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            local, _ = _PKTINFO6.unpack(data)
            origin = _PKTINFO6.pack(local, 0)
            return socket.inet_ntop(socket.AF_INET6, local), [(level, kind, origin)]
    return "", []
