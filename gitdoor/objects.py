"""Git's objects as bytes: ids, trees, commits and tags (git's Documentation/technical)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from operator import lt
from typing import NamedTuple

from store.gitrows import BLOB, COMMIT, TAG, TREE
from store.records import Commit
from store.types import Who

KIND_NAMES = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob", TAG: b"tag"}
KINDS = {name: kind for kind, name in KIND_NAMES.items()}

DIRECTORY, FILE, EXECUTABLE, LINK, SUBMODULE = 0o040000, 0o100644, 0o100755, 0o120000, 0o160000
DIRECTORY_DIGITS = b"40000"  # in a tree object

_NS = 1_000_000_000
# Modes without a leading zero, as git writes them.
_TREE_ITEM = re.compile(rb"(?s)([1-7][0-7]{4,5}) ([^\0]+)\0(.{20})")
_PERSON = re.compile(rb"(?s)([^<>\n]*?) ?<([^<>\n]*)>\Z")


class BadObject(ValueError):
    """Bytes that are no object of the kind, or one that git's own checks would refuse."""


def hasher(kind: int, size: int) -> hashlib._Hash:
    """What finds an object's id: to be fed the `size` bytes of the object."""
    return hashlib.sha1(b"%s %d\0" % (KIND_NAMES[kind], size), usedforsecurity=False)


def object_id(kind: int, data: bytes) -> bytes:
    """An object's id, 20 bytes."""
    found = hasher(kind, len(data))
    found.update(data)
    return found.digest()


# --- trees ------------------------------------------------------------------------------------


def tree_bytes(entries: Iterable[tuple[bytes, int, bytes]]) -> bytes:
    """A tree object of (name, mode, id), which are in git's order already."""
    return b"".join([b"%o %s\0%s" % (mode, name, oid) for name, mode, oid in entries])


EMPTY_TREE = object_id(TREE, b"")


TreeItem = tuple[bytes, bytes, bytes]
"""One entry of a tree object as it stands there: mode in octal digits, name, id."""


def sort_key(name: bytes, mode: int) -> bytes:
    """What git sorts the entries of a tree by: a directory as if its name ended in a slash."""
    return name + b"/" if mode == DIRECTORY else name


def parse_tree(data: bytes) -> list[TreeItem]:
    """The entries of a tree object. Raises BadObject for one that is not in its one true form.

    All is done by what runs in C: trees that changed in one entry have thousands.
    """
    found: list[TreeItem] = _TREE_ITEM.findall(data)
    if len(data) != sum([len(mode) + len(name) + 22 for mode, name, _ in found]):
        raise BadObject("a tree that cannot be read, or has modes in another form")
    names = [name + b"/" if mode == DIRECTORY_DIGITS else name for mode, name, _ in found]
    if not all(map(lt, names, names[1:])):
        raise BadObject("a tree that is not in order")
    if len({name for _, name, _ in found}) != len(found):
        raise BadObject("a tree with a file and a directory of one name")
    return found


# --- commits ----------------------------------------------------------------------------------


class Parsed(NamedTuple):
    """What of a git commit the store has words for."""

    tree: bytes
    parents: tuple[bytes, ...]
    author: Who
    committer: Who
    message: str


def parse_commit(data: bytes) -> Parsed:
    """The fields of a commit object. Raises BadObject."""
    head, _, message = data.partition(b"\n\n")
    tree, author, committer = b"", b"", b""
    parents = []
    try:
        for line in head.split(b"\n"):
            word, _, rest = line.partition(b" ")
            if word == b"tree" and not tree:
                tree = bytes.fromhex(rest.decode())
            elif word == b"parent":
                parents.append(bytes.fromhex(rest.decode()))
            elif word == b"author" and not author:
                author = rest
            elif word == b"committer" and not committer:
                committer = rest
    except ValueError:
        raise BadObject("a commit with an id that is none") from None
    if len(tree) != 20 or any(len(parent) != 20 for parent in parents):
        raise BadObject("a commit without a tree")
    if not author or not committer:
        raise BadObject("a commit without author or committer")
    return Parsed(tree, tuple(parents), _who(author), _who(committer), text(message))


def text(data: bytes) -> str:
    """Bytes as the store keeps text."""
    return data.decode("utf-8", "surrogateescape")


def _who(line: bytes) -> Who:
    """Whoever stands in a commit's header. What the store has no words for stays in `raw`."""
    found = re.match(rb"(.*>) *(-?\d{1,18})(?: [+-]\d+)?", line)
    if found is None:
        return Who(text(line), 0)
    seconds = min(max(int(found[2]), -(2**62) // _NS), 2**62 // _NS)
    return Who(text(found[1]), seconds * _NS)


def _person(who: Who) -> bytes:
    """Author or committer as a line of a commit's header; times are in UTC."""
    name = who.name.encode("utf-8", "surrogateescape").replace(b"\0", b"")
    found = _PERSON.match(name)
    if found is not None:
        person, email = found[1].strip(), found[2].strip()
    else:
        person, email = re.sub(rb"[<>\n]", b" ", name).strip(), b""
    return b"%s <%s> %d +0000" % (person or b"unknown", email, max(0, who.time_ns // _NS))


def made_commit(commit: Commit, tree: bytes, parents: Sequence[bytes]) -> bytes:
    """Git's commit object of a commit of the store: a function of these alone.

    Without a message it is named for its time, so that `git log --oneline` says something.
    """
    message = commit.message.encode("utf-8", "surrogateescape").replace(b"\0", b"")
    if not message.strip():
        moment = datetime.fromtimestamp(max(0, commit.committer.time_ns) // _NS, UTC)
        message = b"snapshot of %s" % moment.strftime("%Y-%m-%d %H:%M:%S").encode()
    lines = [b"tree " + tree.hex().encode()]
    lines += [b"parent " + parent.hex().encode() for parent in parents]
    lines += [b"author " + _person(commit.author), b"committer " + _person(commit.committer)]
    end = b"" if message.endswith(b"\n") else b"\n"
    return b"\n".join([*lines, b"", message]) + end


# --- tags -------------------------------------------------------------------------------------


def tag_target(data: bytes) -> tuple[bytes, int]:
    """The id and kind of what an annotated tag names. Raises BadObject."""
    found = re.match(rb"object ([0-9a-f]{40})\ntype (commit|tree|blob|tag)\ntag [^\n]+\n", data)
    if found is None:
        raise BadObject("a tag that cannot be read")
    return bytes.fromhex(found[1].decode()), KINDS[found[2]]


def tag_message(data: bytes) -> str:
    """What an annotated tag says."""
    return text(data.partition(b"\n\n")[2])
