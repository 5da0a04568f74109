"""Permission bits: owner, group (primary and supplementary), others, and the superuser."""

from __future__ import annotations

import os
import stat

from tests.posix.fs import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    ROOT,
    STAFF,
    Call,
    Fs,
    FsError,
    User,
    fails,
)
from tests.posix.suite import case, each

# f belongs to ALICE and STAFF: which of its nine bits count for whom.
CLASS = {"owner": (ALICE, 6), "supplementary": (CAROL, 3), "primary": (DAVE, 3), "other": (BOB, 0)}
BITS = {"r": 4, "w": 2, "x": 1}
MODES = (0o000, 0o007, 0o070, 0o700, 0o077, 0o707, 0o770, 0o124, 0o241, 0o412, 0o653, 0o777)
GRID = {
    f"{who} of {mode:04o}": (user, mode, "".join(c for c, b in BITS.items() if bits & b))
    for mode in MODES
    for who, (user, shift) in CLASS.items()
    for bits in [mode >> shift & 7]
}


def make(fs: Fs, mode: int, kind: str = "file") -> None:
    """A file or directory `f` of that mode, of ALICE and STAFF."""
    if kind == "file":
        fs.put("f", b"data")
    else:
        fs.mkdir("f")
        fs.put("f/x")
    fs.chown("f", ALICE.uid, STAFF)
    fs.chmod("f", mode)


def granted(call: Call, *args: object) -> bool:
    """Whether the call succeeds; anything but EACCES as a refusal is an error."""
    try:
        call(*args)
    except FsError as refusal:
        assert refusal.name == "EACCES", refusal.name
        return False
    return True


@each(GRID)
def access_grants_what_the_class_has(fs: Fs, user: User, mode: int, expected: str) -> None:
    make(fs, mode)
    assert fs.as_(user).access("f") == expected


@each(GRID)
def open_grants_what_the_class_has(fs: Fs, user: User, mode: int, expected: str) -> None:
    make(fs, mode)
    seen = fs.as_(user)
    for flags, needs in ((os.O_RDONLY, "r"), (os.O_WRONLY, "w"), (os.O_RDWR, "rw")):
        allowed = granted(lambda f: seen.open("f", f).close(), flags)
        assert allowed == (set(needs) <= set(expected))


@each(GRID)
def a_directory_grants_what_the_class_has(fs: Fs, user: User, mode: int, expected: str) -> None:
    make(fs, mode, "directory")
    seen = fs.as_(user)
    assert granted(seen.readdir, "f") == ("r" in expected)
    assert granted(seen.stat, "f/x") == ("x" in expected)
    assert granted(seen.put, "f/new") == ({"w", "x"} <= set(expected))
    assert granted(seen.unlink, "f/x") == ({"w", "x"} <= set(expected))


@each(
    {
        "no bits, file": (0o000, "file", "rw"),
        "one execute bit, file": (0o001, "file", "rwx"),
        "the group's execute bit, file": (0o010, "file", "rwx"),
        "no execute bit, file": (0o666, "file", "rw"),
        "no bits, directory": (0o000, "directory", "rwx"),
    }
)
def root_may_do_all_but_execute_what_nobody_may(
    fs: Fs, mode: int, kind: str, expected: str
) -> None:
    make(fs, mode, kind)
    assert fs.as_(ROOT).access("f") == expected


@case
def root_reads_and_writes_without_any_bit(fs: Fs) -> None:
    make(fs, 0)
    fs.write("f", b"root")
    assert fs.get("f") == b"root"


@case
def root_uses_a_directory_without_any_bit(fs: Fs) -> None:
    make(fs, 0, "directory")
    fs.put("f/y")
    assert fs.names("f") == {"x", "y"}


@each({"stat": (lambda fs: fs.stat("f"),), "access": (lambda fs: fs.access("f"),)})
def attributes_need_no_right_on_the_file(fs: Fs, call: Call) -> None:
    make(fs, 0)
    call(fs.as_(BOB))


@each(
    {"truncate": (lambda fs: fs.truncate("f", 0),), "open": (lambda fs: fs.open("f", os.O_RDWR),)}
)
def even_an_owner_needs_the_write_bit(fs: Fs, call: Call) -> None:
    make(fs, 0o444)
    fails("EACCES", call, fs.as_(ALICE))
    assert fs.get("f") == b"data"


@case
def a_writer_may_truncate(fs: Fs) -> None:
    make(fs, 0o666)
    fs.as_(BOB).truncate("f", 1)
    assert fs.get("f") == b"d"


@each(
    {
        "creat": (lambda fs: fs.put("f/new"), "wx"),
        "mkdir": (lambda fs: fs.mkdir("f/new"), "wx"),
        "mknod": (lambda fs: fs.mknod("f/new", stat.S_IFIFO), "wx"),
        "symlink": (lambda fs: fs.symlink("t", "f/new"), "wx"),
        "link": (lambda fs: fs.link("f/x", "f/new"), "wx"),
        "unlink": (lambda fs: fs.unlink("f/x"), "wx"),
        "rmdir": (lambda fs: fs.rmdir("f/d"), "wx"),
        "rename": (lambda fs: fs.rename("f/x", "f/new"), "wx"),
        "exchange": (lambda fs: fs.rename("f/x", "f/d", "exchange"), "wx"),
        "stat": (lambda fs: fs.stat("f/x"), "x"),
        "open": (lambda fs: fs.open("f/x").close(), "x"),
        "chmod": (lambda fs: fs.chmod("f/x", 0o600), "x"),
        "utimens": (lambda fs: fs.utimens("f/x", 1, 1), "x"),
        "through dots": (lambda fs: fs.stat("f/../f"), "x"),
        "readdir": (lambda fs: fs.readdir("f"), "r"),
    }
)
def a_call_needs_these_bits_of_the_directory(fs: Fs, call: Call, needs: str) -> None:
    """Without any one of them it is refused; with just these it is done."""
    make(fs, 0, "directory")
    fs.mkdir("f/d")
    fs.give("f/x", BOB)
    fs.give("f/d", BOB)
    for without in needs:
        fs.chmod("f", 7 & ~BITS[without])
        fails("EACCES", call, fs.as_(BOB))
    fs.chmod("f", sum(BITS[bit] for bit in needs))
    call(fs.as_(BOB))


@each({"from": (0o555, 0o777), "to": (0o777, 0o555)})
def rename_needs_to_write_both_directories(fs: Fs, source: int, target: int) -> None:
    fs.mkdir("a", source)
    fs.mkdir("b", target)
    fs.put("a/f")
    fs.give("a/f", BOB)
    fails("EACCES", fs.as_(BOB).rename, "a/f", "b/f")
    fs.chmod("a", 0o777)
    fs.chmod("b", 0o777)
    fs.as_(BOB).rename("a/f", "b/f")


@case
def a_directory_that_moves_must_be_writable_itself(fs: Fs) -> None:
    fs.mkdir("a", 0o777)
    fs.mkdir("b", 0o777)
    fs.mkdir("a/d", 0o755)
    fails("EACCES", fs.as_(BOB).rename, "a/d", "b/d")
    fs.as_(BOB).rename("a/d", "a/e")


@case
def unlink_needs_no_right_on_the_file(fs: Fs) -> None:
    make(fs, 0)
    fs.as_(BOB).unlink("f")
    assert fs.names() == set()


@case
def every_directory_on_the_way_must_be_searchable(fs: Fs) -> None:
    fs.mkdir("a", 0o711)
    fs.mkdir("a/b", 0o711)
    fs.put("a/b/f", b"seen")
    assert fs.as_(BOB).get("a/b/f") == b"seen"
    fs.chmod("a", 0o744)
    fails("EACCES", fs.as_(BOB).get, "a/b/f")


@case
def a_link_in_a_shut_directory_cannot_be_followed(fs: Fs) -> None:
    fs.put("f")
    fs.mkdir("shut", 0o700)
    fs.symlink("../f", "shut/s")
    fails("EACCES", fs.as_(BOB).stat, "shut/s")
    fails("EACCES", fs.as_(BOB).readlink, "shut/s")


@case
def a_change_of_group_changes_the_class(fs: Fs) -> None:
    make(fs, 0o640)
    assert fs.as_(CAROL).get("f") == b"data"
    fs.chown("f", gid=0)
    fails("EACCES", fs.as_(CAROL).get, "f")
