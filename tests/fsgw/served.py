"""A gateway of its own for a test: `fsgw serve` as a child process, and ways to talk to it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent


class Served:
    """A running gateway; its log is read as JSON, line by line."""

    def __init__(self, store: Path, *options: str, environment: dict[str, str] | None = None):
        self.store = store
        self.socket = store / "gateway.sock"
        self.lines: list[dict[str, Any]] = []
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "fsgw", "--store", str(store), "serve"),
                *("--port", "0", "--portmap", "off", "--log-format", "json", *options),
            ],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, **(environment or {})},
        )

    def until(self, event: str) -> dict[str, Any]:
        """Read the log up to a line with this event; that line."""
        assert self.process.stderr is not None
        for text in self.process.stderr:
            line: dict[str, Any] = json.loads(text)
            self.lines.append(line)
            if line["event"] == event:
                return line
        raise AssertionError(f"the gateway ended without {event!r}: {self.lines}")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self) -> int:
        """Wait for the end; the exit code. What was logged until then is in `lines`."""
        assert self.process.stderr is not None
        for text in () if self.process.stderr.closed else self.process.stderr:
            try:
                self.lines.append(json.loads(text))
            except ValueError:
                self.lines.append({"event": "text", "message": text.decode()})
        self.process.stderr.close()
        return self.process.wait()

    def connect(self) -> http.client.HTTPConnection:
        """A connection to its admin socket."""
        return connection(self.socket)

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """One request: the status, and the JSON of the answer (of its lines, if it has several)."""
        with closing_connection(self.socket) as asked:
            data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
            asked.request(method, path, data)
            response = asked.getresponse()
            text = response.read()
            if response.headers["content-type"] == "application/x-ndjson":
                return response.status, [json.loads(line) for line in text.splitlines()]
            return response.status, json.loads(text)


def connection(path: Path) -> http.client.HTTPConnection:
    asked = http.client.HTTPConnection("gateway")
    asked.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    asked.sock.connect(os.fspath(path))
    return asked


@contextmanager
def closing_connection(path: Path) -> Iterator[http.client.HTTPConnection]:
    asked = connection(path)
    try:
        yield asked
    finally:
        asked.close()


@contextmanager
def serving(
    store: Path, *options: str, environment: dict[str, str] | None = None
) -> Iterator[Served]:
    """A gateway that is ready, and that ends in order with the section unless it has ended."""
    served = Served(store, *options, environment=environment)
    try:
        served.until("ready")
        yield served
    finally:
        if served.process.poll() is None:
            served.signal(signal.SIGTERM)
        code = served.ended()
    assert code in (0, -signal.SIGKILL), (code, served.lines)
