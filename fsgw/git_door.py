"""The git door of a gateway: git's protocol over HTTP (gitprotocol-http(5)).

    /BRANCH.git                 one branch, with its named snapshots as tags
    /BRANCH/any/directory.git   the history of a directory alone; read-only
    /all.git                    every branch

A client sees the branches that the exports let it see, and writes those they let it write. What
is asked of the store's state is asked on the loop's thread; packs are made and taken in on others.
"""

from __future__ import annotations

import logging
import socket
import tempfile
import zlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import unquote_to_bytes

import trio

from fsgw.config import GitConfig
from fsgw.exports import Exports
from fsgw.git import sealed
from fsgw.http_server import HttpServer
from fsgw.logs import event
from fsgw.plain import Plain
from fsgw.running import Runner
from gitdoor import receiving, upload
from gitdoor.exporting import named
from gitdoor.graph import History, Node
from gitdoor.receiving import Rules
from gitdoor.refs import Tip, branch_names, tips
from gitdoor.serving import Repository
from gitdoor.subtree import Split
from gitdoor.wire import BadRequest, line
from nfs.export import Rule, Shown
from store import errors
from store.gitrows import GitRows
from store.store import Store

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

ALL = "all"
_NODE_CACHE_BYTES = 32 * 1024 * 1024
# What a client asks for when it fetches: ids, some 50 bytes each.
_REQUEST_BYTES_MAX = 64 * 1024 * 1024
# Of an answer, made at a time and held for the client.
_PIECE_BYTES = 256 * 1024
# Threads that make and take packs, each as fast as one processor goes.
_PACKS_MAX = 4
_BACKLOG = 128
_KNOWN_MAX = 100_000
_SPLITS_MAX = 64
_PRIVILEGED = 1024
_SERVICES = ("git-upload-pack", "git-receive-pack")


class _Refused(Exception):
    """A request that is answered with an HTTP status."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


class _Asked(NamedTuple):
    """What a request is about: a branch (None: all), a directory in it, and the client."""

    branch: str | None
    path: tuple[bytes, ...]
    address: str
    port: int


def listeners(config: GitConfig) -> list[socket.socket]:
    """Sockets that listen where the configuration says; all on one port. Raises OSError."""
    found: list[socket.socket] = []
    port = config.port
    try:
        for address in config.listen:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            sock = socket.socket(family, socket.SOCK_STREAM)
            found.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((address, port))
            sock.setblocking(False)
            sock.listen(_BACKLOG)
            port = port or sock.getsockname()[1]
    except BaseException:
        for sock in found:
            sock.close()
        raise
    return found


class GitDoor:
    """See the module; an ASGI application and the server that it is served by."""

    def __init__(self, store: Store, exports: Exports, runner: Runner, config: GitConfig) -> None:
        """Raises OSError where it cannot listen."""
        self._store, self._exports, self._runner = store, exports, runner
        self._config = config
        sockets = listeners(config)
        self.bound: Plain = {"port": sockets[0].getsockname()[1]} if sockets else {}
        self.server = HttpServer(self, sockets, "git", config.connections_max)
        self._threads = trio.CapacityLimiter(_PACKS_MAX)
        self._known: dict[bytes, Node] = {}
        self._splits: OrderedDict[tuple[bytes, ...], Split] = OrderedDict()
        self._splitting = trio.Lock()
        self._collections = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        answer = _Answer(send)
        try:
            await self._answered(scope, receive, answer)
        except _Refused as error:
            await answer.failed(error.status, str(error))
        except errors.StoreError as error:
            log.warning("%s %s: %s", scope["method"], scope["path"], error)
            await answer.failed(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            await answer.failed(HTTPStatus.INTERNAL_SERVER_ERROR, "the gateway failed")

    async def _answered(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        asked, rest = self._asked(scope)
        version = _version(scope)
        match scope["method"], rest:
            case "GET" | "HEAD", "info/refs":
                service = _service(scope["query_string"])
                if service not in _SERVICES:
                    raise _Refused(HTTPStatus.FORBIDDEN, "git is to be spoken with, not copied")
                await self._refs(asked, service, version, answer)
            case "POST", "git-upload-pack":
                data = await _body(scope, receive)
                async with _until_gone(receive):
                    await self._upload(asked, data, version, answer)
            case "POST", "git-receive-pack":
                await self._receive(asked, scope, receive, answer)
            case _:
                raise _Refused(HTTPStatus.NOT_FOUND, "no such repository")

    # --- which repository ---------------------------------------------------------------------

    def _asked(self, scope: Scope) -> tuple[_Asked, str]:
        raw = unquote_to_bytes(scope["raw_path"])
        whole, found, rest = raw.rpartition(b".git/")
        address, port = (scope["client"] or ("", 0))[:2]
        names = [name for name in whole.split(b"/") if name]
        if not found or not names or any(name in (b".", b"..") for name in names):
            raise _Refused(HTTPStatus.NOT_FOUND, "no such repository")
        first = names[0].decode("utf-8", "surrogateescape")
        branch = None if first == ALL and len(names) == 1 else first
        asked = _Asked(branch, tuple(names[1:]), address, port)
        if branch is not None and (
            self._rule(asked, branch) is None
            or branch not in {name for name, _ in self._store.history.heads()}
        ):
            raise _Refused(HTTPStatus.NOT_FOUND, "no such repository")
        if branch is None and not self._exports.may_mount_any(address):
            raise _Refused(HTTPStatus.NOT_FOUND, "no such repository")
        return asked, rest.decode("latin-1")

    def _rule(self, asked: _Asked, branch: str) -> Rule | None:
        """What the client may do with a branch by way of git; None: not even see it."""
        rule = self._exports.rule(branch, asked.address)
        if rule is None or rule.git is Shown.OFF:
            return None
        return None if rule.secure and asked.port >= _PRIVILEGED else rule

    def _tips(self, asked: _Asked) -> tuple[list[Tip], bool]:
        """The refs that the client may see, and whether these are all that there are."""
        if asked.branch is not None:
            every = all(self._rule(asked, name) for name, _ in self._store.history.heads())
            return tips(self._store, asked.branch), every
        names = branch_names(self._store)
        seen = {full: name for full, name in names.items() if self._rule(asked, name) is not None}
        heads = {self._store.history.head(name).branch for name in seen.values()}
        snapshots = self._store.history.snapshots
        found = [
            tip
            for tip in tips(self._store)
            if (snapshots[tip.snapshot].branch in heads if tip.snapshot else tip.name in seen)
        ]
        return found, len(seen) == len(names)

    @asynccontextmanager
    async def _repository(self, asked: _Asked) -> AsyncIterator[Repository]:
        """The repository as it is now, for other threads; no garbage is collected meanwhile."""
        async with self._runner.holding():
            await self._runner.drive(sealed(self._store))
            found, whole = self._tips(asked)
            commits = [tip.commit for tip in found]
            await self._runner.drive(named(self._store, commits, _pass))
            view = self._store.engine.views.open(_NODE_CACHE_BYTES)
            try:
                rows = GitRows(self._store.engine, view.reader)
                history = History(self._store.engine, view, rows, self._cache())
                split = await self._split(asked, history, found)
                make = partial(Repository, history, found, split, whole)
                yield await self._beside(make)
            finally:
                view.close()

    def _cache(self) -> dict[bytes, Node]:
        """Commits that were read before; what was collected since is forgotten with all others."""
        if self._collections != self._store.collections or len(self._known) > _KNOWN_MAX:
            self._collections = self._store.collections
            self._known = {}
            self._splits.clear()
        return self._known

    async def _split(self, asked: _Asked, history: History, found: list[Tip]) -> Split | None:
        if not asked.path:
            return None
        records = [history.rows.commit(tip.commit) for tip in found]
        ids = [record.id for record in records if record is not None]
        async with self._splitting:
            split = self._splits.get(asked.path)
            if split is None:
                split = await self._beside(partial(Split, history, list(asked.path), ids))
                self._splits[asked.path] = split
                if len(self._splits) > _SPLITS_MAX:
                    self._splits.popitem(last=False)
            else:
                await self._beside(partial(split.extend, history, ids))
        if not any(oid in split.tips for oid in ids):
            raise _Refused(HTTPStatus.NOT_FOUND, "no such directory in the branch")
        return split

    async def _beside(self, function: Callable[[], Any]) -> Any:
        return await trio.to_thread.run_sync(function, limiter=self._threads)

    # --- services -----------------------------------------------------------------------------

    async def _refs(self, asked: _Asked, service: str, version: int, answer: _Answer) -> None:
        if service == "git-receive-pack":
            self._check_push(asked)
            version = 0
        async with self._repository(asked) as repository:
            advertise: Callable[[], bytes] = partial(upload.advertisement, repository, version)
            if service == "git-receive-pack":
                advertise = partial(receiving.advertisement, repository)
            refs = await self._beside(advertise)
        head = b"" if version == 2 else upload.service_header(service.encode())
        await answer.piece(head + refs, f"application/x-{service}-advertisement")
        await answer.end()

    async def _upload(self, asked: _Asked, data: bytes, version: int, answer: _Answer) -> None:
        async with self._repository(asked) as repository:
            pieces = upload.answer(repository, data, version)
            while piece := await self._beside(partial(_taken, pieces)):
                await answer.piece(piece, "application/x-git-upload-pack-result")
        await answer.end("application/x-git-upload-pack-result")

    def _check_push(self, asked: _Asked) -> None:
        if self._config.push == "off":
            raise _Refused(HTTPStatus.FORBIDDEN, "pushing is off: git.push in the configuration")
        if asked.path:
            raise _Refused(HTTPStatus.FORBIDDEN, "a directory's history cannot be pushed to")
        if asked.branch is not None and not self._may_write(asked, asked.branch):
            raise _Refused(HTTPStatus.FORBIDDEN, "the branch is exported read-only")

    def _may_write(self, asked: _Asked, branch: str) -> bool:
        rule = self._rule(asked, branch)
        return rule is not None and not rule.read_only

    async def _receive(
        self, asked: _Asked, scope: Scope, receive: Receive, answer: _Answer
    ) -> None:
        self._check_push(asked)
        rules = Rules(asked.branch, partial(self._may_write, asked), self._config.push == "forced")
        with tempfile.TemporaryFile(prefix="fsgw-push-") as file:
            await _spooled(scope, receive, file, self._config.push_bytes_max)
            try:
                async with self._runner.holding():
                    await self._runner.drive(sealed(self._store))
                    steps = receiving.receive(self._store, file, rules)
                    report: bytes = await self._runner.driven(steps)
            except BadRequest as error:
                report = line(b"ERR " + str(error).encode())
        event(log, "git", push=asked.branch or ALL, client=asked.address)
        await answer.piece(report, "application/x-git-receive-pack-result")
        await answer.end()


def _pass(count: int) -> None:
    """Nobody hears of progress."""


def _taken(pieces: Iterator[bytes]) -> bytes:
    """The next pieces, some at a time; nothing after the last."""
    found: list[bytes] = []
    length = 0
    for piece in pieces:
        found.append(piece)
        length += len(piece)
        if length >= _PIECE_BYTES:
            break
    return b"".join(found)


# --- HTTP ---------------------------------------------------------------------------------------


def _version(scope: Scope) -> int:
    """The version of git's protocol that a client asks for (gitprotocol-http(5))."""
    words = _header(scope, b"git-protocol").replace(b",", b":").split(b":")
    found = [word for word in words if word in (b"version=1", b"version=2")]
    return max((int(word[-1:]) for word in found), default=0)


def _header(scope: Scope, name: bytes) -> bytes:
    return next((bytes(value) for key, value in scope["headers"] if key == name), b"")


def _service(query: bytes) -> str:
    for part in query.split(b"&"):
        name, _, value = part.partition(b"=")
        if name == b"service":
            return unquote_to_bytes(value).decode("latin-1")
    return ""


async def _received(scope: Scope, receive: Receive, bytes_max: int) -> AsyncIterator[bytes]:
    """A request's body in pieces, unpacked where it is compressed."""
    encoding = _header(scope, b"content-encoding")
    if encoding not in (b"", b"identity", b"gzip", b"x-gzip"):
        raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "an unknown content encoding")
    packed = zlib.decompressobj(31) if encoding.endswith(b"gzip") else None
    length, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Refused(HTTPStatus.BAD_REQUEST, "the client has gone")
        more = message.get("more_body", False)
        data: bytes = message.get("body", b"")
        full = False
        while data or full:
            try:
                piece = packed.decompress(data, _PIECE_BYTES) if packed is not None else data
            except zlib.error:
                raise _Refused(HTTPStatus.BAD_REQUEST, "a body that is no gzip") from None
            data = packed.unconsumed_tail if packed is not None else b""
            # What did not fit into the piece may be inside, with all of the input taken.
            full = packed is not None and len(piece) == _PIECE_BYTES
            length += len(piece)
            if length > bytes_max:
                raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {bytes_max} bytes")
            yield piece
    if packed is not None and not packed.eof:
        raise _Refused(HTTPStatus.BAD_REQUEST, "a body that ends too early")


async def _body(scope: Scope, receive: Receive) -> bytes:
    return b"".join([piece async for piece in _received(scope, receive, _REQUEST_BYTES_MAX)])


async def _spooled(scope: Scope, receive: Receive, file: BinaryIO, bytes_max: int) -> None:
    """Keep a request's body in a file."""
    held = bytearray()
    async for piece in _received(scope, receive, bytes_max):
        held += piece
        if len(held) >= _PIECE_BYTES:
            await trio.to_thread.run_sync(file.write, bytes(held))
            held.clear()
    await trio.to_thread.run_sync(file.write, bytes(held))
    await trio.to_thread.run_sync(file.flush)


@asynccontextmanager
async def _until_gone(receive: Receive) -> AsyncIterator[None]:
    """A section that ends early when the client hangs up."""

    async def watch(scope: trio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.cancel()

    failed: Exception | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch, nursery.cancel_scope)
        try:
            yield
        except Exception as error:  # noqa: BLE001 - raised again below, as it is
            failed = error
        nursery.cancel_scope.cancel()
    if failed is not None:
        raise failed


class _Answer:
    """One response; it begins with the first thing that is sent."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._begun = False

    async def _begin(self, status: HTTPStatus, kind: str) -> None:
        self._begun = True
        headers = [
            (b"content-type", kind.encode()),
            (b"cache-control", b"no-cache, max-age=0, must-revalidate"),
            (b"expires", b"Fri, 01 Jan 1980 00:00:00 GMT"),
            (b"pragma", b"no-cache"),
        ]
        await self._send({"type": "http.response.start", "status": int(status), "headers": headers})

    async def piece(self, data: bytes, kind: str) -> None:
        """Send some bytes."""
        if not self._begun:
            await self._begin(HTTPStatus.OK, kind)
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, kind: str = "text/plain") -> None:
        """The end."""
        if not self._begun:
            await self._begin(HTTPStatus.OK, kind)
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def failed(self, status: HTTPStatus, text: str) -> None:
        """An error; in the middle of an answer the connection ends without its end."""
        if self._begun:
            raise ConnectionError(text)
        await self._begin(status, "text/plain; charset=utf-8")
        body = f"{text}\n".encode("utf-8", "surrogateescape")
        await self._send({"type": "http.response.body", "body": body, "more_body": False})
