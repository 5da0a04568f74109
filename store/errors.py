"""Everything that can go wrong in the store, as one closed family in file-system terms.

Adapters map each class to their protocol's code in one total table; no class here knows an errno
or an NFS status. A message says what was wrong with which input, in one line, for a person.
An operation that raises has changed nothing.
"""


class StoreError(Exception):
    """Base of the family; never raised itself."""


# --- what a file-system call can answer -------------------------------------------------------


class NotFound(StoreError):
    """No such name in the directory."""


class Exists(StoreError):
    """The name is already taken."""


class NotDirectory(StoreError):
    """A directory was needed."""


class IsDirectory(StoreError):
    """Anything but a directory was needed."""


class NotEmpty(StoreError):
    """The directory still has entries."""


class AccessDenied(StoreError):
    """Permission bits refuse the caller (EACCES in POSIX)."""


class NotPermitted(StoreError):
    """Only the owner or the superuser may do this (EPERM in POSIX)."""


class InvalidName(StoreError):
    """A name that is empty, holds `/` or NUL, or is `.` or `..` where a real name is needed."""


class NameTooLong(StoreError):
    """A name over 255 bytes or a symlink target over 4095 bytes."""


class InvalidArgument(StoreError):
    """An argument that no state of the tree could make right (EINVAL in POSIX)."""


class FileTooBig(StoreError):
    """An offset or size beyond 2**63 - 1 bytes."""


class TooManyLinks(StoreError):
    """The inode's link count is at its limit."""


class Stale(StoreError):
    """The inode number names nothing in this tree any more."""


class NotSync(StoreError):
    """The guard's ctime is not the inode's ctime (RFC 1813 3.3.2)."""


class BadCookie(StoreError):
    """A directory cookie that this store never hands out."""


class ReadOnly(StoreError):
    """The tree shows a snapshot or commit, or the branch is read-only."""


class NoSpace(StoreError):
    """The disk under the store is full, or a directory's hash slot is."""


class QuotaExceeded(StoreError):
    """The branch's quota in bytes or inodes would be passed."""


class Busy(StoreError):
    """A memory limit is reached: flush, then try the same call again."""


class NoAttribute(StoreError):
    """No extended attribute of that name."""


class Unsupported(StoreError):
    """The kind of object or attribute name space cannot hold this."""


# --- the disk ---------------------------------------------------------------------------------


class StorageFailure(StoreError):
    """The disk under the store failed a read or a write."""


class Damaged(StorageFailure):
    """Stored bytes are not what was written; the message names the object and where it lies."""


# --- the store as a whole ---------------------------------------------------------------------


class NotAStore(StoreError):
    """The directory holds no store."""


class WrongVersion(StoreError):
    """The store has a format version that this program does not know."""


class AlreadyOpen(StoreError):
    """Another process has the store open."""


class UnknownRef(StoreError):
    """No branch, snapshot or commit of that name."""


class AmbiguousId(StoreError):
    """An id prefix that more than one commit or snapshot starts with."""


class InvalidRef(StoreError):
    """A branch or snapshot name that the naming rules refuse."""


class RefExists(StoreError):
    """A branch or snapshot of that name exists already."""


class RefConflict(StoreError):
    """A ref no longer has the value that the change was made for (compare-and-set failed)."""


class RefInUse(StoreError):
    """The branch or snapshot cannot go while something still needs it."""
