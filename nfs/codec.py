"""The compiler of XDR declarations: from a type of `nfs.xdr` to straight-line code.

Neighbouring parts of fixed size become one `struct.Struct`; every bound, padding byte, boolean
and enumeration is checked as it is unpacked. `xdrlib3` says in the tests what the bytes must be.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from nfs.xdr import (
    Bool,
    Buffer,
    Codec,
    Encoded,
    Fixed,
    List,
    Opaque,
    Optional,
    Scalar,
    Struct,
    Union,
    XdrError,
    wire_of,
)

T = TypeVar("T")

_codecs: dict[Any, Codec[Any]] = {}


def codec(kind: type[T]) -> Codec[T]:
    """The codec of a declared type; compiled once."""
    try:
        return _codecs[kind]
    except (KeyError, TypeError):
        pass
    made: Codec[T] = _Compiler().compile(kind)
    try:
        _codecs[kind] = made
    except TypeError:
        pass  # an annotation with a dict in it; whoever declares it keeps its codec
    return made


def opaque_at(buffer: Buffer, at: int, limit: int, shared: bool) -> tuple[Any, int]:
    """Unpack opaque data of variable length; see `opaque` and `view`."""
    length = int.from_bytes(buffer[at : at + 4], "big")
    start = at + 4
    stop = start + length
    end = start + (length + 3 & ~3)
    if length > limit:
        raise XdrError(f"{length} bytes where {limit} is the limit")
    if end > len(buffer):
        raise XdrError("cut short")
    if end != stop and any(buffer[stop:end]):
        raise XdrError("padding that is not zero")
    return memoryview(buffer)[start:stop] if shared else bytes(buffer[start:stop]), end


_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")
_LENGTH = struct.Struct("!I").pack


def put_opaque(data: Buffer, append: Callable[[Buffer], object]) -> None:
    """Pack opaque data of variable length."""
    length = len(data)
    append(_LENGTH(length))
    append(data)
    if length & 3:
        append(_PADDING[length & 3])


class _Run:
    """Neighbouring parts of fixed size: one format, and what is made of its numbers."""

    def __init__(self) -> None:
        self.format = "!"
        self.names: list[str] = []
        self.checks: list[str] = []
        self.values: list[str] = []


def _arms(number: str, arms: Mapping[int, Any], default: Any) -> Iterator[tuple[str, Any]]:
    """A line that tests for an arm, and what the arm holds."""
    word = "if"
    for value, kind in arms.items():
        if kind is not None:
            yield f"{word} {number} == {value}:", kind
            word = "elif"
    if default is not None:
        others = "".join(f"{value}, " for value in arms)
        yield f"{word} {number} not in ({others}):", default


class _Compiler:
    """Writes the two functions of one type as source, and runs it."""

    def __init__(self) -> None:
        self._space: dict[str, Any] = {
            "XdrError": XdrError,
            "opaque_at": opaque_at,
            "put_opaque": put_opaque,
            "error": struct.error,
        }
        self._count = 0

    def _fresh(self, stem: str) -> str:
        self._count += 1
        return f"{stem}{self._count}"

    def _name(self, stem: str, value: Any) -> str:
        """A name in the generated code for a value."""
        name = self._fresh(stem)
        self._space[name] = value
        return name

    def compile(self, kind: Any) -> Codec[Any]:
        """The codec of a type."""
        unpacking, packing = _Lines(), _Lines()
        run = _Run()
        result = self._unpack(kind, unpacking, run)
        self._end_unpack(unpacking, run)
        run = _Run()
        self._pack(kind, "value", packing, run)
        self._end_pack(packing, run)
        name = getattr(kind, "__name__", "value")
        source = (
            f"def unpack(buffer, at):\n{unpacking.text()}    return {result}, at\n"
            f"def pack(value, append):\n{packing.text()}    return None\n"
        )
        exec(compile(source, f"<xdr {name}>", "exec"), self._space)
        return Codec(name, self._space["pack"], self._space["unpack"])

    # Unpacking: each method appends lines and says the expression of the value. Fixed parts go to
    # the run, which is unpacked by one call as soon as something else comes.

    def _end_unpack(self, lines: _Lines, run: _Run) -> None:
        if run.names or run.format != "!":
            whole = struct.Struct(run.format)
            unpacker = self._name("fixed", whole.unpack_from)
            targets = "".join(f"{name}, " for name in run.names)
            left = f"{targets}= " if targets else ""
            lines.add(f"{left}{unpacker}(buffer, at)")
            lines.add(f"at += {whole.size}")
            for check in run.checks:
                lines.add(check)
        run.format, run.names, run.checks = "!", [], []

    def _unpack(self, kind: Any, lines: _Lines, run: _Run) -> str:
        wire = wire_of(kind)
        match wire:
            case Scalar(code, allowed):
                name = self._fresh("n")
                run.format += code
                run.names.append(name)
                if allowed is not None:
                    known = self._name("values", allowed)
                    run.checks.append(f"if {name} not in {known}: raise XdrError('no value of')")
                return name
            case Bool():
                name = self._fresh("n")
                run.format += "I"
                run.names.append(name)
                run.checks.append(f"if {name} > 1: raise XdrError('no boolean')")
                return f"({name} == 1)"
            case Fixed(length):
                name = self._fresh("b")
                run.format += f"{length}s"
                run.names.append(name)
                if length % 4:
                    padding = self._fresh("b")
                    run.format += f"{-length % 4}s"
                    run.names.append(padding)
                    run.checks.append(f"if any({padding}): raise XdrError('padding not zero')")
                return name
            case Opaque(limit, shared):
                self._end_unpack(lines, run)
                name = self._fresh("data")
                lines.add(f"{name}, at = opaque_at(buffer, at, {limit}, {shared})")
                return name
            case Encoded(inner):
                return self._unpack(inner, lines, run)
            case Struct(made, fields):
                values = [self._unpack(field, lines, run) for _, field in fields]
                return f"{self._name(made.__name__, made)}({', '.join(values)})"
            case _:
                self._end_unpack(lines, run)
                return self._unpack_variable(wire, lines)

    def _unpack_variable(self, wire: Any, lines: _Lines) -> str:
        name, number = self._fresh("value"), self._fresh("n")
        one = self._name("one", struct.Struct("!I").unpack_from)
        head = f"({number},) = {one}(buffer, at); at += 4"
        match wire:
            case Optional(kind):
                lines.add(head)
                lines.add(f"if {number} > 1: raise XdrError('no boolean')")
                lines.add(f"{name} = None")
                lines.add(f"if {number}:")
                self._assign(kind, name, "{0} = {1}", lines)
            case List(kind, limit, False):
                lines.add(head)
                lines.add(f"if {number} > {limit}: raise XdrError('too many items')")
                lines.add(f"{name} = []")
                lines.add(f"for _ in range({number}):")
                self._assign(kind, name, "{0}.append({1})", lines)
            case List(kind, limit, True):
                lines.add(head)
                lines.add(f"{name} = []")
                lines.add(f"while {number}:")
                lines.add(
                    f"    if {number} > 1 or len({name}) >= {limit}: raise XdrError('no list')"
                )
                self._assign(kind, name, "{0}.append({1})", lines)
                lines.add(f"    {head}")
            case Union(values, arms, default):
                lines.add(head)
                allowed = self._name("values", values)
                lines.add(f"if {number} not in {allowed}: raise XdrError('no arm')")
                lines.add(f"{name} = ({number}, None)")
                for test, kind in _arms(number, arms, default):
                    lines.add(test)
                    self._assign(kind, name, f"{{0}} = ({number}, {{1}})", lines)
            case _:
                raise TypeError(f"{wire!r} is no wire type")
        return name

    def _assign(self, kind: Any, name: str, form: str, lines: _Lines) -> None:
        """An indented block that unpacks a value and puts it where it belongs."""
        block, run = lines.block(), _Run()
        value = self._unpack(kind, block, run)
        self._end_unpack(block, run)
        block.add(form.format(name, value))

    # Packing: the mirror image.

    def _end_pack(self, lines: _Lines, run: _Run) -> None:
        if run.values:
            packer = self._name("fixed", struct.Struct(run.format).pack)
            lines.add(f"append({packer}({', '.join(run.values)}))")
        run.format, run.values = "!", []

    def _pack(self, kind: Any, value: str, lines: _Lines, run: _Run) -> None:
        wire = wire_of(kind)
        match wire:
            case Scalar(code, _):
                run.format += code
                run.values.append(value)
            case Bool():
                run.format += "I"
                run.values.append(value)
            case Fixed(length):
                run.format += f"{length}s{-length % 4}x" if length % 4 else f"{length}s"
                run.values.append(value)
            case Opaque():
                self._end_pack(lines, run)
                lines.add(f"put_opaque({value}, append)")
            case Encoded():
                self._end_pack(lines, run)
                lines.add(f"append({value})")
            case Struct(_, fields):
                for name, field in fields:
                    self._pack(field, f"{value}.{name}", lines, run)
            case _:
                self._end_pack(lines, run)
                self._pack_variable(wire, value, lines)

    def _pack_variable(self, wire: Any, value: str, lines: _Lines) -> None:
        one = self._name("one", struct.Struct("!I").pack)
        item = self._fresh("item")
        match wire:
            case Optional(kind):
                lines.add(f"append({one}({value} is not None))")
                lines.add(f"{item} = {value}")
                lines.add(f"if {item} is not None:")
                self._pack_block(kind, item, lines)
            case List(kind, _, linked):
                if not linked:
                    lines.add(f"append({one}(len({value})))")
                lines.add(f"for {item} in {value}:")
                if linked:
                    lines.block().add(f"append({one}(1))")
                self._pack_block(kind, item, lines)
                if linked:
                    lines.add(f"append({one}(0))")
            case Union(_, arms, default):
                lines.add(f"append({one}({value}[0]))")
                for test, kind in _arms(f"{value}[0]", arms, default):
                    lines.add(test)
                    lines.block().add(f"{item} = {value}[1]")
                    self._pack_block(kind, item, lines)
            case _:
                raise TypeError(f"{wire!r} is no wire type")

    def _pack_block(self, kind: Any, value: str, lines: _Lines) -> None:
        block, run = lines.block(), _Run()
        self._pack(kind, value, block, run)
        self._end_pack(block, run)
        block.add("pass")


class _Lines:
    """Source text of a function's body; a block is indented by one more step."""

    def __init__(self, into: list[str] | None = None, indent: str = "    ") -> None:
        self._lines: list[str] = [] if into is None else into
        self._indent = indent

    def add(self, line: str) -> None:
        """One line more."""
        self._lines.append(self._indent + line)

    def block(self) -> _Lines:
        """The same text, further in."""
        return _Lines(self._lines, self._indent + "    ")

    def text(self) -> str:
        """All of it."""
        return "".join(line + "\n" for line in self._lines)
