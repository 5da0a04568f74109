"""A bounded cache in two generations: as good as LRU for our use, at the price of a dict."""

from __future__ import annotations

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class GenerationCache(Generic[K, V]):
    """Keeps what was used since the generation before last.

    When the young generation holds `weight_max`, it becomes the old one and what was old is
    dropped; so at most twice `weight_max` is held. Weights default to 1 an entry.
    """

    __slots__ = ("_young", "_old", "_weight", "_weight_max")

    def __init__(self, weight_max: int) -> None:
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}
        self._weight = 0
        self._weight_max = weight_max

    def get(self, key: K) -> V | None:
        """The value of a key, None if it is not held."""
        value = self._young.get(key)
        if value is None and self._old:
            value = self._old.pop(key, None)
            if value is not None:
                self.put(key, value)
        return value

    def put(self, key: K, value: V, weight: int = 1) -> None:
        """Hold a value; it replaces any other of the key."""
        self._young[key] = value
        self._weight += weight
        if self._weight >= self._weight_max:
            self._old, self._young, self._weight = self._young, {}, 0

    def drop(self, key: K) -> None:
        """Hold nothing for a key."""
        self._young.pop(key, None)
        self._old.pop(key, None)

    def clear(self) -> None:
        """Hold nothing."""
        self._young.clear()
        self._old.clear()
        self._weight = 0
