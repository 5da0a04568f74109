"""REMOVE, RMDIR and RENAME (RFC 1813 3.3.12 to 3.3.14), and calls that are sent twice."""

from __future__ import annotations

from typing import Any

import pytest

from nfs.nfs3_messages import symlinkdata3
from nfs.nfs3_types import diropargs3, ftype3, nfsstat3
from tests.nfs.client import Client, answered, sattr
from tests.nfs.gateway import Gateway
from tests.nfs.messages import read_reply


def attributes(client: Client, file: bytes) -> Any:
    """A file's attributes as the client gets them."""
    return client.getattr(file).ok().obj_attributes


def before_of(found: Any) -> tuple[Any, ...]:
    """What wcc_data has of attributes, where they are those before a change."""
    return found.size, found.mtime, found.ctime


# --- REMOVE -------------------------------------------------------------------------------------


def test_what_is_removed_is_gone(root: Client, top: bytes) -> None:
    made = {
        b"f": root.make(top, b"f"),
        b"l": root.symlink(top, b"l", b"x").ok().obj,
        b"p": root.mknod(top, b"p").ok().obj,
        b"c": root.mknod(top, b"c", ftype3.CHR).ok().obj,
    }
    for name, file in made.items():
        before = attributes(root, top)
        wcc = root.remove(top, name).ok().wcc
        assert wcc.before == before_of(before)
        assert wcc.after == attributes(root, top)
        assert wcc.after.mtime == wcc.after.ctime > before.ctime
        assert root.lookup(top, name).status == nfsstat3.NOENT
        assert root.getattr(file).status == nfsstat3.STALE


def test_remove_of_what_is_no_file(root: Client, top: bytes) -> None:
    root.mkdir(top, b"d").ok()
    file = root.make(top, b"f")
    for answer, status in [
        (root.remove(top, b"nothing"), nfsstat3.NOENT),
        (root.remove(top, b"d"), nfsstat3.ISDIR),
        (root.remove(top, b"."), nfsstat3.ISDIR),
        (root.remove(top, b".."), nfsstat3.ISDIR),
    ]:
        assert answer.status == status
        assert answer.value.wcc.after == attributes(root, top)
        assert answer.value.wcc.before == before_of(attributes(root, top))
    assert root.remove(file, b"x").status == nfsstat3.NOTDIR


def test_rmdir(root: Client, top: bytes) -> None:
    directory = root.mkdir(top, b"d").ok().obj
    root.make(directory, b"f")
    assert root.rmdir(top, b"d").status == nfsstat3.NOTEMPTY
    root.remove(directory, b"f").ok()
    links = attributes(root, top).nlink
    wcc = root.rmdir(top, b"d").ok().wcc
    assert wcc.after.nlink == links - 1
    assert root.getattr(directory).status == nfsstat3.STALE


def test_rmdir_of_what_is_no_directory(root: Client, top: bytes) -> None:
    root.make(top, b"f")
    root.symlink(top, b"l", b".").ok()
    for name, statuses in [
        (b"nothing", {nfsstat3.NOENT}),
        (b"f", {nfsstat3.NOTDIR}),
        (b"l", {nfsstat3.NOTDIR}),
        (b".", {nfsstat3.INVAL}),
        (b"..", {nfsstat3.EXIST, nfsstat3.NOTEMPTY}),
    ]:
        answer = root.rmdir(top, name)
        assert answer.status in statuses
        assert answer.value.wcc.after == attributes(root, top)


def test_removing_takes_the_right_to_write(root: Client, ann: Client, top: bytes) -> None:
    closed = root.mkdir(top, b"d", sattr(mode=0o755)).ok().obj
    root.make(closed, b"f", mode=0o777)
    root.mkdir(closed, b"d", sattr(mode=0o777)).ok()
    ann.mkdir(top, b"e").ok()
    assert ann.remove(closed, b"f").status == nfsstat3.ACCES
    assert ann.rmdir(closed, b"d").status == nfsstat3.ACCES
    assert ann.rename(closed, b"f", top, b"f").status == nfsstat3.ACCES
    assert ann.rename(top, b"e", closed, b"e").status == nfsstat3.ACCES


def test_a_sticky_directory_keeps_what_is_another_s(root: Client, ann: Client, top: bytes) -> None:
    sticky = root.mkdir(top, b"tmp", sattr(mode=0o1777)).ok().obj
    root.make(sticky, b"f")
    ann.make(sticky, b"mine")
    assert ann.remove(sticky, b"f").status == nfsstat3.PERM
    assert ann.rename(sticky, b"f", sticky, b"g").status == nfsstat3.PERM
    assert ann.rename(sticky, b"mine", sticky, b"f").status == nfsstat3.PERM
    ann.remove(sticky, b"mine").ok()


# --- RENAME -------------------------------------------------------------------------------------


def test_a_rename_says_how_both_directories_changed(root: Client, top: bytes) -> None:
    source, target = (root.mkdir(top, name).ok().obj for name in (b"s", b"t"))
    file = root.make(source, b"f", b"data")
    before = attributes(root, source), attributes(root, target)
    moved = root.rename(source, b"f", target, b"g").ok()
    assert moved.fromdir_wcc.before == before_of(before[0])
    assert moved.todir_wcc.before == before_of(before[1])
    assert moved.fromdir_wcc.after == attributes(root, source)
    assert moved.todir_wcc.after == attributes(root, target)
    assert moved.todir_wcc.after.ctime == moved.fromdir_wcc.after.ctime > before[0].ctime
    assert root.lookup(source, b"f").status == nfsstat3.NOENT
    assert root.lookup(target, b"g").ok().object == file
    assert root.read(file).ok().data == b"data"


def test_a_rename_within_one_directory(root: Client, top: bytes) -> None:
    root.make(top, b"f")
    before = attributes(root, top)
    moved = root.rename(top, b"f", top, b"g").ok()
    assert moved.fromdir_wcc == moved.todir_wcc == (before_of(before), attributes(root, top))


def test_a_directory_moves_with_all_that_is_in_it(root: Client, top: bytes) -> None:
    source, target = (root.mkdir(top, name).ok().obj for name in (b"s", b"t"))
    moving = root.mkdir(source, b"d").ok().obj
    file = root.make(moving, b"f")
    moved = root.rename(source, b"d", target, b"e").ok()
    assert (moved.fromdir_wcc.after.nlink, moved.todir_wcc.after.nlink) == (2, 3)
    assert root.find(target, b"e", b"f") == file
    assert root.lookup(moving, b"..").ok().object == target


def test_what_a_rename_replaces(root: Client, top: bytes) -> None:
    file, old = root.make(top, b"f", b"new"), root.make(top, b"g", b"old")
    root.rename(top, b"f", top, b"g").ok()
    assert root.lookup(top, b"g").ok().object == file
    assert root.getattr(old).status == nfsstat3.STALE
    directory, empty = (root.mkdir(top, name).ok().obj for name in (b"d", b"e"))
    root.make(directory, b"f")
    root.rename(top, b"d", top, b"e").ok()
    assert root.lookup(top, b"e").ok().object == directory
    assert root.getattr(empty).status == nfsstat3.STALE


def test_what_a_rename_does_not_replace(root: Client, top: bytes) -> None:
    root.make(top, b"f")
    directory, full = (root.mkdir(top, name).ok().obj for name in (b"d", b"full"))
    inner = root.mkdir(directory, b"inner").ok().obj
    root.make(full, b"x")
    for source, name, target, new_name, status in [
        (top, b"nothing", top, b"g", nfsstat3.NOENT),
        (top, b"f", top, b"d", nfsstat3.ISDIR),
        (top, b"d", top, b"f", nfsstat3.NOTDIR),
        (top, b"d", top, b"full", nfsstat3.NOTEMPTY),
        (top, b"d", directory, b"me", nfsstat3.INVAL),
        (top, b"d", inner, b"me", nfsstat3.INVAL),
        (directory, b"inner", top, b"d", nfsstat3.NOTEMPTY),
        (top, b".", top, b"g", nfsstat3.INVAL),
        (top, b"f", top, b"..", nfsstat3.INVAL),
        (top, b"f", top, b".", nfsstat3.INVAL),
    ]:
        answer = root.rename(source, name, target, new_name)
        assert answer.status == status, (name, new_name)
        for wcc, handle in zip(answer.value, (source, target), strict=True):
            now = attributes(root, handle)
            assert wcc == (before_of(now), now)


def test_two_names_of_one_file_are_left_as_they_are(root: Client, top: bytes) -> None:
    file = root.make(top, b"f")
    root.link(file, top, b"g").ok()
    before = attributes(root, top)
    root.rename(top, b"f", top, b"g").ok()
    assert {b"f", b"g"} <= set(root.names(top))
    assert attributes(root, top) == before


def test_a_rename_takes_rights_in_both_directories(root: Client, ann: Client, top: bytes) -> None:
    closed = root.mkdir(top, b"d", sattr(mode=0o755)).ok().obj
    ann.make(top, b"f")
    answer = ann.rename(top, b"f", closed, b"f")
    assert answer.status == nfsstat3.ACCES
    assert answer.value.fromdir_wcc.after == attributes(root, top)
    assert answer.value.todir_wcc.after == attributes(root, closed)


def test_directories_that_are_gone(root: Client, top: bytes) -> None:
    root.make(top, b"f")
    gone = root.mkdir(top, b"d").ok().obj
    root.rmdir(top, b"d").ok()
    there = attributes(root, top)
    for source, target in ((top, gone), (gone, top)):
        answer = root.rename(source, b"f", target, b"g")
        assert answer.status == nfsstat3.STALE
        for wcc, handle in zip(answer.value, (source, target), strict=True):
            assert wcc == ((None, None) if handle == gone else (before_of(there), there))
    assert root.remove(gone, b"f").status == nfsstat3.STALE


# --- the same call again ------------------------------------------------------------------------


def calls(root: Client, top: bytes) -> dict[str, bytes]:
    """Calls that work once, on a directory that has `f` and an empty `d`."""
    there = diropargs3(top, b"new")
    made: list[tuple[Any, ...]] = [
        ("CREATE", there, (1, sattr())),
        ("MKDIR", there, sattr()),
        ("SYMLINK", there, symlinkdata3(sattr(), b"x")),
        ("MKNOD", there, (ftype3.FIFO, sattr())),
        ("REMOVE", diropargs3(top, b"f")),
        ("RMDIR", diropargs3(top, b"d")),
        ("RENAME", diropargs3(top, b"f"), there),
        ("LINK", root.find(top, b"f"), there),
    ]
    return {name: root.message(name, *arguments) for name, *arguments in made}


NAMES = ["CREATE", "MKDIR", "SYMLINK", "MKNOD", "REMOVE", "RMDIR", "RENAME", "LINK"]


@pytest.mark.parametrize("name", NAMES)
def test_a_call_sent_again_over_a_new_connection_gets_its_first_answer(
    root: Client, top: bytes, name: str
) -> None:
    root.make(top, b"f")
    root.mkdir(top, b"d").ok()
    message = calls(root, top)[name]
    (first,) = root.send(message)
    answered(name, read_reply(first)).ok()
    now = attributes(root, top)
    root.reconnect(port=777)
    assert root.send(message) == [first]
    assert attributes(root, top) == now


@pytest.mark.parametrize("name", NAMES)
def test_a_call_sent_again_before_it_is_durable_waits_for_its_answer(
    gw: Gateway, root: Client, top: bytes, name: str
) -> None:
    root.make(top, b"f")
    root.mkdir(top, b"d").ok()
    message = calls(root, top)[name]
    gw.waiting.held = []
    first = root.send(message)
    root.reconnect(port=777)
    again = root.send(message)
    assert first == again == []
    gw.waiting.release()
    assert first == again
    answered(name, read_reply(first[0])).ok()


def test_a_call_of_another_client_with_the_same_xid_is_another_call(
    gw: Gateway, root: Client, top: bytes
) -> None:
    root.make(top, b"f")
    message = root.message("REMOVE", diropargs3(top, b"f"))
    answered("REMOVE", root.exchange(message)).ok()
    other = Client(gw, address="10.0.0.2")
    assert answered("REMOVE", other.exchange(message)).status == nfsstat3.NOENT


def test_a_guarded_setattr_sent_again_is_not_out_of_sync(root: Client, top: bytes) -> None:
    file = root.make(top, b"f", b"data")
    ctime = attributes(root, file).ctime
    message = root.message("SETATTR", file, sattr(size=1), ctime)
    (first,) = root.send(message)
    answered("SETATTR", read_reply(first)).ok()
    assert root.send(message) == [first]
