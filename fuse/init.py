"""INIT: the kernel says what it can, and hears what is wanted of it."""

from __future__ import annotations

from fuse import errno
from fuse.errno import Refused
from fuse.protocol import (
    FOPEN_CACHE_DIR,
    FOPEN_KEEP_CACHE,
    IN_HEADER,
    INIT_IN,
    INIT_OUT,
    MAJOR,
    MINOR,
    MINOR_LEAST,
    OPEN_OUT,
    Init,
)
from fuse.request import Request, Result
from fuse.session import Session

# Reads ahead and writes behind that the kernel has under way at most, and when it slows writers.
BACKGROUND_MAX = 64
CONGESTED = 48
# Bytes of one WRITE: what the kernel can send at once (FUSE_MAX_MAX_PAGES of 4 KiB).
WRITE_BYTES_MAX = 1 << 20
_PAGES_MAX = 256

# EXPLICIT_INVAL_DATA: what the kernel has of a file holds until it is told otherwise.
# HANDLE_KILLPRIV_V2: set-id bits are cleared here, with the write itself.
# NO_OPEN_SUPPORT, NO_OPENDIR_SUPPORT: what is in use shows in the nodes that the kernel knows.
_WANTED = (
    Init.ASYNC_READ
    | Init.EXPORT_SUPPORT
    | Init.BIG_WRITES
    | Init.DO_READDIRPLUS
    | Init.READDIRPLUS_AUTO
    | Init.ASYNC_DIO
    | Init.NO_OPEN_SUPPORT
    | Init.PARALLEL_DIROPS
    | Init.MAX_PAGES
    | Init.CACHE_SYMLINKS
    | Init.NO_OPENDIR_SUPPORT
    | Init.EXPLICIT_INVAL_DATA
    | Init.HANDLE_KILLPRIV_V2
)


def init(session: Session, request: Request) -> Result:
    """Agree on a version and on what either side does."""
    major, minor, readahead, flags = INIT_IN.unpack_from(request.data, IN_HEADER.size)
    if major > MAJOR:
        # The kernel sends another INIT, with this version.
        return INIT_OUT.pack(MAJOR, MINOR, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    if major < MAJOR or minor < MINOR_LEAST:
        raise Refused(errno.EPROTO)
    wanted = _WANTED
    if session.options.writeback_cache:
        wanted |= Init.WRITEBACK_CACHE
    agreed = wanted & flags
    if not agreed & Init.NO_OPEN_SUPPORT:
        session.open_answer = OPEN_OUT.pack(0, FOPEN_KEEP_CACHE, 0)
    if not agreed & Init.NO_OPENDIR_SUPPORT:
        session.opendir_answer = OPEN_OUT.pack(0, FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR, 0)
    return INIT_OUT.pack(
        MAJOR,
        min(minor, MINOR),
        readahead,
        agreed,
        BACKGROUND_MAX,
        CONGESTED,
        WRITE_BYTES_MAX,
        1,
        _PAGES_MAX,
        0,
        0,
    )
