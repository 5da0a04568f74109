"""Writing packs: batches, going on after a crash, failed writes, power cuts."""

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

from store import disk, errors, faults, pack_writer
from store.pack_reader import PackReader
from store.pack_writer import PackWriter
from tests.store import powercut
from tests.store.pack_tools import STORE, Made, flaws_of, noise, put, small_pack


@pytest.fixture(autouse=True)
def _nothing_stays_armed() -> Iterator[None]:
    yield
    disk.inject(None)
    disk.record(None)
    faults.arm(None)


class Full:
    """A disk with room for `room` more bytes of writes."""

    def __init__(self, room: int) -> None:
        self.room = room

    def __call__(self, op: disk.Op, path: str, size: int) -> int | None:
        if op not in ("write", "write_sync"):
            return None
        if not self.room:
            raise OSError(errno.ENOSPC, "full")
        part = min(size, self.room)
        self.room -= part
        return part


def test_sync_makes_the_name_durable_once(tmp_path: Path) -> None:
    seen: list[str] = []
    disk.record(lambda event: seen.append(event.op))
    writer = PackWriter(str(tmp_path), 1, STORE)
    put(writer, b"one")
    writer.sync()
    put(writer, b"two")
    writer.sync()
    writer.sync()
    assert seen == ["create", "write", "sync", "sync_directory", "write", "sync"]


def test_large_batches_are_cut_into_bounded_writes(tmp_path: Path) -> None:
    sizes: list[int] = []
    disk.record(lambda event: sizes.append(len(event.data)))
    writer = PackWriter(str(tmp_path), 1, STORE)
    made = [put(writer, noise(300_000, n)) for n in range(40)]
    made += [put(writer, b"%d" % n) for n in range(3000)]
    writer.sync()
    assert max(sizes) < pack_writer._BATCH_BYTES_MAX + 400_000
    assert sum(sizes) == writer.size
    # Two objects of 300 KB fill a batch; of the small ones it is their number that cuts it.
    assert len([size for size in sizes if size]) == 20 + 3
    reader = PackReader(str(tmp_path))
    assert all(reader.read(oid, where) == data for oid, where, data in made)


def test_writer_goes_on_where_it_was_told_and_cuts_the_rest(tmp_path: Path) -> None:
    made = small_pack(tmp_path)
    start = made[2][1].offset
    writer = PackWriter(str(tmp_path), 1, STORE, start)
    assert writer.size == writer.synced_size == start
    added = put(writer, b"later")
    writer.sync()
    good, flaws = flaws_of(tmp_path)
    assert good == [(where, oid) for oid, where, _ in [*made[:2], added]]
    assert not flaws


def test_new_pack_replaces_a_file_left_by_a_crash(tmp_path: Path) -> None:
    (tmp_path / "00000001.pack").write_bytes(b"left over" * 100)
    made = small_pack(tmp_path)
    assert flaws_of(tmp_path) == ([(where, oid) for oid, where, _ in made], [])


@pytest.mark.parametrize(
    ("at", "value", "error"),
    [
        (0, 0x00, errors.Damaged),
        (8, 0x02, errors.Damaged),
        (12, 0x02, errors.Damaged),
        (20, 0xFF, errors.Damaged),
        (39, 0x5A, errors.Damaged),
    ],
)
def test_writer_refuses_a_file_header_that_is_damaged(
    tmp_path: Path, at: int, value: int, error: type[errors.StoreError]
) -> None:
    made = small_pack(tmp_path)
    path = tmp_path / "00000001.pack"
    data = bytearray(path.read_bytes())
    data[at] = value
    path.write_bytes(data)
    with pytest.raises(error, match=r"00000001\.pack"):
        PackWriter(str(tmp_path), 1, STORE, made[-1][1].end)


def test_writer_refuses_other_packs(tmp_path: Path) -> None:
    end = small_pack(tmp_path)[-1][1].end
    path = tmp_path / "00000001.pack"
    with pytest.raises(errors.Damaged, match="another store"):
        PackWriter(str(tmp_path), 1, bytes(16), end)
    with pytest.raises(errors.Damaged, match="ends at"):
        PackWriter(str(tmp_path), 1, STORE, end + 1)
    with pytest.raises(ValueError, match="within"):
        PackWriter(str(tmp_path), 1, STORE, 10)
    data = path.read_bytes()
    newer = b"fsgwpack" + b"\x02\x00" + data[10:32]
    path.write_bytes(newer + struct.pack("<Q", xxh3_64_intdigest(newer)) + data[40:])
    with pytest.raises(errors.WrongVersion, match="version 2"):
        PackWriter(str(tmp_path), 1, STORE, end)
    path.write_bytes(data)
    os.rename(path, tmp_path / "00000002.pack")
    with pytest.raises(errors.Damaged, match="is pack 00000001"):
        PackWriter(str(tmp_path), 2, STORE, end)
    assert (tmp_path / "00000002.pack").read_bytes() == data


def test_short_writes_are_continued(tmp_path: Path) -> None:
    disk.inject(lambda op, path, size: 7001 if op == "write" else None)
    writer = PackWriter(str(tmp_path), 1, STORE)
    made = [put(writer, noise(size, size)) for size in (30_000, 10, 9000, 14_000)]
    writer.sync()
    assert flaws_of(tmp_path) == ([(where, oid) for oid, where, _ in made], [])


@pytest.mark.parametrize("room", [0, 1, 39, 40, 41, 100, 5000, 20_200])
def test_full_disk_loses_nothing_and_leaves_nothing_half(tmp_path: Path, room: int) -> None:
    writer = PackWriter(str(tmp_path), 1, STORE)
    disk.inject(Full(room))
    made = [put(writer, noise(10_000, n)) for n in range(3)]
    for _ in range(2):
        with pytest.raises(errors.NoSpace, match=r"00000001\.pack"):
            writer.sync()
    assert (tmp_path / "00000001.pack").stat().st_size == 0
    disk.inject(None)
    made.append(put(writer, b"more"))
    writer.sync()
    assert flaws_of(tmp_path) == ([(where, oid) for oid, where, _ in made], [])


def test_full_disk_after_a_sync_then_rollback(tmp_path: Path) -> None:
    writer = PackWriter(str(tmp_path), 1, STORE)
    first = put(writer, noise(9000))
    writer.sync()
    mark = writer.size
    disk.inject(Full(12_000))
    put(writer, noise(9000, 2))
    put(writer, noise(9000, 3))
    with pytest.raises(errors.NoSpace):
        writer.sync()
    writer.rollback(mark)
    assert writer.size == mark == (tmp_path / "00000001.pack").stat().st_size
    disk.inject(None)
    second = put(writer, b"small")
    writer.sync()
    assert flaws_of(tmp_path) == ([(where, oid) for oid, where, _ in [first, second]], [])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.integers(0, 20_000).map(lambda size: ("put", size)),
            st.sampled_from([("flush", 0), ("sync", 0), ("back", 0), ("back", 1), ("back", 3)]),
            st.integers(0, 30_000).map(lambda room: ("full", room)),
        ),
        max_size=25,
    )
)
def test_any_sequence_of_calls_leaves_a_whole_pack(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    directory = tmp_path_factory.mktemp("packs")
    writer = PackWriter(str(directory), 1, STORE)
    made: list[Made] = []
    for number, (step, value) in enumerate(steps):
        try:
            if step == "put":
                made.append(put(writer, noise(value, number)))
            elif step == "flush":
                writer.flush_buffers()
            elif step == "sync":
                writer.sync()
            elif step == "full":
                disk.inject(Full(value))
            elif value < len(made):
                writer.rollback(made[value][1].offset)
                del made[value:]
        except errors.NoSpace:
            pass
    disk.inject(None)
    writer.sync()
    assert flaws_of(directory) == ([(where, oid) for oid, where, _ in made], [])
    assert (directory / "00000001.pack").stat().st_size == writer.size == writer.synced_size


@pytest.mark.parametrize("synced_before", [False, True])
def test_failed_sync_must_be_rolled_back(tmp_path: Path, synced_before: bool) -> None:
    writer = PackWriter(str(tmp_path), 1, STORE)
    kept = [put(writer, b"kept")] if synced_before else []
    if synced_before:
        writer.sync()
    mark = writer.size
    put(writer, noise(10_000))

    def no_sync(op: disk.Op, path: str, size: int) -> None:
        if op == "sync":
            raise OSError(errno.EIO, "gone")

    disk.inject(no_sync)
    with pytest.raises(errors.StorageFailure):
        writer.sync()
    disk.inject(None)
    for call in (writer.sync, writer.flush_buffers, lambda: put(writer, b"no")):
        with pytest.raises(errors.StorageFailure, match="roll back"):
            call()
    with pytest.raises(ValueError, match="roll back"):
        writer.rollback(writer.size)
    writer.rollback(mark)
    kept.append(put(writer, b"new"))
    seen: list[disk.Event] = []
    disk.record(seen.append)
    writer.sync()
    assert flaws_of(tmp_path) == ([(where, oid) for oid, where, _ in kept], [])
    # What the failed sync may have dropped is written again, the file header included.
    assert seen[0].offset == (mark if synced_before else 0)


def test_rollback_beyond_the_end_is_refused(tmp_path: Path) -> None:
    writer = PackWriter(str(tmp_path), 1, STORE)
    with pytest.raises(ValueError, match="roll back"):
        writer.rollback(writer.size + 1)


def test_tail_that_resists_being_cut_is_cut_before_the_next_write(tmp_path: Path) -> None:
    writer = PackWriter(str(tmp_path), 1, STORE)
    first = put(writer, b"first")
    writer.sync()
    put(writer, noise(9000))
    writer.flush_buffers()

    def no_truncate(op: disk.Op, path: str, size: int) -> None:
        if op == "truncate":
            raise OSError(errno.EIO, "no")

    disk.inject(no_truncate)
    writer.rollback(first[1].end)
    second = put(writer, b"second")
    with pytest.raises(errors.StorageFailure):
        writer.sync()
    disk.inject(None)
    writer.sync()
    assert flaws_of(tmp_path) == ([(where, oid) for oid, where, _ in [first, second]], [])


def test_fault_points_come_in_order(tmp_path: Path) -> None:
    seen: list[str] = []
    faults.arm(seen.append)
    small_pack(tmp_path)
    assert seen == ["pack.written", "pack.synced"]
    with pytest.raises(ValueError, match="undeclared"):
        faults.point("nowhere")


def test_power_cut_keeps_what_was_synced(tmp_path: Path) -> None:
    source, left = tmp_path / "source", tmp_path / "left"
    source.mkdir()
    events: list[disk.Event] = []
    disk.record(events.append)
    synced: list[tuple[int, list[Made]]] = [(0, [])]
    writer = PackWriter(str(source), 1, STORE)
    made: list[Made] = []
    for n in range(12):
        made.append(put(writer, noise(700 * n, n)))
        if n % 4 == 1:
            writer.flush_buffers()
        if n % 3 == 2:
            writer.sync()
            synced.append((len(events), list(made)))
    disk.record(None)
    rng = random.Random(11)
    for end in range(1, len(events) + 1):
        sure = [known for count, known in synced if count < end][-1]
        for _ in range(5):
            powercut.rebuild(events[:end], left, source, rng)
            start = sure[-1][1].end if sure else 0
            writer = PackWriter(str(left), 1, STORE, start)
            added = put(writer, b"after the cut")
            writer.sync()
            writer.close()
            expected = [(where, oid) for oid, where, _ in [*sure, added]]
            assert flaws_of(left) == (expected, [])


def test_what_was_streamed_leaves_the_page_cache_once_it_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []
    monkeypatch.setattr(
        os, "posix_fadvise", lambda fd, offset, length, advice: told.append((offset, length))
    )
    disk.record(lambda event: told.append(event.op) if event.op == "sync" else None)
    writer = PackWriter(str(tmp_path), 1, STORE)
    put(writer, noise(1000, 1))
    writer.sync()
    small = writer.size
    for number in range(5):
        put(writer, noise(1 << 20, number))
    writer.sync()
    disk.record(None)
    assert told[-2:] == ["sync", (small, writer.size - small)]
    assert [entry for entry in told if entry != "sync"] == told[-1:]
    writer.close()
