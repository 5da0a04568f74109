"""Progress bars for commands that take long: on a terminal's stderr, or not at all."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import click

Progress = Callable[[int, int | None], None]

# A bar is drawn once in this time, as drawing costs more than many a step of the work.
_DRAW_S = 0.1


@contextmanager
def bar(label: str) -> Iterator[Progress | None]:
    """Yields `progress(done, total)` (`total` None: nobody knows), or None where stderr is no
    terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    with ExitStack() as stack:
        drawn = _Bar(label, stack)
        yield drawn.progress
        drawn.finish()


class _Bar:
    """A bar that begins with the first progress; one without a total shows only movement."""

    def __init__(self, label: str, stack: ExitStack) -> None:
        self._label, self._stack = label, stack
        self._drawn: Any = None
        self._next_s = 0.0

    def progress(self, done: int, total: int | None) -> None:
        if self._drawn is None:
            endless = iter(()) if total is None else None
            bar = click.progressbar(endless, length=total, label=self._label, file=sys.stderr)
            self._drawn = self._stack.enter_context(bar)
        now_s = time.monotonic()
        if now_s >= self._next_s or done == total:
            self._next_s = now_s + _DRAW_S
            self._drawn.length = total
            self._drawn.update(done - self._drawn.pos)

    def finish(self) -> None:
        """All is done, whatever was told last."""
        if self._drawn is not None:
            self._drawn.finish()
            self._drawn.render_progress()
