"""Import and export: round trips of every kind of file, and imports that write only changes."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from fsgw import content, importer, localfs
from fsgw.importer import Rules, import_directory
from store.store import Options, Store
from tests.fsgw.conftest import Fsgw, data_in, local_tree

MIB = 1 << 20
T0 = 1_600_000_000_123_456_789


def stamp(path: Path, time_ns: int) -> None:
    os.utime(path, ns=(time_ns, time_ns), follow_symlinks=False)


def has_xattrs(path: Path) -> bool:
    try:
        os.setxattr(path, "user.probe", b"")
        os.removexattr(path, "user.probe")
    except OSError:
        return False
    return True


def exported(fsgw: Fsgw, ref: str = "main", name: str = "out") -> Path:
    """A new local directory with what the ref holds."""
    out = fsgw.path.parent / name
    fsgw("export", ref, out)
    return out


def changes(fsgw: Fsgw, source: Path, *options: str) -> set[tuple[str, str]]:
    """Import again; what diff finds to have changed by it, as (kind, path) pairs."""
    name = f"before-{len(fsgw.json('snapshot', 'list', 'main'))}"
    fsgw("snapshot", "create", "main", "--name", name)
    fsgw("import", source, "main", *options)
    return {(row["kind"], row["path"]) for row in fsgw.json("diff", f"main@{name}", "main")}


# --- round trips ------------------------------------------------------------------------------


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
    for mode in (0o000, 0o4755, 0o2755, 0o6711, 0o1644, 0o777):
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
    assert local_tree(exported(fsgw)) == before
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
    assert local_tree(exported(fsgw)) == local_tree(source)


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
    assert local_tree(exported(fsgw)) == local_tree(source)

    os.setxattr(source / "file", "user.text", b"other")
    os.removexattr(source / "folder", "user.empty")
    assert changes(fsgw, source) == {("modified", "/file"), ("modified", "/folder")}
    assert local_tree(exported(fsgw, name="again")) == local_tree(source)


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

    out = exported(fsgw)
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
    out = exported(fsgw, name="again")
    with (out / "sparse").open("rb") as file:
        assert os.pread(file.fileno(), 5, 0) == bytes(5)
        assert os.pread(file.fileno(), 4, 300 * MIB) == b"else"
        assert os.pread(file.fileno(), 6, 512 * MIB) == bytes(6)


def test_a_sub_directory_goes_in_and_out_alone(fsgw: Fsgw, source: Path) -> None:
    make_files(source)
    fsgw("import", source, "main/some/where")
    assert local_tree(exported(fsgw, "main/some/where")) == local_tree(source)
    assert fsgw.lines("ls", "main") == ["some"]
    (source / "more").touch()
    fsgw("import", source / "folder", "main/other")
    assert local_tree(exported(fsgw, "main/other", "other")) == local_tree(source / "folder")
    assert fsgw.lines("ls", "main/some/where") == sorted({*os.listdir(source)} - {"more"})


# --- incremental imports ----------------------------------------------------------------------


def test_only_what_changed_is_written(fsgw: Fsgw, source: Path) -> None:
    make_files(source)
    first = fsgw.json("import", source, "main")[0]
    total = len(local_tree(source))
    assert (first["added"], first["changed"], first["unchanged"]) == (total - 1, 1, 0)
    again = fsgw.json("import", source, "main")[0]
    assert (again["added"], again["changed"], again["removed"]) == (0, 0, 0)
    assert (again["unchanged"], again["content_bytes"]) == (total, 0)

    (source / "small").write_bytes(b"other bytes\n")
    stamp(source / "small", T0)
    (source / "empty").chmod(0o600)
    (source / "folder" / "deep" / "file").unlink()
    (source / "folder" / "new").touch()
    (source / "nothing-in-it").rmdir()
    assert changes(fsgw, source) == {
        ("modified", "/small"),
        ("modified", "/empty"),
        ("removed", "/folder/deep/file"),
        ("added", "/folder/new"),
        ("removed", "/nothing-in-it"),
    } | {
        (kind, path)
        for kind, path in changed_folders(fsgw)
        if path in ("/", "/folder", "/folder/deep")
    }
    assert local_tree(exported(fsgw)) == local_tree(source)


def changed_folders(fsgw: Fsgw) -> set[tuple[str, str]]:
    """What the newest snapshot's diff says of directories: their entries may count as theirs."""
    newest = fsgw.json("snapshot", "list", "main")[-1]["name"]
    return {
        (row["kind"], row["path"])
        for row in fsgw.json("diff", f"main@{newest}", "main")
        if row["kind"] == "modified" and row["new"]["type"] == "directory"
    }


def test_a_large_file_is_rewritten_only_where_it_differs(fsgw: Fsgw, source: Path) -> None:
    path = source / "large"
    path.write_bytes(random.Random(2).randbytes(8 * MIB))
    fsgw("import", source, "main")
    with path.open("r+b") as file:
        os.pwrite(file.fileno(), b"changed", 5 * MIB)
    row = fsgw.json("import", source, "main")[0]
    assert (row["changed"], row["content_bytes"]) == (1, MIB)
    os.truncate(path, 3 * MIB + 1)
    row = fsgw.json("import", source, "main")[0]
    assert (row["changed"], row["content_bytes"]) == (1, 0)
    assert local_tree(exported(fsgw)) == local_tree(source)


def test_checksum_finds_what_time_and_size_hide(fsgw: Fsgw, source: Path) -> None:
    path = source / "file"
    path.write_bytes(b"before" * 50_000)
    stamp(path, T0)
    fsgw("import", source, "main")
    path.write_bytes(b"behind" * 50_000)
    stamp(path, T0)
    assert changes(fsgw, source) == set()
    assert changes(fsgw, source, "--checksum") == {("modified", "/file")}
    assert (exported(fsgw) / "file").read_bytes() == path.read_bytes()


def test_a_changed_kind_is_replaced(fsgw: Fsgw, source: Path) -> None:
    (source / "a").mkdir()
    (source / "a" / "inner").mkdir()
    (source / "a" / "inner" / "file").touch()
    (source / "b").write_bytes(b"file")
    (source / "c").symlink_to("b")
    os.mkfifo(source / "d")
    fsgw("import", source, "main")

    (source / "a" / "inner" / "file").unlink()
    (source / "a" / "inner").rmdir()
    (source / "a").rmdir()
    (source / "a").write_bytes(b"now a file")
    (source / "b").unlink()
    (source / "b").mkdir()
    (source / "b" / "inside").touch()
    (source / "c").unlink()
    (source / "c").symlink_to("a")
    (source / "d").unlink()
    (source / "d").write_bytes(b"now a file too")
    row = fsgw.json("import", source, "main")[0]
    assert (row["added"], row["removed"]) == (5, 6)
    assert local_tree(exported(fsgw)) == local_tree(source)


def test_no_delete_keeps_what_is_gone(fsgw: Fsgw, source: Path) -> None:
    (source / "stays").touch()
    (source / "goes").touch()
    fsgw("import", source, "main")
    (source / "goes").unlink()
    assert fsgw.json("import", source, "main", "--no-delete")[0]["removed"] == 0
    assert fsgw.lines("ls", "main") == ["goes", "stays"]
    assert fsgw.json("import", source, "main")[0]["removed"] == 1
    assert fsgw.lines("ls", "main") == ["stays"]


def test_links_that_come_apart_and_together(fsgw: Fsgw, source: Path) -> None:
    for name in ("a", "b"):
        (source / name).write_bytes(b"same")
        stamp(source / name, T0)
    os.link(source / "a", source / "a2")
    fsgw("import", source, "main")

    (source / "a2").unlink()
    (source / "a2").write_bytes(b"same")  # equal in all but being another file
    stamp(source / "a2", T0)
    (source / "b").unlink()
    os.link(source / "a", source / "b")
    fsgw("import", source, "main")
    assert local_tree(exported(fsgw)) == local_tree(source)

    (source / "a2").write_bytes(b"differs now")
    os.link(source / "b", source / "c")
    (source / "a").unlink()
    fsgw("import", source, "main")
    assert local_tree(exported(fsgw, name="again")) == local_tree(source)


def test_a_link_to_outside_the_import_is_not_written_through(fsgw: Fsgw, source: Path) -> None:
    (source / "sub").mkdir()
    (source / "outside").write_bytes(b"kept as it is")
    os.link(source / "outside", source / "sub" / "inside")
    fsgw("import", source, "main")
    (source / "sub" / "inside").write_bytes(b"written")
    fsgw("import", source / "sub", "main/sub")
    assert fsgw("cat", "main/outside").stdout == "kept as it is"
    assert fsgw("cat", "main/sub/inside").stdout == "written"


def test_the_snapshot_at_the_end(fsgw: Fsgw, source: Path) -> None:
    (source / "file").write_bytes(b"one")
    done = fsgw.json("import", source, "main", "--snapshot", "v1", "-m", "first", "--author", "A")
    assert done[0]["snapshot"]["message"] == "first"
    (source / "file").write_bytes(b"other")
    assert fsgw.lines("import", source, "main", "--snapshot", "v2")[-1] == "main@v2"
    assert fsgw("cat", "main@v1/file").stdout == "one"
    assert fsgw("cat", "main@v2/file").stdout == "other"
    assert fsgw.json("snapshot", "list", "main")[0]["author"] == "A"


def mutate(rng: random.Random, top: Path, time_ns: int) -> None:
    """Change one thing below `top`; content that changes gets a time of its own."""
    files = [path for path in sorted(top.rglob("*")) if not path.is_dir() or path.is_symlink()]
    folders = [top, *(p for p in sorted(top.rglob("*")) if p.is_dir() and not p.is_symlink())]
    new = rng.choice(folders) / f"n{rng.randrange(12)}"
    old = rng.choice(files) if files else None
    regular = [path for path in files if path.is_file() and not path.is_symlink()]
    match rng.randrange(10):
        case 0 | 1 | 2 if not os.path.lexists(new):
            new.write_bytes(rng.randbytes(rng.choice([0, 3, 5000, 140_000])))
            stamp(new, time_ns)
        case 3 if not os.path.lexists(new):
            new.mkdir()
        case 4 if not os.path.lexists(new) and old:
            os.link(old, new, follow_symlinks=False)
        case 5 if not os.path.lexists(new):
            new.symlink_to(rng.choice(["a", "b"]))
        case 6 if old:
            old.unlink()
        case 7 if len(folders) > 1 and not any(folders[-1].iterdir()):
            folders[-1].rmdir()
        case 8 if old and not os.path.lexists(new):
            old.rename(new)
        case _ if regular:
            path = rng.choice(regular)
            with path.open("r+b") as file:
                os.pwrite(file.fileno(), rng.randbytes(9), rng.choice([0, 4000, 300_000]))
            path.chmod(rng.choice([0o644, 0o4755, 0o600]))
            stamp(path, time_ns)


def test_any_series_of_changes_is_followed(fsgw: Fsgw, source: Path, rng: random.Random) -> None:
    for step in range(12):
        for change in range(15):
            mutate(rng, source, T0 + step * 1000 + change)
        fsgw("import", source, "main", "--snapshot", f"s{step}")
        assert local_tree(exported(fsgw, name=f"out-{step}")) == local_tree(source)
        assert changes(fsgw, source) == set()


# --- trouble ----------------------------------------------------------------------------------


def test_an_unreadable_file_is_reported_and_the_rest_imported(
    fsgw: Fsgw, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "bad", "c"):
        (source / name).write_bytes(b"old " + name.encode())
    fsgw("import", source, "main")
    for name in ("a", "bad", "bad-too", "c"):
        (source / name).write_bytes(b"newer " + name.encode())
    opened = localfs.open_source

    def refuse(path: bytes) -> int:
        if b"bad" in os.path.basename(path):
            raise PermissionError(13, "Permission denied", path)
        return opened(path)

    monkeypatch.setattr(importer, "open_source", refuse)
    done = fsgw("import", source, "main", code=1)
    assert done.stderr.splitlines() == [
        f"fsgw: {source}/bad: Permission denied",
        f"fsgw: {source}/bad-too: Permission denied",
    ]
    rows = fsgw.json("import", source, "main", code=1)
    assert rows[0]["troubles_total"] == 2
    assert rows[0]["troubles"][0] == {"path": f"{source}/bad", "what": "Permission denied"}
    assert fsgw.lines("ls", "main") == ["a", "bad", "c"]
    assert fsgw("cat", "main/a").stdout == "newer a"
    assert fsgw("cat", "main/bad").stdout == "old bad"


def test_an_unreadable_directory_stays_as_it_was(fsgw: Fsgw, source: Path) -> None:
    (source / "ok").touch()
    deep = os.open(source, os.O_RDONLY)
    try:
        for _ in range(20):  # deeper than a path can name, so that even root cannot read it
            os.mkdir("d" * 250, dir_fd=deep)
            inner = os.open("d" * 250, os.O_RDONLY, dir_fd=deep)
            os.close(deep)
            deep = inner
    finally:
        os.close(deep)
    done = fsgw("import", source, "main", code=1)
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith(": File name too long\n")
    assert len(fsgw.lines("ls", "main")) == 2


def test_a_file_that_changes_while_it_is_read_is_reported(
    fsgw: Fsgw, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = source / "log"
    path.write_bytes(b"line\n")
    copy_in = content.copy_in

    def copy_and_append(*args: object) -> int:
        written: int = copy_in(*args)  # type: ignore[arg-type]
        path.write_bytes(b"line\nline\n")
        stamp(path, T0)
        return written

    with monkeypatch.context() as patch:
        patch.setattr(importer, "copy_in", copy_and_append)
        done = fsgw("import", source, "main", code=1)
    assert "changed while it was read" in done.stderr
    assert fsgw.lines("ls", "main") == []
    fsgw("import", source, "main")
    assert fsgw("cat", "main/log").stdout == "line\nline\n"


def test_more_than_memory_holds_is_flushed_on_the_way(fsgw: Fsgw, source: Path) -> None:
    data = random.Random(3).randbytes(12 * MIB)
    (source / "large").write_bytes(data)
    for index in range(3000):
        (source / f"small-{index}").write_bytes(b"%d" % index)
    with Store.open(str(fsgw.path), Options(dirty_bytes_max=2 * MIB)) as store:
        done = import_directory(
            store, store.tree("main"), os.fsencode(source), b"/", Rules(), lambda _: None
        )
        assert (done.added, done.troubles_total) == (3001, 0)
    out = exported(fsgw)
    assert (out / "large").read_bytes() == data
    assert local_tree(out) == local_tree(source)


def test_over_quota_ends_the_import_with_what_fitted(fsgw: Fsgw, source: Path) -> None:
    for name in "abc":
        (source / name).write_bytes(os.urandom(MIB))
    fsgw("quota", "main", "--bytes", "2M")
    fsgw("import", source, "main", code=4)
    fsgw("quota", "main", "--bytes", "0")
    fsgw("import", source, "main")
    assert local_tree(exported(fsgw)) == local_tree(source)


def test_bad_targets(fsgw: Fsgw, source: Path) -> None:
    (source / "file").touch()
    fsgw("import", source, "main", "--snapshot", "s")
    fsgw("import", source, "nope", code=3)
    fsgw("import", source, "main@s", code=3)
    fsgw("import", source, "main/file", code=3)
    fsgw("import", source, "main/../x", code=3)
    fsgw("import", source / "missing", "main", code=2)
    fsgw("import", source / "file", "main", code=2)
    assert fsgw.lines("ls", "main") == ["file"]


# --- export into what exists ------------------------------------------------------------------


def test_export_refuses_a_directory_in_use_unless_forced(
    fsgw: Fsgw, source: Path, tmp_path: Path
) -> None:
    (source / "folder").mkdir()
    (source / "folder" / "file").write_bytes(b"new")
    (source / "plain").write_bytes(b"new too")
    (source / "link").symlink_to("plain")
    fsgw("import", source, "main")
    out = tmp_path / "out"
    out.mkdir()
    fsgw("export", "main", out)
    assert local_tree(out) == local_tree(source)
    fsgw("export", "main", out, code=3)

    outside = tmp_path / "outside"
    outside.mkdir()
    (out / "folder" / "file").unlink()
    (out / "folder").rmdir()
    (out / "folder").symlink_to(outside)  # must be replaced, not followed
    (out / "plain").write_bytes(b"old")
    (out / "link").unlink()
    (out / "link").symlink_to(outside / "nothing")
    fsgw("export", "main", out, "--force")
    assert local_tree(out) == local_tree(source)
    assert list(outside.iterdir()) == []

    (out / "mine").touch()
    (out / "plain").unlink()
    (out / "plain").mkdir()
    done = fsgw("export", "main", out, "--force", code=1)
    assert done.stderr == f"fsgw: {out}/plain: Is a directory\n"
    assert (out / "mine").exists()
    assert (out / "folder" / "file").read_bytes() == b"new"


def test_export_of_what_is_no_directory(fsgw: Fsgw, source: Path, tmp_path: Path) -> None:
    (source / "file").touch()
    fsgw("import", source, "main")
    fsgw("export", "main/file", tmp_path / "out", code=3)
    fsgw("export", "main/nope", tmp_path / "out", code=3)
    fsgw("export", "main@nope", tmp_path / "out", code=3)
    assert not (tmp_path / "out").exists()


def test_a_snapshot_is_exported_as_it_was(fsgw: Fsgw, source: Path) -> None:
    make_files(source)
    fsgw("import", source, "main", "--snapshot", "then")
    then = local_tree(source)
    (source / "small").write_bytes(b"later")
    (source / "empty").unlink()
    fsgw("import", source, "main")
    assert local_tree(exported(fsgw, "main@then")) == then
    assert local_tree(exported(fsgw, "main", "now")) == local_tree(source)
