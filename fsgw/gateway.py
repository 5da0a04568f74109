"""The gateway process: one store, its doors, the admin API, and their beginning and end.

Everything runs in one event loop on the main thread; see `committer` for what other threads do. A
part that fails takes the whole down: what is in memory is made durable as far as that goes, and the
process ends with the error. There is no half a gateway.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from fsgw.admin_socket import AdminServer, listen
from fsgw.api import application
from fsgw.committer import Committer
from fsgw.config import Config
from fsgw.exports import Exports
from fsgw.fuse_door import FuseDoor, Wanted, free_dying
from fsgw.git_directories import GitDirectories
from fsgw.http_server import HttpServer
from fsgw.logs import event
from fsgw.nfs_door import NfsDoor
from fsgw.notify import notify
from fsgw.plain import Plain
from fsgw.process import compiled
from fsgw.running import Runner
from fsgw.status import Rates
from store.errors import AlreadyOpen, InvalidArgument
from store.store import Store

if TYPE_CHECKING:
    from fsgw.git_door import GitDoor

log = logging.getLogger(__name__)

# How often, and how long after each other, it is tried to open a store whose gateway is ending.
_ENDING_LOOKS, _ENDING_LOOK_S = 100, 0.05


class Gateway:
    """A gateway of an open store; `run` may be called once."""

    def __init__(self, store: Store, config: Config) -> None:
        """Raises InvalidArgument for exports that are wrong, StorageFailure, OSError."""
        self.store, self.config = store, config
        self.directory: Path = config.directory.absolute()
        self.socket: Path = config.socket.absolute()
        self.exports_file: Path = config.exports_file.absolute()
        self.started_ns, self.started_s = time.time_ns(), time.monotonic()
        self.committer = Committer(
            store, config.store.flush_bytes, config.store.flush_age_ms / 1000
        )
        self.exports = Exports(self.exports_file)
        self.git = GitDirectories(store, self.committer)
        self.door = NfsDoor(
            store, self.exports, self.committer, self.git, config.nfs, self.directory
        )
        wanted = [Wanted(m.source, str(m.directory), m.options) for m in config.mount]
        self.fuse = FuseDoor(store, self.committer, self.git, wanted, self.directory)
        self.fuse.others.register(self.door.server.heard_on, select.EPOLLIN)
        self.rates = Rates(self)
        self.is_ready = False
        self._stopping = trio.Event()
        self._at_once = trio.Event()

    async def run(self, ready: Callable[[Plain], None]) -> None:
        """Serve until `stop` or a signal (SIGTERM, SIGINT), then end in order.

        `ready` is called once clients can connect. Raises AlreadyOpen where another gateway has
        the admin socket, NotRegistered, OSError, and whatever a part fails with, alone or in a
        group; the store is not closed here.
        """
        sock = listen(self.socket, self.config.admin.socket_mode)
        runner = Runner(self)
        api = AdminServer(application(runner, self.config.admin.request_bytes_max), sock)
        git = self._git_door(runner)
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async with trio.open_nursery() as nursery:
                await nursery.start(self.committer.run)
                await nursery.start(self.git.run, runner)
                nursery.start_soon(self._obey, signals)
                await nursery.start(api.run)
                told: Plain = {}
                if self.config.nfs.enabled:
                    bound: Plain = await nursery.start(self.door.run)
                    told = {f"nfs_{key}": value for key, value in bound.items()}
                nursery.start_soon(self.rates.run)
                if git is not None:
                    await nursery.start(git.server.run)
                    told |= {f"git_{key}": value for key, value in git.bound.items()}
                await nursery.start(self.fuse.run)
                ready({**told, "socket": str(self.socket)})
                self.is_ready = True
                await self._stopping.wait()
                await self._drain([api] if git is None else [api, git.server])
                await self.committer.durable()
                nursery.cancel_scope.cancel()

    def stop(self) -> None:
        """End in order; a second call does not wait for clients any longer."""
        if self._stopping.is_set():
            self._at_once.set()
        self._stopping.set()

    def end(self) -> None:
        """End in order; nothing new where it ends already."""
        self._stopping.set()

    async def _obey(self, signals: object) -> None:
        async for number in signals:  # type: ignore[attr-defined]
            if number == signal.SIGHUP:
                self._reload()
            else:
                self.stop()

    def _reload(self) -> None:
        try:
            changed = self.exports.reload()
        except (InvalidArgument, OSError) as error:
            log.error("the exports stay as they are: %s", error)
        else:
            event(log, "exports", changed=changed)

    def _git_door(self, runner: Runner) -> GitDoor | None:
        """The door for git, where the configuration has one."""
        if not self.config.git.listen:
            return None
        from fsgw.git_door import GitDoor

        return GitDoor(self.store, self.exports, runner, self.config.git)

    async def _drain(self, servers: list[HttpServer]) -> None:
        """Let clients have their answers, for as long as the configuration gives them."""
        event(log, "stopping")
        notify("STOPPING=1")
        with trio.move_on_after(self.config.nfs.drain_timeout_s) as limit:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._hurry, nursery.cancel_scope)
                async with trio.open_nursery() as parts:
                    for server in servers:
                        parts.start_soon(server.drain)
                    parts.start_soon(self.door.drain)
                    parts.start_soon(self.fuse.drain)
                nursery.cancel_scope.cancel()
        if limit.cancelled_caught or self._at_once.is_set():
            log.warning("not all clients had their answers in time")
        for server in servers:
            server.hang_up()

    async def _hurry(self, scope: trio.CancelScope) -> None:
        await self._at_once.wait()
        scope.cancel()


def serve(
    config: Config, *, while_mounted: bool = False, ready: Callable[[], None] = lambda: None
) -> None:
    """Open the store and serve it until a signal ends it, having made everything durable.

    `while_mounted`: the end of the last FUSE mount ends it as well. `ready` is called once clients
    can come.

    Raises what opening the store, `Gateway` and `Gateway.run` raise, when it is alone.
    """
    with _opened(config) as store:
        gateway = Gateway(store, config)
        if while_mounted:
            gateway.fuse.on_empty = gateway.end
        event(log, "start", store=str(gateway.directory), pid=os.getpid(), compiled=compiled())
        try:
            trio.run(gateway.run, lambda bound: _ready(bound, ready))
        except BaseExceptionGroup as group:
            error = _only(group)
            if gateway.is_ready:
                log.error("the gateway failed", exc_info=error)
            raise error from None
        finally:
            gateway.door.realm.close()
    event(log, "stop")


def _opened(config: Config) -> Store:
    """The store, also where the gateway before was killed and has yet to end in the kernel."""
    try:
        return Store.open(config.directory, config.options)
    except AlreadyOpen:
        if not free_dying(config.directory):
            raise
    for _ in range(_ENDING_LOOKS):
        try:
            return Store.open(config.directory, config.options)
        except AlreadyOpen:
            time.sleep(_ENDING_LOOK_S)
    return Store.open(config.directory, config.options)


def _ready(bound: Plain, ready: Callable[[], None]) -> None:
    event(log, "ready", **bound)
    notify("READY=1")
    ready()


def _only(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The exception in a group that has only one; else the group."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup) and len(found.exceptions) == 1:
        found = found.exceptions[0]
    return found
