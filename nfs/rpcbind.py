"""rpcbind, versions 3 and 4 (RFC 1833 2), with the port mapper's version 2 in one program.

Answers from the registry; registers nothing for anybody else, so SET and UNSET are false. The
procedures that pass calls on (CALLIT, BCAST, INDIRECT) are not there (PROC_UNAVAIL), as where
rpcbind is built or set up without them: they serve to hide who calls, and to turn a small datagram
into a large one for a third. Pure.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from nfs import portmap
from nfs.portmap import Registry, Service, flag, mapping, port_number
from nfs.program import Call, Nothing, Procedure, Program, null, procedure, table
from nfs.rpcbind_types import (
    netbuf,
    rpcb,
    rpcb_entry,
    rpcb_entry_list,
    rpcb_stat,
    rpcb_stat_byvers,
    rpcblist,
    rpcbs_addrlist,
    rpcbs_proc,
    seconds,
    universal_address,
)
from nfs.universal import (
    TRANSPORTS,
    is_wildcard,
    netid,
    parse_taddr,
    parse_uaddr,
    taddr,
    uaddr,
)

PROGRAM = portmap.PROGRAM
# Who registered a program: rpcbind gives a user's name here, we are the only one.
OWNER = b"fsgw"

# Programs that clients asked for in vain: whatever they like, so only the first are counted. They
# are few because GETSTAT goes by datagram to whoever a client claims to be.
_MISSED_MAX = 32


def _count(number: int) -> int:
    """A counter as the wire has it: it stays at the highest rather than turn negative."""
    return min(number, 2**31 - 1)


class Statistics:
    """What GETSTAT gives."""

    def __init__(self) -> None:
        self._calls: Counter[tuple[int, int]] = Counter()
        self._found: Counter[tuple[int, int, int, str]] = Counter()
        self._missed: Counter[tuple[int, int, int, str]] = Counter()

    def called(self, version: int, number: int) -> None:
        """A procedure of a version of rpcbind was called."""
        self._calls[version, number] += 1

    def looked_up(self, by: int, program: int, version: int, netid: str, *, found: bool) -> None:
        """A client asked version `by` where a version of a program is."""
        key = by, program, version, netid
        if found:
            self._found[key] += 1
        elif key in self._missed or len(self._missed) < _MISSED_MAX:
            self._missed[key] += 1

    def of(self, version: int) -> rpcb_stat:
        """The figures of one version of rpcbind."""
        calls = (_count(self._calls[version, number]) for number in range(13))
        lookups = [
            rpcbs_addrlist(
                prog, vers, _count(self._found[key]), _count(self._missed[key]), netid.encode()
            )
            for key in dict.fromkeys((*self._found, *self._missed))
            for by, prog, vers, netid in [key]
            if by == version
        ]
        return rpcb_stat(rpcbs_proc(*calls), 0, 0, lookups, [])


def registered_address(service: Service) -> bytes:
    """The universal address that a service is bound to."""
    return uaddr(service.address, service.port)


def _address_for(call: Call, service: Service) -> bytes:
    """The universal address at which the client reaches a service: for one that is bound to all
    addresses, the one of ours that this call came to."""
    local = call.peer.local_address
    if is_wildcard(service.address) and local:
        return uaddr(local, service.port)
    return registered_address(service)


def _netid_of(call: Call) -> str:
    """The network id of the transport that a call came over, which the caller's r_netid does not
    change (RFC 1833 2.2.1)."""
    return netid(call.peer.transport, call.peer.local_address or call.peer.address)


class _Rpcbind:
    """The procedures' handlers."""

    def __init__(
        self, registry: Registry, statistics: Statistics, clock: Callable[[], float]
    ) -> None:
        self._registry, self._statistics, self._clock = registry, statistics, clock

    def _services(self, call: Call, program: int) -> list[Service]:
        """Where a program answers to the caller, on any transport of its family."""
        local = call.peer.local_address
        family = TRANSPORTS[_netid_of(call)].family
        return [
            service
            for netid, transport in TRANSPORTS.items()
            if transport.family == family
            for service in self._registry.at(netid, local, program)
        ]

    def refuse(self, call: Call, arguments: rpcb) -> flag:
        """RPCBPROC_SET and RPCBPROC_UNSET."""
        return flag(False)

    def getaddr(self, call: Call, arguments: rpcb) -> universal_address:
        """RPCBPROC_GETADDR: of another version where there is not the one wanted."""
        netid, (program, version, *_) = _netid_of(call), arguments
        found = self._registry.find(netid, call.peer.local_address, program, version)
        return universal_address(_address_for(call, found) if found else b"")

    def getversaddr(self, call: Call, arguments: rpcb) -> universal_address:
        """RPCBPROC_GETVERSADDR: of that version only."""
        netid, (program, version, *_) = _netid_of(call), arguments
        found = self._registry.find(netid, call.peer.local_address, program, version)
        if found is None or found.version != version:
            return universal_address(b"")
        return universal_address(_address_for(call, found))

    def dump(self, call: Call, arguments: Nothing) -> rpcblist:
        """RPCBPROC_DUMP."""
        entries = [
            rpcb(
                service.program,
                service.version,
                service.netid.encode(),
                registered_address(service),
                OWNER,
            )
            for service in self._registry.services
        ]
        return rpcblist(entries)

    def gettime(self, call: Call, arguments: Nothing) -> seconds:
        """RPCBPROC_GETTIME."""
        return seconds(int(self._clock()) & 0xFFFF_FFFF)

    def uaddr2taddr(self, call: Call, arguments: universal_address) -> netbuf:
        """RPCBPROC_UADDR2TADDR."""
        parsed = parse_uaddr(arguments.address)
        if parsed is None:
            return netbuf(0, b"")
        packed = taddr(*parsed)
        return netbuf(len(packed), packed)

    def taddr2uaddr(self, call: Call, arguments: netbuf) -> universal_address:
        """RPCBPROC_TADDR2UADDR."""
        parsed = parse_taddr(arguments.buf)
        return universal_address(uaddr(*parsed) if parsed else b"")

    def getaddrlist(self, call: Call, arguments: rpcb) -> rpcb_entry_list:
        """RPCBPROC_GETADDRLIST: of that version, over all transports of the caller's family."""
        entries = []
        for service in self._services(call, arguments.r_prog):
            if service.version == arguments.r_vers:
                family, protocol, semantics = TRANSPORTS[service.netid]
                entry = rpcb_entry(
                    _address_for(call, service),
                    service.netid.encode(),
                    semantics,
                    family.encode(),
                    protocol.encode(),
                )
                entries.append(entry)
        return rpcb_entry_list(entries)

    def getstat(self, call: Call, arguments: Nothing) -> rpcb_stat_byvers:
        """RPCBPROC_GETSTAT."""
        return rpcb_stat_byvers(*(self._statistics.of(version) for version in (2, 3, 4)))


def _counted(
    version: int, rows: Iterable[Procedure], statistics: Statistics
) -> dict[int, Procedure]:
    """The same procedures, counting their calls and, where they look up a program, the outcome."""

    def counted(row: Procedure) -> Procedure:
        def handler(call: Call, arguments: Any) -> Any:
            statistics.called(version, row.number)
            result = row.handler(call, arguments)
            if isinstance(result, universal_address | port_number):
                match arguments:
                    case rpcb(prog, vers):
                        netid = _netid_of(call)
                    case mapping(prog, vers, prot):
                        netid = portmap.PROTOCOL.get(prot, "")
                    case _:
                        return result
                statistics.looked_up(version, prog, vers, netid, found=any(result))
            return result

        return row._replace(handler=handler)

    return table(counted(row) for row in rows)


def program(
    registry: Registry,
    statistics: Statistics | None = None,
    clock: Callable[[], float] = time.time,
) -> Program:
    """The program in its three versions; `clock` gives seconds since the epoch."""
    statistics = statistics or Statistics()
    handlers = _Rpcbind(registry, statistics, clock)
    version3 = [
        null(),
        procedure(1, "SET", rpcb, flag, handlers.refuse),
        procedure(2, "UNSET", rpcb, flag, handlers.refuse),
        procedure(3, "GETADDR", rpcb, universal_address, handlers.getaddr),
        procedure(4, "DUMP", Nothing, rpcblist, handlers.dump),
        procedure(6, "GETTIME", Nothing, seconds, handlers.gettime),
        procedure(7, "UADDR2TADDR", universal_address, netbuf, handlers.uaddr2taddr),
        procedure(8, "TADDR2UADDR", netbuf, universal_address, handlers.taddr2uaddr),
    ]
    version4 = [
        *version3,
        procedure(9, "GETVERSADDR", rpcb, universal_address, handlers.getversaddr),
        procedure(11, "GETADDRLIST", rpcb, rpcb_entry_list, handlers.getaddrlist),
        procedure(12, "GETSTAT", Nothing, rpcb_stat_byvers, handlers.getstat),
    ]
    versions = {2: portmap.procedures(registry).values(), 3: version3, 4: version4}
    return Program(
        PROGRAM,
        "RPCBIND",
        {version: _counted(version, rows, statistics) for version, rows in versions.items()},
    )
