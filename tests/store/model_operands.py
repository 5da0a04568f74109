"""Operands of random steps, and how they are drawn.

An operand that means "one of the inodes there are" is a `Pick`, one that means "one of the names
there are" an `Entry`: a step so reads the same whatever came before it, and can be run again on
another store. Most draws are right ones, so that most steps do something; some are wrong.
"""

from __future__ import annotations

import random
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from hypothesis import strategies as st

from store.types import ROOT, Caller, SetAttr, SetTime
from tests.store.model import Model
from tests.store.model_nodes import Node, Place

T = TypeVar("T")


class Pick(NamedTuple):
    """The `nth` inode (counted round and round) among those of a kind."""

    kind: str
    nth: int


class Entry(NamedTuple):
    """The `nth` name (counted round and round) of inodes of a kind: a directory and a name."""

    kind: str
    nth: int


class Fill(NamedTuple):
    """Data: `length` bytes out of `seed`; 0 gives zeros, 1 text that packs well."""

    length: int
    seed: int


KINDS: dict[str, Callable[[Node], bool]] = {
    "directory": lambda node: node.is_dir,
    "empty": lambda node: node.is_dir and not node.entries,
    "other": lambda node: not node.is_dir,
    "file": lambda node: stat.S_ISREG(node.mode),
    "symlink": lambda node: stat.S_ISLNK(node.mode),
    "tagged": lambda node: bool(node.xattrs),
    "any": lambda node: True,
}


def resolve(model: Model, operand: object) -> Iterator[object]:
    """The arguments that an operand stands for now: two for an Entry, else one."""
    match operand:
        case Pick("held", nth):
            yield nth_of(sorted(model.holds), nth, model.root)
        case Pick(kind, nth):
            yield pick_inode(model, kind, nth)
        case Entry(kind, nth):
            fits = KINDS[kind]
            places = [place for node in model.known() if fits(node) for place in node.names]
            yield from nth_of(sorted(places), nth, Place(model.root, b"a"))
        case Fill(length, seed):
            yield fill(length, seed)
        case (_, _):
            for part in operand:
                yield from resolve(model, part)
        case _:
            yield operand


def pick_inode(model: Model, kind: str, nth: int) -> int:
    """The inode number that a Pick means now; the root's where there is none of the kind."""
    numbers = [node.ino for node in model.known() if KINDS[kind](node)]
    return nth_of(sorted(numbers) + (model.gone[-2:] if kind == "any" else []), nth, model.root)


def nth_of(choices: Sequence[T], nth: int, default: T) -> T:
    return choices[nth % len(choices)] if choices else default


def fill(length: int, seed: int) -> bytes:
    if seed > 1:
        return random.Random(seed).randbytes(length)
    return (b"\0" * length) if seed == 0 else b"some text, ".ljust(length, b"o")[:length]


# --- inodes and names -------------------------------------------------------------------------

INDEX = st.integers(0, 40)


def mostly(*usual: Any, wrong: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    """One of the usual values, one time in ten or so a wrong one."""
    return st.integers(0, 9).flatmap(lambda n: st.sampled_from(usual if n else wrong))


def picks(kind: str) -> st.SearchStrategy[Pick]:
    return st.builds(Pick, mostly(kind, wrong=("any",)), INDEX)


def entries(*kinds: str) -> st.SearchStrategy[Entry]:
    return st.builds(Entry, mostly(*kinds, wrong=("any",)), INDEX)


DIRECTORY, FILE, OTHER, ANY = picks("directory"), picks("file"), picks("other"), picks("any")
FOLDER = st.builds(Pick, st.just("directory"), INDEX)  # always a directory
HELD = st.builds(Pick, st.just("held"), INDEX)
GOOD_NAMES = (b"a", b"b", b"c", b"d", b"e", b"\xff\xfe", b"n" * 255)
NAME = mostly(*GOOD_NAMES, wrong=(b"", b"a/b", b"a\0b", b"n" * 256))
NAME_OR_DOTS = mostly(*GOOD_NAMES, wrong=(b".", b".."))
NEW = st.tuples(DIRECTORY, NAME)
DOTTED = st.tuples(DIRECTORY, NAME_OR_DOTS)
OLD = entries("any")

# --- attributes -------------------------------------------------------------------------------

ANN, BOB = Caller(1000, 1000, frozenset({2000})), Caller(1001, 1001)
CALLER = st.sampled_from((ROOT, ROOT, ROOT, ROOT, ANN, ANN, BOB))
OPENED = st.one_of(CALLER, st.none())
MODE = st.sampled_from((0o777, 0o777, 0o755, 0o644, 0o600, 0o1777, 0o000))
ANY_MODE = MODE | st.sampled_from((0o2775, 0o2664, 0o4755, 0o6777))
NODE_TYPE = st.sampled_from((stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK))
NODE_MODE = st.builds(int.__or__, MODE, NODE_TYPE)
ID = st.sampled_from((0, 1000, 1001, 2000))
TIME = st.sampled_from((SetTime.NOW, 0, -1, 10**18 + 1))
XATTR = mostly(b"user.a", b"user.b", b"trusted.c", wrong=(b"other.d", b"user." + b"n" * 251))
VALUE = mostly(b"", b"one", *(Fill(n, 1) for n in (300, 5000, 65536)), wrong=(Fill(65537, 1),))
TARGET = mostly(b"a", b"/a/b", Fill(300, 1), Fill(4095, 1), wrong=(Fill(4096, 1),))

# --- data -------------------------------------------------------------------------------------

EDGES = (0, 4096, 8192, 12288, 16384, 32768)
FAR = (2**31, 2**40, 2**63 - 1)


def around(*edges: int) -> st.SearchStrategy[int]:
    """Numbers at and beside the edges."""
    near = st.builds(int.__add__, st.sampled_from(edges), st.sampled_from((0, 0, -1, 1, 100)))
    return near.map(lambda number: max(0, min(number, 2**63)))


LENGTH = around(*EDGES)
OFFSET = SIZE = st.one_of(LENGTH, LENGTH, LENGTH, around(*FAR))
FILL = st.builds(Fill, LENGTH, st.integers(0, 4))


def changes(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[SetAttr]:
    """Settings of just these attributes."""
    return st.fixed_dictionaries(fields).map(lambda given: SetAttr(**given))


CHANGE = st.one_of(
    changes(mode=ANY_MODE),
    changes(uid=st.none() | ID, gid=ID),
    changes(atime_ns=st.none() | TIME, mtime_ns=TIME),
    changes(mode=ANY_MODE, uid=ID, mtime_ns=TIME),
)
RESIZE = st.one_of(changes(size=SIZE), changes(size=LENGTH, mode=ANY_MODE, mtime_ns=TIME))
