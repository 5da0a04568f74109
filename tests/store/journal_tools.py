"""Making journals and reading them back, for the tests of the journal."""

from __future__ import annotations

import random
from pathlib import Path

from store.journal import Journal
from store.journal_segment import BLOCK_BYTES, RECORD_HEADER_BYTES

STORE = bytes(range(16))
Records = list[tuple[int, bytes]]


def fresh(directory: Path, first: int = 1) -> Journal:
    journal = Journal(str(directory), STORE)
    journal.reset(first)
    return journal


def replayed(directory: Path, first: int = 1) -> tuple[Records, Journal]:
    journal = Journal(str(directory), STORE)
    return list(journal.replay(first)), journal


def payload(number: int, size: int = 0) -> bytes:
    return random.Random(number).randbytes(size or 10 + number * 37 % 9000)


def fill(journal: Journal, count: int, size: int = 0) -> Records:
    """Append `count` records and return them."""
    first = journal.next_sequence
    data = [payload(number, size) for number in range(first, first + count)]
    return [(journal.append([item]), item) for item in data]


def crashed(directory: Path, count: int, size: int = 0) -> Records:
    """Leave a journal of `count` records as a kill would."""
    journal = fresh(directory)
    made = fill(journal, count, size)
    journal.close(clean=False)
    return made


def segment(directory: Path, number: int = 0) -> Path:
    return directory / f"{number:08x}.log"


def blocks(size: int) -> int:
    return -(-(RECORD_HEADER_BYTES + size) // BLOCK_BYTES) * BLOCK_BYTES
