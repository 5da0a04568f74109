"""Link counts, and hard links (POSIX link, unlink, mkdir, rmdir, rename)."""

from __future__ import annotations

from tests.posix.fs import ALICE, BOB, Call, Fs, fails
from tests.posix.suite import case, each


@case
def a_new_file_has_one_link(fs: Fs) -> None:
    fs.put("f")
    assert fs.stat("f").nlink == 1


@case
def a_new_directory_has_two_links(fs: Fs) -> None:
    fs.mkdir("d")
    assert fs.stat("d").nlink == 2


@case
def every_sub_directory_counts_as_a_link(fs: Fs) -> None:
    for number in range(5):
        fs.mkdir(str(number))
        assert fs.stat(".").nlink == 3 + number
    for number in range(5):
        fs.rmdir(str(number))
        assert fs.stat(".").nlink == 6 - number


@case
def files_in_a_directory_do_not_count_as_links(fs: Fs) -> None:
    fs.put("f")
    fs.symlink("f", "s")
    fs.link("f", "g")
    assert fs.stat(".").nlink == 2


@case
def a_hard_link_is_the_same_file(fs: Fs) -> None:
    fs.put("f", b"one")
    fs.link("f", "g")
    assert fs.stat("f") == fs.stat("g")
    assert fs.stat("f").nlink == 2
    fs.write("g", b"two")
    assert fs.get("f") == b"two"


@case
def a_change_of_mode_shows_under_every_name(fs: Fs) -> None:
    fs.put("f")
    fs.link("f", "g")
    fs.chmod("g", 0o604)
    assert fs.stat("f").perm == 0o604


@case
def a_hundred_links_come_and_go(fs: Fs) -> None:
    fs.put("f", b"kept")
    for number in range(100):
        fs.link("f", f"l{number}")
    assert fs.stat("l50").nlink == 101
    fs.unlink("f")
    for number in range(99):
        fs.unlink(f"l{number}")
    assert fs.stat("l99").nlink == 1
    assert fs.get("l99") == b"kept"


@case
def unlink_takes_one_name_only(fs: Fs) -> None:
    fs.put("f", b"kept")
    fs.link("f", "g")
    fs.unlink("f")
    fails("ENOENT", fs.stat, "f")
    assert fs.stat("g").nlink == 1
    assert fs.get("g") == b"kept"


@case
def links_may_lie_in_different_directories(fs: Fs) -> None:
    fs.mkdir("a")
    fs.mkdir("b")
    fs.put("a/f", b"shared")
    fs.link("a/f", "b/g")
    assert fs.stat("a/f").ino == fs.stat("b/g").ino
    fs.unlink("a/f")
    fs.rmdir("a")
    assert fs.get("b/g") == b"shared"


@case
def two_links_may_lie_in_one_directory(fs: Fs) -> None:
    fs.mkdir("d")
    fs.put("d/f")
    fs.link("d/f", "d/g")
    fs.rename("d", "e")
    assert fs.stat("e/f").ino == fs.stat("e/g").ino


@case
def a_directory_cannot_be_hard_linked(fs: Fs) -> None:
    fs.mkdir("d")
    fails("EPERM", fs.link, "d", "e")
    assert fs.names() == {"d"}


@case
def a_symbolic_link_can_be_hard_linked(fs: Fs) -> None:
    fs.symlink("target", "s")
    fs.link("s", "t")
    assert fs.lstat("t").kind == "symlink"
    assert fs.lstat("s").ino == fs.lstat("t").ino
    assert fs.lstat("s").nlink == 2


@case
def link_gives_no_second_chance_over_an_existing_name(fs: Fs) -> None:
    fs.put("f", b"f")
    fs.put("g", b"g")
    fails("EEXIST", fs.link, "f", "g")
    fails("EEXIST", fs.link, "f", "f")
    assert fs.get("g") == b"g"
    assert fs.stat("f").nlink == 1


@case
def a_name_can_be_used_again(fs: Fs) -> None:
    fs.put("f", b"old")
    fs.unlink("f")
    fs.put("f", b"new")
    assert fs.get("f") == b"new"
    fs.unlink("f")
    fs.mkdir("f")
    assert fs.stat("f").kind == "directory"


@case
def unlink_refuses_a_directory(fs: Fs) -> None:
    fs.mkdir("d")
    fails("EISDIR", fs.unlink, "d")
    assert fs.stat("d").nlink == 2


@each({"file": (lambda fs: fs.put("x"),), "symlink": (lambda fs: fs.symlink("d", "x"),)})
def rmdir_refuses_all_but_directories(fs: Fs, make: Call) -> None:
    fs.mkdir("d")
    make(fs)
    fails("ENOTDIR", fs.rmdir, "x")
    assert fs.names() == {"d", "x"}


@each(
    {
        "file": (lambda fs: fs.put("d/x"),),
        "directory": (lambda fs: fs.mkdir("d/x"),),
        "dangling symlink": (lambda fs: fs.symlink("no", "d/x"),),
    }
)
def rmdir_refuses_a_directory_that_holds(fs: Fs, make: Call) -> None:
    fs.mkdir("d")
    make(fs)
    fails("ENOTEMPTY", fs.rmdir, "d")
    assert fs.names("d") == {"x"}


@case
def rmdir_of_dot_is_invalid(fs: Fs) -> None:
    fs.mkdir("d")
    fails("EINVAL", fs.rmdir, "d/.")


@case
def rmdir_of_dot_dot_finds_it_not_empty(fs: Fs) -> None:
    fs.mkdir("d")
    fs.mkdir("d/e")
    fails("ENOTEMPTY", fs.rmdir, "d/e/..")


@case
def a_directory_is_empty_again_after_its_last_entry(fs: Fs) -> None:
    fs.mkdir("d")
    fs.put("d/f")
    fs.rename("d/f", "f")
    fs.rmdir("d")
    assert fs.names() == {"f"}


@case
def moving_a_directory_moves_a_link_between_parents(fs: Fs) -> None:
    fs.mkdir("a")
    fs.mkdir("b")
    fs.mkdir("a/d")
    fs.rename("a/d", "b/d")
    assert (fs.stat("a").nlink, fs.stat("b").nlink) == (2, 3)
    assert fs.stat("b/d/..").ino == fs.stat("b").ino


@case
def replacing_a_directory_takes_a_link_from_its_parent(fs: Fs) -> None:
    fs.mkdir("a")
    fs.mkdir("b")
    fs.rename("a", "b")
    assert fs.stat(".").nlink == 3


@case
def replacing_a_file_by_rename_takes_a_link_from_it(fs: Fs) -> None:
    fs.put("new")
    fs.put("old")
    fs.link("old", "other")
    fs.rename("new", "old")
    assert fs.stat("other").nlink == 1


@case
def exchange_of_file_and_directory_moves_links(fs: Fs) -> None:
    fs.mkdir("a")
    fs.mkdir("b")
    fs.mkdir("a/x")
    fs.put("b/x")
    fs.rename("a/x", "b/x", "exchange")
    assert (fs.stat("a").nlink, fs.stat("b").nlink) == (2, 3)
    assert fs.stat("b/x/..").ino == fs.stat("b").ino


@case
def link_and_unlink_need_no_right_on_a_readable_file(fs: Fs) -> None:
    fs.put("f", mode=0o666)
    fs.give("f", ALICE)
    fs.as_(BOB).link("f", "g")
    fs.as_(BOB).unlink("f")
    assert fs.stat("g").nlink == 1 and fs.stat("g").uid == ALICE.uid
