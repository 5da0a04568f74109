"""How the cases of the suite are run, and held to the table of differences."""

from __future__ import annotations

from tests.posix import suite
from tests.posix.differences import difference
from tests.posix.fs import Fs, FsError

CASES = suite.load()
_NUMBERS = {name: str(number) for number, name in enumerate(CASES)}


def run(root: Fs, driver: str, name: str) -> str | None:
    """Run one case in a directory of its own; where a difference is known, it has to show.

    Returns the reason of the difference, None where there is none.
    """
    reason = difference(driver, name)
    root.mkdir(_NUMBERS[name], 0o777)
    try:
        CASES[name](root.at(_NUMBERS[name]))
    except (AssertionError, FsError):
        if reason is None:
            raise
        return reason
    assert reason is None, f"{name} holds on {driver}; its row of DIFFERENCES has to go"
    return None


def run_all(root: Fs, driver: str, module: str) -> None:
    """Run all cases of one module of the suite, then say which of them failed."""
    failures = []
    for name in CASES:
        if name.startswith(f"{module}."):
            try:
                run(root, driver, name)
            except (AssertionError, FsError) as error:
                failures.append(f"{name}: {error}")
    assert not failures, "\n".join(failures)
