"""Imports over what is there: only what differs is written, and all of what differs."""

from __future__ import annotations

import os
import random
from pathlib import Path

from tests.fsgw.helpers import MIB, T0, Fsgw, changes, local_tree, restored, stamp


def test_only_what_changed_is_written(fsgw: Fsgw, source: Path) -> None:
    (source / "empty").touch()
    (source / "small").write_bytes(b"a few bytes\n")
    (source / "large").write_bytes(bytes(range(256)) * 5000)
    (source / "folder" / "deep" / "er").mkdir(parents=True)
    (source / "folder" / "deep" / "file").write_bytes(b"x" * 200_000)
    (source / "nothing-in-it").mkdir()
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
    }
    assert local_tree(restored(fsgw)) == local_tree(source)


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
    assert local_tree(restored(fsgw)) == local_tree(source)


def test_checksum_finds_what_time_and_size_hide(fsgw: Fsgw, source: Path) -> None:
    path = source / "file"
    path.write_bytes(b"before" * 50_000)
    stamp(path, T0)
    fsgw("import", source, "main")
    path.write_bytes(b"behind" * 50_000)
    stamp(path, T0)
    assert changes(fsgw, source) == set()
    assert changes(fsgw, source, "--checksum") == {("modified", "/file")}
    assert (restored(fsgw) / "file").read_bytes() == path.read_bytes()


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
    assert local_tree(restored(fsgw)) == local_tree(source)


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
    assert local_tree(restored(fsgw)) == local_tree(source)

    (source / "a2").write_bytes(b"differs now")
    os.link(source / "b", source / "c")
    (source / "a").unlink()
    fsgw("import", source, "main")
    assert local_tree(restored(fsgw, name="again")) == local_tree(source)


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
        assert local_tree(restored(fsgw, name=f"out-{step}")) == local_tree(source)
        assert changes(fsgw, source) == set()
