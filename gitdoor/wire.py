"""The lines of git's protocol (gitprotocol-common(5)): packets behind four hex digits of length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dulwich.protocol import pkt_line

FLUSH, DELIMITER, END = b"0000", b"0001", b"0002"
# A packet has 65520 bytes at most, length and band included (gitprotocol-common(5)).
DATA_BYTES_MAX = 65515
_LINE_BYTES_MAX = 65516


class BadRequest(ValueError):
    """Bytes that are no request of git's protocol; the text says why."""


Packet = bytes | None
"""A packet's bytes without a line's end; None for a flush, DELIMITER for a delimiter."""


def line(data: bytes) -> bytes:
    """A packet with a line of text."""
    return bytes(pkt_line(data + b"\n"))


def lines(data: Iterable[bytes]) -> bytes:
    """Packets with lines of text."""
    return b"".join([line(item) for item in data])


def length_of(head: bytes) -> int:
    """The length that four hex digits give a packet, themselves included. Raises BadRequest."""
    if len(head) < 4:
        raise BadRequest("the remote end hung up unexpectedly")
    try:
        if head.isalnum():
            return int(head, 16)
    except ValueError:
        pass
    raise BadRequest(f"bad line length character: {head!r}")


def packets(data: bytes | memoryview) -> Iterator[tuple[Packet, int]]:
    """The packets of some bytes, each with where the next one begins. Raises BadRequest."""
    at = 0
    while at < len(data):
        length = length_of(bytes(data[at : at + 4]))
        if length < 4:
            at += 4
            if length == 3:
                raise BadRequest("bad line length 3")
            yield (None, DELIMITER, END)[length], at
            continue
        body = bytes(data[at + 4 : at + length])
        if len(body) != length - 4:
            raise BadRequest("the remote end hung up unexpectedly")
        at += length
        yield body, at


def text(packet: bytes) -> bytes:
    """A packet that is a line, without its end."""
    return packet.removesuffix(b"\n")


def band(number: int, data: bytes) -> Iterator[bytes]:
    """Bytes on a side band: 1 data, 2 progress, 3 the error that ends it."""
    for start in range(0, len(data), DATA_BYTES_MAX):
        part = data[start : start + DATA_BYTES_MAX]
        yield b"%04x%c" % (len(part) + 5, number) + part


def banded(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Pieces on the band for data."""
    for piece in pieces:
        yield b"".join(band(1, piece))


def git_id(word: bytes) -> bytes:
    """An id out of 40 hex digits. Raises BadRequest."""
    try:
        if len(word) == 40:
            return bytes.fromhex(word.decode())
    except ValueError:
        pass
    raise BadRequest(f"protocol error: {word[:60]!r} is no object id")
