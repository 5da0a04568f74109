"""Extended attributes (xattr(7)): name spaces, flags, limits, rights."""

from __future__ import annotations

from tests.posix.fs import ALICE, BOB, CAROL, STAFF, Call, Fs, User, fails
from tests.posix.suite import case, each

KINDS: dict[str, tuple[Call]] = {
    "file": (lambda fs: fs.put("x"),),
    "directory": (lambda fs: fs.mkdir("x"),),
}
SPECIAL: dict[str, tuple[Call]] = {
    "symlink": (lambda fs: fs.symlink("t", "x"),),
    "fifo": (lambda fs: fs.mknod("x", 0o010666),),
    "socket": (lambda fs: fs.mknod("x", 0o140666),),
    "device": (lambda fs: fs.mknod("x", 0o020666, 1, 3),),
}
OURS = (b"user.", b"trusted.")


def listed(fs: Fs, path: str, *, follow: bool = True) -> set[bytes]:
    """The attributes of `path` that users or root made, not those that a security module adds."""
    names = fs.listxattr(path, follow=follow)
    assert len(names) == len(set(names))
    return {name for name in names if name.startswith(OURS)}


@each(KINDS)
def an_attribute_comes_and_goes(fs: Fs, make: Call) -> None:
    make(fs)
    assert listed(fs, "x") == set()
    fs.setxattr("x", "user.a", b"1")
    assert fs.getxattr("x", "user.a") == b"1"
    assert listed(fs, "x") == {b"user.a"}
    fs.setxattr("x", "user.a", b"longer than before")
    assert fs.getxattr("x", "user.a") == b"longer than before"
    fs.removexattr("x", "user.a")
    assert listed(fs, "x") == set()
    fails("ENODATA", fs.getxattr, "x", "user.a")


@each(KINDS)
def a_missing_attribute_is_no_data(fs: Fs, make: Call) -> None:
    make(fs)
    fails("ENODATA", fs.getxattr, "x", "user.none")
    fails("ENODATA", fs.removexattr, "x", "user.none")


@each(
    {
        "empty": (b"",),
        "zeros": (bytes(10),),
        "binary": (bytes(range(256)),),
        "a kilobyte": (b"v" * 1024,),
        "two kilobytes": (b"v" * 2048,),
    }
)
def a_value_comes_back_as_set(fs: Fs, value: bytes) -> None:
    fs.put("x")
    fs.setxattr("x", "user.a", value)
    assert fs.getxattr("x", "user.a") == value


@each({"16 KiB": (16384,), "64 KiB less 1": (65535,), "64 KiB": (65536,)})
def a_large_value_comes_back_as_set(fs: Fs, size: int) -> None:
    fs.put("x")
    fs.setxattr("x", "user.a", b"v" * size)
    assert fs.getxattr("x", "user.a") == b"v" * size


@case
def a_value_over_64_kib_is_too_big(fs: Fs) -> None:
    fs.put("x")
    fails("E2BIG", fs.setxattr, "x", "user.a", b"v" * 65537)
    assert listed(fs, "x") == set()


@case
def a_name_has_at_most_255_bytes(fs: Fs) -> None:
    fs.put("x")
    fs.setxattr("x", "user." + "n" * 250, b"1")
    assert fs.getxattr("x", "user." + "n" * 250) == b"1"
    fails("ERANGE", fs.setxattr, "x", "user." + "n" * 251, b"1")
    fails("ERANGE", fs.getxattr, "x", "user." + "n" * 251)


@each({"dots": ("user.a.b.c",), "spaces": ("user. ",), "slash": ("user.a/b",), "case": ("user.A",)})
def a_name_may_hold(fs: Fs, name: str) -> None:
    fs.put("x")
    fs.setxattr("x", name, b"1")
    assert listed(fs, "x") == {name.encode()}


@case
def bytes_that_are_not_text_make_a_name(fs: Fs) -> None:
    fs.put("x")
    fs.setxattr("x", b"user.\xff\xfe", b"1")
    assert listed(fs, "x") == {b"user.\xff\xfe"}


@each(
    {"none": ("plain",), "unknown": ("other.a",), "prefix only": ("use",), "system": ("system.a",)}
)
def a_name_needs_a_known_name_space(fs: Fs, name: str) -> None:
    fs.put("x")
    fails("EOPNOTSUPP", fs.setxattr, "x", name, b"1")


@case
def a_name_space_alone_is_invalid(fs: Fs) -> None:
    fs.put("x")
    fails("EINVAL", fs.setxattr, "x", "user.", b"1")


@case
def create_refuses_what_is_there(fs: Fs) -> None:
    fs.put("x")
    fs.setxattr("x", "user.a", b"1", "create")
    fails("EEXIST", fs.setxattr, "x", "user.a", b"2", "create")
    assert fs.getxattr("x", "user.a") == b"1"


@case
def replace_refuses_what_is_not_there(fs: Fs) -> None:
    fs.put("x")
    fails("ENODATA", fs.setxattr, "x", "user.a", b"1", "replace")
    assert listed(fs, "x") == set()
    fs.setxattr("x", "user.a", b"1")
    fs.setxattr("x", "user.a", b"2", "replace")
    assert fs.getxattr("x", "user.a") == b"2"


@case
def twenty_attributes(fs: Fs) -> None:
    fs.put("x")
    values = {f"user.name{number}".encode(): b"%d" % number * 20 for number in range(20)}
    for name, value in values.items():
        fs.setxattr("x", name, value)
    assert listed(fs, "x") == set(values)
    for name in sorted(values)[::2]:
        fs.removexattr("x", name)
        del values[name]
    assert {name: fs.getxattr("x", name) for name in listed(fs, "x")} == values


@case
def five_hundred_attributes(fs: Fs) -> None:
    fs.put("x")
    names = {f"user.name{number}".encode() for number in range(500)}
    for name in names:
        fs.setxattr("x", name, name * 3)
    assert listed(fs, "x") == names
    assert all(fs.getxattr("x", name) == name * 3 for name in names)


@each(SPECIAL)
def user_attributes_are_for_files_and_directories(fs: Fs, make: Call) -> None:
    make(fs)
    fails("EPERM", fs.setxattr, "x", "user.a", b"1", follow=False)
    fails("EPERM", fs.removexattr, "x", "user.a", follow=False)
    fails("ENODATA", fs.getxattr, "x", "user.a", follow=False)
    assert listed(fs, "x", follow=False) == set()


@each({**KINDS, **SPECIAL})
def root_may_trust_anything(fs: Fs, make: Call) -> None:
    make(fs)
    fs.setxattr("x", "trusted.a", b"1", follow=False)
    assert fs.getxattr("x", "trusted.a", follow=False) == b"1"
    assert listed(fs, "x", follow=False) == {b"trusted.a"}
    fs.removexattr("x", "trusted.a", follow=False)


@case
def trusted_attributes_are_hidden_from_others(fs: Fs) -> None:
    fs.put("x", mode=0o666)
    fs.give("x", ALICE)
    fs.setxattr("x", "trusted.a", b"1")
    alice = fs.as_(ALICE)
    fails("ENODATA", alice.getxattr, "x", "trusted.a")
    fails("EPERM", alice.setxattr, "x", "trusted.a", b"2")
    fails("EPERM", alice.removexattr, "x", "trusted.a")
    assert listed(alice, "x") == set()
    assert fs.getxattr("x", "trusted.a") == b"1"


@case
def security_attributes_are_roots_to_set_and_anyones_to_read(fs: Fs) -> None:
    fs.put("x", mode=0o600)
    fs.give("x", ALICE)
    fs.setxattr("x", "security.test", b"1")
    assert fs.as_(BOB).getxattr("x", "security.test") == b"1"
    fails("EPERM", fs.as_(ALICE).setxattr, "x", "security.test", b"2")
    fails("EPERM", fs.as_(ALICE).removexattr, "x", "security.test")


@case
def name_spaces_are_apart(fs: Fs) -> None:
    fs.put("x")
    fs.setxattr("x", "user.a", b"user")
    fs.setxattr("x", "trusted.a", b"trusted")
    fs.removexattr("x", "user.a")
    assert fs.getxattr("x", "trusted.a") == b"trusted"


@each({"other": (BOB, 4), "group": (CAROL, 0o40), "owner": (ALICE, 0o400)})
def reading_needs_the_read_bit(fs: Fs, user: User, bit: int) -> None:
    fs.put("x")
    fs.setxattr("x", "user.a", b"1")
    fs.chown("x", ALICE.uid, STAFF)
    fs.chmod("x", 0o777 & ~(bit | bit >> 1 | bit >> 2))
    fails("EACCES", fs.as_(user).getxattr, "x", "user.a")
    fs.chmod("x", bit)
    assert fs.as_(user).getxattr("x", "user.a") == b"1"
    fails("EACCES", fs.as_(user).setxattr, "x", "user.a", b"2")
    fails("EACCES", fs.as_(user).removexattr, "x", "user.a")


@each({"other": (BOB, 2), "group": (CAROL, 0o20), "owner": (ALICE, 0o200)})
def writing_needs_the_write_bit(fs: Fs, user: User, bit: int) -> None:
    fs.put("x")
    fs.chown("x", ALICE.uid, STAFF)
    fs.chmod("x", bit)
    fs.as_(user).setxattr("x", "user.a", b"1")
    fs.as_(user).removexattr("x", "user.a")


@case
def listing_needs_no_bit(fs: Fs) -> None:
    fs.put("x", mode=0)
    fs.setxattr("x", "user.a", b"1")
    assert listed(fs.as_(BOB), "x") == {b"user.a"}


@case
def in_a_sticky_directory_only_its_owner_writes_its_attributes(fs: Fs) -> None:
    fs.mkdir("x")
    fs.chmod("x", 0o1777)
    fs.give("x", ALICE)
    fails("EPERM", fs.as_(BOB).setxattr, "x", "user.a", b"1")
    fs.as_(ALICE).setxattr("x", "user.a", b"1")
    assert fs.as_(BOB).getxattr("x", "user.a") == b"1"


@each(
    {
        "rename": (lambda fs: fs.rename("x", "y"),),
        "link": (lambda fs: fs.link("x", "y"),),
        "chmod": (lambda fs: (fs.chmod("x", 0o600), fs.rename("x", "y")),),
        "truncate": (lambda fs: (fs.truncate("x", 0), fs.rename("x", "y")),),
        "write": (lambda fs: (fs.write("x", b"w" * 99999), fs.rename("x", "y")),),
        "chown": (lambda fs: (fs.chown("x", 5, 5), fs.rename("x", "y")),),
    }
)
def attributes_stay_through(fs: Fs, call: Call) -> None:
    fs.put("x")
    fs.setxattr("x", "user.a", b"kept")
    call(fs)
    assert fs.getxattr("y", "user.a") == b"kept"


@case
def a_new_file_under_an_old_name_has_none(fs: Fs) -> None:
    fs.put("x")
    fs.setxattr("x", "user.a", b"1")
    fs.unlink("x")
    fs.put("x")
    assert listed(fs, "x") == set()


@case
def attributes_are_not_handed_down(fs: Fs) -> None:
    fs.mkdir("d")
    fs.setxattr("d", "user.a", b"1")
    fs.put("d/f")
    assert listed(fs, "d/f") == set()


@case
def calls_on_a_link_reach_its_target(fs: Fs) -> None:
    fs.put("f")
    fs.symlink("f", "s")
    fs.setxattr("s", "user.a", b"1")
    assert fs.getxattr("f", "user.a") == b"1"
    assert listed(fs, "s") == {b"user.a"} and listed(fs, "s", follow=False) == set()


@case
def an_attribute_changes_neither_size_nor_mtime(fs: Fs) -> None:
    fs.put("x", b"data")
    before = fs.stat("x")
    fs.setxattr("x", "user.a", b"1" * 1000)
    after = fs.stat("x")
    assert (after.size, after.mtime, after.nlink) == (before.size, before.mtime, before.nlink)
