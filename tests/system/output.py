"""What a process prints, read all the time by a thread of its own, and waited for by pattern."""

from __future__ import annotations

import codecs
import re
import threading
import time
from typing import IO

GIVE_UP_S = 180.0


class NoSuchOutput(AssertionError):
    """What was waited for was not printed in time, or cannot be any more."""


class Printed:
    """Everything that came out of a stream so far."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._text = ""
        self._closed = False
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._reader.start()

    def _read(self, stream: IO[bytes]) -> None:
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        while piece := stream.read(65536):
            with self._changed:
                self._text += decode(piece).replace("\r", "")
                self._changed.notify_all()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def text(self) -> str:
        """All of it so far."""
        with self._changed:
            return self._text

    @property
    def end(self) -> int:
        """Where the next output will stand, for `wait(since=...)`."""
        return len(self.text)

    def tail(self) -> str:
        """The last lines, for a message."""
        return self.text[-4000:]

    def wait(self, pattern: str, *, since: int = 0, timeout_s: float = GIVE_UP_S) -> re.Match[str]:
        """The first match of a pattern at or after a position; waits until it is printed.

        Raises NoSuchOutput when it does not come in time or the stream ends without it.
        """
        expression = re.compile(pattern, re.MULTILINE)
        give_up = time.monotonic() + timeout_s
        with self._changed:
            while True:
                if found := expression.search(self._text, since):
                    return found
                if self._closed or not self._changed.wait(give_up - time.monotonic()):
                    raise NoSuchOutput(f"no {pattern!r} in:\n{self._text[since:][-4000:]}")

    def join(self) -> None:
        """Wait for the end of the stream."""
        self._reader.join()
