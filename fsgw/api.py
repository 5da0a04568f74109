"""The gateway's HTTP API: requests in, operations out of the table, answers as JSON.

Everything is below `/v1`; `GET /v1` describes it. Arguments are in the path, in the query of GET
and DELETE (text as it is, all else as JSON), and in the JSON object that is the body of POST and
PATCH. Paths that are no UTF-8 go through: as their bytes in URLs, as `os.fsdecode` has them in
JSON.

Rows come as JSON objects, one a line; a line with `error` ends them early. A task answers with
lines as well: {"progress": {"done", "total"}} if asked for, then {"result"}, or an error.
An error that is known before the first line is an HTTP status, with the same object as body. A
client that hangs up ends what it asked for, between two steps.

An application of its own, so that others, such as a web page, can be mounted beside it.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import aclosing
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes

import trio
from starlette.applications import Starlette
from starlette.routing import Mount

from fsgw import failures
from fsgw.failures import HttpError
from fsgw.operations import (
    OPERATIONS,
    PREFIX,
    PROGRESS,
    BadArguments,
    Kind,
    Operation,
    checked,
    describe,
)
from fsgw.plain import Plain
from fsgw.running import Runner
from store.errors import StoreError

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

QUERY_ARGUMENTS_MAX = 32
_PASSED_OVER_BYTES_MAX = 16 * 1024 * 1024

_JSON, _LINES, _BYTES = "application/json", "application/x-ndjson", "application/octet-stream"


def application(runner: Runner, request_bytes_max: int) -> Starlette:
    """The ASGI application of a gateway's API."""
    return Starlette(routes=[Mount("/", app=Api(runner, request_bytes_max))])


class Api:
    """See the module; an ASGI application."""

    def __init__(self, runner: Runner, request_bytes_max: int) -> None:
        self._runner, self._request_bytes_max = runner, request_bytes_max
        self._routes = [(_segments(PREFIX + op.path), op) for op in OPERATIONS]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        answer = _Answer(send)
        try:
            await self._answered(scope, receive, answer)
        except _Gone:
            log.debug("%s %s: the client has gone", scope["method"], scope["path"])
        except Exception as error:  # whatever it is, the client gets to know
            status, body = failures.answer(error)
            if status is HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, StoreError):
                log.exception("%s %s failed", scope["method"], scope["path"])
            await answer.failed(status, body)

    async def _answered(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        path = scope["raw_path"]
        if scope["method"] == "GET" and path.rstrip(b"/") == PREFIX.encode():
            await answer.whole(describe())
            return
        operation, values = self._routed(scope["method"], path)
        query = _query(operation, scope["query_string"])
        progress = query.pop(PROGRESS.name, False)
        if operation.kind is not Kind.TASK and progress:
            raise BadArguments(f"{operation.name} reports no progress")
        if operation.method in ("POST", "PATCH"):
            if query:
                raise BadArguments(f"arguments of a {operation.method} are in its body")
            given = await self._body(receive)
        else:
            given = query
        if twice := sorted(given.keys() & values.keys()):
            raise BadArguments(f"{twice[0]!r} is in the path already")
        arguments = checked(operation, {**values, **given})
        failed: Exception | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_until_gone, receive, nursery.cancel_scope)
            try:
                await self._carried_out(operation, arguments, bool(progress), answer)
            except Exception as error:  # noqa: BLE001 - raised again below, as it is
                failed = error
            nursery.cancel_scope.cancel()
        if failed is not None:
            raise failed

    def _routed(self, method: str, path: bytes) -> tuple[Operation, Plain]:
        """The operation that a request names, and the arguments in its path."""
        parts = [os.fsdecode(unquote_to_bytes(part)) for part in path.split(b"/")]
        matching = [op for segments, op in self._routes if _matches(segments, parts)]
        if not matching:
            raise HttpError(HTTPStatus.NOT_FOUND, "UnknownPath", "no operation has this path")
        for segments, operation in self._routes:
            if operation.method == method and operation in matching:
                named = zip(segments, parts, strict=True)
                return operation, {name[1:-1]: part for name, part in named if name[:1] == "{"}
        allowed = ", ".join(sorted({operation.method for operation in matching}))
        raise HttpError(
            HTTPStatus.METHOD_NOT_ALLOWED, "MethodNotAllowed", f"this path has {allowed}"
        )

    async def _body(self, receive: Receive) -> Plain:
        """The arguments in a request's body."""
        limit = self._request_bytes_max
        body, length, more = bytearray(), 0, True
        # Of one that is too long the rest is passed over, to some extent: a client hears of it
        # only once it has sent all.
        while more and length <= limit + _PASSED_OVER_BYTES_MAX:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _Gone
            length += len(message.get("body", b""))
            more = message.get("more_body", False)
            if length <= limit:
                body += message.get("body", b"")
        if length > limit:
            text = f"a request has {limit} bytes at most"
            raise HttpError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "TooLarge", text)
        found = _parsed(bytes(body)) if body else {}
        if not isinstance(found, dict):
            raise BadArguments("the body of a request is a JSON object")
        return found

    async def _carried_out(
        self, operation: Operation, arguments: Plain, progress: bool, answer: _Answer
    ) -> None:
        runner = self._runner
        match operation.kind:
            case Kind.ONE:
                await answer.whole(await runner.one(operation, arguments, None))
            case Kind.ROWS:
                async with aclosing(runner.rows(operation, arguments)) as batches:
                    async for rows in batches:
                        await answer.lines(rows)
                await answer.end(_LINES)
            case Kind.BYTES:
                async with aclosing(runner.content(operation, arguments)) as pieces:
                    async for piece in pieces:
                        await answer.piece(piece, _BYTES)
                await answer.end(_BYTES)
            case Kind.TASK if progress:
                await self._reported(operation, arguments, answer)
            case Kind.TASK:
                await answer.lines([{"result": await runner.one(operation, arguments, None)}])
                await answer.end(_LINES)

    async def _reported(self, operation: Operation, arguments: Plain, answer: _Answer) -> None:
        """A task, with lines of progress while it is under way."""
        told, tells = trio.open_memory_channel[Plain](1)

        def report(done: int, total: int | None) -> None:
            try:
                told.send_nowait({"progress": {"done": done, "total": total}})
            except trio.WouldBlock:
                pass  # the client is slow to read: there will be more

        async def work() -> Any:
            with told:
                return await self._runner.one(operation, arguments, report)

        result: list[Any] = []
        failed: list[Exception] = []

        async def keep() -> None:
            try:
                result.append(await work())
            except Exception as error:  # noqa: BLE001 - raised again below
                failed.append(error)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep)
            async for line in tells:
                await answer.lines([line])
        if failed:
            raise failed[0]
        await answer.lines([{"result": result[0]}])
        await answer.end(_LINES)


class _Gone(Exception):
    """The client has hung up."""


class _Answer:
    """One response; it begins with the first thing that is sent."""

    def __init__(self, send: Send) -> None:
        self._to_client = send
        self._began = ""

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        try:
            await self._to_client(message)
        except (trio.BrokenResourceError, trio.BusyResourceError, trio.ClosedResourceError):
            raise _Gone from None  # a connection that is being closed is busy with that

    async def _begin(self, status: HTTPStatus, kind: str, *more: tuple[bytes, bytes]) -> None:
        if not self._began:
            headers = [(b"content-type", kind.encode()), (b"cache-control", b"no-store"), *more]
            start = {"type": "http.response.start", "status": int(status), "headers": headers}
            self._began = kind
            await self._send(start)

    async def piece(self, data: bytes, kind: str) -> None:
        """Send some bytes."""
        await self._begin(HTTPStatus.OK, kind)
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def lines(self, rows: list[Plain]) -> None:
        """Send rows as lines."""
        text = "".join(f"{json.dumps(row)}\n" for row in rows)
        await self.piece(text.encode(), _LINES)

    async def end(self, kind: str, data: bytes = b"") -> None:
        """End the response, be it that nothing was sent before."""
        await self._begin(HTTPStatus.OK, kind)
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

    async def whole(self, body: Any, status: HTTPStatus = HTTPStatus.OK) -> None:
        """Send one JSON value as the response."""
        data = json.dumps(body).encode() + b"\n"
        await self._begin(status, _JSON, (b"content-length", b"%d" % len(data)))
        await self.end(_JSON, data)

    async def failed(self, status: HTTPStatus, body: Plain) -> None:
        """Say what went wrong, in the way that is still left."""
        if not self._began:
            await self.whole(body, status)
        elif self._began == _LINES:
            await self.lines([body])
            await self.end(_LINES)
        else:
            raise ConnectionAbortedError(f"an answer broke off: {body['message']}")


async def _until_gone(receive: Receive, scope: trio.CancelScope) -> None:
    """Cancel when the client has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def _segments(path: str) -> list[str]:
    return path.split("/")


def _matches(segments: list[str], parts: list[str]) -> bool:
    return len(segments) == len(parts) and all(
        segment == part or segment[:1] == "{" for segment, part in zip(segments, parts, strict=True)
    )


def _query(operation: Operation, query: bytes) -> Plain:
    """The arguments in a URL: text as it is, and all else as JSON."""
    kinds = {argument.name: argument.kind for argument in (*operation.arguments, PROGRESS)}
    found: Plain = {}
    items = [item for item in query.split(b"&") if item]
    if len(items) > QUERY_ARGUMENTS_MAX:
        raise BadArguments("too many arguments")
    for item in items:
        raw_name, _, raw = item.replace(b"+", b" ").partition(b"=")
        name, text = (os.fsdecode(unquote_to_bytes(part)) for part in (raw_name, raw))
        if name in found:
            raise BadArguments(f"{name!r} is given twice")
        found[name] = text if kinds.get(name, str) is str else _parsed(text)
    if type(found.get(PROGRESS.name, False)) is not bool:
        raise BadArguments("'progress' is true or false")
    return found


def _parsed(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise BadArguments("not JSON") from None
