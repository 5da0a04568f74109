"""What git may not write into `.git` of a mounted branch, and what it finds if it tries."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.gitdoor.mounted import WRITE, Scene
from tests.gitdoor.repositories import Git

WHO = "author A <a@x> 1 +0000\ncommitter A <a@x> 1 +0000\n"


def test_only_where_it_is_allowed(here: Scene) -> None:
    mounted = here.mount("main")
    mounted.write("file", "x")
    assert "Read-only file system" in mounted("add", "file", code=128)
    whole = here.mount("main", WRITE)
    whole.write("d/file", "x")
    whole.commit("first")
    reading = Git(here.mounts.mount("main", WRITE, "ro"))
    assert "Read-only file system" in reading("branch", "x", code=128)
    below = here.mount("main/d", WRITE)
    assert below("log", "--format=%s") == "first\n"
    below.write("file", "y")
    assert "Read-only file system" in below("commit", "-q", "-a", "-m", "x", code=128)


def refused(mounted: Git, content: bytes, name: str = "heads/main") -> None:
    """A ref is not moved to what its lock says, and nothing has changed."""
    before, log = mounted.refs(), mounted("log", "--all", "--format=%H")
    lock = mounted.path / ".git" / "refs" / f"{name}.lock"
    lock.write_bytes(content)
    with pytest.raises(PermissionError):
        lock.rename(lock.with_suffix(""))
    assert lock.read_bytes() == content
    lock.unlink()
    assert mounted.refs() == before
    assert mounted("log", "--all", "--format=%H") == log


REFUSED = [b".git", b".GIT", b"..", b".", b"", b"a/b", b"git~1", b"twice", b".gitmodules"]


def test_trees_that_git_refuses(here: Scene) -> None:
    mounted = here.mount("main", WRITE)
    mounted.write("file", "x")
    first = mounted.commit("first")
    blob = bytes.fromhex(mounted("hash-object", "-w", "--stdin", given=b"data").strip())
    for name in REFUSED:
        entry = b"100644 %s\0%s" % (name, blob)
        if name == b"twice":
            entry += entry
        if name == b".gitmodules":
            entry = b"120000 .gitmodules\0" + blob
        words = ("hash-object", "-w", "--literally", "--stdin", "-t")
        tree = mounted(*words, "tree", given=entry).strip()
        text = f"tree {tree}\nparent {first}\n{WHO}\nx\n"
        refused(mounted, mounted(*words, "commit", given=text.encode()).encode())
    assert mounted("status", "--porcelain") == ""


def damaged(mounted: Git, first: str) -> dict[str, Callable[[], bytes]]:
    """What a lock may say that is no commit to move to."""

    def wrong_content() -> bytes:
        oid = mounted("commit-tree", "-p", first, "-m", "x", f"{first}^{{tree}}").strip()
        path = mounted.path / ".git" / "objects" / oid[:2] / oid[2:]
        other = mounted("commit-tree", "-p", first, "-m", "y", f"{first}^{{tree}}").strip()
        data = (path.parent.parent / other[:2] / other[2:]).read_bytes()
        path.unlink()
        path.write_bytes(data)
        return oid.encode()

    def cut() -> bytes:
        oid = mounted("commit-tree", "-p", first, "-m", "z", f"{first}^{{tree}}").strip()
        path = mounted.path / ".git" / "objects" / oid[:2] / oid[2:]
        data = path.read_bytes()
        path.unlink()
        path.write_bytes(data[:-9])
        return oid.encode()

    def without_author() -> bytes:
        tree = mounted("rev-parse", f"{first}^{{tree}}").strip()
        text = f"tree {tree}\nparent {first}\n\nx\n".encode()
        words = ("hash-object", "-w", "--literally", "-t", "commit", "--stdin")
        return mounted(*words, given=text).encode()

    return {
        "nothing": lambda: b"",
        "zeros": lambda: b"0" * 40,
        "no id": lambda: b"ref: refs/heads/other\n",
        "missing": lambda: b"ab" * 20 + b"\n",
        "a blob": lambda: mounted("rev-parse", f"{first}:file").encode(),
        "a tree": lambda: mounted("rev-parse", f"{first}^{{tree}}").encode(),
        "another's content": wrong_content,
        "cut short": cut,
        "no author": without_author,
        "a missing tree": lambda: mounted(
            "hash-object", "-w", "--literally", "-t", "commit", "--stdin",
            given=f"tree {'cd' * 20}\n{WHO}\n".encode(),
        ).encode(),
    }  # fmt: skip


@pytest.mark.slow
def test_locks_that_say_nothing_good(here: Scene) -> None:
    mounted = here.mount("main", WRITE)
    mounted.write("file", "x")
    first = mounted.commit("first")
    for make in damaged(mounted, first).values():
        refused(mounted, make())
        refused(mounted, make(), "tags/new")
    refs = mounted.path / ".git" / "refs"
    for path in (refs / "heads" / "direct", refs / "tags" / "direct"):
        with pytest.raises(PermissionError):
            path.write_text(first)
        (refs / "heads" / "other.lock").write_text(first)
        with pytest.raises(PermissionError):
            path.hardlink_to(refs / "heads" / "other.lock")
        with pytest.raises(PermissionError):
            path.symlink_to("main")
        (refs / "heads" / "other.lock").unlink()
    for fixed in ("objects", "refs/heads", "objects/pack"):
        with pytest.raises(OSError, match=r"Read-only|not permitted"):
            (mounted.path / ".git" / fixed).rmdir()
    with pytest.raises(OSError, match="Read-only"):
        (mounted.path / ".git" / "HEAD").write_text("ref: refs/heads/x\n")
    with pytest.raises(OSError, match="Read-only"):
        (mounted.path / ".git" / "packed-refs").unlink()
