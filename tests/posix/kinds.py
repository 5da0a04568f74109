"""What mknod, mkdir and creat make: kinds, modes, owners, device numbers."""

from __future__ import annotations

import stat

from tests.posix.fs import ALICE, BOB, Call, Fs, fails
from tests.posix.suite import case, each

FIFO = stat.S_IFIFO | 0o640
KINDS = {
    "fifo": ("fifo", stat.S_IFIFO, 0, 0),
    "socket": ("socket", stat.S_IFSOCK, 0, 0),
    "character device": ("character device", stat.S_IFCHR, 1, 3),
    "block device": ("block device", stat.S_IFBLK, 7, 200),
    "regular file": ("file", stat.S_IFREG, 0, 0),
    "large device numbers": ("character device", stat.S_IFCHR, 4095, 0xFFFFF),
}
MAKERS = {
    "creat": (lambda fs: fs.put("x", mode=0o640),),
    "mkdir": (lambda fs: fs.mkdir("x", 0o640),),
    "mknod": (lambda fs: fs.mknod("x", FIFO),),
    "symlink": (lambda fs: fs.symlink("t", "x"),),
}


@each(KINDS)
def mknod_makes(fs: Fs, kind: str, type_: int, major: int, minor: int) -> None:
    fs.mknod("x", type_ | 0o640, major, minor)
    made = fs.lstat("x")
    assert (made.kind, made.perm, made.nlink, made.size) == (kind, 0o640, 1, 0)
    assert (made.major, made.minor) == (major, minor)
    assert {entry.name: entry.kind for entry in fs.readdir(".")}[b"x"] == kind


@each(KINDS)
def mknod_refuses_a_taken_name(fs: Fs, kind: str, type_: int, major: int, minor: int) -> None:
    fs.put("x", b"kept")
    fails("EEXIST", fs.mknod, "x", type_ | 0o640, major, minor)
    assert fs.get("x") == b"kept"


@each(KINDS)
def a_node_can_be_linked_renamed_and_unlinked(
    fs: Fs, kind: str, type_: int, major: int, minor: int
) -> None:
    fs.mknod("x", type_ | 0o600, major, minor)
    fs.link("x", "y")
    fs.rename("x", "z")
    assert fs.lstat("y").nlink == 2 and fs.lstat("z").kind == kind
    fs.unlink("y")
    fs.unlink("z")
    assert fs.names() == set()


@each({"character": (stat.S_IFCHR,), "block": (stat.S_IFBLK,)})
def only_root_makes_devices(fs: Fs, type_: int) -> None:
    fails("EPERM", fs.as_(ALICE).mknod, "x", type_ | 0o666, 1, 3)
    assert fs.names() == set()


@each({"fifo": (stat.S_IFIFO,), "socket": (stat.S_IFSOCK,), "regular": (stat.S_IFREG,)})
def anyone_makes_other_nodes(fs: Fs, type_: int) -> None:
    fs.as_(ALICE).mknod("x", type_ | 0o600)
    assert fs.lstat("x").uid == ALICE.uid


@each({"fifo": (stat.S_IFIFO,), "socket": (stat.S_IFSOCK,), "device": (stat.S_IFCHR,)})
def a_node_has_no_size_to_set(fs: Fs, type_: int) -> None:
    fs.mknod("x", type_ | 0o600)
    fails("EINVAL", fs.truncate, "x", 5)


@each({"fifo": (stat.S_IFIFO,), "socket": (stat.S_IFSOCK,), "device": (stat.S_IFCHR,)})
def a_node_has_mode_owner_and_times(fs: Fs, type_: int) -> None:
    fs.mknod("x", type_ | 0o600)
    fs.chmod("x", 0o4711)
    fs.chown("x", 3, 4)
    fs.utimens("x", 5, 6)
    made = fs.stat("x")
    assert (made.uid, made.gid, made.atime, made.mtime) == (3, 4, 5, 6)
    assert stat.S_IFMT(made.mode) == type_


@each(MAKERS)
def a_new_inode_belongs_to_its_maker(fs: Fs, make: Call) -> None:
    make(fs.as_(ALICE))
    made = fs.lstat("x")
    assert (made.uid, made.gid) == (ALICE.uid, ALICE.gid)


@each(MAKERS)
def a_new_inode_has_the_three_times_alike(fs: Fs, make: Call) -> None:
    make(fs)
    made = fs.lstat("x")
    assert made.atime == made.mtime == made.ctime


@each(MAKERS)
def two_inodes_have_two_numbers(fs: Fs, make: Call) -> None:
    make(fs)
    fs.rename("x", "y")
    make(fs)
    assert fs.lstat("x").ino != fs.lstat("y").ino


@each({f"{mode:04o}": (mode,) for mode in (0, 0o400, 0o644, 0o777, 0o1755, 0o2755, 0o4755, 0o7777)})
def creat_keeps_the_mode(fs: Fs, mode: int) -> None:
    fs.put("x", mode=mode)
    assert fs.stat("x").perm == mode


@each({f"{mode:04o}": (mode,) for mode in (0, 0o700, 0o755, 0o777, 0o1777)})
def mkdir_keeps_the_mode(fs: Fs, mode: int) -> None:
    fs.mkdir("x", mode)
    assert fs.stat("x").perm == mode


@each({f"{mode:04o}": (mode,) for mode in (0, 0o444, 0o777, 0o1777, 0o2777, 0o4777, 0o7777)})
def chmod_sets_every_bit(fs: Fs, mode: int) -> None:
    fs.put("f")
    fs.mkdir("d")
    for path in ("f", "d"):
        fs.chmod(path, mode)
        assert fs.stat(path).perm == mode


@case
def an_open_file_may_be_written_whatever_mode_it_was_made_with(fs: Fs) -> None:
    fs.as_(ALICE).put("f", b"written", mode=0o400)
    assert fs.as_(ALICE).get("f") == b"written"
    fails("EACCES", fs.as_(BOB).get, "f")
