"""How a setting is declared, once: its kind, default, unit, help, and what happens at its limit.

A table of settings is a frozen dataclass whose fields are made by `setting`. Reading, the errors,
and the sample text all come from that declaration. Knows no setting itself, and reads no file.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from store.errors import InvalidArgument

T = TypeVar("T")

_SAMPLE_COLUMNS = 78
_TEXT_SHOWN_MAX = 60
_BARE = re.compile(r"[A-Za-z0-9_.-]{1,60}")


class Kind(Protocol[T]):
    """A kind of value: `read` makes one of what stands in a file, or raises ValueError.

    `plain` is its inverse. `words` says what is allowed. Relative paths are taken from the
    directory `base`.
    """

    @property
    def words(self) -> str:
        """What is allowed, for errors and help."""

    def read(self, raw: object, base: Path) -> T:
        """The value; ValueError, with or without a text, for what is not allowed."""

    def plain(self, value: T) -> object:
        """The value as text, number, flag or list."""


@dataclasses.dataclass(frozen=True)
class Whole:
    """A whole number, of a unit; octal ones are shown as modes are."""

    least: int
    most: int
    unit: str = ""
    octal: bool = False

    @property
    def words(self) -> str:
        """The range."""
        form = _binary if self.unit == "bytes" else self.toml
        what = f"a number of {self.unit}" if self.unit else "a whole number"
        return f"{what} from {form(self.least)} to {form(self.most)}"

    def read(self, raw: object, base: Path) -> int:
        """The number."""
        if isinstance(raw, bool) or not isinstance(raw, int):
            raise ValueError
        if not self.least <= raw <= self.most:
            raise ValueError
        return raw

    def plain(self, value: int) -> int:
        """The number."""
        return value

    def toml(self, value: int) -> str:
        """The number as it stands in a file."""
        return f"0o{value:o}" if self.octal else toml(value)


def _binary(count: int) -> str:
    """A number of bytes in the largest binary unit that it is a whole number of."""
    for shift, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if count and count % (1 << shift) == 0:
            return f"{count >> shift} {unit}"
    return str(count)


@dataclasses.dataclass(frozen=True)
class Flag:
    """true or false."""

    words: str = "true or false"

    def read(self, raw: object, base: Path) -> bool:
        """The flag."""
        if not isinstance(raw, bool):
            raise ValueError
        return raw

    def plain(self, value: bool) -> bool:
        """The flag."""
        return value


class Choice(Generic[T]):
    """One of a few words, each standing for a value."""

    def __init__(self, values: Mapping[str, T]) -> None:
        self._values = dict(values)
        self._words = {value: word for word, value in values.items()}
        quoted = [f'"{word}"' for word in values]
        self.words = ", ".join(quoted[:-1]) + f" or {quoted[-1]}"

    @property
    def choices(self) -> list[str]:
        """The words."""
        return list(self._values)

    def read(self, raw: object, base: Path) -> T:
        """The word's value."""
        if not isinstance(raw, str) or raw not in self._values:
            raise ValueError
        return self._values[raw]

    def plain(self, value: T) -> str:
        """The word of the value."""
        return self._words[value]


def choice(*words: str) -> Choice[str]:
    """One of these words, as it is."""
    return Choice({word: word for word in words})


@dataclasses.dataclass(frozen=True)
class PathName:
    """A path of a file or directory; empty: a default that the help names."""

    words: str = "a path"

    def read(self, raw: object, base: Path) -> Path | None:
        """The path, made absolute; None for an empty one."""
        if not isinstance(raw, str) or "\0" in raw:
            raise ValueError
        return (base / Path(raw).expanduser()).absolute() if raw else None

    def plain(self, value: Path | None) -> str:
        """The path, empty for None."""
        return "" if value is None else str(value)


@dataclasses.dataclass(frozen=True)
class ListOf(Generic[T]):
    """A list of items, none twice, at least one unless it `may_be_empty`; `item` reads each,
    raising ValueError."""

    words: str
    item: Callable[[object], T]
    may_be_empty: bool = False

    def read(self, raw: object, base: Path) -> tuple[T, ...]:
        """The items, in their order."""
        if not isinstance(raw, list) or not (raw or self.may_be_empty):
            raise ValueError
        items = tuple(self.item(one) for one in raw)
        if len(set(items)) < len(items):
            raise ValueError("one of them stands there twice")
        return items

    def plain(self, value: tuple[T, ...]) -> list[T]:
        """The items."""
        return list(value)


def setting(kind: Kind[T], default: T, text: str, limit: str = "") -> Any:
    """A dataclass field that is a setting. text: what it is. limit: what happens at it."""
    return dataclasses.field(default=default, metadata={"kind": kind, "text": text, "limit": limit})


def names(table: type[Any]) -> list[str]:
    """The keys of a table, in their order."""
    return [field.name for field in dataclasses.fields(table)]


def read(table: type[T], raw: Mapping[str, object], base: Path, where: str, prefix: str = "") -> T:
    """A table of settings out of plain values; those not given have their defaults.

    `where` (a file, say) and `prefix` go before the key in errors. Raises InvalidArgument, in one
    line, for a key that there is not and for a value that is not allowed.
    """
    found = {field.name: field for field in dataclasses.fields(table)}  # type: ignore[arg-type]
    refuse_unknown(raw, found, where, prefix)
    values: dict[str, Any] = {}
    for name, value in raw.items():
        kind: Kind[Any] = found[name].metadata["kind"]
        try:
            values[name] = kind.read(value, base)
        except ValueError as error:
            reason = f" ({error})" if str(error) else ""
            raise InvalidArgument(
                f"{where}: {prefix}{name}: {_shown(value)} is not {kind.words}{reason}"
            ) from None
    return table(**values)


def refuse_unknown(raw: Iterable[str], known: Iterable[str], where: str, prefix: str = "") -> None:
    """Raise InvalidArgument for the first name that is not known, with the likeliest that is."""
    known = list(known)
    for name in raw:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {prefix}{near[0]}?" if near else ""
            shown = name if _BARE.fullmatch(name) else _shown(name)
            raise InvalidArgument(f"{where}: there is no key {prefix}{shown}{hint}")


def _shown(value: object) -> str:
    """A value as it stands in a file, cut short."""
    try:
        text = toml(value)
    except TypeError:
        text = str(value)
    return text if len(text) <= _TEXT_SHOWN_MAX else f"{text[:_TEXT_SHOWN_MAX]}..."


_CONTROL = {code: f"\\u{code:04x}" for code in (*range(32), 127)}
_ESCAPES = str.maketrans({**_CONTROL, '"': '\\"', "\\": "\\\\"})


def toml(value: object) -> str:
    """A value in TOML. Raises TypeError for what none of the kinds holds."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return f"{value:_}" if value >= 10_000 else str(value)
        case str() | Path():
            return f'"{str(value).translate(_ESCAPES)}"'
        case list() | tuple():
            return f"[{', '.join(toml(one) for one in value)}]"
        case _:
            raise TypeError(f"{type(value).__name__} has no form here")


def plain(values: Any) -> dict[str, object]:
    """All settings of a table as plain data."""
    return {
        field.name: field.metadata["kind"].plain(getattr(values, field.name))
        for field in dataclasses.fields(values)
    }


def sample_lines(values: Any, live: Iterable[str] = ()) -> Iterator[str]:
    """Each setting of a table: what it is, what is allowed, and its value, commented out.

    Those named in `live` are not commented out.
    """
    live = set(live)
    for field in dataclasses.fields(values):
        kind, metadata = field.metadata["kind"], field.metadata
        value = kind.plain(getattr(values, field.name))
        yield ""
        yield from _comment(metadata["text"])
        yield from _comment(f"Value: {kind.words}.")
        if metadata["limit"]:
            yield from _comment(f"At the limit: {metadata['limit']}")
        mark = "" if field.name in live else "#"
        line = f"{mark}{field.name} = "
        line += kind.toml(value) if isinstance(kind, Whole) else toml(value)
        if isinstance(kind, Whole) and kind.unit == "bytes":
            line += f"  # {_binary(value)}"
        yield line


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, _SAMPLE_COLUMNS, break_on_hyphens=False)]
