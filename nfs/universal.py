"""Universal addresses: transport addresses as rpcbind writes them (RFC 1833 2, RFC 5665 5.2.3).

`10.0.0.1.8.1` is port 2049 of 10.0.0.1: host, high byte and low byte of the port. The network id
(`tcp`, `udp`, `tcp6`, `udp6`) says the transport. Pure: no address is looked up or used here.
"""

from __future__ import annotations

import ipaddress
import struct
import sys
from typing import NamedTuple

# A host as text with a zone, and two bytes of a port, is shorter than this.
UADDR_BYTES_MAX = 128
# Room for the longest sockaddr, as rpcbind's own limit is: sizeof(struct sockaddr_storage).
TADDR_BYTES_MAX = 128

# A sockaddr begins with its family in the machine's own byte order (Linux).
_AF_INET, _AF_INET6 = 2, 10
_ORDER = "<" if sys.byteorder == "little" else ">"
_FAMILY = struct.Struct(f"{_ORDER}H")
_INET_BYTES, _INET6_BYTES = 16, 28


class Transport(NamedTuple):
    """What /etc/netconfig says of a network id: RFC 1833 2.1 gives it to clients."""

    family: str
    protocol: str
    semantics: int


# Semantics: NC_TPI_CLTS is 1 (datagrams), NC_TPI_COTS_ORD is 3 (streams with orderly release).
TRANSPORTS = {
    "udp": Transport("inet", "udp", 1),
    "tcp": Transport("inet", "tcp", 3),
    "udp6": Transport("inet6", "udp", 1),
    "tcp6": Transport("inet6", "tcp", 3),
}


def netid(protocol: str, address: str) -> str:
    """The network id of `tcp` or `udp` at an IP address."""
    return f"{protocol}6" if ":" in address else protocol


def is_wildcard(address: str) -> bool:
    """Whether a socket bound to the address takes what comes to any."""
    return address in ("0.0.0.0", "::")


def uaddr(address: str, port: int) -> bytes:
    """The universal address of a port at an IP address, whose zone means nothing elsewhere."""
    return f"{address.partition('%')[0]}.{port >> 8}.{port & 255}".encode()


def parse_uaddr(text: bytes) -> tuple[str, int] | None:
    """The IP address and port of a universal address; None for anything else."""
    try:
        host, high, low = text.decode("ascii").rsplit(".", 2)
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if not (_is_byte(high) and _is_byte(low)):
        return None
    return str(address), int(high) << 8 | int(low)


def _is_byte(text: str) -> bool:
    return text.isdigit() and len(text) <= 3 and int(text) <= 255


def taddr(address: str, port: int) -> bytes:
    """The address as the sockaddr of this machine; the zone of an IPv6 address is left out."""
    packed = ipaddress.ip_address(address).packed
    if len(packed) == 4:
        return _FAMILY.pack(_AF_INET) + struct.pack("!H4s8x", port, packed)
    return _FAMILY.pack(_AF_INET6) + struct.pack("!H4x16s4x", port, packed)


def parse_taddr(data: bytes) -> tuple[str, int] | None:
    """The IP address and port of a sockaddr of this machine; None for anything else."""
    if len(data) < _FAMILY.size:
        return None
    (family,) = _FAMILY.unpack_from(data)
    if family == _AF_INET and len(data) == _INET_BYTES:
        packed = data[4:8]
    elif family == _AF_INET6 and len(data) == _INET6_BYTES:
        packed = data[8:24]
    else:
        return None
    return str(ipaddress.ip_address(packed)), int.from_bytes(data[2:4], "big")
