"""Record marking (RFC 5531 section 11): however a stream is cut up, the same records come out."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nfs.record import FRAGMENTS_MAX, LAST, READ_BYTES, RecordReader, RecordTooLong, mark

LIMIT = 1 << 20


def feed(reader: RecordReader, data: bytes) -> list[memoryview]:
    """Put bytes into the reader as they would come from a socket; the records they complete."""
    records: list[memoryview] = []
    left = memoryview(data)
    while left:
        room = reader.room()
        assert len(room) > 0
        count = min(len(room), len(left))
        room[:count] = left[:count]
        reader.received(count)
        left = left[count:]
        while (record := reader.record()) is not None:
            records.append(record)
    return records


def fragments(*parts: bytes) -> bytes:
    """One record of these fragments."""
    marks = [len(part).to_bytes(4, "big") for part in parts[:-1]]
    marks.append((LAST | len(parts[-1])).to_bytes(4, "big"))
    return b"".join(word + part for word, part in zip(marks, parts, strict=True))


def test_the_mark_of_a_record() -> None:
    assert mark(5) == bytes.fromhex("80000005")
    assert fragments(b"abc", b"de") == bytes.fromhex("00000003 616263 80000002 6465")


def test_a_record_of_one_fragment() -> None:
    data = bytes.fromhex(
        "80000006"  # the last fragment, six bytes
        "000102030405"
    )
    (record,) = feed(RecordReader(LIMIT), data)
    assert record == bytes(range(6))
    assert record.readonly


def test_a_record_of_three_fragments() -> None:
    data = bytes.fromhex(
        "00000002 0001"  # two bytes, not the last
        "00000003 020304"  # three bytes, not the last
        "80000001 05"  # one byte, the last
    )
    (record,) = feed(RecordReader(LIMIT), data)
    assert record == bytes(range(6))
    assert record.readonly


def test_fragments_without_content() -> None:
    reader = RecordReader(LIMIT)
    assert feed(reader, fragments(b"", b"ab", b"", b"c", b"")) == [b"abc"]
    assert feed(reader, fragments(b"")) == [b""]
    assert feed(reader, fragments(b"", b"")) == [b""]
    assert reader.waiting_bytes == 0


def test_bytes_come_one_at_a_time() -> None:
    stream = fragments(b"abc", b"", b"defg") + fragments(b"hi") + fragments(b"") + b"\0\0"
    reader = RecordReader(LIMIT)
    records = [bytes(r) for at in range(len(stream)) for r in feed(reader, stream[at : at + 1])]
    assert records == [b"abcdefg", b"hi", b""]
    assert reader.waiting_bytes == 2


def test_nothing_comes_out_before_the_last_byte() -> None:
    stream = fragments(b"abc", b"defg")
    for length in range(len(stream)):
        assert feed(RecordReader(LIMIT), stream[:length]) == []


# Sizes around what is read at once, where records lie across the ends of buffers.
_sizes = st.integers(0, 40) | st.integers(READ_BYTES - 12, READ_BYTES + 12) | st.just(200_000)


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[bytes], bytes]:
    """Records, and the stream of their fragments."""
    records, stream = [], bytearray()
    for number in range(draw(st.integers(1, 6))):
        parts = [bytes([number + 1]) * size for size in draw(st.lists(_sizes, min_size=1))[:5]]
        parts[0] += bytes([number]) * 3
        stream += fragments(*parts)
        records.append(b"".join(parts))
    return records, bytes(stream)


@given(streams(), st.lists(st.integers(1, 100_000) | st.integers(1, 9), max_size=12))
def test_the_same_records_come_out_of_any_pieces(
    stream: tuple[list[bytes], bytes], cuts: list[int]
) -> None:
    records, data = stream
    reader = RecordReader(LIMIT)
    found, at = [], 0
    for cut in cuts:
        found += feed(reader, data[at : at + cut])
        at += cut
    found += feed(reader, data[at:])
    # Compared only now: no record was changed by what was received after it.
    assert found == records
    assert reader.waiting_bytes == 0


def test_records_handed_out_stay_as_they_are() -> None:
    reader = RecordReader(LIMIT)
    kept = []
    for number in range(200):
        content = bytes([number]) * (number * 37 + 1)
        kept += feed(reader, fragments(content) if number % 3 else fragments(b"", content, b""))
    for number, record in enumerate(kept):
        assert record == bytes([number]) * (number * 37 + 1)


# --- limits -------------------------------------------------------------------------------------


def refuses(stream: bytes, limit: int) -> bool:
    """Whether a stream is refused."""
    try:
        feed(RecordReader(limit), stream)
    except RecordTooLong:
        return True
    return False


def test_the_limit_on_one_fragment_counts_what_is_announced() -> None:
    assert not refuses(mark(100) + bytes(100), 100)
    assert refuses(mark(101), 100)
    assert refuses(b"\xff\xff\xff\xff", LIMIT)
    assert refuses(b"\x7f\xff\xff\xff", LIMIT)


def test_the_limit_on_several_fragments_counts_their_sum() -> None:
    assert not refuses(fragments(bytes(60), bytes(40)), 100)
    assert refuses((60).to_bytes(4, "big") + bytes(60) + mark(41), 100)
    assert refuses((60).to_bytes(4, "big") + bytes(60) + (41).to_bytes(4, "big"), 100)


def test_the_limit_is_of_one_record() -> None:
    assert not refuses(fragments(bytes(60), bytes(40)) * 5 + fragments(bytes(100)) * 5, 100)


def test_marks_without_content_come_to_an_end() -> None:
    most = FRAGMENTS_MAX - 1
    assert not refuses(bytes(4) * most + mark(0), LIMIT)
    assert refuses(bytes(4) * (most + 1), LIMIT)


def test_a_good_record_before_a_bad_one_is_handed_out() -> None:
    reader = RecordReader(100)
    reader.room()[:11] = fragments(b"abc") + b"\xff\xff\xff\xff"
    reader.received(11)
    assert bytes(reader.record() or b"") == b"abc"
    with pytest.raises(RecordTooLong):
        reader.record()


# --- memory -------------------------------------------------------------------------------------


def memory_of(limit: int, pieces: Iterable[bytes]) -> int:
    """Bytes that a reader holds after all of the pieces, at its worst."""
    tracemalloc.start()
    try:
        reader = RecordReader(limit)
        for piece in pieces:
            feed(reader, piece)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_follows_what_arrived_not_what_was_announced() -> None:
    large = 1 << 30
    assert memory_of(large, [mark(large)]) < 3 * READ_BYTES
    assert memory_of(large, [mark(large), *[bytes(1000)] * 60]) < 3 * READ_BYTES
    # Four times what arrived, and what it was copied from.
    assert memory_of(large, [mark(large), *[bytes(10_000)] * 100]) < 6_000_000


def test_many_small_fragments_hold_what_they_hold() -> None:
    piece = b"\0\0\1\0" + bytes(256)
    assert memory_of(LIMIT, [piece] * (FRAGMENTS_MAX - 1)) < 900_000


def test_memory_does_not_grow_with_the_number_of_records() -> None:
    stream = fragments(bytes(5000)) * 4 + fragments(bytes(700), b"", bytes(9))
    assert memory_of(LIMIT, [stream] * 300) < 4 * READ_BYTES + 3 * len(stream)


def test_a_long_record_is_not_copied_over_and_over() -> None:
    reader, moved = RecordReader(1 << 30), 0
    feed(reader, mark(16 << 20))
    before = reader.room().obj
    for _ in range(16 << 4):
        feed(reader, bytes(1 << 16))
        if (now := reader.room().obj) is not before:
            moved, before = moved + 1, now
    assert moved <= 6
