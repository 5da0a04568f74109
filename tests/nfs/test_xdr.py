"""XDR (RFC 4506): literal bytes of every wire type, agreement with xdrlib3, and hostile bytes.

An encoding is canonical: whatever bytes decode at all, encode to the same bytes again. That is how
padding, booleans, enumerations and lengths are held to the RFC under arbitrary changes.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nfs import xdr
from nfs.codec import codec
from nfs.xdr import Codec, XdrError
from tests.nfs.xdr_kinds import Kind, kinds

made: Callable[[Any], Codec[Any]] = codec


class Pair(NamedTuple):
    """Two numbers of different size; the second starts where the first ends."""

    first: xdr.uint32
    second: xdr.uint64


class Nothing(NamedTuple):
    """void."""


class Wide(NamedTuple):
    """A field of each kind, so that each is followed by another."""

    flag: xdr.boolean
    tag: Annotated[bytes, xdr.fixed(3)]
    name: Annotated[bytes, xdr.string(8)]
    pair: Pair
    maybe: xdr.uint32 | None
    numbers: Annotated[list[int], xdr.array(xdr.int32, 3)]
    names: Annotated[list[bytes], xdr.chain(xdr.string(8))]
    choice: Annotated[Any, xdr.union(xdr.enum(0, 1, 2), {1: Pair, 2: None}, xdr.int64)]


_WIDE = Wide(True, b"abc", b"hello", Pair(1, 2), 7, [-1, 3], [b"x", b"four"], (1, Pair(5, 6)))

# Type, value, and its bytes field by field.
LITERAL: list[tuple[str, Any, Any, list[str]]] = [
    ("uint32", xdr.uint32, 0xDEADBEEF, ["deadbeef"]),
    ("int32", xdr.int32, -2, ["fffffffe"]),
    ("uint64", xdr.uint64, 1 << 40, ["00000100 00000000"]),
    ("int64", xdr.int64, -1, ["ffffffff ffffffff"]),
    ("true", xdr.boolean, True, ["00000001"]),
    ("false", xdr.boolean, False, ["00000000"]),
    ("enum", xdr.enum(3, 70), 70, ["00000046"]),
    ("fixed, whole", xdr.fixed(8), b"\1\2\3\4\5\6\7\x08", ["01020304 05060708"]),
    ("fixed, padded", xdr.fixed(5), b"\1\2\3\4\5", ["01020304 05", "000000"]),
    ("fixed, nothing", xdr.fixed(0), b"", []),
    ("opaque, empty", xdr.opaque(9), b"", ["00000000"]),
    ("opaque, one", xdr.opaque(9), b"\xff", ["00000001", "ff", "000000"]),
    ("opaque, two", xdr.opaque(9), b"\xff\xfe", ["00000002", "fffe", "0000"]),
    ("opaque, three", xdr.opaque(9), b"\xff\xfe\xfd", ["00000003", "fffefd", "00"]),
    ("opaque, four", xdr.opaque(9), b"\xff\xfe\xfd\xfc", ["00000004", "fffefdfc"]),
    ("string", xdr.string(9), b"sillyprog", ["00000009", "73696c6c 7970726f 67", "000000"]),
    ("view", xdr.view(9), b"abc", ["00000003", "616263", "00"]),
    ("no limit", xdr.opaque(), b"abcd", ["00000004", "61626364"]),
    ("optional, absent", xdr.Optional(xdr.uint32), None, ["00000000"]),
    ("optional, present", xdr.Optional(xdr.uint32), 9, ["00000001", "00000009"]),
    ("array, empty", xdr.array(xdr.uint32, 3), [], ["00000000"]),
    ("array", xdr.array(xdr.uint32, 3), [8, 9], ["00000002", "00000008", "00000009"]),
    ("chain, empty", xdr.chain(xdr.uint32), [], ["00000000"]),
    (
        "chain",
        xdr.chain(xdr.uint32),
        [8, 9],
        ["00000001", "00000008", "00000001", "00000009", "00000000"],
    ),
    ("union, void arm", xdr.union(xdr.enum(0, 1), {0: None}, xdr.uint32), (0, None), ["00000000"]),
    (
        "union, default",
        xdr.union(xdr.enum(0, 1), {0: None}, xdr.uint32),
        (1, 5),
        ["00000001", "00000005"],
    ),
    ("union, default alone", xdr.union(xdr.enum(4), {}, xdr.uint32), (4, 5), ["00000004 00000005"]),
    ("nothing", Nothing, Nothing(), []),
    (
        "struct",
        Wide,
        _WIDE,
        [
            "00000001",  # flag
            "616263 00",  # tag, a byte of padding
            "00000005 68656c6c 6f 000000",  # name: length, hello, padding
            "00000001 00000000 00000002",  # pair
            "00000001 00000007",  # maybe: present, 7
            "00000002 ffffffff 00000003",  # numbers: two
            "00000001 00000001 78 000000",  # names: one, its length, x, padding
            "00000001 00000004 666f7572",  # another: four
            "00000000",  # and no more
            "00000001 00000005 00000000 00000006",  # choice: 1, a pair
        ],
    ),
]
IDS = [row[0] for row in LITERAL]


@pytest.mark.parametrize(("wire", "value", "words"), [row[1:] for row in LITERAL], ids=IDS)
def test_a_type_has_the_bytes_of_the_rfc(wire: Any, value: Any, words: list[str]) -> None:
    data = bytes.fromhex("".join(words))
    assert made(wire).encode(value) == data
    assert made(wire).decode(data) == value


@pytest.mark.parametrize(("wire", "value", "words"), [row[1:] for row in LITERAL], ids=IDS)
def test_an_encoding_cut_anywhere_is_refused(wire: Any, value: Any, words: list[str]) -> None:
    data = bytes.fromhex("".join(words))
    for length in range(len(data)):
        with pytest.raises(XdrError):
            made(wire).decode(data[:length])


@pytest.mark.parametrize(("wire", "value", "words"), [row[1:] for row in LITERAL], ids=IDS)
def test_bytes_behind_the_end_are_refused(wire: Any, value: Any, words: list[str]) -> None:
    data = bytes.fromhex("".join(words))
    for more in (b"\0", bytes(4), b"\xff" * 4):
        with pytest.raises(XdrError):
            made(wire).decode(data + more)


REFUSED: list[tuple[str, Any, str]] = [
    ("a boolean of two", xdr.boolean, "00000002"),
    ("a negative boolean", xdr.boolean, "ffffffff"),
    ("an enumeration's other value", xdr.enum(0, 2), "00000001"),
    ("a negative enumeration", xdr.enum(0, 2), "ffffffff"),
    ("presence of two", xdr.Optional(xdr.uint32), "00000002 00000000"),
    ("a link of two", xdr.chain(xdr.uint32), "00000002 00000000 00000000"),
    ("a second link of two", xdr.chain(xdr.uint32), "00000001 00000000 00000002"),
    ("an unknown discriminant", xdr.union(xdr.enum(0, 1), {0: None}), "00000002"),
    ("one byte too many", xdr.opaque(3), "00000004 61626364"),
    ("one byte too many, padded", xdr.opaque(4), "00000005 61626364 65000000"),
    ("one item too many", xdr.array(xdr.uint32, 1), "00000002 00000000 00000000"),
    ("padding, first byte", xdr.opaque(9), "00000001 61 010000"),
    ("padding, last byte", xdr.opaque(9), "00000001 61 000001"),
    ("padding of a view", xdr.view(9), "00000002 6162 0001"),
    ("padding of fixed data", xdr.fixed(3), "616263 01"),
    ("padding inside of a run", Wide, "00000001 616263 01"),
    ("padding that is not there", xdr.opaque(9), "00000003 616263"),
]


@pytest.mark.parametrize(
    ("wire", "data"), [row[1:] for row in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_what_the_rfc_does_not_allow_is_refused(wire: Any, data: str) -> None:
    with pytest.raises(XdrError):
        made(wire).decode(bytes.fromhex(data))


HUGE = [
    xdr.opaque(),
    xdr.opaque(1 << 20),
    xdr.view(),
    xdr.string(255),
    xdr.array(xdr.uint64),
    xdr.array(xdr.string(), 2**32 - 1),
    xdr.chain(xdr.uint32),
    xdr.chain(xdr.opaque()),
]


@pytest.mark.parametrize("wire", HUGE, ids=repr)
@pytest.mark.parametrize("length", [1 << 20, 2**31 - 1, 2**31, 2**32 - 4, 2**32 - 1])
def test_a_huge_announcement_takes_no_memory(wire: Any, length: int) -> None:
    decode = made(wire).decode
    data = length.to_bytes(4, "big") + bytes(64)
    tracemalloc.start()
    try:
        with pytest.raises(XdrError):
            decode(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * 1024


def test_a_chain_is_no_longer_than_any_record() -> None:
    void = made(xdr.chain(Nothing))
    assert len(void.decode((b"\0\0\0\1" * 1000) + bytes(4))) == 1000
    with pytest.raises(XdrError):
        void.decode(b"\0\0\0\1" * ((1 << 20) + 1) + bytes(4))


def test_a_view_shares_the_message_and_opaque_data_does_not() -> None:
    message = bytearray(b"\0\0\0\4abcd")
    shared, _ = made(xdr.view()).unpack(message, 0)
    own, _ = made(xdr.opaque()).unpack(message, 0)
    message[4:] = b"wxyz"
    assert (shared, own) == (b"wxyz", b"abcd")
    assert isinstance(own, bytes)


class Outer(NamedTuple):
    """A part of it is encoded before the rest."""

    first: xdr.uint32
    rest: Annotated[Any, xdr.encoded(Pair)]


def test_what_was_encoded_elsewhere_goes_in_as_it_is() -> None:
    once = codec(Pair).encode(Pair(1, 2))
    parts: list[xdr.Buffer] = []
    codec(Outer).pack(Outer(9, once), parts.append)
    assert any(part is once for part in parts)
    assert b"".join(parts) == b"\0\0\0\x09" + once
    assert codec(Outer).decode(b"".join(parts)) == Outer(9, Pair(1, 2))


def test_optional_is_written_as_a_union_with_none() -> None:
    assert xdr.wire_of(Pair | None) == xdr.Optional(Pair)
    assert made(xdr.Optional(Pair)).decode(bytes(4)) is None


def test_what_is_no_wire_type_is_refused_when_it_is_declared() -> None:
    for kind in (int, str, "uint32", 3, Annotated[int, "comment"]):
        with pytest.raises(TypeError):
            codec(kind)  # type: ignore[arg-type]


def test_a_declared_type_is_compiled_once() -> None:
    assert codec(Wide) is codec(Wide)


# --- any type at all ----------------------------------------------------------------------------


@st.composite
def examples(draw: st.DrawFn) -> tuple[Kind, Any]:
    """A wire type and a value of it."""
    kind = draw(kinds)
    return kind, draw(kind.values)


@given(examples())
def test_the_bytes_are_those_of_xdrlib3(example: tuple[Kind, Any]) -> None:
    kind, value = example
    data = made(kind.wire).encode(value)
    assert data == kind.bytes_of(value)
    assert made(kind.wire).decode(data) == kind.value_of(data) == value


@given(examples(), st.binary(max_size=9), st.binary(max_size=9))
def test_a_value_is_found_inside_of_a_message(
    example: tuple[Kind, Any], before: bytes, behind: bytes
) -> None:
    kind, value = example
    data = kind.bytes_of(value)
    for buffer in (bytes, bytearray, memoryview):
        message = buffer(before + data + behind)
        assert made(kind.wire).unpack(message, len(before)) == (value, len(before) + len(data))


@given(examples())
def test_no_part_of_an_encoding_is_one(example: tuple[Kind, Any]) -> None:
    kind, value = example
    data = kind.bytes_of(value)
    for length in range(len(data)):
        with pytest.raises(XdrError):
            made(kind.wire).decode(data[:length])
    with pytest.raises(XdrError):
        made(kind.wire).decode(data + b"\0")


def canonical(wire: Any, data: bytes) -> None:
    """Fail where bytes decode to a value that has other bytes."""
    decoder = made(wire)
    try:
        value = decoder.decode(data)
    except XdrError:
        return
    assert decoder.encode(value) == data


@given(examples(), st.data())
def test_an_encoding_with_changed_bytes_is_refused_or_is_another_one(
    example: tuple[Kind, Any], data: st.DataObject
) -> None:
    kind, value = example
    changed = bytearray(kind.bytes_of(value))
    for _ in range(data.draw(st.integers(1, 3))):
        if changed:
            at = data.draw(st.integers(0, len(changed) - 1))
            changed[at] = data.draw(st.integers(0, 255))
    canonical(kind.wire, bytes(changed))


@given(kinds, st.binary(max_size=64))
def test_any_bytes_are_refused_or_are_an_encoding(kind: Kind, data: bytes) -> None:
    canonical(kind.wire, data)
