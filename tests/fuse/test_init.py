"""INIT: what is agreed on with old kernels and new ones."""

from __future__ import annotations

import errno
from typing import NamedTuple

import pytest

from fuse import protocol as p
from fuse.init import BACKGROUND_MAX, CONGESTED, WRITE_BYTES_MAX
from fuse.protocol import Init, Opcode
from fuse.session import Options
from store.store import Store
from tests.fuse.kernel import Failed, Kernel

ALL = 0xFFFF_FFFF


class Agreed(NamedTuple):
    """fuse_init_out."""

    major: int
    minor: int
    max_readahead: int
    flags: int
    max_background: int
    congestion_threshold: int
    max_write: int
    time_gran: int
    max_pages: int
    map_alignment: int
    flags2: int


def init(kernel: Kernel, major: int = 7, minor: int = 38, flags: int = ALL) -> Agreed:
    body = p.INIT_IN.pack(major, minor, 0x20000, flags)
    return Agreed(*p.INIT_OUT.unpack(kernel.call(Opcode.INIT, body + bytes(48), node=0)))


@pytest.mark.parametrize(
    ("minor", "agreed"), [(31, 31), (36, 36), (38, 38), (39, 38), (45, 38), (99, 38)]
)
def test_the_older_version_is_spoken(kernel: Kernel, minor: int, agreed: int) -> None:
    assert init(kernel, minor=minor)[:3] == (7, agreed, 0x20000)


def test_a_kernel_of_a_later_time_is_asked_to_introduce_itself_again(kernel: Kernel) -> None:
    assert init(kernel, major=8, minor=0) == (7, 38, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    assert init(kernel).flags


@pytest.mark.parametrize(("major", "minor"), [(7, 30), (7, 0), (6, 99), (0, 0)])
def test_a_kernel_that_is_too_old_is_refused(kernel: Kernel, major: int, minor: int) -> None:
    with pytest.raises(Failed) as caught:
        init(kernel, major, minor)
    assert caught.value.errno == errno.EPROTO


def test_a_short_init_of_an_older_kernel_is_understood(kernel: Kernel) -> None:
    body = p.INIT_IN.pack(7, 31, 0x20000, ALL)
    assert Agreed(*p.INIT_OUT.unpack(kernel.call(Opcode.INIT, body, node=0))).minor == 31


def test_what_is_agreed_on(kernel: Kernel) -> None:
    found = init(kernel)
    wanted = Init(found.flags)
    assert Init.DO_READDIRPLUS | Init.READDIRPLUS_AUTO | Init.PARALLEL_DIROPS in wanted
    assert Init.EXPLICIT_INVAL_DATA | Init.HANDLE_KILLPRIV_V2 in wanted
    # The kernel is to apply the umask, and it does not write back unless told so.
    assert not wanted & Init.DONT_MASK
    assert not wanted & Init.WRITEBACK_CACHE
    assert found.max_write == WRITE_BYTES_MAX == found.max_pages * 4096
    assert (found.max_background, found.congestion_threshold) == (BACKGROUND_MAX, CONGESTED)
    assert CONGESTED < BACKGROUND_MAX
    assert found.time_gran == 1


@pytest.mark.parametrize("bit", range(32))
def test_nothing_is_wanted_that_the_kernel_cannot(kernel: Kernel, bit: int) -> None:
    assert init(kernel, flags=ALL & ~(1 << bit)).flags & 1 << bit == 0


def test_a_kernel_that_can_nothing(kernel: Kernel) -> None:
    """Then files and directories are opened, and what the kernel has of them stays."""
    assert init(kernel, flags=0).flags == 0
    opened = kernel.call(Opcode.OPEN, p.OPEN_IN.pack(0, 0))
    assert opened == p.OPEN_OUT.pack(0, p.FOPEN_KEEP_CACHE, 0)
    assert kernel.call(Opcode.OPENDIR, p.OPEN_IN.pack(0, 0)) == p.OPEN_OUT.pack(
        0, p.FOPEN_KEEP_CACHE | p.FOPEN_CACHE_DIR, 0
    )


def test_writing_back_is_an_option(store: Store) -> None:
    kernel = Kernel(store, Options(writeback_cache=True))
    assert init(kernel).flags & Init.WRITEBACK_CACHE
    # What the kernel has not written, only it knows: holes are not told.
    kernel.fails(errno.ENOSYS, Opcode.LSEEK, p.LSEEK_IN.pack(0, 0, 3, 0))
    kernel.close()
