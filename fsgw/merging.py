"""The administrator's operation that merges: see `store.merging`."""

from __future__ import annotations

import time

from fsgw import plain
from fsgw.admin import Progress
from fsgw.plain import Plain
from fsgw.steps import Steps, until
from store import errors, merging
from store.conflicts import Favor
from store.merging import Request
from store.store import Store
from store.types import Who

# Conflicts that an answer lists; it says how many there are.
CONFLICTS_MAX = 100


def merge(
    store: Store,
    branch: str,
    source: str,
    name: str | None,
    message: str,
    author: str | None,
    favor: str | None,
    fast_forward: bool,
    dry_run: bool,
    progress: Progress | None,
) -> Steps[Plain]:
    """Merge `source` into a branch. What becomes of it is in the answer; conflicts, too."""
    who = None if author is None else Who(author, time.time_ns())
    request = Request(source, branch, name, message, who, _favor(favor), fast_forward, dry_run)
    done = yield from merging.merge(store, request, until)
    return plain.merged(done, CONFLICTS_MAX)


def _favor(text: str | None) -> Favor | None:
    try:
        return None if text is None else Favor(text)
    except ValueError:
        raise errors.InvalidArgument(f"{text!r} is no side: ours and theirs are") from None
