"""Tapes made by strace: every system call of a process that changes files, LMDB's included.

Run as a program this is the process to be traced: it makes a store and works on it, and writes
what it reports to a file of its own, so that the trace has it in its place.
"""

from __future__ import annotations

import codecs
import os
import pickle
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from store.disk import Event
from store.store import Store
from tests.store.crash_nursery import TOP
from tests.store.crash_steps import BLOCK_BYTES
from tests.store.model_world import World
from tests.store.powercut_tape import Note, Tape, sessions

REPORTS = "reports"
# Whatever can change a file or a name. A call of these that `_Reader` does not know is an error.
_CALLS = (
    "open,openat,creat,write,writev,pwrite64,pwritev,pwritev2,lseek,fsync,fdatasync,msync,"
    "sync_file_range,ftruncate,truncate,fallocate,rename,renameat,renameat2,unlink,unlinkat,rmdir,"
    "mkdir,mkdirat,link,linkat,symlink,sendfile,copy_file_range,splice"
)
_STRING = r'"((?:[^"\\]|\\.)*)"'
_FD = r"(\d+)<([^>]*)>"


def trace(place: Path, seed: int, steps: int) -> Tape:
    """The tape of a new store below `place`, an empty directory, at work.

    Its paths are those below `place`; see `sessions` for what is done.
    """
    log = place.with_name("strace.log")
    command = ["strace", "-f", "-y", "-s", "100000000", "-e", f"trace={_CALLS}", "-o", str(log)]
    command += [sys.executable, "-m", "tests.store.powercut_trace", str(place), str(seed)]
    subprocess.run([*command, str(steps)], cwd=TOP, check=True)
    with open(log, encoding="ascii") as lines:
        return _Reader(place).read(_whole(lines))


def _whole(lines: Iterator[str]) -> Iterator[str]:
    """Calls without the process number; one that another thread interrupted comes at its end."""
    begun: dict[str, str] = {}
    for line in lines:
        process, _, call = line.rstrip("\n").partition(" ")
        call = call.lstrip()
        if call.endswith("<unfinished ...>"):
            begun[process] = call.removesuffix("<unfinished ...>").rstrip()
        elif call.startswith("<..."):
            yield begun.pop(process) + call.partition("resumed>")[2]
        elif not call.startswith(("+++", "---")):
            yield call


class _Reader:
    """Turns calls into a tape. One process, whose descriptors are told apart by number."""

    def __init__(self, place: Path) -> None:
        self._place = str(place)
        self._reports = str(place.with_name(REPORTS))
        self._names: set[str] = set()
        self._at: dict[str, int] = {}  # by descriptor: the offset of the next plain write
        self._durable: set[str] = set()  # descriptors opened with O_DSYNC
        self._tape: Tape = []

    def read(self, calls: Iterator[str]) -> Tape:
        for call in calls:
            match = re.fullmatch(r"(\w+)\((.*)\)\s+= (-?\d+|\?)(<.*>)?( .*)?", call, re.DOTALL)
            assert match, call[:200]
            name, arguments, result = match[1], match[2], match[3]
            ours = self._place in call or self._reports in call
            if ours and not result.startswith("-"):
                self._take(name, arguments, result)
        return self._tape

    def _take(self, name: str, arguments: str, result: str) -> None:
        match name:
            case "openat":
                self._open(arguments, result)
            case "write" | "writev" | "pwrite64" | "pwritev" | "pwritev2":
                self._write(name, arguments, int(result))
            case "lseek":
                self._at[_descriptor(arguments)[0]] = int(result)
            case "fsync" | "fdatasync":
                path = _descriptor(arguments)[1]
                self._add("sync_directory" if os.path.isdir(path) else "sync", path)
            case "ftruncate":
                size = int(arguments.rpartition(" ")[2])
                self._add("truncate", _descriptor(arguments)[1], size)
            case "mkdir":
                self._add("make_directory", _paths(arguments)[0])
            case "rename":
                old, new = _paths(arguments)
                self._add("rename", old, target=new)
            case "unlink" | "rmdir":
                self._add("unlink", _paths(arguments)[0])
            case "unlinkat":
                match = re.match(rf"{_FD}, ", arguments)
                folder = match[2] + "/" if match else ""
                self._add("unlink", folder + _paths(arguments)[0])
            case _:
                raise AssertionError(f"{name}({arguments[:200]}")

    def _add(
        self, op: Any, path: str, offset: int = 0, data: bytes = b"", target: str = ""
    ) -> None:
        if path == self._place or path.startswith(self._place + "/"):
            self._tape.append(Event(op, path, offset, data, target))
            self._names.add(path)
            if op in ("unlink", "rename"):
                self._names.discard(path)
                self._names.add(target)

    def _open(self, arguments: str, descriptor: str) -> None:
        path = _paths(arguments)[0]
        flags = arguments.rpartition('"')[2]
        self._at[descriptor] = 0
        self._durable.discard(descriptor)
        if "O_DSYNC" in flags:
            self._durable.add(descriptor)
        if "O_CREAT" in flags and path not in self._names:
            self._add("create", path)
        elif "O_TRUNC" in flags:
            self._add("truncate", path)

    def _write(self, name: str, arguments: str, written: int) -> None:
        descriptor, path = _descriptor(arguments)
        pieces = re.findall(rf"iov_base={_STRING}", arguments)
        pieces = pieces or re.findall(_STRING, arguments)[:1]
        data = b"".join(map(_bytes, pieces))[:written]
        assert len(data) == written
        if path == self._reports:
            self._tell(data)
            return
        durable = descriptor in self._durable
        if name.startswith("pwrite"):
            behind = arguments.rpartition("]" if "iov_base" in arguments else '"')[2]
            numbers = re.findall(r", (\w+)", behind)
            durable = durable or "RWF_DSYNC" in numbers
            offset = int(numbers[1])
        else:
            offset = self._at[descriptor]
            self._at[descriptor] = offset + written
        self._add("write_sync" if durable else "write", path, offset, data)

    def _tell(self, data: bytes) -> None:
        self._tape.append(Note(pickle.loads(data)))


def _descriptor(arguments: str) -> tuple[str, str]:
    match = re.match(_FD, arguments)
    assert match, arguments[:200]
    return match[1], match[2]


def _paths(arguments: str) -> list[str]:
    return [_bytes(text).decode() for text in re.findall(_STRING, arguments)]


def _bytes(text: str) -> bytes:
    data, _ = codecs.escape_decode(text.encode("ascii"))
    assert isinstance(data, bytes)
    return data


def main() -> None:
    place, seed, steps = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    with open(place.with_name(REPORTS), "wb", buffering=0) as reports:

        def report(what: tuple[Any, ...]) -> None:
            reports.write(pickle.dumps(what))

        Store.init(place / "store", block_bytes=BLOCK_BYTES)
        report(("made",))
        sessions(place / "store", report, World(), 10**18, steps, random.Random(seed))


if __name__ == "__main__":
    main()
