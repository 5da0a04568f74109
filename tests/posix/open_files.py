"""Files that are open while their names change: unlinked, replaced, moved, shut by chmod."""

from __future__ import annotations

import os

from tests.posix.data import BLOCK, noise
from tests.posix.fs import ALICE, BOB, Fs, fails
from tests.posix.suite import case

CREATE = os.O_CREAT | os.O_RDWR


@case
def an_unlinked_file_can_still_be_read_and_written(fs: Fs) -> None:
    fs.put("f", b"before")
    with fs.open("f", os.O_RDWR) as file:
        fs.unlink("f")
        assert file.pread(10, 0) == b"before"
        file.pwrite(b"after!", 0)
        assert file.pread(10, 0) == b"after!"
    fails("ENOENT", fs.stat, "f")


@case
def an_unlinked_file_has_no_links(fs: Fs) -> None:
    with fs.open("f", CREATE) as file:
        fs.unlink("f")
        assert file.stat().nlink == 0
        assert file.stat().kind == "file"


@case
def an_unlinked_file_can_grow_shrink_and_change(fs: Fs) -> None:
    with fs.open("f", CREATE) as file:
        fs.unlink("f")
        file.pwrite(noise(BLOCK), BLOCK)
        file.truncate(BLOCK + 10)
        file.chmod(0o600)
        assert file.stat().size == BLOCK + 10 and file.stat().perm == 0o600
        assert file.pread(BLOCK * 2, 0) == bytes(BLOCK) + noise(BLOCK)[:10]


@case
def the_name_of_an_unlinked_file_is_free(fs: Fs) -> None:
    fs.put("f", b"old")
    with fs.open("f") as file:
        fs.unlink("f")
        fs.put("f", b"new")
        assert file.stat().ino != fs.stat("f").ino
        assert file.pread(10, 0) == b"old"
    assert fs.get("f") == b"new"


@case
def two_open_files_of_one_unlinked_file(fs: Fs) -> None:
    with fs.open("f", CREATE) as one:
        with fs.open("f", os.O_RDWR) as two:
            fs.unlink("f")
            two.pwrite(b"shared", 0)
        assert one.pread(10, 0) == b"shared"


@case
def a_replaced_file_can_still_be_read(fs: Fs) -> None:
    fs.put("f", b"old")
    fs.put("g", b"new")
    with fs.open("f", os.O_RDWR) as file:
        fs.rename("g", "f")
        assert file.pread(10, 0) == b"old" and file.stat().nlink == 0
        file.pwrite(b"unseen", 0)
    assert fs.get("f") == b"new"


@case
def an_open_file_follows_its_inode_when_renamed(fs: Fs) -> None:
    fs.mkdir("d")
    with fs.open("f", CREATE) as file:
        fs.rename("f", "d/g")
        file.pwrite(b"moved", 0)
        assert file.stat().ino == fs.stat("d/g").ino
    assert fs.get("d/g") == b"moved"


@case
def an_open_file_with_another_link_lives_on(fs: Fs) -> None:
    fs.put("f", b"data")
    fs.link("f", "g")
    with fs.open("f", os.O_RDWR) as file:
        fs.unlink("f")
        assert file.stat().nlink == 1
        file.pwrite(b"D", 0)
    assert fs.get("g") == b"Data"


@case
def a_directory_is_empty_whose_files_are_only_open(fs: Fs) -> None:
    fs.mkdir("d")
    with fs.open("d/f", CREATE) as file:
        file.pwrite(b"kept", 0)
        fs.unlink("d/f")
        fs.rmdir("d")
        assert file.pread(10, 0) == b"kept"


@case
def many_unlinked_files_at_once(fs: Fs) -> None:
    files = [fs.open(str(number), CREATE) for number in range(20)]
    for number, file in enumerate(files):
        fs.unlink(str(number))
        file.pwrite(b"%d" % number, 0)
    assert [file.pread(5, 0) for file in files] == [b"%d" % number for number in range(20)]
    assert fs.names() == set()
    for file in files:
        file.close()


@case
def the_space_of_an_unlinked_file_is_its_own(fs: Fs) -> None:
    with fs.open("f", CREATE) as file:
        file.pwrite(noise(BLOCK), 0)
        fs.unlink("f")
        fs.put("f", noise(BLOCK, seed=2))
        assert file.pread(BLOCK, 0) == noise(BLOCK)


@case
def what_was_opened_for_reading_stays_readable(fs: Fs) -> None:
    fs.put("f", b"data", mode=0o644)
    with fs.as_(BOB).open("f") as file:
        fs.chmod("f", 0)
        assert file.pread(10, 0) == b"data"
        fails("EACCES", fs.as_(BOB).open, "f")


@case
def what_an_owner_opened_for_writing_stays_writable(fs: Fs) -> None:
    fs.put("f", mode=0o600)
    fs.give("f", ALICE)
    with fs.as_(ALICE).open("f", os.O_RDWR) as file:
        fs.chmod("f", 0)
        file.pwrite(b"written", 0)
        file.truncate(4)
    assert fs.get("f") == b"writ"


@case
def what_a_stranger_opened_for_writing_stays_writable(fs: Fs) -> None:
    fs.put("f", mode=0o666)
    with fs.as_(BOB).open("f", os.O_RDWR) as file:
        fs.chmod("f", 0)
        file.pwrite(b"written", 0)
    assert fs.get("f") == b"written"


@case
def times_of_an_unlinked_file_move(fs: Fs) -> None:
    with fs.open("f", CREATE) as file:
        before = file.stat().ctime
        fs.tick()
        fs.unlink("f")
        assert file.stat().ctime > before
        assert file.stat().mtime <= file.stat().ctime
