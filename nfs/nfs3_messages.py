"""Arguments and results of the NFS version 3 procedures (RFC 1813 3.3), each declared once.

A procedure's result is `result(ok, fail)` of what stands here. Shapes that several procedures share
have a name of their own.
"""

# ruff: noqa: N801  the RFC's names

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from nfs.nfs3_types import (
    attributes,
    cookie3,
    cookieverf3,
    count3,
    createmode3,
    createverf3,
    diropargs3,
    fileid3,
    filename3,
    ftype3,
    nfs_fh3,
    nfspath3,
    nfstime3,
    offset3,
    post_op_attr,
    sattr3,
    size3,
    specdata3,
    stable_how,
    wcc_data,
    writeverf3,
)
from nfs.xdr import boolean, chain, encoded, enum, opaque, uint32, union, view


class GETATTR3args(NamedTuple):
    """RFC 1813 3.3.1."""

    object: nfs_fh3


class GETATTR3resok(NamedTuple):
    """RFC 1813 3.3.1."""

    obj_attributes: attributes


class SETATTR3args(NamedTuple):
    """RFC 1813 3.3.2."""

    object: nfs_fh3
    new_attributes: sattr3
    guard: nfstime3 | None


class one_wcc(NamedTuple):
    """Results that are the wcc_data of one object: SETATTR, and failures of many others."""

    wcc: wcc_data


class one_attr(NamedTuple):
    """Results that are the attributes of one object, after the call."""

    attributes: post_op_attr


class LOOKUP3args(NamedTuple):
    """RFC 1813 3.3.3."""

    what: diropargs3


class LOOKUP3resok(NamedTuple):
    """RFC 1813 3.3.3."""

    object: nfs_fh3
    obj_attributes: post_op_attr
    dir_attributes: post_op_attr


class ACCESS3args(NamedTuple):
    """RFC 1813 3.3.4."""

    object: nfs_fh3
    access: uint32


class ACCESS3resok(NamedTuple):
    """RFC 1813 3.3.4."""

    obj_attributes: post_op_attr
    access: uint32


class READLINK3args(NamedTuple):
    """RFC 1813 3.3.5."""

    symlink: nfs_fh3


class READLINK3resok(NamedTuple):
    """RFC 1813 3.3.5."""

    symlink_attributes: post_op_attr
    data: nfspath3


class READ3args(NamedTuple):
    """RFC 1813 3.3.6."""

    file: nfs_fh3
    offset: offset3
    count_: count3


class READ3resok(NamedTuple):
    """RFC 1813 3.3.6."""

    file_attributes: post_op_attr
    count_: count3
    eof: boolean
    data: Annotated[bytes | bytearray | memoryview, opaque()]


class WRITE3args(NamedTuple):
    """RFC 1813 3.3.7."""

    file: nfs_fh3
    offset: offset3
    count_: count3
    stable: Annotated[int, enum(*stable_how)]
    data: Annotated[memoryview, view()]


class WRITE3resok(NamedTuple):
    """RFC 1813 3.3.7."""

    file_wcc: wcc_data
    count_: count3
    committed: Annotated[int, enum(*stable_how)]
    verf: writeverf3


_createhow3 = Annotated[
    Any,
    union(
        enum(*createmode3),
        {
            createmode3.UNCHECKED: sattr3,
            createmode3.GUARDED: sattr3,
            createmode3.EXCLUSIVE: createverf3,
        },
    ),
]


class CREATE3args(NamedTuple):
    """RFC 1813 3.3.8. `how` is (createmode3, sattr3 or createverf3)."""

    where: diropargs3
    how: _createhow3


class new_object(NamedTuple):
    """CREATE3resok, and the same of MKDIR, SYMLINK and MKNOD (RFC 1813 3.3.8 to 3.3.11)."""

    obj: nfs_fh3 | None
    obj_attributes: post_op_attr
    dir_wcc: wcc_data


class MKDIR3args(NamedTuple):
    """RFC 1813 3.3.9."""

    where: diropargs3
    attributes: sattr3


class symlinkdata3(NamedTuple):
    """RFC 1813 3.3.10."""

    symlink_attributes: sattr3
    symlink_data: nfspath3


class SYMLINK3args(NamedTuple):
    """RFC 1813 3.3.10."""

    where: diropargs3
    symlink: symlinkdata3


class devicedata3(NamedTuple):
    """RFC 1813 3.3.11."""

    dev_attributes: sattr3
    spec: specdata3


class MKNOD3args(NamedTuple):
    """RFC 1813 3.3.11. `what` is (ftype3, devicedata3, sattr3 or None)."""

    where: diropargs3
    what: Annotated[
        Any,
        union(
            enum(*ftype3),
            {
                ftype3.CHR: devicedata3,
                ftype3.BLK: devicedata3,
                ftype3.SOCK: sattr3,
                ftype3.FIFO: sattr3,
            },
        ),
    ]


class REMOVE3args(NamedTuple):
    """RFC 1813 3.3.12; RMDIR3args (3.3.13) is the same."""

    object: diropargs3


class RENAME3args(NamedTuple):
    """RFC 1813 3.3.14."""

    from_: diropargs3
    to: diropargs3


class two_wcc(NamedTuple):
    """The results of RENAME (RFC 1813 3.3.14)."""

    fromdir_wcc: wcc_data
    todir_wcc: wcc_data


class LINK3args(NamedTuple):
    """RFC 1813 3.3.15."""

    file: nfs_fh3
    link: diropargs3


class linked(NamedTuple):
    """The results of LINK (RFC 1813 3.3.15)."""

    file_attributes: post_op_attr
    linkdir_wcc: wcc_data


class READDIR3args(NamedTuple):
    """RFC 1813 3.3.16."""

    dir: nfs_fh3
    cookie: cookie3
    cookieverf: cookieverf3
    count_: count3


class entry3(NamedTuple):
    """RFC 1813 3.3.16."""

    fileid: fileid3
    name: filename3
    cookie: cookie3


class dirlist3(NamedTuple):
    """RFC 1813 3.3.16."""

    entries: Annotated[list[entry3], chain(entry3)]
    eof: boolean


class READDIR3resok(NamedTuple):
    """RFC 1813 3.3.16."""

    dir_attributes: post_op_attr
    cookieverf: cookieverf3
    reply: Annotated[bytes, encoded(dirlist3)]


class READDIRPLUS3args(NamedTuple):
    """RFC 1813 3.3.17."""

    dir: nfs_fh3
    cookie: cookie3
    cookieverf: cookieverf3
    dircount: count3
    maxcount: count3


class entryplus3(NamedTuple):
    """RFC 1813 3.3.17."""

    fileid: fileid3
    name: filename3
    cookie: cookie3
    name_attributes: post_op_attr
    name_handle: nfs_fh3 | None


class dirlistplus3(NamedTuple):
    """RFC 1813 3.3.17."""

    entries: Annotated[list[entryplus3], chain(entryplus3)]
    eof: boolean


class READDIRPLUS3resok(NamedTuple):
    """RFC 1813 3.3.17."""

    dir_attributes: post_op_attr
    cookieverf: cookieverf3
    reply: Annotated[bytes, encoded(dirlistplus3)]


class FSROOT3args(NamedTuple):
    """The arguments of FSSTAT, FSINFO and PATHCONF (RFC 1813 3.3.18 to 3.3.20)."""

    object: nfs_fh3


class FSSTAT3resok(NamedTuple):
    """RFC 1813 3.3.18."""

    obj_attributes: post_op_attr
    tbytes: size3
    fbytes: size3
    abytes: size3
    tfiles: size3
    ffiles: size3
    afiles: size3
    invarsec: uint32


class FSINFO3resok(NamedTuple):
    """RFC 1813 3.3.19."""

    obj_attributes: post_op_attr
    rtmax: uint32
    rtpref: uint32
    rtmult: uint32
    wtmax: uint32
    wtpref: uint32
    wtmult: uint32
    dtpref: uint32
    maxfilesize: size3
    time_delta: nfstime3
    properties: uint32


class PATHCONF3resok(NamedTuple):
    """RFC 1813 3.3.20."""

    obj_attributes: post_op_attr
    linkmax: uint32
    name_max: uint32
    no_trunc: boolean
    chown_restricted: boolean
    case_insensitive: boolean
    case_preserving: boolean


class COMMIT3args(NamedTuple):
    """RFC 1813 3.3.21."""

    file: nfs_fh3
    offset: offset3
    count_: count3


class COMMIT3resok(NamedTuple):
    """RFC 1813 3.3.21."""

    file_wcc: wcc_data
    verf: writeverf3
