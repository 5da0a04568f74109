"""The house rules that a program can check, read from the source (nothing is imported).

Each rule is a function `Module -> findings`; RULES lists them, one test runs each over every
module of the project, and another shows each rule at work on a small source that breaks it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("fsgw", "fuse", "gitdoor", "nfs", "store")
COLUMNS_MAX = 100
LINES_MAX = 450

# Which of our packages a package may import, besides itself.
BELOW = {
    "fsgw": {"fuse", "gitdoor", "nfs", "store"},
    "fuse": {"store"},
    "gitdoor": {"store"},
    "nfs": {"store"},
    "store": set(),
}

# Modules that only some files (or folders, ending in a slash) of the packages may import.
DOORS = {
    "dulwich": ("gitdoor/",),
    "lmdb": ("store/database.py",),
    "pyfuse3": ("fuse/",),
    "xdrlib3": ("nfs/",),
    "trio": ("fsgw/", "fuse/", "nfs/"),
    "socket": ("fsgw/", "fuse/", "nfs/"),
    "errno": ("fsgw/", "fuse/", "store/disk.py"),
}

UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")


class Module(NamedTuple):
    """One source file: its path below the root with forward slashes, and its text."""

    path: str
    text: str

    @property
    def package(self) -> str:
        """The top-level folder."""
        return self.path.partition("/")[0]


class Import(NamedTuple):
    """A module's absolute dotted name, as imported on a line."""

    line: int
    name: str

    @property
    def top(self) -> str:
        """The first part of the name."""
        return self.name.partition(".")[0]


def _from_names(path: str, node: ast.ImportFrom) -> list[str]:
    """What `from X import a, b` may import: X.a and X.b, with a relative X made absolute."""
    base = node.module or ""
    if node.level:
        folders = path.split("/")[: -node.level]
        base = ".".join([*folders, base] if base else folders)
    return [f"{base}.{alias.name}" if base else alias.name for alias in node.names]


def _literal_import(node: ast.Call) -> str | None:
    """The name given to `__import__` or `import_module`, where it stands there as a literal."""
    called = node.func
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    if name not in {"__import__", "import_module"} or not node.args:
        return None
    match node.args[0]:
        case ast.Constant(value=str(text)):
            return text
    return None


def imports(module: Module) -> Iterator[Import]:
    """Every import of the module, wherever it stands in it, those for types only included."""
    for node in ast.walk(ast.parse(module.text)):
        if isinstance(node, ast.Import):
            yield from (Import(node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (Import(node.lineno, name) for name in _from_names(module.path, node))
        elif isinstance(node, ast.Call) and (literal := _literal_import(node)):
            yield Import(node.lineno, literal)


# --- the rules --------------------------------------------------------------------------------


def direction(module: Module) -> Iterator[str]:
    """Imports go down only: fsgw -> nfs, fuse -> store; no package imports tests or scripts."""
    if module.package not in BELOW:
        return
    allowed = {module.package, *BELOW[module.package]}
    for found in imports(module):
        if found.top in {*PACKAGES, "scripts", "tests"} - allowed:
            yield f"line {found.line}: {module.package} must not import {found.name}"


def doors(module: Module) -> Iterator[str]:
    """Each outside library and each concern of the system comes in through its own door."""
    if module.package not in PACKAGES:
        return
    for found in imports(module):
        allowed = DOORS.get(found.top)
        if allowed is not None and not any(_is_under(module.path, place) for place in allowed):
            yield f"line {found.line}: {found.top} may be imported only in {', '.join(allowed)}"


def _is_under(path: str, place: str) -> bool:
    return path.startswith(place) if place.endswith("/") else path == place


def columns(module: Module) -> Iterator[str]:
    """Lines are at most 100 columns wide."""
    for number, line in enumerate(module.text.splitlines(), 1):
        if len(line) > COLUMNS_MAX:
            yield f"line {number}: {len(line)} columns, more than {COLUMNS_MAX}"


def length(module: Module) -> Iterator[str]:
    """Modules are at most 450 lines long."""
    lines = len(module.text.splitlines())
    if lines > LINES_MAX:
        yield f"{lines} lines, more than {LINES_MAX}: split it along its concepts"


def docstring(module: Module) -> Iterator[str]:
    """Every module says what it is for."""
    if not (ast.get_docstring(ast.parse(module.text)) or "").strip():
        yield "no module docstring"


def unfinished(module: Module) -> Iterator[str]:
    """Nothing is marked as left for later."""
    for number, line in enumerate(module.text.splitlines(), 1):
        if mark := UNFINISHED.search(line):
            yield f"line {number}: {mark.group()}"


def no_sleep(module: Module) -> Iterator[str]:
    """No test waits by sleeping."""
    if module.package != "tests":
        return
    nodes = list(ast.walk(ast.parse(module.text)))
    clocks = {"time"}
    for node in nodes:
        if isinstance(node, ast.Import):
            clocks |= {a.asname for a in node.names if a.name == "time" and a.asname}
    for node in nodes:
        match node:
            case ast.ImportFrom(module="time", names=names):
                if any(alias.name in {"sleep", "*"} for alias in names):
                    yield f"line {node.lineno}: imports sleep"
            case ast.Attribute(attr="sleep", value=ast.Name(id=name)) if name in clocks:
                yield f"line {node.lineno}: sleeps"


Rule = Callable[[Module], Iterator[str]]
RULES: list[Rule] = [direction, doors, columns, length, docstring, unfinished, no_sleep]


# --- the project keeps them -------------------------------------------------------------------


def _is_python(path: Path) -> bool:
    """A .py file, or a script without a suffix whose first line names python."""
    if path.suffix == ".py":
        return True
    if path.suffix or path.parent != ROOT / "scripts":
        return False
    with path.open("rb") as file:
        first = file.readline(128)
    return first.startswith(b"#!") and b"python" in first


def project() -> list[Module]:
    """Every Python source of the packages, the tests and the scripts."""
    paths = [
        path
        for folder in (*PACKAGES, "scripts", "tests")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.is_file() and "data" not in path.parts and _is_python(path)
    ]
    return [Module(path.relative_to(ROOT).as_posix(), path.read_text("utf-8")) for path in paths]


def test_the_project_is_read() -> None:
    found = {module.path for module in project()}
    assert {"store/__init__.py", "store/errors.py", "tests/test_house.py"} <= found


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_project_keeps_the_rule(rule: Rule) -> None:
    findings = [f"{module.path}: {text}" for module in project() for text in rule(module)]
    assert not findings, "\n".join([str(rule.__doc__), *findings])


def test_lmdb_has_exactly_one_door() -> None:
    users = {
        module.path
        for module in project()
        if module.package in PACKAGES and any(i.top == "lmdb" for i in imports(module))
    }
    assert users == {"store/database.py"}


# --- the rules bite ---------------------------------------------------------------------------

BREAKS: list[tuple[Rule, str, str]] = [
    (direction, "store/a.py", "import fsgw"),
    (direction, "store/a.py", "import nfs.xdr as x"),
    (direction, "store/a.py", "from fuse import adapter"),
    (direction, "store/a.py", "from .. import nfs"),
    (direction, "store/a.py", "from ..fuse.errno import table"),
    (direction, "store/deep/a.py", "from ...nfs import xdr"),
    (direction, "store/a.py", "def f():\n    import fsgw.cli"),
    (direction, "store/a.py", "if TYPE_CHECKING:\n    from nfs import status"),
    (direction, "store/a.py", "importlib.import_module('nfs.xdr')"),
    (direction, "store/a.py", "__import__('fuse')"),
    (direction, "nfs/a.py", "import store, fuse"),
    (direction, "fuse/a.py", "from nfs import status"),
    (direction, "gitdoor/a.py", "from fsgw import steps"),
    (direction, "store/a.py", "import gitdoor.refs"),
    (direction, "nfs/a.py", "import fsgw.config"),
    (direction, "fsgw/a.py", "from tests.store import model"),
    (doors, "store/a.py", "import lmdb"),
    (doors, "store/deep/database.py", "import lmdb"),
    (doors, "fsgw/a.py", "from lmdb import Error"),
    (doors, "store/a.py", "import errno"),
    (doors, "store/a.py", "from errno import ENOSPC"),
    (doors, "nfs/status.py", "import errno"),
    (doors, "store/disk.py", "import socket"),
    (doors, "store/disk.py", "import trio.lowlevel"),
    (doors, "nfs/a.py", "import pyfuse3"),
    (doors, "fsgw/a.py", "import pyfuse3"),
    (doors, "fuse/a.py", "import xdrlib3"),
    (doors, "fsgw/a.py", "from dulwich import pack"),
    (doors, "gitdoor/a.py", "import trio"),
    (columns, "store/a.py", "#" * 101),
    (length, "store/a.py", "\n" * 451),
    (docstring, "store/a.py", "x = 1"),
    (docstring, "tests/store/test_a.py", ""),
    (docstring, "store/a.py", "'''  '''"),
    (unfinished, "store/a.py", "x = 1  # TO" + "DO: two"),
    (unfinished, "store/a.py", "# FIX" + "ME"),
    (no_sleep, "tests/a.py", "import time\ntime.sleep(1)"),
    (no_sleep, "tests/a.py", "import time as t\nt.sleep(1)"),
    (no_sleep, "tests/a.py", "from time import sleep"),
    (no_sleep, "tests/a.py", "import time\nwait = time.sleep"),
]

KEEPS: list[tuple[Rule, str, str]] = [
    (direction, "store/a.py", "from store import errors\nfrom . import types\nimport os"),
    (direction, "nfs/a.py", "import store.errors"),
    (direction, "fuse/a.py", "from store import errors"),
    (direction, "fsgw/a.py", "import fuse, nfs, store"),
    (direction, "tests/a.py", "import fsgw, fuse, nfs, store"),
    (direction, "store/a.py", "import storehouse, nfsd"),
    (doors, "store/database.py", "import lmdb"),
    (doors, "store/disk.py", "import errno"),
    (doors, "fuse/errno.py", "import errno, pyfuse3, trio"),
    (doors, "nfs/xdr.py", "import xdrlib3"),
    (doors, "gitdoor/packing.py", "from dulwich.pack import PackData"),
    (doors, "tests/store/a.py", "import errno, lmdb, socket"),
    (doors, "store/a.py", "from store import errno_free"),
    (columns, "store/a.py", "#" * 100),
    (columns, "store/a.py", "# " + "\N{SNOWMAN}" * 98),
    (length, "store/a.py", "\n" * 450),
    (docstring, "store/a.py", '"""What it is for."""'),
    (unfinished, "store/a.py", "# a methodology, auto" + "dox"),
    (no_sleep, "tests/a.py", "import time\ntime.monotonic()\nclock.sleep(1)"),
    (no_sleep, "fsgw/a.py", "import time\ntime.sleep(1)"),
]


@pytest.mark.parametrize(("rule", "path", "text"), BREAKS)
def test_a_broken_rule_is_found(rule: Rule, path: str, text: str) -> None:
    assert list(rule(Module(path, text)))


@pytest.mark.parametrize(("rule", "path", "text"), KEEPS)
def test_a_kept_rule_is_not(rule: Rule, path: str, text: str) -> None:
    assert not list(rule(Module(path, text)))


def test_every_rule_is_shown_to_bite() -> None:
    assert {rule for rule, _, _ in BREAKS} == set(RULES) == {rule for rule, _, _ in KEEPS}


def test_a_finding_names_the_line() -> None:
    source = Module("store/a.py", '"""A."""\n\nimport os\nimport trio\n')
    assert list(doors(source)) == [
        "line 4: trio may be imported only in fsgw/, fuse/, nfs/",
    ]
