"""What all NFS procedures share: handles opened under the export's rule, and failures answered.

A procedure is a function of the door, the call and its arguments; it returns the status and the
result, or raises a store error, which `answering` turns into the status and the attributes that a
failed call owes its client (RFC 1813 1.7: a client's cache depends on them). Pure.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, NamedTuple

from nfs import attributes
from nfs.buffers import Buffers
from nfs.exported import Exported, Realm
from nfs.handle import BadHandle
from nfs.nfs3_types import nfsstat3
from nfs.program import Again, Call
from nfs.shown import Shown, ShownVolumes
from nfs.status import FAILURES, ForgedHandle, OtherVolume, status
from store.errors import Busy, Exists, InvalidName, NotPermitted, ReadOnly
from store.types import Change, Inode
from store.virtual import NUMBERS_FROM, NotYet

OK = nfsstat3.OK
Result = tuple[int, Any]
Act = Callable[["Door", Call, Any], Any]
# What a failed call's result holds besides the status.
Fail = Callable[["Door", Call, Any], Any]

# How often a call is tried again when memory was full, before the client hears JUKEBOX: each
# time a flush or a checkpoint has made room, which others may have taken.
TRIES = 8


class Limits(NamedTuple):
    """Bytes of data in one READ and WRITE, as FSINFO tells them (RFC 1813 3.3.19)."""

    read_bytes_max: int = 1 << 20
    write_bytes_max: int = 1 << 20


class Door:
    """NFS version 3 to one realm. `verifier` is that of all writes until the gateway ends."""

    def __init__(self, realm: Realm, limits: Limits | None = None) -> None:
        self.realm = realm
        self.limits = limits or Limits()
        self.verifier = secrets.token_bytes(8)
        self.buffers = Buffers(self.limits.read_bytes_max)
        self.handles = realm.handles
        self._shown = ShownVolumes(realm.handles)

    def open(self, call: Call, handle: bytes) -> tuple[Exported, int]:
        """What a handle opens for the caller, and the inode number.

        Raises ForgedHandle, Stale, AccessDenied.
        """
        try:
            prefix, ino = self.handles.parse(handle)
        except BadHandle as error:
            raise ForgedHandle(str(error)) from None
        peer, realm = call.peer, self.realm
        version = realm.version
        if peer.exports_version != version:
            peer.exports.clear()
            peer.exports_version = version
        exported = peer.exports.get(prefix)
        if exported is None:
            exported = self._let_in(call, prefix)
        if ino >= NUMBERS_FROM:
            return exported.holding(ino), ino
        return exported, ino

    def _let_in(self, call: Call, prefix: bytes) -> Exported:
        try:
            volume = self.handles.volume(prefix)
        except BadHandle as error:
            raise ForgedHandle(str(error)) from None
        exported = self.realm.exported(volume, call.peer)
        exported.shown = self._shown.of(prefix, exported.fsid)
        call.peer.exports[prefix] = exported
        return exported

    def open_to_change(self, call: Call, handle: bytes) -> tuple[Exported, int]:
        """The same, for a call that changes something. Raises ReadOnly as well."""
        exported, ino = self.open(call, handle)
        if exported.rule.read_only:
            raise ReadOnly(f"{exported.branch} is exported read-only")
        return exported, ino

    def open_two(self, call: Call, first: bytes, second: bytes) -> tuple[Exported, int, int]:
        """Two handles of one volume, for a call that changes something. Raises OtherVolume."""
        exported, ino = self.open_to_change(call, first)
        other, other_ino = self.open_to_change(call, second)
        if other is not exported:
            raise OtherVolume("the two handles are of different volumes")
        return exported, ino, other_ino

    def handle(self, exported: Exported, ino: int) -> bytes:
        """The handle of an inode."""
        return self.handles.make(exported.prefix, ino)

    def shown(self, exported: Exported, inode: Inode) -> Shown:
        """An inode's attributes and handle, as replies have them."""
        if exported.shown is not None:
            return exported.shown.of(inode)
        handle = self.handles.make(exported.prefix, inode.ino)
        return Shown(inode, attributes.post_op(inode, exported.fsid), handle)

    # --- virtual directories ------------------------------------------------------------------

    def check_new_name(self, exported: Exported, directory: int, name: bytes) -> None:
        """Raise Exists for a name that a virtual directory has."""
        if exported.hides(directory, name):
            raise Exists(f"{name!r} is a virtual directory")

    def check_old_name(self, exported: Exported, directory: int, name: bytes) -> None:
        """Raise NotPermitted for a virtual directory, which nobody removes or renames."""
        if exported.hides(directory, name):
            raise NotPermitted(f"{name!r} is a virtual directory")

    # --- answers ------------------------------------------------------------------------------

    def settled(self, call: Call, exported: Exported, fail: Callable[[], Any]) -> None:
        """Have the reply wait until the change is durable, where the export is synchronous."""
        if exported.rule.sync:
            self.durable(call, fail)

    def durable(self, call: Call, fail: Callable[[], Any]) -> None:
        """Have the reply wait until all changes made until now are durable."""
        call.failed = lambda error: (status(error), fail())

    def attributes(self, call: Call, handle: bytes) -> bytes:
        """An object's post_op_attr as it now is, empty where the caller may not have it."""
        try:
            exported, ino = self.open(call, handle)
            return self.shown(exported, exported.tree.getattr(ino)).attributes
        except (*FAILURES, NotYet):
            return attributes.NO_ATTRIBUTES

    def unchanged(self, call: Call, handle: bytes) -> bytes:
        """The wcc_data of an object that a failed call did not change."""
        try:
            exported, ino = self.open(call, handle)
            inode = exported.tree.getattr(ino)
        except (*FAILURES, NotYet):
            return attributes.NO_WCC
        return attributes.wcc(Change(inode, inode), exported.fsid)


def no_dots(name: bytes) -> bytes:
    """A name that is to be made, if it is one. Raises InvalidName for `.` and `..`."""
    if name in (b".", b".."):
        raise InvalidName(f"{name!r} is in every directory")
    return name


def answering(door: Door, act: Act, fail: Fail) -> Callable[[Call, Any], Any]:
    """A procedure's handler: the act, or the status and attributes of its failure."""

    def handler(call: Call, arguments: Any) -> Any:
        try:
            return act(door, call, arguments)
        except Busy as error:
            call.tries += 1
            if call.tries < TRIES:
                return Again
            call.keep = False
            return status(error), fail(door, call, arguments)
        except NotYet as wait:
            return wait
        except FAILURES as error:
            return status(error), fail(door, call, arguments)

    return handler
