"""Set-user-id and set-group-id bits: how set-gid directories hand them down, and what clears them.

Linux's rule for clearing: set-uid always; set-gid where the group may execute, or where the caller
is not in the group. Writes and truncation by root clear nothing; chown clears for root as well.
"""

from __future__ import annotations

import os
import stat

from tests.posix.fs import ALICE, BOB, CAROL, DAVE, ROOT, STAFF, Call, Fs, User
from tests.posix.suite import case, each

FIFO = stat.S_IFIFO | 0o644


def append(fs: Fs) -> None:
    with fs.open("f", os.O_WRONLY | os.O_APPEND) as file:
        file.append(b"more")


CHANGES: dict[str, Call] = {
    "write": lambda fs: fs.write("f", b"w"),
    "append": append,
    "truncate": lambda fs: fs.truncate("f", 1),
    "truncate longer": lambda fs: fs.truncate("f", 100_000),
    "o_trunc": lambda fs: fs.open("f", os.O_WRONLY | os.O_TRUNC).close(),
}
CLEARED = {
    "both, group executes": (0o6777, 0o777),
    "set-uid alone": (0o4777, 0o777),
    "set-uid, nobody executes": (0o4666, 0o666),
    "set-gid, group executes": (0o2777, 0o777),
}
MAKERS = {
    "creat": (lambda fs: fs.put("d/x"),),
    "mkdir": (lambda fs: fs.mkdir("d/x"),),
    "mknod": (lambda fs: fs.mknod("d/x", FIFO),),
    "symlink": (lambda fs: fs.symlink("t", "d/x"),),
}


def make(fs: Fs, mode: int, uid: int = ALICE.uid, gid: int = STAFF) -> None:
    """A file `f` of that mode and owner."""
    fs.put("f", b"data")
    fs.chown("f", uid, gid)
    fs.chmod("f", mode)


def set_gid_directory(fs: Fs, gid: int = STAFF) -> None:
    """A directory `d` open to all that hands down `gid`."""
    fs.mkdir("d")
    fs.chown("d", 0, gid)
    fs.chmod("d", 0o2777)


@each(
    {
        f"{change}, {bits}, by {who}": (CHANGES[change], *CLEARED[bits], user)
        for change in CHANGES
        for bits in CLEARED
        for who, user in (("the owner", ALICE), ("a stranger", BOB))
    }
)
def a_change_of_data_clears(fs: Fs, change: Call, before: int, after: int, user: User) -> None:
    make(fs, before)
    change(fs.as_(user))
    assert fs.stat("f").perm == after


@each({name: (change,) for name, change in CHANGES.items()})
def a_change_of_data_by_root_clears_nothing(fs: Fs, change: Call) -> None:
    make(fs, 0o6777)
    change(fs)
    assert fs.stat("f").perm == 0o6777


@each({name: (change,) for name, change in CHANGES.items()})
def set_gid_without_group_execution_stays_for_members(fs: Fs, change: Call) -> None:
    make(fs, 0o2666)
    change(fs.as_(CAROL))
    assert fs.stat("f").perm == 0o2666


@each({name: (change,) for name, change in CHANGES.items()})
def set_gid_without_group_execution_goes_for_strangers(fs: Fs, change: Call) -> None:
    make(fs, 0o2666)
    change(fs.as_(BOB))
    assert fs.stat("f").perm == 0o666


@each(
    {
        "empty write": (lambda fs: fs.write("f", b""),),
        "read": (lambda fs: fs.get("f"),),
        "open": (lambda fs: fs.open("f", os.O_RDWR).close(),),
        "utimens": (lambda fs: fs.utimens("f", 1, 1),),
        "link": (lambda fs: fs.link("f", "g"),),
        "setxattr": (lambda fs: fs.setxattr("f", "user.a", b"1"),),
    }
)
def other_calls_clear_nothing(fs: Fs, call: Call) -> None:
    make(fs, 0o6777)
    call(fs.as_(ALICE))
    assert fs.stat("f").perm == 0o6777


@each(
    {
        "both": (0o6755, 0o755),
        "set-uid": (0o4755, 0o755),
        "set-gid, group executes": (0o2755, 0o755),
        "set-gid, group does not": (0o2745, 0o2745),
        "sticky stays": (0o5755, 0o1755),
        "none": (0o755, 0o755),
    }
)
def chown_by_root_clears(fs: Fs, before: int, after: int) -> None:
    make(fs, before)
    fs.chown("f", BOB.uid, BOB.gid)
    assert fs.stat("f").perm == after


@case
def chgrp_by_the_owner_clears(fs: Fs) -> None:
    make(fs, 0o6755)
    fs.as_(ALICE).chown("f", -1, ALICE.gid)
    assert fs.stat("f").perm == 0o755


@case
def chown_to_the_same_ids_clears_too(fs: Fs) -> None:
    make(fs, 0o6755)
    fs.chown("f", ALICE.uid, STAFF)
    assert fs.stat("f").perm == 0o755


@case
def chown_of_a_directory_clears_nothing(fs: Fs) -> None:
    fs.mkdir("d")
    fs.chmod("d", 0o6755)
    fs.chown("d", BOB.uid, BOB.gid)
    assert fs.stat("d").perm == 0o6755


@each({"primary": (DAVE, 0o2755), "supplementary": (CAROL, 0o2755), "stranger": (BOB, 0o755)})
def chmod_sets_set_gid_for_members_only(fs: Fs, user: User, expected: int) -> None:
    make(fs, 0o644, uid=user.uid)
    fs.as_(user).chmod("f", 0o2755)
    assert fs.stat("f").perm == expected


@case
def chmod_of_a_directory_drops_set_gid_for_strangers_too(fs: Fs) -> None:
    fs.mkdir("d")
    fs.chown("d", BOB.uid, STAFF)
    fs.as_(BOB).chmod("d", 0o2755)
    assert fs.stat("d").perm == 0o755


@case
def root_sets_set_gid_for_any_group(fs: Fs) -> None:
    make(fs, 0o644)
    fs.chmod("f", 0o2755)
    assert fs.stat("f").perm == 0o2755


@case
def an_owner_may_set_set_uid_and_sticky(fs: Fs) -> None:
    make(fs, 0o644)
    fs.as_(ALICE).chmod("f", 0o5755)
    assert fs.stat("f").perm == 0o5755


@each(MAKERS)
def a_set_gid_directory_hands_down_its_group(fs: Fs, put: Call) -> None:
    set_gid_directory(fs)
    put(fs.as_(BOB))
    made = fs.lstat("d/x")
    assert (made.uid, made.gid) == (BOB.uid, STAFF)


@each(MAKERS)
def any_other_directory_does_not(fs: Fs, put: Call) -> None:
    set_gid_directory(fs)
    fs.chmod("d", 0o777)
    put(fs.as_(BOB))
    assert fs.lstat("d/x").gid == BOB.gid


@each(MAKERS)
def root_is_handed_the_group_as_well(fs: Fs, put: Call) -> None:
    set_gid_directory(fs)
    put(fs)
    assert fs.lstat("d/x").gid == STAFF


@case
def a_set_gid_directory_hands_its_bit_to_directories_only(fs: Fs) -> None:
    set_gid_directory(fs)
    fs.mkdir("d/d")
    fs.mkdir("d/d/d")
    fs.put("d/f", mode=0o755)
    assert fs.stat("d/d/d").perm == 0o2755
    assert fs.stat("d/d/d").gid == STAFF
    assert fs.stat("d/f").perm == 0o755


@case
def a_file_moved_in_keeps_its_group(fs: Fs) -> None:
    set_gid_directory(fs)
    fs.put("f")
    fs.rename("f", "d/f")
    assert fs.stat("d/f").gid == 0


@each(
    {
        "stranger, group executes": (BOB, 0o2755, 0o755),
        "stranger, group does not": (BOB, 0o2745, 0o2745),
        "member, group executes": (CAROL, 0o2755, 0o2755),
        "root, group executes": (ROOT, 0o2755, 0o2755),
    }
)
def creat_in_a_set_gid_directory(fs: Fs, user: User, asked: int, expected: int) -> None:
    set_gid_directory(fs)
    fs.as_(user).put("d/f", mode=asked)
    assert fs.stat("d/f").perm == expected
    assert fs.stat("d/f").gid == STAFF
