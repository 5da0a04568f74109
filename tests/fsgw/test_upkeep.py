"""`gc`, `check` and `stats`: what they print, and what they do to a store."""

from __future__ import annotations

import os
import random
from pathlib import Path

from fsgw.render import size
from tests.fsgw.helpers import BRANCH_KEYS, SNAPSHOT_KEYS, Fsgw, keys_of


def test_gc_frees_what_nothing_holds(fsgw: Fsgw, source: Path) -> None:
    (source / "file").write_bytes(random.Random(5).randbytes(3_000_000))
    fsgw("branch", "create", "other")
    fsgw("import", source, "other", "--snapshot", "s")
    fsgw("branch", "delete", "other")

    def stored() -> int:
        return sum(path.stat().st_size for path in (fsgw.path / "packs").iterdir())

    before = stored()
    (planned,) = fsgw.json("gc", "--dry-run")
    assert set(planned) == {"dead_bytes", "freed_bytes", "packs"}
    assert keys_of(planned["packs"]) == {
        "pack", "size_bytes", "live_bytes", "live_objects", "dead_objects", "rewrite",
    }  # fmt: skip
    assert planned["dead_bytes"] >= planned["freed_bytes"] >= 3_000_000
    assert fsgw.lines("gc", "--dry-run")[0].startswith("would free 2.9 MiB of 2.9 MiB ")
    assert stored() == before >= 3_000_000
    (done,) = fsgw.json("gc")
    assert set(done) == set(planned) | {"copied_bytes", "packs_removed", "objects_removed"}
    assert done["freed_bytes"] >= 3_000_000
    assert stored() < 200_000
    assert fsgw.json("gc", "--dry-run")[0]["freed_bytes"] == 0
    assert fsgw.lines("gc") == ["freed 0 B: 0 objects and 0 packs removed, 0 B copied"]


def test_check_finds_damage_and_reading_it_fails(tmp_path: Path, source: Path) -> None:
    run = Fsgw(tmp_path / "store")
    run("init")
    run("branch", "create", "main")
    (source / "file").write_bytes(random.Random(6).randbytes(500_000))
    (source / "other").write_bytes(b"whole" * 1000)
    run("import", source, "main", "--snapshot", "s")
    assert run.lines("check") == ["no problems found"]
    assert run.json("check", "--data") == []

    pack = max((run.path / "packs").iterdir(), key=lambda path: path.stat().st_size)
    with pack.open("r+b") as file:
        os.pwrite(file.fileno(), bytes(64), 250_000)
    rows = run.json("check", "--data", code=1)
    assert keys_of(rows) == {"where", "what"}
    lines = run.lines("check", "--data", code=1)
    assert lines[-1] == f"{len(rows)} problem" + "s" * (len(rows) > 1)
    assert lines[0] == f"{rows[0]['where']}: {rows[0]['what']}"
    run("cat", "main/file", code=4)
    assert run("cat", "main/other").stdout == "whole" * 1000
    done = run("restore", "main", tmp_path / "out", code=1)
    assert done.stderr.startswith(f"fsgw: {tmp_path}/out/file: ")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["other"]


def test_stats(fsgw: Fsgw, source: Path) -> None:
    (source / "file").write_bytes(random.Random(7).randbytes(400_000))
    fsgw("import", source, "main", "--snapshot", "s")
    (row,) = fsgw.json("stats")
    assert set(row) == {
        "objects", "logical_bytes", "unique_bytes", "stored_bytes", "reclaimable_bytes",
        "packs", "pack_bytes", "database_bytes", "journal_bytes", "branches", "snapshots",
    }  # fmt: skip
    assert keys_of(row["branches"]) == BRANCH_KEYS | {"exclusive_bytes"}
    assert keys_of(row["snapshots"]) == SNAPSHOT_KEYS | {"exclusive_bytes"}
    assert row["pack_bytes"] >= row["stored_bytes"] >= 400_000
    assert row["logical_bytes"] >= 2 * 400_000
    lines = fsgw.lines("stats")
    assert lines[0].split()[-2:] == [*size(row["logical_bytes"]).split()]
    assert lines[-3].split() == ["REF", "HOLDS", "ALONE"]
    assert [line.split()[0] for line in lines[-2:]] == ["main", "main@s"]
