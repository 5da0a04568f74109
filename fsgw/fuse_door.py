"""The FUSE door of a gateway: what is mounted where, from the first request to the last.

The directories of all mounts stand in a file of the store, so that a gateway that was killed leaves
a list of what the next one has to take away.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import select
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import trio

from fsgw.committer import Committer
from fsgw.git_directories import GitDirectories
from fsgw.logs import event
from fsgw.mount_options import MountOptions, parse
from fsgw.paths import split_ref
from fsgw.plain import Plain
from fuse import mounting
from fuse.operations import OPERATIONS
from fuse.server import Server
from fuse.session import Session
from gitdoor.writable import Writing
from store.directory import LOCK
from store.errors import InvalidArgument, NotDirectory, NotFound, Stale, UnknownRef
from store.snapdir import SnapshotDirectory
from store.store import Store
from store.tree import Tree
from store.virtual import VirtualTree

log = logging.getLogger(__name__)

RECORD = "mounts.json"


class Wanted(NamedTuple):
    """A mount that somebody asks for: `source` is REF[/sub/directory], `directory` absolute."""

    source: str
    directory: str
    options: tuple[str, ...] = ()


class _Mounted(NamedTuple):
    """A mount that is there."""

    wanted: Wanted
    session: Session
    server: Server
    view: Tree | None
    since_ns: int


class _Snapshots:
    """The trees of a branch's snapshots, for a session (`fuse.session.Snapshots`)."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def version(self) -> int:
        return self._store.ids.version

    def is_there(self, snapshot: int) -> bool:
        return self._store.ids.snapshot_ref(snapshot) is not None

    def open(self, snapshot: int) -> Tree:
        ref = self._store.ids.snapshot_ref(snapshot)
        if ref is None:
            raise Stale("the snapshot was deleted")
        return self._store.view(ref)

    def close(self, tree: Tree) -> None:
        self._store.close_view(tree)


class FuseDoor:
    """See the module. `run` until cancelled, `drain` before that."""

    def __init__(
        self,
        store: Store,
        committer: Committer,
        git: GitDirectories,
        wanted: Iterable[Wanted],
        directory: Path,
    ) -> None:
        """`wanted` is mounted at the start; `directory` is the store's."""
        self._store, self._committer, self._git = store, committer, git
        self._wanted = list(wanted)
        self._record = directory / RECORD
        self._mounts: dict[str, _Mounted] = {}
        self._turn = trio.Lock()
        # Everything that clients may be heard on, so that none has to wait for another's next word.
        self.others = select.epoll()
        self._nursery: trio.Nursery | None = None
        # Called when the last mount has gone, where that is to end the gateway.
        self.on_empty: Callable[[], None] | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; started once what was wanted is mounted. Raises as `mount`."""
        await self._clear_up()
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                for wanted in self._wanted:
                    await self.mount(wanted)
                task_status.started()
                await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await self._abandon()

    async def _abandon(self) -> None:
        """Take away what is mounted and not served any more, as a part of the gateway failed."""
        for place in reversed(list(self._mounts)):
            try:
                await trio.to_thread.run_sync(partial(mounting.unmount, place, lazy=True))
            except OSError as error:
                log.error("%s cannot be unmounted: %s", place, error.strerror)
            else:
                del self._mounts[place]
        self._write_record()

    async def _clear_up(self) -> None:
        """Take away what a gateway that was killed has left mounted."""
        for directory in await trio.to_thread.run_sync(_read_record, self._record):
            there = await trio.to_thread.run_sync(mounting.mounted_at, directory)
            if there is None or there.type != mounting.TYPE:
                continue
            if not await trio.to_thread.run_sync(mounting.is_dead, directory):
                continue  # another gateway's by now
            try:
                await trio.to_thread.run_sync(partial(mounting.unmount, directory, lazy=True))
            except OSError as error:
                log.error("%s cannot be unmounted: %s", directory, error.strerror)
            else:
                event(log, "unmounted", directory=directory, why="its gateway had ended")
        self._write_record()

    # --- mounting -----------------------------------------------------------------------------

    async def mount(self, wanted: Wanted) -> Plain:
        """Mount, and serve it from now on; its row of `mounts`.

        Raises InvalidArgument, UnknownRef, NotFound, NotDirectory, OSError.
        """
        if not os.path.isabs(wanted.directory):
            raise InvalidArgument(f"{wanted.directory!r} is no absolute path")
        options = parse(wanted.options)
        async with self._turn:
            place = await trio.to_thread.run_sync(os.path.realpath, wanted.directory)
            wanted = wanted._replace(directory=place)
            # What can be wrong with the source is found out before anything is mounted.
            tree, root, view, branch = self._resolved(wanted.source)
            try:
                check = partial(mounting.check_mount_point, place, may_be_full=options.nonempty)
                await trio.to_thread.run_sync(check)
                if view is not None:
                    options = options._replace(session=options.session._replace(read_only=True))
                kernel = (*options.kernel, *(["ro"] if view is not None else []))
                descriptor = await trio.to_thread.run_sync(
                    mounting.mount, place, wanted.source, kernel
                )
            except BaseException:
                if view is not None:
                    self._store.close_view(view)
                raise
            committer = self._committer
            server = Server(descriptor, committer.told, committer.tick, self.others)
            session = Session(
                tree,
                root,
                options.session,
                committer,
                committer.told,
                server.send,
                OPERATIONS,
                self._virtual(tree, root, branch, options),
                _Snapshots(self._store),
            )
            mounted = _Mounted(wanted, session, server, view, time.time_ns())
            self._mounts[place] = mounted
            self._write_record()
            assert self._nursery is not None
            await self._nursery.start(self._serve, mounted)
        event(log, "mounted", directory=place, source=wanted.source)
        return self._row(mounted)

    def _resolved(self, source: str) -> tuple[Tree, int, Tree | None, int]:
        """A source's tree, the inode of its directory, the tree again if it is a view to be closed,
        and its branch if it is not."""
        ref, path = split_ref(source)
        view, branch = None, 0
        try:
            branch = self._store.ids.branch(ref)
            tree = self._store.tree(ref)
        except UnknownRef:
            tree = view = self._store.view(ref)
        try:
            inode = tree.resolve(path)
            if inode.mode & 0o170000 != 0o040000:
                raise NotDirectory(f"{source!r} is not a directory")
        except (NotFound, NotDirectory):
            if view is not None:
                self._store.close_view(view)
            raise NotFound(f"{source!r}: there is no such directory") from None
        return tree, inode.ino, view, branch

    def _virtual(
        self, tree: Tree, root: int, branch: int, options: MountOptions
    ) -> list[VirtualTree]:
        """The virtual directories in a mount's root."""
        found: list[VirtualTree] = []
        if branch and root == tree.root and options.snapshots != "off":
            writable = options.snapshot_admin and not options.session.read_only
            listed = options.snapshots == "listed"
            found.append(SnapshotDirectory(self._store, branch, writable, listed))
        if branch and options.git != "off":
            inside = 0 if root == tree.root else root
            listed = options.git == "listed"
            writable = options.git_write and not options.session.read_only
            writing = Writing(lambda branch: True) if writable else None
            found.append(self._git.directory(branch, inside, self._git.all, listed, writing))
        return found

    async def _serve(
        self,
        mounted: _Mounted,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        try:
            await mounted.server.run(mounted.session, task_status=task_status)
        finally:
            if mounted.view is not None:
                self._store.close_view(mounted.view)
        del self._mounts[mounted.wanted.directory]
        self._write_record()
        event(log, "unmounted", directory=mounted.wanted.directory)
        if not self._mounts and self.on_empty is not None:
            self.on_empty()

    async def unmount(self, directory: str, *, lazy: bool = False) -> bool:
        """Unmount; what was changed there is durable when this returns, unless `lazy`. Says whether
        the gateway ends now, as it was the last mount.

        Raises InvalidArgument where nothing of this gateway's is mounted, OSError.
        """
        place = await trio.to_thread.run_sync(os.path.realpath, directory)
        mounted = self._mounts.get(place)
        if mounted is None:
            raise InvalidArgument(
                f"{directory!r}: nothing is mounted there, or not from this store"
            )
        await trio.to_thread.run_sync(partial(mounting.unmount, place, lazy=lazy))
        if lazy:
            return False
        await mounted.server.ended.wait()
        await self._committer.durable()
        return self.on_empty is not None and self._mounts.keys() <= {place}

    async def drain(self) -> None:
        """Unmount everything; what is in use ends with the gateway."""
        for place in reversed(list(self._mounts)):
            try:
                await self.unmount(place)
            except InvalidArgument:
                pass  # somebody else has
            except OSError as error:
                if error.errno != errno.EBUSY:
                    log.error("%s cannot be unmounted: %s", place, error.strerror)
                    continue
                log.warning("%s is in use; those who use it lose it", place)
                await trio.to_thread.run_sync(partial(mounting.unmount, place, lazy=True))

    def _write_record(self) -> None:
        """Have the next gateway know what this one has mounted."""
        wanted = [mounted.wanted for mounted in self._mounts.values()]
        rows = [{"directory": one.directory, "source": one.source} for one in wanted]
        draft = self._record.with_name(RECORD + ".new")
        try:
            draft.write_text(json.dumps(rows))
            draft.replace(self._record)
        except OSError as error:
            log.error("%s cannot be written: %s", self._record, error.strerror)

    # --- for those who watch ------------------------------------------------------------------

    def mounts(self) -> list[Plain]:
        """By directory: directory, source, options, since_ns, requests, nodes (inodes that the
        kernel knows)."""
        return [self._row(self._mounts[place]) for place in sorted(self._mounts)]

    @staticmethod
    def _row(mounted: _Mounted) -> Plain:
        return {
            "directory": mounted.wanted.directory,
            "source": mounted.wanted.source,
            "options": list(mounted.wanted.options),
            "since_ns": mounted.since_ns,
            "requests": mounted.session.requests,
            "nodes": len(mounted.session.nodes),
        }

    def status(self) -> Plain:
        """mounts, requests, untold (changes that kernels are yet to be told of)."""
        return {
            "mounts": len(self._mounts),
            "requests": sum(m.session.requests for m in self._mounts.values()),
            "untold": self._committer.told.pending,
        }


def free_dying(directory: Path) -> bool:
    """End the FUSE connections of a gateway that was killed and cannot end, as a thread of it waits
    in the kernel for a call of a mount that only it could answer; whether there was such a one.

    It still has the store at `directory` open, until that thread is let go.
    """
    try:
        pid = int((directory / LOCK).read_text())
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, ValueError, IndexError):
        return False
    if state != "Z":  # its first thread has ended, others may not have
        return False
    for place in _read_record(directory / RECORD):
        there = mounting.mounted_at(place)
        if there is not None and there.type == mounting.TYPE:
            mounting.abort(there)
    return True


def _read_record(path: Path) -> list[str]:
    """The directories in a record; none where there is none that can be read."""
    try:
        rows = json.loads(path.read_text())
        return [str(row["directory"]) for row in rows]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError) as error:
        log.error("%s cannot be read: %s", path, error)
        return []
