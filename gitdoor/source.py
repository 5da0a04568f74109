"""Where objects of git come from that are to be brought in."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

from gitdoor.objects import KINDS
from store.errors import InvalidArgument, NotFound, StorageFailure
from store.gitrows import GIT_ID_BYTES

# A blob beyond this comes in pieces of this size.
PIECE_BYTES = 1 << 20
# Asked for ahead, half of it at a time: less than a pipe holds, so that git never waits for us
# while we wait for it.
_AHEAD = 1000
# What git may have answered before we take it, so that it goes on while we do: as much as Linux
# lets anybody have.
_PIPE_BYTES = 1 << 20


class Large:
    """A blob that comes in pieces; they have to be taken before the next object is."""

    def __init__(self, size: int, pieces: Iterator[bytes]) -> None:
        self.size, self.pieces = size, pieces


Found = tuple[bytes, int, bytes | Large]
"""An object's id, its kind, and its bytes."""


class Source(Protocol):
    """See the module. Belongs to one thread at a time."""

    def read(self, ids: Sequence[bytes]) -> Iterator[Found]:
        """Objects by their ids, in that order. Raises NotFound, StorageFailure.

        They may be asked for at once, to be taken before any others are.
        """


def environment() -> dict[str, str]:
    """What git is started with: nothing of who started us tells it where to look, or to ask."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return {**kept, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1"}


def new_repository(path: Path) -> None:
    """Make an empty bare repository. Raises InvalidArgument where there is no git."""
    try:
        subprocess.run(
            ["git", "init", "-q", "--bare", "--template=", str(path)],
            capture_output=True,
            check=True,
            env=environment(),
        )
    except FileNotFoundError:
        text = "git is not installed on the gateway: apt-get install git"
        raise InvalidArgument(text) from None


class Repository:
    """A repository on disk, by way of stock git."""

    def __init__(self, path: Path, *, is_one: bool = False) -> None:
        """`is_one`: that is known already. Raises InvalidArgument where there is no git, or no
        repository."""
        self._path = path
        self._process: subprocess.Popen[bytes] | None = None
        if is_one:
            return
        try:
            self.run("rev-parse", "--git-dir")
        except StorageFailure as error:
            raise InvalidArgument(f"{str(path)!r} is no git repository: {error}") from None

    def another(self) -> Repository:
        """The same, to be asked beside; it starts no git before that."""
        return Repository(self._path, is_one=True)

    def tree_of(self, ref: bytes) -> bytes | None:
        """The tree of the commit that a ref names, None where there is no such ref."""
        try:
            found = self.run("rev-parse", "--verify", "-q", f"{ref.decode()}^{{tree}}")
        except StorageFailure:
            return None
        return _raw(found.strip())

    def run(self, *words: str, given: bytes = b"") -> bytes:
        """What a git command prints. Raises StorageFailure with what it complains of."""
        try:
            done = subprocess.run(
                self._command(*words),
                input=given,
                capture_output=True,
                check=False,
                env=environment(),
            )
        except FileNotFoundError:
            raise InvalidArgument("git is not installed: apt-get install git") from None
        if done.returncode:
            text = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["git failed"]
            raise StorageFailure(text[-1])
        return done.stdout

    def _command(self, *words: str) -> list[str]:
        # Whose repository it is does not matter: nothing in it is executed.
        return ["git", "-c", "safe.directory=*", "-C", str(self._path), *words]

    def refs(self) -> tuple[dict[bytes, tuple[bytes, bytes]], bytes]:
        """Branches and tags: full name -> id, and the id of the object behind a tag; and the name
        of the branch that HEAD is, empty where it is none."""
        form = "--format=%(objectname)%(HEAD)%(refname)"
        lines = self.run("for-each-ref", form, "refs/heads", "refs/tags").splitlines()
        size = 2 * GIT_ID_BYTES
        found = [(line[:size], line[size + 1 :]) for line in lines]
        head = next((line[size + 1 :] for line in lines if line[size : size + 1] == b"*"), b"")
        given = b"".join([b"%s^{}\n" % oid for oid, _ in found])
        peeled = self.run("cat-file", "--batch-check=%(objectname)", given=given).split(b"\n")
        refs = {
            name: (_raw(oid), _raw(behind))
            for (oid, name), behind in zip(found, peeled, strict=False)
            if len(behind) == size
        }
        return refs, head

    def commits(self, tips: Sequence[bytes], known: Sequence[bytes]) -> list[bytes]:
        """Commits that tips lead to and known ones do not, parents before children."""
        given = [tip.hex().encode() for tip in tips]
        given += [b"^" + oid.hex().encode() for oid in self._those_here(known)]
        words = ("rev-list", "--topo-order", "--reverse", "--stdin")
        return [_raw(line) for line in self.run(*words, given=b"\n".join(given)).split()]

    def kinds(self, ids: Sequence[bytes]) -> dict[bytes, int]:
        """What objects are, those that are there."""
        given = b"\n".join(oid.hex().encode() for oid in ids)
        form = "--batch-check=%(objectname) %(objecttype)"
        lines = [line.split() for line in self.run("cat-file", form, given=given).splitlines()]
        return {_raw(line[0]): KINDS[line[1]] for line in lines if line[1] in KINDS}

    def _those_here(self, ids: Sequence[bytes]) -> list[bytes]:
        if not ids:
            return []
        given = b"\n".join(oid.hex().encode() for oid in ids)
        lines = self.run("cat-file", "--batch-check=%(objectname)", given=given).splitlines()
        return [_raw(line) for line in lines if b" " not in line]

    def read(self, ids: Sequence[bytes]) -> Iterator[Found]:
        """See `Source`."""
        if self._process is None:
            self._process = self._reader()
        asks, answers = self._process.stdin, self._process.stdout
        assert asks is not None
        assert answers is not None
        part = _AHEAD // 2
        _ask(asks, ids[:part])
        return _answers(asks, answers, ids, part)

    def _reader(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            self._command("cat-file", "--batch"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=PIECE_BYTES,
            env=environment(),
        )
        assert process.stdout is not None
        with suppress(OSError):  # more than this user may have: it does without
            fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        return process

    def close(self) -> None:
        """Let git end."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


def _ask(asks: IO[bytes], ids: Sequence[bytes]) -> None:
    try:
        asks.write(b"".join([b"%s\n" % oid.hex().encode() for oid in ids]))
        asks.flush()
    except BrokenPipeError:
        raise StorageFailure("git cat-file ended") from None


def _answers(
    asks: IO[bytes], answers: IO[bytes], ids: Sequence[bytes], part: int
) -> Iterator[Found]:
    """Answers, of which the first part has been asked for; each part before it is wanted."""
    for at, oid in enumerate(ids):
        if not at % part:
            _ask(asks, ids[at + part : at + 2 * part])
        yield _answer(answers, oid)


def _answer(answers: IO[bytes], oid: bytes) -> Found:
    words = answers.readline().split()
    if len(words) != 3:
        raise NotFound(f"the repository has no object {oid.hex()}")
    kind, size = KINDS[words[1]], int(words[2])
    if size > PIECE_BYTES and words[1] == b"blob":
        return oid, kind, Large(size, _pieces(answers, size))
    data = answers.read(size + 1)
    if len(data) != size + 1:
        raise StorageFailure("git cat-file ended")
    return oid, kind, data[:-1]


def _pieces(answers: IO[bytes], size: int) -> Iterator[bytes]:
    while size:
        piece = answers.read(min(size, PIECE_BYTES))
        if not piece:
            raise StorageFailure("git cat-file ended")
        size -= len(piece)
        yield piece
    answers.read(1)


def _raw(hexadecimal: bytes) -> bytes:
    return bytes.fromhex(hexadecimal.decode())
