"""What git cannot say of a tree, written down as objects of git, to be told by export to import.

`refs/fsgw/attributes` of an exported repository is a commit. Its tree has, by their ids (as notes
do, `ab/cdef...`), the commits of which there is anything to be told, and for each a tree like the
commit's own, with only the directories in which there is:

    =        a blob of lines, one for each name in this directory that there is anything to say of
    +NAME    the same for the directory of that name
    @ID      the content of a file that git does not see

A line is JSON. What it leaves out is as git brings it: permissions 644, 755 or 777, owner and group
0, no extended attributes, one name, mtime as an import gives it, atime as mtime. A name is text in
UTF-8, other bytes as lone surrogates (PEP 383).

    {"name": "etc", "mode": "0750", "uid": 0, "gid": 4, "mtime": 1700000000123456789, ...}
"""

from __future__ import annotations

import base64
import json
import stat
from collections.abc import Mapping
from typing import Any, NamedTuple

from gitdoor.objects import BadObject

REF = b"refs/fsgw/attributes"
LINES, DIRECTORY_SIGN, DATA_SIGN = b"=", b"+", b"@"
# The name under which a directory tells of itself: only the root does, others have a name.
SELF = b"."

# What git does not see at all, and so has to be made.
KINDS = {
    "directory": stat.S_IFDIR,
    "file": stat.S_IFREG,
    "symlink": stat.S_IFLNK,
    "fifo": stat.S_IFIFO,
    "socket": stat.S_IFSOCK,
    "char": stat.S_IFCHR,
    "block": stat.S_IFBLK,
}
KIND_OF = {bits: kind for kind, bits in KINDS.items()}


class Line(NamedTuple):
    """What is told of one name; None, zeros and empty where there is nothing to be told.

    `kind` is empty for what git has. `link`: a number that all names of one inode share, and how
    many they are. `data` is the id of the content, for a file that git has not.
    """

    kind: str = ""
    mode: int | None = None
    uid: int = 0
    gid: int = 0
    mtime_ns: int | None = None
    atime_ns: int | None = None
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    link: tuple[int, int] | None = None
    device: tuple[int, int] = (0, 0)
    target: bytes = b""
    data: bytes = b""


NOTHING = Line()


def encode(lines: Mapping[bytes, Line]) -> bytes:
    """The blob of a directory's lines."""
    return b"".join(
        json.dumps(_plain(name, line), separators=(",", ":")).encode() + b"\n"
        for name, line in sorted(lines.items())
    )


def _plain(name: bytes, line: Line) -> dict[str, Any]:
    found: dict[str, Any] = {"name": _text(name)}
    if line.kind:
        found["kind"] = line.kind
    if line.mode is not None:
        found["mode"] = f"{line.mode:04o}"
    if line.uid or line.gid:
        found |= {"uid": line.uid, "gid": line.gid}
    for key, value in (("mtime", line.mtime_ns), ("atime", line.atime_ns)):
        if value is not None:
            found[key] = value
    if line.xattrs:
        found["xattrs"] = {_text(k): base64.b64encode(v).decode() for k, v in line.xattrs}
    if line.link is not None:
        found["link"] = list(line.link)
    if any(line.device):
        found["device"] = list(line.device)
    if line.target:
        found["target"] = _text(line.target)
    if line.data:
        found["data"] = line.data.hex()
    return found


def decode(data: bytes) -> dict[bytes, Line]:
    """A directory's lines. Raises BadObject."""
    try:
        rows = [json.loads(text) for text in data.splitlines()]
        return {_bytes(row.pop("name")): _line(row) for row in rows}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadObject(f"attributes that cannot be read: {error}") from None


def _line(row: dict[str, Any]) -> Line:
    xattrs = row.pop("xattrs", {})
    line = Line(
        kind=row.pop("kind", ""),
        mode=int(row.pop("mode"), 8) if "mode" in row else None,
        uid=_whole(row.pop("uid", 0)),
        gid=_whole(row.pop("gid", 0)),
        mtime_ns=_whole(row.pop("mtime")) if "mtime" in row else None,
        atime_ns=_whole(row.pop("atime")) if "atime" in row else None,
        xattrs=tuple((_bytes(k), base64.b64decode(v, validate=True)) for k, v in xattrs.items()),
        link=_pair(row.pop("link")) if "link" in row else None,
        device=_pair(row.pop("device", [0, 0])),
        target=_bytes(row.pop("target", "")),
        data=bytes.fromhex(row.pop("data", "")),
    )
    if row or (line.kind and line.kind not in KINDS):
        raise ValueError(f"{line.kind or next(iter(row))!r} is not known")
    return line


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise ValueError(f"{value!r} is no whole number")
    return value


def _pair(value: Any) -> tuple[int, int]:
    first, second = value
    return _whole(first), _whole(second)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
