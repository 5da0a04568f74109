"""File handles: they survive, and nobody but the store makes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nfs.handle import HANDLE_BYTES, KEY_BYTES, BadHandle, Handles, Volume
from nfs.nfs3_types import FHSIZE

STORE = bytes(range(1, 9))
KEY = bytes(range(KEY_BYTES))
VOLUME = Volume(3, 0, 1)

_u64 = st.integers(0, 2**64 - 1)


def handles(store: bytes = STORE, key: bytes = KEY) -> Handles:
    """What a gateway on the store has, after any restart."""
    return Handles(store, key)


def opened(reader: Handles, handle: bytes) -> tuple[Volume, int]:
    """What a handle opens. Raises BadHandle."""
    prefix, ino = reader.parse(handle)
    return reader.volume(prefix), ino


HANDLE = handles().make(handles().prefix(VOLUME), 77)


def test_the_layout() -> None:
    assert len(HANDLE) == HANDLE_BYTES <= FHSIZE
    assert HANDLE[:44] == bytes.fromhex(
        "01 000000"  # version, zeros
        "0102030405060708"  # store
        "0000000000000003"  # branch
        "0000000000000000"  # snapshot: none
        "0000000000000001"  # root of the export
        "000000000000004d"  # inode 77
    )


def test_a_handle_survives_a_restart() -> None:
    assert opened(handles(), HANDLE) == (VOLUME, 77)
    assert handles().make(handles().prefix(VOLUME), 77) == HANDLE


@given(_u64, _u64, _u64, _u64)
def test_all_of_it_comes_back(branch: int, snapshot: int, root: int, ino: int) -> None:
    volume = Volume(branch, snapshot, root)
    maker = handles()
    assert opened(handles(), maker.make(maker.prefix(volume), ino)) == (volume, ino)


def test_handles_of_different_things_differ() -> None:
    volumes = [Volume(*numbers) for numbers in ((1, 0, 1), (2, 0, 1), (1, 1, 1), (1, 0, 2))]
    maker = handles()
    made = {maker.make(maker.prefix(volume), ino) for volume in volumes for ino in (1, 2, 3)}
    assert len(made) == 12


def test_a_handle_with_any_bit_changed_is_forged() -> None:
    for bit in range(HANDLE_BYTES * 8):
        forged = bytearray(HANDLE)
        forged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadHandle):
            opened(handles(), bytes(forged))


def test_a_handle_of_another_length_is_malformed() -> None:
    for length in {*range(FHSIZE + 1)} - {HANDLE_BYTES}:
        with pytest.raises(BadHandle):
            opened(handles(), (HANDLE + bytes(4))[:length])


@given(st.binary(min_size=HANDLE_BYTES, max_size=HANDLE_BYTES))
def test_a_handle_cannot_be_made_up(data: bytes) -> None:
    with pytest.raises(BadHandle):
        opened(handles(), data)


def test_a_handle_made_with_another_key_is_forged() -> None:
    for other in (bytes(KEY_BYTES), KEY[::-1]):
        maker = handles(key=other)
        with pytest.raises(BadHandle):
            opened(handles(), maker.make(maker.prefix(VOLUME), 77))


def test_a_handle_of_another_store_is_refused_though_its_key_be_the_same() -> None:
    maker = handles(store=STORE[::-1])
    with pytest.raises(BadHandle):
        opened(handles(), maker.make(maker.prefix(VOLUME), 77))


def test_parts_of_two_handles_make_no_third() -> None:
    maker = handles()
    mine = maker.make(maker.prefix(Volume(1, 0, 5)), 77)
    yours = maker.make(maker.prefix(Volume(2, 0, 1)), 88)
    for cut in range(1, HANDLE_BYTES):
        for forged in (mine[:cut] + yours[cut:], yours[:cut] + mine[cut:]):
            if forged not in (mine, yours):
                with pytest.raises(BadHandle):
                    opened(handles(), forged)


def test_a_store_with_a_short_id_has_handles_too() -> None:
    maker = handles(store=b"abc")
    assert opened(handles(store=b"abc"), maker.make(maker.prefix(VOLUME), 5)) == (VOLUME, 5)
