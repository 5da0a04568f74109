"""Hostile clients: calls made up, spoiled and cut, and a judge of whatever comes back.

All random choices come from one generator, so that a seed repeats a run. `scripts/fuzz-nfs` runs
this for as long as one likes, `test_fuzz` for some seconds.
"""

from __future__ import annotations

import logging
import random
import struct
from collections.abc import Callable
from typing import Any

from nfs import mount3, nfs3, rpcbind
from nfs.dispatch import Dispatcher
from nfs.export import Rule, Squash
from nfs.mounts import MountTable
from nfs.nfs3_messages import devicedata3, symlinkdata3
from nfs.nfs3_types import diropargs3, ftype3, nfstime3, specdata3
from nfs.peer import Peer
from nfs.portmap import Registry
from nfs.record import RecordReader, RecordTooLong
from nfs.rpc import BadMessage
from nfs.xdr import Buffer
from tests.nfs.client import Client, answered, at, sattr
from tests.nfs.gateway import Gateway
from tests.nfs.messages import Refusal, Reply, auth_sys, call_message, counted, read_reply

BAD, GOOD, HIDDEN = "10.6.6.6", "10.0.0.1", "hidden"
RECORD_BYTES_MAX = (1 << 20) + (16 << 10)

# Numbers that bounds, signs and lengths trip over.
_WORDS = [0, 1, 2, 3, 4, 7, 8, 63, 64, 65, 255, 256, 4095, 4096, 1 << 16, 1 << 20, (1 << 20) + 1,
          (1 << 31) - 1, 1 << 31, (1 << 32) - 4, (1 << 32) - 1]  # fmt: skip
_NAMES = [b"f", b"d", b"l", b"g", b"new", b".", b"..", b"", b"a/b", b"\0", b".snapshots", b"s",
          b"n" * 255, b"n" * 256, b"\xff\xfe", b"x" * 5000]  # fmt: skip


class Escaped(AssertionError):
    """Something that must not happen, with the message that made it."""


class Calls:
    """Valid calls of every procedure on a small tree, whose names and handles come and go."""

    def __init__(self, gw: Gateway, rng: random.Random) -> None:
        self.rng = rng
        self._client = Client(gw, address=BAD)
        self.top = self._client.mount()
        self.handles: list[bytes] = [self.top]
        self._xid = rng.getrandbits(31)

    def handle(self) -> bytes:
        """A handle: mostly one that was given, else one that was not."""
        rng = self.rng
        kind = rng.random()
        if kind < 0.9:
            return self.top if kind < 0.4 else rng.choice(self.handles)
        spoiled = bytearray(rng.choice(self.handles))
        spoiled[rng.randrange(len(spoiled))] ^= 1 << rng.randrange(8)
        return rng.choice([bytes(spoiled), b"", rng.randbytes(60), rng.randbytes(64)])

    def _number(self, bits: int) -> int:
        rng = self.rng
        near = rng.choice(_WORDS) << rng.choice([0, 0, 32 if bits == 64 else 0])
        return rng.choice([near, rng.getrandbits(bits), rng.randrange(20_000)]) % (1 << bits)

    def _sattr(self) -> Any:
        rng = self.rng

        def maybe(value: int) -> int | None:
            return value if rng.random() < 0.3 else None

        time = [(0, None), (1, None), at(self._number(32), self._number(32))]
        return sattr(
            mode=maybe(rng.getrandbits(12)),
            uid=maybe(self._number(32)),
            gid=maybe(self._number(32)),
            size=maybe(self._number(64)),
            atime=rng.choice(time),
            mtime=rng.choice(time),
        )

    def _where(self) -> diropargs3:
        return diropargs3(self.handle(), self.rng.choice(_NAMES))

    def _node(self) -> tuple[int, Any]:
        kind = self.rng.choice([*ftype3])
        if kind in (ftype3.CHR, ftype3.BLK):
            return kind, devicedata3(self._sattr(), specdata3(self._number(32), self._number(32)))
        return kind, self._sattr() if kind in (ftype3.SOCK, ftype3.FIFO) else None

    def _how(self) -> tuple[int, Any]:
        mode = self.rng.randrange(3)
        return mode, self.rng.randbytes(8) if mode == 2 else self._sattr()

    def _arguments(self, name: str) -> tuple[Any, ...]:
        rng, handle, where, number = self.rng, self.handle, self._where, self._number
        data = rng.randbytes(rng.choice([0, 1, 3, 100, 5000, 40_000]))
        guard = rng.choice([None, nfstime3(number(32), number(32))])
        verifier = rng.choice([bytes(8), rng.randbytes(8)])
        made: dict[str, Callable[[], tuple[Any, ...]]] = {
            "SETATTR": lambda: (handle(), self._sattr(), guard),
            "LOOKUP": lambda: (where(),),
            "ACCESS": lambda: (handle(), number(32)),
            "READ": lambda: (handle(), number(64), number(32)),
            "WRITE": lambda: (handle(), number(64), len(data), rng.randrange(3), data),
            "CREATE": lambda: (where(), self._how()),
            "MKDIR": lambda: (where(), self._sattr()),
            "SYMLINK": lambda: (where(), symlinkdata3(self._sattr(), rng.choice(_NAMES))),
            "MKNOD": lambda: (where(), self._node()),
            "REMOVE": lambda: (where(),),
            "RMDIR": lambda: (where(),),
            "RENAME": lambda: (where(), where()),
            "LINK": lambda: (handle(), where()),
            "READDIR": lambda: (handle(), number(64), verifier, number(32)),
            "READDIRPLUS": lambda: (handle(), number(64), verifier, number(32), number(32)),
            "COMMIT": lambda: (handle(), number(64), number(32)),
        }
        return made.get(name, lambda: (handle(),))()

    def nfs(self) -> tuple[str, bytes]:
        """A call of an NFS procedure, and its name."""
        rng = self.rng
        row = rng.choice(nfs3.ROWS)
        groups = tuple(rng.getrandbits(32) for _ in range(rng.choice([0, 0, 3, 16])))
        ids = rng.choice([0, 1000, (1 << 32) - 1]), rng.choice([0, 1000])
        self._client.credential = rng.choice([auth_sys(*ids, groups), bytes(8)])
        self._xid = self._xid + 1 & 0xFFFF_FFFF
        return row.name, self._client.message(row.name, *self._arguments(row.name), xid=self._xid)

    def other(self) -> bytes:
        """A call of another program: MOUNT, the port mapper, or none that there is."""
        rng = self.rng
        program = rng.choice([100005, 100005, 100000, 100003, 100021, 100227, rng.getrandbits(32)])
        path = rng.choice([b"/main", b"/hidden", b"/main@s", b"/main/d", b"/", b"", b"/main/../x",
                           b"x" * 1024, b"x" * 1025, rng.randbytes(9)])  # fmt: skip
        arguments = rng.choice([b"", counted(path), rng.randbytes(rng.choice([4, 16, 60]))])
        self._xid = self._xid + 1 & 0xFFFF_FFFF
        credential = rng.choice([auth_sys(), bytes(8)])
        version, procedure = rng.choice([1, 2, 3, 3, 4, 5]), rng.randrange(15)
        return call_message(
            self._xid, program, version, procedure, arguments, credential=credential
        )

    def learn(self, name: str, reply: Reply) -> None:
        """Keep a handle that a reply gave."""
        status, value = answered(name, reply)
        found = getattr(value, "obj" if name != "LOOKUP" else "object", None)
        if status == 0 and isinstance(found, bytes) and found not in self.handles:
            self.handles.append(found)
            if len(self.handles) > 40:
                del self.handles[self.rng.randrange(1, 40)]


def spoil(rng: random.Random, message: bytes, other: bytes) -> bytes:
    """A message with some of its bytes changed, cut, put in twice, or taken from another."""
    data = bytearray(message)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        if not data:
            break
        place = rng.randrange(len(data))
        word = place & ~3
        match rng.randrange(8):
            case 0:
                data[place] ^= 1 << rng.randrange(8)
            case 1:
                data[place] = rng.getrandbits(8)
            case 2 | 3:
                data[word : word + 4] = struct.pack("!I", rng.choice(_WORDS))
            case 4:
                del data[place:]
            case 5:
                data += rng.randbytes(rng.choice([1, 4, 100]))
            case 6:
                del data[word : word + 4 * rng.randrange(1, 5)]
            case _:
                start = rng.randrange(len(other)) & ~3
                data[word:] = other[start:]
    return bytes(data)


class Arena:
    """A gateway under attack in one process: one hostile client, and one that must not notice."""

    def __init__(self, gw: Gateway, rng: random.Random) -> None:
        self.gw, self.rng = gw, rng
        self._wire()
        gw.store.create_branch(HIDDEN)
        self._set_rules()
        self.calls = Calls(gw, rng)
        self.witness = Client(gw, address=GOOD)
        self._fill()
        self._before = self._seen()
        self.counts = {"calls": 0, "accepted": 0, "refused": 0, "closed": 0}

    def _wire(self) -> None:
        """Put the programs in front of the gateway as it now runs."""
        gw = self.gw
        self.dispatcher = Dispatcher(
            [
                nfs3.program(gw.door),
                mount3.program(gw.realm, MountTable()),
                rpcbind.program(Registry()),
            ],
            gw.waiting,
        )

    def _administer(self) -> None:
        """What an admin does meanwhile: history, rules, background work, a restart."""
        gw, rng = self.gw, self.rng
        names = [info.name for info in gw.store.snapshots("main")]
        match rng.randrange(8):
            case 0 | 1:
                gw.store.snapshot("main", f"s{rng.getrandbits(40)}")
            case 2 if names:
                gw.store.rollback("main", f"main@{rng.choice(names)}")
            case 3 if len(names) > 3:
                gw.store.delete_snapshot("main", rng.choice(names))
            case 4:
                self._set_rules()
            case 5:
                gw.store.settle()
            case 6:
                gw.store.gc()
            case 7:
                gw.restart()
                self._wire()
            case _:
                gw.store.flush()

    def _set_rules(self) -> None:
        exports = self.gw.exports
        rule = Rule(squash=self.rng.choice([*Squash]), snapshot_admin=self.rng.random() < 0.5)
        exports.set(rule, address=BAD)
        exports.set(None, branch=HIDDEN, address=BAD)

    def _fill(self) -> None:
        client, top = Client(self.gw), self.calls.top
        client.setattr(top, sattr(mode=0o777)).ok()
        file = client.make(top, b"f", b"data" * 1000, 0o666)
        client.mkdir(top, b"d", sattr(mode=0o777)).ok()
        client.symlink(top, b"l", b"f").ok()
        self.gw.store.snapshot("main", "s")
        snapshot = client.mount(b"/main@s")
        hidden = self.witness.mount(b"/hidden")
        self.witness.make(hidden, b"precious", b"untouched")
        more = [client.find(top, b".snapshots"), snapshot, client.find(snapshot, b"f"), hidden]
        self.calls.handles += [file, client.find(top, b"d"), client.find(top, b"l"), *more]

    def _seen(self) -> Any:
        """What the other client sees of what is its own."""
        hidden = self.witness.mount(b"/hidden")
        file = self.witness.lookup(hidden, b"precious").ok()
        data = self.witness.read(file.object).ok().data
        return self.witness.getattr(hidden).ok(), file, data, self.witness.names(hidden)

    def attack(self, messages: int) -> None:
        """Send so many messages over several connections, and judge all that comes of it."""
        errors = _Errors()
        logger = logging.getLogger()
        logger.addHandler(errors)
        try:
            while messages > 0:
                messages -= self._connection(min(messages, self.rng.choice([1, 20, 200])))
                if self._seen() != self._before:
                    raise Escaped("another client's files are not what they were")
                if self.rng.random() < 0.3:
                    self._administer()
        finally:
            logger.removeHandler(errors)
        if errors.records:
            raise Escaped(errors.records[0])

    def _connection(self, messages: int) -> int:
        """One connection's stream, in pieces of any size; says how many messages it had."""
        rng = self.rng
        reader, peer = RecordReader(RECORD_BYTES_MAX), Peer(BAD, rng.randrange(1, 65536))
        for number in range(1, messages + 1):
            stream, name = self._record()
            left = memoryview(stream)
            while left:
                room = reader.room()
                count = min(len(room), len(left), rng.choice([1 << 20, 1000, 7]))
                room[:count] = left[:count]
                reader.received(count)
                left = left[count:]
                if not self._answer(reader, peer, name):
                    self.counts["closed"] += 1
                    return number
        return messages

    def _record(self) -> tuple[bytes, str]:
        """A record, whole or in fragments, and the procedure if it may be a valid call of one."""
        rng = self.rng
        name, message = self.calls.nfs()
        kind = rng.random()
        if kind > 0.9:
            name, message = "", self.calls.other()
        if kind > 0.5:
            name, message = "", spoil(rng, message, self.calls.nfs()[1])
        if kind > 0.99:
            return rng.randbytes(rng.randrange(200)), ""
        parts = [message]
        while rng.random() < 0.1:
            cut = rng.randrange(len(parts[-1]) + 1)
            parts[-1:] = [parts[-1][:cut], parts[-1][cut:]]
        marks = [len(part) for part in parts]
        marks[-1] |= 1 << 31
        return b"".join(struct.pack("!I", n) + p for n, p in zip(marks, parts, strict=True)), name

    def _answer(self, reader: RecordReader, peer: Peer, name: str) -> bool:
        """Run the records that are there whole; False where the connection has to be closed."""
        while True:
            replies: list[bytes] = []

            def sent(parts: list[Buffer], replies: list[bytes] = replies) -> None:
                replies.append(b"".join(parts))

            try:
                record = reader.record()
                if record is None:
                    return True
                message = bytes(record)
                self.counts["calls"] += 1
                self.dispatcher.dispatch(record, peer, sent)
            except (RecordTooLong, BadMessage):
                return False
            except Exception as error:
                raise Escaped(f"{message.hex()}: {error!r}") from error
            self._judge(message, replies, name)

    def _judge(self, message: bytes, replies: list[bytes], name: str) -> None:
        if len(replies) != 1:
            raise Escaped(f"{message.hex()}: {len(replies)} replies")
        try:
            reply = read_reply(replies[0])
            assert reply.xid == int.from_bytes(message[:4], "big"), "another xid"
            if isinstance(reply, Refusal):
                assert (reply.denied, reply.status) != (False, 5), "SYSTEM_ERR"
                assert not name, "a valid call was refused"
                self.counts["refused"] += 1
                return
            self.counts["accepted"] += 1
            program, version, number = struct.unpack_from("!III", message, 12)
            if (program, version) == (100003, 3) and number:
                procedure = nfs3.ROWS[number - 1].name
                answered(procedure, reply)  # the results are of the procedure's type
                self.calls.learn(procedure, reply)
        except Exception as error:
            raise Escaped(f"{message.hex()} -> {replies[0].hex()}: {error!r}") from error


class _Errors(logging.Handler):
    """Keeps what is logged as an error: exceptions that handlers let through."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(self.format(record))
