"""What the kernel knows: each lookup counted once, inodes held while known, `.snapshots`."""

from __future__ import annotations

import errno
import random
from collections.abc import Iterator

import pytest

from fuse import protocol as p
from fuse.options import Options
from fuse.protocol import Opcode
from store import snapdir
from store.store import Store
from tests.fuse.kernel import Entry, Kernel, parse_entry

SNAPSHOTS = snapdir.NAME


def expect_counts(kernel: Kernel) -> None:
    """The session counts what a kernel counts."""
    counted = {node: count for node, count in kernel.counts.items() if count and node > 1}
    assert kernel.session.nodes._counts == counted


def body(opcode: int, name: bytes, file: int) -> bytes:
    """What is behind the header of a request that makes a name."""
    heads = {
        Opcode.CREATE: p.CREATE_IN.pack(0o200, 0o100644, 0, 0),
        Opcode.MKNOD: p.MKNOD_IN.pack(0o100644, 0, 0, 0),
        Opcode.MKDIR: p.MKDIR_IN.pack(0o755, 0),
        Opcode.LINK: p.LINK_IN.pack(file),
    }
    more = b"target\0" if opcode == Opcode.SYMLINK else b""
    return heads.get(Opcode(opcode), b"") + name + b"\0" + more


MAKING = (Opcode.CREATE, Opcode.MKNOD, Opcode.MKDIR, Opcode.LINK, Opcode.SYMLINK)


# --- counts ---------------------------------------------------------------------------------------


def test_every_entry_counts_once(kernel: Kernel) -> None:
    file = kernel.create(b"file").nodeid
    for number, opcode in enumerate(MAKING):
        made = parse_entry(kernel.call(opcode, body(opcode, b"%d" % number, file)))
        assert kernel.lookup(b"%d" % number).nodeid == made.nodeid
        expect_counts(kernel)
    kernel.listed(plus=True)
    expect_counts(kernel)
    kernel.listed(plus=True, size=300)
    expect_counts(kernel)


def test_what_fails_does_not_count(kernel: Kernel) -> None:
    file = kernel.create(b"file").nodeid
    before = dict(kernel.counts)
    for opcode in MAKING:
        kernel.fails(errno.EEXIST, opcode, body(opcode, b"file", file))
        kernel.fails(errno.ENOTDIR, opcode, body(opcode, b"new", file), file)
    kernel.fails(errno.ENOTDIR, Opcode.LOOKUP, b"x\0", file)
    kernel.listed()
    assert dict(kernel.counts) == before
    expect_counts(kernel)


def test_the_root_is_not_counted(kernel: Kernel) -> None:
    directory = kernel.mkdir(b"d").nodeid
    assert kernel.lookup(b"..", directory).nodeid == 1
    assert kernel.lookup(b".", 1).nodeid == 1
    kernel.forget(1, 100)
    assert kernel.getattr(1).ino == 1
    expect_counts(kernel)


def test_forgetting_in_parts_and_too_much(kernel: Kernel) -> None:
    node = kernel.create(b"file").nodeid
    for _ in range(9):
        kernel.lookup(b"file")
    kernel.forget(node, 4)
    expect_counts(kernel)
    kernel.forget(node, 6)
    expect_counts(kernel)
    assert len(kernel.session.nodes) == 0
    for lookups in (1, 1 << 63):
        kernel.send(kernel.request(Opcode.FORGET, p.FORGET_IN.pack(lookups), node))
    assert kernel.lookup(b"file").nodeid == node
    kernel.send(kernel.request(Opcode.FORGET, p.FORGET_IN.pack(1 << 63), node))
    assert len(kernel.session.nodes) == 0


def test_many_at_once(kernel: Kernel) -> None:
    nodes = [kernel.create(b"%d" % number).nodeid for number in range(200)]
    rows = b"".join(p.FORGET_ONE.pack(node, 1) for node in nodes[:150])
    message = kernel.request(Opcode.BATCH_FORGET, p.BATCH_FORGET_IN.pack(150, 0) + rows)
    assert kernel.send(message) not in kernel.replies
    kernel.counts.subtract(nodes[:150])
    expect_counts(kernel)
    assert len(kernel.session.nodes) == 50


def test_at_random(kernel: Kernel, rng: random.Random) -> None:
    """Names made, found, listed, taken away and forgotten, in any order."""
    names = [b"%d" % number for number in range(12)]
    for _ in range(600):
        name = rng.choice(names)
        act = rng.randrange(6)
        if act == 0:
            kernel.listed(plus=True, size=rng.choice([400, 4096]))
        elif act == 1 and (known := [node for node, count in kernel.counts.items() if count > 0]):
            node = rng.choice(known)
            kernel.forget(node, rng.randint(1, kernel.counts[node]))
        else:
            there = kernel.lookup(name).nodeid
            if act == 2 and there:
                kernel.unlink(name)
            elif act == 3 and not there:
                kernel.create(name)
        kernel.counts = +kernel.counts
        expect_counts(kernel)


# --- inodes ---------------------------------------------------------------------------------------


def test_an_inode_lives_while_it_is_known(kernel: Kernel) -> None:
    node = kernel.create(b"file").nodeid
    kernel.write(node, b"data")
    kernel.lookup(b"file")
    kernel.unlink(b"file")
    for lookups in (1, 1):
        assert kernel.read(node) == b"data"
        assert kernel.getattr(node).nlink == 0
        kernel.forget(node, lookups)
    kernel.fails(errno.ESTALE, Opcode.GETATTR, bytes(16), node)
    assert kernel.tree.find(node) is None
    assert kernel.tree.reap_orphans() == 0


def test_an_inode_whose_name_another_took(kernel: Kernel, store: Store) -> None:
    """NFS, or another mount: what is open here stays."""
    node = kernel.create(b"file").nodeid
    kernel.write(node, b"data")
    other = Kernel(store, beside=kernel)
    other.unlink(b"file")
    other.close()
    kernel.write(node, b"more", 4)
    assert kernel.read(node) == b"datamore"
    kernel.forget(node)
    assert kernel.tree.find(node) is None


def test_two_kernels_hold_one_inode(kernel: Kernel, store: Store) -> None:
    node = kernel.create(b"file").nodeid
    other = Kernel(store, beside=kernel)
    other.lookup(b"file")
    other.unlink(b"file")
    kernel.forget(node)
    assert other.getattr(node).nlink == 0
    other.close()
    assert kernel.tree.find(node) is None


def test_the_end_of_a_mount_lets_everything_go(kernel: Kernel, store: Store) -> None:
    other = Kernel(store, beside=kernel)
    nodes = [other.create(b"%d" % number).nodeid for number in range(20)]
    for number in range(20):
        other.unlink(b"%d" % number)
    other.close()
    assert [kernel.tree.find(node) for node in nodes] == [None] * 20


def test_a_directory_that_was_removed(kernel: Kernel) -> None:
    node = kernel.mkdir(b"d").nodeid
    kernel.rmdir(b"d")
    assert kernel.getattr(node).nlink == 0
    kernel.fails(errno.ENOENT, Opcode.MKDIR, p.MKDIR_IN.pack(0o755, 0) + b"x\0", node)
    kernel.forget(node)
    kernel.fails(errno.ESTALE, Opcode.GETATTR, bytes(16), node)


# --- names that are not there ---------------------------------------------------------------------


def test_that_there_is_no_name_may_be_remembered(kernel: Kernel) -> None:
    found = kernel.lookup(b"nothing")
    assert (found.nodeid, found.entry_valid, found.entry_valid_ns) == (0, 1, 500_000_000)
    assert len(kernel.session.nodes) == 0


def test_nothing_is_remembered_with_time_outs_of_zero(store: Store) -> None:
    kernel = Kernel(store, Options())
    assert kernel.lookup(b"nothing")[:6] == (0, 0, 0, 0, 0, 0)
    made = kernel.create(b"file")
    assert made[2:6] == (0, 0, 0, 0)
    kernel.close()


# --- .snapshots -----------------------------------------------------------------------------------


@pytest.fixture
def admin(store: Store) -> Iterator[Kernel]:
    """A mount in which snapshots are listed, and may be taken and deleted."""
    made = Kernel(store, Options(entry_timeout_s=9), snapshot_admin=True, listed=True)
    yield made
    made.close()


def names(kernel: Kernel, node: int = 1) -> list[bytes]:
    found = [entry.name for entry in kernel.listed(node)]
    assert found[:2] == [b".", b".."]
    assert [entry.name for entry in kernel.listed(node, plus=True)] == found
    assert [entry.name for entry in kernel.listed(node, size=80)] == found
    return found[2:]


def snapshot(kernel: Kernel, name: bytes) -> Entry:
    return kernel.lookup(name, kernel.lookup(SNAPSHOTS).nodeid)


def test_the_directory_is_hidden_or_listed_or_off(
    kernel: Kernel, admin: Kernel, store: Store
) -> None:
    off = Kernel(store, beside=kernel, snapshots=False)
    kernel.create(b"file")
    assert names(kernel) == names(off) == [b"file"]
    assert names(admin) == [SNAPSHOTS, b"file"]
    assert kernel.lookup(SNAPSHOTS).attr.mode == 0o40555
    assert admin.lookup(SNAPSHOTS).attr.mode == 0o40755
    assert off.lookup(SNAPSHOTS).nodeid == 0
    assert off.create(SNAPSHOTS).nodeid
    off.unlink(SNAPSHOTS)
    off.close()


def test_its_name_is_taken(kernel: Kernel) -> None:
    file = kernel.create(b"file").nodeid
    for opcode in MAKING:
        kernel.fails(errno.EEXIST, opcode, body(opcode, SNAPSHOTS, file))
    rename = p.RENAME_IN.pack(1)
    kernel.fails(errno.EEXIST, Opcode.RENAME, rename + b"file\0" + SNAPSHOTS + b"\0")
    for opcode in (Opcode.UNLINK, Opcode.RMDIR):
        kernel.fails(errno.EPERM, opcode, SNAPSHOTS + b"\0")
    kernel.fails(errno.EPERM, Opcode.RENAME, rename + SNAPSHOTS + b"\0new\0")
    directory = kernel.mkdir(b"d").nodeid
    assert kernel.lookup(SNAPSHOTS, directory).nodeid == 0
    assert kernel.mkdir(SNAPSHOTS, directory).nodeid


def test_a_snapshot_shows_what_was(kernel: Kernel, store: Store) -> None:
    file = kernel.create(b"file").nodeid
    kernel.write(file, b"before")
    store.snapshot("main", "one")
    kernel.write(file, b"after!")
    top = snapshot(kernel, b"one")
    assert (top.entry_valid, top.entry_valid_ns) == (0, 0), "it may be deleted at any time"
    kept = kernel.lookup(b"file", top.nodeid)
    assert kernel.read(kept.nodeid) == b"before"
    assert kept.attr.ino != kernel.getattr(file).ino
    assert names(kernel, kernel.lookup(SNAPSHOTS).nodeid) == [b"one"]
    assert names(kernel, top.nodeid) == [b"file"]
    (listed,) = (entry for entry in kernel.listed(top.nodeid) if entry.name == b"file")
    assert listed.ino == kept.attr.ino
    assert kernel.lookup(b"..", kernel.lookup(SNAPSHOTS).nodeid).nodeid == 1
    expect_counts(kernel)


def test_nothing_changes_in_a_snapshot(kernel: Kernel, store: Store) -> None:
    file = kernel.create(b"file").nodeid
    store.snapshot("main", "one")
    top = snapshot(kernel, b"one").nodeid
    kept = kernel.lookup(b"file", top).nodeid
    for opcode in MAKING:
        kernel.fails(errno.EROFS, opcode, body(opcode, b"new", kept), top)
    kernel.fails(errno.EROFS, Opcode.UNLINK, b"file\0", top)
    kernel.fails(errno.EROFS, Opcode.RENAME, p.RENAME_IN.pack(top) + b"file\0new\0", top)
    kernel.fails(errno.EXDEV, Opcode.RENAME, p.RENAME_IN.pack(1) + b"file\0new\0", top)
    kernel.fails(errno.EXDEV, Opcode.RENAME, p.RENAME_IN.pack(top) + b"file\0new\0")
    kernel.fails(errno.EXDEV, Opcode.LINK, p.LINK_IN.pack(kept) + b"new\0")
    assert kernel.read(file) == b""


def test_snapshots_are_taken_and_deleted_by_mkdir_and_rmdir(admin: Kernel, store: Store) -> None:
    directory = admin.lookup(SNAPSHOTS).nodeid
    admin.fails(errno.ENOENT, Opcode.LOOKUP, b"one\0", directory)
    flushes = admin.waiting.flushes
    made = admin.mkdir(b"one", directory)
    assert admin.waiting.flushes == flushes + 1, "it is durable"
    assert [info.name for info in store.snapshots("main")] == ["one"]
    assert admin.lookup(b"one", directory).nodeid == made.nodeid
    admin.fails(errno.EEXIST, Opcode.MKDIR, p.MKDIR_IN.pack(0, 0) + b"one\0", directory)
    admin.fails(errno.EINVAL, Opcode.MKDIR, p.MKDIR_IN.pack(0, 0) + b"no@at\0", directory)
    admin.fails(errno.EISDIR, Opcode.UNLINK, b"one\0", directory)
    admin.fails(errno.EROFS, Opcode.SYMLINK, b"two\0target\0", directory)
    admin.rmdir(b"one", directory)
    assert store.snapshots("main") == []
    admin.fails(errno.ESTALE, Opcode.GETATTR, bytes(16), made.nodeid)
    admin.fails(errno.ENOENT, Opcode.RMDIR, b"one\0", directory)


def test_they_are_not_where_it_is_not_allowed(kernel: Kernel, store: Store) -> None:
    store.snapshot("main", "one")
    directory = kernel.lookup(SNAPSHOTS).nodeid
    kernel.fails(errno.EROFS, Opcode.MKDIR, p.MKDIR_IN.pack(0, 0) + b"two\0", directory)
    kernel.fails(errno.EROFS, Opcode.RMDIR, b"one\0", directory)
    assert len(store.snapshots("main")) == 1


def test_what_was_known_of_a_deleted_snapshot_is_stale(kernel: Kernel, store: Store) -> None:
    kernel.create(b"file")
    store.snapshot("main", "one")
    top = snapshot(kernel, b"one").nodeid
    kept = kernel.lookup(b"file", top).nodeid
    store.delete_snapshot("main", "one")
    for node in (top, kept):
        kernel.fails(errno.ESTALE, Opcode.GETATTR, bytes(16), node)
    kernel.fails(errno.ENOENT, Opcode.LOOKUP, b"one\0", kernel.lookup(SNAPSHOTS).nodeid)
    store.snapshot("main", "one")
    again = snapshot(kernel, b"one").nodeid
    assert again not in (top, kept)
    kernel.fails(errno.ESTALE, Opcode.GETATTR, bytes(16), top)
    for node in (top, kept):
        kernel.forget(node)
    assert kernel.getattr(again).mode == 0o40755
    expect_counts(kernel)


def test_a_snapshot_is_open_while_something_of_it_is_known(kernel: Kernel, store: Store) -> None:
    kernel.create(b"file")
    store.snapshot("main", "one")
    assert kernel.views.open_trees == 0
    top = snapshot(kernel, b"one").nodeid
    kept = kernel.lookup(b"file", top).nodeid
    assert kernel.views.open_trees == 1
    kernel.forget(top)
    assert kernel.read(kept) == b""
    kernel.forget(kept)
    assert kernel.views.open_trees == 0
