"""`.git` for all mounts and exports of a gateway: who sees which repository, and work for them.

What makes a repository's files may take long, and is done beside: the store's snapshots are sealed
first, and no garbage is collected meanwhile.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import closing
from typing import Any, NamedTuple

import trio

from fsgw.committer import Committer
from fsgw.git import sealed
from fsgw.running import Runner
from gitdoor.annex import Annex
from gitdoor.checkout import Checkout
from gitdoor.dotgit import GitDirectory
from gitdoor.pending import Pending, Steps
from gitdoor.shelf import Shelf
from gitdoor.writable import WritableGitDirectory, Writing
from store.errors import NotPermitted, StorageFailure, StoreError
from store.store import Store

log = logging.getLogger(__name__)

# Repositories kept; each has packs of its commits in memory, some 500 bytes for each.
_CHECKOUTS_MAX = 256


class Sight(NamedTuple):
    """Who sees which branches: `key` is the same for all who see the same, `may_see` says it of a
    branch by name, and `version` changes when the answer may."""

    key: Hashable
    may_see: Callable[[str], bool]
    version: Callable[[], int]


class _Kept(NamedTuple):
    """A repository, and its directories by whether they are listed and written to."""

    checkout: Checkout
    directories: dict[tuple[bool, bool], GitDirectory]


class GitDirectories:
    """See the module. `run` until cancelled; what is asked for before that waits."""

    def __init__(self, store: Store, committer: Committer) -> None:
        self._store, self._committer = store, committer
        self._pending = Pending(self._start)
        self._shelf = Shelf(store, self._pending)
        self._all: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._early: list[tuple[Steps, Callable[[Any, Exception | None], None], bool]] = []
        self._annexes: dict[int, Annex] = {}
        self._nursery: trio.Nursery | None = None
        self._runner: Runner | None = None
        # Sees every branch, as whoever mounts with FUSE does.
        self.all = Sight("all", lambda name: True, lambda: 0)

    def directory(
        self, branch: int, root: int, sight: Sight, listed: bool, writing: Writing | None
    ) -> GitDirectory:
        """`.git` of a branch, by its id, or of the directory `root` in it, where that is not 0.

        The history of a directory is read-only: a commit there is only a part of one.
        """
        checkout = self._kept(branch, root, sight).checkout
        if writing is None or root:
            return GitDirectory(checkout, self._shelf, listed)
        return WritableGitDirectory(checkout, self._shelf, self._annex(checkout), writing, listed)

    def shared(
        self, branch: int, root: int, sight: Sight, listed: bool, writing: Writing | None
    ) -> GitDirectory:
        """The same one for all who see the same: what one was shown, all can still read."""
        kept = self._kept(branch, root, sight)
        key = listed, writing is not None
        found = kept.directories.get(key)
        if found is None:
            found = kept.directories[key] = self.directory(branch, root, sight, listed, writing)
        return found

    def _annex(self, checkout: Checkout) -> Annex:
        """The annex of a branch, the same one for all who write there."""
        found = self._annexes.get(checkout.branch)
        if found is None:
            tree = checkout.tree
            found = Annex(self._store, checkout.branch, tree.getattr(tree.root))
            self._annexes[checkout.branch] = found
        return found

    def _kept(self, branch: int, root: int, sight: Sight) -> _Kept:
        key = branch, root, sight.key
        kept = self._all.get(key)
        if kept is None:
            ids = self._store.ids
            checkout = Checkout(
                self._store,
                branch,
                root,
                sight.may_see,
                lambda: ids.version + sight.version(),
                self._pending,
            )
            kept = self._all[key] = _Kept(checkout, {})
            if len(self._all) > _CHECKOUTS_MAX:
                self._all.popitem(last=False)
        self._all.move_to_end(key)
        return kept

    # --- work beside --------------------------------------------------------------------------

    async def run(
        self, runner: Runner, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Do what is asked for until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery, self._runner = nursery, runner
            early, self._early = self._early, []
            for work in early:
                nursery.start_soon(self._work, *work)
            task_status.started()
            await trio.sleep_forever()

    def _start(
        self, steps: Steps, then: Callable[[Any, Exception | None], None], changes: bool
    ) -> None:
        if self._nursery is None:
            self._early.append((steps, then, changes))
        else:
            self._nursery.start_soon(self._work, steps, then, changes)

    async def _work(
        self, steps: Steps, then: Callable[[Any, Exception | None], None], changes: bool
    ) -> None:
        assert self._runner is not None
        result: Any = None
        failure: Exception | None = None
        try:
            drive = self._runner.driven if changes else self._runner.drive
            with closing(steps):
                async with self._runner.holding():
                    await self._runner.drive(sealed(self._store, all_frozen=changes))
                    result = await drive(steps)
        except NotPermitted as error:
            failure = error  # it was told why
        except StoreError as error:
            failure = error
            log.warning(".git: %s", error)
        except Exception:
            log.exception(".git cannot be shown")
            failure = StorageFailure("the repository cannot be shown")
        then(result, failure)
        self._committer.answered()
