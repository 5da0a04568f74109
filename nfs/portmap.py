"""The port mapper, version 2 (RFC 1833 3), and the registry that it and rpcbind read.

It tells clients at which port each of our programs is, and registers nothing for anybody else: SET
and UNSET answer false. CALLIT is not there (PROC_UNAVAIL): a call passed on by datagram lets
anyone use this host to send another, larger answer to a third. Pure.
"""

# ruff: noqa: N801  the RFC's names

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, NamedTuple

from nfs.program import Call, Nothing, Procedure, Program, null, procedure, table
from nfs.universal import is_wildcard, netid
from nfs.xdr import boolean, chain, uint32

PROGRAM, VERSION = 100000, 2
PORT = 111
IPPROTO = {"tcp": 6, "udp": 17}
PROTOCOL = {number: name for name, number in IPPROTO.items()}


class Service(NamedTuple):
    """A version of a program where it answers: `tcp` or `udp`, a bound IP address, a port."""

    program: int
    version: int
    protocol: str
    address: str
    port: int

    @property
    def netid(self) -> str:
        """The network id, as rpcbind has them."""
        return netid(self.protocol, self.address)

    def reached_at(self, local_address: str) -> bool:
        """Whether who called us at that address (empty: unknown) finds this there too."""
        return not local_address or is_wildcard(self.address) or self.address == local_address


class Registry:
    """What we serve, and where."""

    def __init__(self) -> None:
        self.services: list[Service] = []

    def add(self, programs: Iterable[Program], protocol: str, address: str, port: int) -> None:
        """Programs that answer at a bound address, in all their versions."""
        for program in programs:
            for version in program.versions:
                self.services.append(Service(program.number, version, protocol, address, port))

    def at(self, netid: str, local_address: str, program: int) -> list[Service]:
        """Where a program answers on a transport to a client that reached a local address."""
        return [
            service
            for service in self.services
            if service.program == program
            and service.netid == netid
            and service.reached_at(local_address)
        ]

    def find(self, netid: str, local_address: str, program: int, version: int) -> Service | None:
        """The service that a client asks for; another version of the program where there is not
        the one it wants, so that it learns from PROG_MISMATCH which there are."""
        there = self.at(netid, local_address, program)
        same = [service for service in there if service.version == version]
        return next(iter(same or there), None)


class mapping(NamedTuple):
    """RFC 1833 3.1."""

    prog: uint32
    vers: uint32
    prot: uint32
    port: uint32


class pmaplist(NamedTuple):
    """RFC 1833 3.1."""

    entries: Annotated[list[mapping], chain(mapping)]


class flag(NamedTuple):
    """The result of SET and UNSET (RFC 1833 3.1)."""

    result: boolean


class port_number(NamedTuple):
    """The result of GETPORT: 0 where the program is not registered (RFC 1833 3.1)."""

    port: uint32


class _Portmap:
    """The procedures' handlers."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def refuse(self, call: Call, arguments: mapping) -> flag:
        """PMAPPROC_SET and PMAPPROC_UNSET."""
        return flag(False)

    def getport(self, call: Call, arguments: mapping) -> port_number:
        """PMAPPROC_GETPORT: a port at the address that the client called, whatever its family."""
        protocol, local = PROTOCOL.get(arguments.prot), call.peer.local_address
        if protocol is None:
            return port_number(0)
        wanted = netid(protocol, local)
        found = self._registry.find(wanted, local, arguments.prog, arguments.vers)
        return port_number(found.port if found else 0)

    def dump(self, call: Call, arguments: Nothing) -> pmaplist:
        """PMAPPROC_DUMP: this version knows IPv4 only."""
        entries = [
            mapping(service.program, service.version, IPPROTO[service.protocol], service.port)
            for service in self._registry.services
            if service.netid in IPPROTO
        ]
        return pmaplist(list(dict.fromkeys(entries)))


def procedures(registry: Registry) -> dict[int, Procedure]:
    """The table of version 2; `nfs.rpcbind` has the whole program."""
    handlers = _Portmap(registry)
    return table(
        [
            null(),
            procedure(1, "SET", mapping, flag, handlers.refuse),
            procedure(2, "UNSET", mapping, flag, handlers.refuse),
            procedure(3, "GETPORT", mapping, port_number, handlers.getport),
            procedure(4, "DUMP", Nothing, pmaplist, handlers.dump),
        ]
    )
