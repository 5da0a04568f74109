"""Work beside that requests of a door wait for: each piece is done once, whoever asks for it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable
from typing import Any

from store.virtual import NotYet

Steps = Generator[Any, Any, Any]
Start = Callable[[Steps, Callable[[Any, Exception | None], None], bool], None]
"""Has steps driven (`fsgw.steps`) while no garbage is collected, then calls back on this thread:
once what they changed is durable, if they change anything."""


class Pending:
    """See the module. Belongs to the main thread."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._waiting: dict[Hashable, list[Callable[[], None]]] = {}
        # What those who waited are to find: the failure of what they waited for, if it failed.
        self._failures: dict[Hashable, Exception] = {}
        # The work whose waiters are called back just now.
        self._told: Hashable = None

    def wait(
        self,
        key: Hashable,
        make: Callable[[], Steps],
        done: Callable[[Any], None],
        *,
        changes: bool = False,
    ) -> NotYet:
        """What to raise in order to wait for some work, which is begun unless it is under way.

        `done` gets its result. Raises what the work failed with, to those who waited for it.
        """
        failure = self._failures.get(key)
        if failure is not None:
            raise failure
        waiting = self._waiting.get(key)
        if waiting is None:
            steps = make()
            waiting = self._waiting[key] = []
            self._start(steps, lambda result, error: self._ended(key, result, error, done), changes)
        return NotYet(waiting.append)

    def settles(self, key: Hashable) -> bool:
        """Whether those who waited for this are being told: what there is now is new enough."""
        return self._told == key

    def _ended(
        self, key: Hashable, result: Any, error: Exception | None, done: Callable[[Any], None]
    ) -> None:
        waiting = self._waiting.pop(key)
        if error is None:
            done(result)
        else:
            self._failures[key] = error
        self._told = key
        try:
            for then in waiting:
                then()
        finally:
            self._told = None
            self._failures.pop(key, None)
