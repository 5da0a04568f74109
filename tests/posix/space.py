"""statvfs, and what a file is said to occupy."""

from __future__ import annotations

import os

from tests.posix.fs import ALICE, Fs
from tests.posix.suite import case

MIB = 1 << 20


@case
def space_adds_up(fs: Fs) -> None:
    space = fs.statvfs()
    assert 0 < space.available <= space.free <= space.total
    assert 0 < space.inodes_free <= space.inodes


@case
def names_may_have_255_bytes(fs: Fs) -> None:
    assert fs.statvfs().name_max == 255


@case
def anyone_may_ask(fs: Fs) -> None:
    assert fs.as_(ALICE).statvfs().total == fs.statvfs().total


@case
def an_empty_file_occupies_nothing(fs: Fs) -> None:
    fs.put("f")
    assert fs.stat("f").blocks == 0


@case
def data_is_counted_in_blocks(fs: Fs) -> None:
    fs.put("f", os.urandom(MIB))
    assert MIB <= fs.stat("f").blocks * 512 <= MIB + 65536


@case
def a_hole_is_not_counted(fs: Fs) -> None:
    fs.put("f", os.urandom(4096))
    fs.truncate("f", 64 * MIB)
    assert fs.stat("f").blocks * 512 <= MIB


@case
def truncation_gives_space_back(fs: Fs) -> None:
    fs.put("f", os.urandom(MIB))
    fs.truncate("f", 0)
    assert fs.stat("f").blocks == 0


@case
def overwriting_occupies_nothing_more(fs: Fs) -> None:
    fs.put("f", os.urandom(MIB))
    before = fs.stat("f").blocks
    fs.write("f", os.urandom(MIB))
    assert fs.stat("f").blocks == before


@case
def a_link_occupies_nothing_more(fs: Fs) -> None:
    fs.put("f", os.urandom(65536))
    before = fs.stat("f").blocks
    fs.link("f", "g")
    assert fs.stat("g").blocks == before
