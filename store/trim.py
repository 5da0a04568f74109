"""Trimming: the rows of layers that nothing needs any more leave the database.

A layer's rows are garbage once it is sealed or released; they may go only when that is durable,
or a crash would bring the layer back without them. Rows of layers that have no record (a crash
came between) are found when the store opens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from store import database as db
from store import faults, keys
from store.errors import StoreError

if TYPE_CHECKING:
    from store.engine import Engine

# Rows removed in one transaction: it must not hold up a checkpoint for long.
_ROWS_A_TIME = 20_000


class TrimJob:
    """Removes the rows of garbage layers. `run` on any thread, `finish` on the main thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._layers = sorted(engine.garbage)
        engine.garbage.clear()
        self._done: set[int] = set()
        self.error: StoreError | None = None

    def run(self) -> None:
        """Remove rows, a bounded number in one transaction. Does not raise: `finish` does."""
        try:
            for layer in self._layers:
                self._trim(layer)
                self._done.add(layer)
        except StoreError as error:
            self.error = error

    def _trim(self, layer: int) -> None:
        start = keys.pack_u64(layer)
        removed = _ROWS_A_TIME
        while removed == _ROWS_A_TIME:
            with self._engine.database.write("trimming") as writer:
                removed = writer.delete_range(
                    db.LAYERS, start, keys.after(start), limit=_ROWS_A_TIME
                )
            faults.point("trim.step")

    def finish(self) -> None:
        """Take over the outcome. Raises NoSpace, StorageFailure; the rest is tried again later."""
        self._engine.reader.renew()
        if self.error is not None:
            self._engine.garbage.update(set(self._layers) - self._done)
            raise self.error


def find_garbage(engine: Engine) -> set[int]:
    """Layers that have rows in the database and no use for them."""
    found: set[int] = set()
    start = bytes(8)
    while True:
        key = next((key for key, _ in engine.reader.items(db.LAYERS, start, b"\xff" * 9)), None)
        if key is None:
            return found
        number = keys.unpack_u64(key[:8])
        layer = engine.layers.get(number)
        if layer is None or layer.sealed:
            found.add(number)
        start = keys.pack_u64(number + 1)
