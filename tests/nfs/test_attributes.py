"""Attributes on the wire: the one-call packers against the declared types, and times."""

from __future__ import annotations

import stat
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nfs import attributes
from nfs.codec import codec
from nfs.nfs3_types import (
    fattr3,
    ftype3,
    nfstime3,
    specdata3,
    wcc_attr,
    wcc_data_decoded,
)
from store.types import DIRECTORY_BYTES, Change, Inode, SetAttr, SetTime
from tests.nfs.client import NOW, at, sattr

SECOND = 10**9
TYPES = {
    stat.S_IFREG: ftype3.REG,
    stat.S_IFDIR: ftype3.DIR,
    stat.S_IFBLK: ftype3.BLK,
    stat.S_IFCHR: ftype3.CHR,
    stat.S_IFLNK: ftype3.LNK,
    stat.S_IFSOCK: ftype3.SOCK,
    stat.S_IFIFO: ftype3.FIFO,
}

_u32 = st.integers(0, 2**32 - 1)
_i63 = st.integers(0, 2**63 - 1)
_edges = st.sampled_from(
    [
        -(2**63),
        -1,
        0,
        1,
        SECOND - 1,
        SECOND,
        (2**32 - 1) * SECOND,
        2**32 * SECOND - 1,
        2**32 * SECOND,
        2**63 - 1,
    ]
)
_times = _edges | st.integers(-(2**63), 2**63 - 1)
inodes = st.builds(
    Inode,
    ino=st.integers(1, 2**53),
    mode=st.builds(
        lambda kind, bits: kind | bits, st.sampled_from([*TYPES]), st.integers(0, 0o7777)
    ),
    nlink=st.integers(0, 2**31 - 1),
    uid=_u32,
    gid=_u32,
    size=_i63,
    used=_i63,
    rdev_major=_u32,
    rdev_minor=_u32,
    atime_ns=_times,
    mtime_ns=_times,
    ctime_ns=_times,
    btime_ns=_times,
    parent=_i63,
    slot=_i63,
    verifier=st.integers(0, 2**64 - 1),
)
fsids = st.integers(0, 2**64 - 1)


def shown(time_ns: int) -> nfstime3:
    """The time on the wire, unsigned 32-bit seconds: the nearest that there is."""
    if time_ns < 0:
        return nfstime3(0, 0)
    seconds, nseconds = divmod(time_ns, SECOND)
    return nfstime3(seconds, nseconds) if seconds < 2**32 - 1 else nfstime3(2**32 - 1, 0)


def declared(inode: Inode, fsid: int) -> fattr3:
    """What an inode's attributes are to be."""
    is_dir = stat.S_ISDIR(inode.mode)
    return fattr3(
        TYPES[stat.S_IFMT(inode.mode)],
        stat.S_IMODE(inode.mode),
        inode.nlink,
        inode.uid,
        inode.gid,
        DIRECTORY_BYTES if is_dir else inode.size,
        DIRECTORY_BYTES if is_dir else inode.used,
        specdata3(inode.rdev_major, inode.rdev_minor),
        fsid,
        inode.ino,
        shown(inode.atime_ns),
        shown(inode.mtime_ns),
        shown(inode.ctime_ns),
    )


@given(inodes, fsids)
def test_attributes_are_those_of_the_declared_type(inode: Inode, fsid: int) -> None:
    data = attributes.post_op(inode, fsid)[4:]
    assert codec(fattr3).decode(data) == declared(inode, fsid)
    assert codec(fattr3).encode(declared(inode, fsid)) == data
    assert len(data) == attributes.FATTR_BYTES
    optional: Any = fattr3 | None
    assert codec(optional).decode(attributes.post_op(inode, fsid)) == declared(inode, fsid)
    assert codec(optional).decode(attributes.NO_ATTRIBUTES) is None


@given(inodes, inodes, fsids)
def test_a_change_is_that_of_the_declared_type(before: Inode, after: Inode, fsid: int) -> None:
    data = attributes.wcc(Change(before, after), fsid)
    old = declared(before, fsid)
    wanted = wcc_data_decoded(wcc_attr(old.size, old.mtime, old.ctime), declared(after, fsid))
    assert codec(wcc_data_decoded).decode(data) == wanted
    assert codec(wcc_data_decoded).decode(attributes.NO_WCC) == (None, None)


def test_a_time_that_the_wire_cannot_carry_is_the_nearest_that_it_can() -> None:
    last = (2**32 - 1) * SECOND
    for time_ns, wanted in [
        (-1, (0, 0)),
        (-(2**63), (0, 0)),
        (0, (0, 0)),
        (2**31 * SECOND + 7, (2**31, 7)),  # unsigned: 2038 is nothing special
        (last - 1, (2**32 - 2, SECOND - 1)),
        (last, (2**32 - 1, 0)),
        (last + 1, (2**32 - 1, 0)),
        (2**63 - 1, (2**32 - 1, 0)),
    ]:
        assert attributes.wire_time(time_ns) == wanted


def test_what_a_client_sets() -> None:
    assert attributes.set_attributes(sattr()) == SetAttr()
    everything = sattr(mode=0o107755, uid=1, gid=2, size=2**63, atime=NOW, mtime=at(7, 9))
    assert attributes.set_attributes(everything) == SetAttr(
        0o7755, 1, 2, 2**63, SetTime.NOW, 7 * SECOND + 9
    )
