"""MOUNT version 3 (RFC 1813 5): from a path to the handle of its root.

Whether a client may mount is the realm's to say, and again at every NFS call: a handle alone opens
nothing. Nothing here knows branches, export rules or sockets.
"""

# ruff: noqa: N801  the RFC's names

from __future__ import annotations

import enum as python_enum
import logging
from typing import Annotated, NamedTuple

from nfs.codec import codec
from nfs.exported import Realm
from nfs.mounts import MountTable
from nfs.nfs3_types import nfsstat3
from nfs.program import NOTHING, Call, Nothing, Program, null, procedure, table
from nfs.rpc import AUTH_NONE, AUTH_SYS, authsys_parms
from nfs.status import status
from nfs.xdr import array, chain, enum, opaque, string, uint32, union
from store.errors import AccessDenied, StoreError

log = logging.getLogger(__name__)

PROGRAM, VERSION = 100005, 3
MNTPATHLEN, MNTNAMLEN, FHSIZE3 = 1024, 255, 64

# What MNT offers, the best first (RFC 2623 2.5).
FLAVOURS = [AUTH_SYS, AUTH_NONE]

dirpath = Annotated[bytes, string(MNTPATHLEN)]
name = Annotated[bytes, string(MNTNAMLEN)]
fhandle3 = Annotated[bytes, opaque(FHSIZE3)]


class mountstat3(python_enum.IntEnum):
    """RFC 1813 5.1.5."""

    OK = 0
    PERM = 1
    NOENT = 2
    IO = 5
    ACCES = 13
    NOTDIR = 20
    INVAL = 22
    NAMETOOLONG = 63
    NOTSUPP = 10004
    SERVERFAULT = 10006


class mountargs(NamedTuple):
    """RFC 1813 5.2.1 and 5.2.3."""

    dirpath: dirpath


class mountres3_ok(NamedTuple):
    """RFC 1813 5.2.1."""

    fhandle: fhandle3
    auth_flavors: Annotated[list[int], array(uint32)]


class mountres3(NamedTuple):
    """RFC 1813 5.2.1."""

    result: Annotated[
        tuple[int, mountres3_ok | None], union(enum(*mountstat3), {mountstat3.OK: mountres3_ok})
    ]


class mountbody(NamedTuple):
    """RFC 1813 5.2.2."""

    ml_hostname: name
    ml_directory: dirpath


class mountlist(NamedTuple):
    """RFC 1813 5.2.2."""

    entries: Annotated[list[mountbody], chain(mountbody)]


class exportnode(NamedTuple):
    """RFC 1813 5.2.5; an empty list of groups: exported to everyone."""

    ex_dir: dirpath
    ex_groups: Annotated[list[bytes], chain(name)]


class exports(NamedTuple):
    """RFC 1813 5.2.5."""

    entries: Annotated[list[exportnode], chain(exportnode)]


def mount_status(error: StoreError) -> mountstat3:
    """The status of an error. MOUNT has a part of NFS's, with the same numbers."""
    found = status(error)
    if found is nfsstat3.STALE:
        # The branch went between the look-up of its name and that of its root.
        return mountstat3.NOENT
    try:
        return mountstat3(found)
    except ValueError:
        return mountstat3.SERVERFAULT


_parms = codec(authsys_parms)


def _machine_name(call: Call) -> bytes:
    """The name that the client gives itself; empty where it gives none."""
    if call.caller is None:
        return b""
    return _parms.decode(call.credential[8:]).machinename


def _text(path: bytes) -> str:
    """A path as one line of a log shows it."""
    shown = path.decode("utf-8", "backslashreplace")
    return shown if shown.isprintable() else ascii(shown)[1:-1]


class _Mount:
    """The procedures' handlers."""

    def __init__(self, realm: Realm, mounts: MountTable) -> None:
        self._realm, self._mounts = realm, mounts

    def mnt(self, call: Call, arguments: mountargs) -> mountres3:
        """MOUNTPROC3_MNT."""
        address, path = call.peer.address, arguments.dirpath
        try:
            if not self._realm.admits(call.peer):
                raise AccessDenied("no export is for this client")
            exported, ino = self._realm.resolve(path, call.peer)
        except StoreError as error:
            refusal = mount_status(error)
            _tell(f"mount refused ({refusal.name})", address, path)
            return mountres3((refusal, None))
        self._mounts.add(address, _machine_name(call), path)
        _tell("mounted", address, path)
        handle = self._realm.handles.make(exported.prefix, ino)
        return mountres3((mountstat3.OK, mountres3_ok(handle, FLAVOURS)))

    def dump(self, call: Call, arguments: Nothing) -> mountlist:
        """MOUNTPROC3_DUMP: who mounts what is no business of those who may mount nothing."""
        if not self._realm.admits(call.peer):
            return mountlist([])
        entries = self._mounts.entries()
        return mountlist([mountbody(entry.address.encode(), entry.path) for entry in entries])

    def umnt(self, call: Call, arguments: mountargs) -> Nothing:
        """MOUNTPROC3_UMNT, of the caller's own mounts."""
        if self._mounts.remove(call.peer.address, arguments.dirpath):
            _tell("unmounted", call.peer.address, arguments.dirpath)
        return NOTHING

    def umntall(self, call: Call, arguments: Nothing) -> Nothing:
        """MOUNTPROC3_UMNTALL, of the caller's own mounts."""
        address = call.peer.address
        count = self._mounts.remove_all(address)
        if count:
            log.info("%s unmounted all: %d", address, count, extra={"address": address})
        return NOTHING

    def export(self, call: Call, arguments: Nothing) -> exports:
        """MOUNTPROC3_EXPORT."""
        return exports([exportnode(path, clients) for path, clients in self._realm.listed()])


def _tell(what: str, address: str, path: bytes) -> None:
    """One line in the log."""
    shown = _text(path)
    log.info("%s %s %s", address, what, shown, extra={"address": address, "path": shown})


def program(realm: Realm, mounts: MountTable) -> Program:
    """MOUNT for a realm. Version 3 alone: an older client hears PROG_MISMATCH, 3 to 3."""
    handlers = _Mount(realm, mounts)
    rows = [
        null(),
        procedure(1, "MNT", mountargs, mountres3, handlers.mnt),
        procedure(2, "DUMP", Nothing, mountlist, handlers.dump),
        procedure(3, "UMNT", mountargs, Nothing, handlers.umnt),
        procedure(4, "UMNTALL", Nothing, Nothing, handlers.umntall),
        procedure(5, "EXPORT", Nothing, exports, handlers.export),
    ]
    return Program(PROGRAM, "MOUNT", {VERSION: table(rows)})
