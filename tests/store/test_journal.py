"""The write-ahead journal: layout, replay, failed writes, power cuts."""

from __future__ import annotations

import errno
import os
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from store import disk, errors, faults
from store.journal import Journal
from store.journal_segment import BLOCK_BYTES
from tests.store import powercut
from tests.store.journal_tools import (
    STORE,
    Records,
    blocks,
    crashed,
    fill,
    fresh,
    payload,
    replayed,
    segment,
)


@pytest.fixture(autouse=True)
def _nothing_stays_armed() -> Iterator[None]:
    yield
    disk.inject(None)
    disk.record(None)
    faults.arm(None)


def test_layout_byte_by_byte(tmp_path: Path) -> None:
    journal = fresh(tmp_path, first=7)
    assert journal.append([b"first", b"", memoryview(b"part")]) == 7
    assert journal.append([bytes(5000)]) == 8
    data = segment(tmp_path).read_bytes()
    salt = data[32:40]
    head = (
        b"fsgwjrnl"
        b"\x01\x00"  # format version
        b"\x00\x00"
        b"\x00\x00\x00\x00"  # segment number
        + STORE
        + salt
        + b"\x07\x00\x00\x00\x00\x00\x00\x00"  # first sequence
        + bytes(456)
    )
    assert data[:4096] == (head + struct.pack("<Q", xxh3_64_intdigest(head))) * 8
    rest = (
        b"FSJL"
        b"\x09\x00\x00\x00"  # payload bytes
        b"\x07\x00\x00\x00\x00\x00\x00\x00"  # sequence
        b"firstpart" + bytes(4096 - 24 - 9)
    )
    checksum = xxh3_64_intdigest(rest, struct.unpack("<Q", salt)[0])
    assert data[4096:8192] == struct.pack("<Q", checksum) + rest
    assert data[8200:8216] == b"FSJL" + struct.pack("<IQ", 5000, 8)
    assert len(data) == 256 * 1024
    assert not any(data[16384:])


def test_empty_journal_replays_nothing(tmp_path: Path) -> None:
    found, journal = replayed(tmp_path, first=5)
    assert (found, journal.next_sequence, journal.damage) == ([], 5, None)
    journal.reset(5)
    journal.close(clean=False)
    assert replayed(tmp_path, first=5)[0] == []


def test_append_before_reset_is_refused(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path), STORE)
    with pytest.raises(ValueError, match="not reset"):
        journal.append([b"x"])


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_replay_equals_what_was_appended(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("journal")
    first = data.draw(st.integers(0, 2**40), label="first")
    journal, made, tokens = fresh(directory, first), Records(), list[tuple[int, int]]()
    for _ in range(data.draw(st.integers(0, 20), label="steps")):
        step = data.draw(st.sampled_from(["append", "append", "append", "rotate", "retire"]))
        if step == "append":
            buffers = data.draw(st.lists(st.binary(max_size=6000), max_size=3))
            made.append((journal.append(buffers), b"".join(buffers)))
        elif step == "rotate":
            tokens.append((journal.rotate(), journal.next_sequence))
        elif tokens:
            token, first = tokens.pop(0)
            journal.retire(token)
    journal.close(clean=False)
    later = data.draw(st.integers(first, journal.next_sequence), label="replayed from")
    for start in (first, later):
        found, again = replayed(directory, start)
        assert found == [item for item in made if item[0] >= start]
        assert again.next_sequence == journal.next_sequence
        assert again.damage is None


def test_record_larger_than_any_step_of_growth(tmp_path: Path) -> None:
    journal = fresh(tmp_path)
    made = [(journal.append([data]), data) for data in (payload(1, 12_000_000), b"x")]
    assert journal.used_bytes == blocks(12_000_000) + BLOCK_BYTES
    journal.close(clean=False)
    assert replayed(tmp_path)[0] == made


def test_clean_close_leaves_no_segment(tmp_path: Path) -> None:
    journal = fresh(tmp_path)
    fill(journal, 3)
    journal.rotate()
    fill(journal, 3)
    assert len(list(tmp_path.iterdir())) == 2
    journal.close(clean=True)
    assert list(tmp_path.iterdir()) == []


def test_an_append_is_one_durable_write_of_whole_blocks(tmp_path: Path) -> None:
    journal = fresh(tmp_path)
    events: list[disk.Event] = []
    disk.record(events.append)
    for size in (1, 4072, 4073, 20_000):
        journal.append([bytes(size)])
    assert [(event.op, event.offset, len(event.data)) for event in events] == [
        ("write_sync", 4096, 4096),
        ("write_sync", 8192, 4096),
        ("write_sync", 12288, 8192),
        ("write_sync", 20480, 20480),
    ]


def test_growth_writes_synced_zeros_ahead_in_doubling_steps(tmp_path: Path) -> None:
    journal = fresh(tmp_path)
    sizes = {journal.allocated_bytes}
    for _ in range(70):
        journal.append([bytes(60_000)])
        sizes.add(journal.allocated_bytes)
        assert os.stat(segment(tmp_path)).st_size == journal.allocated_bytes
    kib = [size // 1024 for size in sorted(sizes)]
    assert kib == [256, 512, 1024, 2048, 4096, 8192]


# --- failed writes ----------------------------------------------------------------------------


class Failing:
    """A disk whose calls fail after `room` more bytes of writes, with one errno."""

    def __init__(self, room: int, code: int = errno.ENOSPC) -> None:
        self.room, self.code = room, code

    def __call__(self, op: disk.Op, path: str, size: int) -> int | None:
        if op not in ("write", "write_sync"):
            return None
        part = min(size, self.room) // BLOCK_BYTES * BLOCK_BYTES
        if not part:
            raise OSError(self.code, "no")
        self.room -= part
        return part


@pytest.mark.parametrize("room_blocks", range(6))
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_failed_append_hides_nothing_that_follows(
    tmp_path: Path, room_blocks: int, code: int
) -> None:
    journal = fresh(tmp_path)
    made = fill(journal, 2)
    disk.inject(Failing(room_blocks * BLOCK_BYTES, code))
    error = errors.StorageFailure if code == errno.EIO else errors.NoSpace
    with pytest.raises(error, match=r"00000000\.log"):
        journal.append([payload(0, 30_000)])
    assert journal.next_sequence == 3
    disk.inject(None)
    made += fill(journal, 3, size=300)
    journal.close(clean=False)
    found, again = replayed(tmp_path)
    assert (found, again.damage) == (made, None)


@pytest.mark.parametrize("whole", [False, True])
def test_failed_append_does_not_come_back_after_rotation(tmp_path: Path, whole: bool) -> None:
    """The record reaches the disk, yet the system says that it failed."""
    journal = fresh(tmp_path)
    made = fill(journal, 1)
    real = os.pwritev

    def late(fd: int, buffers: list[bytes], offset: int, flags: int) -> int:
        if whole and any(buffers[0]):  # the record, but not the zeros that would void it
            real(fd, buffers, offset, flags)
        raise OSError(errno.EIO, "lost its answer")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pwritev", late)
        with pytest.raises(errors.StorageFailure):
            journal.append([b"never acknowledged"])
        patch.setattr(os, "pwritev", lambda *_: 0)
        with pytest.raises(errors.StorageFailure):
            journal.rotate()
    journal.rotate()
    made += fill(journal, 2)
    journal.close(clean=False)
    found, again = replayed(tmp_path)
    assert (found, again.damage) == (made, None)


def test_short_writes_are_continued(tmp_path: Path) -> None:
    disk.inject(lambda op, path, size: BLOCK_BYTES if "write" in op else None)
    made = crashed(tmp_path, 4, size=15_000)
    assert replayed(tmp_path)[0] == made


def test_no_room_for_growth_still_takes_what_fits(tmp_path: Path) -> None:
    journal = fresh(tmp_path)
    made = fill(journal, 1, size=250_000)
    disk.inject(Failing(300 * 1024))
    made.append((journal.append([payload(9, 20_000)]), payload(9, 20_000)))
    with pytest.raises(errors.NoSpace):
        journal.append([payload(9, 200_000)])
    disk.inject(None)
    made += fill(journal, 1, size=200_000)
    journal.close(clean=False)
    assert replayed(tmp_path)[0] == made


@pytest.mark.parametrize("spare", [False, True])
def test_failed_rotation_changes_nothing(tmp_path: Path, spare: bool) -> None:
    journal = fresh(tmp_path)
    made = fill(journal, 2)
    first = 1
    if spare:
        journal.retire(journal.rotate())
        first = journal.next_sequence
        made = fill(journal, 2)
    disk.inject(Failing(0))
    with pytest.raises(errors.NoSpace):
        journal.rotate()
    disk.inject(None)
    made += fill(journal, 1)
    journal.rotate()
    made += fill(journal, 2)
    journal.close(clean=False)
    found, again = replayed(tmp_path, first)
    assert (found, again.damage) == (made, None)
    assert len(list(tmp_path.iterdir())) == 2


def test_failed_reset_can_be_made_again(tmp_path: Path) -> None:
    crashed(tmp_path, 3)
    journal = Journal(str(tmp_path), STORE)
    disk.inject(Failing(0))
    with pytest.raises(errors.NoSpace):
        journal.reset(4)
    assert list(tmp_path.iterdir()) == []
    disk.inject(None)
    journal.reset(4)
    made = fill(journal, 1)
    journal.close(clean=False)
    assert replayed(tmp_path, 4)[0] == made


def test_disk_without_direct_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def no_direct(path: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "no direct writes here")
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", no_direct)
    made = crashed(tmp_path, 5)
    assert replayed(tmp_path)[0] == made


def test_fault_points_come_in_order(tmp_path: Path) -> None:
    seen: list[str] = []
    faults.arm(seen.append)
    journal = fresh(tmp_path)
    fill(journal, 1)
    journal.retire(journal.rotate())
    assert seen == [
        "journal.reset",
        "journal.reserved",
        "journal.appended",
        "journal.reserved",
        "journal.rotated",
        "journal.retired",
    ]


def test_power_cut_at_any_event_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    source, left = tmp_path / "source", tmp_path / "left"
    source.mkdir()
    rng = random.Random(20)
    events: list[disk.Event] = []
    disk.record(events.append)
    journal = fresh(source)
    made, checkpoint = Records(), 1
    states = [(len(events), 0, 1)]  # events so far, records acknowledged, replayed from
    for _ in range(60):
        if rng.random() < 0.2:
            token = journal.rotate()
            checkpoint = journal.next_sequence
            states.append((len(events), len(made), checkpoint))
            journal.retire(token)
        else:
            made += fill(journal, 1, size=rng.choice((50, 4200, 40_000)))
        states.append((len(events), len(made), checkpoint))
    disk.record(None)
    for end in range(1, len(events) + 1):
        sure = [state for state in states if state[0] < end]
        acknowledged, first = (sure[-1][1], sure[-1][2]) if sure else (0, 1)
        powercut.rebuild(events[:end], left, source, rng)
        found, again = replayed(left, first)
        assert again.damage is None
        assert found in (made[first - 1 : acknowledged], made[first - 1 : acknowledged + 1])
        again.reset(again.next_sequence)
        added = fill(again, 1)
        again.close(clean=False)
        assert replayed(left, added[0][0])[0] == added
