"""Runs in the virtual machine: every case of the POSIX suite in one directory, which is given.

Prints a line of JSON for each case, as it ends: its name, and what went wrong (null: nothing).
"""

from __future__ import annotations

import json
import sys
import traceback

from tests.posix import suite
from tests.posix.fs import Fs, FsError
from tests.posix.osfs import OsFs


def outcome(case: suite.Case, fs: Fs) -> str | None:
    """What a case finds wrong."""
    try:
        case(fs)
    except (AssertionError, FsError, OSError) as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error} ({where.name}: {where.line})"
    return None


def main(directory: str) -> None:
    """Run all cases, each in a directory of its own."""
    root = OsFs(directory)
    for number, (name, case) in enumerate(suite.load().items()):
        root.mkdir(str(number), 0o777)
        print(json.dumps([name, outcome(case, root.at(str(number)))]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
