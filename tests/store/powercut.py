"""A disk as a power cut may leave it, rebuilt from the recorded writes and syncs.

What was synced is there. Of what was not, each sector of 512 bytes and each change of a directory
is there or not, independently, except that a durable write that had returned is whole.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from pathlib import Path

from store.disk import Event

SECTOR_BYTES = 512


class _File:
    def __init__(self) -> None:
        self.durable = bytearray()
        self.loose: list[Event] = []


def _apply(data: bytearray, event: Event) -> None:
    if event.op == "truncate":
        del data[event.offset :]
        data.extend(bytes(event.offset - len(data)))
    else:
        data.extend(bytes(max(0, event.offset - len(data))))
        data[event.offset : event.offset + len(event.data)] = event.data


def _torn(event: Event, rng: random.Random) -> list[Event]:
    """Return the part of an unsynced event that reached the disk."""
    if event.op == "truncate":
        return [event] if rng.random() < 0.5 else []
    chance = rng.choice((0.0, 0.5, 0.9, 1.0))
    starts = range(0, len(event.data), SECTOR_BYTES)
    return [
        Event("write", event.path, event.offset + at, event.data[at : at + SECTOR_BYTES])
        for at in starts
        if rng.random() < chance
    ]


def rebuild(events: Sequence[Event], target: Path, source: Path, rng: random.Random) -> None:
    """Make `target` what a cut just before the last event's end may leave of `source`.

    `source` names the recorded directory, empty at the first event; both are flat.
    """
    files: dict[str, _File] = {}
    kept: dict[str, _File] = {}
    loose_names: set[str] = set()
    for index, event in enumerate(events):
        path, last = event.path, index == len(events) - 1
        if event.op == "create":
            files[path] = _File()
            loose_names.add(path)
        elif event.op == "unlink":
            files.pop(path, None)
            loose_names.add(path)
        elif event.op == "sync_directory" and not last:
            kept, loose_names = dict(files), set()
        elif event.op == "sync" and not last:
            for write in files[path].loose:
                _apply(files[path].durable, write)
            files[path].loose.clear()
        elif event.op == "write_sync" and not last:
            _apply(files[path].durable, event)
        elif event.op in ("write", "truncate", "write_sync"):
            files[path].loose.append(event)
    for path in loose_names:
        if rng.random() < 0.5:
            kept.pop(path, None)
            if path in files:
                kept[path] = files[path]
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for path, file in kept.items():
        data = bytearray(file.durable)
        for event in file.loose:
            for part in _torn(event, rng):
                _apply(data, part)
        (target / Path(path).relative_to(source)).write_bytes(data)
