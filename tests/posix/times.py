"""Times that move with a call, and times that must not (POSIX "shall mark for update")."""

from __future__ import annotations

import os
import stat

from tests.posix.fs import ALICE, BOB, NOW, OMIT, STAFF, Call, Fs, FsError, Time, fails
from tests.posix.suite import case, each

OLD = 10**18  # 2001, a time that no clock will give again
WATCHED = (".", "f", "s", "a", "b", "a/x", "a/d", "b/y")


def prepare(fs: Fs) -> None:
    """Some of everything, with access and modification times long ago."""
    fs.put("f", b"0123456789", mode=0o666)
    fs.symlink("f", "s")
    fs.mkdir("a")
    fs.mkdir("b")
    fs.put("a/x", b"x")
    fs.mkdir("a/d")
    fs.put("b/y", b"y")
    try:
        fs.setxattr("f", "user.old", b"1")
    except FsError as error:  # not every file system has them; the cases of theirs will tell
        assert error.name == "EOPNOTSUPP"
    for path in WATCHED:
        fs.utimens(path, OLD, OLD, follow=False)
    fs.tick()


def moved(fs: Fs, call: Call) -> dict[str, str]:
    """Which times the call moves: path -> "m", "c" or "mc"; nothing for a path that is gone."""
    before = {path: fs.lstat(path) for path in WATCHED}
    call(fs)
    found = {}
    for path, old in before.items():
        parent, _, name = path.rpartition("/")
        if name == "." or name in fs.names(parent or "."):
            now = fs.lstat(path)
            assert now.ctime >= old.ctime
            if now.ino == old.ino:
                m = "m" if now.mtime != old.mtime else ""
                c = "c" if now.ctime != old.ctime else ""
                found[path] = m + c
    return {path: times for path, times in found.items() if times}


def write(fs: Fs, data: bytes, offset: int = 0) -> None:
    fs.write("f", data, offset)


MOVING = {
    "creat": (lambda fs: fs.put("new"), {".": "mc"}),
    "mkdir": (lambda fs: fs.mkdir("new"), {".": "mc"}),
    "mknod": (lambda fs: fs.mknod("new", stat.S_IFIFO | 0o600), {".": "mc"}),
    "symlink": (lambda fs: fs.symlink("t", "new"), {".": "mc"}),
    "link": (lambda fs: fs.link("f", "b/new"), {"f": "c", "b": "mc"}),
    "unlink": (lambda fs: fs.unlink("f"), {".": "mc"}),
    "unlink of one of two": (
        lambda fs: (fs.link("f", "a/g"), fs.tick(), fs.unlink("a/g")),
        {"f": "c", "a": "mc"},
    ),
    "rmdir": (lambda fs: fs.rmdir("a/d"), {"a": "mc"}),
    "rename within": (lambda fs: fs.rename("a/x", "a/z"), {"a": "mc"}),
    "rename across": (lambda fs: fs.rename("a/x", "b/x"), {"a": "mc", "b": "mc"}),
    "rename over": (lambda fs: fs.rename("a/x", "b/y"), {"a": "mc", "b": "mc"}),
    "rename of a directory": (lambda fs: fs.rename("a/d", "b/d"), {"a": "mc", "b": "mc"}),
    "write": (lambda fs: write(fs, b"w"), {"f": "mc"}),
    "write of the same bytes": (lambda fs: write(fs, b"0123"), {"f": "mc"}),
    "write beyond the end": (lambda fs: write(fs, b"w", 100_000), {"f": "mc"}),
    "truncate shorter": (lambda fs: fs.truncate("f", 3), {"f": "mc"}),
    "truncate to nothing": (lambda fs: fs.truncate("f", 0), {"f": "mc"}),
    "truncate longer": (lambda fs: fs.truncate("f", 3000), {"f": "mc"}),
    "o_trunc": (lambda fs: fs.open("f", os.O_WRONLY | os.O_TRUNC).close(), {"f": "mc"}),
    "o_trunc of an empty file": (
        lambda fs: (
            fs.truncate("f", 0),
            fs.utimens("f", OLD, OLD),
            fs.tick(),
            fs.open("f", os.O_WRONLY | os.O_TRUNC).close(),
        ),
        {"f": "mc"},
    ),
    "write through a link": (lambda fs: fs.write("s", b"w"), {"f": "mc"}),
    "chmod": (lambda fs: fs.chmod("f", 0o600), {"f": "c"}),
    "chmod to the same": (lambda fs: fs.chmod("f", 0o666), {"f": "c"}),
    "chmod of a directory": (lambda fs: fs.chmod("a", 0o700), {"a": "c"}),
    "chown": (lambda fs: fs.chown("f", 1, 1), {"f": "c"}),
    "chown to the same": (lambda fs: fs.chown("f", 0, 0), {"f": "c"}),
    "lchown": (lambda fs: fs.chown("s", 1, 1, follow=False), {"s": "c"}),
    "utimens": (lambda fs: fs.utimens("f", 5, 6), {"f": "mc"}),
    "utimens of atime alone": (lambda fs: fs.utimens("f", 5, OMIT), {"f": "c"}),
    "utimens of mtime alone": (lambda fs: fs.utimens("f", OMIT, 5), {"f": "mc"}),
    "utimens now": (lambda fs: fs.utimens("f", NOW, NOW), {"f": "mc"}),
    "setxattr": (lambda fs: fs.setxattr("f", "user.new", b"1"), {"f": "c"}),
    "setxattr over": (lambda fs: fs.setxattr("f", "user.old", b"2"), {"f": "c"}),
    "removexattr": (lambda fs: fs.removexattr("f", "user.old"), {"f": "c"}),
}
STILL: dict[str, tuple[Call]] = {
    "stat": (lambda fs: fs.stat("f"),),
    "open": (lambda fs: fs.open("f", os.O_RDWR).close(),),
    "open with o_creat": (lambda fs: fs.open("f", os.O_RDWR | os.O_CREAT).close(),),
    "read": (lambda fs: fs.get("f"),),
    "readdir": (lambda fs: fs.readdir("a"),),
    "readlink": (lambda fs: fs.readlink("s"),),
    "access": (lambda fs: fs.access("f"),),
    "getxattr": (lambda fs: fs.getxattr("f", "user.old"),),
    "listxattr": (lambda fs: fs.listxattr("f"),),
    "empty write": (lambda fs: fs.write("f", b""),),
    "utimens of nothing": (lambda fs: fs.utimens("f", OMIT, OMIT),),
    "rename to itself": (lambda fs: fs.rename("f", "f"),),
    "failed creat": (lambda fs: fails("EEXIST", fs.put, "f"),),
    "failed mkdir": (lambda fs: fails("EEXIST", fs.mkdir, "a"),),
    "failed link": (lambda fs: fails("EEXIST", fs.link, "f", "a/x"),),
    "failed unlink": (lambda fs: fails("ENOENT", fs.unlink, "a/none"),),
    "failed rmdir": (lambda fs: fails("ENOTEMPTY", fs.rmdir, "a"),),
    "failed rename": (lambda fs: fails("ENOTEMPTY", fs.rename, "b", "a"),),
    "failed chmod": (lambda fs: fails("EPERM", fs.as_(BOB).chmod, "f", 0),),
    "failed chown": (lambda fs: fails("EPERM", fs.as_(BOB).chown, "f", BOB.uid),),
    "failed truncate": (lambda fs: fails("EACCES", fs.as_(BOB).truncate, "a/x", 0),),
    "failed setxattr": (lambda fs: fails("EEXIST", fs.setxattr, "f", "user.old", b"", "create"),),
    "failed removexattr": (lambda fs: fails("ENODATA", fs.removexattr, "f", "user.none"),),
}


@each(MOVING)
def times_move(fs: Fs, call: Call, expected: dict[str, str]) -> None:
    prepare(fs)
    assert moved(fs, call) == expected


@each(STILL)
def times_stand(fs: Fs, call: Call) -> None:
    prepare(fs)
    assert moved(fs, call) == {}


@case
def rename_moves_the_ctime_of_what_is_renamed(fs: Fs) -> None:
    fs.put("f")
    before = fs.stat("f")
    fs.tick()
    fs.rename("f", "g")
    after = fs.stat("g")
    assert after.ctime > before.ctime and after.mtime == before.mtime


@case
def exchange_moves_both_ctimes(fs: Fs) -> None:
    fs.put("f")
    fs.put("g")
    before = (fs.stat("f").ctime, fs.stat("g").ctime)
    fs.tick()
    fs.rename("f", "g", "exchange")
    assert fs.stat("g").ctime > before[0] and fs.stat("f").ctime > before[1]


@case
def rename_between_two_links_of_a_file_moves_nothing(fs: Fs) -> None:
    fs.put("f")
    fs.link("f", "g")
    before = (fs.stat("."), fs.stat("f"))
    fs.tick()
    fs.rename("f", "g")
    assert (fs.stat("."), fs.stat("f")) == before


@case
def creat_gives_the_directory_the_files_time(fs: Fs) -> None:
    fs.tick()
    fs.put("f")
    assert fs.stat(".").mtime >= fs.stat("f").ctime


@each(
    {
        "nanoseconds": (1_234_567_890_123_456_789,),
        "the epoch": (0,),
        "one nanosecond": (1,),
        "before the epoch": (-5 * 10**9,),
        "before the epoch by nanoseconds": (-1_500_000_001,),
        "2038": (2**31 * 10**9,),
        "2106": (2**32 * 10**9 + 7,),
        "2200": (7_258_118_400 * 10**9,),
        "2400": (13_569_465_600 * 10**9,),
    }
)
def a_time_comes_back_as_set(fs: Fs, time: int) -> None:
    fs.put("f")
    fs.utimens("f", time, time + 1)
    assert (fs.stat("f").atime, fs.stat("f").mtime) == (time, time + 1)


@each({"omit mtime": (5, OMIT, 5, OLD), "omit atime": (OMIT, 5, OLD, 5), "both": (3, 4, 3, 4)})
def utimens_sets(fs: Fs, atime: Time, mtime: Time, got_atime: int, got_mtime: int) -> None:
    prepare(fs)
    fs.utimens("f", atime, mtime)
    assert (fs.stat("f").atime, fs.stat("f").mtime) == (got_atime, got_mtime)


@case
def now_is_the_clock_of_the_file_system(fs: Fs) -> None:
    prepare(fs)
    fs.utimens("f", NOW, NOW)
    after = fs.stat("f")
    assert after.atime == after.mtime == after.ctime


@case
def a_reader_may_not_touch(fs: Fs) -> None:
    fs.put("f", mode=0o644)
    fails("EACCES", fs.as_(BOB).utimens, "f", NOW, NOW)


@each({"by other bits": (0o666, 0), "by the group's": (0o660, STAFF)})
def a_writer_may_touch_but_not_choose(fs: Fs, mode: int, gid: int) -> None:
    fs.put("f", mode=mode)
    fs.chown("f", 0, gid)
    fs.as_(ALICE).utimens("f", NOW, NOW)
    for times in ((5, 5), (5, OMIT), (OMIT, 5), (NOW, 5), (5, NOW)):
        fails("EPERM", fs.as_(ALICE).utimens, "f", *times)


@case
def a_writer_may_not_touch_one_time_alone(fs: Fs) -> None:
    fs.put("f", mode=0o666)
    fails("EPERM", fs.as_(BOB).utimens, "f", NOW, OMIT)
    fails("EPERM", fs.as_(BOB).utimens, "f", OMIT, NOW)


@case
def an_owner_may_choose_without_any_right_to_write(fs: Fs) -> None:
    fs.put("f", mode=0)
    fs.give("f", ALICE)
    fs.as_(ALICE).utimens("f", 5, 6)
    fs.as_(ALICE).utimens("f", NOW, NOW)
    assert fs.stat("f").mtime > OLD


@case
def anyone_may_omit_both(fs: Fs) -> None:
    fs.put("f", mode=0)
    fs.as_(BOB).utimens("f", OMIT, OMIT)
