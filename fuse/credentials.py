"""Who a request's caller is, beyond what the request says: its supplementary groups.

A request has a user, a group and a process. The process's groups are in /proc, as libfuse's
`fuse_req_getgroups` finds them. They are asked for in the one case in which they matter here, as
the kernel checks permissions itself.
"""

from __future__ import annotations

import stat
from pathlib import Path

from fuse.request import Request
from store.types import Caller, Inode


def who_clears(request: Request, inode: Inode) -> Caller | None:
    """For whom the set-id bits of a file are to be cleared that the caller writes to or cuts.

    None, nobody in particular, will do, except where a set-group-id bit without group execution is
    cleared for those alone who are not in the group.
    """
    if inode.mode & (stat.S_ISGID | stat.S_IXGRP) != stat.S_ISGID:
        return None
    return Caller(request.uid, request.gid, groups_of(request.pid))


def groups_of(pid: int) -> frozenset[int]:
    """A process's supplementary groups; none where it has ended, or is not to be seen from here."""
    try:
        text = Path(f"/proc/{pid}/status").read_text("ascii", "replace")
    except OSError:
        return frozenset()
    for line in text.splitlines():
        name, _, values = line.partition(":")
        if name == "Groups":
            return frozenset(int(value) for value in values.split())
    return frozenset()
