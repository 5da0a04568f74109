"""Errors on their way from a gateway to its clients: as JSON with a status, and back.

A client raises what the gateway's code raised: the classes of `store.errors`, and OSError.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from http import HTTPStatus

from fsgw.operations import BadArguments
from fsgw.plain import Plain
from store import errors


class HttpError(Exception):
    """A request that HTTP itself, or the table of operations, refuses."""

    def __init__(self, status: HTTPStatus, name: str, message: str) -> None:
        super().__init__(message)
        self.status, self.name = status, name


# What each store error is in HTTP's terms; one that is not listed is as its base class.
STATUS: dict[type[errors.StoreError], HTTPStatus] = {
    errors.StoreError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Exists: HTTPStatus.CONFLICT,
    errors.NotDirectory: HTTPStatus.CONFLICT,
    errors.IsDirectory: HTTPStatus.CONFLICT,
    errors.NotEmpty: HTTPStatus.CONFLICT,
    errors.AccessDenied: HTTPStatus.FORBIDDEN,
    errors.NotPermitted: HTTPStatus.FORBIDDEN,
    errors.InvalidName: HTTPStatus.BAD_REQUEST,
    errors.NameTooLong: HTTPStatus.BAD_REQUEST,
    errors.InvalidArgument: HTTPStatus.BAD_REQUEST,
    errors.FileTooBig: HTTPStatus.BAD_REQUEST,
    errors.TooManyLinks: HTTPStatus.CONFLICT,
    errors.Stale: HTTPStatus.CONFLICT,
    errors.NotSync: HTTPStatus.CONFLICT,
    errors.BadCookie: HTTPStatus.BAD_REQUEST,
    errors.ReadOnly: HTTPStatus.CONFLICT,
    errors.NoSpace: HTTPStatus.INSUFFICIENT_STORAGE,
    errors.QuotaExceeded: HTTPStatus.INSUFFICIENT_STORAGE,
    errors.Busy: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.NoAttribute: HTTPStatus.NOT_FOUND,
    errors.Unsupported: HTTPStatus.BAD_REQUEST,
    errors.StorageFailure: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.Damaged: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.NotAStore: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.WrongVersion: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.AlreadyOpen: HTTPStatus.CONFLICT,
    errors.UnknownRef: HTTPStatus.NOT_FOUND,
    errors.AmbiguousId: HTTPStatus.CONFLICT,
    errors.InvalidRef: HTTPStatus.BAD_REQUEST,
    errors.RefExists: HTTPStatus.CONFLICT,
    errors.RefConflict: HTTPStatus.CONFLICT,
    errors.RefInUse: HTTPStatus.CONFLICT,
}
_SYSTEM = "OSError"


def family() -> Iterator[type[errors.StoreError]]:
    """Every class of store errors."""
    todo: list[type[errors.StoreError]] = [errors.StoreError]
    while todo:
        kind = todo.pop()
        yield kind
        todo += kind.__subclasses__()


def answer(error: Exception) -> tuple[HTTPStatus, Plain]:
    """An error as status and plain data: error (its class) and message.

    One of the system has errno and filename as well; of one that nobody expects only the class is
    told.
    """
    match error:
        case HttpError():
            return error.status, {"error": error.name, "message": str(error)}
        case BadArguments():
            return HTTPStatus.BAD_REQUEST, {"error": "BadArguments", "message": str(error)}
        case errors.StoreError():
            name = type(error).__name__
            return STATUS[type(error)], {"error": name, "message": str(error)}
        case OSError() if error.strerror:
            body: Plain = {"error": _SYSTEM, "message": error.strerror, "errno": error.errno}
            if error.filename is not None:
                body["filename"] = os.fsdecode(error.filename)
            return HTTPStatus.CONFLICT, body
        case _:
            name = type(error).__name__
            message = "the gateway failed; its log says more"
            return HTTPStatus.INTERNAL_SERVER_ERROR, {"error": name, "message": message}


def raised(body: Plain) -> Exception | None:
    """The error that plain data stands for; None where no class of ours is meant."""
    name, message = body.get("error"), str(body.get("message"))
    if name == _SYSTEM and isinstance(number := body.get("errno"), int):
        if isinstance(path := body.get("filename"), str):
            return OSError(number, message, path)
        return OSError(number, message)
    if name == "BadArguments":
        return BadArguments(message)
    known = {kind.__name__: kind for kind in family()}
    kind = known.get(name) if isinstance(name, str) else None
    return None if kind is None else kind(message)
