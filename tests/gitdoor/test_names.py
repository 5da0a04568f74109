"""Names: what git refuses, in git's own judgement, and how refs get names in the store."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from gitdoor.names import is_automatic, is_ref, left_out, store_name
from store.refs import check_name
from tests.gitdoor.repositories import Git

CANDIDATES = [
    b".git", b".GIT", b".giT", b".git ", b".git.", b".git. .", b".git:", b".git::$INDEX", b".git\\",
    b".git\\x", b"x\\.git", b"x\\.git\\y", b"x\\GIT~1", b"git~1", b"GIT~1", b"git~1 ", b"git~1.x",
    b".gitx", b".git.x", b".git x", b"git~2", b"git", b"a.git", b" .git", b".g\xe2\x80\x8cit",
    b"\xef\xbb\xbf.git", b".gi\xe2\x81\xaet", b".git\xe2\x80\x8d", b".g\xc4\xb1t", b"..git",
    b".gitmodules", b".gitattributes", b"...", b". .", b"a\nb", b"\xff", b"a\\b", b"con", b"~",
    b".git\x01", b".gi\xff", b"\xe2\x80\x8c.git", b"\xe2\x80\x8c", b".GiT~1", b"gi7eb~1",
]  # fmt: skip


def test_names_are_left_out_that_git_refuses(tmp_path: Path) -> None:
    """`git fsck --strict` is asked of every one of them."""
    git = Git(tmp_path / "judge").init()
    blob = git("hash-object", "-w", "--stdin", given=b"").strip()
    for name in CANDIDATES:
        for mode, bits in ((b"100644", stat.S_IFREG), (b"120000", stat.S_IFLNK)):
            tree = mode + b" " + name + b"\0" + bytes.fromhex(blob)
            oid = git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", given=tree)
            done = git.run("fsck", "--strict", "--no-dangling", oid.strip())
            path = git.path / ".git" / "objects" / oid[:2] / oid[2:].strip()
            path.chmod(0o600)
            path.unlink()
            assert left_out(name, bits) == bool(done.returncode), (name, done.stderr)


@pytest.mark.parametrize("bits", [stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK], ids=oct)
def test_what_git_has_no_mode_for_is_left_out(bits: int) -> None:
    assert left_out(b"fine", bits)


@pytest.mark.parametrize(
    ("short", "name"),
    [
        (b"main", "main"),
        (b"feature/one", "feature-one"),
        (b"a//..b", "a-.b"),
        (b"\xc3\xa9t\xc3\xa9", "t-"),
        (b"...", "unnamed"),
        (b"x.lock", "x"),
        (b"v1.0-rc_2", "v1.0-rc_2"),
        (b"n" * 300, "n" * 118),
        (b"@", "unnamed"),
    ],
)
def test_names_in_the_store(short: bytes, name: str) -> None:
    assert store_name(short) == name
    check_name(name)


def test_names_of_refs_are_those_that_git_allows(tmp_path: Path) -> None:
    git = Git(tmp_path / "judge").init()
    shorts = [
        b"x", b"a/b", b"a..b", b".x", b"x.lock", b"x/", b"/x", b"a//b", b"a b", b"a~b", b"a^b",
        b"a:b", b"a?b", b"a*b", b"a[b", b"a\\b", b"a@{b", b"@", b"x.", b"\x7f", b"\xff", b"a/.b",
    ]  # fmt: skip
    for short in shorts:
        allowed = git.run("check-ref-format", b"refs/heads/" + short).returncode == 0
        assert is_ref(b"refs/heads/" + short) == allowed, short
    assert not is_ref(b"refs/notes/x")
    assert not is_ref(b"refs/heads/-x")
    assert not is_ref(b"HEAD")


@pytest.mark.parametrize("length", [250, 251, 255, 256])
def test_names_of_refs_fit_into_files(tmp_path: Path, length: int) -> None:
    """With `.lock` behind them as well, as git makes and moves them."""
    git = Git(tmp_path / "judge").init()
    git.commit()
    for name in (b"n" * length, b"a/" + b"n" * length + b"/b"):
        done = git.run("update-ref", b"refs/heads/" + name, "HEAD")
        assert is_ref(b"refs/heads/" + name) == (done.returncode == 0)
    assert not is_ref(b"refs/heads/" + b"/".join([b"n" * 100] * 20))


def test_names_that_are_times() -> None:
    assert is_automatic("2026-11-25T22.38.14.123456Z")
    assert is_automatic("rollback-2026-11-25T22.38.14.123456Z-2")
    assert not is_automatic("2026-11-25")
    assert not is_automatic("v1")
