"""Packets: whole, cut at every length, and with wrong lengths."""

from __future__ import annotations

import pytest

from gitdoor.fetching import Request
from gitdoor.reaching import Filter
from gitdoor.wire import DELIMITER, BadRequest, band, banded, git_id, line, packets, text

WHOLE = b"0009done\n0000" + b"0001" + b"0005x"


def test_packets_are_read() -> None:
    assert [packet for packet, _ in packets(WHOLE)] == [b"done\n", None, DELIMITER, b"x"]
    assert [at for _, at in packets(WHOLE)] == [9, 13, 17, 22]
    assert line(b"done") == b"0009done\n"
    assert text(b"done\n") == text(b"done") == b"done"


@pytest.mark.parametrize("end", range(len(WHOLE)))
def test_packets_cut_short(end: int) -> None:
    ends = {0, 9, 13, 17}
    if end in ends:
        list(packets(WHOLE[:end]))
    else:
        with pytest.raises(BadRequest):
            list(packets(WHOLE[:end]))


@pytest.mark.parametrize("data", [b"zzzz", b"0003", b"-001", b"+005x", b" 005x", b"00_5x", b"0x5x"])
def test_lengths_that_are_none(data: bytes) -> None:
    with pytest.raises(BadRequest):
        list(packets(data))


def test_bands_hold_as_much_as_a_packet_may() -> None:
    data = bytes(200_000)
    parts = list(band(1, data))
    assert all(len(part) == int(part[:4], 16) <= 65520 for part in parts)
    assert b"".join(part[5:] for part in parts) == data
    assert b"".join(banded([b"a", b""])) == b"0006\x01a"


@pytest.mark.parametrize(
    ("word", "rule"),
    [
        (b"blob:none", Filter(0)),
        (b"blob:limit=10", Filter(10)),
        (b"blob:limit=2k", Filter(2048)),
        (b"blob:limit=1m", Filter(1 << 20)),
        (b"tree:0", Filter(0, False)),
    ],
)
def test_filters(word: bytes, rule: Filter) -> None:
    request = Request()
    assert request.take(b"filter " + word)
    assert request.rule == rule


@pytest.mark.parametrize(
    "words",
    [
        b"filter tree:1", b"filter ", b"filter combine:x", b"deepen 0", b"deepen -1", b"deepen x",
        b"deepen 99999999999999", b"want x", b"have " + b"g" * 40, b"shallow " + b"0" * 39,
    ],
)  # fmt: skip
def test_lines_that_are_refused(words: bytes) -> None:
    with pytest.raises(BadRequest):
        Request().take(words)


def test_ids() -> None:
    assert git_id(b"0a" * 20) == b"\x0a" * 20
    with pytest.raises(BadRequest):
        git_id(b"0a" * 32)
