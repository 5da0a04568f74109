"""What importing the packages does: each module alone, nothing more than it may, all declared."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.test_house import PACKAGES, Module, imports, project

ROOT = Path(__file__).parent.parent
MODULES = [
    module.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    for module in project()
    if module.package in PACKAGES
]

# Imports every module named, each with none of our modules loaded before it, and prints by name
# what went wrong with it; last, everything that was loaded on the way.
_IMPORT_EACH = """
import importlib, json, sys, traceback
packages, names = json.loads(sys.argv[1])
failures, seen = {}, set()
for name in names:
    for loaded in [n for n in sys.modules if n.partition(".")[0] in packages]:
        del sys.modules[loaded]
    try:
        importlib.import_module(name)
    except BaseException:
        failures[name] = traceback.format_exc(limit=-3)
    seen.update(sys.modules)
print(json.dumps([failures, sorted(seen)]))
"""


def import_each(names: list[str]) -> tuple[dict[str, str], set[str]]:
    """Failures by module, and all modules loaded, in a new process where warnings are errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _IMPORT_EACH, json.dumps([PACKAGES, names])],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    failures, loaded = json.loads(done.stdout)
    return failures, set(loaded)


def declared() -> dict[str, Any]:
    """The [project] table."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        table: dict[str, Any] = tomllib.load(file)["project"]
    return table


def requirement_names(requirements: list[str]) -> set[str]:
    """The names in a list such as ["click>=8.1"], as modules are spelt."""
    return {
        re.split(r"[^\w.-]", text, maxsplit=1)[0].lower().replace("-", "_") for text in requirements
    }


def third_party(modules: list[Module]) -> set[str]:
    """The top-level names that the modules import from outside the project and Python."""
    names = {found.top for module in modules for found in imports(module)}
    return names - set(sys.stdlib_module_names) - {*PACKAGES, "scripts", "tests"}


def test_each_module_imports_alone() -> None:
    failures, _ = import_each([name for name in MODULES if not name.endswith("__main__")])
    assert not failures, "\n".join(f"{name}: {text}" for name, text in failures.items())


def test_a_failing_import_is_reported() -> None:
    failures, _ = import_each(["store.errors", "store.no_such_module"])
    assert list(failures) == ["store.no_such_module"]
    assert "ModuleNotFoundError" in failures["store.no_such_module"]


def test_the_store_brings_in_no_door_and_no_event_loop() -> None:
    names = [name for name in MODULES if name.partition(".")[0] == "store"]
    _, loaded = import_each(names)
    assert "store.errors" in loaded
    unwanted = {"asyncio", "click", "fsgw", "fuse", "nfs", "pyfuse3", "trio", "xdrlib3"}
    assert not unwanted & loaded


def test_the_entry_point_is_there() -> None:
    module, _, function = declared()["scripts"]["fsgw"].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_run_time_dependencies_are_those_imported() -> None:
    used = third_party([module for module in project() if module.package in PACKAGES])
    assert used == requirement_names(declared()["dependencies"])


def test_tests_and_scripts_need_nothing_undeclared() -> None:
    table = declared()
    known = requirement_names(table["dependencies"] + table["optional-dependencies"]["dev"])
    used = third_party([m for m in project() if m.package not in PACKAGES])
    assert used <= known


@pytest.mark.parametrize(
    ("requirement", "name"),
    [("click>=8.1", "click"), ("pytest-xdist", "pytest_xdist"), ("a[b] ; x", "a"), ("Q~=1", "q")],
)
def test_requirement_names(requirement: str, name: str) -> None:
    assert requirement_names([requirement]) == {name}
