"""What is exported: the store's branches and snapshots under the rules of the exports.

The realm that `nfs.exported` asks for. It keeps the read-only trees of snapshots that clients use,
and lets them go when the snapshot is deleted.
"""

from __future__ import annotations

import os
import secrets
from collections import OrderedDict
from pathlib import Path

from xxhash import xxh3_64_intdigest

from fsgw.exports import Exports
from fsgw.git_directories import GitDirectories, Sight
from gitdoor.writable import Writing
from nfs.export import Rule, Shown
from nfs.exported import Exported, Listed
from nfs.handle import KEY_BYTES, Handles, Volume
from nfs.peer import Peer
from store.errors import AccessDenied, NotDirectory, NotFound, Stale, StorageFailure, UnknownRef
from store.snapdir import SnapshotDirectory
from store.store import Store
from store.tree import Tree
from store.types import ROOT
from store.virtual import VirtualTree

KEY_FILE = "handle.key"
_PORT_PRIVILEGED = 1024
# Trees of snapshots kept open; each holds little more than its caches, which share one limit.
_VIEWS_MAX = 1024


def handle_key(directory: Path) -> bytes:
    """The secret that file handles are signed with; made, durably, when the store has none.

    It must outlive restarts, as handles do. Raises StorageFailure.
    """
    path = directory / KEY_FILE
    try:
        return _read_key(path)
    except FileNotFoundError:
        pass
    fresh = path.with_name(KEY_FILE + ".new")
    try:
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(path)
        fd = os.open(directory, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
        return _read_key(path)
    except OSError as error:
        raise StorageFailure(f"{path}: {error.strerror}") from error


def _read_key(path: Path) -> bytes:
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise StorageFailure(f"{path} is damaged: put it back, or remove it to void all handles")
    return key


class Realm:
    """See the module, and `nfs.exported.Realm` for the methods."""

    def __init__(
        self, store: Store, exports: Exports, key: bytes, git: GitDirectories | None = None
    ) -> None:
        """`git` is None where no `.git` is to be shown."""
        self._store, self._exports, self._git = store, exports, git
        self._id = store.engine.identity.id
        self.handles = Handles(self._id, key)
        self._views: OrderedDict[int, Tree] = OrderedDict()
        self._views_version = -1
        self._evicted = 0

    @property
    def version(self) -> int:
        """Grows with every change of the exports, and of branches and snapshots."""
        return self._exports.version + self._store.ids.version + self._evicted

    def close(self) -> None:
        """Let all trees of snapshots go."""
        for tree in self._views.values():
            self._store.close_view(tree)
        self._views.clear()

    # --- volumes ------------------------------------------------------------------------------

    def exported(self, volume: Volume, peer: Peer) -> Exported:
        """A volume for a client; see `nfs.exported.Realm`."""
        name = self._store.ids.branch_name(volume.branch)
        if name is None:
            raise Stale("the branch was deleted")
        rule = self._rule(name, peer)
        made = self._made(self._tree(volume), volume, rule, name)
        if (
            not volume.snapshot
            and rule.snapshots is not Shown.OFF
            and volume.root == made.tree.root
        ):
            writable = rule.snapshot_admin and not rule.read_only
            listed = rule.snapshots is Shown.LISTED
            directory = SnapshotDirectory(self._store, volume.branch, writable, listed)
            made.show(self._made(directory, volume, rule, name))
        if not volume.snapshot and rule.git is not Shown.OFF and self._git is not None:
            root = 0 if volume.root == made.tree.root else volume.root
            listed = rule.git is Shown.LISTED
            writing = self._writing(peer) if rule.git_write and not rule.read_only else None
            found = self._git.shared(volume.branch, root, self._sight(peer), listed, writing)
            made.show(self._made(found, volume, rule, name))
        return made

    def _sight(self, peer: Peer) -> Sight:
        """Which branches a client sees in a repository."""
        exports, address = self._exports, peer.address

        def may_see(branch: str) -> bool:
            rule = exports.rule(branch, address)
            return rule is not None and rule.git is not Shown.OFF

        return Sight(exports.those_for(address), may_see, lambda: exports.version)

    def _writing(self, peer: Peer) -> Writing:
        """Which branches a client may change by way of a repository."""

        def may_write(branch: str) -> bool:
            rule = self._exports.rule(branch, peer.address)
            return rule is not None and rule.git_write and not rule.read_only

        return Writing(may_write)

    def _made(self, tree: Tree | VirtualTree, volume: Volume, rule: Rule, name: str) -> Exported:
        prefix = self.handles.prefix(volume)
        # Constant for the volume, and different for every other: not the root's part of it, since
        # a sub-directory's export shows the same files as the whole.
        fsid = xxh3_64_intdigest(prefix[: len(prefix) - 8])
        return Exported(tree, rule, volume, prefix, fsid, name)

    def _rule(self, branch: str, peer: Peer) -> Rule:
        rule = self._exports.rule(branch, peer.address)
        if rule is None:
            raise AccessDenied(f"{branch} is not exported to {peer.address}")
        if rule.secure and peer.port >= _PORT_PRIVILEGED:
            raise AccessDenied(f"{branch} is exported to privileged ports only")
        return rule

    def _tree(self, volume: Volume) -> Tree:
        if not volume.snapshot:
            tree = self._store.ids.branch_tree(volume.branch)
            if tree is None:
                raise Stale("the branch was deleted")
            return tree
        return self._view(volume.snapshot)

    def _view(self, snapshot: int) -> Tree:
        """The tree of a snapshot. Raises Stale where it was deleted."""
        self._close_deleted()
        tree = self._views.get(snapshot)
        if tree is None:
            ref = self._store.ids.snapshot_ref(snapshot)
            if ref is None:
                raise Stale("the snapshot was deleted")
            tree = self._views[snapshot] = self._store.view(ref)
            if len(self._views) > _VIEWS_MAX:
                self._store.close_view(self._views.popitem(last=False)[1])
                self._evicted += 1  # who uses it asks for it again
        self._views.move_to_end(snapshot)
        return tree

    def _close_deleted(self) -> None:
        version = self._store.ids.version
        if version == self._views_version:
            return
        self._views_version = version
        for number in [n for n in self._views if self._store.ids.snapshot_ref(n) is None]:
            self._store.close_view(self._views.pop(number))

    # --- mounting -----------------------------------------------------------------------------

    def resolve(self, path: bytes, peer: Peer) -> tuple[Exported, int]:
        """What a mount of `/BRANCH[@SNAPSHOT][/sub/dir]` gives; see `nfs.exported.Realm`."""
        first, _, rest = path.strip(b"/").partition(b"/")
        branch, at, snapshot = first.decode("utf-8", "surrogateescape").partition("@")
        rule = self._exports.rule(branch, peer.address)
        if rule is None:
            # Whether there is such a branch is not for everyone to know.
            raise AccessDenied(f"{branch!r} is not exported to {peer.address}")
        ids = self._store.ids
        try:
            number = ids.branch(branch)
            found = ids.snapshot(branch, snapshot) if at else 0
        except UnknownRef as error:
            raise NotFound(str(error)) from None
        self._rule(branch, peer)
        tree = self._tree(Volume(number, found, 0))
        inode = tree.resolve(rest, ROOT)
        if inode.mode & 0o170000 != 0o040000:
            raise NotDirectory(f"{path!r} is not a directory")
        exported = self.exported(Volume(number, found, inode.ino), peer)
        return exported, inode.ino

    def admits(self, peer: Peer) -> bool:
        """Whether the client may see any branch at all."""
        return self._exports.may_mount_any(peer.address)

    def listed(self) -> list[Listed]:
        """Every branch that some client may mount, and who may."""
        listed = []
        for info in self._store.branches():
            clients = self._exports.clients_of(info.name)
            if clients:
                path = b"/" + info.name.encode("utf-8", "surrogateescape")
                listed.append(Listed(path, [client.encode() for client in clients]))
        return listed
