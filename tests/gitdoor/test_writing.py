"""git writing into `.git` of a mounted branch: commits are snapshots, branches are forks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gitdoor.mounted import Scene, scene


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path) as made:
        yield made


def test_a_commit_is_a_snapshot(here: Scene) -> None:
    mounted = here.mount("main", "git_write")
    mounted.write("a/file", "one\n")
    mounted("add", "a")
    mounted("commit", "-q", "-m", "the first")
    assert mounted("status", "--porcelain") == ""
    assert mounted("log", "--format=%s") == "the first\n"
    mounted.write("a/file", "two\n")
    mounted("commit", "-q", "-a", "-m", "the second")
    assert mounted("log", "--format=%s") == "the second\nthe first\n"
    assert mounted("status", "--porcelain") == ""
    mounted.fsck()
