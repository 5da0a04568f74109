"""XDR (RFC 4506): the words in which wire types are declared, once each.

A declaration is a Python type, most often a NamedTuple whose fields are Annotated with one of the
wire types below, in the order of the RFC. `nfs.codec` compiles it into a packer and an unpacker.
Knows no program, no file system and no socket.

Wire types and their Python values:

    uint32 int32 uint64 int64   int
    boolean                     bool, 0 or 1 on the wire
    enum(...)                   int, one of those given
    fixed(n)                    bytes of length n
    opaque(n), string(n)        bytes, at most n
    view(n)                     the same, unpacked as a view of the message: no copy
    T | None                    optional data: a boolean, then T
    array(T, n)                 list of at most n
    chain(T)                    list, on the wire as optional data linked to the next
    union(enum, {...})          tuple (discriminant, value), None for an arm that is void
    encoded(T)                  bytes: the encoding of a T that was made elsewhere; unpacked as T
"""

from __future__ import annotations

import struct
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Generic, NamedTuple, TypeVar, cast

T = TypeVar("T")
Buffer = bytes | bytearray | memoryview

# The longest list that any message can hold: each item takes four bytes at least, and records are
# bounded far below this. It keeps a chain without an end from being followed.
_CHAIN_MAX = 1 << 20
_ANY_LENGTH = 2**32 - 1


class XdrError(ValueError):
    """Bytes that are no encoding of the type."""


class Scalar(NamedTuple):
    """A number, as `struct` formats it; with `values`, one of those."""

    format: str
    values: frozenset[int] | None = None


class Bool(NamedTuple):
    """One of two numbers."""


class Fixed(NamedTuple):
    """Opaque data of one length."""

    length: int


class Opaque(NamedTuple):
    """Opaque data of any length up to a limit."""

    limit: int
    shared: bool


class List(NamedTuple):
    """An array, or a linked list."""

    item: Any
    limit: int
    linked: bool


class Union(NamedTuple):
    """A discriminated union."""

    discriminant: frozenset[int]
    arms: Mapping[int, Any]
    default: Any = None


class Encoded(NamedTuple):
    """Bytes that are a type's encoding."""

    type: Any


uint32 = Annotated[int, Scalar("I")]
int32 = Annotated[int, Scalar("i")]
uint64 = Annotated[int, Scalar("Q")]
int64 = Annotated[int, Scalar("q")]
boolean = Annotated[bool, Bool()]


def enum(*values: int) -> object:
    """An enumeration of these values."""
    return Scalar("I", frozenset(values))


def fixed(length: int) -> object:
    """Opaque data of a fixed length."""
    return Fixed(length)


def opaque(limit: int = _ANY_LENGTH) -> object:
    """Opaque data of variable length, at most `limit` bytes."""
    return Opaque(limit, False)


string = opaque


def view(limit: int = _ANY_LENGTH) -> object:
    """Opaque data, unpacked as a view of the message."""
    return Opaque(limit, True)


def array(item: object, limit: int = _CHAIN_MAX) -> object:
    """An array of at most `limit` items."""
    return List(item, limit, False)


def chain(item: object) -> object:
    """A list linked by optional data."""
    return List(item, _CHAIN_MAX, True)


def union(discriminant: object, arms: Mapping[int, object], default: object = None) -> object:
    """A discriminated union; discriminants without an arm have the default, None: void."""
    scalar = cast("Scalar", discriminant)
    assert scalar.values is not None
    return Union(scalar.values, arms, default)


def encoded(kind: object) -> object:
    """A part of a reply that is encoded before the rest, often once for many."""
    return Encoded(kind)


class Codec(Generic[T]):
    """The compiled packer and unpacker of one type."""

    def __init__(self, name: str, pack: Callable[..., None], unpack: Callable[..., Any]) -> None:
        self.name = name
        # pack(value, append): hands the encoding's parts to `append`, in order.
        self.pack: Callable[[T, Callable[[Buffer], object]], None] = pack
        # unpack(buffer, at): the value and where it ends. Raises XdrError and struct.error.
        self.unpack: Callable[[Buffer, int], tuple[T, int]] = unpack

    def encode(self, value: T) -> bytes:
        """A value's encoding."""
        parts: list[Buffer] = []
        self.pack(value, parts.append)
        return b"".join(parts)

    def decode(self, data: Buffer, at: int = 0) -> T:
        """The value that the bytes from `at` on encode, all of them. Raises XdrError."""
        try:
            value, end = self.unpack(data, at)
        except struct.error:
            raise XdrError(f"{self.name}: cut short") from None
        if end != len(data):
            raise XdrError(f"{self.name}: {len(data) - end} bytes behind the end")
        return value


class Optional(NamedTuple):
    """Optional data."""

    item: Any


class Struct(NamedTuple):
    """A structure: how it is made, and its fields in order."""

    made: Any
    fields: Sequence[tuple[str, Any]]


def wire_of(kind: Any) -> Any:
    """The wire type that a Python type stands for."""
    if typing.get_origin(kind) is Annotated:
        inner, wire = typing.get_args(kind)[:2]
        return wire if isinstance(wire, tuple) else wire_of(inner)
    if isinstance(kind, tuple):
        return kind
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        (item,) = (arg for arg in typing.get_args(kind) if arg is not type(None))
        return Optional(item)
    if isinstance(kind, type) and issubclass(kind, tuple):
        hints = typing.get_type_hints(kind, include_extras=True)
        return Struct(kind, list(hints.items()))
    raise TypeError(f"{kind!r} is no wire type")
