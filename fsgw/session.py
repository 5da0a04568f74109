"""How a command gets its work done: by the gateway that has the store, or on the store itself.

This is the one seam between the two; commands do not know which way they go, and say the same in
both. Here are also the exit codes, and the options that recur.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import click

from fsgw.operations import BY_NAME, BadArguments, Operation, checked
from fsgw.plain import Plain
from fsgw.progress import Progress, bar
from store import errors

EXIT_FOUND = 1  # the operation ran, and its answer is "no", "differs" or "not all of it"
EXIT_USER = 3  # an unknown ref, a name that is taken, a directory that is no store ...
EXIT_STORAGE = 4  # damage, a failing disk, no room
EXIT_ALREADY_OPEN = 5
EXIT_GATEWAY = 6  # the gateway went away, or failed
EXIT_INTERRUPTED = 130  # as shells report SIGINT

# Where a gateway listens unless it is told otherwise: in the store's directory.
SOCKET_NAME = "gateway.sock"

_STORAGE_ERRNOS = {errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS}

Bytes = bytes | bytearray | memoryview


class GatewayFailed(Exception):
    """A gateway went away before it had answered, or answered what it should not."""


class NoGateway(Exception):
    """Something was asked that only a gateway can answer, and none has the store."""


class Way(Protocol):
    """One way to carry operations out; see `fsgw.local` and `fsgw.client`."""

    def one(self, operation: Operation, values: Plain, progress: Progress | None) -> Any:
        """The answer of an operation that has one, which is durable."""

    def rows(self, operation: Operation, values: Plain) -> AbstractContextManager[Iterator[Plain]]:
        """The rows of one that has many."""

    def content(
        self, operation: Operation, values: Plain
    ) -> AbstractContextManager[Iterator[Bytes]]:
        """The bytes of one that has these, in pieces."""

    def close(self, *, settle: bool) -> None:
        """The end; `settle`: do the work that changes left behind, such as sealing."""


class Session:
    """One command's operations on the store that the command line names."""

    def __init__(self, path: str | None, socket: str | None = None) -> None:
        """`socket`: the gateway's, where it is not in the store's directory."""
        self._path, self._socket = path, socket
        self._way: Way | None = None

    @property
    def given_path(self) -> str | None:
        """The store's directory, if one was given."""
        return self._path or None

    @property
    def path(self) -> str:
        """The store's directory; a usage error when none was given."""
        if not self._path:
            raise click.UsageError("no store given: use --store DIR or set FSGW_STORE")
        return self._path

    @property
    def socket(self) -> Path:
        """Where a gateway that has the store listens, if there is one."""
        return Path(self._socket) if self._socket else Path(self.path) / SOCKET_NAME

    def call(self, name: str, /, **values: Any) -> Any:
        """Carry an operation out; its answer, which is durable. Raises StoreError, OSError,
        GatewayFailed."""
        operation = BY_NAME[name]
        return self._through().one(operation, checked(operation, values), None)

    def task(self, name: str, label: str, /, **values: Any) -> Any:
        """The same for an operation that may take long: with a progress bar."""
        operation = BY_NAME[name]
        with bar(label) as progress:
            return self._through().one(operation, checked(operation, values), progress)

    def rows(self, name: str, /, **values: Any) -> AbstractContextManager[Iterator[Plain]]:
        """The same for an operation that answers with rows, given as they come."""
        operation = BY_NAME[name]
        return self._through().rows(operation, checked(operation, values))

    def content(self, name: str, /, **values: Any) -> AbstractContextManager[Iterator[Bytes]]:
        """The same for an operation that answers with bytes."""
        operation = BY_NAME[name]
        return self._through().content(operation, checked(operation, values))

    def _through(self) -> Way:
        if self._way is None:
            self._way = self._found()
        return self._way

    def _found(self) -> Way:
        if self.socket.exists():
            from fsgw.client import connected

            client = connected(self.socket)
            if client is not None:
                return client
        from fsgw.local import Local

        return Local(self.path)

    def close(self, *, settle: bool) -> None:
        """The command has ended; `settle` unless with an error."""
        way, self._way = self._way, None
        if way is not None:
            way.close(settle=settle)


class Commands(click.Group):
    """A group whose commands end a store's or the system's error in one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _closing(ctx):
                return super().invoke(ctx)
        except BrokenPipeError:  # the reader of our output left: click ends quietly
            raise
        except (errors.StoreError, OSError, GatewayFailed, NoGateway, BadArguments) as error:
            print_error(one_line(error))
            ctx.exit(exit_code(error))
        except KeyboardInterrupt:
            print_error("interrupted")
            ctx.exit(EXIT_INTERRUPTED)


@contextmanager
def _closing(context: click.Context) -> Iterator[None]:
    """Ends the context's session with the command; what a change left behind is done first."""
    settle = True
    try:
        yield
    except click.exceptions.Exit:
        raise
    except BaseException:
        settle = False
        raise
    finally:
        if isinstance(context.obj, Session):
            context.obj.close(settle=settle)


def exit_code(error: Exception) -> int:
    """The exit code that tells a script what kind of error ended the command."""
    match error:
        case errors.AlreadyOpen():
            return EXIT_ALREADY_OPEN
        case errors.StorageFailure() | errors.NoSpace() | errors.QuotaExceeded():
            return EXIT_STORAGE
        case OSError() if error.errno in _STORAGE_ERRNOS:
            return EXIT_STORAGE
        case GatewayFailed():
            return EXIT_GATEWAY
        case NoGateway():
            return EXIT_FOUND
        case _:
            return EXIT_USER


def one_line(error: Exception) -> str:
    """An error for a person: what, and with which file."""
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
        if error.filename is not None:
            text = f"{os.fsdecode(error.filename)!r}: {text}"
    else:
        text = str(error) or type(error).__name__
    return " ".join(text.split())


def print_error(text: str) -> None:
    """One line on standard error; surrogate escapes go out as the bytes they stand for."""
    click.echo(b"fsgw: " + os.fsencode(text), err=True)


json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object a line, for scripts."
)


def parse_size(text: str) -> int:
    """A number of bytes: digits, alone or with K, M, G, T, P (powers of 1024) as in 10G, 64MiB."""
    number = re.fullmatch(r"([0-9]+)([KMGTP]?)(I?B)?", text.strip().upper())
    if number is None:
        raise click.BadParameter(f"{text!r} is no size such as 4096, 512M or 10G")
    power = " KMGTP".index(number[2] or " ")
    return int(number[1]) << 10 * power
