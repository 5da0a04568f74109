"""From a store's error to the status that NFS and MOUNT give for it: one total table.

No other module of this package chooses a status for a store error.
"""

from __future__ import annotations

from nfs.nfs3_types import nfsstat3
from store import errors
from store.errors import StoreError


class Refusal(Exception):
    """What NFS itself refuses, before the store is asked; never raised itself."""


class BadType(Refusal):
    """MKNOD of a type that it does not make (RFC 1813 3.3.11)."""


class TooSmall(Refusal):
    """A directory entry that does not fit where the client wants it (RFC 1813 3.3.16)."""


class ForgedHandle(Refusal):
    """A file handle that was never given out (RFC 1813 2.6)."""


class OtherVolume(Refusal):
    """A call that would reach from one volume into another (RFC 1813 3.3.14)."""


Failure = StoreError | Refusal
FAILURES = (StoreError, Refusal)

STATUS: dict[type[Failure], nfsstat3] = {
    BadType: nfsstat3.BADTYPE,
    TooSmall: nfsstat3.TOOSMALL,
    ForgedHandle: nfsstat3.BADHANDLE,
    OtherVolume: nfsstat3.XDEV,
    errors.NotFound: nfsstat3.NOENT,
    errors.Exists: nfsstat3.EXIST,
    errors.NotDirectory: nfsstat3.NOTDIR,
    errors.IsDirectory: nfsstat3.ISDIR,
    errors.NotEmpty: nfsstat3.NOTEMPTY,
    errors.AccessDenied: nfsstat3.ACCES,
    errors.NotPermitted: nfsstat3.PERM,
    errors.InvalidName: nfsstat3.INVAL,
    errors.NameTooLong: nfsstat3.NAMETOOLONG,
    errors.InvalidArgument: nfsstat3.INVAL,
    errors.FileTooBig: nfsstat3.FBIG,
    errors.TooManyLinks: nfsstat3.MLINK,
    errors.Stale: nfsstat3.STALE,
    errors.NotSync: nfsstat3.NOT_SYNC,
    errors.BadCookie: nfsstat3.BAD_COOKIE,
    errors.ReadOnly: nfsstat3.ROFS,
    errors.NoSpace: nfsstat3.NOSPC,
    errors.QuotaExceeded: nfsstat3.DQUOT,
    errors.Busy: nfsstat3.JUKEBOX,
    errors.NoAttribute: nfsstat3.INVAL,
    errors.Unsupported: nfsstat3.NOTSUPP,
    errors.StorageFailure: nfsstat3.IO,
    errors.Damaged: nfsstat3.IO,
    errors.NotAStore: nfsstat3.IO,
    errors.WrongVersion: nfsstat3.IO,
    errors.AlreadyOpen: nfsstat3.IO,
    errors.UnknownRef: nfsstat3.NOENT,
    errors.AmbiguousId: nfsstat3.INVAL,
    errors.InvalidRef: nfsstat3.INVAL,
    errors.RefExists: nfsstat3.EXIST,
    errors.RefConflict: nfsstat3.JUKEBOX,
    errors.RefInUse: nfsstat3.PERM,
}


def status(error: Failure) -> nfsstat3:
    """The status of what went wrong."""
    return STATUS[type(error)]
