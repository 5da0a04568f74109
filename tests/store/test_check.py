"""Check finds nothing in a sound store, and every single breach of an invariant.

Each breach is made where nothing of the store guards against it: in a memtable, a table, or a map
built by hand. Those of file system rules are looked for three times: in memory, in the database,
and in a sealed map. `test_format` holds the numbers to those of FORMAT.md.
"""

from __future__ import annotations

import random
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from store import database as db
from store import keys, prolly, records
from store.errors import StoreError
from store.memtable import Memtable
from store.node import encode
from store.objects import ObjectWriter
from store.records import NO_ID, Commit, Head
from store.store import Store
from store.tree import Tree
from store.types import ROOT, Inode, Problem, Quota, SetAttr, Usage, Who

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


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    Store.init(tmp_path / "store", block_bytes=BLOCK)
    store = Store.open(tmp_path / "store")
    store.create_branch("main")
    tree = store.tree("main")
    ino = fill(tree)
    assert store.check(data=True) == []
    yield World(store, tree, ino)
    # Not closed as usual: it would make durable what a test broke.
    store.engine.close(clean=False)


def found(problems: list[Problem], fragment: str) -> list[Problem]:
    return [p for p in problems if fragment in f"{p.where}: {p.what}"]


# --- the rules of a file system ---------------------------------------------------------------


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


def _chunk(world: World, data: bytes) -> bytes:
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
    ("M4", "zeros at the end", lambda w: _extent(w, "big", 0, _chunk(w, b"x" * 999 + b"\0"))),
    ("M4", "257 bytes inline", lambda w: _extent(w, "big", 0, bytes(1) + b"x" * 257)),
    ("M4", "for 256 bytes", lambda w: _extent(w, "big", 0, _chunk(w, b"y" * 256))),
    (
        "M4",
        f"{BLOCK + 1} bytes where",
        lambda w: _extent(w, "big", 0, _chunk(w, b"z" * (BLOCK + 1))),
    ),
    ("M4", "no known form", lambda w: _extent(w, "big", 0, b"\1short")),
    ("M5", "is missing", lambda w: _extent(w, "big", 0, records.chunk_value(bytes(32)))),
    ("M5", "is missing", lambda w: _extent(w, "big", 0, b"\1" + w.store.empty_root)),
]


def _to_memory(world: World) -> None:
    """The breach stays where it was made."""


def _to_database(world: World) -> None:
    world.store.flush()
    world.store.checkpoint()


def _to_map(world: World) -> None:
    world.store.snapshot("main", "sealed")
    world.store.settle()
    assert all(layer.pristine for layer in world.tree.chain.layers())


@pytest.mark.parametrize("place", [_to_memory, _to_database, _to_map], ids=lambda f: f.__name__)
@pytest.mark.parametrize(("number", "fragment", "breach"), BREAKS)
def test_breach_of_a_file_system_rule_is_found(
    world: World,
    place: Callable[[World], None],
    number: str,
    fragment: str,
    breach: Callable[[World], None],
) -> None:
    breach(world)
    place(world)
    assert found(world.store.check(data=True), fragment)


@pytest.mark.parametrize(
    ("name", "value"),
    [(b"user.inline", bytes(1) + b"x" * 257), (b"user.chunk", None)],
)
def test_attribute_in_a_sealed_map_has_its_one_form(
    world: World, name: bytes, value: bytes | None
) -> None:
    world.store.snapshot("main", "sound")
    world.store.settle()
    entries = dict(entries_of(world))
    value = _chunk(world, b"x" * 200) if value is None else value
    entries[keys.prefix(world.ino["big"], keys.XATTR) + name] = value
    seal_as(world, build(world, entries))
    assert len(world.store.check()) == 1


def test_breach_in_one_of_many_snapshots_is_found(world: World) -> None:
    """Points that are like their neighbours are not gone through as a whole."""
    for number in range(4):
        world.tree.setattr(ROOT, world.ino["small"], SetAttr(mode=0o600 + number))
        world.store.snapshot("main", f"s{number}")
        if number == 1:
            world.store.settle()
            world.put("dir", nlink=7)
        if number == 2:
            world.put("dir", nlink=3)
    problems = world.store.check()
    assert found(problems, "main@s2:/dir: 1 sub-directories, 7 links")
    assert len(problems) == 1
    world.store.settle()
    assert world.store.check(data=True) == problems


# --- sound stores -----------------------------------------------------------------------------


def test_orphans_held_forks_rollbacks_and_views_are_sound(world: World) -> None:
    store, tree = world.store, world.tree
    tree.hold(world.ino["big"])
    tree.unlink(ROOT, 1, b"big")
    assert store.check(data=True) == []
    store.snapshot("main", "one")
    store.fork("main/dir", "part")
    view = store.view("main")
    store.flush()
    assert store.check(data=True) == []
    tree.rename(ROOT, 1, b"dir", world.ino["emptied"], b"moved")
    store.rollback("main", "main@one")
    assert store.check(data=True) == []
    store.settle()
    assert store.check(data=True) == []
    store.close_view(view)
    store.delete_snapshot("main", "one")
    store.delete_branch("part")
    store.settle()
    assert store.check(data=True) == []


def test_names_of_one_hash_are_sound(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "first_slot", lambda name: 1 << 20)
    tree, store = world.tree, world.store
    ino = tree.mkdir(ROOT, tree.root, b"clash", 0o755).inode.ino
    above = tree.getattr(tree.root)
    for number in range(9):
        tree.mkdir(ROOT, ino, b"%d" % number, 0o755)
    tree.rmdir(ROOT, ino, b"0")  # the first slot stays as a mark
    tree.rmdir(ROOT, ino, b"4")
    # Entries made before the names clashed stand elsewhere; all others are right.
    assert {p.where for p in store.check()} <= {"main:/", "main:/dir", "main:/dir/sub"}
    assert above.nlink == tree.getattr(tree.root).nlink


# --- maps -------------------------------------------------------------------------------------


def entries_of(world: World) -> list[tuple[bytes, bytes]]:
    return list(prolly.items(world.store.engine.objects, world.tree.chain.root))


def build(world: World, entries: dict[bytes, bytes], shape: prolly.Shape = prolly.SHAPE) -> bytes:
    with_sink = _Sink(world)
    root = prolly.build(with_sink, sorted(entries.items()), shape)
    with_sink.publish()
    return root


class _Sink:
    """Stores nodes in the world's packs."""

    def __init__(self, world: World) -> None:
        self._engine = world.store.engine
        self._writer = ObjectWriter(self._engine.index, self._engine.packs, self._engine.reader)

    def put_node(self, data: bytes) -> bytes:
        return self._writer.put_node(data)

    def publish(self) -> None:
        self._writer.sync()
        self._engine.publish(dict(self._writer.added), self._writer.sizes(), journalled=False)
        self._writer.close()


def seal_as(world: World, root: bytes) -> None:
    """Let another root stand for what is sealed below the live layer (and have no snapshot)."""
    store = world.store
    for info in store.snapshots("main"):
        store.delete_snapshot("main", info.name)
    top = world.tree.chain.top
    assert top is not None
    assert top.parent is not None
    top.parent.root = root
    store.engine.epoch += 1


def _sealed(world: World) -> dict[bytes, bytes]:
    """Make the world's map large, and seal it."""
    for number in range(300):
        world.tree.create(ROOT, world.ino["dir"], b"%d" % number, 0o644)
    world.store.snapshot("main", "sealed")
    world.store.settle()
    return dict(entries_of(world))


def test_map_cut_by_another_rule_is_found(world: World) -> None:
    entries = _sealed(world)
    seal_as(world, build(world, entries))
    assert world.store.check(data=True) == []
    for shape in (prolly.Shape(1024, 8192, 15), prolly.Shape(16384, 65536, 255)):
        seal_as(world, build(world, entries, shape))
        problems = world.store.check()
        assert problems
        assert all("ends " in p.what or "single child" in p.what for p in problems)


def test_unsorted_node_is_found(world: World) -> None:
    names, values = map(list, zip(*entries_of_new(world), strict=True))
    sink = _Sink(world)
    root = sink.put_node(encode(0, [*names[1:], names[0]], [*values[1:], values[0]]))
    sink.publish()
    seal_as(world, root)
    (problem,) = world.store.check()
    assert "follows" in problem.what


def entries_of_new(world: World) -> list[tuple[bytes, bytes]]:
    world.store.snapshot("main", "sealed")
    world.store.settle()
    return entries_of(world)


@pytest.mark.parametrize("level", [1, 2])
def test_child_unlike_what_its_parent_says_is_found(world: World, level: int) -> None:
    entries = entries_of_new(world)
    half = len(entries) // 2
    sink = _Sink(world)
    ids = [
        sink.put_node(encode(0, *map(list, zip(*part, strict=True))))
        for part in (entries[:half], entries[half:])
    ]
    last = [entries[half - 1][0], entries[-1][0] + (b"x" if level == 1 else b"")]
    root = sink.put_node(encode(level, last, ids))
    sink.publish()
    seal_as(world, root)
    problems = world.store.check()
    assert found(problems, "not what its parent says")


def test_root_with_a_single_child_is_found(world: World) -> None:
    entries = _sealed(world)
    below = build(world, entries)
    sink = _Sink(world)
    root = sink.put_node(
        encode(world.store.engine.objects.node(below).level + 1, [max(entries)], [below])
    )
    sink.publish()
    seal_as(world, root)
    (problem,) = world.store.check()
    assert problem == Problem(f"node {root.hex()}", "a root with a single child")


def test_missing_node_is_named_with_the_files_it_hits(world: World) -> None:
    entries = _sealed(world)
    root = world.store.engine.objects.node(world.tree.chain.root)
    gone = root.values[len(root.values) // 2]
    world.store.engine.index.update({gone: None})
    (problem,) = [p for p in world.store.check() if gone.hex() in f"{p.where}{p.what}"]
    assert "hits main:/dir/" in problem.what
    assert entries


# --- the store's own tables -------------------------------------------------------------------


def _head(world: World, **changes: int) -> None:
    refs = world.store.history.refs
    value = refs.get("heads/main")
    assert value is not None
    refs.test_and_set("heads/main", value, Head.decode(value)._replace(**changes).encode())


def _second_head(world: World) -> None:
    refs = world.store.history.refs
    refs.test_and_set("heads/twin", None, refs.get("heads/main"))


def _snapshot(world: World, **changes: object) -> None:
    (number,) = world.store.history.snapshots
    record = world.store.history.snapshots[number]
    world.store.history.snapshots[number] = record._replace(**changes)  # type: ignore[arg-type]


def _snapshot_layer(world: World, attribute: str, value: object) -> None:
    (record,) = world.store.history.snapshots.values()
    setattr(world.store.engine.layers[record.layer], attribute, value)


def _commit(world: World, **changes: object) -> None:
    (record,) = world.store.history.snapshots.values()
    engine = world.store.engine
    commit = Commit.decode(engine.objects.get(record.commit))._replace(**changes)  # type: ignore[arg-type]
    writer = ObjectWriter(engine.index, engine.packs, engine.reader)
    oid = writer.put(3, commit.encode())
    writer.sync()
    engine.publish(dict(writer.added), writer.sizes(), journalled=False)
    writer.close()
    _snapshot(world, commit=oid)


def _tag(world: World) -> None:
    refs = world.store.history.refs
    ((name, value),) = list(refs.list("tags/"))
    refs.test_and_set(name, value, None)
    refs.test_and_set(name + "x", None, value)


def _nameless(world: World) -> None:
    (record,) = world.store.history.snapshots.values()
    world.store.engine.layers[record.layer].users += 1
    world.store.history.snapshots[world.store.engine.next_id()] = record._replace(branch=0, name="")


def _rows(world: World, key: bytes, value: bytes) -> None:
    with world.store.engine.database.write("breaking") as writer:
        writer.put(db.LAYERS, key, value)
    world.store.engine.reader.renew()


def _live_row(world: World, key: bytes, value: bytes) -> None:
    top = world.tree.chain.top
    assert top is not None
    _rows(world, top.head + key, value)


def _layer(world: World, attribute: str, value: object) -> None:
    setattr(world.tree.chain.top, attribute, value)


def _younger_parent(world: World) -> None:
    engine = world.store.engine
    _layer(world, "parent", engine.new_layer(None, world.store.empty_root, Usage(0, 0)))


def _orphan_parent(world: World) -> None:
    top = world.tree.chain.top
    assert top is not None
    assert top.parent is not None
    world.store.engine.layers.pop(top.parent.id)


TABLE_BREAKS: list[Break] = [
    ("S1", "branch record 77 is missing", lambda w: _head(w, branch=77)),
    ("S1", "layer 77 is missing", lambda w: _head(w, layer=77)),
    ("S1", "snapshot 77 below it is missing", lambda w: _head(w, snapshot=77)),
    ("S1", "live layer", lambda w: _layer(w, "frozen", True)),
    ("S2", "2 refs lead to it", _second_head),
    ("S2", "0 refs lead to it", lambda w: _head(w, branch=77)),
    ("S2", "of 2 branches", _second_head),
    (
        "S2",
        "a quota of",
        lambda w: w.store.history.branches.update(
            {n: r._replace(quota=Quota(-1, 0)) for n, r in w.store.history.branches.items()}
        ),
    ),
    ("S3", "its ref is missing", _tag),
    ("S3", "leads to no snapshot", _tag),
    ("S3", "its branch 77 is missing", lambda w: _snapshot(w, branch=77)),
    ("S3", "breaks the rules", lambda w: _snapshot(w, name="no/name")),
    ("S3", "nameless, and nothing", _nameless),
    ("S4", "missing or younger", lambda w: _snapshot(w, parent=1)),
    ("S4", "missing or younger", lambda w: _snapshot(w, parent=10**6)),
    ("S5", "its layer 77 is missing", lambda w: _snapshot(w, layer=77)),
    ("S5", "is not frozen", lambda w: _snapshot_layer(w, "frozen", False)),
    ("S5", "a root but no commit", lambda w: _snapshot(w, commit=NO_ID)),
    ("S5", "tells another story", lambda w: _snapshot(w, message="another")),
    ("S5", "tells another story", lambda w: _commit(w, usage=Usage(1, 1))),
    ("S5", "tells another story", lambda w: _commit(w, committer=Who("someone", 1))),
    ("S6", "has not reached", lambda w: setattr(w.store.engine, "_next_id", 2)),
    ("C1", "is missing", lambda w: _commit(w, parents=(bytes(31) + b"1",))),
    ("C1", "below snapshot kept", lambda w: _snapshot(w, parent_commit=w.store.empty_root)),
    ("F13", "the root is no directory", lambda w: _head(w, root_ino=w.ino["small"])),
    ("L1", "live or younger", _younger_parent),
    ("L1", "missing, live", _orphan_parent),
    ("L2", "sealed and still live", lambda w: _layer(w, "root", w.store.empty_root)),
    ("L2", "stands on nothing", lambda w: _layer(w, "parent", None)),
    ("L3", "things stand on it", lambda w: _layer(w, "users", 0)),
    ("L4", "no use for them", lambda w: _rows(w, keys.pack_u64(77) + keys.inode_key(5), b"")),
    ("L5", "a row with key", lambda w: _live_row(w, b"short", b"")),
    ("L5", "a row with key", lambda w: _live_row(w, keys.prefix(5, 77), b"")),
    (
        "L5",
        "a page of 4097",
        lambda w: _live_row(w, keys.prefix(5, keys.PAGE) + bytes(8), bytes(4097)),
    ),
    ("M1", "is missing", lambda w: w.store.engine.index.update({w.tree.chain.root: None})),
]


@pytest.mark.parametrize(("number", "fragment", "breach"), TABLE_BREAKS)
def test_breach_of_a_rule_of_tables_is_found(
    world: World, number: str, fragment: str, breach: Callable[[World], None]
) -> None:
    world.store.snapshot("main", "kept")
    world.store.settle()
    assert world.store.check(data=True) == []
    breach(world)
    assert found(world.store.check(), fragment)


# --- progress ---------------------------------------------------------------------------------


def test_progress_rises_to_its_total(world: World) -> None:
    from store.checking import check

    calls: list[tuple[int, int]] = []
    assert list(check(world.store, True, lambda done, total: calls.append((done, total)))) == []
    done, totals = zip(*calls, strict=True)
    assert list(done) == sorted(done)
    assert len(set(totals)) == 1
    assert done[-1] == totals[0] >= 12


def test_problems_come_one_by_one_and_never_as_an_error(world: World) -> None:
    for number in range(256):
        world.mem.put_row(keys.prefix(500 + number, number), b"?", bytes([number]))
    problems = world.store.check(data=True)
    assert len(problems) > 100
    assert found(problems, "more findings")
    with pytest.raises(StoreError):
        world.tree.getattr(500)
