"""From a store's error to the errno that the kernel gives its caller: one total table.

No other module of this package chooses an errno for a store error.
"""

from __future__ import annotations

import errno

from store import errors
from store.errors import StoreError

ERRNO: dict[type[StoreError], int] = {
    errors.NotFound: errno.ENOENT,
    errors.Exists: errno.EEXIST,
    errors.NotDirectory: errno.ENOTDIR,
    errors.IsDirectory: errno.EISDIR,
    errors.NotEmpty: errno.ENOTEMPTY,
    errors.AccessDenied: errno.EACCES,
    errors.NotPermitted: errno.EPERM,
    errors.InvalidName: errno.EINVAL,
    errors.NameTooLong: errno.ENAMETOOLONG,
    errors.InvalidArgument: errno.EINVAL,
    errors.FileTooBig: errno.EFBIG,
    errors.TooManyLinks: errno.EMLINK,
    errors.Stale: errno.ESTALE,
    errors.NotSync: errno.EAGAIN,
    errors.BadCookie: errno.EINVAL,
    errors.ReadOnly: errno.EROFS,
    errors.NoSpace: errno.ENOSPC,
    errors.QuotaExceeded: errno.EDQUOT,
    errors.Busy: errno.EAGAIN,
    errors.NoAttribute: errno.ENODATA,
    errors.Unsupported: errno.EOPNOTSUPP,
    errors.StorageFailure: errno.EIO,
    errors.Damaged: errno.EIO,
    errors.NotAStore: errno.EIO,
    errors.WrongVersion: errno.EIO,
    errors.AlreadyOpen: errno.EIO,
    errors.UnknownRef: errno.ENOENT,
    errors.AmbiguousId: errno.EINVAL,
    errors.InvalidRef: errno.EINVAL,
    errors.RefExists: errno.EEXIST,
    errors.RefConflict: errno.EAGAIN,
    errors.RefInUse: errno.EBUSY,
}


def errno_of(error: StoreError) -> int:
    """The errno of what went wrong."""
    return ERRNO[type(error)]


class Refused(Exception):
    """What the door itself refuses, before the store is asked."""

    def __init__(self, number: int) -> None:
        super().__init__(errno.errorcode[number])
        self.errno = number


# The kernel does not ask again for an operation that was refused so.
NOT_OFFERED = errno.ENOSYS
EINTR, EINVAL, EIO = errno.EINTR, errno.EINVAL, errno.EIO
ENXIO, EPROTO, ERANGE, EXDEV = errno.ENXIO, errno.EPROTO, errno.ERANGE, errno.EXDEV
# What the device answers when it is unmounted, and when a request is gone that was answered.
DEVICE_ENDED = (errno.ENODEV, errno.EBADF, errno.ENOTCONN)
REQUEST_GONE = errno.ENOENT
