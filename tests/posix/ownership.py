"""Who may change mode and owner (chmod, chown), as Linux restricts them."""

from __future__ import annotations

from tests.posix.fs import ALICE, BOB, CAROL, DAVE, STAFF, Call, Fs, User, fails
from tests.posix.suite import case, each

STRANGERS = {"a stranger": (BOB,), "a member of the group": (DAVE,)}
KINDS = {
    "file": (lambda fs: fs.put("x"),),
    "directory": (lambda fs: fs.mkdir("x"),),
    "fifo": (lambda fs: fs.mknod("x", 0o010644),),
}


def make(fs: Fs, mode: int = 0o777) -> None:
    """A file `f` of ALICE and STAFF."""
    fs.put("f")
    fs.chown("f", ALICE.uid, STAFF)
    fs.chmod("f", mode)


@each(STRANGERS)
def chmod_is_for_the_owner(fs: Fs, user: User) -> None:
    make(fs)
    fails("EPERM", fs.as_(user).chmod, "f", 0o700)
    assert fs.stat("f").perm == 0o777


@each(STRANGERS)
def chown_is_not_for(fs: Fs, user: User) -> None:
    make(fs)
    fails("EPERM", fs.as_(user).chown, "f", user.uid, -1)
    fails("EPERM", fs.as_(user).chown, "f", -1, user.gid)
    assert (fs.stat("f").uid, fs.stat("f").gid) == (ALICE.uid, STAFF)


@each(STRANGERS)
def chown_to_what_it_is_already_is_not_for(fs: Fs, user: User) -> None:
    make(fs)
    fails("EPERM", fs.as_(user).chown, "f", ALICE.uid, -1)


@each(KINDS)
def an_owner_may_chmod(fs: Fs, put: Call) -> None:
    put(fs)
    fs.give("x", ALICE)
    fs.as_(ALICE).chmod("x", 0o1750)
    assert fs.stat("x").perm == 0o1750


@each(KINDS)
def root_may_chmod_and_chown(fs: Fs, put: Call) -> None:
    put(fs)
    fs.give("x", ALICE)
    fs.chmod("x", 0o604)
    fs.chown("x", 77, 88)
    assert (fs.stat("x").perm, fs.stat("x").uid, fs.stat("x").gid) == (0o604, 77, 88)


@each(KINDS)
def an_owner_may_not_give_away(fs: Fs, put: Call) -> None:
    put(fs)
    fs.give("x", ALICE)
    fails("EPERM", fs.as_(ALICE).chown, "x", BOB.uid, -1)
    fails("EPERM", fs.as_(ALICE).chown, "x", 0, -1)
    assert fs.stat("x").uid == ALICE.uid


@each(
    {
        "their primary": (ALICE, ALICE.gid),
        "their supplementary": (ALICE, STAFF),
        "a supplementary that is another's primary": (CAROL, STAFF),
    }
)
def an_owner_may_choose_among_their_groups(fs: Fs, user: User, gid: int) -> None:
    fs.put("f")
    fs.chown("f", user.uid, 0)
    fs.as_(user).chown("f", -1, gid)
    assert fs.stat("f").gid == gid


@each({"another's": (BOB.gid,), "root's": (0,), "nobody's": (31337,)})
def an_owner_may_not_choose_a_foreign_group(fs: Fs, gid: int) -> None:
    make(fs)
    fails("EPERM", fs.as_(ALICE).chown, "f", -1, gid)
    assert fs.stat("f").gid == STAFF


@case
def an_owner_may_set_the_owner_and_group_it_has(fs: Fs) -> None:
    fs.put("f")
    fs.chown("f", BOB.uid, STAFF)
    fs.as_(BOB).chown("f", BOB.uid, STAFF)
    assert (fs.stat("f").uid, fs.stat("f").gid) == (BOB.uid, STAFF)


@case
def a_refused_owner_leaves_the_group(fs: Fs) -> None:
    make(fs)
    fails("EPERM", fs.as_(ALICE).chown, "f", BOB.uid, ALICE.gid)
    assert (fs.stat("f").uid, fs.stat("f").gid) == (ALICE.uid, STAFF)


@each({"uid": (4_000_000_000, 1), "gid": (1, 4_000_000_000), "largest": (2**32 - 2, 2**32 - 2)})
def ids_have_32_bits(fs: Fs, uid: int, gid: int) -> None:
    fs.put("f")
    fs.chown("f", uid, gid)
    assert (fs.stat("f").uid, fs.stat("f").gid) == (uid, gid)


@case
def chown_of_one_id_leaves_the_other(fs: Fs) -> None:
    make(fs)
    fs.chown("f", uid=5)
    assert (fs.stat("f").uid, fs.stat("f").gid) == (5, STAFF)
    fs.chown("f", gid=6)
    assert (fs.stat("f").uid, fs.stat("f").gid) == (5, 6)


@case
def the_owner_of_a_directory_owns_not_what_is_in_it(fs: Fs) -> None:
    fs.mkdir("d")
    fs.put("d/f")
    fs.give("d", ALICE)
    fails("EPERM", fs.as_(ALICE).chmod, "d/f", 0)
    fs.as_(ALICE).unlink("d/f")


@case
def a_giver_has_nothing_left_to_say(fs: Fs) -> None:
    make(fs)
    fs.chown("f", BOB.uid)
    fails("EPERM", fs.as_(ALICE).chmod, "f", 0)
    fs.as_(BOB).chmod("f", 0o600)
