"""LOOKUP, CREATE, MKDIR, SYMLINK, MKNOD, LINK (RFC 1813 3.3.3, 3.3.8 to 3.3.11, 3.3.15)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nfs.nfs3_types import createmode3, ftype3, nfsstat3, nfstime3, time_how
from tests.nfs.client import NOW, Answer, Client, at, sattr
from tests.nfs.gateway import Gateway

UNCHECKED, GUARDED, EXCLUSIVE = createmode3

# How each procedure makes a name; the second argument is a file for LINK to link to.
Make = Callable[[Client, bytes, bytes, bytes], Answer]
MAKES: dict[str, Make] = {
    "CREATE": lambda client, file, top, name: client.create(top, name, mode=GUARDED),
    "EXCLUSIVE": lambda client, file, top, name: client.create_exclusive(top, name, b"12345678"),
    "MKDIR": lambda client, file, top, name: client.mkdir(top, name),
    "SYMLINK": lambda client, file, top, name: client.symlink(top, name, b"target"),
    "MKNOD": lambda client, file, top, name: client.mknod(top, name),
    "LINK": lambda client, file, top, name: client.link(file, top, name),
}
each_way = pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)


def attributes(client: Client, file: bytes) -> Any:
    """A file's attributes as the client gets them."""
    return client.getattr(file).ok().obj_attributes


def directory_wcc(answer: Answer) -> Any:
    """The directory's part of a result, failed or not."""
    value = answer.value
    for name in ("dir_wcc", "linkdir_wcc", "wcc"):
        if hasattr(value, name):
            return getattr(value, name)
    raise AssertionError(value)


# --- LOOKUP -------------------------------------------------------------------------------------


def test_a_lookup_gives_handle_and_both_attributes(root: Client, top: bytes) -> None:
    made = root.create(top, b"f").ok()
    found = root.lookup(top, b"f").ok()
    assert found.object == made.obj
    assert found.obj_attributes == made.obj_attributes
    assert found.dir_attributes == attributes(root, top)


def test_a_failed_lookup_has_the_directory_s_attributes(root: Client, top: bytes) -> None:
    answer = root.lookup(top, b"nothing")
    assert answer.status == nfsstat3.NOENT
    assert answer.value.attributes == attributes(root, top)


def test_dots_are_found(root: Client, top: bytes) -> None:
    inner = root.mkdir(top, b"d").ok().obj
    assert root.lookup(inner, b".").ok().object == inner
    assert root.lookup(inner, b"..").ok().object == top
    assert root.lookup(top, b"..").ok().object == top


def test_names_are_looked_up_in_directories_only(root: Client, top: bytes) -> None:
    file, link = root.make(top, b"f"), root.symlink(top, b"l", b".").ok().obj
    for other in (file, link):
        for name in (b"x", b".", b".."):
            assert root.lookup(other, name).status == nfsstat3.NOTDIR
        assert root.create(other, b"x").status == nfsstat3.NOTDIR
        assert root.readdir(other).status == nfsstat3.NOTDIR
        assert root.readdirplus(other).status == nfsstat3.NOTDIR


def test_who_may_not_search_finds_nothing(root: Client, ann: Client, top: bytes) -> None:
    closed = root.mkdir(top, b"d", sattr(mode=0o700)).ok().obj
    root.make(closed, b"f")
    for name in (b"f", b"nothing", b"..", b"."):
        assert ann.lookup(closed, name).status == nfsstat3.ACCES


# --- names --------------------------------------------------------------------------------------


@each_way
@pytest.mark.parametrize("name", [b"", b"a/b", b"/", b"a\0b", b"\0", b".", b".."])
def test_what_is_no_name_is_not_made(root: Client, top: bytes, make: Make, name: bytes) -> None:
    file = root.make(top, b"f")
    answer = make(root, file, top, name)
    assert answer.status in (nfsstat3.INVAL, nfsstat3.EXIST)
    wcc = directory_wcc(answer)
    assert wcc.after == attributes(root, top)
    assert root.names(top) == [b".", b"..", b"f"]


@pytest.mark.parametrize("name", [b"", b"a/b", b"/", b"a\0b", b"\0"])
def test_what_is_no_name_is_not_found_moved_or_removed(
    root: Client, top: bytes, name: bytes
) -> None:
    root.make(top, b"f")
    for answer in (
        root.lookup(top, name),
        root.remove(top, name),
        root.rmdir(top, name),
        root.rename(top, name, top, b"g"),
        root.rename(top, b"f", top, name),
    ):
        assert answer.status == nfsstat3.INVAL


@each_way
def test_a_name_has_255_bytes_and_no_more(root: Client, top: bytes, make: Make) -> None:
    file = root.make(top, b"f")
    make(root, file, top, b"n" * 255).ok()
    assert make(root, file, top, b"n" * 256).status == nfsstat3.NAMETOOLONG
    assert make(root, file, top, b"n" * 70_000).status == nfsstat3.NAMETOOLONG


def test_a_long_name_is_too_long_everywhere(root: Client, top: bytes) -> None:
    root.make(top, b"f")
    long = b"n" * 256
    for answer in (
        root.lookup(top, long),
        root.remove(top, long),
        root.rmdir(top, long),
        root.rename(top, long, top, b"g"),
        root.rename(top, b"f", top, long),
    ):
        assert answer.status == nfsstat3.NAMETOOLONG


@each_way
@pytest.mark.parametrize("name", [b"\xff\xfe", b" ", b"a\nb", "\N{SNOWMAN}".encode(), b"...", b"-"])
def test_any_other_bytes_are_a_name(root: Client, top: bytes, make: Make, name: bytes) -> None:
    file = root.make(top, b"f")
    make(root, file, top, name).ok()
    assert name in root.names(top)
    root.lookup(top, name).ok()


def test_files_that_clients_make_for_themselves(root: Client, top: bytes) -> None:
    """`.nfsXXXX` keeps an open file that was removed, `._*` what macOS knows beside a file."""
    file = root.make(top, b"f", b"open")
    root.rename(top, b"f", top, b".nfs000000000000000100000001").ok()
    root.write(file, 4, b" still").ok()
    assert root.read(file).ok().data == b"open still"
    root.remove(top, b".nfs000000000000000100000001").ok()
    root.make(top, b"._f", b"fork")
    root.remove(top, b"._f").ok()
    assert root.names(top) == [b".", b".."]


# --- making -------------------------------------------------------------------------------------


@each_way
def test_what_is_made_is_there_and_the_directory_has_changed(
    root: Client, top: bytes, make: Make
) -> None:
    file = root.make(top, b"f")
    before = attributes(root, top)
    answer = make(root, file, top, b"new")
    wcc = directory_wcc(answer)
    assert wcc.before == (before.size, before.mtime, before.ctime)
    assert wcc.after == attributes(root, top)
    assert wcc.after.mtime == wcc.after.ctime > before.ctime
    found = root.lookup(top, b"new").ok()
    value = answer.ok()
    if hasattr(value, "obj"):
        assert value.obj == found.object
        assert value.obj_attributes == found.obj_attributes
    else:
        assert (found.object, value.file_attributes) == (file, found.obj_attributes)


@each_way
def test_a_taken_name_is_taken(root: Client, top: bytes, make: Make) -> None:
    file = root.make(top, b"f", b"data")
    root.mkdir(top, b"d").ok()
    before = attributes(root, top)
    for name in (b"f", b"d"):
        answer = make(root, file, top, name)
        assert answer.status == nfsstat3.EXIST
        assert directory_wcc(answer).after == attributes(root, top) == before
    assert root.read(file).ok().data == b"data"


@each_way
def test_who_may_not_write_makes_nothing(root: Client, ann: Client, top: bytes, make: Make) -> None:
    file = ann.make(top, b"f")
    closed = root.mkdir(top, b"d", sattr(mode=0o755)).ok().obj
    answer = make(ann, file, closed, b"new")
    assert answer.status == nfsstat3.ACCES
    assert directory_wcc(answer).after == attributes(ann, closed)
    assert root.names(closed) == [b".", b".."]


@each_way
def test_nothing_is_made_in_a_directory_that_is_gone(root: Client, top: bytes, make: Make) -> None:
    file = root.make(top, b"f")
    gone = root.mkdir(top, b"d").ok().obj
    root.rmdir(top, b"d").ok()
    answer = make(root, file, gone, b"new")
    assert answer.status == nfsstat3.STALE
    assert directory_wcc(answer) == (None, None)


def test_attributes_are_given_in_the_same_call(root: Client, top: bytes) -> None:
    wanted = sattr(mode=0o710, uid=5, gid=6, atime=at(100, 1), mtime=at(200, 2))
    made = [
        (root.create(top, b"f", wanted, GUARDED), 0o710),
        (root.mkdir(top, b"d", wanted), 0o710),
        (root.mknod(top, b"p", ftype3.FIFO, wanted), 0o710),
        (root.mknod(top, b"b", ftype3.BLK, wanted, (7, 8)), 0o710),
        (root.symlink(top, b"l", b"x", wanted), 0o777),
    ]
    for answer, mode in made:
        found = answer.ok().obj_attributes
        assert (found.mode, found.uid, found.gid) == (mode, 5, 6)
        assert (found.atime, found.mtime) == ((100, 1), (200, 2))
        assert attributes(root, answer.value.obj) == found


def test_without_a_mode_nobody_but_the_owner_has_rights(root: Client, top: bytes) -> None:
    assert root.create(top, b"f", sattr(uid=3)).ok().obj_attributes.mode == 0o600
    assert root.mkdir(top, b"d", sattr(uid=3)).ok().obj_attributes.mode == 0o700
    assert root.mknod(top, b"p", wanted=sattr(uid=3)).ok().obj_attributes.mode == 0o600


def test_an_object_belongs_to_who_made_it(root: Client, ann: Client, top: bytes) -> None:
    for answer in (ann.create(top, b"f"), ann.mkdir(top, b"d"), ann.mknod(top, b"p")):
        found = answer.ok().obj_attributes
        assert (found.uid, found.gid) == (1000, 1000)
    shared = root.mkdir(top, b"s", sattr(mode=0o2777, gid=77)).ok().obj
    assert ann.create(shared, b"f").ok().obj_attributes.gid == 77
    inner = ann.mkdir(shared, b"d", sattr(mode=0o755)).ok().obj_attributes
    assert (inner.gid, inner.mode) == (77, 0o2755)


def test_owners_that_are_not_the_caller_s_to_give_are_left_out(ann: Client, top: bytes) -> None:
    """As knfsd does: some clients send owners with whatever they make."""
    others, own = sattr(mode=0o755, uid=0, gid=0), sattr(mode=0o755, uid=0, gid=50)
    for number, (wanted, group) in enumerate([(others, 1000), (own, 50)]):
        for answer in (
            ann.create(top, b"f%d" % number, wanted),
            ann.mkdir(top, b"d%d" % number, wanted),
            ann.symlink(top, b"l%d" % number, b"x", wanted),
            ann.mknod(top, b"p%d" % number, ftype3.FIFO, wanted),
        ):
            found = answer.ok().obj_attributes
            assert (found.uid, found.gid) == (1000, group)


def test_what_cannot_be_given_leaves_nothing_behind(root: Client, top: bytes) -> None:
    before = root.names(top)
    wanted = sattr(mode=0o755, uid=2**32 - 1)
    for answer in (
        root.create(top, b"new", wanted),
        root.mkdir(top, b"new", wanted),
        root.symlink(top, b"new", b"x", wanted),
        root.mknod(top, b"new", ftype3.FIFO, wanted),
    ):
        assert answer.status == nfsstat3.INVAL
    assert root.names(top) == before


# --- CREATE -------------------------------------------------------------------------------------


def test_create_unchecked_takes_the_file_that_is_there(root: Client, top: bytes) -> None:
    file = root.make(top, b"f", b"data", 0o640)
    before = attributes(root, top)
    made = root.create(top, b"f", sattr(mode=0o777)).ok()
    assert made.obj == file
    assert made.obj_attributes == attributes(root, file)
    assert (made.obj_attributes.mode, made.obj_attributes.size) == (0o640, 4)
    assert made.dir_wcc.after == before
    assert made.dir_wcc.before == (before.size, before.mtime, before.ctime)


def test_create_unchecked_cuts_the_file_that_is_there(root: Client, top: bytes) -> None:
    file = root.make(top, b"f", b"data")
    assert root.create(top, b"f", sattr(size=0)).ok().obj_attributes.size == 0
    assert root.read(file).ok().data == b""


def test_create_unchecked_needs_the_right_to_cut(root: Client, ann: Client, top: bytes) -> None:
    root.make(top, b"f", b"data", 0o644)
    ann.create(top, b"f", sattr(mode=0)).ok()
    assert ann.create(top, b"f", sattr(size=0)).status == nfsstat3.ACCES


def test_create_unchecked_takes_regular_files_only(root: Client, top: bytes) -> None:
    root.mkdir(top, b"d").ok()
    root.symlink(top, b"l", b"f").ok()
    root.mknod(top, b"p").ok()
    assert root.create(top, b"d").status == nfsstat3.ISDIR
    assert root.create(top, b"l").status == nfsstat3.EXIST
    assert root.create(top, b"p").status == nfsstat3.EXIST


def test_create_makes_a_file_of_a_size(root: Client, top: bytes) -> None:
    for mode in (UNCHECKED, GUARDED):
        name = b"f%d" % mode
        file = root.create(top, name, sattr(size=5), mode).ok()
        assert file.obj_attributes.size == 5
        assert root.read(file.obj).ok().data == bytes(5)


@pytest.mark.parametrize(
    "verifier", [b"\1\2\3\4\5\6\7\x08", b"\xff" * 8, b"\0\0\0\0\0\0\0\1", b"\x80" + bytes(7)]
)
def test_an_exclusive_create_that_is_sent_again_finds_its_file(
    gw: Gateway, root: Client, top: bytes, verifier: bytes
) -> None:
    first = root.create_exclusive(top, b"f", verifier).ok()
    gw.restart()  # whatever the reply cache knew
    again = root.create_exclusive(top, b"f", verifier).ok()
    assert again.obj == first.obj
    assert again.dir_wcc.after == first.dir_wcc.after


def test_all_eight_bytes_of_the_verifier_count(root: Client, top: bytes) -> None:
    verifier = b"\1\2\3\4\5\6\7\x08"
    root.create_exclusive(top, b"f", verifier).ok()
    for at_byte in range(8):
        other = bytearray(verifier)
        other[at_byte] ^= 0x80
        assert root.create_exclusive(top, b"f", bytes(other)).status == nfsstat3.EXIST


def test_the_verifier_is_forgotten_when_the_attributes_are_set(root: Client, top: bytes) -> None:
    file = root.create_exclusive(top, b"f", b"verifier").ok().obj
    root.setattr(file, sattr(mode=0o644, atime=NOW, mtime=NOW)).ok()
    assert root.create_exclusive(top, b"f", b"verifier").status == nfsstat3.EXIST


def test_an_exclusive_create_does_not_take_other_files(root: Client, top: bytes) -> None:
    root.make(top, b"f")
    root.mkdir(top, b"d").ok()
    for verifier in (bytes(8), b"verifier"):
        assert root.create_exclusive(top, b"f", verifier).status == nfsstat3.EXIST
        assert root.create_exclusive(top, b"d", verifier).status == nfsstat3.EXIST


# --- SYMLINK, MKNOD, LINK -----------------------------------------------------------------------


def test_targets_that_no_link_has(root: Client, top: bytes) -> None:
    assert root.symlink(top, b"l", b"").status == nfsstat3.INVAL
    assert root.symlink(top, b"l", b"a\0b").status == nfsstat3.INVAL
    assert root.symlink(top, b"l", b"t" * 4096).status == nfsstat3.NAMETOOLONG
    assert root.names(top) == [b".", b".."]


@pytest.mark.parametrize("kind", [ftype3.REG, ftype3.DIR, ftype3.LNK])
def test_mknod_of_what_has_a_procedure_of_its_own(root: Client, top: bytes, kind: int) -> None:
    answer = root.mknod(top, b"n", kind)
    assert answer.status == nfsstat3.BADTYPE
    assert answer.value.wcc.after == attributes(root, top)


def test_devices_are_the_superuser_s(root: Client, ann: Client, top: bytes) -> None:
    for kind in (ftype3.CHR, ftype3.BLK):
        assert ann.mknod(top, b"n", kind, device=(1, 3)).status == nfsstat3.PERM
    for name, kind in ((b"s", ftype3.SOCK), (b"p", ftype3.FIFO)):
        ann.mknod(top, name, kind).ok()
    found = root.mknod(top, b"n", ftype3.CHR, device=(2**32 - 1, 2**32 - 1)).ok()
    assert found.obj_attributes.rdev == (2**32 - 1, 2**32 - 1)


def test_a_link_is_another_name_of_the_same_file(root: Client, top: bytes) -> None:
    directory = root.mkdir(top, b"d").ok().obj
    file = root.make(top, b"f", b"data")
    before = attributes(root, file)
    linked = root.link(file, directory, b"g").ok()
    assert (before.nlink, linked.file_attributes.nlink) == (1, 2)
    assert linked.file_attributes.ctime > before.ctime
    assert linked.linkdir_wcc.after == attributes(root, directory)
    assert root.find(top, b"d", b"g") == file
    root.remove(top, b"f").ok()
    assert root.read(file).ok().data == b"data"
    assert attributes(root, file).nlink == 1


def test_links_to_symlinks_devices_and_sockets_work(root: Client, top: bytes) -> None:
    others = {
        b"l": root.symlink(top, b"l", b"nowhere"),
        b"c": root.mknod(top, b"c", ftype3.CHR),
        b"b": root.mknod(top, b"b", ftype3.BLK),
        b"s": root.mknod(top, b"s", ftype3.SOCK),
        b"p": root.mknod(top, b"p", ftype3.FIFO),
    }
    for name, made in others.items():
        assert root.link(made.ok().obj, top, name + b"2").ok().file_attributes.nlink == 2
        assert root.lookup(top, name + b"2").ok().object == made.value.obj


def test_directories_have_one_name(root: Client, top: bytes) -> None:
    directory = root.mkdir(top, b"d").ok().obj
    answer = root.link(directory, top, b"e")
    assert answer.status == nfsstat3.PERM
    assert answer.value.file_attributes == attributes(root, directory)
    assert answer.value.linkdir_wcc.after == attributes(root, top)


def test_a_link_to_a_file_that_is_gone_is_stale(root: Client, top: bytes) -> None:
    file = root.make(top, b"f")
    root.remove(top, b"f").ok()
    answer = root.link(file, top, b"g")
    assert answer.status == nfsstat3.STALE
    assert answer.value.file_attributes is None
    assert answer.value.linkdir_wcc.after == attributes(root, top)


def test_a_new_object_gets_its_owners_and_times_in_one_step(root: Client, top: bytes) -> None:
    """Nothing is left behind by memory that fills up between making and giving away."""
    mtime = time_how.SET_TO_CLIENT_TIME, nfstime3(1_600_000_000, 0)
    wanted = sattr(mode=0o4755, uid=7, gid=8, mtime=mtime)
    for answer in (root.create(top, b"f", wanted), root.mkdir(top, b"d", wanted)):
        found = answer.ok().obj_attributes
        assert (found.uid, found.gid, found.mode) == (7, 8, 0o4755)
        assert found.mtime == (1_600_000_000, 0)
        assert found.ctime != found.mtime
