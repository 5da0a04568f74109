"""Holes: that they read as zeros, where they are, and how far a file may reach (8 EiB - 1)."""

from __future__ import annotations

import os

from tests.posix.data import BLOCK, noise
from tests.posix.fs import File, Fs, fails
from tests.posix.suite import case, each

MIB = 1 << 20
LARGEST = 2**63 - 1
FAR = {
    "2 GiB": (2**31,),
    "4 GiB": (2**32,),
    "1 TiB": (2**40,),
    "just under 16 TiB": (2**44 - 2**13,),
}
VERY_FAR = {
    "16 TiB": (2**44,),
    "1 PiB": (2**50,),
    "8 EiB less 1 MiB": (2**63 - 2**20,),
}


def islands(fs: Fs, *blocks: int) -> File:
    """A file of 8 MiB, all hole but for these blocks of BLOCK bytes."""
    fs.put("f")
    fs.truncate("f", 8 * MIB)
    file = fs.open("f", os.O_RDWR)
    for block in blocks:
        file.pwrite(noise(BLOCK, seed=block), block * BLOCK)
    return file


@case
def a_grown_file_is_a_hole(fs: Fs) -> None:
    fs.put("f")
    fs.truncate("f", MIB)
    assert fs.get("f") == bytes(MIB)


@case
def a_hole_between_two_writes_reads_as_zeros(fs: Fs) -> None:
    fs.put("f", b"start")
    fs.write("f", b"end", 3 * BLOCK + 50)
    assert fs.get("f") == b"start".ljust(3 * BLOCK + 50, b"\0") + b"end"


@case
def a_hole_can_be_filled(fs: Fs) -> None:
    with islands(fs, 1, 3) as file:
        file.pwrite(noise(BLOCK, seed=2), 2 * BLOCK)
        expected = b"".join(noise(BLOCK, seed=block) for block in (1, 2, 3))
        assert file.pread(3 * BLOCK, BLOCK) == expected


@case
def a_read_runs_across_holes_and_data(fs: Fs) -> None:
    with islands(fs, 2, 5) as file:
        expected = b"".join(noise(BLOCK, seed=b) if b in (2, 5) else bytes(BLOCK) for b in range(8))
        assert file.pread(8 * BLOCK - 20, 10) == expected[10:-10]


@case
def a_byte_in_a_hole_has_zeros_around(fs: Fs) -> None:
    fs.put("f")
    fs.truncate("f", 2 * BLOCK)
    fs.write("f", b"x", BLOCK + 7)
    assert fs.get("f") == bytes(BLOCK + 7) + b"x" + bytes(BLOCK - 8)


@case
def seek_finds_data_and_holes(fs: Fs) -> None:
    with islands(fs, 0, 8, 9, 20) as file:
        assert file.seek_data(0) == 0
        assert file.seek_hole(0) == BLOCK
        assert file.seek_data(BLOCK) == 8 * BLOCK
        assert file.seek_data(8 * BLOCK + 5) == 8 * BLOCK + 5
        assert file.seek_hole(8 * BLOCK) == 10 * BLOCK
        assert file.seek_hole(10 * BLOCK + 3) == 10 * BLOCK + 3
        assert file.seek_data(10 * BLOCK) == 20 * BLOCK
        assert file.seek_hole(20 * BLOCK) == 21 * BLOCK
        fails("ENXIO", file.seek_data, 21 * BLOCK)


@case
def seek_in_a_file_without_holes(fs: Fs) -> None:
    fs.put("f", noise(BLOCK + 500))
    with fs.open("f") as file:
        assert file.seek_data(77) == 77
        assert file.seek_hole(0) == BLOCK + 500
        assert file.seek_hole(BLOCK + 499) == BLOCK + 500


@case
def seek_in_a_file_that_is_all_hole(fs: Fs) -> None:
    with islands(fs) as file:
        assert file.seek_hole(0) == 0
        fails("ENXIO", file.seek_data, 0)


@each({"at the end": (4,), "beyond it": (5,), "far beyond it": (2**40,)})
def seek_beyond_the_end_finds_nothing(fs: Fs, offset: int) -> None:
    fs.put("f", b"data")
    with fs.open("f") as file:
        fails("ENXIO", file.seek_data, offset)
        fails("ENXIO", file.seek_hole, offset)


@case
def seek_in_an_empty_file(fs: Fs) -> None:
    fs.put("f")
    with fs.open("f") as file:
        fails("ENXIO", file.seek_data, 0)
        fails("ENXIO", file.seek_hole, 0)


@case
def outside_what_seek_calls_data_all_is_zero(fs: Fs) -> None:
    fs.put("f", b"a")
    for offset in (5000, 2 * BLOCK - 1, 9 * BLOCK + 12345):
        fs.write("f", b"xyz", offset)
    with fs.open("f") as file:
        size, offset, zeros, found = file.stat().size, 0, 0, b""
        while offset < size:
            start = min(file.seek_data(offset), size)
            end = file.seek_hole(start)
            assert file.pread(start - offset, offset) == bytes(start - offset)
            found += file.pread(end - start, start).replace(b"\0", b"")
            zeros += start - offset
            offset = end
        assert found == b"axyzxyzxyz" and zeros >= 6 * BLOCK


@case
def a_cut_makes_a_hole_of_what_grows_back(fs: Fs) -> None:
    with islands(fs, 0, 1, 2) as file:
        file.truncate(BLOCK)
        file.truncate(4 * BLOCK)
        assert file.seek_hole(0) == BLOCK
        fails("ENXIO", file.seek_data, BLOCK)


@each({**FAR, **VERY_FAR})
def a_byte_far_out(fs: Fs, offset: int) -> None:
    fs.put("f", b"start")
    fs.write("f", b"far", offset)
    assert fs.stat("f").size == offset + 3
    assert fs.read("f", 10, offset - 5) == bytes(5) + b"far"
    assert fs.read("f", 7, 0) == b"start\0\0"
    with fs.open("f") as file:
        assert BLOCK < file.seek_data(BLOCK) <= offset


@each({**FAR, **VERY_FAR, "8 EiB less 1": (LARGEST,)})
def a_size_far_out(fs: Fs, size: int) -> None:
    fs.put("f", b"start")
    fs.truncate("f", size)
    assert fs.stat("f").size == size
    assert fs.stat("f").blocks * 512 <= MIB
    assert fs.read("f", 4, size - 4) == bytes(4)
    fs.truncate("f", 5)
    assert fs.get("f") == b"start"


@each(VERY_FAR)
def a_cut_far_out(fs: Fs, offset: int) -> None:
    fs.put("f", b"start")
    fs.write("f", b"far", offset)
    fs.truncate("f", offset + 1)
    fs.truncate("f", offset + 3)
    assert fs.read("f", 10, offset - 1) == b"\0f\0\0"


@case
def a_write_up_to_the_largest_size(fs: Fs) -> None:
    fs.put("f")
    fs.write("f", b"last", LARGEST - 4)
    assert fs.stat("f").size == LARGEST
    assert fs.read("f", 4, LARGEST - 4) == b"last"


@case
def nothing_can_be_written_at_the_largest_offset(fs: Fs) -> None:
    """EFBIG by POSIX; Linux finds the span to overflow (EINVAL) before it asks a file system."""
    fs.put("f", b"kept")
    fails("EFBIG EINVAL", fs.write, "f", b"x", LARGEST)
    assert fs.stat("f").size == 4


@case
def appending_at_the_largest_size_is_too_big(fs: Fs) -> None:
    fs.put("f")
    fs.truncate("f", LARGEST)
    with fs.open("f", os.O_WRONLY | os.O_APPEND) as file:
        fails("EFBIG", file.append, b"x")
    assert fs.stat("f").size == LARGEST
