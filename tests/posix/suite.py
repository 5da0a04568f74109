"""The table of cases. A case is a function of an `Fs`: an empty directory, mode 0777, root's.

`@case` enters a function under `module.function`; `@each(rows)` enters it once for every row, as
`module.function[label]`, with the row's values as further arguments.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Concatenate, ParamSpec

from tests.posix.fs import Fs

P = ParamSpec("P")
Case = Callable[[Fs], None]

CASES: dict[str, Case] = {}
MODULES = (
    "names",
    "links",
    "symlinks",
    "kinds",
    "precedence",
    "times",
    "access",
    "ownership",
    "set_id",
    "sticky",
    "renames",
    "data",
    "truncation",
    "sparse",
    "open_files",
    "directories",
    "xattrs",
    "space",
)


def _enter(name: str, function: Case) -> None:
    assert name not in CASES, f"two cases named {name}"
    CASES[name] = function


def _name(function: Callable[..., None]) -> str:
    return f"{function.__module__.rpartition('.')[2]}.{function.__name__}"


def case(function: Case) -> Case:
    """Enter one case."""
    _enter(_name(function), function)
    return function


def each(
    rows: Mapping[str, tuple[object, ...]],
) -> Callable[[Callable[Concatenate[Fs, P], None]], Callable[Concatenate[Fs, P], None]]:
    """Enter one case a row; a label says what is special about its row."""

    def enter(
        function: Callable[Concatenate[Fs, P], None],
    ) -> Callable[Concatenate[Fs, P], None]:
        for label, row in rows.items():
            _enter(f"{_name(function)}[{label}]", partial(_call, function, row))
        return function

    return enter


def _call(function: Callable[..., None], row: tuple[object, ...], fs: Fs) -> None:
    function(fs, *row)


def load() -> dict[str, Case]:
    """The whole table, in the order of MODULES."""
    for module in MODULES:
        importlib.import_module(f"tests.posix.{module}")
    return CASES
