"""Changes to the file of exports, as commands ask for them; what people wrote in it survives.

Each function reads the file, makes one change and replaces it, atomically and durably, or raises
and leaves it as it was. A file that is not there reads as the default export, which the first
change writes down. Entries are named by `name` or by their number, from 1. Knows no gateway: one
that runs is told to load the file by whoever changed it.

An entry is its `[[export]]` table and the comment lines right above it.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from fsgw import settings
from fsgw.exports import DEFAULT, NEEDED, Export, load, parse, read_text
from fsgw.plain import Plain
from store.errors import InvalidArgument, NotFound

_HEADER = re.compile(r"\s*\[\[\s*export\s*\]\]\s*(#.*)?")
_PREAMBLE = (
    "# Which clients may mount which branches, and how: the first export that names both decides.\n"
    "# `fsgw config sample --exports` explains every key."
)
# Readable by all, as `showmount -e` tells it to all.
_MODE = 0o644


def plain(number: int, export: Export) -> Plain:
    """number (its position, from 1), name (empty: none), and the keys of the file."""
    return {"number": number, **settings.plain(export)}


def listing(path: Path) -> list[Plain]:
    """All exports in a file, in its order. Raises InvalidArgument, OSError."""
    return [plain(number, export) for number, export in enumerate(load(path), 1)]


def add(path: Path, values: Mapping[str, object], to: int | None = None) -> Plain:
    """Add an export with these keys, at the end or at position `to`; the export as it now is.

    Raises InvalidArgument (also for a name that is taken), OSError.
    """
    with _editing(path) as draft:
        number = draft.add(values, to)
    return plain(number, draft.exports[number - 1])


def change(path: Path, which: str, values: Mapping[str, object]) -> Plain:
    """Give some keys of an export other values, None: the default; the export as it now is.

    Raises NotFound for an unknown export, InvalidArgument, OSError.
    """
    with _editing(path) as draft:
        number = draft.number(which)
        draft.change(number, values)
    return plain(number, draft.exports[number - 1])


def remove(path: Path, which: str) -> Plain:
    """Remove an export; as it was. Raises NotFound, InvalidArgument, OSError."""
    with _editing(path) as draft:
        number = draft.number(which)
        gone = plain(number, draft.exports[number - 1])
        draft.remove(number)
    return gone


def move(path: Path, which: str, to: int) -> Plain:
    """Move an export to position `to`; as it now is. Raises NotFound, InvalidArgument, OSError."""
    with _editing(path) as draft:
        draft.move(draft.number(which), to)
    return plain(to, draft.exports[to - 1])


class Draft:
    """The text of a file, to be changed. Positions are numbers from 1."""

    def __init__(self, text: str, where: str) -> None:
        """Raises InvalidArgument, naming `where`, for what is wrong or too artful to be changed."""
        self._where = where
        self._line_end = "\r\n" if "\r\n" in text else "\n"
        self.exports = parse(text, where)
        self._preamble, self._entries = _cut(text.replace("\r\n", "\n"))
        try:
            alone = [parse(entry, where) for entry in self._entries]
            whole = not parse(self._preamble, where) and alone == [(one,) for one in self.exports]
        except InvalidArgument:
            whole = False
        if not whole:
            raise InvalidArgument(
                f"{where}: commands change exports that are [[export]] tables, each by itself; "
                "change this file by hand"
            )

    @property
    def text(self) -> str:
        """The whole, with one blank line between its parts."""
        parts = [part.rstrip() for part in (self._preamble, *self._entries)]
        text = "\n\n".join(part for part in parts if part) + "\n"
        return text.replace("\n", self._line_end)

    def number(self, which: str) -> int:
        """The position of the export of a name or number. Raises NotFound."""
        for number, export in enumerate(self.exports, 1):
            if which in (export.name, str(number)):
                return number
        raise NotFound(f"no export {which!r}: there are {len(self.exports)}")

    def add(self, values: Mapping[str, object], to: int | None = None) -> int:
        """Add an export, at the end or at position `to`; its position. Raises InvalidArgument."""
        entries = list(self._entries)
        number = len(entries) + 1 if to is None else to
        self._check_position(number, len(entries) + 1)
        entries.insert(number - 1, _text(self._checked(values)))
        self._put(entries)
        return number

    def change(self, number: int, values: Mapping[str, object]) -> None:
        """Give keys of an export other values, None: the default. Raises InvalidArgument."""
        settings.refuse_unknown(values, settings.names(Export), self._where)
        given = self._checked({key: value for key, value in values.items() if value is not None})
        dropped = {key for key, value in values.items() if value is None}
        entries = list(self._entries)
        entries[number - 1] = _edited(entries[number - 1], given, dropped)
        self._put(entries)

    def remove(self, number: int) -> None:
        """Remove an export."""
        self._put([*self._entries[: number - 1], *self._entries[number:]])

    def move(self, number: int, to: int) -> None:
        """Move an export to position `to`. Raises InvalidArgument."""
        entries = list(self._entries)
        self._check_position(to, len(entries))
        entries.insert(to - 1, entries.pop(number - 1))
        self._put(entries)

    def _check_position(self, number: int, most: int) -> None:
        if not 1 <= number <= most:
            raise InvalidArgument(f"position {number}: 1 to {most}")

    def _checked(self, values: Mapping[str, object]) -> dict[str, object]:
        """The values given, in their plain form."""
        every = settings.plain(settings.read(Export, values, Path(), self._where))
        return {key: every[key] for key in every if key in values}

    def _put(self, entries: list[str]) -> None:
        """Take other entries, if they make a file of exports."""
        before, self._entries = self._entries, entries
        try:
            self.exports = parse(self.text, self._where)
        except InvalidArgument:
            self._entries = before
            raise


def _cut(text: str) -> tuple[str, list[str]]:
    lines = text.split("\n")
    starts = []
    least = 0
    for number, line in enumerate(lines):
        if _HEADER.fullmatch(line):
            start = number
            while start > least and lines[start - 1].lstrip().startswith("#"):
                start -= 1
            starts.append(start)
            least = number + 1
    bounds = [*starts, len(lines)]
    parts = ["\n".join(lines[start:end]) + "\n" for start, end in pairwise([0, *bounds])]
    return parts[0], parts[1:]


def _text(values: Mapping[str, object]) -> str:
    """An entry of its own."""
    lines = [f"{key} = {settings.toml(value)}" for key, value in values.items() if value != ""]
    return "\n".join(["[[export]]", *lines])


def _edited(entry: str, values: Mapping[str, object], dropped: set[str]) -> str:
    """An entry with some keys changed and some gone, and the rest of its text as it was."""
    import tomlkit

    document: Any = tomlkit.parse(entry)
    table = document["export"][0]
    for key, value in values.items():
        if value == "":
            table.pop(key, None)
        elif table.get(key) != value:
            table[key] = value
    for key in dropped:
        table.pop(key, None)
    return tomlkit.dumps(document)


@contextmanager
def _editing(path: Path) -> Iterator[Draft]:
    """The file's text, to be changed; when that succeeded, the file is replaced by it.

    Others who change it this way wait meanwhile.
    """
    path = path.resolve()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        before = read_text(path)
        draft = Draft(_default_text() if before is None else before, str(path))
        yield draft
        _replace(path, draft.text)
        os.fsync(folder)
    finally:
        os.close(folder)


def _default_text() -> str:
    kept = ("name", *NEEDED)
    entries = [settings.plain(export) for export in DEFAULT]
    texts = [_text({key: entry[key] for key in kept}) for entry in entries]
    return "\n\n".join([_PREAMBLE, *texts]) + "\n"


def _replace(path: Path, text: str) -> None:
    """Put a file in the place of another, or of none, with its owner and mode."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    try:
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        with open(fd, "w", encoding="utf-8", newline="") as file:
            _as_before(fd, path)
            file.write(text)
            file.flush()
            os.fsync(fd)
        os.rename(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _as_before(fd: int, path: Path) -> None:
    try:
        old = path.stat()
    except FileNotFoundError:
        return
    os.fchown(fd, old.st_uid, old.st_gid)
    os.fchmod(fd, old.st_mode & 0o7777)
