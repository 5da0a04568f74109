"""Named places where a crash matters, for tests that crash there.

Purpose: a test arms one callback and may kill its process, or raise, at the named point. Nothing
is armed in production, where a point costs one call and one comparison. This module reads no
environment and knows no other module.
"""

from __future__ import annotations

from collections.abc import Callable

NAMES = (
    "pack.written",  # records are in the page cache, not yet synced
    "pack.synced",  # records are durable, nothing refers to them yet
    "journal.reserved",  # a segment has grown by synced zeros
    "journal.appended",  # a record is durable, nobody has been told
    "journal.rotated",  # appends go to the other segment from here on
    "journal.retired",  # a segment may be overwritten from here on
    "checkpoint.begun",  # the journal is rotated, chunks are durable, the database is as before
    "checkpoint.written",  # the transaction is complete and not committed
    "checkpoint.committed",  # the database has it all, the journal segment is not retired
    "seal.written",  # nodes and chunks are in packs, not yet synced
    "seal.published",  # memory knows the root; neither journal nor database does
    "trim.step",  # some rows of a garbage layer are gone
    "gc.copied",  # live objects lie in two packs
    "gc.published",  # memory knows the new places; neither journal nor database does
    "gc.checkpointed",  # the database knows the new places, the old pack is still there
    "journal.reset",  # old segments are gone, the new one does not exist yet
)

_KNOWN = frozenset(NAMES)
_callback: Callable[[str], None] | None = None


def point(name: str) -> None:
    """Pass the named point: call what is armed, if anything. ValueError for an undeclared name."""
    if _callback is not None:
        if name not in _KNOWN:
            raise ValueError(f"undeclared fault point {name!r}")
        _callback(name)


def arm(callback: Callable[[str], None] | None) -> None:
    """Have `callback(name)` called at every point from now on; None disarms."""
    global _callback
    _callback = callback
