"""Names: which of a tree git can have, and how names of refs and of the store correspond.

Git refuses to check out `.git` under any name that some file system takes for it (fsck.c,
`is_hfs_dotgit` and `is_ntfs_dotgit`), so such names are left out of what git sees. A symbolic link
called `.gitmodules` it refuses as well, and a directory of that name, or called `.gitattributes`.
"""

from __future__ import annotations

import re
import stat

from dulwich.refs import check_ref_format

from store.errors import InvalidRef
from store.refs import NAME_LENGTH_MAX, check_name

HEADS, TAGS = b"refs/heads/", b"refs/tags/"

# Where refs are files, they stand for a while beside `NAME.lock`; and `refs/remotes/origin/` of a
# clone has to fit into a path of 4096 bytes with its own.
_FILE_BYTES_MAX = 255
_REF_BYTES_MAX = 1024

# What HFS+ passes over in names (utf8.c, next_hfs_char).
_IGNORED = dict.fromkeys(
    [*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF]
)
_NTFS = re.compile(rb"(?i)(?:\.git|git~1)[ .]*(?:\Z|[\\:])")
_NTFS_ATTRIBUTES = re.compile(rb"(?i)(?:\.gitattributes|gitatt~[1-4]|gi7d29~[0-9])[ .]*(?:\Z|:)")
_NTFS_MODULES = re.compile(rb"(?i)(?:\.gitmodules|gitmod~[1-4]|gi7eba~[0-9])[ .]*(?:\Z|:)")
_KINDS = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)
# Names that snapshots get when nobody gives them one: no tags are made of these.
_AUTOMATIC = re.compile(r"(?:rollback-)?\d{4}-\d\d-\d\dT\d\d\.\d\d\.\d\d\.\d{6}Z(?:-\d+)?\Z")


def joined(path: bytes, name: bytes) -> bytes:
    """The path of a name in the directory at a path, which is empty for the top."""
    return path + b"/" + name if path else name


def left_out(name: bytes, type_bits: int) -> bool:
    """Whether git cannot have an entry of a directory, for its name or for what it is."""
    if type_bits not in _KINDS:
        return True
    if name[:1] != b"." and name[:1] not in b"gG" and name.isascii() and b"\\" not in name:
        return False
    if refused(name):
        return True
    # What git reads itself has to be a file; of `.gitattributes` it lets a link pass.
    if type_bits == stat.S_IFDIR:
        return _is_modules(name) or _is_attributes(name)
    return type_bits == stat.S_IFLNK and _is_modules(name)


def refused(name: bytes) -> bool:
    """Whether git refuses a name in a tree, whatever it names."""
    if name in (b"", b".", b"..") or b"/" in name or b"\0" in name or len(name) > 255:
        return True
    if any(_NTFS.match(part) for part in name.split(b"\\")):
        return True
    return _as_hfs(name) == ".git"


def _as_hfs(name: bytes) -> str:
    return name.decode("utf-8", "replace").translate(_IGNORED).lower()


def _is_modules(name: bytes) -> bool:
    return bool(_NTFS_MODULES.match(name)) or _as_hfs(name) == ".gitmodules"


def _is_attributes(name: bytes) -> bool:
    return bool(_NTFS_ATTRIBUTES.match(name)) or _as_hfs(name) == ".gitattributes"


def is_automatic(name: str) -> bool:
    """Whether a snapshot's name is only the time at which it was taken."""
    return bool(_AUTOMATIC.match(name))


def is_ref(name: bytes) -> bool:
    """Whether git allows the full name of a branch or tag (git-check-ref-format(1)), and clones of
    it can have it as a file."""
    if not name.startswith((HEADS, TAGS)) or name == HEADS + b"HEAD" or len(name) > _REF_BYTES_MAX:
        return False
    *above, last = map(len, name.split(b"/"))
    if last > _FILE_BYTES_MAX - len(b".lock") or max(above) > _FILE_BYTES_MAX:
        return False
    short = name.partition(b"/")[2].partition(b"/")[2]
    return not short.startswith(b"-") and bool(check_ref_format(name))  # type: ignore[arg-type]


def folders(name: bytes) -> list[bytes]:
    """The directories that a ref's file is in, below `refs/heads` or `refs/tags`: no ref can have
    the name of one."""
    parts = name.split(b"/")
    return [b"/".join(parts[:count]) for count in range(3, len(parts))]


def store_name(short: bytes) -> str:
    """A name for a branch or snapshot of the store that is as near to git's as can be."""
    text = short.decode("utf-8", "replace")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text)
    name = re.sub(r"\.\.+", ".", name).lstrip("._-")[: NAME_LENGTH_MAX - 10]
    while name.endswith((".", ".lock")):
        name = name.removesuffix(".lock").rstrip(".")
    try:
        return check_name(name)
    except InvalidRef:
        return "unnamed"
