"""Reading and writing around the edges of pages and blocks; appending; the flags of open."""

from __future__ import annotations

import os
import random

from tests.posix.fs import Fs, fails
from tests.posix.suite import case, each

PAGE, BLOCK = 4096, 131072
EDGES = {
    "start": 0,
    "byte 1": 1,
    "page end": PAGE - 1,
    "page": PAGE,
    "past page": PAGE + 1,
    "block end": BLOCK - 1,
    "block": BLOCK,
    "past block": BLOCK + 1,
    "second block": 2 * BLOCK,
    "far": 3 * BLOCK + 777,
}
LENGTHS = {
    "a byte": 1,
    "a page": PAGE,
    "a block": BLOCK,
    "a block and a byte": BLOCK + 1,
    "two blocks and a bit": 2 * BLOCK + 77,
}
SPANS = {
    f"{length} at {edge}": (offset, count)
    for edge, offset in EDGES.items()
    for length, count in LENGTHS.items()
}


def noise(count: int, seed: int = 1) -> bytes:
    """Bytes without a pattern, the same every time."""
    return random.Random(seed).randbytes(count)


@each(SPANS)
def a_write_over_data_changes_just_its_span(fs: Fs, offset: int, count: int) -> None:
    expected = bytearray(noise(2 * BLOCK + 500))
    fs.put("f", bytes(expected))
    data = noise(count, seed=2)
    fs.write("f", data, offset)
    if offset > len(expected):
        expected += bytes(offset - len(expected))
    expected[offset : offset + count] = data
    assert fs.get("f") == expected
    assert fs.stat("f").size == len(expected)


@each(SPANS)
def a_read_gives_just_its_span(fs: Fs, offset: int, count: int) -> None:
    content = noise(2 * BLOCK + 500)
    fs.put("f", content)
    assert fs.read("f", count, offset) == content[offset : offset + count]


@each({f"of {size} bytes": (size,) for size in (0, 1, 100, PAGE, BLOCK, BLOCK + 1)})
def reading_ends_at_the_end(fs: Fs, size: int) -> None:
    content = noise(size)
    fs.put("f", content)
    assert fs.read("f", size + 1000) == content
    assert fs.read("f", 10, max(size - 1, 0)) == content[-1:]
    assert fs.read("f", 10, size) == b""
    assert fs.read("f", 10, size + 10**9) == b""


@case
def a_file_is_empty_at_first(fs: Fs) -> None:
    fs.put("f")
    assert fs.stat("f").size == 0 and fs.get("f") == b""


@case
def a_read_of_nothing_is_nothing(fs: Fs) -> None:
    fs.put("f", b"data")
    assert fs.read("f", 0, 2) == b""


@case
def an_empty_write_does_not_extend(fs: Fs) -> None:
    fs.put("f", b"data")
    fs.write("f", b"", 100)
    assert fs.stat("f").size == 4


@case
def every_byte_value_is_kept(fs: Fs) -> None:
    content = bytes(range(256)) * 16
    fs.put("f", content)
    assert fs.get("f") == content


@case
def written_zeros_are_data(fs: Fs) -> None:
    fs.put("f", b"x" * BLOCK * 2)
    fs.write("f", bytes(BLOCK), 0)
    assert fs.get("f") == bytes(BLOCK) + b"x" * BLOCK


@case
def a_file_written_byte_by_byte(fs: Fs) -> None:
    with fs.open("f", os.O_CREAT | os.O_RDWR) as file:
        for number in range(200):
            file.pwrite(bytes([number]), number)
        assert file.pread(300, 0) == bytes(range(200))


@case
def a_file_written_backwards(fs: Fs) -> None:
    content = noise(10 * PAGE)
    with fs.open("f", os.O_CREAT | os.O_RDWR) as file:
        for start in range(9 * PAGE, -1, -PAGE):
            file.pwrite(content[start : start + PAGE], start)
    assert fs.get("f") == content


@each({f"seed {seed}": (seed,) for seed in range(4)})
def random_writes_agree_with_a_plain_buffer(fs: Fs, seed: int) -> None:
    dice = random.Random(seed)
    expected = bytearray()
    with fs.open("f", os.O_CREAT | os.O_RDWR) as file:
        for _ in range(40):
            offset, count = dice.randrange(3 * BLOCK), dice.choice((1, 500, PAGE, 40_000, BLOCK))
            data = dice.randbytes(count)
            file.pwrite(data, offset)
            expected += bytes(max(0, offset + count - len(expected)))
            expected[offset : offset + count] = data
            where = dice.randrange(len(expected))
            assert file.pread(5000, where) == expected[where : where + 5000]
        assert file.pread(len(expected) + 1, 0) == expected


@case
def appending_writes_at_the_end(fs: Fs) -> None:
    fs.put("f", b"start")
    with fs.open("f", os.O_WRONLY | os.O_APPEND) as file:
        file.append(b" middle")
        fs.truncate("f", 8)
        file.append(b" end")
    assert fs.get("f") == b"start mi end"


@case
def two_appenders_take_turns(fs: Fs) -> None:
    flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND
    with fs.open("f", flags) as one, fs.open("f", flags) as two:
        for number in range(10):
            (one, two)[number % 2].append(b"%d" % number)
    assert fs.get("f") == b"0123456789"


@case
def appending_across_a_block(fs: Fs) -> None:
    content = noise(BLOCK - 3)
    fs.put("f", content)
    with fs.open("f", os.O_WRONLY | os.O_APPEND) as file:
        file.append(b"1234567")
    assert fs.get("f") == content + b"1234567"


@case
def o_trunc_empties(fs: Fs) -> None:
    fs.put("f", noise(BLOCK + 1))
    fs.open("f", os.O_WRONLY | os.O_TRUNC).close()
    assert fs.stat("f").size == 0 and fs.get("f") == b""


@case
def o_creat_takes_what_is_there(fs: Fs) -> None:
    fs.put("f", b"kept", mode=0o600)
    before = fs.stat("f").ino
    fs.open("f", os.O_CREAT | os.O_RDWR, 0o777).close()
    after = fs.stat("f")
    assert (after.ino, after.perm, fs.get("f")) == (before, 0o600, b"kept")


@case
def o_excl_alone_accepts_no_existing_file(fs: Fs) -> None:
    fs.put("f", b"kept")
    fails("EEXIST", fs.open, "f", os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_TRUNC)
    assert fs.get("f") == b"kept"


@case
def two_files_do_not_share_what_is_written(fs: Fs) -> None:
    content = noise(BLOCK)
    fs.put("f", content)
    fs.put("g", content)
    fs.write("f", b"changed", 1000)
    assert fs.get("g") == content


@case
def two_open_files_see_each_others_writes(fs: Fs) -> None:
    with fs.open("f", os.O_CREAT | os.O_RDWR) as one, fs.open("f", os.O_RDWR) as two:
        one.pwrite(b"first", 0)
        assert two.pread(10, 0) == b"first"
        two.truncate(2)
        assert one.pread(10, 0) == b"fi" and one.stat().size == 2


@case
def reading_a_directory_as_a_file(fs: Fs) -> None:
    fs.mkdir("d")
    with fs.open("d") as directory:
        fails("EISDIR", directory.pread, 10, 0)
