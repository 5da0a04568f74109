"""Replay of a journal that was cut, damaged, or written over older records."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from xxhash import xxh3_64_intdigest

from store import errors
from store.journal import Journal
from store.journal_segment import BLOCK_BYTES, RECORD_HEADER_BYTES
from tests.store.journal_tools import (
    STORE,
    Records,
    crashed,
    fill,
    fresh,
    replayed,
    segment,
)


def test_cut_at_many_lengths_leaves_the_whole_records_before_it(tmp_path: Path) -> None:
    made = crashed(tmp_path, 4, size=700)
    path = segment(tmp_path)
    near = (0, 1, RECORD_HEADER_BYTES - 1, RECORD_HEADER_BYTES, BLOCK_BYTES - 1)
    for size in range(BLOCK_BYTES * 5, -1, -1):
        os.truncate(path, size)
        if size % BLOCK_BYTES in near or not size % 61:
            found, journal = replayed(tmp_path)
            assert found == made[: max(0, size // BLOCK_BYTES - 1)]
            assert journal.damage is None


def test_last_record_torn_at_every_byte_is_left_out(tmp_path: Path) -> None:
    made = crashed(tmp_path, 3, size=900)
    path = segment(tmp_path)
    start = BLOCK_BYTES * 3
    for at in range(start + RECORD_HEADER_BYTES + 900 - 1, start - 1, -1):
        with open(path, "r+b") as file:
            file.seek(at)
            changed = file.read(1) != b"\0"
            file.seek(at)
            file.write(b"\0")
        if changed:
            found, journal = replayed(tmp_path)
            assert found == made[:2]
            assert (journal.next_sequence, journal.damage) == (3, None)


def flip(path: Path, at: int, bit: int) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1 << bit]))


def test_flipped_bit_in_each_byte_of_a_record(tmp_path: Path) -> None:
    made = crashed(tmp_path, 3, size=40)
    path = segment(tmp_path)
    for at in range(BLOCK_BYTES, BLOCK_BYTES * 4):
        if at % BLOCK_BYTES > 100 and at % 37:
            continue
        flip(path, at, at % 8)
        found, journal = replayed(tmp_path)
        flip(path, at, at % 8)
        hit = at // BLOCK_BYTES - 1
        assert found == made[:hit]
        if hit < 2:
            assert f"record {hit + 1} is lost" in (journal.damage or "")
        else:  # nothing follows: it looks the same as a record that a cut has torn
            assert journal.damage is None
    assert replayed(tmp_path)[0] == made


def test_flipped_bits_in_the_header_do_no_harm(tmp_path: Path) -> None:
    made = crashed(tmp_path, 2)
    path = segment(tmp_path)
    data = path.read_bytes()
    for at in range(0, BLOCK_BYTES, 5):
        flipped = bytearray(data[:BLOCK_BYTES])
        flipped[at] ^= 1 << at % 8
        with open(path, "r+b") as file:
            file.write(flipped)
        found, journal = replayed(tmp_path)
        assert (found, journal.damage) == (made, None)


def test_header_with_one_good_sector_is_enough(tmp_path: Path) -> None:
    made = crashed(tmp_path, 2)
    path = segment(tmp_path)
    for good in range(8):
        data = path.read_bytes()
        sector = data[good * 512 : good * 512 + 512]
        path.write_bytes(b"\xff" * 512 * good + sector + b"\xff" * 512 * (7 - good) + data[4096:])
        assert replayed(tmp_path)[0] == made
        path.write_bytes(sector * 8 + data[4096:])


def test_missing_segment_is_reported_as_loss(tmp_path: Path) -> None:
    journal = fresh(tmp_path)
    made = fill(journal, 2)
    journal.rotate()
    fill(journal, 2)
    journal.rotate()
    fill(journal, 1)
    journal.close(clean=False)
    segment(tmp_path, 1).unlink()
    found, journal = replayed(tmp_path)
    assert found == made
    assert journal.damage is not None
    assert "record 3 is lost" in journal.damage


def test_segments_of_another_store_or_version_are_refused(tmp_path: Path) -> None:
    crashed(tmp_path, 1)
    with pytest.raises(errors.Damaged, match="another store"):
        list(Journal(str(tmp_path), bytes(16)).replay(1))
    path = segment(tmp_path)
    data = path.read_bytes()
    newer = data[:8] + b"\x02\x00" + data[10:504]
    path.write_bytes((newer + struct.pack("<Q", xxh3_64_intdigest(newer))) * 8 + data[4096:])
    with pytest.raises(errors.WrongVersion, match="version 2"):
        list(Journal(str(tmp_path), STORE).replay(1))


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    made = crashed(tmp_path, 2)
    for name, content in (("notes.txt", b"x"), ("00000009.log", b""), ("0000000a.log", bytes(99))):
        (tmp_path / name).write_bytes(content)
    found, journal = replayed(tmp_path)
    assert (found, journal.damage) == (made, None)
    journal.reset(3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0000000b.log", "notes.txt"]


# --- recycling --------------------------------------------------------------------------------


def test_recycled_segment_is_used_again_without_growing(tmp_path: Path) -> None:
    journal = fresh(tmp_path)
    fill(journal, 50, size=9000)
    size = journal.allocated_bytes
    journal.retire(journal.rotate())
    journal.retire(journal.rotate())
    made = fill(journal, 50, size=9000)
    assert journal.allocated_bytes == size + 256 * 1024
    assert len(list(tmp_path.iterdir())) == 2
    journal.close(clean=False)
    assert replayed(tmp_path, 51)[0] == made


def test_stale_records_behind_the_last_one_are_never_taken(tmp_path: Path) -> None:
    """All records take one block, so that stale ones lie exactly where the next would."""
    for count in range(1, 6):
        directory = tmp_path / str(count)
        directory.mkdir()
        journal = fresh(directory)
        fill(journal, 5, size=100)
        journal.retire(journal.rotate())
        journal.retire(journal.rotate())
        made = fill(journal, count, size=100)
        journal.close(clean=False)
        for first in (1, 6):
            found, again = replayed(directory, first)
            assert found == (made if first == 6 else [])
        assert (again.next_sequence, again.damage) == (6 + count, None)


def test_stale_record_with_the_very_number_that_is_expected(tmp_path: Path) -> None:
    """As after a rotten record: 2 is unreadable and 3 whole, and 2 is given out again."""
    crashed(tmp_path, 3, size=100)
    path = segment(tmp_path)
    stale = path.read_bytes()[BLOCK_BYTES * 3 : BLOCK_BYTES * 4]
    journal = fresh(tmp_path, first=2)
    made = fill(journal, 1, size=5000)
    journal.close(clean=False)
    (current,) = tmp_path.glob("*.log")
    data = bytearray(current.read_bytes())
    data[BLOCK_BYTES * 3 : BLOCK_BYTES * 4] = stale
    current.write_bytes(data)
    assert replayed(tmp_path, 2)[0] == made


def test_record_copied_into_a_payload_is_no_record(tmp_path: Path) -> None:
    """What a client could forge without the salt: a record of the right number and place."""
    journal = fresh(tmp_path)
    rest = struct.pack("<IIQ", 0x4C4A5346, 10, 3) + bytes(4072)
    forged = struct.pack("<Q", xxh3_64_intdigest(rest)) + rest
    journal.append([bytes(BLOCK_BYTES - RECORD_HEADER_BYTES) + forged * 3])
    journal.retire(journal.rotate())
    journal.retire(journal.rotate())
    made = fill(journal, 1, size=100)
    journal.close(clean=False)
    found, again = replayed(tmp_path, 2)
    assert (found, again.next_sequence, again.damage) == (made, 3, None)


def test_torn_header_of_a_recycled_segment(tmp_path: Path) -> None:
    journal = fresh(tmp_path)
    fill(journal, 3)
    journal.retire(journal.rotate())
    live = fill(journal, 3)
    path = segment(tmp_path, 0)
    old = path.read_bytes()[:BLOCK_BYTES]
    journal.rotate()
    new = path.read_bytes()
    journal.close(clean=False)
    assert old != new[:BLOCK_BYTES]
    for mask in range(256):
        header = b"".join(
            (new if mask >> n & 1 else old)[n * 512 : n * 512 + 512] for n in range(8)
        )
        with open(path, "r+b") as file:
            file.write(header)
        found, again = replayed(tmp_path, 4)
        assert (found, again.damage) == (live, None)


def test_token_can_be_retired_once(tmp_path: Path) -> None:
    journal = fresh(tmp_path)
    token = journal.rotate()
    journal.retire(token)
    for wrong in (token, 99):
        with pytest.raises(KeyError):
            journal.retire(wrong)


def test_segments_beyond_one_spare_are_removed(tmp_path: Path) -> None:
    journal = fresh(tmp_path)
    tokens, made = [], Records()
    for _ in range(4):
        made += fill(journal, 2)
        tokens.append(journal.rotate())
    assert len(list(tmp_path.iterdir())) == 5
    for token in tokens:
        journal.retire(token)
    assert len(list(tmp_path.iterdir())) == 2
    made = fill(journal, 2)
    journal.close(clean=False)
    assert replayed(tmp_path, 9)[0] == made
