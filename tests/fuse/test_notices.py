"""What kernels are told of changes that they did not make, and who waits for that."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator

import pytest

from fuse import protocol as p
from fuse.protocol import Notify, Opcode
from store.store import Store
from store.types import ROOT, RenameHow, SetAttr, SetTime
from tests.fuse.kernel import PATIENCE_S, Kernel, write_body

Told = tuple[str, int, int | bytes, int]


@pytest.fixture
def other(store: Store, kernel: Kernel) -> Iterator[Kernel]:
    """Another mount of the same branch."""
    made = Kernel(store, beside=kernel)
    yield made
    made.close()


def said(kernel: Kernel) -> set[Told]:
    """What a kernel is told: ("inode", node, start, length) and ("entry", node, name, 0)."""
    found: set[Told] = set()
    for message in kernel.told_all():
        length, code, unique = p.OUT_HEADER.unpack_from(message)
        assert (length, unique) == (len(message), 0)
        rest = message[p.OUT_HEADER.size :]
        if code == Notify.INVAL_INODE:
            found.add(("inode", *p.INVAL_INODE_OUT.unpack(rest)))
        else:
            assert code == Notify.INVAL_ENTRY
            parent, size, flags = p.INVAL_ENTRY_OUT.unpack_from(rest)
            name = rest[p.INVAL_ENTRY_OUT.size :]
            assert (name[size:], flags) == (b"\0", 0)
            found.add(("entry", parent, name[:size], 0))
    return found


def entry(parent: int, name: bytes) -> set[Told]:
    """A name, and the listing and the attributes of its directory."""
    return {("entry", parent, name, 0), ("inode", parent, 0, 0)}


def inode(*nodes: int) -> set[Told]:
    """Attributes alone."""
    return {("inode", node, -1, 0) for node in nodes}


class Things:
    """A file `f` and directories `d` and `e`, all known to two kernels, and their nodes."""

    def __init__(self, kernel: Kernel, other: Kernel) -> None:
        self.f = kernel.create(b"f").nodeid
        kernel.write(self.f, b"some data")
        self.d, self.e = (kernel.mkdir(name).nodeid for name in (b"d", b"e"))
        for one in (kernel, other):
            for name in (b"f", b"d", b"e"):
                one.lookup(name)
            one.told_all()


@pytest.fixture
def things(kernel: Kernel, other: Kernel) -> Things:
    return Things(kernel, other)


def _rename(how: int, old: bytes, target: int, new: bytes) -> tuple[int, bytes]:
    return Opcode.RENAME2, p.RENAME2_IN.pack(target, how, 0) + old + b"\0" + new + b"\0"


def _setattr(valid: int, size: int = 0) -> tuple[int, bytes]:
    return Opcode.SETATTR, p.SETATTR_IN.pack(valid, 0, 0, size, *[0] * 7, 0o600, *[0] * 4)


# A request, whose node it is of, and what the other kernel is told.
Row = tuple[Callable[[Things], tuple[int, bytes]], str, Callable[[Things], set[Told]]]
CHANGES: dict[str, Row] = {
    "write": (
        lambda t: (Opcode.WRITE, write_body(b"xyz", 4)),
        "f",
        lambda t: {("inode", t.f, 4, 3)},
    ),
    "truncate": (lambda t: _setattr(8, 3), "f", lambda t: {("inode", t.f, 3, 0)}),
    "chmod": (lambda t: _setattr(1), "f", lambda t: inode(t.f)),
    "utimens": (lambda t: _setattr(0x1B0), "d", lambda t: inode(t.d)),
    "setxattr": (
        lambda t: (Opcode.SETXATTR, p.SETXATTR_IN.pack(1, 0) + b"user.a\0v"),
        "f",
        lambda t: inode(t.f),
    ),
    "create": (
        lambda t: (Opcode.CREATE, p.CREATE_IN.pack(0, 0o100644, 0, 0) + b"new\0"),
        "d",
        lambda t: entry(t.d, b"new"),
    ),
    "mkdir": (
        lambda t: (Opcode.MKDIR, p.MKDIR_IN.pack(0o755, 0) + b"new\0"),
        "root",
        lambda t: entry(1, b"new"),
    ),
    "symlink": (
        lambda t: (Opcode.SYMLINK, b"new\0target\0"),
        "d",
        lambda t: entry(t.d, b"new"),
    ),
    "link": (
        lambda t: (Opcode.LINK, p.LINK_IN.pack(t.f) + b"new\0"),
        "d",
        lambda t: entry(t.d, b"new") | inode(t.f),
    ),
    "unlink": (lambda t: (Opcode.UNLINK, b"f\0"), "root", lambda t: entry(1, b"f") | inode(t.f)),
    "rmdir": (lambda t: (Opcode.RMDIR, b"d\0"), "root", lambda t: entry(1, b"d") | inode(t.d)),
    "rename": (
        lambda t: _rename(0, b"f", t.d, b"new"),
        "root",
        lambda t: entry(1, b"f") | entry(t.d, b"new") | inode(t.f),
    ),
    "rename over": (
        lambda t: _rename(0, b"d", 1, b"e"),
        "root",
        lambda t: entry(1, b"d") | entry(1, b"e") | inode(t.d, t.e),
    ),
    "exchange": (
        lambda t: _rename(2, b"f", 1, b"d"),
        "root",
        lambda t: entry(1, b"f") | entry(1, b"d") | inode(t.f, t.d),
    ),
}


def covers(told: set[Told], due: set[Told]) -> bool:
    """Whether all that is due was told; attributes also go with data."""
    whole = {(kind, node) for kind, node, _, _ in told}
    return all(
        one in told or (one[0] == "inode" and one[2] == -1 and one[:2] in whole) for one in due
    )


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_through_one_mount_is_told_to_another(
    kernel: Kernel, other: Kernel, things: Things, change: str
) -> None:
    """Exactly what it is, before the one who made it is answered; and not to its own kernel."""
    made, where, due = CHANGES[change]
    other.gate.clear()
    unique = kernel.send(
        kernel.request(*made(things), 1 if where == "root" else getattr(things, where))
    )
    assert unique not in kernel.replies
    other.gate.set()
    told = said(other)
    kernel.reply(unique)
    assert covers(told, due(things)), told
    assert {one[:2] for one in told} <= {one[:2] for one in due(things)}, "more than that"
    assert said(kernel) == set()


TREE_CHANGES: dict[str, Callable[[Kernel, Things], object]] = {
    "write": lambda k, t: k.tree.write(ROOT, t.f, 4, b"xyz"),
    "truncate": lambda k, t: k.tree.setattr(ROOT, t.f, SetAttr(size=3)),
    "chmod": lambda k, t: k.tree.setattr(ROOT, t.f, SetAttr(mode=0o600)),
    "utimens": lambda k, t: k.tree.setattr(ROOT, t.d, SetAttr(mtime_ns=SetTime.NOW)),
    "create": lambda k, t: k.tree.create(ROOT, t.d, b"new", 0o644),
    "link": lambda k, t: k.tree.link(ROOT, t.f, t.d, b"new"),
    "unlink": lambda k, t: k.tree.unlink(ROOT, 1, b"f"),
    "rename": lambda k, t: k.tree.rename(ROOT, 1, b"f", t.d, b"new", RenameHow.REPLACE),
}


@pytest.mark.parametrize("change", TREE_CHANGES)
def test_a_change_by_nobody_here_is_told_to_all(
    kernel: Kernel, other: Kernel, things: Things, change: str
) -> None:
    TREE_CHANGES[change](kernel, things)
    for one in (kernel, other):
        assert covers(said(one), CHANGES[change][2](things))


def test_what_a_kernel_does_not_know_it_is_not_told(kernel: Kernel, other: Kernel) -> None:
    node = kernel.create(b"f").nodeid
    directory = kernel.mkdir(b"d").nodeid
    other.told_all()
    kernel.write(node, b"data")
    kernel.create(b"new", directory)
    assert said(other) == set()


def test_a_mount_of_a_directory_is_told_of_what_is_in_it(kernel: Kernel, store: Store) -> None:
    directory = kernel.mkdir(b"d").nodeid
    part = Kernel(store, beside=kernel, path=b"/d")
    kernel.create(b"new", directory)
    assert said(part) == entry(1, b"new")
    kernel.create(b"outside")
    assert said(part) == set()
    node = part.create(b"inside").nodeid
    assert said(kernel) == entry(directory, b"inside")
    assert part.getattr(node).ino == kernel.lookup(b"inside", directory).attr.ino
    part.close()


# --- waiting --------------------------------------------------------------------------------------


def test_nobody_waits_for_what_is_told_to_nobody(kernel: Kernel, store: Store) -> None:
    """A mount whose kernel cannot be told yet knows nothing yet."""
    early = Kernel(store, beside=kernel, begin=False)
    unique = kernel.send(
        kernel.request(Opcode.CREATE, p.CREATE_IN.pack(0, 0o100644, 0, 0) + b"f\0")
    )
    assert kernel.reply(unique)
    early.close()


def held(kernel: Kernel) -> None:
    """Hold back what a kernel is told, with its thread at the gate."""
    kernel.gate.clear()
    kernel.at_gate.clear()
    kernel.tree.setattr(ROOT, 1, SetAttr(mtime_ns=SetTime.NOW))
    assert kernel.at_gate.wait(PATIENCE_S)


def test_reading_does_not_wait(kernel: Kernel, other: Kernel, things: Things) -> None:
    held(other)
    kernel.tell_all()
    assert kernel.read(things.f) == b"some data"
    assert kernel.lookup(b"f").nodeid == things.f
    other.gate.set()


def test_two_do_not_wait_for_each_other(kernel: Kernel, other: Kernel, things: Things) -> None:
    """Who is yet to be told something is answered without others being told: its kernel may need
    that answer to take what it is told."""
    held(other)
    kernel.told_all()
    kernel.gate.clear()
    unique = kernel.send(kernel.request(Opcode.WRITE, write_body(b"one"), things.f))
    assert unique not in kernel.replies, "it waits for the other kernel"
    back = other.send(other.request(Opcode.WRITE, write_body(b"two"), things.f))
    assert other.reply(back), "which is answered"
    assert kernel.reply(unique), "and now that this one is to be told something, so is it"
    kernel.gate.set()
    other.gate.set()
    assert said(kernel) == {("inode", things.f, 0, 3)}
    assert ("inode", things.f, 0, 3) in said(other)
    assert not kernel.replies
    assert not other.replies


def test_what_waits_to_be_told_is_merged(kernel: Kernel, other: Kernel, things: Things) -> None:
    held(other)
    tree = kernel.tree
    for number in range(100):
        tree.write(ROOT, things.f, 500 + number, b"x")
        tree.setattr(ROOT, things.f, SetAttr(mode=0o600 + number % 8))
        tree.create(ROOT, things.d, b"new", 0o644)
        tree.unlink(ROOT, things.d, b"new")
    other.gate.set()
    told = other.told_all()
    assert len(told) == 1 + 3, "what was at the gate; the file, the directory, and the name"
    other.notices = told
    found = said(other)
    assert ("inode", things.f, 500, 100) in found
    assert entry(things.d, b"new") <= found


def test_a_mount_that_leaves_keeps_nobody_waiting(kernel: Kernel, store: Store) -> None:
    leaving = Kernel(store, beside=kernel)
    held(leaving)
    kernel.tell_all()
    unique = kernel.send(kernel.request(Opcode.MKDIR, p.MKDIR_IN.pack(0o755, 0) + b"new\0"))
    assert unique not in kernel.replies
    leaving.close()
    assert kernel.reply(unique)
    assert kernel.told.pending == 0
    assert kernel.mkdir(b"more").nodeid


def test_who_fails_does_not_wait(kernel: Kernel, other: Kernel, things: Things) -> None:
    held(other)
    kernel.tell_all()
    kernel.fails(errno.EEXIST, Opcode.MKDIR, p.MKDIR_IN.pack(0o755, 0) + b"d\0")
    other.gate.set()


# --- trees that are replaced ----------------------------------------------------------------------


def test_a_rollback_is_told_in_full(kernel: Kernel, store: Store) -> None:
    """Every inode that is known, its names of before and those of now."""
    kept = kernel.create(b"kept").nodeid
    store.snapshot("main", "one")
    store.tree("main").rename(ROOT, 1, b"kept", 1, b"moved", RenameHow.REPLACE)
    gone = kernel.create(b"gone").nodeid
    kernel.lookup(b"moved")
    kernel.told_all()
    waited: list[str] = []
    store.rollback("main", "main@one")
    kernel.told.when_swept(lambda: waited.append("told"))
    assert waited == []
    assert kernel.sweeps_wanted
    told = said(kernel)
    assert waited == ["told"]
    assert {("inode", node, 0, 0) for node in (1, kept, gone)} <= told
    assert {("entry", 1, name, 0) for name in (b"kept", b"moved", b"gone")} <= told
    assert kernel.lookup(b"kept").nodeid == kept
    assert kernel.lookup(b"moved").nodeid == 0
    kernel.fails(errno.ESTALE, Opcode.GETATTR, bytes(16), gone)


def test_a_mount_that_leaves_while_it_finds_out(kernel: Kernel, store: Store) -> None:
    store.snapshot("main", "one")
    leaving = Kernel(store, beside=kernel)
    for number in range(200):
        leaving.create(b"%d" % number)
    store.rollback("main", "main@one")
    waited: list[str] = []
    kernel.told.when_swept(lambda: waited.append("told"))
    kernel.tell_all()
    assert leaving.session.sweep()
    assert waited == []
    leaving.close()
    assert waited == ["told"]
