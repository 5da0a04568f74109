"""A call and its reply in the bytes that RFC 1813 3.3 asks for: names and directories.

`test_literal` has the other procedures, `scene` the tree that they are sent to.
"""

from __future__ import annotations

from store.types import Caller
from tests.nfs.scene import FILE, LINK, NEW, NO_SATTR, ROOT, ROOT_CHANGED, Scene


def check_made(
    scene: Scene,
    procedure: int,
    arguments: str,
    kind: str,
    own_links: str = "00000001",
    links: str = "00000002",
    size: str = "00000000",
    used: str = "00000000",
) -> None:
    """Fail unless a call makes `new`, of that type and mode, and changes the directory."""
    made = NEW.replace("{kind}", kind).replace("{links}", own_links)
    made = made.replace("{size}", size).replace("{used}", used)
    results = "00000000 00000001 0000003c {new} 00000001" + made + ROOT_CHANGED
    scene.check(procedure, arguments, results, links=links)


def test_8_create(scene: Scene) -> None:
    check_made(
        scene,
        8,
        """
        0000003c {root} 00000003 6e6577 00  # new
        00000001  # GUARDED
        00000001 000001b4  # mode 0664
        00000000 00000000 00000000 00000000 00000000
        """,
        kind="00000001 000001b4",
    )


def test_8_create_exclusive(scene: Scene) -> None:
    check_made(
        scene,
        8,
        """
        0000003c {root} 00000003 6e6577 00  # new
        00000002  # EXCLUSIVE
        01020304 05060708  # verifier
        """,
        kind="00000001 00000180",
    )


def test_8_create_fails(scene: Scene) -> None:
    unchanged = """
        00000001 00000000 00001000 65000004 00000000 65000004 00000000
        00000001
        """
    scene.check(
        8,
        "0000003c {root} 00000001 66 000000 00000001" + NO_SATTR,
        "00000011  # NFS3ERR_EXIST" + unchanged + ROOT,
    )


def test_9_mkdir(scene: Scene) -> None:
    check_made(
        scene,
        9,
        """
        0000003c {root} 00000003 6e6577 00
        00000001 000001ed  # mode 0755
        00000000 00000000 00000000 00000000 00000000
        """,
        kind="00000002 000001ed",
        own_links="00000002",
        links="00000003",
        size="00001000",
        used="00001000",
    )


def test_10_symlink(scene: Scene) -> None:
    check_made(
        scene,
        10,
        "0000003c {root} 00000003 6e6577 00" + NO_SATTR + "00000003 2f6574 00  # /et",
        kind="00000005 000001ff",
        size="00000003",
    )


def test_11_mknod(scene: Scene) -> None:
    check_made(
        scene,
        11,
        """
        0000003c {root} 00000003 6e6577 00
        00000007  # NF3FIFO
        00000001 00000180 00000000 00000000 00000000 00000000 00000000
        """,
        kind="00000007 00000180",
    )


def test_11_mknod_of_a_device(scene: Scene) -> None:
    unchanged = """
        00000001 00000000 00001000 65000004 00000000 65000004 00000000
        00000001
        """
    scene.check(
        11,
        "0000003c {root} 00000003 6e6577 00 00000004  # NF3CHR"
        "\n" + NO_SATTR + "00000001 00000003  # specdata: major 1, minor 3",
        "00000001  # NFS3ERR_PERM" + unchanged + ROOT,
    )


def test_12_remove(scene: Scene) -> None:
    scene.check(
        12,
        "0000003c {root} 00000001 66 000000",
        "00000000" + ROOT_CHANGED,
        links="00000002",
    )


def test_13_rmdir(scene: Scene) -> None:
    scene.gw.store.tree("main").mkdir(Caller(1000, 100), 1, b"d", 0o700)
    scene.second(6)
    scene.check(
        13,
        "0000003c {root} 00000001 64 000000",
        """
        00000000
        00000001 00000000 00001000 65000005 00000000 65000005 00000000
        00000001
        00000002 000001ff 00000002
        00000000 00000000
        00000000 00001000 00000000 00001000
        00000000 00000000
        {fsid} 00000000 00000001
        64000000 00000005
        65000006 00000000 65000006 00000000
        """,
    )


def test_14_rename(scene: Scene) -> None:
    scene.check(
        14,
        "0000003c {root} 00000001 66 000000 0000003c {root} 00000001 67 000000",
        "00000000" + ROOT_CHANGED + ROOT_CHANGED,
        links="00000002",
    )


def test_15_link(scene: Scene) -> None:
    scene.check(
        15,
        "0000003c {file} 0000003c {root} 00000001 67 000000",
        """
        00000000
        00000001
        00000001 000001a4 00000002  # two links
        000003e8 00000064
        00000000 00000005 00000000 00001000
        00000000 00000000
        {fsid} 00000100 00000000
        65000002 00000000 65000003 00000000 65000005 00000000
        """
        + ROOT_CHANGED,
        links="00000002",
    )


# The entries of the root, in the order of their cookies: `.`, `..`, f, l.
def test_16_readdir(scene: Scene) -> None:
    scene.check(
        16,
        "0000003c {root} 00000000 00000000 00000000 00000000 00001000  # cookie, verifier, count",
        "00000000 00000001"
        + ROOT
        + """
        66736777 00000000  # cookie verifier
        00000001 00000000 00000001 00000001 2e 000000 00000000 00000001  # .
        00000001 00000000 00000001 00000002 2e2e 0000 00000000 00000002  # ..
        00000001 00000100 00000000 00000001 66 000000 19e0aac8 4ff9dd00  # f
        00000001 00000100 00000001 00000001 6c 000000 6007cea7 ac060600  # l
        00000000  # no more
        00000001  # eof
        """,
    )


def test_16_readdir_goes_on_behind_a_cookie(scene: Scene) -> None:
    scene.check(
        16,
        "0000003c {root} 00000000 00000001 66736777 00000000 00000084  # from `.` on, 132 bytes",
        "00000000 00000001"
        + ROOT
        + """
        66736777 00000000
        00000001 00000000 00000001 00000002 2e2e 0000 00000000 00000002
        00000000  # no more here
        00000000  # no eof
        """,
    )
    scene.check(
        16,
        "0000003c {root} 00000000 00000001 66736777 00000000 00000083  # a byte too few",
        "00002715  # NFS3ERR_TOOSMALL\n 00000001" + ROOT,
    )


def test_17_readdirplus(scene: Scene) -> None:
    scene.check(
        17,
        """
        0000003c {root} 00000000 00000002  # cookie: behind `..`
        66736777 00000000
        00000400 00001000  # dircount, maxcount
        """,
        "00000000 00000001"
        + ROOT
        + """
        66736777 00000000
        00000001 00000100 00000000 00000001 66 000000 19e0aac8 4ff9dd00  # f
        00000001"""
        + FILE
        + """
        00000001 0000003c {file}
        00000001 00000100 00000001 00000001 6c 000000 6007cea7 ac060600  # l
        00000001"""
        + LINK
        + """
        00000001 0000003c {link}
        00000000 00000001
        """,
    )
