"""The log of a gateway: one line an event, on standard error, as text or JSON.

Any module logs as usual with `logging`; `event` is for lines that programs read as well: a name
and fields, which stay the same from version to version.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

_FIELDS = "fsgw_fields"


def event(log: logging.Logger, name: str, /, **fields: Any) -> None:
    """Log an event with its fields, at level info."""
    log.info(name, extra={_FIELDS: fields})


def set_up(level: str, form: str) -> None:
    """Write what is logged from `level` (debug, info, ...) on to stderr; `form` is text or json."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.raiseExceptions = False  # a log that cannot be written must not stop the gateway


def _when(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{int(record.msecs):03d}Z"


class _Text(logging.Formatter):
    """`2024-05-06T07:08:09.123Z info ready nfs_port=2049`."""

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, _FIELDS, {})
        words = [_when(record), record.levelname.lower(), record.getMessage()]
        words += _words(fields)
        text = " ".join(words).translate(_ESCAPES)
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class _Json(logging.Formatter):
    """One object: time, level, event with its fields, or event `log` with logger and message."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {"time": _when(record), "level": record.levelname.lower()}
        fields = getattr(record, _FIELDS, None)
        if fields is None:
            message = record.getMessage()
            line |= {"event": "log", "logger": record.name, "message": message}
        else:
            line |= {"event": record.getMessage(), **fields}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _words(fields: dict[str, Any]) -> Iterator[str]:
    for key, value in fields.items():
        if isinstance(value, dict):
            yield from _words(value)
        else:
            yield f"{key}={_word(value)}"


def _word(value: object) -> str:
    text = str(value)
    return text if text and not set(text) & set(' "=') else json.dumps(text)


# What a client chose (a path, a name) must not look like another line.
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
