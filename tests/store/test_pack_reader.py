"""Reading packs: many objects at once, several threads, bounded open files."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path

import pytest

from store import errors, pack_reader
from store.pack_reader import PackReader
from store.pack_writer import PackWriter
from tests.store.pack_tools import STORE, TEXT, Made, noise, put, small_pack


def read_all(reader: PackReader, made: list[Made]) -> list[bytes]:
    out = [memoryview(bytearray(len(data))) for *_, data in made]
    reader.read_many([(oid, where) for oid, where, _ in made], out)
    return [bytes(view) for view in out]


def mixed_packs(directory: Path) -> list[Made]:
    made: list[Made] = []
    for pack in (1, 2):
        writer = PackWriter(str(directory), pack, STORE)
        for n in range(12):
            data = noise(1000 * n, pack) if n % 3 else TEXT[: 2000 * n + 100]
            made.append(put(writer, data))
        writer.sync()
        writer.close()
    return made


def test_read_many_in_any_order(tmp_path: Path) -> None:
    made = mixed_packs(tmp_path)
    reader = PackReader(str(tmp_path))
    rng = random.Random(5)
    assert read_all(reader, made) == [data for *_, data in made]
    assert read_all(reader, []) == []
    for _ in range(20):
        some = rng.choices(made, k=15) + made[3:9]
        assert read_all(reader, some) == [data for *_, data in some]


def test_contiguous_records_take_one_system_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = mixed_packs(tmp_path)
    reader, calls = PackReader(str(tmp_path)), [0]
    real = os.preadv

    def counted(fd: int, buffers: list[memoryview], offset: int, flags: int = 0) -> int:
        calls[0] += 1
        return real(fd, buffers, offset)

    monkeypatch.setattr(os, "preadv", counted)
    read_all(reader, made)
    assert calls == [2]
    monkeypatch.setattr(pack_reader, "_RUN_BYTES_MAX", 4000)
    assert read_all(reader, made) == [data for *_, data in made]
    assert calls[0] > 6


def test_read_many_names_the_damaged_object(tmp_path: Path) -> None:
    made = mixed_packs(tmp_path)
    path = tmp_path / "00000002.pack"
    data = path.read_bytes()
    for oid, where, _ in made[12:]:
        for at in (where.offset + 5, where.offset + 15, where.offset + 50, where.end - 1):
            flipped = bytearray(data)
            flipped[at] ^= 4
            path.write_bytes(flipped)
            with pytest.raises(errors.Damaged, match=oid.hex()):
                read_all(PackReader(str(tmp_path)), made)
    path.write_bytes(data[: made[-1][1].end - 1])
    with pytest.raises(errors.Damaged, match=made[-1][0].hex()):
        read_all(PackReader(str(tmp_path)), made)


def test_read_many_wants_buffers_of_the_right_size(tmp_path: Path) -> None:
    oid, where, data = small_pack(tmp_path)[0]
    reader = PackReader(str(tmp_path))
    for size in (len(data) - 1, len(data) + 1):
        with pytest.raises(ValueError, match="buffer"):
            reader.read_many([(oid, where)], [memoryview(bytearray(size))])


def test_open_files_are_bounded_and_shared_by_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack_reader, "_FILES_MAX", 3)
    made: list[Made] = []
    for pack in range(12):
        writer = PackWriter(str(tmp_path), pack, STORE)
        made.append(put(writer, noise(3000, pack)))
        writer.sync()
        writer.close()
    reader, wrong = PackReader(str(tmp_path)), list[int]()
    before = len(os.listdir("/proc/self/fd"))

    def work(seed: int) -> None:
        for oid, where, data in random.Random(seed).choices(made, k=300):
            if reader.read(oid, where) != data:
                wrong.append(where.pack)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(os.listdir("/proc/self/fd")) <= before + 3
    reader.close()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_forgotten_pack_is_opened_anew(tmp_path: Path) -> None:
    oid, where, data = small_pack(tmp_path)[0]
    reader = PackReader(str(tmp_path))
    assert reader.read(oid, where) == data
    os.unlink(tmp_path / "00000001.pack")
    assert reader.read(oid, where) == data
    reader.forget(1)
    with pytest.raises(errors.Damaged):
        reader.read(oid, where)


def test_stored_payload_moves_to_another_pack_as_it_is(tmp_path: Path) -> None:
    oid, where, data = small_pack(tmp_path)[1]
    reader, writer = PackReader(str(tmp_path)), PackWriter(str(tmp_path), 2, STORE)
    moved = writer.append_stored(
        oid, where.kind, where.codec, reader.read_stored(oid, where), where.raw
    )
    writer.sync()
    assert moved.stored == where.stored
    assert reader.read(oid, moved) == data
    reader.verify(oid, moved)
