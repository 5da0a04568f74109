"""Logs: which snapshots a history is told to have."""

from __future__ import annotations

from pathlib import Path

from store.store import Store


def test_snapshots_of_two_branches_that_are_one_commit(tmp_path: Path) -> None:
    """Each branch's log has its own, as long as it is there."""
    Store.init(tmp_path / "store")
    with Store.open(tmp_path / "store") as store:
        store.create_branch("one")
        store.fork("one", "two")
        store.snapshot(["one", "two"], "same")
        store.settle()
        found = {name: store.snapshots(name)[0] for name in ("one", "two")}
        assert found["one"].commit == found["two"].commit
        for name, info in found.items():
            assert [entry.snapshot for entry in store.log(name)] == [info.id]
        store.delete_snapshot("one", "same")
        assert [entry.snapshot for entry in store.log("two")] == [found["two"].id]
