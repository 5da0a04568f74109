"""Writes to an SQLite database until it is killed, and says what has been committed.

    python -m tests.fuse.sqlite_writer FILE JOURNAL_MODE FIRST

Each transaction adds a row and changes several more, over many pages; its number is printed when it
has been committed.
"""

from __future__ import annotations

import itertools
import random
import sqlite3
import sys

ROWS = 40  # that every transaction changes some of


def content(number: int) -> bytes:
    """What the row of a transaction holds."""
    return random.Random(number).randbytes(100 + number * 977 % 9_000)


def main(file: str, mode: str, first: str) -> None:
    """See the module."""
    database = sqlite3.connect(file, isolation_level=None)
    (found,) = database.execute(f"PRAGMA journal_mode={mode}").fetchone()
    assert found == mode, found
    database.execute("PRAGMA synchronous=FULL")
    database.execute("PRAGMA cache_size=20")  # pages spill before the commit
    database.execute("CREATE TABLE IF NOT EXISTS log (number INTEGER PRIMARY KEY, data BLOB)")
    database.execute("CREATE TABLE IF NOT EXISTS state (row INTEGER PRIMARY KEY, number, data)")
    for number in itertools.count(int(first)):
        database.execute("BEGIN IMMEDIATE")
        database.execute("INSERT INTO log VALUES (?, ?)", (number, content(number)))
        for row in range(ROWS):
            database.execute(
                "INSERT OR REPLACE INTO state VALUES (?, ?, ?)", (row, number, content(row))
            )
        database.execute("COMMIT")
        print(number, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
