"""Operations carried out by a gateway: a client of its HTTP API on a Unix socket.

Nothing heavy is imported, so that a command that only asks a gateway starts quickly.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes

from fsgw.failures import raised
from fsgw.operations import PREFIX, Kind, Operation
from fsgw.plain import Plain
from fsgw.progress import Progress
from fsgw.session import Bytes, GatewayFailed

_PIECE_BYTES = 1 << 20
_GONE = "the gateway went away before it had answered; whether it did what was asked is not known"


def connected(path: Path) -> Client | None:
    """A client of the gateway that listens on a socket; None where none does. Raises OSError."""
    connection = _Connection(path)
    try:
        connection.connect()
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    except OSError as error:
        connection.close()
        raise OSError(error.errno, error.strerror, str(path)) from None
    return Client(connection)


class _Connection(http.client.HTTPConnection):
    """A connection to a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("gateway")
        self._path = path

    def connect(self) -> None:
        """Connect. Raises OSError."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(os.fspath(self._path))


class Client:
    """See the module, and `session.Way`; one operation at a time."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        """Use `connected`."""
        self._connection = connection

    def one(self, operation: Operation, values: Plain, progress: Progress | None) -> Any:
        """Have an operation carried out; its answer, which is durable."""
        if operation.kind is Kind.ROWS:
            with self.rows(operation, values) as rows:
                return list(rows)
        with self._asked(operation, values, progress is not None) as response:
            if operation.kind is not Kind.TASK:
                return _parsed(_received(response.read))
            for line in _lines(response):
                if "result" in line:
                    return line["result"]
                if progress is not None and isinstance(told := line.get("progress"), dict):
                    progress(told["done"], told["total"])
        raise GatewayFailed("the gateway's answer ends without a result")

    @contextmanager
    def rows(self, operation: Operation, values: Plain) -> Iterator[Iterator[Plain]]:
        """Rows as the gateway sends them."""
        with self._asked(operation, values) as response:
            yield _lines(response)

    @contextmanager
    def content(self, operation: Operation, values: Plain) -> Iterator[Iterator[Bytes]]:
        """Bytes as the gateway sends them."""
        with self._asked(operation, values) as response:
            yield self._pieces(operation, values, response)

    def _pieces(
        self, operation: Operation, values: Plain, response: http.client.HTTPResponse
    ) -> Iterator[Bytes]:
        """A response's bytes. One that breaks off cannot say why: asking for the rest does."""
        offset = values["offset"]
        try:
            while piece := _received(response.read1, _PIECE_BYTES):
                offset += len(piece)
                yield piece
        except GatewayFailed:
            self._connection.close()
            with self._asked(operation, {**values, "offset": offset}):
                raise

    @contextmanager
    def _asked(
        self, operation: Operation, values: Plain, progress: bool = False
    ) -> Iterator[http.client.HTTPResponse]:
        """The response to a request; raises the error that it is instead."""
        request = _request(operation, values, progress)
        with _going_on():
            self._connection.request(*request)
            response = self._connection.getresponse()
        if response.status != HTTPStatus.OK:
            raise _error(_parsed(_received(response.read)))
        yield response

    def close(self, *, settle: bool) -> None:
        """Hang up; a gateway does by itself what changes leave behind."""
        self._connection.close()


@contextmanager
def _going_on() -> Iterator[None]:
    """Raises GatewayFailed where the connection ends."""
    try:
        yield
    except (http.client.HTTPException, ConnectionError) as error:
        raise GatewayFailed(_GONE) from error


def _received(read: Callable[..., bytes], *args: int) -> bytes:
    with _going_on():
        return read(*args)


def _request(operation: Operation, values: Plain, progress: bool) -> tuple[str, str, bytes | None]:
    """Method, URL and body."""
    path = PREFIX + operation.path
    for name in operation.in_path:
        path = path.replace(f"{{{name}}}", _quoted(values[name]))
    left = {name: value for name, value in values.items() if name not in operation.in_path}
    query: list[str] = []
    body = None
    if operation.method in ("POST", "PATCH"):
        body = json.dumps(left).encode()
    else:
        query = [f"{name}={_quoted(_text(left[name]))}" for name in left if left[name] is not None]
    if progress:
        query.append("progress=true")
    return operation.method, "?".join([path, *(["&".join(query)] if query else [])]), body


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _quoted(text: str) -> str:
    return quote_from_bytes(os.fsencode(text), safe="")


def _lines(response: http.client.HTTPResponse) -> Iterator[Plain]:
    """JSON objects, one a line; raises the error that one of them is."""
    while line := _received(response.readline):
        row = _parsed(line)
        if "error" in row:
            raise _error(row)
        yield row


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        raise GatewayFailed("the gateway's answer is no JSON") from None


def _error(body: object) -> Exception:
    if not isinstance(body, dict):
        return GatewayFailed("the gateway's answer is no error")
    return raised(body) or GatewayFailed(f"{body.get('error')}: {body.get('message')}")
