"""A branch with changes of its own becomes another commit: what its clients can tell by."""

from __future__ import annotations

from gitdoor.importing import moved
from store.store import Store
from store.types import ROOT
from tests.gitdoor.helpers import brought_in, put
from tests.gitdoor.repositories import Git


def test_directories_change_when_their_entries_do(store: Store, git: Git) -> None:
    """Their times go on though the commit was here before: who keeps listings goes by them."""
    git("checkout", "-q", "-b", "ahead", "main")
    git.write("src/ahead", "ahead\n")
    git.write("ahead", "ahead\n")
    git.commit("ahead")
    brought_in(store, git)
    history = store.history
    tips = [history.snapshots[history.head(name).snapshot].commit for name in ("ahead", "main")]
    tree = store.tree("main")
    put(tree, b"own", b"own")
    put(tree, b"src/own", b"own")
    for tip in (*tips, *tips):
        before = [tree.resolve(path) for path in (b"/", b"/src")]
        assert moved(store, "main", tip, None) is None
        after = [tree.resolve(path) for path in (b"/", b"/src")]
        for old, new in zip(before, after, strict=True):
            assert new.ino == old.ino
            assert new.mtime_ns > old.mtime_ns
            assert new.ctime_ns > old.ctime_ns
        names = [{entry.name for entry in tree.readdir(ROOT, new.ino).entries} for new in after]
        assert all(b"own" in found and (b"ahead" in found) == (tip == tips[0]) for found in names)
