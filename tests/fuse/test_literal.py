"""A request and its reply in the fields that `linux/fuse.h` has: attributes, data, file systems.

`test_literal_names` has the other operations, `literal` the tree that they are sent to.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from store.store import Store
from store.types import Quota
from tests.fuse.literal import ENTRY, FILE, ROOT, VALID, Scene
from tests.nfs.gateway import Clock


@pytest.fixture
def scene(store: Store, clock: Clock) -> Iterator[Scene]:
    made = Scene(store, clock)
    yield made
    made.kernel.session.end()


def test_3_getattr(scene: Scene) -> None:
    asked = "00000000 00000000 0000000000000000  # getattr_flags, dummy, fh"
    scene.check(3, "root", asked, VALID + ROOT)
    scene.check(3, "file", asked, VALID + FILE)


def test_3_getattr_fails(scene: Scene) -> None:
    asked = "00000000 00000000 0000000000000000"
    scene.check(3, "new", asked, "", errno.ESTALE)


SETATTR = """
    {valid} 00000000  # valid, padding
    0000000000000000 {size} 0000000000000000  # fh, size, lock_owner
    0000000060000000 0000000070000000 0000000000000000  # atime, mtime, ctime
    0000000a 0000000b 00000000  # their nanoseconds
    {mode} 00000000  # mode, unused4
    {uid} {gid} 00000000  # uid, gid, unused5
"""
ZEROS = {"size": "0" * 16, "mode": "0" * 8, "uid": "0" * 8, "gid": "0" * 8}


def test_4_setattr(scene: Scene) -> None:
    scene.check(
        4,
        "file",
        SETATTR,
        VALID
        + """
        {file} 0000000000000003 0000000000000008
        0000000060000000 0000000070000000 0000000065000005
        0000000a 0000000b 00000000
        00008180 00000001 00000005 00000006  # mode 0600, owner and group
        00000000 00001000 00000000
        """,
        valid="0000003f",  # FATTR_MODE, UID, GID, SIZE, ATIME, MTIME
        size="0000000000000003",
        mode="00008180",
        uid="00000005",
        gid="00000006",
    )


def test_4_setattr_to_now(scene: Scene) -> None:
    scene.check(
        4,
        "file",
        SETATTR,
        VALID
        + """
        {file} 0000000000000005 0000000000000008
        0000000065000005 0000000065000005 0000000065000005
        00000000 00000000 00000000
        000081a4 00000001 000003e8 00000064
        00000000 00001000 00000000
        """,
        **ZEROS | {"valid": "000001b0"},  # FATTR_ATIME, MTIME, ATIME_NOW, MTIME_NOW
    )


def test_4_setattr_before_the_epoch(scene: Scene) -> None:
    """Seconds are signed: half a second before 1970 is -1 s and 500,000,000 ns."""
    text = SETATTR.replace("0000000060000000", "ffffffffffffffff").replace("0000000a", "1dcd6500")
    scene.check(
        4,
        "file",
        text,
        VALID
        + """
        {file} 0000000000000005 0000000000000008
        ffffffffffffffff 0000000065000003 0000000065000005
        1dcd6500 00000000 00000000
        000081a4 00000001 000003e8 00000064
        00000000 00001000 00000000
        """,
        **ZEROS | {"valid": "00000010"},  # FATTR_ATIME
    )


def test_4_setattr_clears_set_id_bits_with_the_size(scene: Scene) -> None:
    """FATTR_KILL_SUIDGID comes with a truncate by who may not keep them."""
    scene.check(4, "file", SETATTR, VALID + FILE.replace("81a4", "8ded").replace(
        "0000000065000003\n", "0000000065000005\n"
    ), **ZEROS | {"valid": "00000001", "mode": "00008ded"})  # fmt: skip
    scene.check(
        4,
        "file",
        SETATTR,
        VALID
        + """
        {file} 0000000000000003 0000000000000008
        0000000065000002 0000000065000005 0000000065000005
        00000000 00000001 00000001
        000081ed 00000001 000003e8 00000064
        00000000 00001000 00000000
        """,
        **ZEROS | {"valid": "00000808", "size": "0000000000000003"},  # FATTR_SIZE, KILL_SUIDGID
    )


def test_5_readlink(scene: Scene) -> None:
    scene.check(5, "link", "", '"target"')
    scene.check(5, "file", "", "", errno.EINVAL)


READ = """
    0000000000000000 {offset} {size} 00000000  # fh, offset, size, read_flags
    0000000000000000 00000000 00000000  # lock_owner, flags, padding
"""


def test_15_read(scene: Scene) -> None:
    scene.check(15, "file", READ, '"ell"', offset=f"{1:016x}", size="00000003")
    scene.check(15, "file", READ, '"ello"', offset=f"{1:016x}", size="00001000")
    scene.check(15, "file", READ, "", offset=f"{5:016x}", size="00001000")
    scene.check(15, "file", READ, "", offset="7fffffffffffffff", size="00001000")


def test_15_read_fails(scene: Scene) -> None:
    scene.check(15, "root", READ, "", errno.EISDIR, offset=f"{0:016x}", size="00001000")


WRITE = """
    0000000000000000 {offset} {size} 00000000  # fh, offset, size, write_flags
    0000000000000000 {flags} 00000000  # lock_owner, flags, padding
"""


def test_16_write(scene: Scene) -> None:
    scene.check(
        16,
        "file",
        WRITE + '"ABC"',
        "00000003 00000000  # size, padding",
        offset=f"{1:016x}",
        size="00000003",
        flags="00000001",
    )
    scene.check(15, "file", READ, '"hABCo"', offset=f"{0:016x}", size="00001000")


def test_16_write_to_the_end(scene: Scene) -> None:
    """With O_APPEND, wherever the kernel thinks that the end is; it is told to forget what it
    put there."""
    scene.check(
        16,
        "file",
        WRITE + '"ABC"',
        "00000003 00000000",
        offset=f"{1:016x}",
        size="00000003",
        flags="00000401",
    )
    scene.check(15, "file", READ, '"helloABC"', offset=f"{0:016x}", size="00001000")
    (told,) = scene.kernel.told_all()
    assert told == scene.literal(
        """
        00000028 00000002 0000000000000000  # length, FUSE_NOTIFY_INVAL_INODE, unique
        {file} 0000000000000001 0000000000000000  # ino, off, len: to the end
        """
    )


def test_17_statfs(scene: Scene) -> None:
    scene.kernel.store.set_quota("main", Quota(bytes_max=1 << 20, inodes_max=1000))
    scene.check(
        17,
        "root",
        "",
        """
        0000000000000100 00000000000000ff 00000000000000ff  # blocks, bfree, bavail
        00000000000003e8 00000000000003e5  # files, ffree: all but the root and two
        00001000 000000ff 00001000 00000000  # bsize, namelen, frsize, padding
        00000000 00000000 00000000 00000000 00000000 00000000  # spare
        """,
    )


def test_20_fsync(scene: Scene) -> None:
    """Also FSYNCDIR, and SYNCFS of the whole file system."""
    for opcode, body in (
        (20, "0000000000000000 00000000 00000000  # fh, fsync_flags, padding"),
        (30, "0000000000000000 00000000 00000000"),
        (50, "0000000000000000  # padding"),
    ):
        scene.check(opcode, "root" if opcode == 50 else "file", body, "")
    assert scene.kernel.waiting.flushes == 3


def test_21_setxattr(scene: Scene) -> None:
    value = "00000005 00000000 'user.a' \"value\"  # size, flags, name, value"
    scene.check(21, "file", value, "")
    scene.check(21, "file", value.replace("00000000", "00000001"), "", errno.EEXIST)  # CREATE
    missing = "00000000 00000002 'user.b'  # XATTR_REPLACE"
    scene.check(21, "file", missing, "", errno.ENODATA)
    scene.check(21, "file", "00000000 00000004 'user.b'", "", errno.EINVAL)
    scene.check(21, "file", "00000000 00000000 'system.nothing'", "", errno.EOPNOTSUPP)
    scene.check(22, "file", "00000000 00000000 'user.a'", "00000005 00000000  # size, padding")
    scene.check(22, "file", "00000005 00000000 'user.a'", '"value"')
    scene.check(22, "file", "00000004 00000000 'user.a'", "", errno.ERANGE)
    scene.check(22, "file", "00000005 00000000 'user.b'", "", errno.ENODATA)
    scene.check(23, "file", "00000000 00000000  # size, padding", "00000007 00000000")
    scene.check(23, "file", "00000100 00000000", "'user.a'")
    scene.check(23, "file", "00000006 00000000", "", errno.ERANGE)
    scene.check(24, "file", "'user.a'", "")
    scene.check(24, "file", "'user.a'", "", errno.ENODATA)
    scene.check(23, "file", "00000100 00000000", "")


def test_46_lseek(scene: Scene) -> None:
    seek = """
        0000000000000000 {offset}  # fh, offset
        {whence} 00000000  # whence, padding
        """
    data, hole = "00000003", "00000004"
    scene.check(46, "file", seek, f"{0:016x}", offset=f"{0:016x}", whence=data)
    scene.check(46, "file", seek, f"{5:016x}", offset=f"{1:016x}", whence=hole)
    scene.check(46, "file", seek, "", errno.ENXIO, offset=f"{5:016x}", whence=data)
    scene.check(46, "file", seek, "", errno.EINVAL, offset=f"{0:016x}", whence="00000000")


def test_14_open(scene: Scene) -> None:
    """The kernel does without, where it has said that it can; else nothing is kept of it."""
    flags = "00008000 00000000  # flags, open_flags"
    scene.check(14, "file", flags, "", errno.ENOSYS)
    scene.check(27, "root", flags, "", errno.ENOSYS)
    scene.check(26, "root", "00000007 00000026 00020000 00000000", INIT)
    scene.check(14, "file", flags, "0000000000000000 00000002 00000000  # fh, KEEP_CACHE, padding")
    scene.check(27, "root", flags, "0000000000000000 0000000a 00000000  # KEEP_CACHE, CACHE_DIR")
    released = "0000000000000000 00008000 00000000 0000000000000000"
    scene.check(18, "file", released, "")
    scene.check(29, "root", released, "")


INIT = """
    00000007 00000026 00020000 00000000  # major, minor, max_readahead, flags
    0040 0030 00100000 00000001  # max_background, congestion_threshold, max_write, time_gran
    0100 0000 00000000  # max_pages, map_alignment, flags2
    00000000 00000000 00000000 00000000 00000000 00000000 00000000  # unused
"""


def test_2_forget(scene: Scene) -> None:
    """Not answered; nor are BATCH_FORGET and INTERRUPT."""
    scene.check(1, "root", "'f'", ENTRY.replace("node", "file") + FILE)
    scene.check(2, "file", "0000000000000001  # nlookup", None)
    scene.check(2, "file", "0000000000000001", None)
    assert len(scene.kernel.session.nodes) == 0
    for name in ("f", "l", "f"):
        scene.kernel.lookup(name.encode())
    scene.check(
        42,
        "root",
        """
        00000002 00000000  # count, dummy
        {file} 0000000000000002  # nodeid, nlookup
        {link} 0000000000000001
        """,
        None,
    )
    assert len(scene.kernel.session.nodes) == 0
    scene.check(36, "root", "0000000000000001  # unique", None)


def test_38_destroy(scene: Scene) -> None:
    scene.check(38, "root", "", "")
