"""NFS version 3 as one table: procedure -> name, types, act, and what its failures carry."""

from __future__ import annotations

from typing import Any, NamedTuple

from nfs import nfs3_messages as messages
from nfs.door import Act, Door, Fail, answering
from nfs.nfs3_files import (
    access3,
    commit3,
    fsinfo3,
    fsstat3,
    getattr3,
    pathconf3,
    read3,
    readlink3,
    setattr3,
    write3,
)
from nfs.nfs3_listing import readdir3, readdirplus3
from nfs.nfs3_messages import linked, one_attr, one_wcc, two_wcc
from nfs.nfs3_names import (
    create3,
    link3,
    lookup3,
    mkdir3,
    mknod3,
    remove3,
    rename3,
    rmdir3,
    symlink3,
)
from nfs.nfs3_types import PROGRAM, VERSION, result
from nfs.program import Call, Procedure, Program, null, procedure, table


class Row(NamedTuple):
    """One procedure; see `program.Procedure`. `fail` gives what a failure's result holds."""

    number: int
    name: str
    arguments: type[Any]
    ok: type[Any]
    failed: type[Any] | None
    act: Act
    fail: Fail
    changes: bool = False


def _nothing(door: Door, call: Call, arguments: Any) -> None:
    return None


def _object(door: Door, call: Call, arguments: Any) -> one_attr:
    """The attributes of the object that the first argument is the handle of."""
    return one_attr(door.attributes(call, arguments[0]))


def _directory(door: Door, call: Call, arguments: Any) -> one_attr:
    return one_attr(door.attributes(call, arguments[0].dir))


def _object_wcc(door: Door, call: Call, arguments: Any) -> one_wcc:
    return one_wcc(door.unchanged(call, arguments[0]))


def _directory_wcc(door: Door, call: Call, arguments: Any) -> one_wcc:
    return one_wcc(door.unchanged(call, arguments[0].dir))


def _rename(door: Door, call: Call, arguments: Any) -> two_wcc:
    source, target = arguments
    return two_wcc(door.unchanged(call, source.dir), door.unchanged(call, target.dir))


def _link(door: Door, call: Call, arguments: Any) -> linked:
    file, link = arguments
    return linked(door.attributes(call, file), door.unchanged(call, link.dir))


_m = messages
ROWS = (
    Row(1, "GETATTR", _m.GETATTR3args, _m.GETATTR3resok, None, getattr3, _nothing),
    Row(2, "SETATTR", _m.SETATTR3args, one_wcc, one_wcc, setattr3, _object_wcc, True),
    Row(3, "LOOKUP", _m.LOOKUP3args, _m.LOOKUP3resok, one_attr, lookup3, _directory),
    Row(4, "ACCESS", _m.ACCESS3args, _m.ACCESS3resok, one_attr, access3, _object),
    Row(5, "READLINK", _m.READLINK3args, _m.READLINK3resok, one_attr, readlink3, _object),
    Row(6, "READ", _m.READ3args, _m.READ3resok, one_attr, read3, _object),
    Row(7, "WRITE", _m.WRITE3args, _m.WRITE3resok, one_wcc, write3, _object_wcc),
    Row(8, "CREATE", _m.CREATE3args, _m.new_object, one_wcc, create3, _directory_wcc, True),
    Row(9, "MKDIR", _m.MKDIR3args, _m.new_object, one_wcc, mkdir3, _directory_wcc, True),
    Row(10, "SYMLINK", _m.SYMLINK3args, _m.new_object, one_wcc, symlink3, _directory_wcc, True),
    Row(11, "MKNOD", _m.MKNOD3args, _m.new_object, one_wcc, mknod3, _directory_wcc, True),
    Row(12, "REMOVE", _m.REMOVE3args, one_wcc, one_wcc, remove3, _directory_wcc, True),
    Row(13, "RMDIR", _m.REMOVE3args, one_wcc, one_wcc, rmdir3, _directory_wcc, True),
    Row(14, "RENAME", _m.RENAME3args, two_wcc, two_wcc, rename3, _rename, True),
    Row(15, "LINK", _m.LINK3args, linked, linked, link3, _link, True),
    Row(16, "READDIR", _m.READDIR3args, _m.READDIR3resok, one_attr, readdir3, _object),
    Row(17, "READDIRPLUS", _m.READDIRPLUS3args, _m.READDIRPLUS3resok, one_attr, readdirplus3,
        _object),
    Row(18, "FSSTAT", _m.FSROOT3args, _m.FSSTAT3resok, one_attr, fsstat3, _object),
    Row(19, "FSINFO", _m.FSROOT3args, _m.FSINFO3resok, one_attr, fsinfo3, _object),
    Row(20, "PATHCONF", _m.FSROOT3args, _m.PATHCONF3resok, one_attr, pathconf3, _object),
    Row(21, "COMMIT", _m.COMMIT3args, _m.COMMIT3resok, one_wcc, commit3, _object_wcc),
)  # fmt: skip


def program(door: Door) -> Program:
    """The program, at work for one door."""

    def of(row: Row) -> Procedure:
        return procedure(
            row.number,
            row.name,
            row.arguments,
            RESULTS[row.number],
            answering(door, row.act, row.fail),
            changes=row.changes,
        )

    return Program(PROGRAM, "nfs", {VERSION: table([null(), *map(of, ROWS)])})


# The result type of each procedure.
RESULTS: dict[int, Any] = {row.number: result(row.ok, row.failed) for row in ROWS}
