"""What the tests of this package share: the command, local trees to compare, JSON keys."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from click.testing import CliRunner, Result

from fsgw.cli import main
from fsgw.localfs import data_ranges, list_xattrs

MIB = 1 << 20
T0 = 1_600_000_000_123_456_789

# The keys of each kind of object that --json prints; scripts rely on them.
INODE_KEYS = {
    "ino", "type", "mode", "nlink", "uid", "gid", "size", "used", "rdev",
    "atime_ns", "mtime_ns", "ctime_ns", "btime_ns",
}  # fmt: skip
QUOTA_KEYS = {"name", "used_bytes", "inodes", "bytes_max", "inodes_max"}
BRANCH_KEYS = QUOTA_KEYS | {"id", "root_ino", "head", "created_ns"}
SNAPSHOT_KEYS = {
    "branch", "name", "id", "parent", "author", "time_ns", "message", "commit",
    "used_bytes", "inodes",
}  # fmt: skip
LOG_KEYS = {"commit", "snapshot", "name", "author", "time_ns", "message", "parents"}
TRANSFER_KEYS = {
    "added", "changed", "removed", "unchanged", "content_bytes", "troubles_total", "troubles",
}  # fmt: skip


def keys_of(rows: Sequence[dict[str, Any]]) -> set[str]:
    """The keys that all rows have."""
    found = {frozenset(row) for row in rows}
    assert len(found) == 1
    return set(*found)


class Fsgw:
    """Runs commands on one store; each must exit with `code` and, if that is an error, say so."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, *args: str | os.PathLike[str], code: int = 0) -> Result:
        words = ["--store", str(self.path), *(os.fspath(arg) for arg in args)]
        done = CliRunner().invoke(main, words)
        assert done.exit_code == code, (words, done.stdout, done.stderr, done.exception)
        assert "Traceback" not in done.stderr
        if code in (3, 4, 5):
            assert done.stderr.startswith("fsgw: ")
            assert done.stderr.count("\n") == 1
            assert done.exception is None or isinstance(done.exception, SystemExit)
        if code == 0:
            assert not done.stderr
        return done

    def lines(self, *args: str | os.PathLike[str], code: int = 0) -> list[str]:
        """The command's lines of text."""
        return self(*args, code=code).stdout.splitlines()

    def json(self, *args: str | os.PathLike[str], code: int = 0) -> list[dict[str, Any]]:
        """The command's objects with --json."""
        return [json.loads(line) for line in self.lines(*args, "--json", code=code)]


class Local(NamedTuple):
    """Everything about one local file that a transfer keeps."""

    mode: int
    links: int
    owner: tuple[int, int]
    device: int
    mtime_ns: int
    content: bytes
    xattrs: dict[bytes, bytes]
    names: frozenset[bytes]


def local_tree(top: Path) -> dict[bytes, Local]:
    """All files below a directory, itself included, by relative path.

    `names` are the paths in the tree that are links of the same file.
    """
    root = os.fsencode(top)
    paths = [root]
    for folder, folders, files in os.walk(root):
        paths += [os.path.join(folder, name) for name in folders + files]
    names: dict[tuple[int, int], set[bytes]] = {}
    for path in paths:
        st = os.lstat(path)
        names.setdefault((st.st_dev, st.st_ino), set()).add(os.path.relpath(path, root))
    return {os.path.relpath(path, root): _local(path, names) for path in paths}


def _local(path: bytes, names: dict[tuple[int, int], set[bytes]]) -> Local:
    st = os.lstat(path)
    content = b""
    if stat.S_ISREG(st.st_mode):
        with open(path, "rb") as file:
            content = file.read()
    elif stat.S_ISLNK(st.st_mode):
        content = os.readlink(path)
    return Local(
        st.st_mode,
        st.st_nlink,
        (st.st_uid, st.st_gid),
        st.st_rdev,
        st.st_mtime_ns,
        content,
        {name: os.getxattr(path, name, follow_symlinks=False) for name in list_xattrs(path)},
        frozenset(names[st.st_dev, st.st_ino]),
    )


def data_in(path: Path) -> list[tuple[int, int]]:
    """The ranges of a local file that are not holes."""
    with path.open("rb") as file:
        return list(data_ranges(file.fileno(), path.stat().st_size))


def stamp(path: Path, time_ns: int) -> None:
    os.utime(path, ns=(time_ns, time_ns), follow_symlinks=False)


def restored(fsgw: Fsgw, ref: str = "main", name: str = "out") -> Path:
    """A new local directory with what the ref holds."""
    out = fsgw.path.parent / name
    fsgw("restore", ref, out)
    return out


def changes(fsgw: Fsgw, source: Path, *options: str) -> set[tuple[str, str]]:
    """Import again; what diff finds to have changed by it, as (kind, path) pairs."""
    name = f"before-{len(fsgw.json('snapshot', 'list', 'main'))}"
    fsgw("snapshot", "create", "main", "--name", name)
    fsgw("import", source, "main", *options)
    return {(row["kind"], row["path"]) for row in fsgw.json("diff", f"main@{name}", "main")}
