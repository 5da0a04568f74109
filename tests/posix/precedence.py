"""Which error wins where several are due, in Linux's order; and a refused call changes nothing."""

from __future__ import annotations

import os
import stat

from tests.posix.fs import ALICE, BOB, Call, Fs, fails
from tests.posix.suite import case, each

LONG = "n" * 256
FIFO = stat.S_IFIFO | 0o644


@each(
    {
        "mkdir": (lambda fs: fs.mkdir("shut/f"),),
        "mknod": (lambda fs: fs.mknod("shut/f", FIFO),),
        "symlink": (lambda fs: fs.symlink("t", "shut/f"),),
        "link": (lambda fs: fs.link("mine", "shut/f"),),
    }
)
def exists_comes_before_no_right_to_write(fs: Fs, make: Call) -> None:
    fs.mkdir("shut", 0o755)
    fs.put("shut/f")
    fs.put("mine")
    fs.give("mine", ALICE)
    fails("EEXIST", make, fs.as_(ALICE))


@each(
    {
        "mkdir": (lambda fs: fs.mkdir("shut/f"),),
        "mknod": (lambda fs: fs.mknod("shut/f", FIFO),),
        "symlink": (lambda fs: fs.symlink("t", "shut/f"),),
        "link": (lambda fs: fs.link("mine", "shut/f"),),
        "creat": (lambda fs: fs.put("shut/f"),),
        "stat": (lambda fs: fs.stat("shut/f"),),
        "unlink": (lambda fs: fs.unlink("shut/f"),),
        "rmdir": (lambda fs: fs.rmdir("shut/f"),),
        "rename from": (lambda fs: fs.rename("shut/f", "g"),),
        "rename to": (lambda fs: fs.rename("mine", "shut/f"),),
    }
)
def no_right_to_search_hides_whether_a_name_exists(fs: Fs, call: Call) -> None:
    fs.mkdir("shut", 0o666)
    fs.put("shut/f")
    fs.put("mine")
    fs.give("mine", ALICE)
    fails("EACCES", call, fs.as_(ALICE))
    fs.unlink("shut/f")
    fails("EACCES", call, fs.as_(ALICE))


@each(
    {
        "unlink": (lambda fs: fs.unlink("shut/missing"),),
        "rmdir": (lambda fs: fs.rmdir("shut/missing"),),
        "rename from": (lambda fs: fs.rename("shut/missing", "g"),),
    }
)
def not_found_comes_before_no_right_to_write(fs: Fs, call: Call) -> None:
    fs.mkdir("shut", 0o755)
    fails("ENOENT", call, fs.as_(ALICE))


@each(
    {
        "unlink of a directory": (lambda fs: fs.unlink("shut/d"),),
        "rmdir of a file": (lambda fs: fs.rmdir("shut/f"),),
        "rmdir of a full directory": (lambda fs: fs.rmdir("shut/d"),),
        "rename of a file": (lambda fs: fs.rename("shut/f", "g"),),
        "rename onto a file": (lambda fs: fs.rename("mine", "shut/f"),),
        "rename onto a directory": (lambda fs: fs.rename("mine", "shut/d"),),
        "rename within": (lambda fs: fs.rename("shut/f", "shut/g"),),
        "rename to a new name": (lambda fs: fs.rename("mine", "shut/new"),),
        "creat": (lambda fs: fs.put("shut/new"),),
        "mkdir": (lambda fs: fs.mkdir("shut/new"),),
        "mknod": (lambda fs: fs.mknod("shut/new", FIFO),),
        "symlink": (lambda fs: fs.symlink("t", "shut/new"),),
        "link": (lambda fs: fs.link("mine", "shut/new"),),
    }
)
def no_right_to_write_comes_before_the_wrong_kind(fs: Fs, call: Call) -> None:
    fs.mkdir("shut", 0o755)
    fs.mkdir("shut/d", 0o777)
    fs.put("shut/d/x")
    fs.put("shut/f", mode=0o666)
    fs.put("mine")
    fs.give("mine", ALICE)
    before = fs.stat("shut")
    fails("EACCES", call, fs.as_(ALICE))
    assert fs.stat("shut") == before
    assert fs.names("shut") == {"d", "f"}


@each(
    {
        "mkdir": (lambda fs: fs.mkdir(f"shut/{LONG}"),),
        "creat": (lambda fs: fs.put(f"shut/{LONG}"),),
        "unlink": (lambda fs: fs.unlink(f"shut/{LONG}"),),
    }
)
def too_long_comes_before_no_right_to_write(fs: Fs, call: Call) -> None:
    fs.mkdir("shut", 0o755)
    fails("ENAMETOOLONG", call, fs.as_(ALICE))


@case
def not_a_directory_comes_before_the_length_of_the_name(fs: Fs) -> None:
    fs.put("f")
    fails("ENOTDIR", fs.stat, f"f/{LONG}")


@case
def no_right_to_search_comes_before_not_a_directory_further_on(fs: Fs) -> None:
    fs.mkdir("shut", 0o600)
    fs.put("shut/f")
    fails("EACCES", fs.as_(ALICE).stat, "shut/f/x")


@case
def a_missing_source_comes_before_an_existing_target(fs: Fs) -> None:
    fs.put("taken")
    fails("ENOENT", fs.link, "missing", "taken")
    fails("ENOENT", fs.rename, "missing", "taken", "noreplace")


@case
def an_existing_target_comes_before_a_directory_as_source(fs: Fs) -> None:
    fs.mkdir("d")
    fs.put("taken")
    fails("EEXIST", fs.link, "d", "taken")


@case
def an_existing_target_comes_before_its_kind_under_noreplace(fs: Fs) -> None:
    fs.mkdir("d")
    fs.put("f")
    fails("EEXIST", fs.rename, "f", "d", "noreplace")
    fails("EEXIST", fs.rename, "d", "f", "noreplace")


@case
def into_its_own_subtree_comes_before_not_empty(fs: Fs) -> None:
    fs.mkdir("d")
    fs.mkdir("d/e")
    fs.put("d/e/f")
    fails("EINVAL", fs.rename, "d", "d/e")
    fails("EINVAL", fs.rename, "d", "d/e/new")


@case
def onto_its_own_ancestor_is_not_empty(fs: Fs) -> None:
    fs.mkdir("d")
    fs.mkdir("d/e")
    fails("ENOTEMPTY", fs.rename, "d/e", "d")


@case
def open_for_writing_finds_a_directory_before_the_rights(fs: Fs) -> None:
    fs.mkdir("d", 0o700)
    fails("EISDIR", fs.as_(BOB).open, "d", os.O_WRONLY)


@case
def exclusive_creat_finds_the_name_before_the_kind(fs: Fs) -> None:
    fs.mkdir("d")
    fails("EEXIST", fs.open, "d", os.O_CREAT | os.O_EXCL | os.O_RDWR)


@case
def o_directory_on_a_file(fs: Fs) -> None:
    fs.put("f")
    fails("ENOTDIR", fs.open, "f", os.O_RDONLY | os.O_DIRECTORY)


@case
def o_trunc_without_the_right_leaves_the_data(fs: Fs) -> None:
    fs.put("f", b"kept", mode=0o444)
    fails("EACCES", fs.as_(ALICE).open, "f", os.O_WRONLY | os.O_TRUNC)
    assert fs.get("f") == b"kept"


@case
def truncate_of_a_directory(fs: Fs) -> None:
    fs.mkdir("d")
    fails("EISDIR", fs.truncate, "d", 0)


@case
def readdir_of_a_file(fs: Fs) -> None:
    fs.put("f")
    fails("ENOTDIR", fs.readdir, "f")


@case
def a_refused_rename_changes_neither_side(fs: Fs) -> None:
    fs.mkdir("d")
    fs.put("d/x")
    fs.mkdir("e")
    before = [fs.stat(path) for path in (".", "d", "e", "d/x")]
    fails("ENOTEMPTY", fs.rename, "e", "d")
    fails("EISDIR", fs.rename, "d/x", "e")
    fails("ENOTDIR", fs.rename, "e", "d/x")
    assert [fs.stat(path) for path in (".", "d", "e", "d/x")] == before
