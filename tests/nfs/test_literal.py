"""A call and its reply in the bytes that RFC 1813 3.3 asks for: attributes, data, file systems.

`test_literal_names` has the other procedures, `scene` the tree that they are sent to.
"""

from __future__ import annotations

from store.types import Quota
from tests.nfs.scene import FILE, FILE_HEAD, LINK, NO_SATTR, ROOT, Scene


def test_0_null(scene: Scene) -> None:
    scene.check(0, "", "")


def test_1_getattr(scene: Scene) -> None:
    scene.check(1, "0000003c {root}", "00000000" + ROOT)
    scene.check(1, "0000003c {file}", "00000000" + FILE)
    scene.check(1, "0000003c {link}", "00000000" + LINK)


def test_1_getattr_fails(scene: Scene) -> None:
    scene.check(1, "00000003 01020300", "00002711  # NFS3ERR_BADHANDLE")
    scene.check(1, "0000003c {new}", "00000046  # NFS3ERR_STALE")


def test_2_setattr(scene: Scene) -> None:
    scene.check(
        2,
        """
        0000003c {file}
        00000001 00000180  # mode 0600
        00000000 00000000  # no uid, no gid
        00000001 00000000 00000003  # size 3
        00000001  # atime: SET_TO_SERVER_TIME
        00000002 60000000 0000000a  # mtime: SET_TO_CLIENT_TIME
        00000001 65000003 00000000  # guard: ctime
        """,
        """
        00000000
        00000001  # before: size, mtime, ctime
        00000000 00000005 65000003 00000000 65000003 00000000
        00000001  # after
        00000001 00000180 00000001
        000003e8 00000064
        00000000 00000003 00000000 00001000
        00000000 00000000
        {fsid} 00000100 00000000
        65000005 00000000 60000000 0000000a 65000005 00000000
        """,
    )


def test_2_setattr_fails(scene: Scene) -> None:
    unchanged = """
        00000001 00000000 00000005 65000003 00000000 65000003 00000000
        00000001
        """
    scene.check(
        2,
        "0000003c {file}" + NO_SATTR + "00000001 65000003 00000001  # guard: another ctime",
        "00002712  # NFS3ERR_NOT_SYNC" + unchanged + FILE,
    )


def test_3_lookup(scene: Scene) -> None:
    scene.check(
        3,
        "0000003c {root} 00000001 66 000000",
        "00000000 0000003c {file} 00000001" + FILE + "00000001" + ROOT,
    )


def test_3_lookup_fails(scene: Scene) -> None:
    scene.check(
        3,
        "0000003c {root} 00000005 6e6f6e6578 000000  # nonex",
        "00000002  # NFS3ERR_NOENT\n 00000001" + ROOT,
    )


def test_4_access(scene: Scene) -> None:
    scene.check(
        4,
        "0000003c {file} 0000003f  # all there are",
        "00000000 00000001" + FILE + "0000000d  # READ, MODIFY, EXTEND",
    )
    scene.check(
        4,
        "0000003c {root} 0000003f",
        "00000000 00000001" + ROOT + "0000001f  # all but EXECUTE, which directories do not have",
    )


def test_5_readlink(scene: Scene) -> None:
    scene.check(
        5,
        "0000003c {link}",
        "00000000 00000001" + LINK + "00000006 746172676574 0000  # target",
    )


def test_5_readlink_fails(scene: Scene) -> None:
    scene.check(5, "0000003c {file}", "00000016  # NFS3ERR_INVAL\n 00000001" + FILE)


def test_6_read(scene: Scene) -> None:
    scene.check(
        6,
        "0000003c {file} 00000000 00000001 00000003  # offset 1, count 3",
        "00000000 00000001"
        + FILE
        + """
        00000003 00000000  # count, no eof
        00000003 656c6c 00  # ell
        """,
    )
    scene.check(
        6,
        "0000003c {file} 00000000 00000001 00001000  # more than there is",
        "00000000 00000001" + FILE + "00000004 00000001 00000004 656c6c6f",
    )


def test_6_read_fails(scene: Scene) -> None:
    scene.check(
        6,
        "0000003c {root} 00000000 00000000 00001000",
        "00000015  # NFS3ERR_ISDIR\n 00000001" + ROOT,
    )


def test_7_write(scene: Scene) -> None:
    scene.check(
        7,
        """
        0000003c {file}
        00000000 00000001  # offset
        00000003  # count
        00000000  # UNSTABLE
        00000003 41424300  # ABC
        """,
        """
        00000000
        00000001 00000000 00000005 65000003 00000000 65000003 00000000
        00000001"""
        + FILE_HEAD
        + """
        65000002 00000000 65000005 00000000 65000005 00000000
        00000003  # count
        00000000  # UNSTABLE
        {verifier}
        """,
    )


def test_18_fsstat(scene: Scene) -> None:
    scene.gw.store.set_quota("main", Quota(bytes_max=1 << 20, inodes_max=1000))
    scene.check(
        18,
        "0000003c {root}",
        "00000000 00000001"
        + ROOT
        + """
        00000000 00100000  # tbytes
        00000000 000ff000  # fbytes
        00000000 000ff000  # abytes
        00000000 000003e8  # tfiles
        00000000 000003e5  # ffiles: all but the root and two
        00000000 000003e5  # afiles
        00000000  # invarsec
        """,
    )


def test_19_fsinfo(scene: Scene) -> None:
    scene.check(
        19,
        "0000003c {root}",
        "00000000 00000001"
        + ROOT
        + """
        00100000 00100000 00001000  # rtmax, rtpref, rtmult
        00100000 00100000 00001000  # wtmax, wtpref, wtmult
        00010000  # dtpref
        7fffffff ffffffff  # maxfilesize
        00000000 00000001  # time_delta
        0000001b  # LINK, SYMLINK, HOMOGENEOUS, CANSETTIME
        """,
    )


def test_20_pathconf(scene: Scene) -> None:
    scene.check(
        20,
        "0000003c {root}",
        "00000000 00000001"
        + ROOT
        + """
        7fffffff 000000ff  # linkmax, name_max
        00000001 00000001  # no_trunc, chown_restricted
        00000000 00000001  # case_insensitive: no, case_preserving
        """,
    )


def test_21_commit(scene: Scene) -> None:
    scene.check(
        21,
        "0000003c {file} 00000000 00000000 00000000  # offset, count: all of it",
        """
        00000000
        00000001 00000000 00000005 65000003 00000000 65000003 00000000
        00000001"""
        + FILE
        + "{verifier}",
    )
