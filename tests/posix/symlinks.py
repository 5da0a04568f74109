"""Symbolic links: their content, their limits, and how paths follow them (XBD 4.13)."""

from __future__ import annotations

import os

from tests.posix.fs import ALICE, Call, Fs, fails
from tests.posix.suite import case, each


@each(
    {
        "relative": (b"some/where",),
        "absolute": (b"/some/where",),
        "dots": (b"../../x",),
        "one byte": (b"x",),
        "not utf-8": (b"\xff\x80\n",),
        "doubled slashes kept": (b"a//b///",),
        "a page less one": (b"t" * 4095,),
        "over a name's length": (b"t" * 256,),
    }
)
def the_target_comes_back_as_given(fs: Fs, target: bytes) -> None:
    fs.symlink(target, "s")
    assert fs.readlink("s") == target
    assert fs.lstat("s").size == len(target)
    assert fs.lstat("s").kind == "symlink"


@case
def a_target_of_4096_bytes_is_too_long(fs: Fs) -> None:
    fails("ENAMETOOLONG", fs.symlink, "t" * 4096, "s")
    assert fs.names() == set()


@case
def an_empty_target_is_refused(fs: Fs) -> None:
    fails("ENOENT", fs.symlink, "", "s")


@case
def a_symlink_grants_everything(fs: Fs) -> None:
    fs.symlink("t", "s")
    assert fs.lstat("s").perm == 0o777


@case
def anyone_may_read_a_link(fs: Fs) -> None:
    fs.symlink("t", "s")
    assert fs.as_(ALICE).readlink("s") == b"t"


@each(
    {
        "file": (lambda fs: fs.put("x"),),
        "directory": (lambda fs: fs.mkdir("x"),),
        "fifo": (lambda fs: fs.mknod("x", 0o010644),),
    }
)
def readlink_of_anything_else_is_invalid(fs: Fs, make: Call) -> None:
    make(fs)
    fails("EINVAL", fs.readlink, "x")


@case
def stat_follows_and_lstat_does_not(fs: Fs) -> None:
    fs.put("f", b"1234567")
    fs.symlink("f", "s")
    assert fs.stat("s").ino == fs.stat("f").ino
    assert fs.lstat("s").ino != fs.stat("f").ino


@case
def links_in_the_middle_are_followed(fs: Fs) -> None:
    fs.mkdir("d")
    fs.put("d/f", b"found")
    fs.symlink("d", "s")
    fs.symlink("s/../s", "t")
    assert fs.get("t/f") == b"found"


@case
def a_target_is_relative_to_the_links_directory(fs: Fs) -> None:
    fs.mkdir("d")
    fs.put("f", b"outer")
    fs.put("d/f", b"inner")
    fs.symlink("f", "d/s")
    assert fs.get("d/s") == b"inner"


@case
def dot_dot_after_a_link_leaves_the_target(fs: Fs) -> None:
    fs.mkdir("a")
    fs.mkdir("a/b")
    fs.put("a/f", b"beside b")
    fs.symlink("a/b", "s")
    assert fs.get("s/../f") == b"beside b"


@case
def a_dangling_link_is_not_found(fs: Fs) -> None:
    fs.symlink("missing", "s")
    fails("ENOENT", fs.stat, "s")
    fails("ENOENT", fs.open, "s")
    assert fs.lstat("s").kind == "symlink"


@case
def creat_through_a_dangling_link_makes_its_target(fs: Fs) -> None:
    fs.symlink("target", "s")
    fs.open("s", os.O_CREAT | os.O_WRONLY).close()
    assert fs.stat("target").kind == "file"


@case
def exclusive_creat_does_not_follow(fs: Fs) -> None:
    fs.symlink("target", "s")
    fails("EEXIST", fs.put, "s")
    assert fs.names() == {"s"}


@case
def a_link_to_itself_loops(fs: Fs) -> None:
    fs.symlink("s", "s")
    fails("ELOOP", fs.stat, "s")
    fails("ELOOP", fs.open, "s/x")
    assert fs.readlink("s") == b"s"


@case
def two_links_to_each_other_loop(fs: Fs) -> None:
    fs.symlink("b", "a")
    fs.symlink("a", "b")
    fails("ELOOP", fs.stat, "a")


@case
def forty_links_are_followed_and_not_one_more(fs: Fs) -> None:
    fs.put("0", b"end")
    for number in range(1, 42):
        fs.symlink(str(number - 1), str(number))
    assert fs.get("40") == b"end"
    fails("ELOOP", fs.get, "41")


@case
def o_nofollow_refuses_a_link(fs: Fs) -> None:
    fs.put("f")
    fs.symlink("f", "s")
    fails("ELOOP", fs.open, "s", os.O_RDONLY | os.O_NOFOLLOW)
    fs.open("f", os.O_RDONLY | os.O_NOFOLLOW).close()


@case
def unlink_removes_the_link(fs: Fs) -> None:
    fs.put("f")
    fs.symlink("f", "s")
    fs.unlink("s")
    assert fs.names() == {"f"}


@case
def rename_moves_the_link(fs: Fs) -> None:
    fs.symlink("f", "s")
    fs.rename("s", "t")
    assert fs.readlink("t") == b"f"


@case
def chmod_follows(fs: Fs) -> None:
    fs.put("f")
    fs.symlink("f", "s")
    fs.chmod("s", 0o600)
    assert fs.stat("f").perm == 0o600 and fs.lstat("s").perm == 0o777


@case
def chown_follows_and_lchown_does_not(fs: Fs) -> None:
    fs.put("f")
    fs.symlink("f", "s")
    fs.chown("s", 5, 6)
    fs.chown("s", 7, 8, follow=False)
    assert (fs.stat("f").uid, fs.stat("f").gid) == (5, 6)
    assert (fs.lstat("s").uid, fs.lstat("s").gid) == (7, 8)


@case
def times_of_the_link_itself_can_be_set(fs: Fs) -> None:
    fs.put("f")
    fs.symlink("f", "s")
    fs.utimens("s", 10**18, 2 * 10**18, follow=False)
    fs.utimens("s", 5, 6)
    assert fs.lstat("s").mtime == 2 * 10**18
    assert (fs.stat("f").atime, fs.stat("f").mtime) == (5, 6)


@case
def truncate_follows(fs: Fs) -> None:
    fs.put("f", b"12345")
    fs.symlink("f", "s")
    fs.truncate("s", 2)
    assert fs.get("f") == b"12" and fs.readlink("s") == b"f"


@case
def a_link_to_a_directory_with_a_slash_is_the_directory(fs: Fs) -> None:
    fs.mkdir("d")
    fs.symlink("d", "s")
    assert fs.lstat("s/").kind == "directory"
