"""What the commands share: opening the store, exit codes, and the options that recur."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from store import errors
from store.store import Store

T = TypeVar("T")

EXIT_FOUND = 1  # the operation ran, and its answer is "no", "differs" or "not all of it"
EXIT_USER = 3  # an unknown ref, a name that is taken, a directory that is no store ...
EXIT_STORAGE = 4  # damage, a failing disk, no room
EXIT_ALREADY_OPEN = 5
EXIT_INTERRUPTED = 130  # as shells report SIGINT

_STORAGE_ERRNOS = {errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS}


class Session:
    """The store that the command line names; opened by the command that needs it."""

    def __init__(self, path: str | None) -> None:
        self._path = path

    @property
    def path(self) -> str:
        """The store's directory; a usage error when none was given."""
        if not self._path:
            raise click.UsageError("no store given: use --store DIR or set FSGW_STORE")
        return self._path

    @contextmanager
    def store(self) -> Iterator[Store]:
        """The open store, for reading."""
        with Store.open(self.path) as store:
            yield store

    def change(self, act: Callable[[Store], T], answer: Callable[[T], None]) -> T:
        """Change the store, answer once that is durable, then do the work it left, as sealing.

        Nothing runs in the background once a command has ended, hence that work is done here; cut
        short, it is done by the next command.
        """
        with Store.open(self.path) as store:
            result = act(store)
            store.flush()
            answer(result)
            store.settle()
        return result


class Commands(click.Group):
    """A group whose commands end a store's or the system's error in one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # the reader of our output left: click ends quietly
            raise
        except (errors.StoreError, OSError) as error:
            print_error(one_line(error))
            ctx.exit(exit_code(error))
        except KeyboardInterrupt:
            print_error("interrupted")
            ctx.exit(EXIT_INTERRUPTED)


def exit_code(error: Exception) -> int:
    """The exit code that tells a script what kind of error ended the command."""
    match error:
        case errors.AlreadyOpen():
            return EXIT_ALREADY_OPEN
        case errors.StorageFailure() | errors.NoSpace() | errors.QuotaExceeded():
            return EXIT_STORAGE
        case OSError() if error.errno in _STORAGE_ERRNOS:
            return EXIT_STORAGE
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
