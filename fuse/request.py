"""One request of the kernel's under way, and what its handler may answer with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from store.memtable import Buffer
from store.virtual import Read

Payload = Buffer | bytearray | Sequence[Buffer]


class Request:
    """Who asks for what. `data` is the whole request; its arguments begin behind the header."""

    __slots__ = (
        *("unique", "node", "uid", "gid", "pid", "data", "operation", "tries", "over"),
        "misplaced",
    )

    def __init__(
        self,
        unique: int,
        node: int,
        uid: int,
        gid: int,
        pid: int,
        data: bytes,
        operation: Operation,
    ) -> None:
        self.unique, self.node = unique, node
        self.uid, self.gid, self.pid = uid, gid, pid
        self.data, self.operation = data, operation
        # How often it was tried in vain for want of memory.
        self.tries = 0
        # Whether it has its answer.
        self.over = False
        # From where on the kernel has data of the node where it is not, -1 for nowhere: it is to
        # forget that, once it is answered.
        self.misplaced = -1


class Durable:
    """An answer to be given once all that was changed until now is durable."""

    __slots__ = ("payload",)

    def __init__(self, payload: Payload) -> None:
        self.payload = payload


class Reading:
    """An answer that is read from the disk."""

    __slots__ = ("job",)

    def __init__(self, job: Read) -> None:
        self.job = job


Result = Payload | Durable | Reading | None
Handler = Callable[..., Result]


class Operation(NamedTuple):
    """A row of the table of operations. `changes`: it may change the tree."""

    name: str
    handler: Handler
    changes: bool = False
