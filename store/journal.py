"""The write-ahead journal: what group commit appends to, and what a crash is recovered from.

A record's payload is opaque bytes. An append is one durable write over zeros that were synced
before, so the disk sees the record's blocks and no metadata. Records have sequence numbers, one
after the other over all segments; `journal_segment` has the layout.

Life of a journal. After opening, replay() yields what a crash left; the owner makes that durable
elsewhere (a checkpoint), remembers the next sequence number with it, and calls reset(). Then
append() until rotate(): from there on appends go to another segment, while the owner checkpoints
what the old one holds; when the checkpoint is durable, retire() lets it be overwritten.

Why replay takes every acknowledged record and no other:
* An append returns when its record is durable, and the next one starts after that. So the
  acknowledged records are a run without a gap, and a cut can tear or lose at most the one after.
* The run is taken from `first_sequence`, the number that the last durable checkpoint stopped at,
  segment by segment in the order of their first numbers, up to the first missing number.
* A record of an earlier use of a segment cannot stand in for one that is missing: the salt that
  seeds its checksum is no longer the segment's. Neither can a client's data within an old record.
* A segment's header changes only after its records were retired, hence are in a checkpoint.
* A failed append leaves its number to the next one, at the same place. It is voided by zeros at
  once if the disk lets it, and in any case before appends move to another segment, so that two
  records of one number never exist. If a crash comes first, it may be replayed: it is then the
  atomic step after the last acknowledged one, as if the crash had come after it.

A record found behind a gap proves that the disk lost what it had confirmed: see `damage`.

Single-threaded by contract. Errors of all calls: NoSpace, StorageFailure; a call that raises can
be made again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from store import disk, errors, faults
from store.journal_segment import (
    BLOCK_BYTES,
    Frame,
    Header,
    Segment,
    SegmentReader,
    segment_numbers,
    segment_path,
)

# Retired segments kept for the next rotation; one is enough when checkpoints keep up.
_FREE_SEGMENTS_MAX = 1


class Journal:
    """The journal in one directory, of one store."""

    def __init__(self, directory: str, store_id: bytes) -> None:
        """Take the journal in an existing directory; reads and changes nothing yet."""
        self.damage: str | None = None  # what replay() found to be lost, as one line
        self._directory = directory
        self._store_id = store_id
        self._frame = Frame()
        self._current: Segment | None = None
        self._retiring: dict[int, Segment] = {}
        self._free: list[Segment] = []
        self._next_number = 0
        self._next_sequence = 0
        self._failed_tail = False

    @property
    def next_sequence(self) -> int:
        """The number that the next record gets; after replay(), one over the last one's."""
        return self._next_sequence

    @property
    def used_bytes(self) -> int:
        """Bytes of records in the segment now appended to; what rotation is decided by."""
        return self._segment().position - BLOCK_BYTES

    @property
    def allocated_bytes(self) -> int:
        """Bytes on disk of all segments in use or kept."""
        segments = [self._segment(), *self._retiring.values(), *self._free]
        return sum(segment.allocated for segment in segments)

    def replay(self, first_sequence: int) -> Iterator[tuple[int, bytes]]:
        """Yield (sequence, payload) of what is to be done again, from `first_sequence` on.

        Ends at the first record that is missing, torn or damaged. Once it has ended,
        `next_sequence` is the number after the last, and `damage` says if more is known to have
        been there. WrongVersion or Damaged when the segments are another format's or store's.
        """
        self._next_sequence = first_sequence
        self.damage = None
        readers: list[SegmentReader] = []
        try:
            segments: list[tuple[int, int, SegmentReader]] = []
            for number in segment_numbers(self._directory):
                reader = SegmentReader(self._directory, number)
                readers.append(reader)
                header = reader.header(self._store_id)
                if header is not None:
                    segments.append((header.first_sequence, header.salt, reader))
            segments.sort(key=lambda found: found[0])
            for first, salt, reader in segments:
                if first > self._next_sequence:
                    self._report_loss(f"{reader.path} starts at {first}")
                    return
                yield from self._replay_segment(reader, salt, first)
        finally:
            for reader in readers:
                reader.close()

    def _replay_segment(
        self, reader: SegmentReader, salt: int, sequence: int
    ) -> Iterator[tuple[int, bytes]]:
        """Yield a segment's records, which are numbered from `sequence` on, as far as needed."""
        offset = BLOCK_BYTES
        record = reader.record_at(offset, salt)
        while record is not None and record.sequence == sequence:
            if sequence == self._next_sequence:
                self._next_sequence += 1
                yield sequence, record.payload
            sequence += 1
            offset = record.end
            record = reader.record_at(offset, salt)
        later = record or reader.later_record(offset, salt, self._next_sequence)
        if later is not None and later.sequence > self._next_sequence:
            self._report_loss(f"{reader.path} has record {later.sequence}")

    def _report_loss(self, proof: str) -> None:
        if self.damage is None:
            self.damage = f"journal record {self._next_sequence} is lost: {proof}"

    def reset(self, next_sequence: int) -> None:
        """Drop all segments and start anew; the first record will be `next_sequence`.

        What was replayed must be durable elsewhere, with a `first_sequence` of `next_sequence`.
        """
        self._close_all()
        numbers = segment_numbers(self._directory)
        if numbers:
            self._next_number = max(self._next_number, numbers[-1] + 1)
        self._remove(numbers)
        faults.point("journal.reset")
        self._next_sequence = next_sequence
        self._failed_tail = False
        self._current = self._new_segment()

    def append(self, buffers: Sequence[disk.Buffer]) -> int:
        """Append one record of the joined `buffers`; return its sequence number once durable.

        After an error the journal is as before, and the record is not replayed unless a crash
        comes before the next successful call.
        """
        segment = self._segment()
        sequence = self._next_sequence
        frame = self._frame.fill(segment.header.salt, sequence, buffers)
        try:
            segment.append(frame)
        except errors.StoreError:
            self._failed_tail = True
            self._try_void_tail()
            raise
        self._failed_tail = False
        self._next_sequence = sequence + 1
        faults.point("journal.appended")
        return sequence

    def rotate(self) -> int:
        """Send later appends to another segment; return the token that retires this one."""
        old = self._segment()
        if self._failed_tail:
            old.void_tail()
            self._failed_tail = False
        if self._free:
            fresh = self._free[-1]
            fresh.reuse(self._header(fresh.header.number))
            self._free.pop()
        else:
            fresh = self._new_segment()
        self._current = fresh
        self._retiring[old.header.number] = old
        faults.point("journal.rotated")
        return old.header.number

    def retire(self, token: int) -> None:
        """Let a rotated segment be overwritten: a durable checkpoint has all its records.

        KeyError for a token that is unknown or retired already.
        """
        segment = self._retiring[token]
        if len(self._free) >= _FREE_SEGMENTS_MAX:
            disk.unlink(segment.path)
            segment.close()
        else:
            self._free.append(segment)
        del self._retiring[token]
        faults.point("journal.retired")

    def close(self, clean: bool) -> None:
        """Close all files; with `clean`, when a checkpoint has every record, remove them too."""
        self._close_all()
        if clean:
            self._remove(segment_numbers(self._directory))

    def _segment(self) -> Segment:
        if self._current is None:
            raise ValueError("the journal is closed, or not reset yet")
        return self._current

    def _header(self, number: int) -> Header:
        salt = int.from_bytes(os.urandom(8), "little")
        return Header(number, self._store_id, salt, self._next_sequence)

    def _new_segment(self) -> Segment:
        """Create a segment under a number never used before."""
        segment = Segment(self._directory, self._header(self._next_number))
        self._next_number += 1
        return segment

    def _try_void_tail(self) -> None:
        try:
            self._segment().void_tail()
            self._failed_tail = False
        except errors.StoreError:
            pass

    def _remove(self, numbers: list[int]) -> None:
        for number in numbers:
            disk.unlink(segment_path(self._directory, number))
        if numbers:
            disk.sync_directory(self._directory)

    def _close_all(self) -> None:
        current = [self._current] if self._current else []
        for segment in [*current, *self._retiring.values(), *self._free]:
            segment.close()
        self._current = None
        self._retiring.clear()
        self._free.clear()
