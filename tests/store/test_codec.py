"""Compression of single objects: what is stored, what is refused."""

from __future__ import annotations

import argparse
import random
import threading
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from store import codec, errors

TEXT = b"".join(b"line %d of a text that repeats itself\n" % (n % 97) for n in range(6000))


@pytest.mark.parametrize("size", [0, 1, 47, 48, 200, 4096, 16384, 65536, 131072, 200_000])
@pytest.mark.parametrize("level", [0, 1, codec.LEVEL_DENSE])
def test_round_trip_of_every_size_class(size: int, level: int) -> None:
    for data in (TEXT[:size], random.Random(size).randbytes(size), bytes(size)):
        codec_id, payload = codec.encode(data, level)
        assert codec.decode(codec_id, payload, size) == data


@given(st.binary(max_size=3000), st.integers(1, 40))
def test_round_trip_of_any_bytes(data: bytes, times: int) -> None:
    codec_id, payload = codec.encode(memoryview(bytearray(data * times)))
    assert codec.decode(codec_id, payload, len(data) * times) == data * times
    assert len(payload) <= len(data) * times


def test_text_is_compressed_well_below_its_size() -> None:
    for size in (1000, 12_000, 131_072):
        codec_id, payload = codec.encode(TEXT[:size])
        assert codec_id == codec.ZSTD
        assert len(payload) < size // 3


def test_denser_level_is_denser() -> None:
    data = Path(argparse.__file__).read_bytes()[:65_000]
    fast, dense = codec.encode(data, 1), codec.encode(data, codec.LEVEL_DENSE)
    assert fast[0] == dense[0] == codec.ZSTD
    assert len(dense[1]) < len(fast[1])


@pytest.mark.parametrize("size", [10, 1000, 20_000, 131_072])
def test_incompressible_data_is_stored_as_it_is_without_a_copy(size: int) -> None:
    data = random.Random(size).randbytes(size)
    codec_id, payload = codec.encode(data)
    assert codec_id == codec.RAW
    assert payload is data


def test_compression_that_saves_too_little_is_not_used() -> None:
    rng = random.Random(3)
    data = rng.randbytes(15_500) + bytes(400)
    assert codec.encode(data)[0] == codec.RAW
    assert codec.encode(rng.randbytes(12_000) + bytes(4000))[0] == codec.ZSTD


def test_sample_sees_compressible_halves() -> None:
    noise = random.Random(4).randbytes(65536)
    assert codec.encode(noise + bytes(65536))[0] == codec.ZSTD
    assert codec.encode(bytes(65536) + noise)[0] == codec.ZSTD


FRAME_OF_1000_ZEROS = bytes.fromhex(
    "00"  # frame descriptor: no content size, checksum, dictionary id
    "00"  # window descriptor: 1 KiB
    "450000"  # last block, compressed, 8 bytes
    "0800"  # literals: raw, one zero byte
    "0100"  # one sequence, predefined tables
    "e4a99c10"  # its bits: 999 bytes from one byte back
)


def test_frame_of_an_earlier_release_is_understood() -> None:
    assert codec.decode(codec.ZSTD, FRAME_OF_1000_ZEROS, 1000) == bytes(1000)


def test_frame_has_the_short_header() -> None:
    codec_id, payload = codec.encode(bytes(1000))
    assert codec_id == codec.ZSTD
    assert payload[0] == 0
    assert len(payload) <= len(FRAME_OF_1000_ZEROS)


@pytest.mark.parametrize("size", [100, 12_000, 131_072])
def test_cut_or_extended_payloads_are_damaged(size: int) -> None:
    data = TEXT[:size]
    codec_id, payload = codec.encode(data)
    assert codec_id == codec.ZSTD
    step = 1 + len(payload) // 300
    for length in range(0, len(payload), step):
        with pytest.raises(errors.Damaged):
            codec.decode(codec.ZSTD, payload[:length], size)
    for wrong in (bytes(payload) + b"\0", bytes(payload) * 2):
        with pytest.raises(errors.Damaged):
            codec.decode(codec.ZSTD, wrong, size)
    for raw_bytes in (0, 1, size - 1, size + 1):
        with pytest.raises(errors.Damaged):
            codec.decode(codec.ZSTD, payload, raw_bytes)


@given(st.binary(max_size=200), st.integers(0, 4), st.integers(0, 500))
def test_any_payload_gives_exactly_the_size_or_damaged(
    payload: bytes, codec_id: int, size: int
) -> None:
    try:
        assert len(codec.decode(codec_id, payload, size)) == size
    except errors.Damaged:
        pass


def test_flipped_bits_never_give_another_size() -> None:
    data = TEXT[:700]
    _, payload = codec.encode(data)
    refused = 0
    for bit in range(len(payload) * 8):
        flipped = bytearray(payload)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            assert len(codec.decode(codec.ZSTD, flipped, 700)) == 700
        except errors.Damaged:
            refused += 1
    assert refused > 8


def test_frame_that_claims_a_huge_size_is_refused_before_it_is_allocated() -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(
        3, format=zstandard.FORMAT_ZSTD1_MAGICLESS, write_content_size=True
    )
    bomb = zstandard.ZstdCompressor(compression_params=parameters).compress(bytes(1 << 24))
    with pytest.raises(errors.Damaged, match="format"):
        codec.decode(codec.ZSTD, bomb, 100)
    lean = codec.encode(bytes(1 << 24))[1]
    with pytest.raises(errors.Damaged):
        codec.decode(codec.ZSTD, lean, 100)


def test_raw_payload_of_another_size_is_damaged() -> None:
    with pytest.raises(errors.Damaged):
        codec.decode(codec.RAW, b"abc", 4)


def test_threads_do_not_disturb_each_other() -> None:
    failures: list[int] = []

    def work(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(60):
            start, size = rng.randrange(1000), rng.randrange(100, 100_000)
            data = TEXT[start : start + size]
            codec_id, payload = codec.encode(data)
            if codec.decode(codec_id, payload, size) != data:
                failures.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
