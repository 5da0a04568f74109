"""Our programs in a rpcbind that runs on this host: put there at the start, taken out at the end.

Asks rpcbind over its Unix socket, which is where it knows root, in version 4 or 3; a port mapper
that has neither is asked over loopback in version 2. What is registered there for a program of
ours is a leftover, and replaced, unless somebody answers where it points to: then it is another
server's, and stays. rpcbind is a convenience for clients: where it fails the log says so, and the
gateway goes on.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

import trio

from nfs import portmap
from nfs.portmap import IPPROTO, PORT, PROTOCOL, Registry, Service, flag, mapping, pmaplist
from nfs.program import NOTHING, Nothing
from nfs.rpc_client import RpcClient, RpcFailed, call_message
from nfs.rpcbind import OWNER, PROGRAM
from nfs.rpcbind_types import rpcb, rpcblist
from nfs.universal import TRANSPORTS, is_wildcard, parse_uaddr, uaddr

log = logging.getLogger(__name__)

SOCKET = "/run/rpcbind.sock"
# rpcbind answers from memory; one that takes longer than this is stuck, and is done without.
TIMEOUT_S = 5.0
# How long a server that may or may not be there has to refuse a connection.
_PROBE_S = 1.0
_NULL, _SET, _UNSET, _DUMP = 0, 1, 2, 4
_LOOPBACK = {"inet": "127.0.0.1", "inet6": "::1"}
_WILDCARD = {"inet": "0.0.0.0", "inet6": "::"}


class NotRegistered(Exception):
    """A running rpcbind did not take all of our programs, or there is none."""


class Entry(NamedTuple):
    """What rpcbind has, or is to have: a version of a program on a transport, and where."""

    program: int
    version: int
    netid: str
    address: str
    port: int


def entries(services: Iterable[Service]) -> list[Entry]:
    """What to register: one entry for each transport, as rpcbind has room for one. It has all
    addresses of the family where a program answers at several; rpcbind's own program is its own.
    """
    found: dict[tuple[int, int, str], Entry] = {}
    for service in services:
        if service.program == PROGRAM:
            continue
        netid = service.netid
        key = service.program, service.version, netid
        address = service.address
        if key in found and found[key].address != address:
            address = _WILDCARD[TRANSPORTS[netid].family]
        port = found[key].port if key in found else service.port
        found[key] = Entry(*key, address, port)
    return list(found.values())


class _Rpcbind4:
    """rpcbind's version 4, or 3: they do not differ here."""

    def __init__(self, client: RpcClient, version: int = 4) -> None:
        self._client, self._version = client, version

    async def _change(self, procedure: int, arguments: rpcb) -> bool:
        program = PROGRAM
        return (await self._client.call(program, self._version, procedure, arguments, flag)).result

    async def dump(self) -> list[Entry]:
        """All that is registered over IP."""
        found = await self._client.call(PROGRAM, self._version, _DUMP, NOTHING, rpcblist)
        return [
            Entry(entry.r_prog, entry.r_vers, netid, *parsed)
            for entry in found.entries
            if (netid := entry.r_netid.decode("ascii", "replace")) in TRANSPORTS
            and (parsed := parse_uaddr(entry.r_addr))
        ]

    async def set(self, entry: Entry) -> bool:
        """Register; whether it was done."""
        address = uaddr(entry.address, entry.port)
        arguments = rpcb(entry.program, entry.version, entry.netid.encode(), address, OWNER)
        return await self._change(_SET, arguments)

    async def unset(self, program: int, version: int) -> bool:
        """Take a version of a program out on all transports; whether it was done."""
        return await self._change(_UNSET, rpcb(program, version, b"", b"", OWNER))


class _Portmap2:
    """The port mapper's version 2: IPv4, and ports without addresses."""

    def __init__(self, client: RpcClient) -> None:
        self._client = client

    async def _change(self, procedure: int, arguments: mapping) -> bool:
        version = portmap.VERSION
        return (await self._client.call(PROGRAM, version, procedure, arguments, flag)).result

    async def dump(self) -> list[Entry]:
        """All that is registered."""
        found = await self._client.call(PROGRAM, portmap.VERSION, _DUMP, NOTHING, pmaplist)
        return [
            Entry(entry.prog, entry.vers, PROTOCOL[entry.prot], "0.0.0.0", entry.port)
            for entry in found.entries
            if entry.prot in PROTOCOL and entry.port < 1 << 16
        ]

    async def set(self, entry: Entry) -> bool:
        """Register; whether it was done. What has an IPv6 address has no place here."""
        protocol = IPPROTO.get(entry.netid)
        if protocol is None:
            return True
        program, version = entry.program, entry.version
        return await self._change(_SET, mapping(program, version, protocol, entry.port))

    async def unset(self, program: int, version: int) -> bool:
        """Take a version of a program out on all transports; whether it was done."""
        return await self._change(_UNSET, mapping(program, version, 0, 0))


Rpcbind = _Rpcbind4 | _Portmap2


class Place(NamedTuple):
    """Where rpcbind is to be found: its Unix socket, and a host and port for version 2."""

    socket_path: str = SOCKET
    host: str = "127.0.0.1"
    port: int = PORT


HERE = Place()


@asynccontextmanager
async def _rpcbind(place: Place) -> AsyncIterator[Rpcbind | None]:
    """The rpcbind that runs, in the best version that it has; None where there is none."""
    async with AsyncExitStack() as streams:
        for unix, versions in ((True, (4, 3)), (False, (portmap.VERSION,))):
            try:
                with trio.fail_after(TIMEOUT_S):
                    stream: trio.SocketStream = (
                        await trio.open_unix_socket(place.socket_path)
                        if unix
                        else await trio.open_tcp_stream(place.host, place.port)
                    )
            except (OSError, trio.TooSlowError):
                continue
            client = RpcClient(await streams.enter_async_context(stream), TIMEOUT_S)
            for version in versions:
                try:
                    await client.call(PROGRAM, version, _NULL, NOTHING, Nothing)
                except RpcFailed as error:
                    log.debug("no rpcbind in version %d: %s", version, error)
                else:
                    yield _Rpcbind4(client, version) if unix else _Portmap2(client)
                    return
        yield None


async def _answers(entry: Entry) -> bool:
    """Whether anybody is where an entry points to. Who neither refuses nor answers is."""
    transport = TRANSPORTS[entry.netid]
    host = _LOOPBACK[transport.family] if is_wildcard(entry.address) else entry.address
    with trio.move_on_after(_PROBE_S):
        try:
            if transport.protocol == "tcp":
                await (await trio.open_tcp_stream(host, entry.port)).aclose()
            else:
                await _exchange(host, entry)
        except OSError:
            return False
    return True


async def _exchange(host: str, entry: Entry) -> None:
    """Send the NULL call, and receive anything. Raises OSError: refused."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with trio.socket.socket(family, socket.SOCK_DGRAM) as sock:
        await sock.connect((host, entry.port))
        await sock.send(call_message(1, entry.program, entry.version, _NULL, b""))
        await sock.recv(1)


def _is_ours(entry: Entry, services: Iterable[Service]) -> bool:
    """Whether an entry points to where we answer ourselves: it can only be of an earlier run."""
    return any(
        service.port == entry.port
        and service.netid == entry.netid
        and (is_wildcard(entry.address) or service.reached_at(entry.address))
        for service in services
    )


class Registered:
    """What was put into rpcbind: versions of programs, as (program, version)."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.versions: list[tuple[int, int]] = []
        self.refused: list[tuple[int, int]] = []

    async def register(self, registry: Registry) -> bool:
        """Put in what there is; whether a rpcbind runs. Raises RpcFailed."""
        async with _rpcbind(self._place) as rpcbind:
            if rpcbind is None:
                return False
            existing = await rpcbind.dump()
            wanted: dict[tuple[int, int], list[Entry]] = {}
            for entry in entries(registry.services):
                wanted.setdefault((entry.program, entry.version), []).append(entry)
            for key, mine in wanted.items():
                there = [entry for entry in existing if entry[:2] == key]
                if await self._is_free(key, there, registry) and await self._put(
                    rpcbind, key, mine, leftovers=bool(there)
                ):
                    self.versions.append(key)
                else:
                    self.refused.append(key)
        return True

    async def _is_free(self, key: tuple[int, int], there: list[Entry], registry: Registry) -> bool:
        for entry in there:
            if not _is_ours(entry, registry.services) and await _answers(entry):
                where = f"{entry.netid} {entry.address} port {entry.port}"
                log.warning("rpcbind has another server's program %d version %d: %s", *key, where)
                return False
        return True

    async def _put(
        self, rpcbind: Rpcbind, key: tuple[int, int], mine: list[Entry], *, leftovers: bool
    ) -> bool:
        if leftovers:
            await rpcbind.unset(*key)
        for entry in mine:
            if not await rpcbind.set(entry):
                log.warning("rpcbind refuses program %d version %d (%s)", *key, entry.netid)
                await rpcbind.unset(*key)
                return False
        return True

    async def unregister(self) -> None:
        """Take it out again. What fails is logged: the next start replaces what was left."""
        versions, self.versions = self.versions, []
        if not versions:
            return
        try:
            async with _rpcbind(self._place) as rpcbind:
                if rpcbind is None:
                    log.info("rpcbind has ended before us")
                    return
                for key in versions:
                    await rpcbind.unset(*key)
        except RpcFailed as error:
            log.warning("programs are left in rpcbind: %s", error)
        else:
            log.info("unregistered with rpcbind")


async def register(
    registry: Registry, place: Place = HERE, *, required: bool = False
) -> Registered | None:
    """Register our programs with the rpcbind that runs; None where none runs or it takes nothing.

    Not to be called by a gateway that is the host's port mapper itself. Raises NotRegistered
    where it is required, and not all was registered; nothing is left in rpcbind then.
    """
    registered, trouble = Registered(place), ""
    try:
        if not await registered.register(registry):
            trouble = "no rpcbind runs"
    except RpcFailed as error:
        trouble = f"rpcbind failed: {error}"
    names = ", ".join(f"{program} version {version}" for program, version in registered.versions)
    if names:
        log.info("registered with rpcbind: %s", names)
    if registered.refused and not trouble:
        trouble = "rpcbind did not take all programs"
    if trouble and required:
        await registered.unregister()
        raise NotRegistered(trouble)
    if trouble:
        log.warning("%s: clients have to name the ports they use", trouble)
    return registered if registered.versions else None


@asynccontextmanager
async def registered(
    registry: Registry, place: Place = HERE, *, required: bool = False
) -> AsyncIterator[Registered | None]:
    """`register` on the way in; unregistered on the way out, also when cancelled."""
    mine = await register(registry, place, required=required)
    try:
        yield mine
    finally:
        if mine is not None:
            with trio.CancelScope(shield=True):
                await mine.unregister()
