"""Compression of single objects: when it pays, at which level, and back within bounds.

A payload is raw (codec 0) or one zstd frame (codec 1) without the zstd magic number, content
size, dictionary id or checksum: the record around it has the size and a checksum of its own.
Compressors are kept for each thread, since one must not be used by two threads at once, and for
each size class, since zstd's tables for small inputs are both faster and tighter on them.
"""

from __future__ import annotations

import threading
from typing import Final

import zstandard

from store import errors

RAW: Final = 0
ZSTD: Final = 1

# Blocks on the hot write path take the fast level. Smaller objects (small files, map nodes) are
# few bytes but most of a source tree: level 7 stores them in less space than zlib's level 6,
# in less time. The dense level is for rewriting in the background. Where tens of thousands of small
# objects come at once, the bulk level takes two thirds of the fast one's time for 2 % more space.
LEVEL_BULK: Final = 1
LEVEL_FAST: Final = 3
LEVEL_SMALL: Final = 7
LEVEL_DENSE: Final = 12
FAST_BYTES_MIN: Final = 64 * 1024

# Below this no frame is smaller than its input often enough to be worth the try.
_TRY_BYTES_MIN = 48
# Larger inputs are probed first, so that incompressible data costs one small sample.
_PROBE_BYTES_MIN = 16 * 1024
_SAMPLE_BYTES = 2048
# Compression pays when it saves at least one part in 16: reading it back costs time.
_PAYS_NUMERATOR, _PAYS_DENOMINATOR = 15, 16

_SIZE_CLASSES = (4 * 1024, 16 * 1024, 128 * 1024, 256 * 1024)
_SIZE_CLASS_MAX = 1024 * 1024
_FRAME_DESCRIPTOR = 0  # RFC 8878 3.1.1.1.1: no content size, dictionary id, checksum

_FORMAT = zstandard.FORMAT_ZSTD1_MAGICLESS

Buffer = bytes | bytearray | memoryview


class _Contexts(threading.local):
    """One thread's compressors by (level, size class), its probe, and its decompressor."""

    def __init__(self) -> None:
        self.compressors: dict[tuple[int, int], zstandard.ZstdCompressor] = {}
        self.probe = _compressor(1, _SAMPLE_BYTES)
        self.decompressor = zstandard.ZstdDecompressor(format=_FORMAT)


def _compressor(level: int, size: int) -> zstandard.ZstdCompressor:
    parameters = zstandard.ZstdCompressionParameters.from_level(
        level,
        source_size=size,
        format=_FORMAT,
        write_content_size=False,
        write_checksum=False,
        write_dict_id=False,
    )
    return zstandard.ZstdCompressor(compression_params=parameters)


_contexts = _Contexts()


def encode(data: Buffer, level: int = 0) -> tuple[int, Buffer]:
    """Return (codec, payload) for an object's bytes; the payload may be `data` itself.

    `level` is zstd's; 0 chooses by size. Runs on any thread, without the interpreter's lock
    while compressing.
    """
    size = len(data)
    if size < _TRY_BYTES_MIN:
        return RAW, data
    if size >= _PROBE_BYTES_MIN and not _promising(data, size):
        return RAW, data
    if not level:
        level = LEVEL_FAST if size >= FAST_BYTES_MIN else LEVEL_SMALL
    for size_class in _SIZE_CLASSES:
        if size <= size_class:
            break
    else:
        size_class = _SIZE_CLASS_MAX
    compressors = _contexts.compressors
    compressor = compressors.get((level, size_class))
    if compressor is None:
        compressor = compressors[level, size_class] = _compressor(level, size_class)
    payload = compressor.compress(data)
    if len(payload) * _PAYS_DENOMINATOR > size * _PAYS_NUMERATOR:
        return RAW, data
    return ZSTD, payload


def _promising(data: Buffer, size: int) -> bool:
    """Say whether a sample from the middle compresses."""
    start = (size - _SAMPLE_BYTES) // 2
    sample = memoryview(data)[start : start + _SAMPLE_BYTES]
    limit = _SAMPLE_BYTES * _PAYS_NUMERATOR // _PAYS_DENOMINATOR
    return len(_contexts.probe.compress(sample)) <= limit


def decode(codec: int, payload: Buffer, raw_bytes: int) -> bytes:
    """Return the `raw_bytes` bytes that `payload` stands for.

    Damaged when the codec is unknown or the payload is anything but exactly that many bytes; no
    payload makes this allocate more than `raw_bytes`.
    """
    if codec == RAW:
        if len(payload) != raw_bytes:
            raise errors.Damaged(f"raw payload of {len(payload)} bytes, not {raw_bytes}")
        return bytes(payload)
    if codec != ZSTD:
        raise errors.Damaged(f"unknown codec {codec}")
    # A frame that states its own content size would have that much allocated; ours never does.
    if not len(payload) or payload[0] != _FRAME_DESCRIPTOR or not raw_bytes:
        raise errors.Damaged("not a frame of this format")
    try:
        data = _contexts.decompressor.decompress(
            payload, max_output_size=raw_bytes, allow_extra_data=False
        )
    except zstandard.ZstdError as error:
        raise errors.Damaged(f"payload does not decompress: {error}") from error
    if len(data) != raw_bytes:
        raise errors.Damaged(f"payload holds {len(data)} bytes, not {raw_bytes}")
    return data
