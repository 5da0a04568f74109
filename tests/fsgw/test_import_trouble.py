"""Imports that meet trouble: unreadable and changing files, full memory, quotas, bad targets."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from fsgw import content, importer, localfs
from fsgw import source as fsgw_source
from fsgw.importer import Rules, import_directory
from fsgw.source import SMALL_BYTES
from fsgw.steps import Steps
from store.store import Options, Store
from tests.fsgw.helpers import MIB, T0, Fsgw, local_tree, restored, stamp


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

    monkeypatch.setattr(fsgw_source, "open_source", refuse)
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
    path.write_bytes(b"line\n" * SMALL_BYTES)
    copy_in = content.copy_in

    def copy_and_append(*args: Any) -> Steps[int]:
        written = yield from copy_in(*args)
        path.write_bytes(b"line\nline\n")
        stamp(path, T0)
        return written

    def differ(*_: object) -> bool:
        return False

    with monkeypatch.context() as patch:
        patch.setattr(importer, "copy_in", copy_and_append)
        done = fsgw("import", source, "main", code=1)
    assert "changed while it was read" in done.stderr
    assert fsgw.lines("ls", "main") == []
    with monkeypatch.context() as patch:  # it is small now, and read in one go
        patch.setattr(fsgw_source, "is_same", differ)
        done = fsgw("import", source, "main", code=1)
    assert "changed while it was read" in done.stderr
    assert fsgw.lines("ls", "main") == []
    fsgw("import", source, "main")
    assert fsgw("cat", "main/log").stdout == "line\nline\n"


def test_more_than_memory_holds_is_flushed_on_the_way(fsgw: Fsgw, source: Path) -> None:
    data = random.Random(3).randbytes(12 * MIB)
    (source / "large").write_bytes(data)
    for index in range(1000):
        (source / f"small-{index}").write_bytes(b"%d" % index)
    with Store.open(str(fsgw.path), Options(dirty_bytes_max=2 * MIB)) as store:
        done = import_directory(
            store, store.tree("main"), os.fsencode(source), b"/", Rules(), lambda _: None
        )
        assert (done.added, done.troubles_total) == (1001, 0)
    out = restored(fsgw)
    assert (out / "large").read_bytes() == data
    assert local_tree(out) == local_tree(source)


def test_over_quota_ends_the_import_with_what_fitted(fsgw: Fsgw, source: Path) -> None:
    for name in "abc":
        (source / name).write_bytes(os.urandom(MIB))
    fsgw("quota", "main", "--bytes", "2M")
    fsgw("import", source, "main", code=4)
    fsgw("quota", "main", "--bytes", "0")
    fsgw("import", source, "main")
    assert local_tree(restored(fsgw)) == local_tree(source)


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
