"""Histories of directories: what `git subtree split` makes, whatever the history looks like."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from gitdoor.graph import History
from gitdoor.objects import object_id
from gitdoor.subtree import Split
from store.gitrows import COMMIT, GitRows
from store.store import Store
from tests.gitdoor.helpers import brought_in
from tests.gitdoor.repositories import Git

SEEDS = range(6)


def random_history(path: Path, seed: int) -> Git:
    """Commits in and beside a directory on branches that are merged now and then."""
    rng = random.Random(seed)
    git = Git(path).init()
    git.write("dir/first", "1")
    git.commit("first")
    branches = ["main"]
    for number in range(25):
        branch = rng.choice(branches)
        git("checkout", "-q", branch)
        action = rng.random()
        if action < 0.2 and len(branches) < 4:
            branches.append(f"b{number}")
            git("checkout", "-q", "-b", branches[-1])
        elif action < 0.4 and len(branches) > 1:
            git.merge(rng.choice([b for b in branches if b != branch]))
        else:
            where = rng.choice(["dir", "dir/sub", "beside"])
            git.write(f"{where}/{branch}-{rng.randrange(4)}", str(number))
            git.commit(f"{number}")
    return git


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_split_is_gits(store: Store, tmp_path: Path, seed: int) -> None:
    git = random_history(tmp_path / "repository", seed)
    brought_in(store, git)
    history = History(store.engine, store.engine.objects, GitRows(store.engine))
    for name in git("for-each-ref", "--format=%(refname:short)").split():
        tip = bytes.fromhex(git("rev-parse", name).strip())
        split = Split(history, [b"dir"], [tip])
        expected = git("subtree", "split", "--prefix=dir", name).strip()
        assert split.tips[tip].hex() == expected
        node = split.node(split.tips[tip])
        assert node is not None
        assert object_id(COMMIT, node.raw) == node.id
