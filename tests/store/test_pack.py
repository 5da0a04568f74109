"""Packs: the layout, reading back, damage of every kind."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from store import codec, errors
from store.objectid import CHUNK, COMMIT, NODE, object_id
from store.pack import (
    FILE_HEADER_BYTES,
    RECORD_HEADER_BYTES,
    Location,
    pack_numbers,
    pack_path,
    scan,
)
from store.pack_reader import PackReader
from store.pack_writer import PackWriter
from tests.store.pack_tools import STORE, flaws_of, noise, put, small_pack


def test_layout_byte_by_byte(tmp_path: Path) -> None:
    writer = PackWriter(str(tmp_path), 0x1A, STORE)
    oid, location, _ = put(writer, b"a node", NODE)
    writer.sync()
    data = (tmp_path / "0000001a.pack").read_bytes()
    head = b"fsgwpack" + b"\x01\x00" + b"\x00\x00" + b"\x1a\x00\x00\x00" + STORE
    body = (
        b"\x67\x6f"  # magic
        b"\x02"  # kind: node
        b"\x00"  # codec: raw
        b"\x06\x00\x00\x00"  # stored bytes
        b"\x06\x00\x00\x00" + oid + struct.pack("<Q", xxh3_64_intdigest(b"a node"))  # raw bytes
    )
    check = struct.pack("<Q", xxh3_64_intdigest(body))[:4]
    assert data == head + struct.pack("<Q", xxh3_64_intdigest(head)) + body + check + b"a node"
    assert location == Location(0x1A, 40, 6, 6, codec.RAW, NODE)
    assert location.end == len(data) == writer.size


def test_layout_constants() -> None:
    assert (FILE_HEADER_BYTES, RECORD_HEADER_BYTES) == (40, 56)


@given(st.tuples(*[st.integers(0, 2**bits - 1) for bits in (32, 64, 32, 32, 8, 8)]))
def test_location_round_trip(fields: tuple[int, int, int, int, int, int]) -> None:
    location = Location(*fields)
    value = location.to_bytes()
    assert Location.from_bytes(value) == location
    assert len(value) == 22
    for wrong in (value[:-1], value + b"\0", b""):
        with pytest.raises(errors.Damaged):
            Location.from_bytes(wrong)


def test_location_literal_bytes() -> None:
    value = bytes.fromhex("01000000020000000000000003000000040000000102")
    assert Location.from_bytes(value) == Location(1, 2, 3, 4, 1, 2)


def test_objects_are_read_back(tmp_path: Path) -> None:
    made = small_pack(tmp_path)
    reader = PackReader(str(tmp_path))
    assert [reader.read(oid, where) for oid, where, _ in made] == [data for *_, data in made]
    assert made[1][1].codec == codec.ZSTD
    assert flaws_of(tmp_path) == ([(where, oid) for oid, where, _ in made], [])


def test_ids_depend_on_the_kind() -> None:
    ids = {object_id(kind, b"same") for kind in (CHUNK, NODE, COMMIT)}
    assert len(ids) == 3
    with pytest.raises(KeyError):
        object_id(9, b"same")


def test_queued_records_are_readable_after_flush_buffers(tmp_path: Path) -> None:
    writer, reader = PackWriter(str(tmp_path), 1, STORE), PackReader(str(tmp_path))
    oid, where, data = put(writer, noise(20_000))
    with pytest.raises(errors.Damaged, match=oid.hex()):
        reader.read(oid, where)
    writer.flush_buffers()
    assert reader.read(oid, where) == data


def test_pack_numbers_passes_over_other_names(tmp_path: Path) -> None:
    for name in ("00000010.pack", "0000000a.pack", "x.pack", "0000000g.pack", "00000001.tmp"):
        (tmp_path / name).touch()
    assert pack_numbers(str(tmp_path)) == [0xA, 0x10]
    with pytest.raises(errors.StorageFailure):
        pack_numbers(str(tmp_path / "missing"))


# --- damage -----------------------------------------------------------------------------------


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    made = small_pack(tmp_path)
    path = tmp_path / "00000001.pack"
    data = path.read_bytes()
    known = {(where, oid) for oid, where, _ in made}
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        good, flaws = flaws_of(tmp_path)
        assert flaws, f"bit {bit}"
        hit = {item for item in known if item[0].offset <= bit // 8 < item[0].end}
        assert set(good) == known - hit, f"bit {bit}"


def test_read_never_returns_wrong_bytes_whatever_bit_is_flipped(tmp_path: Path) -> None:
    made = small_pack(tmp_path)
    path = tmp_path / "00000001.pack"
    data = path.read_bytes()
    reader = PackReader(str(tmp_path))
    oid, where, content = made[1]
    refused = 0
    for bit in range(where.offset * 8, where.end * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            assert reader.read(oid, where) == content
        except errors.Damaged as error:
            refused += 1
            assert f"pack 00000001 offset {where.offset} object {oid.hex()}" in str(error)
    assert refused == (where.end - where.offset - 4) * 8  # all but the header's own check


def test_every_cut_is_found(tmp_path: Path) -> None:
    made = small_pack(tmp_path)
    path = tmp_path / "00000001.pack"
    data = path.read_bytes()
    ends = [FILE_HEADER_BYTES, *(where.end for _, where, _ in made)]
    for size in range(len(data)):
        path.write_bytes(data[:size])
        good, flaws = flaws_of(tmp_path)
        assert good == [(where, oid) for oid, where, _ in made if where.end <= size]
        assert bool(flaws) == (size not in ends)
        reader = PackReader(str(tmp_path))
        for oid, where, content in made:
            if where.end <= size:
                assert reader.read(oid, where) == content
            else:
                with pytest.raises(errors.Damaged, match=oid.hex()):
                    reader.read(oid, where)


def test_walk_goes_on_behind_a_damaged_stretch(tmp_path: Path) -> None:
    writer = PackWriter(str(tmp_path), 1, STORE)
    made = [put(writer, noise(size, size)) for size in (70_000, 100, 200_000, 66_000, 300, 5)]
    writer.sync()
    with open(pack_path(str(tmp_path), 1), "r+b") as file:
        file.seek(made[2][1].offset)
        file.write(b"\xff" * 30)
    good, flaws = flaws_of(tmp_path)
    assert good == [(where, oid) for oid, where, _ in made if where != made[2][1]]
    assert len(flaws) == 1
    assert flaws[0].startswith(f"{made[2][1].offset}: ")


@pytest.mark.parametrize("before", [1, 2, 20, 55, 56])
def test_next_header_is_found_across_the_edge_of_a_window(tmp_path: Path, before: int) -> None:
    """The search starts one byte behind the damaged header and reads 64 KiB at a time."""
    next_header = FILE_HEADER_BYTES + 1 + 64 * 1024 - before
    writer = PackWriter(str(tmp_path), 1, STORE)
    put(writer, noise(next_header - FILE_HEADER_BYTES - RECORD_HEADER_BYTES))
    oid, where, _ = put(writer, b"found again")
    writer.sync()
    assert where.offset == next_header
    with open(pack_path(str(tmp_path), 1), "r+b") as file:
        file.seek(FILE_HEADER_BYTES)
        file.write(b"\0")
    assert flaws_of(tmp_path)[0] == [(where, oid)]


def test_record_of_wrong_content_is_found_by_verify(tmp_path: Path) -> None:
    writer, reader = PackWriter(str(tmp_path), 1, STORE), PackReader(str(tmp_path))
    wrong = object_id(CHUNK, b"other")
    where = writer.append(wrong, CHUNK, b"bytes")
    odd = writer.append(wrong, 77, b"bytes")
    writer.sync()
    assert reader.read(wrong, where) == b"bytes"
    with pytest.raises(errors.Damaged, match="not those"):
        reader.verify(wrong, where)
    with pytest.raises(errors.Damaged, match="kind 77"):
        reader.verify(wrong, odd)


def test_missing_pack_is_named(tmp_path: Path) -> None:
    reader = PackReader(str(tmp_path))
    where, oid = Location(7, 40, 5, 5, codec.RAW, CHUNK), object_id(CHUNK, b"x")
    with pytest.raises(
        errors.Damaged, match=rf"pack 00000007 offset 40 object {oid.hex()}.*missing"
    ):
        reader.read(oid, where)
    with pytest.raises(errors.Damaged, match=f"object {oid.hex()}"):
        reader.read_many([(oid, where)], [memoryview(bytearray(5))])
    with pytest.raises(errors.Damaged, match="missing"):
        list(scan(str(tmp_path), 7, STORE, lambda at, what: None))


def test_disk_that_cannot_read_is_a_storage_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    oid, where, data = small_pack(tmp_path)[3]
    reader = PackReader(str(tmp_path))

    def broken(*_: object) -> int:
        raise OSError(errno.EIO, "bad sector")

    monkeypatch.setattr(os, "preadv", broken)
    monkeypatch.setattr(os, "pread", broken)
    with pytest.raises(errors.StorageFailure) as caught:
        reader.read(oid, where)
    assert not isinstance(caught.value, errors.Damaged)
    with pytest.raises(errors.StorageFailure, match=r"00000001\.pack"):
        reader.read_many([(oid, where)], [memoryview(bytearray(len(data)))])
