"""The NFS door of a gateway: programs, listeners, and the port mapper, as the configuration says.

All programs answer on the one NFS port, so that forwarding that port is enough. Where the
configuration says so they are announced as well: by a port mapper of our own, or, where one runs
on the host, by that.
"""

from __future__ import annotations

import errno
import logging
import resource
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from fsgw.committer import Committer
from fsgw.config import NfsConfig
from fsgw.exports import Exports
from fsgw.git_directories import GitDirectories
from fsgw.plain import Plain
from fsgw.realm import Realm, handle_key
from nfs import mount3, nfs3, registration, rpcbind
from nfs.connection import Limits
from nfs.datagrams import DatagramServer
from nfs.dispatch import Dispatcher
from nfs.door import Door
from nfs.door import Limits as DataLimits
from nfs.mounts import MountTable
from nfs.portmap import Registry
from nfs.replies import ReplyCache
from nfs.server import Server, Timeouts, listen
from store.store import Store

log = logging.getLogger(__name__)

# Descriptors besides those of connections: packs, the database, the journal, listeners.
_OTHER_FILES = 512


class NfsDoor:
    """See the module. `run` until cancelled, `drain` before that."""

    def __init__(
        self,
        store: Store,
        exports: Exports,
        committer: Committer,
        git: GitDirectories,
        config: NfsConfig,
        directory: Path,
    ) -> None:
        """`directory` is the store's. Raises StorageFailure where the handles' key is not to be
        had."""
        self._config, self._committer = config, committer
        self.realm = Realm(store, exports, handle_key(directory), git)
        self.mounts = MountTable()
        self._registry = Registry()
        self._programs = [
            nfs3.program(
                Door(self.realm, DataLimits(config.read_bytes_max, config.write_bytes_max))
            ),
            mount3.program(self.realm, self.mounts),
        ]
        portmap = rpcbind.program(self._registry)
        replies = ReplyCache(config.duplicate_requests_max)
        self.dispatcher = Dispatcher([*self._programs, portmap], committer, replies)
        # What answers a datagram: NFS itself is for TCP only.
        self._small = Dispatcher([self._programs[1], portmap], committer)
        self._portmap = Dispatcher([portmap], committer)
        self.server = Server(
            self.dispatcher,
            committer.tick,
            Limits(
                config.record_bytes_max,
                config.connection_calls_max,
                config.connection_buffer_bytes_max,
            ),
            config.connections_max,
            Timeouts(config.receive_timeout_s, config.send_timeout_s, config.idle_timeout_s),
        )
        self._portmapper = Server(self._portmap, lambda: False)
        committer.answered = self.server.push
        self.port = 0
        # Who announces the port: `own`, `rpcbind`, or nobody (empty).
        self.announced_by = ""

    async def run(self, *, task_status: trio.TaskStatus[Plain] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; started with `port` and `portmap` once clients can connect.

        Raises OSError where an address cannot be bound, NotRegistered where the port must be
        announced and cannot be.
        """
        _raise_files_limit(self._config.connections_max + _OTHER_FILES)
        async with trio.open_nursery() as nursery:
            await nursery.start(self.server.serve, await self._listen())
            for address in self._config.listen if self._config.udp else ():
                self._start_datagrams(nursery, self._small, address, self.port)
            async with self._announced(nursery):
                task_status.started({"port": self.port, "portmap": self.announced_by})
                await trio.sleep_forever()

    async def drain(self) -> None:
        """Take no more connections, and answer what is under way."""
        await self.server.drain()

    async def _listen(self) -> list[socket.socket]:
        """Listeners on all addresses, on one and the same port."""
        port, sockets = self._config.port, []
        for address in self._config.listen:
            for sock in await listen(address, port):
                port = sock.getsockname()[1]
                sockets.append(sock)
                self._registry.add(self._programs, "tcp", address, port)
        self.port = port
        return sockets

    def _start_datagrams(
        self, nursery: trio.Nursery, dispatcher: Dispatcher, address: str, port: int
    ) -> None:
        server = DatagramServer(dispatcher, address, port)
        if dispatcher is self._small:
            self._registry.add(self._programs[1:], "udp", address, server.port)
        nursery.start_soon(server.serve)

    # --- announcing ---------------------------------------------------------------------------

    @asynccontextmanager
    async def _announced(self, nursery: trio.Nursery) -> AsyncIterator[None]:
        """A section in which clients can ask for the port, as far as that was wanted."""
        how = self._config.portmap
        if how == "off":
            yield
        elif await self._bind_portmap(nursery):
            self.announced_by = "own"
            yield
        else:
            required = how == "require"
            async with registration.registered(self._registry, required=required) as mine:
                self.announced_by = "rpcbind" if mine is not None else ""
                yield

    async def _bind_portmap(self, nursery: trio.Nursery) -> bool:
        """Be the host's port mapper, unless there is one or we may not."""
        config, sockets = self._config, []
        port = config.portmap_port
        try:
            for address in config.listen:
                found = await listen(address, port)
                sockets += found
                port = found[0].getsockname()[1]
        except OSError as error:
            for sock in sockets:
                sock.close()
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            log.info("port %d is not ours to bind: %s", port, error.strerror)
            return False
        programs = self._portmap.programs.values()
        await nursery.start(self._portmapper.serve, sockets)
        for address in config.listen:
            self._registry.add(programs, "tcp", address, port)
            if config.udp:
                self._start_datagrams(nursery, self._portmap, address, port)
                self._registry.add(programs, "udp", address, port)
        return True

    # --- for those who watch ------------------------------------------------------------------

    def status(self) -> Plain:
        """port, portmap (who announces it), connections, calls, duplicates (calls answered from
        the cache), refused (connections)."""
        connections = self.server.connections()
        return {
            "port": self.port,
            "portmap": self.announced_by,
            "connections": len(connections),
            "calls": self.server.calls,
            "duplicates": self.dispatcher.replies.hits,
            "refused": self.server.refused,
        }

    def clients(self) -> list[Plain]:
        """By address: connections, since_s (seconds since the epoch), calls, received_bytes,
        sent_bytes, under_way (calls), mounts (paths that the client says it has mounted)."""
        rows: dict[str, Plain] = {}
        totals: dict[str, Counter[str]] = {}
        for info in self.server.connections():
            total = totals.setdefault(info.address, Counter())
            total["connections"] += 1
            for name in ("calls", "received_bytes", "sent_bytes", "under_way"):
                total[name] += getattr(info, name)
            row = rows.setdefault(info.address, {"address": info.address, "since_s": info.since_s})
            row["since_s"] = min(row["since_s"], info.since_s)
        mounts: dict[str, list[str]] = {}
        for mount in self.mounts.entries():
            mounts.setdefault(mount.address, []).append(mount.path.decode("utf-8", "replace"))
            rows.setdefault(
                mount.address, {"address": mount.address, "since_s": mount.since_ns / 1e9}
            )
        names = ("connections", "calls", "received_bytes", "sent_bytes", "under_way")
        return [
            {
                **row,
                **{name: totals.get(address, Counter())[name] for name in names},
                "mounts": mounts.get(address, []),
            }
            for address, row in sorted(rows.items())
        ]


def _raise_files_limit(wanted: int) -> None:
    """Let this process have so many descriptors, as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < wanted:
        log.warning("%d connections need a limit of %d open files", wanted - _OTHER_FILES, wanted)
