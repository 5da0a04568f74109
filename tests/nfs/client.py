"""A client of NFS version 3 that sends the calls it is told to, and says what came back.

It has no cache and no opinion: what real clients make of the answers is for the tests to know.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

from nfs import nfs3
from nfs import nfs3_messages as m
from nfs.codec import codec
from nfs.nfs3_types import (
    createmode3,
    diropargs3,
    ftype3,
    nfsstat3,
    nfstime3,
    sattr3,
    specdata3,
    stable_how,
    time_how,
)
from nfs.peer import Peer
from nfs.xdr import Buffer
from tests.nfs.gateway import Gateway
from tests.nfs.messages import Refusal, Reply, auth_sys, call_message, read_reply

_ROWS = {row.name: row for row in nfs3.ROWS}
_ARGUMENTS = {row.name: codec(row.arguments) for row in nfs3.ROWS}
_RESULTS = {row.name: codec(nfs3.RESULTS[row.number]) for row in nfs3.ROWS}
_xids = itertools.count(0x1000_0000)

NOW = time_how.SET_TO_SERVER_TIME, None
ALL_ACCESS = 0x3F


class Answer(NamedTuple):
    """A procedure's result: the status, and what belongs to it."""

    status: int
    value: Any

    def ok(self) -> Any:
        """The result of a call that must have succeeded."""
        assert self.status == nfsstat3.OK, nfsstat3(self.status).name
        return self.value


def at(seconds: int, nseconds: int = 0) -> tuple[int, nfstime3]:
    """A time that a client sets."""
    return time_how.SET_TO_CLIENT_TIME, nfstime3(seconds, nseconds)


def sattr(
    *,
    mode: int | None = None,
    uid: int | None = None,
    gid: int | None = None,
    size: int | None = None,
    atime: tuple[int, Any] = (time_how.DONT_CHANGE, None),
    mtime: tuple[int, Any] = (time_how.DONT_CHANGE, None),
) -> sattr3:
    """Attributes to set."""
    return sattr3(mode, uid, gid, size, atime, mtime)


class Calls(ABC):
    """The procedures as one user calls them; how a call gets there is for a subclass to say."""

    credential: bytes

    @abstractmethod
    def exchange(self, message: bytes) -> Reply | Refusal:
        """Send a call and have its one reply."""

    def message(self, name: str, *arguments: Any, xid: int | None = None) -> bytes:
        """A call of the procedure with that name."""
        row = _ROWS[name]
        return call_message(
            next(_xids) if xid is None else xid,
            100003,
            3,
            row.number,
            _ARGUMENTS[name].encode(row.arguments(*arguments)),
            credential=self.credential,
        )

    def call(self, name: str, *arguments: Any) -> Answer:
        """Call a procedure that must be answered at once."""
        return answered(name, self.exchange(self.message(name, *arguments)))

    # --- the procedures, by number ------------------------------------------------------------

    def getattr(self, file: bytes) -> Answer:
        return self.call("GETATTR", file)

    def setattr(self, file: bytes, wanted: sattr3, guard: nfstime3 | None = None) -> Answer:
        return self.call("SETATTR", file, wanted, guard)

    def lookup(self, directory: bytes, name: bytes) -> Answer:
        return self.call("LOOKUP", diropargs3(directory, name))

    def access(self, file: bytes, wanted: int = ALL_ACCESS) -> Answer:
        return self.call("ACCESS", file, wanted)

    def readlink(self, link: bytes) -> Answer:
        return self.call("READLINK", link)

    def read(self, file: bytes, offset: int = 0, count: int = 1 << 20) -> Answer:
        return self.call("READ", file, offset, count)

    def write(
        self,
        file: bytes,
        offset: int,
        data: bytes,
        stable: int = stable_how.UNSTABLE,
        count: int | None = None,
    ) -> Answer:
        length = len(data) if count is None else count
        return self.call("WRITE", file, offset, length, stable, data)

    def create(
        self,
        directory: bytes,
        name: bytes,
        wanted: sattr3 | None = None,
        mode: int = createmode3.UNCHECKED,
    ) -> Answer:
        how = mode, wanted or sattr(mode=0o644)
        return self.call("CREATE", diropargs3(directory, name), how)

    def create_exclusive(self, directory: bytes, name: bytes, verifier: bytes) -> Answer:
        return self.call("CREATE", diropargs3(directory, name), (createmode3.EXCLUSIVE, verifier))

    def mkdir(self, directory: bytes, name: bytes, wanted: sattr3 | None = None) -> Answer:
        return self.call("MKDIR", diropargs3(directory, name), wanted or sattr(mode=0o755))

    def symlink(
        self, directory: bytes, name: bytes, target: bytes, wanted: sattr3 | None = None
    ) -> Answer:
        data = m.symlinkdata3(wanted or sattr(), target)
        return self.call("SYMLINK", diropargs3(directory, name), data)

    def mknod(
        self,
        directory: bytes,
        name: bytes,
        kind: int = ftype3.FIFO,
        wanted: sattr3 | None = None,
        device: tuple[int, int] = (0, 0),
    ) -> Answer:
        wanted = wanted or sattr(mode=0o600)
        what: Any = None
        if kind in (ftype3.CHR, ftype3.BLK):
            what = m.devicedata3(wanted, specdata3(*device))
        elif kind in (ftype3.SOCK, ftype3.FIFO):
            what = wanted
        return self.call("MKNOD", diropargs3(directory, name), (kind, what))

    def remove(self, directory: bytes, name: bytes) -> Answer:
        return self.call("REMOVE", diropargs3(directory, name))

    def rmdir(self, directory: bytes, name: bytes) -> Answer:
        return self.call("RMDIR", diropargs3(directory, name))

    def rename(self, source: bytes, name: bytes, target: bytes, new_name: bytes) -> Answer:
        return self.call("RENAME", diropargs3(source, name), diropargs3(target, new_name))

    def link(self, file: bytes, directory: bytes, name: bytes) -> Answer:
        return self.call("LINK", file, diropargs3(directory, name))

    def readdir(
        self, directory: bytes, cookie: int = 0, count: int = 4096, verifier: bytes = bytes(8)
    ) -> Answer:
        return self.call("READDIR", directory, cookie, verifier, count)

    def readdirplus(
        self,
        directory: bytes,
        cookie: int = 0,
        dircount: int = 4096,
        maxcount: int = 32768,
        verifier: bytes = bytes(8),
    ) -> Answer:
        return self.call("READDIRPLUS", directory, cookie, verifier, dircount, maxcount)

    def fsstat(self, root: bytes) -> Answer:
        return self.call("FSSTAT", root)

    def fsinfo(self, root: bytes) -> Answer:
        return self.call("FSINFO", root)

    def pathconf(self, root: bytes) -> Answer:
        return self.call("PATHCONF", root)

    def commit(self, file: bytes, offset: int = 0, count: int = 0) -> Answer:
        return self.call("COMMIT", file, offset, count)

    # --- what tests often want ----------------------------------------------------------------

    def find(self, directory: bytes, *names: bytes) -> bytes:
        """The handle at the end of a path."""
        for name in names:
            directory = self.lookup(directory, name).ok().object
        return directory

    def make(self, directory: bytes, name: bytes, data: bytes = b"", mode: int = 0o644) -> bytes:
        """A new file's handle."""
        file: bytes = self.create(directory, name, sattr(mode=mode), createmode3.GUARDED).ok().obj
        if data:
            self.write(file, 0, data).ok()
        return file

    def names(self, directory: bytes, count: int = 4096) -> list[bytes]:
        """All names in a directory, in the order of the listing."""
        names: list[bytes] = []
        cookie = 0
        while True:
            page = self.readdir(directory, cookie, count).ok().reply
            names += [entry.name for entry in page.entries]
            if page.eof:
                return names
            cookie = page.entries[-1].cookie


class Client(Calls):
    """One user on one connection of a client."""

    def __init__(
        self,
        gateway: Gateway,
        uid: int = 0,
        gid: int = 0,
        groups: tuple[int, ...] = (),
        *,
        address: str = "10.0.0.1",
        port: int = 700,
    ) -> None:
        self.gateway = gateway
        self.credential = auth_sys(uid, gid, groups)
        self._address = address
        self.reconnect(port)

    def reconnect(self, port: int = 701) -> None:
        """Go on over another connection."""
        self._peer, self._run = Peer(self._address, port), self.gateway.run

    @property
    def peer(self) -> Peer:
        """The connection; a gateway that started again has another one."""
        if self._run != self.gateway.run:
            self.reconnect(self._peer.port)
        return self._peer

    def send(self, message: bytes) -> list[bytes]:
        """Send a call; the replies that it got, which are to grow by more if it has to wait."""
        replies: list[bytes] = []

        def sent(parts: list[Buffer]) -> None:
            replies.append(b"".join(parts))

        self.gateway.dispatcher.dispatch(memoryview(message), self.peer, sent)
        return replies

    def exchange(self, message: bytes) -> Reply | Refusal:
        """Send a call and have its one reply."""
        (reply,) = self.send(message)
        answer = read_reply(reply)
        assert reply[:4] == message[:4], "another call's xid"
        return answer

    def mount(self, path: bytes = b"/main") -> bytes:
        """The handle that a mount of the path gives."""
        exported, ino = self.gateway.realm.resolve(path, self.peer)
        return self.gateway.door.handle(exported, ino)


def answered(name: str, reply: Reply | Refusal) -> Answer:
    """What the reply to a procedure says."""
    assert isinstance(reply, Reply), reply
    return Answer(*_RESULTS[name].decode(reply.results))
