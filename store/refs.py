"""Refs: names that point somewhere, changed only by compare-and-set.

`heads/NAME` is a branch, its value a records.Head; `tags/ID/NAME` is a snapshot of the branch
with that id (16 hex digits), its value the snapshot's id (u64). `annexes/ID` is the annex of the
branch with that id, its value a records.Head without a snapshot.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from store import database as db
from store.engine import Engine
from store.errors import InvalidRef, RefConflict

NAME_LENGTH_MAX = 128
HEADS, ANNEXES = "heads/", "annexes/"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")


def check_name(name: str) -> str:
    """A branch's or snapshot's name, if the rules allow it. Raises InvalidRef."""
    if len(name) > NAME_LENGTH_MAX:
        raise InvalidRef(f"a name of {len(name)} characters; {NAME_LENGTH_MAX} is the limit")
    if not _NAME.match(name) or name.endswith((".", ".lock")) or ".." in name:
        raise InvalidRef(
            f"{name!r} is no name: letters, digits, `.`, `_`, `-`, the first a letter or digit"
        )
    return name


def head_ref(branch: str) -> str:
    """The ref of a branch."""
    return HEADS + branch


def annex_ref(branch: int) -> str:
    """The ref of a branch's annex."""
    return f"{ANNEXES}{branch:016x}"


def tag_ref(branch: int, snapshot: str) -> str:
    """The ref of a branch's snapshot."""
    return f"tags/{branch:016x}/{snapshot}"


def time_name(time_ns: int) -> str:
    """The name of a snapshot taken at a time: UTC to the microsecond."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H.%M.%S")
    return f"{moment}.{rest // 1000:06d}Z"


class Refs:
    """All refs of a store, in memory; changes are durable with the next flush."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._values = {key.decode(): value for key, value in engine.reader.all(db.REFS)}
        # Moves with every change, but of annexes, which are nobody's history: what was found out
        # by way of refs may not hold any more.
        self.version = 0
        # When a name last came or went since the store was opened; 0: none did.
        self.changed_ns = 0

    def get(self, name: str) -> bytes | None:
        """A ref's value, None if there is none."""
        return self._values.get(name)

    def list(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        """Refs whose names start with `prefix`, by name."""
        for name in sorted(self._values):
            if name.startswith(prefix):
                yield name, self._values[name]

    def test_and_set(self, name: str, expected: bytes | None, value: bytes | None) -> None:
        """Change a ref that has the expected value (None: does not exist); None deletes it.

        Raises RefConflict where it has another.
        """
        if self._values.get(name) != expected:
            raise RefConflict(f"{name} was changed by someone else")
        if not name.startswith(ANNEXES):
            self.version += 1
            if expected is None or value is None:
                self.changed_ns = max(self._engine.last_ns, self.changed_ns + 1)
        if value is None:
            self._values.pop(name, None)
        else:
            self._values[name] = value
        self._engine.put_table(db.REFS, name.encode(), value)
