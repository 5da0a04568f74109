"""Packs and objects that must not come in: refused in git's words, and nothing is left of them.

One gateway gets them all. Around each the refs, the snapshots, all inodes of the live tree and the
store's own check are the same; no temporary file and no process stays.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import pytest

from tests.gitdoor import crafted
from tests.gitdoor.crafted import (
    BLOB,
    COMMIT,
    FINE,
    NONE,
    OFS_DELTA,
    REF_DELTA,
    TAG,
    TREE,
    Door,
    Made,
    Pack,
    entry,
    sealed,
    with_file,
    with_tree,
)
from tests.gitdoor.repositories import Git

MAIN = b"refs/heads/main"


@pytest.fixture
def tip(door: Door) -> str:
    """The commit that `main` is."""
    return door.tip()


# --- packs --------------------------------------------------------------------------------------


def _flipped(at: int) -> Callable[[bytes], bytes]:
    def flip(pack: bytes) -> bytes:
        broken = bytearray(pack)
        broken[at] ^= 0xFF
        return bytes(broken)

    return flip


def _with_count(count: int) -> Callable[[bytes], bytes]:
    return lambda pack: sealed(pack[:8] + count.to_bytes(4, "big") + pack[12:-20])


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda pack: b"",
    "no header": lambda pack: pack[:4],
    "a header alone": lambda pack: pack[:12],
    "cut in an object": lambda pack: pack[:40],
    "cut before the checksum": lambda pack: pack[:-20],
    "cut in the checksum": lambda pack: pack[:-1],
    "no pack": _flipped(0),
    "a version that is none": _flipped(4),
    "a bit in an object": _flipped(14),
    "a bit in a commit": _flipped(-40),
    "a bit in the checksum": _flipped(-1),
    "fewer than it says": _with_count(4),
    "more than it says": _with_count(2),
    "very many": _with_count(2**32 - 1),
    "something behind it": lambda pack: pack + b"more",
    "twice": lambda pack: pack + pack,
}


@pytest.mark.parametrize("how", BROKEN)
def test_broken_packs(door: Door, tip: str, how: str) -> None:
    made = with_file(tip)
    with door.unchanged():
        answer = door.push(BROKEN[how](made.pack), (tip, made.tip, MAIN))
        assert answer.report[0] == b"unpack index-pack abnormal exit"
        assert answer.report[1:] == [b"ng refs/heads/main unpacker error"]
        assert b"fatal: " in answer.said


def _raw(kind: int, more: bytes, data: bytes, size: int | None = None) -> bytes:
    length = len(data) if size is None else size
    return crafted.head(kind, length) + more + zlib.compress(data)


ODD_OBJECTS = {
    "a kind that is none": _raw(5, b"", b"data"),
    "shorter than it says": _raw(BLOB, b"", b"data", 9),
    "longer than it says": _raw(BLOB, b"", b"data", 3),
    "a delta on what is not there": _raw(REF_DELTA, b"\1" * 20, b"\4\4\x90\4"),
    "a delta on itself": _raw(OFS_DELTA, b"\0", b"\4\4\x90\4"),
    "a delta on what is before the pack": _raw(OFS_DELTA, b"\xff\x7f", b"\4\4\x90\4"),
    "a tree that ends in an entry": _raw(TREE, b"", b"100644 a\0" + bytes(19)),
    "a commit of one line": _raw(COMMIT, b"", b"tree " + b"1" * 40 + b"\n"),
    "a commit in no words": _raw(COMMIT, b"", bytes(range(256))),
    "a tag of nothing": _raw(TAG, b"", b"tag x\n"),
}


@pytest.mark.parametrize("what", ODD_OBJECTS)
def test_objects_that_are_none(door: Door, tip: str, what: str) -> None:
    pack = Pack()
    tree = pack.add(TREE, entry(b"fine", pack.add(BLOB, b"fine\n")))
    new = pack.add(COMMIT, crafted.commit(tree, tip))
    pack.add_raw(ODD_OBJECTS[what])
    with door.unchanged():
        answer = door.push(pack.bytes(), (tip, new, MAIN))
        assert answer.report[0].startswith(b"unpack index-pack")
        assert b"fatal: " in answer.said


def _without_parent(tip: str) -> Made:
    return with_file("1" * 40)


def _without_tree(tip: str) -> Made:
    return _one(Pack(), crafted.commit("2" * 40, tip))


def _one(pack: Pack, commit: bytes) -> Made:
    new = pack.add(COMMIT, commit)
    return Made(pack.bytes(), new)


def _without_subtree(tip: str) -> Made:
    return with_tree(tip, entry(b"d", "3" * 40, b"40000"))


def _without_attributes(tip: str) -> Made:
    return with_tree(tip, entry(b".gitattributes", "4" * 40))


def _deep_without_blob(tip: str) -> Made:
    pack = Pack()
    tree = pack.add(TREE, entry(b"d", pack.add(TREE, entry(b"f", "5" * 40)), b"40000"))
    return _one(pack, crafted.commit(tree, tip))


def _without_what_is_between(tip: str) -> Made:
    """A commit whose parent is named but not sent, though the one before it is here."""
    between = crafted.object_id(COMMIT, crafted.commit(crafted.object_id(TREE, b""), tip))
    return with_file(between)


NOT_CONNECTED = {
    "a parent": _without_parent,
    "the commit between": _without_what_is_between,
    "a tree": _without_tree,
    "a tree in it": _without_subtree,
    "a blob": lambda tip: with_tree(tip, entry(b"f", "5" * 40)),
    "a blob further down": _deep_without_blob,
    "what a link leads to": lambda tip: with_tree(tip, entry(b"l", "5" * 40, b"120000")),
    "what git looks into": _without_attributes,
}


@pytest.mark.parametrize("what", NOT_CONNECTED)
def test_packs_that_lack_something(door: Door, tip: str, what: str) -> None:
    made = NOT_CONNECTED[what](tip)
    for ref, old in ((MAIN, tip), (b"refs/heads/fresh", NONE), (b"refs/tags/fresh", NONE)):
        with door.unchanged():
            answer = door.push(made.pack, (old, made.tip, ref))
            assert b"missing necessary objects" in answer.report[0], answer
            assert answer.report[1:] == [b"ng " + ref + b" unpacker error"]


def test_an_object_that_nobody_sends(door: Door, tip: str) -> None:
    made = with_file(tip)
    with door.unchanged():
        answer = door.push(made.pack, (tip, "1" * 40, MAIN))
        assert b"missing necessary objects" in b"".join(answer.report)


def test_things_that_are_something_else(door: Door, tip: str, original: Git) -> None:
    """Ids of the wrong kind, sent or known."""
    known_tree, known_blob = original("rev-parse", "main:src", "main:readme").split()
    trees = [
        entry(b"d", FINE, b"40000"),
        entry(b"d", known_blob, b"40000"),
        entry(b"f", known_tree),
        entry(b"f", tip),
        entry(b"l", known_tree, b"120000"),
        entry(b".gitattributes", known_tree),
    ]
    for tree in trees:
        made = with_tree(tip, tree)
        with door.unchanged():
            answer = door.push(made.pack, (tip, made.tip, MAIN))
            assert answer.report[1:] == [b"ng refs/heads/main unpacker error"], (tree, answer)
    for oid in (known_tree, known_blob):
        with door.unchanged():
            answer = door.push(Pack().bytes(), (tip, oid, MAIN), (NONE, oid, b"refs/tags/new"))
            assert [line[:3] for line in answer.report] == [b"unp", b"ng ", b"ng "]
    made = _one(Pack(), crafted.commit(known_blob, tip))
    with door.unchanged():
        answer = door.push(made.pack, (tip, made.tip, MAIN))
        assert answer.report[1:] == [b"ng refs/heads/main unpacker error"]


# --- trees --------------------------------------------------------------------------------------

FILE = entry(b"f", FINE)
TREES = {
    "..": (entry(b"..", FINE), b"hasDotdot"),
    ".": (entry(b".", FINE), b"hasDot"),
    ".git": (entry(b".git", FINE), b"hasDotgit"),
    ".GIT": (entry(b".GIT", FINE), b"hasDotgit"),
    ".Git a directory": (entry(b".Git", crafted.object_id(TREE, b""), b"40000"), b"hasDotgit"),
    ".git.": (entry(b".git. .", FINE), b"hasDotgit"),
    ".git::$DATA": (entry(b".git::$INDEX_ALLOCATION", FINE), b"hasDotgit"),
    "git~1": (entry(b"git~1", FINE), b"hasDotgit"),
    "x\\.git": (entry(b"x\\.git", FINE), b"hasDotgit"),
    "passed over by HFS": (entry(b".g\xe2\x80\x8cit", FINE), b"hasDotgit"),
    "a slash": (entry(b"a/b", FINE), b"fullPathname"),
    "a slash, and out": (entry(b"../../etc/passwd", FINE), b"fullPathname"),
    "absolute": (entry(b"/etc/passwd", FINE), b"fullPathname"),
    "no name": (entry(b"", FINE), b"error: "),
    # The name ends there: what follows is read as an id, and the next entry begins in the wrong.
    "a NUL": (b"100644 a\0b\0" + bytes.fromhex(FINE), b"badTree"),
    "a NUL, then more": (b"100644 a\0b\0" + bytes.fromhex(FINE) + FILE, b"badTree"),
    "twice": (FILE + FILE, b"duplicateEntries"),
    "twice, once a directory": (
        entry(b"f", FINE) + entry(b"f", crafted.object_id(TREE, b""), b"40000"),
        b"duplicateEntries",
    ),
    "not in order": (entry(b"g", FINE) + entry(b"f", FINE), b"treeNotSorted"),
    "a directory not in order": (
        entry(b"d", crafted.object_id(TREE, b""), b"40000") + entry(b"d.x", FINE),
        b"treeNotSorted",
    ),
    "a mode with a zero": (entry(b"f", FINE, b"0100644"), b"zeroPaddedFilemode"),
    "a mode that is none": (entry(b"f", FINE, b"1006x4"), b"badTree"),
    "no mode": (b"f\0" + bytes.fromhex(FINE), b"badTree"),
    "an id of zeros": (entry(b"f", NONE), b"nullSha1"),
    ".gitmodules a link": (entry(b".gitmodules", FINE, b"120000"), b"gitmodulesSymlink"),
}


@pytest.mark.parametrize("what", TREES)
def test_trees_that_git_refuses(door: Door, tip: str, what: str) -> None:
    tree, said = TREES[what]
    with door.unchanged():
        for above in (False, True):
            if above:  # the same in a directory
                pack = Pack()
                pack.add(BLOB, b"fine\n")
                below = pack.add(TREE, tree)
                top = pack.add(TREE, entry(b"d", below, b"40000"))
                made = _one(pack, crafted.commit(top, tip))
            else:
                made = with_tree(tip, tree)
            answer = door.push(made.pack, (tip, made.tip, MAIN))
            assert answer.report[0].startswith(b"unpack index-pack"), answer
            assert said in answer.said


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        (entry(b"n" * 300, FINE), b"255 is the limit"),
        (entry(b"f", FINE, b"100600"), b"has mode 100600"),
        (entry(b"f", FINE, b"10644"), b"has mode 10644"),
        (entry(b"p", FINE, b"10644") + entry(b"q", FINE, b"60644"), b"has mode"),
    ],
)
def test_trees_that_the_store_refuses(door: Door, tip: str, tree: bytes, said: bytes) -> None:
    made = with_tree(tip, tree)
    with door.unchanged():
        answer = door.push(made.pack, (tip, made.tip, MAIN))
        assert said in answer.report[0], answer
        assert answer.report[1:] == [b"ng refs/heads/main unpacker error"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"author A ", b"author ", b"missingNameBeforeEmail"),
        (b"<a@example.org> 17", b"<a@example.org>17", b"missingSpaceBeforeDate"),
        (b"1700000000", b"99999999999999999999", b"badDateOverflow"),
        (b"+0000\n\n", b"nowhere\n\n", b"badTimezone"),
        (b"committer", b"comitter", b"missingCommitter"),
        (b"\nx\n", b"a\0b: c\n\nx\n", b"nulIn"),
        (b"parent ", b"parent x", b"error: bad parents"),
    ],
)
def test_commits_that_git_refuses(
    door: Door, tip: str, old: bytes, new: bytes, said: bytes
) -> None:
    pack = Pack()
    good = crafted.commit(pack.add(TREE, b""), tip)
    assert old in good
    made = _one(pack, good.replace(old, new))
    with door.unchanged():
        answer = door.push(made.pack, (tip, made.tip, MAIN))
        assert answer.report[0].startswith(b"unpack index-pack")
        assert said in answer.said, answer
