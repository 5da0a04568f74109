"""The administrator's operations with git repositories: see `gitdoor`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from fsgw.admin import Meter, Progress, refuse_relative
from fsgw.plain import Plain
from fsgw.steps import FULL, Steps, beside
from gitdoor import exporting, importing, refs
from gitdoor.source import Repository
from gitdoor.translate import Owner
from store.store import Store


def import_git(
    store: Store,
    source: str,
    prefixes: Sequence[str],
    progress: Progress | None,
    uid: int = 0,
    gid: int = 0,
) -> Steps[Plain]:
    """Bring the history of a local repository in: branches, and tags as snapshots.

    `prefixes`: only branches whose names start with one of them. What is here already is not read
    again.
    """
    refuse_relative(source)
    repository = yield from beside(Repository, Path(source))
    names = [os.fsencode(prefix) for prefix in prefixes]
    yield from sealed(store)
    meter = Meter(progress, None)
    done = yield from importing.import_repository(
        store, repository, names, Owner(uid, gid), meter.advance
    )
    return {
        "commits": done.commits,
        "branches": done.branches,
        "tags": done.tags,
        "troubles": done.troubles,
    }


def export_git(
    store: Store, names: Sequence[str], target: str, progress: Progress | None
) -> Steps[Plain]:
    """Write branches and their named snapshots, or all there are, as a bare repository."""
    refuse_relative(target)
    exporting.selected(store, names)
    yield from sealed(store)
    meter = Meter(progress, None)
    done = yield from exporting.export(store, names, Path(target), meter.advance)
    return {
        "commits": done.commits,
        "objects": done.objects,
        "refs": done.refs,
        "left_out": done.left_out,
    }


def sealed(store: Store, *, all_frozen: bool = False) -> Steps[None]:
    """Wait until every snapshot has its commit, and all that was frozen its root, if need be.

    While garbage is collected, nothing is sealed: that has to be held off.
    """
    while _waits(store, all_frozen):
        yield FULL
        if _waits(store, all_frozen):
            yield FULL  # once more, to wait for a job to end
            yield 0  # however many that takes


def _waits(store: Store, all_frozen: bool) -> bool:
    layers = store.engine.layers.values() if all_frozen else ()
    return refs.unsealed(store) or any(layer.frozen and not layer.sealed for layer in layers)
