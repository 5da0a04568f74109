"""Letting go of large dicts a little at a time.

Freeing a hundred thousand objects at once stops everybody for tens of milliseconds. What is
given here is taken apart by the calls that come after, a few entries each.
"""

from __future__ import annotations

from typing import Any


class Disposal:
    """Dicts that nobody uses any more."""

    __slots__ = ("_heap",)

    def __init__(self) -> None:
        self._heap: list[dict[Any, Any]] = []

    def add(self, *unused: dict[Any, Any]) -> None:
        """Take dicts, with the dicts that are their values; the caller must forget them."""
        self._heap += [part for part in unused if part]

    def step(self, entries: int) -> None:
        """Free so many entries, if there are any."""
        heap = self._heap
        while heap and entries:
            part = heap[-1]
            if not part:
                heap.pop()
                continue
            entries -= 1
            _, value = part.popitem()
            if type(value) is dict:
                heap.append(value)
