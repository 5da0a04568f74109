"""Wire types made up by Hypothesis, each with its values and with xdrlib3's idea of its bytes.

xdrlib3 was written by others from the same RFC, so what both sides agree on is no mistake of ours.
It does not check padding, booleans and enumerations; the tests do that beside it.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import xdrlib3
from hypothesis import strategies as st

from nfs import xdr

Unpacker = xdrlib3.Unpacker
Packer = xdrlib3.Packer


class Kind(NamedTuple):
    """A wire type, its values, and how xdrlib3 packs and unpacks one."""

    wire: Any
    values: st.SearchStrategy[Any]
    pack: Callable[[Packer, Any], None]
    unpack: Callable[[Unpacker], Any]

    def bytes_of(self, value: Any) -> bytes:
        """The encoding, by xdrlib3."""
        packer = Packer()
        self.pack(packer, value)
        return packer.get_buffer()

    def value_of(self, data: bytes) -> Any:
        """The value of an encoding, by xdrlib3."""
        unpacker = Unpacker(data)
        value = self.unpack(unpacker)
        unpacker.done()
        return value


def _scalar(wire: Any, name: str, low: int, high: int) -> Kind:
    pack, unpack = getattr(Packer, f"pack_{name}"), getattr(Unpacker, f"unpack_{name}")
    edges = st.sampled_from([low, low + 1, 0, 1, high - 1, high])
    return Kind(wire, edges | st.integers(low, high), pack, unpack)


SCALARS = [
    _scalar(xdr.uint32, "uint", 0, 2**32 - 1),
    _scalar(xdr.int32, "int", -(2**31), 2**31 - 1),
    _scalar(xdr.uint64, "uhyper", 0, 2**64 - 1),
    _scalar(xdr.int64, "hyper", -(2**63), 2**63 - 1),
    Kind(xdr.boolean, st.booleans(), Packer.pack_bool, Unpacker.unpack_bool),
]


@st.composite
def _enums(draw: st.DrawFn) -> Kind:
    values = draw(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=4, unique=True))
    return Kind(xdr.enum(*values), st.sampled_from(values), Packer.pack_enum, Unpacker.unpack_enum)


@st.composite
def _opaques(draw: st.DrawFn) -> Kind:
    limit = draw(st.integers(0, 21))
    data = st.binary(max_size=limit)
    match draw(st.sampled_from(["fixed", "opaque", "string", "view", "any length"])):
        case "fixed":
            exact = st.binary(min_size=limit, max_size=limit)
            return Kind(
                xdr.fixed(limit),
                exact,
                lambda packer, value: packer.pack_fopaque(limit, value),
                lambda unpacker: unpacker.unpack_fopaque(limit),
            )
        case "any length":
            wire = xdr.opaque()
        case name:
            wire = getattr(xdr, name)(limit)
    return Kind(wire, data, Packer.pack_opaque, Unpacker.unpack_opaque)


def _optional(inner: Kind) -> Kind:
    def pack(packer: Packer, value: Any) -> None:
        packer.pack_bool(value is not None)
        if value is not None:
            inner.pack(packer, value)

    def unpack(unpacker: Unpacker) -> Any:
        return inner.unpack(unpacker) if unpacker.unpack_bool() else None

    return Kind(xdr.Optional(inner.wire), st.none() | inner.values, pack, unpack)


def _array(inner: Kind, limit: int) -> Kind:
    return Kind(
        xdr.array(inner.wire, limit),
        st.lists(inner.values, max_size=limit),
        lambda packer, value: packer.pack_array(value, lambda item: inner.pack(packer, item)),
        lambda unpacker: unpacker.unpack_array(lambda: inner.unpack(unpacker)),
    )


def _chain(inner: Kind) -> Kind:
    return Kind(
        xdr.chain(inner.wire),
        st.lists(inner.values, max_size=4),
        lambda packer, value: packer.pack_list(value, lambda item: inner.pack(packer, item)),
        lambda unpacker: unpacker.unpack_list(lambda: inner.unpack(unpacker)),
    )


VOID = Kind(None, st.none(), lambda packer, value: None, lambda unpacker: None)


def _union(arms: dict[int, Kind], rest: list[int], default: Kind) -> Kind:
    numbers = [*arms, *rest]

    def pack(packer: Packer, value: tuple[int, Any]) -> None:
        packer.pack_enum(value[0])
        arms.get(value[0], default).pack(packer, value[1])

    def unpack(unpacker: Unpacker) -> tuple[int, Any]:
        number = unpacker.unpack_enum()
        return number, arms.get(number, default).unpack(unpacker)

    values = st.sampled_from(numbers).flatmap(
        lambda number: st.tuples(st.just(number), arms.get(number, default).values)
    )
    wires = {number: kind.wire for number, kind in arms.items()}
    return Kind(xdr.union(xdr.enum(*numbers), wires, default.wire), values, pack, unpack)


def _annotated(wire: Any) -> Any:
    """A wire type as the type of a field."""
    return Annotated[Any, wire] if isinstance(wire, tuple) else wire


def _struct(fields: list[Kind]) -> Kind:
    declared = [(f"field{at}", _annotated(kind.wire)) for at, kind in enumerate(fields)]
    made: Any = typing.NamedTuple("made", declared)  # type: ignore[misc]

    def pack(packer: Packer, value: Any) -> None:
        for kind, field in zip(fields, value, strict=True):
            kind.pack(packer, field)

    def unpack(unpacker: Unpacker) -> Any:
        return made(*(kind.unpack(unpacker) for kind in fields))

    values = st.tuples(*(kind.values for kind in fields)).map(lambda value: made(*value))
    return Kind(made, values, pack, unpack)


@st.composite
def _composed(draw: st.DrawFn, inner: st.SearchStrategy[Kind]) -> Kind:
    match draw(st.sampled_from(["optional", "array", "chain", "union", "struct"])):
        case "optional":
            kind = draw(inner.filter(lambda kind: not isinstance(kind.wire, xdr.Optional)))
            return _optional(kind)
        case "array":
            return _array(draw(inner), draw(st.integers(0, 4)))
        case "chain":
            return _chain(draw(inner))
        case "union":
            some = st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=4, unique=True)
            numbers = draw(some)
            split = draw(st.integers(0, len(numbers)))
            arms = {number: draw(inner | st.just(VOID)) for number in numbers[:split]}
            return _union(arms, numbers[split:], draw(inner | st.just(VOID)))
        case _:
            return _struct(draw(st.lists(inner, max_size=5)))


kinds: st.SearchStrategy[Kind] = st.recursive(
    st.sampled_from(SCALARS) | _enums() | _opaques(), _composed, max_leaves=8
)
