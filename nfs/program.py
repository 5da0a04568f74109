"""RPC programs as tables: procedure number -> name, argument and result types, handler.

A handler takes the call and its decoded arguments and gives the result, or a `Later` that gives
it in a while. It may ask that the reply wait until what it did is durable. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from nfs.codec import codec
from nfs.peer import Peer
from nfs.xdr import Buffer
from store.errors import StoreError
from store.types import Caller

Failed = Callable[[StoreError], Any]


class Call:
    """One call under way: who asks for what, and how its reply is to be sent."""

    __slots__ = ("peer", "caller", "credential", "procedure", "failed", "keep", "tries")

    def __init__(
        self, peer: Peer, caller: Caller | None, credential: bytes, procedure: Procedure
    ) -> None:
        self.peer, self.caller, self.credential = peer, caller, credential
        self.procedure = procedure
        # Set by a handler whose reply has to wait until the store is durable; gives the result
        # to send instead where that fails.
        self.failed: Failed | None = None
        # Whether the reply is the one to give again if the same call comes again.
        self.keep = True
        # How often it was tried in vain for want of memory.
        self.tries = 0


class Later:
    """A result that takes a while: work for another thread, then the result on this one."""

    __slots__ = ("run", "finish")

    def __init__(self, run: Callable[[], None], finish: Callable[[], Any]) -> None:
        self.run, self.finish = run, finish


class Again:
    """A call that is to be tried again as soon as there is room in memory."""


Handler = Callable[[Call, Any], Any]


class Procedure(NamedTuple):
    """One procedure. `changes`: doing it twice is not the same as doing it once."""

    number: int
    name: str
    unpack: Callable[[Buffer, int], tuple[Any, int]]
    pack: Callable[[Any, Callable[[Buffer], object]], None]
    handler: Handler
    changes: bool = False


class Nothing(NamedTuple):
    """void (RFC 4506 4.16)."""


NOTHING = Nothing()


def procedure(
    number: int,
    name: str,
    arguments: type[Any],
    result: Any,
    handler: Handler,
    *,
    changes: bool = False,
) -> Procedure:
    """A row of a program's table."""
    unpack, pack = codec(arguments).unpack, codec(result).pack
    return Procedure(number, name, unpack, pack, handler, changes)


def null() -> Procedure:
    """Procedure 0, which every program has: it does nothing."""
    return procedure(0, "NULL", Nothing, Nothing, lambda call, arguments: NOTHING)


class Program(NamedTuple):
    """A program in the versions that there are: version -> procedure number -> procedure."""

    number: int
    name: str
    versions: Mapping[int, Mapping[int, Procedure]]


def table(procedures: Iterable[Procedure]) -> dict[int, Procedure]:
    """The procedures of one version by number."""
    return {row.number: row for row in procedures}
