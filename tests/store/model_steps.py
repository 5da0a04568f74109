"""Steps to run on a tree and on its model: the table of operations, and how answers compare."""

from __future__ import annotations

import stat
from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import strategies as st

from store import errors
from store.tree import Tree
from store.types import (
    ROOT,
    Change,
    CreateHow,
    Data,
    DirEntry,
    Inode,
    Made,
    Removed,
    Renamed,
    RenameHow,
    XattrHow,
)
from tests.store import model_operands as draw
from tests.store.model import Model
from tests.store.model_nodes import Node
from tests.store.model_operands import Fill, Pick, resolve


class Step(NamedTuple):
    """A call of the tree interface with operands still to be resolved."""

    operation: str
    operands: tuple[Any, ...]
    options: dict[str, Any] = {}  # noqa: RUF012 - never changed


Operands = tuple[st.SearchStrategy[Any], ...]
SOMETIMES_SIZE = st.none() | draw.SIZE
CREATE: tuple[dict[str, st.SearchStrategy[Any]], ...] = (
    {"how": st.just(CreateHow.GUARDED), "size": SOMETIMES_SIZE},
    {"how": st.just(CreateHow.UNCHECKED), "size": SOMETIMES_SIZE},
    {"how": st.just(CreateHow.EXCLUSIVE), "verifier": st.sampled_from((1, 2))},
)
OPTIONS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "create": st.one_of([st.fixed_dictionaries(given) for given in CREATE]),
    "setattr": st.sampled_from(({},) * 9 + ({"guard_ctime_ns": 7},)),
}

READING: dict[str, list[Operands]] = {
    "lookup": [(draw.CALLER, draw.OLD), (draw.CALLER, draw.DOTTED)],
    "getattr": [(draw.ANY,)],
    "access": [(draw.CALLER, draw.ANY, st.integers(0, 7))],
    "readlink": [(draw.CALLER, draw.picks("symlink"))],
    "read": [(draw.OPENED, draw.FILE, draw.OFFSET, draw.LENGTH)],
    "seek_data": [(draw.FILE, draw.OFFSET)],
    "seek_hole": [(draw.FILE, draw.OFFSET)],
    "getxattr": [(draw.CALLER, draw.picks("tagged"), draw.XATTR)],
    "listxattr": [(draw.CALLER, draw.picks("tagged"))],
}
MAKING: dict[str, list[Operands]] = {
    "create": [(draw.CALLER, draw.NEW, draw.ANY_MODE), (draw.CALLER, draw.OLD, draw.ANY_MODE)],
    "mkdir": [(draw.CALLER, draw.NEW, draw.MODE)],
    "mknod": [(draw.CALLER, draw.NEW, draw.NODE_MODE, draw.INDEX, draw.INDEX)],
    "symlink": [(draw.CALLER, draw.NEW, draw.TARGET)],
}
RENAME_HOW = st.sampled_from(RenameHow)
CHANGING: dict[str, list[Operands]] = {
    "link": [(draw.CALLER, draw.OTHER, draw.NEW)],
    "unlink": [(draw.CALLER, draw.entries("other"))],
    "rmdir": [(draw.CALLER, draw.entries("empty")), (draw.CALLER, draw.DOTTED)],
    "rename": [
        (draw.CALLER, draw.OLD, draw.NEW, RENAME_HOW),
        (draw.CALLER, draw.OLD, draw.OLD, RENAME_HOW),
        (draw.CALLER, draw.entries("directory"), draw.DOTTED, RENAME_HOW),
    ],
    "write": [(draw.OPENED, draw.FILE, draw.OFFSET, draw.FILL)],
    "setattr": [(draw.CALLER, draw.ANY, draw.CHANGE), (draw.CALLER, draw.FILE, draw.RESIZE)],
    "setxattr": [(draw.CALLER, draw.ANY, draw.XATTR, draw.VALUE, st.sampled_from(XattrHow))],
    "removexattr": [(draw.CALLER, draw.picks("tagged"), draw.XATTR)],
    "hold": [(draw.ANY,)],
    "release": [(draw.HELD,)],
}


def steps(table: dict[str, list[Operands]]) -> st.SearchStrategy[Step]:
    """Calls of the operations of a table."""
    calls: list[st.SearchStrategy[Step]] = []
    for operation, forms in table.items():
        options = OPTIONS.get(operation, st.just({}))
        calls += [
            st.builds(Step, st.just(operation), st.tuples(*operands), options) for operands in forms
        ]
    return st.one_of(calls)


READS = steps(READING)
CHANGES = steps(MAKING | CHANGING)

A, B, C = (Pick("directory", n) for n in (1, 2, 3))
TOP = Pick("directory", 0)
PLANTED = [  # what every branch begins with, so that steps have something to work on
    Step("mkdir", (ROOT, TOP, b"a", 0o777)),
    Step("mkdir", (ROOT, TOP, b"b", 0o1777)),
    Step("mkdir", (ROOT, A, b"c", 0o755)),
    Step("create", (ROOT, A, b"f", 0o666)),
    Step("write", (ROOT, Pick("file", 0), 100, Fill(20_000, 2))),
    Step("create", (draw.ANN, B, b"g", 0o644)),
    Step("write", (ROOT, Pick("file", 1), 40_000, Fill(300, 1))),
    Step("setxattr", (ROOT, Pick("file", 1), b"user.a", b"one", XattrHow.SET)),
    Step("link", (ROOT, Pick("file", 0), C, b"h")),
    Step("symlink", (ROOT, TOP, b"s", b"a/f")),
]


# --- running and comparing ------------------------------------------------------------------------


def perform(tree: Tree, model: Model, step: Step) -> object:
    """Run one step on both, see that they answer the same, and return the answer.

    Raises Busy where the store wants a flush first.
    """
    if step.operation == "release" and not model.holds:
        return None
    operands = [value for operand in step.operands for value in resolve(model, operand)]
    got = outcome(getattr(tree, step.operation), *operands, **step.options)
    if got is errors.Busy:
        raise errors.Busy
    model.begin(*clue(got))
    expected = outcome(getattr(model, step.operation), *operands, **step.options)
    same(got, expected, step)
    return got


def same(got: object, expected: object, of: object) -> None:
    assert got == expected, f"{of} answered\n{got}, not\n{expected}"


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
        same(plain(tree.getattr(ino)), model.attr(node), f"inode {ino}")
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
