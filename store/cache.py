"""Bounded caches in two generations: as good as LRU for our use, at the price of a dict."""

from __future__ import annotations

import weakref
from typing import Any, Generic, TypeVar

from store.disposal import Disposal

K = TypeVar("K")
V = TypeVar("V")


class Budget:
    """What several caches may hold together.

    When their young generations hold `weight_max`, those become the old ones and what was old is
    dropped; so at most twice `weight_max` is held.
    """

    __slots__ = ("_caches", "_weight", "_weight_max", "disposal")

    def __init__(self, weight_max: int, disposal: Disposal) -> None:
        self.disposal = disposal
        self._caches: weakref.WeakSet[GenerationCache[Any, Any]] = weakref.WeakSet()
        self._weight = 0
        self._weight_max = weight_max

    def join(self, cache: GenerationCache[Any, Any]) -> None:
        """Count what a cache holds."""
        self._caches.add(cache)

    def spend(self, weight: int) -> None:
        """Count something put into a cache."""
        self.disposal.step(2)
        self._weight += weight
        if self._weight >= self._weight_max:
            self._weight = 0
            for cache in self._caches:
                cache.age()


class GenerationCache(Generic[K, V]):
    """Keeps what was used since the generation before last. Weights default to 1 an entry."""

    __slots__ = ("__weakref__", "_budget", "_old", "_young")

    def __init__(self, budget: Budget) -> None:
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}
        self._budget = budget
        budget.join(self)

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
        if key not in self._young:
            self._budget.spend(weight)
        self._young[key] = value

    def drop(self, key: K) -> None:
        """Hold nothing for a key."""
        self._young.pop(key, None)
        self._old.pop(key, None)

    def age(self) -> None:
        """Begin a new generation, and drop the one before the last."""
        self._budget.disposal.add(self._old)
        self._old, self._young = self._young, {}

    def clear(self) -> None:
        """Hold nothing."""
        self._budget.disposal.add(self._young, self._old)
        self._young, self._old = {}, {}
