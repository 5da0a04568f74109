"""Round trips through a branch of every kind of file, and restores into what exists."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fsgw.helpers import MIB, T0, Fsgw, changes, data_in, local_tree, restored, stamp


def has_xattrs(path: Path) -> bool:
    try:
        os.setxattr(path, "user.probe", b"")
        os.removexattr(path, "user.probe")
    except OSError:
        return False
    return True


def make_files(top: Path) -> None:
    (top / "empty").touch()
    (top / "small").write_bytes(b"a few bytes\n")
    (top / "large").write_bytes(random.Random(1).randbytes(3 * MIB + 17))
    (top / "folder" / "deep" / "er").mkdir(parents=True)
    (top / "folder" / "deep" / "file").write_bytes(b"x" * 200_000)
    (top / "nothing-in-it").mkdir()


def make_links(top: Path) -> None:
    (top / "a").write_bytes(b"one file")
    (top / "sub").mkdir()
    os.link(top / "a", top / "b")
    os.link(top / "a", top / "sub" / "c")
    os.symlink("a", top / "to-a")
    os.symlink("/no/where", top / "dangling")
    os.symlink(b"\xff/../" + b"x" * 3000, os.fsencode(top / "odd-target"))
    os.link(top / "to-a", top / "sub" / "also-to-a", follow_symlinks=False)
    stamp(top / "dangling", T0 - 7)


def make_names(top: Path) -> None:
    for name in (b"\xff\xfe", b"new\nline", b"tab\t", b"back\\slash", b" ", b"-rf", "é ☃".encode()):
        with open(os.path.join(os.fsencode(top), name), "wb") as file:
            file.write(name)
    os.mkdir(os.path.join(os.fsencode(top), b"dir\x80\n"))
    (top / ("n" * 255)).touch()
    (top / ".hidden").mkdir()


def make_modes(top: Path) -> None:
    closed = 0o000 if os.geteuid() == 0 else 0o400  # a file that its owner cannot read stays out
    for mode in (closed, 0o4755, 0o2755, 0o6711, 0o1644, 0o777):
        path = top / f"{mode:04o}"
        path.write_bytes(b"x")
        path.chmod(mode)
    for mode in (0o1777, 0o2750, 0o500):
        path = top / f"d{mode:04o}"
        path.mkdir()
        path.chmod(mode)


def make_times(top: Path) -> None:
    for index, time_ns in enumerate((T0, 1, 0, -1_000_000_001, 4_000_000_000_999_999_999)):
        path = top / f"file-{index}"
        path.write_bytes(b"x" * index)
        stamp(path, time_ns)
        folder = top / f"folder-{index}"
        folder.mkdir()
        (folder / "inside").touch()
        stamp(folder, time_ns)
    stamp(top, T0)


def make_special(top: Path) -> None:
    os.mkfifo(top / "fifo", 0o640)
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listener:
        here = os.getcwd()
        os.chdir(top)  # a socket's path is at most 107 bytes
        try:
            listener.bind("socket")
        finally:
            os.chdir(here)
    stamp(top / "fifo", T0)


MAKERS = [make_files, make_links, make_names, make_modes, make_times, make_special]


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_round_trip(fsgw: Fsgw, source: Path, make: Callable[[Path], None]) -> None:
    make(source)
    before = local_tree(source)
    fsgw("import", source, "main")
    assert local_tree(source) == before
    assert local_tree(restored(fsgw)) == before
    assert changes(fsgw, source) == set()
    assert changes(fsgw, source, "--checksum") == set()


@pytest.mark.root
def test_round_trip_of_owners_and_devices(fsgw: Fsgw, source: Path) -> None:
    os.mknod(source / "character", stat.S_IFCHR | 0o620, os.makedev(250, 70_000))
    os.mknod(source / "block", stat.S_IFBLK | 0o660, os.makedev(7, 1))
    (source / "file").write_bytes(b"suid")
    (source / "folder").mkdir()
    os.symlink("x", source / "link")
    for index, name in enumerate(("character", "block", "file", "folder", "link")):
        os.chown(source / name, 1000 + index, 2**32 - 10 - index, follow_symlinks=False)
    (source / "file").chmod(0o6755)
    (source / "folder").chmod(0o3771)
    fsgw("import", source, "main")
    assert local_tree(restored(fsgw)) == local_tree(source)


def test_round_trip_of_extended_attributes(fsgw: Fsgw, source: Path) -> None:
    if not has_xattrs(source):
        pytest.skip("the file system of the test directory refuses user xattrs")
    (source / "file").touch()
    (source / "folder").mkdir()
    for path in (source / "file", source / "folder", source):
        os.setxattr(path, "user.text", b"value")
        os.setxattr(path, b"user.odd\xff", bytes(range(256)))
        os.setxattr(path, "user.empty", b"")
    fsgw("import", source, "main")
    assert local_tree(restored(fsgw)) == local_tree(source)

    os.setxattr(source / "file", "user.text", b"other")
    os.removexattr(source / "folder", "user.empty")
    assert changes(fsgw, source) == {("modified", "/file"), ("modified", "/folder")}
    assert local_tree(restored(fsgw, name="again")) == local_tree(source)


def test_holes_stay_holes(fsgw: Fsgw, source: Path) -> None:
    path = source / "sparse"
    with path.open("wb") as file:
        os.pwrite(file.fileno(), b"start", 0)
        os.pwrite(file.fileno(), b"middle", 512 * MIB)
        os.truncate(file.fileno(), 1024 * MIB)
    if data_in(path) == [(0, 1024 * MIB)]:
        pytest.skip("the file system of the test directory keeps no holes")
    (source / "all-hole").touch()
    os.truncate(source / "all-hole", 5 * MIB + 1)
    row = fsgw.json("import", source, "main")[0]
    assert row["content_bytes"] < MIB
    assert fsgw.json("quota", "main")[0]["used_bytes"] < MIB

    out = restored(fsgw)
    for name in ("sparse", "all-hole"):
        assert (out / name).stat().st_size == (source / name).stat().st_size
        assert (out / name).stat().st_blocks * 512 < MIB
    assert data_in(out / "all-hole") == []
    with (out / "sparse").open("rb") as file:
        assert os.pread(file.fileno(), 6, 0) == b"start\0"
        assert os.pread(file.fileno(), 8, 512 * MIB - 1) == b"\0middle\0"
    assert changes(fsgw, source, "--checksum") == set()

    with path.open("r+b") as file:  # a hole where there was data, data where there was a hole
        os.truncate(file.fileno(), 0)
        os.truncate(file.fileno(), 1024 * MIB)
        os.pwrite(file.fileno(), b"else", 300 * MIB)
    stamp(path, T0)
    assert changes(fsgw, source) == {("modified", "/sparse")}
    assert fsgw.json("quota", "main")[0]["used_bytes"] < MIB
    out = restored(fsgw, name="again")
    with (out / "sparse").open("rb") as file:
        assert os.pread(file.fileno(), 5, 0) == bytes(5)
        assert os.pread(file.fileno(), 4, 300 * MIB) == b"else"
        assert os.pread(file.fileno(), 6, 512 * MIB) == bytes(6)


def test_a_sub_directory_goes_in_and_out_alone(fsgw: Fsgw, source: Path) -> None:
    make_files(source)
    fsgw("import", source, "main/some/where")
    assert local_tree(restored(fsgw, "main/some/where")) == local_tree(source)
    assert fsgw.lines("ls", "main") == ["some"]
    (source / "more").touch()
    fsgw("import", source / "folder", "main/other")
    assert local_tree(restored(fsgw, "main/other", "other")) == local_tree(source / "folder")
    assert fsgw.lines("ls", "main/some/where") == sorted({*os.listdir(source)} - {"more"})


def test_restore_refuses_a_directory_in_use_unless_forced(
    fsgw: Fsgw, source: Path, tmp_path: Path
) -> None:
    (source / "folder").mkdir()
    (source / "folder" / "file").write_bytes(b"new")
    (source / "plain").write_bytes(b"new too")
    (source / "link").symlink_to("plain")
    fsgw("import", source, "main")
    out = tmp_path / "out"
    out.mkdir()
    fsgw("restore", "main", out)
    assert local_tree(out) == local_tree(source)
    fsgw("restore", "main", out, code=3)

    outside = tmp_path / "outside"
    outside.mkdir()
    (out / "folder" / "file").unlink()
    (out / "folder").rmdir()
    (out / "folder").symlink_to(outside)  # must be replaced, not followed
    (out / "plain").write_bytes(b"old")
    (out / "link").unlink()
    (out / "link").symlink_to(outside / "nothing")
    fsgw("restore", "main", out, "--force")
    assert local_tree(out) == local_tree(source)
    assert list(outside.iterdir()) == []

    (out / "mine").touch()
    (out / "plain").unlink()
    (out / "plain").mkdir()
    done = fsgw("restore", "main", out, "--force", code=1)
    assert done.stderr == f"fsgw: {out}/plain: Is a directory\n"
    assert (out / "mine").exists()
    assert (out / "folder" / "file").read_bytes() == b"new"


def test_restore_of_what_is_no_directory(fsgw: Fsgw, source: Path, tmp_path: Path) -> None:
    (source / "file").touch()
    fsgw("import", source, "main")
    fsgw("restore", "main/file", tmp_path / "out", code=3)
    fsgw("restore", "main/nope", tmp_path / "out", code=3)
    fsgw("restore", "main@nope", tmp_path / "out", code=3)
    assert not (tmp_path / "out").exists()


def test_a_snapshot_is_restored_as_it_was(fsgw: Fsgw, source: Path) -> None:
    make_files(source)
    fsgw("import", source, "main", "--snapshot", "then")
    then = local_tree(source)
    (source / "small").write_bytes(b"later")
    (source / "empty").unlink()
    fsgw("import", source, "main")
    assert local_tree(restored(fsgw, "main@then")) == then
    assert local_tree(restored(fsgw, "main", "now")) == local_tree(source)
