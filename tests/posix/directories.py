"""Listings: what they hold, and that cookies neither lose nor repeat what stays while others go."""

from __future__ import annotations

import random

from tests.posix.fs import Call, Entry, Fs, fails
from tests.posix.suite import case, each

COUNTS = (0, 1, 2, 3, 10, 150)
PAGES = (1, 2, 3, 7, 64)


def fill(fs: Fs, count: int, prefix: str = "n") -> set[str]:
    """`count` files in `d`; their names."""
    names = {f"{prefix}{number:04d}" for number in range(count)}
    for name in names:
        fs.put(f"d/{name}")
    return names


def pages(fs: Fs, count: int, between: Call = lambda page: None) -> list[Entry]:
    """All of `d`, listed `count` at a time; `between` is called with every page."""
    entries: list[Entry] = []
    cookie = 0
    while page := fs.readdir("d", cookie, count):
        entries += page
        cookie = page[-1].cookie
        between(page)
    return entries


def named(entries: list[Entry]) -> list[str]:
    """The names listed, in order, without `.` and `..`."""
    return [entry.name.decode() for entry in entries if entry.name not in (b".", b"..")]


@each({f"{count} by {page}": (count, page) for count in COUNTS for page in PAGES})
def pages_of_any_size_hold_every_name_once(fs: Fs, count: int, page: int) -> None:
    fs.mkdir("d")
    names = fill(fs, count)
    entries = pages(fs, page)
    assert sorted(named(entries)) == sorted(names)
    assert len(entries) == count + 2


@case
def a_new_directory_holds_dot_and_dot_dot(fs: Fs) -> None:
    fs.mkdir("d")
    found = {entry.name: entry for entry in fs.readdir("d")}
    assert set(found) == {b".", b".."}
    assert found[b"."].ino == fs.stat("d").ino
    assert found[b".."].ino == fs.stat(".").ino
    assert found[b"."].kind == found[b".."].kind == "directory"


@case
def entries_tell_the_inode_and_its_kind(fs: Fs) -> None:
    fs.put("file")
    fs.mkdir("directory")
    fs.symlink("file", "link")
    fs.mknod("fifo", 0o010600)
    fs.mknod("socket", 0o140600)
    for entry in fs.readdir("."):
        if entry.name != b"..":
            found = fs.lstat(entry.name)
            assert (entry.ino, entry.kind) == (found.ino, found.kind)


@case
def cookies_are_all_different(fs: Fs) -> None:
    fs.mkdir("d")
    fill(fs, 200)
    cookies = [entry.cookie for entry in fs.readdir("d")]
    assert len(set(cookies)) == 202 and 0 not in cookies


@case
def a_cookie_leads_to_the_same_rest_every_time(fs: Fs) -> None:
    fs.mkdir("d")
    fill(fs, 50)
    entries = fs.readdir("d")
    for number in (0, 1, 2, 25, 51):
        assert fs.readdir("d", entries[number].cookie) == entries[number + 1 :]


@each({f"by {page}": (page,) for page in PAGES})
def what_stays_is_listed_once_while_others_go(fs: Fs, page: int) -> None:
    """With every page, the doomed that were listed go, and one more that may not have been yet."""
    fs.mkdir("d")
    names = fill(fs, 60)
    doomed = set(random.Random(1).sample(sorted(names), 30))

    def remove(entries: list[Entry]) -> None:
        for name in named(entries):
            if name in doomed & fs.names("d"):
                fs.unlink(f"d/{name}")
        if left := sorted(doomed & fs.names("d")):
            fs.unlink(f"d/{left[-1]}")

    listed = named(pages(fs, page, remove))
    assert len(listed) == len(set(listed))
    assert names - doomed <= set(listed)


@each({f"by {page}": (page,) for page in PAGES})
def what_stays_is_listed_once_while_others_come(fs: Fs, page: int) -> None:
    fs.mkdir("d")
    names = fill(fs, 40)
    fresh = iter(f"x{number}" for number in range(200))
    added: list[str] = []

    def add(entries: list[Entry]) -> None:
        if len(added) < 100:
            added.append(next(fresh))
            fs.put(f"d/{added[-1]}")

    listed = named(pages(fs, page, add))
    assert len(listed) == len(set(listed))
    assert names <= set(listed) <= names | set(added)


@each({f"by {page}": (page,) for page in PAGES})
def removing_all_that_is_listed_empties_a_directory(fs: Fs, page: int) -> None:
    """What `rm -r` does: the entry that a cookie names is gone when the cookie is used."""
    fs.mkdir("d")
    fill(fs, 70)
    pages(fs, page, lambda entries: [fs.unlink(f"d/{name}") for name in named(entries)])
    fs.rmdir("d")


@case
def a_cookie_outlives_everything_listed_before(fs: Fs) -> None:
    fs.mkdir("d")
    fill(fs, 30)
    entries = fs.readdir("d")
    for entry in entries[:20]:
        if entry.name not in (b".", b".."):
            fs.unlink(b"d/" + entry.name)
    assert fs.readdir("d", entries[19].cookie) == entries[20:]


@case
def a_renamed_neighbour_does_not_move_the_rest(fs: Fs) -> None:
    fs.mkdir("d")
    fill(fs, 30)
    entries = fs.readdir("d")
    fs.rename(b"d/" + entries[10].name, "elsewhere")
    assert named(fs.readdir("d", entries[12].cookie)) == named(entries[13:])


@case
def a_changed_file_stays_where_it_is_listed(fs: Fs) -> None:
    fs.mkdir("d")
    names = fill(fs, 30)
    before = fs.readdir("d")
    for name in names:
        fs.write(f"d/{name}", b"data")
        fs.chmod(f"d/{name}", 0o600)
    assert fs.readdir("d") == before


@case
def a_file_put_back_under_its_name_is_listed_once(fs: Fs) -> None:
    fs.mkdir("d")
    names = fill(fs, 20)
    for name in names:
        fs.unlink(f"d/{name}")
        fs.put(f"d/{name}")
    assert fs.names("d") == names


@case
def exchange_keeps_the_names_and_swaps_the_inodes(fs: Fs) -> None:
    fs.mkdir("d")
    fs.put("d/f")
    fs.mkdir("d/e")
    before = {entry.name: entry.ino for entry in fs.readdir("d")}
    fs.rename("d/f", "d/e", "exchange")
    after = {entry.name: (entry.ino, entry.kind) for entry in fs.readdir("d")}
    assert after[b"f"] == (before[b"e"], "directory")
    assert after[b"e"] == (before[b"f"], "file")


@case
def dot_dot_follows_a_moved_directory(fs: Fs) -> None:
    fs.mkdir("d")
    fs.mkdir("d/e")
    fs.mkdir("p")
    fs.rename("d/e", "p/e")
    found = {entry.name: entry.ino for entry in fs.readdir("p/e")}
    assert found[b".."] == fs.stat("p").ino


@case
def hard_links_are_listed_with_one_inode(fs: Fs) -> None:
    fs.mkdir("d")
    fs.put("d/f")
    fs.link("d/f", "d/g")
    found = {entry.name: entry.ino for entry in fs.readdir("d")}
    assert found[b"f"] == found[b"g"]


@case
def longest_names_fill_a_listing(fs: Fs) -> None:
    fs.mkdir("d")
    names = {f"{number:03d}".ljust(255, "x") for number in range(60)}
    for name in names:
        fs.put(f"d/{name}")
    assert set(named(pages(fs, 7))) == names


@case
def a_thousand_entries(fs: Fs) -> None:
    fs.mkdir("d")
    names = {f"e{number}" for number in range(1000)}
    fs.put("f")
    for name in names:
        fs.link("f", f"d/{name}")
    assert fs.names("d") == names
    for name in sorted(names)[::2]:
        fs.unlink(f"d/{name}")
    assert fs.names("d") == set(sorted(names)[1::2])
    assert fs.stat("f").nlink == 501


@case
def names_that_are_alike_are_kept_apart(fs: Fs) -> None:
    fs.mkdir("d")
    names = {"a" * count for count in range(1, 100)}
    for name in names:
        fs.put(f"d/{name}")
    assert fs.names("d") == names


@case
def a_directory_that_is_gone_cannot_be_listed(fs: Fs) -> None:
    fs.mkdir("d")
    fs.rmdir("d")
    fails("ENOENT", fs.readdir, "d")
