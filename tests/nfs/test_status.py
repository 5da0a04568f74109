"""The table from store errors to NFS statuses is total, and no status is out of the RFC."""

from __future__ import annotations

import pytest

from nfs import status as table
from nfs.nfs3_types import nfsstat3
from nfs.status import STATUS, Failure, Refusal, status
from store import errors
from store.errors import StoreError


def family(base: type[Exception]) -> set[type[Exception]]:
    """All classes below a class."""
    below = set(base.__subclasses__())
    return below.union(*(family(kind) for kind in below))


def declared(module: object) -> set[type[Exception]]:
    """The error classes that a module declares or imports, but for the base."""
    found = {kind for kind in vars(module).values() if isinstance(kind, type)}
    return {kind for kind in found if issubclass(kind, StoreError) and kind is not StoreError}


def test_every_store_error_has_a_status() -> None:
    assert declared(errors) | family(Refusal) == set(STATUS)
    ours = {
        kind for kind in family(StoreError) if kind.__module__.partition(".")[0] in ("store", "nfs")
    }
    assert ours <= set(STATUS)


@pytest.mark.parametrize("kind", STATUS, ids=lambda kind: kind.__name__)
def test_an_error_gives_its_status(kind: type[Failure]) -> None:
    assert isinstance(status(kind("what was wrong")), nfsstat3)
    assert status(kind("what was wrong")) is not nfsstat3.OK


# RFC 1813 2.6, as it stands there.
RFC = {
    "OK": 0,
    "PERM": 1,
    "NOENT": 2,
    "IO": 5,
    "NXIO": 6,
    "ACCES": 13,
    "EXIST": 17,
    "XDEV": 18,
    "NODEV": 19,
    "NOTDIR": 20,
    "ISDIR": 21,
    "INVAL": 22,
    "FBIG": 27,
    "NOSPC": 28,
    "ROFS": 30,
    "MLINK": 31,
    "NAMETOOLONG": 63,
    "NOTEMPTY": 66,
    "DQUOT": 69,
    "STALE": 70,
    "REMOTE": 71,
    "BADHANDLE": 10001,
    "NOT_SYNC": 10002,
    "BAD_COOKIE": 10003,
    "NOTSUPP": 10004,
    "TOOSMALL": 10005,
    "SERVERFAULT": 10006,
    "BADTYPE": 10007,
    "JUKEBOX": 10008,
}


def test_statuses_have_the_numbers_of_the_rfc() -> None:
    assert {each.name: each.value for each in nfsstat3} == RFC


def test_errors_mean_what_they_mean_in_posix() -> None:
    """The names that POSIX and NFS share are not crossed; what has no name of its own is chosen."""
    shared: dict[type[Failure], str] = {
        errors.NotFound: "NOENT",
        errors.Exists: "EXIST",
        errors.NotDirectory: "NOTDIR",
        errors.IsDirectory: "ISDIR",
        errors.NotEmpty: "NOTEMPTY",
        errors.AccessDenied: "ACCES",
        errors.NotPermitted: "PERM",
        errors.NameTooLong: "NAMETOOLONG",
        errors.InvalidArgument: "INVAL",
        errors.FileTooBig: "FBIG",
        errors.TooManyLinks: "MLINK",
        errors.ReadOnly: "ROFS",
        errors.NoSpace: "NOSPC",
        errors.QuotaExceeded: "DQUOT",
        errors.Stale: "STALE",
        errors.StorageFailure: "IO",
        errors.Busy: "JUKEBOX",
        errors.NotSync: "NOT_SYNC",
        errors.BadCookie: "BAD_COOKIE",
        table.ForgedHandle: "BADHANDLE",
        table.OtherVolume: "XDEV",
        table.TooSmall: "TOOSMALL",
        table.BadType: "BADTYPE",
    }
    assert {kind: status(kind("")).name for kind in shared} == shared
