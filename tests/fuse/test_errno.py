"""The table from store errors to errnos is total, and each error means what it means in POSIX."""

from __future__ import annotations

import errno

import pytest

from fuse.errno import ERRNO, Refused, errno_of
from store.errors import StoreError
from tests.posix.errornames import ERROR_NAMES


def family(base: type[Exception]) -> set[type[Exception]]:
    """All classes below a class."""
    below = set(base.__subclasses__())
    return below.union(*(family(kind) for kind in below))


def test_every_store_error_has_an_errno() -> None:
    ours = {kind for kind in family(StoreError) if kind.__module__.partition(".")[0] == "store"}
    assert ours == set(ERRNO)


@pytest.mark.parametrize("kind", ERRNO, ids=lambda kind: kind.__name__)
def test_an_error_gives_its_errno(kind: type[StoreError]) -> None:
    """One that the kernel passes on: 0 < errno < 512, and none that it takes to mean more."""
    number = errno_of(kind("what was wrong"))
    assert number in errno.errorcode
    assert 0 < number < 512
    assert number not in (errno.ENOSYS, errno.EINTR, errno.EPROTO)


@pytest.mark.parametrize("kind", ERROR_NAMES, ids=lambda kind: kind.__name__)
def test_an_error_is_what_the_posix_suite_calls_it(kind: type[StoreError]) -> None:
    assert errno_of(kind("")) == getattr(errno, ERROR_NAMES[kind])


def test_what_the_door_refuses_says_what_it_is() -> None:
    assert str(Refused(errno.EXDEV)) == "EXDEV"
    assert Refused(errno.EXDEV).errno == errno.EXDEV
