"""What the tests of the git door share: a store driven without a gateway."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

from fsgw.git import export_git, import_git
from fsgw.pump import Pump
from store.store import Store
from store.tree import Tree
from store.types import ROOT
from tests.gitdoor.repositories import Git


def done(store: Store, steps: Generator[Any, Any, Any]) -> Any:
    """The result of steps."""
    with Pump(store) as pump:
        return pump.run(steps)


def brought_in(store: Store, git: Git, *prefixes: str) -> dict[str, Any]:
    """Import a repository."""
    found: dict[str, Any] = done(store, import_git(store, str(git.path), list(prefixes), None))
    return found


def written(store: Store, path: Path, *names: str) -> Git:
    """Export to a new repository, which git finds nothing wrong with."""
    done(store, export_git(store, list(names), str(path), None))
    git = Git(path)
    git.fsck()
    return git


def put(tree: Tree, path: bytes, data: bytes, mode: int = 0o644) -> int:
    """Write a file with the directories that it is in; its inode."""
    ino = tree.root
    *folders, name = path.split(b"/")
    for folder in folders:
        found = [e for e in tree.readdir(ROOT, ino, count=10**6).entries if e.name == folder]
        ino = found[0].ino if found else tree.mkdir(ROOT, ino, folder, 0o755).inode.ino
    known = [e for e in tree.readdir(ROOT, ino, count=10**6).entries if e.name == name]
    made = known[0].ino if known else tree.create(ROOT, ino, name, mode).inode.ino
    tree.write(ROOT, made, 0, data)
    return made
