"""The symbolic name of every error that a tree raises; a test holds it to be total.

`NOT_FROM_A_TREE` lists the errors of the store as a whole, which no call of a tree raises.
"""

from __future__ import annotations

from store import errors

ERROR_NAMES: dict[type[errors.StoreError], str] = {
    errors.NotFound: "ENOENT",
    errors.Exists: "EEXIST",
    errors.NotDirectory: "ENOTDIR",
    errors.IsDirectory: "EISDIR",
    errors.NotEmpty: "ENOTEMPTY",
    errors.AccessDenied: "EACCES",
    errors.NotPermitted: "EPERM",
    errors.InvalidName: "EINVAL",
    errors.NameTooLong: "ENAMETOOLONG",
    errors.InvalidArgument: "EINVAL",
    errors.FileTooBig: "EFBIG",
    errors.TooManyLinks: "EMLINK",
    errors.Stale: "ESTALE",
    errors.NotSync: "EAGAIN",
    errors.BadCookie: "EINVAL",
    errors.ReadOnly: "EROFS",
    errors.NoSpace: "ENOSPC",
    errors.QuotaExceeded: "EDQUOT",
    errors.Busy: "EAGAIN",
    errors.NoAttribute: "ENODATA",
    errors.Unsupported: "EOPNOTSUPP",
    errors.StorageFailure: "EIO",
    errors.Damaged: "EIO",
}
NOT_FROM_A_TREE = frozenset(
    {
        errors.NotAStore,
        errors.WrongVersion,
        errors.AlreadyOpen,
        errors.UnknownRef,
        errors.AmbiguousId,
        errors.InvalidRef,
        errors.RefExists,
        errors.RefConflict,
        errors.RefInUse,
    }
)
