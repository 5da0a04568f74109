"""truncate and ftruncate: shorter, longer, in the middle of pages and blocks; growth is zeros."""

from __future__ import annotations

import os

from tests.posix.data import BLOCK, PAGE, noise
from tests.posix.fs import Fs, fails
from tests.posix.suite import case, each

SIZES = (0, 1, PAGE - 1, PAGE, PAGE + 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 2 * BLOCK + 9)
PAIRS = {f"{old} to {new}": (old, new) for old in SIZES for new in SIZES}


@each(PAIRS)
def truncate_cuts_or_pads(fs: Fs, old: int, new: int) -> None:
    content = noise(old)
    fs.put("f", content)
    fs.truncate("f", new)
    assert fs.stat("f").size == new
    assert fs.get("f") == content[:new].ljust(new, b"\0")


@each({f"at {cut}": (cut,) for cut in SIZES})
def what_was_cut_off_does_not_come_back(fs: Fs, cut: int) -> None:
    content = noise(3 * BLOCK)
    fs.put("f", content)
    fs.truncate("f", cut)
    fs.truncate("f", 3 * BLOCK)
    assert fs.get("f") == content[:cut] + bytes(3 * BLOCK - cut)


@each({f"at {cut}": (cut,) for cut in SIZES})
def a_write_after_the_cut_leaves_zeros_between(fs: Fs, cut: int) -> None:
    content = noise(3 * BLOCK)
    fs.put("f", content)
    fs.truncate("f", cut)
    fs.write("f", b"end", 3 * BLOCK)
    assert fs.get("f") == content[:cut] + bytes(3 * BLOCK - cut) + b"end"


@each({f"at {cut}": (cut,) for cut in SIZES})
def a_write_over_the_cut(fs: Fs, cut: int) -> None:
    content = noise(3 * BLOCK)
    fs.put("f", content)
    fs.truncate("f", cut)
    fs.write("f", b"again", cut)
    assert fs.get("f") == content[:cut] + b"again"


@case
def many_cuts_and_growths(fs: Fs) -> None:
    expected = bytearray(noise(2 * BLOCK))
    fs.put("f", bytes(expected))
    with fs.open("f", os.O_RDWR) as file:
        for size in (70_000, 200_000, 100_000, 131_073, 5, 5000, 0, 4097, 300_000):
            file.truncate(size)
            expected = expected[:size].ljust(size, b"\0")
            file.pwrite(b"mark", size // 2)
            expected[size // 2 : size // 2 + 4] = b"mark"
            assert file.pread(400_000, 0) == expected


@case
def ftruncate_works_on_an_open_file(fs: Fs) -> None:
    fs.put("f", b"0123456789")
    with fs.open("f", os.O_RDWR) as file:
        file.truncate(4)
        assert file.pread(10, 0) == b"0123"
        file.truncate(6)
        assert file.pread(10, 0) == b"0123\0\0"


@case
def ftruncate_needs_a_file_open_for_writing(fs: Fs) -> None:
    fs.put("f", b"kept")
    with fs.open("f") as file:
        fails("EINVAL", file.truncate, 0)
    assert fs.get("f") == b"kept"


@case
def truncate_to_the_same_size_keeps_all(fs: Fs) -> None:
    fs.put("f", b"kept")
    fs.truncate("f", 4)
    assert fs.get("f") == b"kept"


@case
def a_truncated_link_is_truncated_under_every_name(fs: Fs) -> None:
    fs.put("f", b"0123456789")
    fs.link("f", "g")
    fs.truncate("g", 3)
    assert fs.get("f") == b"012"


@case
def one_of_two_equal_files_is_cut(fs: Fs) -> None:
    content = noise(BLOCK + 5)
    fs.put("f", content)
    fs.put("g", content)
    fs.truncate("f", 7)
    assert fs.get("g") == content
