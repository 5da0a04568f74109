"""A disk as a power cut may leave it, rebuilt from the recorded writes and syncs.

What was synced is there. Of what was not, each sector of 512 bytes and each change of a directory
is there or not, independently, except that a durable write that had returned is whole, and that a
rename is there as a whole or not at all.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from store.disk import Event

SECTOR_BYTES = 512


class Replaced(NamedTuple):
    """A file's whole content changed in one step, durably: for what commits by rules of its own."""

    path: str
    data: bytes
    op: str = "replaced"


class _File:
    def __init__(self, directory: bool = False) -> None:
        self.directory = directory
        self.durable = bytearray()
        self.loose: list[Event] = []


class _Move(NamedTuple):
    """A change of names: what `path` names from here on, and a name that goes with that."""

    path: str
    file: _File | None
    old: str = ""


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


class _Disk:
    """Files and names: as programs see them, and as far as they are durable."""

    def __init__(self) -> None:
        self.names: dict[str, _File] = {}
        self.kept: dict[str, _File] = {}
        self.moves: list[_Move] = []  # not yet durable

    def _move(self, move: _Move) -> None:
        _rename(self.names, move)
        self.moves.append(move)

    def take(self, event: Event | Replaced, whole: bool, rng: random.Random) -> None:
        """Let an event happen; one that is not `whole` was under way when the power went."""
        op, path = event.op, event.path
        if isinstance(event, Replaced):
            if whole or rng.random() < 0.5:
                self.names[path].durable = bytearray(event.data)
        elif op in ("create", "make_directory"):
            self._move(_Move(path, _File(op == "make_directory")))
        elif op == "unlink":
            self._move(_Move(path, None))
        elif op == "rename":
            self._move(_Move(event.target, self.names[path], path))
        elif op == "sync_directory":
            self._sync_names(path if whole else "")
        elif op == "sync":
            self._sync(self.names[path], whole)
        elif op == "write_sync" and whole:
            _apply(self.names[path].durable, event)
        else:
            self.names[path].loose.append(event)

    @staticmethod
    def _sync(file: _File, whole: bool) -> None:
        if whole:
            for write in file.loose:
                _apply(file.durable, write)
            file.loose.clear()

    def _sync_names(self, directory: str) -> None:
        loose, self.moves = self.moves, []
        for move in loose:
            if os.path.dirname(move.path) == directory:
                _rename(self.kept, move)
            else:
                self.moves.append(move)

    def cut(self, rng: random.Random) -> None:
        """Decide what is left of everything that was not durable."""
        for move in self.moves:
            if rng.random() < 0.5:
                _rename(self.kept, move)
        for file in self.kept.values():
            for event in file.loose:
                for part in _torn(event, rng):
                    _apply(file.durable, part)
            file.loose.clear()

    def write(self, target: Path, source: Path) -> None:
        """Make `target` what `source` now is."""
        for path, file in sorted(self.kept.items()):
            place = target / Path(path).relative_to(source)
            if not place.parent.is_dir():
                continue  # lost with the directory it was in
            if file.directory:
                place.mkdir()
            else:
                place.write_bytes(file.durable)


def _rename(names: dict[str, _File], move: _Move) -> None:
    names.pop(move.old, None)
    if move.file is None:
        names.pop(move.path, None)
    else:
        names[move.path] = move.file


def standing(source: Path) -> list[Event]:
    """Events that make all that is in a directory, durably: to go before what is recorded."""
    found: list[Event] = []
    for place in sorted(source.rglob("*")):
        path, parent = str(place), str(place.parent)
        if place.is_dir():
            found.append(Event("make_directory", path))
        else:
            found += [Event("create", path), Event("write", path, 0, place.read_bytes())]
            found.append(Event("sync", path))
        found.append(Event("sync_directory", parent))
    return found


def rebuild(
    events: Sequence[Event | Replaced], target: Path, source: Path, rng: random.Random
) -> None:
    """Make `target` what a cut just before the last event's end may leave of `source`.

    `source` names the recorded directory, empty at the first event.
    """
    disk = _Disk()
    for index, event in enumerate(events):
        disk.take(event, index < len(events) - 1, rng)
    disk.cut(rng)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    disk.write(target, source)
