"""Steps to run on a tree and on its model: a table of operations, and how answers are compared.

An operand that means "one of the inodes there are" is a `Pick`, so that a step reads the same
whatever came before it, and can be run again on another store.
"""

from __future__ import annotations

import random
import stat
from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import strategies as st

from store import errors
from store.tree import Tree
from store.types import (
    ROOT,
    Caller,
    Change,
    CreateHow,
    Data,
    DirEntry,
    Inode,
    Made,
    Removed,
    Renamed,
    RenameHow,
    SetAttr,
    SetTime,
    XattrHow,
)
from tests.store.model import Model
from tests.store.model_nodes import Node


class Pick(NamedTuple):
    """The `nth` inode (counted round and round) among those of a kind."""

    kind: str
    nth: int


class Fill(NamedTuple):
    """Data: `length` bytes out of `seed`; 0 gives zeros, 1 text that packs well."""

    length: int
    seed: int

    def data(self) -> bytes:
        if self.seed > 1:
            return random.Random(self.seed).randbytes(self.length)
        return (b"\0" if not self.seed else b"some text, ").ljust(self.length, b"o")[: self.length]


class Step(NamedTuple):
    """A call of the tree interface with operands still to be resolved."""

    operation: str
    operands: tuple[Any, ...]
    options: dict[str, Any]


KINDS: dict[str, Callable[[Model], list[int]]] = {
    "directory": lambda m: [node.ino for node in m.known() if node.is_dir],
    "file": lambda m: [node.ino for node in m.known() if stat.S_ISREG(node.mode)],
    "any": lambda m: [*(node.ino for node in m.known()), *m.gone[-2:]],
    "held": lambda m: list(m.holds),
}


def pick_inode(model: Model, pick: Pick) -> int:
    """The inode number that a pick means now; the root's where there is none of the kind."""
    choices = sorted(KINDS[pick.kind](model)) or [model.root]
    return choices[pick.nth % len(choices)]


# --- strategies -----------------------------------------------------------------------------------

INDEX = st.integers(0, 40)
EDGES = (0, 4096, 8192, 12288, 16384, 32768)
FAR = (2**31, 2**40, 2**63 - 1)


def picks(kind: str) -> st.SearchStrategy[Pick]:
    """Mostly of the kind, now and then any inode at all."""
    right = st.builds(Pick, st.just(kind), INDEX)
    return st.one_of(right, right, right, st.builds(Pick, st.just("any"), INDEX))


def around(*edges: int) -> st.SearchStrategy[int]:
    """Numbers at and beside the edges."""
    near = st.builds(int.__add__, st.sampled_from(edges), st.sampled_from((0, 0, -1, 1, 100)))
    return near.map(lambda number: max(0, min(number, 2**63)))


GOOD_NAMES = (b"a", b"b", b"c", b"d", b"e", b"\xff\xfe", b"n" * 255)
BAD_NAMES = (b"", b"a/b", b"a\0b", b"n" * 256)
NAME = st.one_of(*[st.sampled_from(GOOD_NAMES)] * 7, st.sampled_from(BAD_NAMES))
CALLER = st.sampled_from((ROOT, ROOT, Caller(1000, 1000, frozenset({2000})), Caller(1001, 1001)))
MODE = st.sampled_from((0o777, 0o755, 0o644, 0o600, 0o1777, 0o000))
ANY_MODE = MODE | st.sampled_from((0o2775, 0o2664, 0o4755, 0o6777))
DIRECTORY, FILE, ANY = picks("directory"), picks("file"), picks("any")
HELD = st.builds(Pick, st.just("held"), INDEX)
OFFSET = st.one_of(around(*EDGES), around(*EDGES), around(*FAR))
LENGTH = around(*EDGES)
SIZE = st.one_of(around(*EDGES), around(*EDGES), around(*FAR))
FILL = st.builds(Fill, LENGTH, st.integers(0, 4))
ID = st.sampled_from((0, 1000, 1001, 2000))
TIME = st.sampled_from((SetTime.NOW, 0, -1, 10**18 + 1))


def changes(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[SetAttr]:
    """Settings of just these attributes."""
    return st.fixed_dictionaries(fields).map(lambda given: SetAttr(**given))


CHANGE = st.one_of(
    changes(size=SIZE),
    changes(mode=ANY_MODE),
    changes(uid=st.none() | ID, gid=ID),
    changes(atime_ns=st.none() | TIME, mtime_ns=TIME),
    changes(mode=ANY_MODE, uid=ID, size=LENGTH, mtime_ns=TIME),
)
TARGET = st.sampled_from((b"a", b"/a/b", b"../c", Fill(300, 1), Fill(4095, 1), Fill(4096, 1)))
NODE_MODE = st.builds(
    int.__or__, MODE, st.sampled_from((stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK))
)
XATTR = st.sampled_from((b"user.a", b"user.b", b"trusted.c", b"other.d", b"user." + b"n" * 251))
VALUE = st.sampled_from((b"", b"one", *(Fill(n, 1) for n in (300, 5000, 65536, 65537))))

Options = st.SearchStrategy[dict[str, Any]]
NO_OPTIONS: Options = st.just({})
SOMETIMES_SIZE = st.none() | SIZE
CREATE: Options = st.one_of(
    st.fixed_dictionaries({"how": st.just(CreateHow.GUARDED), "size": SOMETIMES_SIZE}),
    st.fixed_dictionaries({"how": st.just(CreateHow.UNCHECKED), "size": SOMETIMES_SIZE}),
    st.fixed_dictionaries(
        {"how": st.just(CreateHow.EXCLUSIVE), "verifier": st.sampled_from((1, 2))}
    ),
)
GUARD: Options = st.fixed_dictionaries({"guard_ctime_ns": st.sampled_from((None, None, None, 7))})

OPERATIONS: dict[str, tuple[tuple[st.SearchStrategy[Any], ...], Options]]
OPERATIONS = {
    "lookup": ((CALLER, DIRECTORY, NAME | st.sampled_from((b".", b".."))), NO_OPTIONS),
    "getattr": ((ANY,), NO_OPTIONS),
    "access": ((CALLER, ANY, st.integers(0, 7)), NO_OPTIONS),
    "readlink": ((CALLER, ANY), NO_OPTIONS),
    "read": ((CALLER | st.none(), FILE, OFFSET, LENGTH), NO_OPTIONS),
    "seek_data": ((FILE, OFFSET), NO_OPTIONS),
    "seek_hole": ((FILE, OFFSET), NO_OPTIONS),
    "getxattr": ((CALLER, ANY, XATTR), NO_OPTIONS),
    "listxattr": ((CALLER, ANY), NO_OPTIONS),
    "create": ((CALLER, DIRECTORY, NAME, ANY_MODE), CREATE),
    "mkdir": ((CALLER, DIRECTORY, NAME, MODE), NO_OPTIONS),
    "mknod": ((CALLER, DIRECTORY, NAME, NODE_MODE, INDEX, INDEX), NO_OPTIONS),
    "symlink": ((CALLER, DIRECTORY, NAME, TARGET), NO_OPTIONS),
    "link": ((CALLER, ANY, DIRECTORY, NAME), NO_OPTIONS),
    "unlink": ((CALLER, DIRECTORY, NAME), NO_OPTIONS),
    "rmdir": ((CALLER, DIRECTORY, NAME | st.sampled_from((b".", b".."))), NO_OPTIONS),
    "rename": ((CALLER, DIRECTORY, NAME, DIRECTORY, NAME, st.sampled_from(RenameHow)), NO_OPTIONS),
    "write": ((CALLER | st.none(), FILE, OFFSET, FILL), NO_OPTIONS),
    "setattr": ((CALLER, ANY, CHANGE), GUARD),
    "setxattr": ((CALLER, ANY, XATTR, VALUE, st.sampled_from(XattrHow)), NO_OPTIONS),
    "removexattr": ((CALLER, ANY, XATTR), NO_OPTIONS),
    "hold": ((ANY,), NO_OPTIONS),
    "release": ((HELD,), NO_OPTIONS),
}
READING = set(list(OPERATIONS)[:9])
MAKING = {"create", "mkdir", "mknod", "symlink"}


def steps(operation: str) -> st.SearchStrategy[Step]:
    """Calls of one operation."""
    operands, options = OPERATIONS[operation]
    return st.builds(Step, st.just(operation), st.tuples(*operands), options)


# --- running and comparing ------------------------------------------------------------------------


def perform(tree: Tree, model: Model, step: Step) -> object:
    """Run one step on both, see that they answer the same, and return the answer.

    Raises Busy where the store wants a flush first.
    """
    if step.operation == "release" and not model.holds:
        return None
    operands = [resolve(model, operand) for operand in step.operands]
    got = outcome(getattr(tree, step.operation), *operands, **step.options)
    if got is errors.Busy:
        raise errors.Busy
    model.begin(*clue(got))
    expected = outcome(getattr(model, step.operation), *operands, **step.options)
    assert got == expected, f"{step} answered\n{got}, not\n{expected}"
    return got


def resolve(model: Model, operand: object) -> object:
    if isinstance(operand, Pick):
        return pick_inode(model, operand)
    return operand.data() if isinstance(operand, Fill) else operand


def outcome(call: Callable[..., object], *operands: object, **options: object) -> object:
    """What a call returned, without cookies, or the class of error that it raised."""
    try:
        return plain(call(*operands, **options))
    except errors.StoreError as error:
        return type(error)


def plain(value: object) -> object:
    """The value with everything left out that the model does not know."""
    if isinstance(value, Inode):
        return value._replace(slot=0)
    if isinstance(value, Data):
        return Data(bytes(value.data), value.eof, value.inode._replace(slot=0))
    if isinstance(value, Change | Made | Removed | Renamed):
        return value._make(map(plain, value))  # type: ignore[arg-type, call-arg]
    return sorted(value) if isinstance(value, list) else value


def clue(got: object) -> tuple[int, int]:
    """When the store's step happened, and the number of the inode that it made."""
    match got:
        case Change(after=inode):
            return inode.ctime_ns, 0
        case Made(inode=inode):
            return inode.ctime_ns, inode.ino
        case Removed(directory=change) | Renamed(source=change):
            return change.after.ctime_ns, 0
    return 0, 0


def list_all(tree: Tree, ino: int, page: int = 1000, cookie: int = 0) -> list[DirEntry]:
    """Every entry after a cookie, read in pages; page after page the cookies must ascend."""
    entries: list[DirEntry] = []
    while True:
        found = tree.readdir(ROOT, ino, cookie, page)
        assert len(found.entries) <= page
        assert found.entries or found.eof
        for entry in found.entries:
            assert entry.cookie > cookie, "cookies must ascend"
            cookie = entry.cookie
        entries += found.entries
        if found.eof:
            return entries


def assert_same(tree: Tree, model: Model, page: int = 1000) -> None:
    """Compare everything that can be seen of a tree with its model."""
    assert tree.root == model.root
    assert tree.usage() == model.usage()
    paths: dict[int, set[bytes]] = {}
    for path, _, node in model.walk():
        paths.setdefault(node.ino, set()).add(path)
    for ino, node in model.nodes.items():
        assert plain(tree.getattr(ino)) == model.attr(node)
        assert_same_content(tree, model, node, page)
        assert {name: tree.getxattr(ROOT, ino, name) for name in tree.listxattr(ROOT, ino)} == (
            node.xattrs
        )
        if ino in paths:
            assert set(tree.paths_of(ino)) == paths[ino]
            assert tree.path_of(ino) in paths[ino]


def assert_same_content(tree: Tree, model: Model, node: Node, page: int) -> None:
    if node.is_dir:
        found = list_all(tree, node.ino, page)
        assert [entry[:3] for entry in found[:2]] == [
            (b".", node.ino, stat.S_IFDIR),
            (b"..", model.parent_of(node), stat.S_IFDIR),
        ]
        assert {entry.name: (entry.ino, entry.type) for entry in found[2:]} == {
            name: (ino, model.nodes[ino].kind) for name, ino in node.entries.items()
        }
        assert len(found) == len(node.entries) + 2, "an entry was listed twice"
    elif stat.S_ISLNK(node.mode):
        assert tree.readlink(ROOT, node.ino) == node.target
    elif stat.S_ISREG(node.mode):
        for offset, count in windows(model, node):
            got = bytes(tree.read(ROOT, node.ino, offset, count).data)
            assert got == model.content(node, offset, count), f"inode {node.ino} at {offset}"


def windows(model: Model, node: Node) -> list[tuple[int, int]]:
    """Parts of a file that together hold all its data; small files whole."""
    block = model.block_bytes
    if node.size <= 16 * block:
        return [(0, node.size + 1)]
    return [(max(0, n * block - 1), block + 2) for n in (0, *node.blocks, node.size // block)]
