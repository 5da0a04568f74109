"""The sticky bit: in such a directory only its owner and a name's owner take the name away."""

from __future__ import annotations

from tests.posix.fs import ALICE, BOB, CAROL, ROOT, Call, Fs, User, fails
from tests.posix.suite import case, each

TAKING: dict[str, Call] = {
    "unlink": lambda fs: fs.unlink("d/f"),
    "rmdir": lambda fs: fs.rmdir("d/e"),
    "rename away": lambda fs: fs.rename("d/f", "f"),
    "rename within": lambda fs: fs.rename("d/f", "d/g"),
    "rename a directory": lambda fs: fs.rename("d/e", "d/g"),
    "rename over a file": lambda fs: fs.rename("mine", "d/f"),
    "rename over a directory": lambda fs: fs.rename("my", "d/e"),
    "exchange into": lambda fs: fs.rename("mine", "d/f", "exchange"),
    "exchange out of": lambda fs: fs.rename("d/f", "mine", "exchange"),
}


def make(fs: Fs, user: User, mode: int = 0o1777) -> None:
    """CAROL's sticky directory `d` with ALICE's `f` and `e`, and things of `user`'s outside."""
    fs.mkdir("d")
    fs.put("d/f", mode=0o666)
    fs.mkdir("d/e", 0o777)
    fs.give("d/f", ALICE)
    fs.give("d/e", ALICE)
    fs.give("d", CAROL)
    fs.chmod("d", mode)
    fs.put("mine")
    fs.mkdir("my")
    fs.give("mine", user)
    fs.give("my", user)


@each({name: (call,) for name, call in TAKING.items()})
def a_stranger_may_not(fs: Fs, call: Call) -> None:
    make(fs, BOB)
    fails("EPERM", call, fs.as_(BOB))
    assert fs.names("d") == {"e", "f"}


@each(
    {
        f"{name}, {who}": (call, user)
        for name, call in TAKING.items()
        for who, user in (("owner", ALICE), ("directory's owner", CAROL), ("root", ROOT))
        # A directory that gets another parent has to be writable too, which `e` is.
    }
)
def these_may(fs: Fs, call: Call, user: User) -> None:
    make(fs, user)
    call(fs.as_(user))


@each({name: (call,) for name, call in TAKING.items()})
def without_the_bit_a_stranger_may(fs: Fs, call: Call) -> None:
    make(fs, BOB, 0o777)
    call(fs.as_(BOB))


@case
def anyone_may_add_and_read(fs: Fs) -> None:
    make(fs, BOB)
    bob = fs.as_(BOB)
    bob.put("d/new")
    bob.link("d/f", "d/link")
    bob.mkdir("d/dir")
    bob.rename("mine", "d/mine")
    bob.write("d/f", b"written")
    assert bob.names("d") == {"e", "f", "new", "link", "dir", "mine"}


@case
def the_bit_comes_before_the_kind(fs: Fs) -> None:
    make(fs, BOB)
    fails("EPERM", fs.as_(BOB).unlink, "d/e")
    fails("EPERM", fs.as_(BOB).rmdir, "d/f")
    fails("EPERM", fs.as_(BOB).rename, "mine", "d/e")


@case
def no_right_to_write_comes_before_the_bit(fs: Fs) -> None:
    make(fs, BOB, 0o1755)
    fails("EACCES", fs.as_(BOB).unlink, "d/f")


@case
def not_found_comes_before_the_bit(fs: Fs) -> None:
    make(fs, BOB)
    fails("ENOENT", fs.as_(BOB).unlink, "d/none")


@case
def owning_one_of_two_links_names_is_owning_both(fs: Fs) -> None:
    make(fs, BOB)
    fs.as_(BOB).link("d/f", "d/g")
    fails("EPERM", fs.as_(BOB).unlink, "d/g")
    fs.as_(ALICE).unlink("d/g")


@case
def the_bit_on_the_file_means_nothing(fs: Fs) -> None:
    fs.put("f", mode=0o1644)
    fs.give("f", ALICE)
    fs.as_(BOB).unlink("f")


@case
def the_source_may_be_sticky_and_the_target_not(fs: Fs) -> None:
    make(fs, BOB)
    fs.mkdir("open", 0o777)
    fs.put("open/f")
    fails("EPERM", fs.as_(BOB).rename, "d/f", "open/f")
    fs.as_(ALICE).rename("d/f", "open/f")
