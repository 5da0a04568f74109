"""A small store with one of everything, and every way to break a rule of a file system in it.

Breaches are made where nothing of the store guards against them: in the memtable of the live
layer.
"""

from __future__ import annotations

import random
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from store import keys, records
from store.memtable import Memtable
from store.objects import ObjectWriter
from store.store import Store
from store.tree import Tree
from store.types import ROOT, Inode, Problem, SetAttr

BLOCK = 16 * 1024


class World(NamedTuple):
    """A small store with one of everything, and the inode numbers by name."""

    store: Store
    tree: Tree
    ino: dict[str, int]

    @property
    def mem(self) -> Memtable:
        top = self.tree.chain.top
        assert top is not None
        return top.mem

    def inode(self, name: str) -> Inode:
        return self.tree.getattr(self.ino[name])

    def put(self, name: str, **changes: int) -> None:
        self.mem.put_inode(self.inode(name)._replace(**changes))

    def row(self, name: str, kind: int, rest: bytes, value: bytes | None) -> None:
        self.mem.put_row(keys.prefix(self.ino[name], kind), rest, value)

    def entry(self, name: str) -> tuple[bytes, bytes]:
        """Slot and value of the directory entry of a name in the root."""
        rest = keys.pack_u64(keys.first_slot(name.encode()))
        value = self.tree.chain.row(keys.prefix(1, keys.DIRENT), rest)
        assert value is not None
        return rest, value


def fill(tree: Tree) -> dict[str, int]:
    noise = random.Random(1).randbytes
    ino = {"root": tree.root}
    for name in ("dir", "emptied"):
        ino[name] = tree.mkdir(ROOT, 1, name.encode(), 0o755).inode.ino
    ino["sub"] = tree.mkdir(ROOT, ino["dir"], b"sub", 0o755).inode.ino
    for name in ("small", "big", "sparse", "hard"):
        ino[name] = tree.create(ROOT, 1, name.encode(), 0o644).inode.ino
    tree.write(ROOT, ino["small"], 0, b"ten bytes.")
    tree.write(ROOT, ino["big"], 0, noise(3 * BLOCK + 5000))
    tree.write(ROOT, ino["sparse"], 10 * BLOCK + 1, b"x")
    tree.setattr(ROOT, ino["sparse"], SetAttr(size=20 * BLOCK))
    tree.link(ROOT, ino["hard"], ino["dir"], b"second")
    tree.link(ROOT, ino["hard"], ino["sub"], b"third")
    ino["link"] = tree.symlink(ROOT, 1, b"link", b"a/target").inode.ino
    ino["long"] = tree.symlink(ROOT, 1, b"long", b"t" * 1000).inode.ino
    ino["fifo"] = tree.mknod(ROOT, 1, b"fifo", stat.S_IFIFO | 0o600).inode.ino
    ino["dev"] = tree.mknod(ROOT, 1, b"dev", stat.S_IFCHR | 0o600, 5, 1).inode.ino
    tree.setxattr(ROOT, ino["big"], b"user.short", b"value")
    tree.setxattr(ROOT, ino["big"], b"user.zeros", noise(999) + b"\0")
    return ino


@contextmanager
def opened(path: Path) -> Iterator[World]:
    """A new world, sound at first."""
    Store.init(path, block_bytes=BLOCK)
    store = Store.open(path)
    store.create_branch("main")
    tree = store.tree("main")
    ino = fill(tree)
    assert store.check(data=True) == []
    yield World(store, tree, ino)
    # Not closed as usual: it would make durable what a test broke.
    store.engine.close(clean=False)


def found(problems: list[Problem], fragment: str) -> list[Problem]:
    return [p for p in problems if fragment in f"{p.where}: {p.what}"]


def _dirent(world: World, name: str, ino: int, type_bits: int, overflow: bool = False) -> bytes:
    return records.encode_dirent(ino, type_bits, name.encode(), overflow)


def _root_entry(world: World, slot: int, value: bytes | None) -> None:
    world.row("root", keys.DIRENT, keys.pack_u64(slot), value)


def _retarget(world: World, name: str, ino: int, type_bits: int) -> None:
    rest, _ = world.entry(name)
    world.row("root", keys.DIRENT, rest, _dirent(world, name, ino, type_bits))


def _extent(world: World, name: str, block: int, value: bytes) -> None:
    world.mem.put_extent(world.ino[name], block, value)
    world.mem.drop_pages(world.ino[name], block * 4, block * 4 + 4)


def chunk(world: World, data: bytes) -> bytes:
    engine = world.store.engine
    writer = ObjectWriter(engine.index, engine.packs, engine.reader)
    oid = writer.put_chunk(data)
    writer.sync()
    engine.publish(dict(writer.added), writer.sizes(), journalled=False)
    writer.close()
    return records.chunk_value(oid)


def _rows_of_nobody(world: World) -> None:
    world.mem.put_row(keys.prefix(999, keys.XATTR), b"user.a", records.inline_value(b"x"))


def _number(ino: int) -> Callable[[World], None]:
    def make(world: World) -> None:
        slot = keys.first_slot(b"odd")
        world.mem.put_inode(world.inode("small")._replace(ino=ino, slot=slot, used=0, size=0))
        _root_entry(world, slot, records.encode_dirent(ino, stat.S_IFREG, b"odd"))

    return make


def _attribute(name: str, **changes: int) -> Callable[[World], None]:
    return lambda world: world.put(name, **changes)


def _loop(world: World) -> None:
    """`dir` and `sub` within each other, each by its only name."""
    ino, slot = world.ino, keys.first_slot(b"dir")
    world.row("root", keys.DIRENT, keys.pack_u64(slot), None)
    world.put("root", size=world.inode("root").size - 1, nlink=world.inode("root").nlink - 1)
    entry = records.encode_dirent(ino["dir"], stat.S_IFDIR, b"dir")
    world.row("sub", keys.DIRENT, keys.pack_u64(slot), entry)
    world.put("sub", size=world.inode("sub").size + 1, nlink=3)
    world.put("dir", parent=ino["sub"])


def _duplicate(world: World) -> None:
    rest, value = world.entry("small")
    slot = keys.unpack_u64(rest)
    world.row("root", keys.DIRENT, rest, value[:8] + bytes([value[8] | 0x80]) + value[9:])
    _root_entry(world, slot + 1, value)


def _mark(world: World) -> None:
    rest, _ = world.entry("small")
    _root_entry(world, keys.unpack_u64(rest) + 128, records.encode_dirent(0, 0, b"", True))


def _misplaced(world: World) -> None:
    rest, value = world.entry("small")
    world.row("root", keys.DIRENT, rest, None)
    _root_entry(world, keys.unpack_u64(rest) + 128, value)


def _named(name: bytes) -> Callable[[World], None]:
    def make(world: World) -> None:
        ino = world.ino["small"]
        slot = keys.first_slot(name)
        _root_entry(world, slot, records.encode_dirent(ino, stat.S_IFREG, name))

    return make


def _link_row(world: World, name: str, parent: int, slot: int, value: bytes | None) -> None:
    world.row(name, keys.LINK, keys.pack_two_u64(parent, slot), value)


def _usage(world: World) -> None:
    world.tree._used_bytes += 4096


Break = tuple[str, str, Callable[[World], None]]  # invariant, what the finding says, the breach

BREAKS: list[Break] = [
    ("F1", "does not exist", _rows_of_nobody),
    ("F1", "does not exist", lambda w: w.mem.put_row(keys.prefix(998, 5), bytes(8), bytes(9))),
    ("F2", "allocator never gave", _number(2**53)),
    ("F2", "allocator never gave", lambda w: _number(w.ino["dev"] + 1)(w)),
    ("F3", "is of no type", _attribute("small", mode=0o130644)),
    ("F3", "device number", _attribute("small", rdev_minor=1)),
    ("F3", "a size of 5", _attribute("fifo", size=5)),
    ("F3", "its record has 3 bytes", lambda w: w.mem.put_row(keys.prefix(998, 1), b"", b"abc")),
    ("F4", "does not know of it", lambda w: w.mem.delete_inode(w.ino["fifo"])),
    ("F4", "does not know of it", lambda w: _retarget(w, "fifo", w.ino["dev"], stat.S_IFCHR)),
    ("F4", "of type 0o20000", lambda w: _retarget(w, "fifo", w.ino["fifo"], stat.S_IFCHR)),
    ("F4", "does not know of it", _named(b"unexpected")),
    ("F5", "1 names, 2 links", _attribute("small", nlink=2)),
    ("F5", "3 names, 2 links", _attribute("hard", nlink=2)),
    ("F5", "1 sub-directories, 4 links", _attribute("dir", nlink=4)),
    ("F5", "a directory has one name", _attribute("root", parent=1)),
    ("F6", "says otherwise", lambda w: _root_entry(w, keys.first_slot(b"fifo"), None)),
    ("F6", "says otherwise", _attribute("fifo", slot=128)),
    ("F6", "beside the name", lambda w: _link_row(w, "fifo", 1, 128, keys.PRESENT)),
    ("F6", "2 names, 3 links", lambda w: _link_row(w, "hard", 1, keys.first_slot(b"hard"), None)),
    ("F6", "kind 4 that is none", lambda w: _link_row(w, "hard", 1, 128, b"?")),
    ("F7", "0 entries, size 1", _attribute("emptied", size=1)),
    ("F7", "does not belong there", _misplaced),
    ("F7", "a name twice", _duplicate),
    ("F7", "a mark where none", _mark),
    ("F7", "overflow mark is wrong", _mark),
    ("F7", "is no name", _named(b"a/b")),
    ("F7", "does not belong", _named(b"..")),
    ("F7", "is no directory", lambda w: w.row("small", keys.DIRENT, bytes(8), bytes(8) + b"\x08x")),
    ("F7", "a directory entry has 3", lambda w: _root_entry(w, 256, b"abc")),
    ("F8", "8 bytes, size 9", _attribute("link", size=9)),
    ("F8", "0 bytes, size 8", lambda w: w.row("link", keys.SYMLINK, b"", None)),
    ("F8", "a link target on", lambda w: w.row("small", keys.SYMLINK, b"", b"\0abc")),
    ("F9", "no good name", lambda w: w.row("small", keys.XATTR, b"nothing", b"\0x")),
    ("F9", "too large", lambda w: w.row("small", keys.XATTR, b"user.x", bytes(65538))),
    ("F9", "no known form", lambda w: w.row("small", keys.XATTR, b"user.x", b"\x07")),
    ("F10", "4096 bytes used, its blocks make 0", _attribute("fifo", used=4096)),
    ("F10", "0 bytes used, its blocks make 4096", _attribute("small", used=0)),
    ("F11", "lies outside", lambda w: _extent(w, "big", 4, b"\0x")),
    ("F11", "lies outside", lambda w: _extent(w, "fifo", 0, b"\0x")),
    ("F11", "11 bytes where 10 fit", lambda w: _extent(w, "small", 0, b"\0" + b"x" * 11)),
    ("F12", "no orphan row", _attribute("small", nlink=0, parent=0, slot=0)),
    ("F12", "but it has names", lambda w: w.mem.put_row(keys.ORPHANS, keys.pack_u64(5), b"\1")),
    ("F12", "kind 7 that is none", lambda w: w.mem.put_row(keys.ORPHANS, b"abc", b"\1")),
    ("F13", "within itself", _loop),
    ("F14", "is recorded, the sum is", _usage),
    ("M4", "zeros at the end", lambda w: _extent(w, "small", 0, b"\0ten\0")),
    ("M4", "zeros at the end", lambda w: _extent(w, "big", 0, chunk(w, b"x" * 999 + b"\0"))),
    ("M4", "257 bytes inline", lambda w: _extent(w, "big", 0, bytes(1) + b"x" * 257)),
    ("M4", "for 256 bytes", lambda w: _extent(w, "big", 0, chunk(w, b"y" * 256))),
    (
        "M4",
        f"{BLOCK + 1} bytes where",
        lambda w: _extent(w, "big", 0, chunk(w, b"z" * (BLOCK + 1))),
    ),
    ("M4", "no known form", lambda w: _extent(w, "big", 0, b"\1short")),
    ("M5", "is missing", lambda w: _extent(w, "big", 0, records.chunk_value(bytes(32)))),
    ("M5", "is missing", lambda w: _extent(w, "big", 0, b"\1" + w.store.empty_root)),
]
