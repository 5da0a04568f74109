"""Damaged packs and tables: what is hit fails and is named, the rest is as it was.

Bits are flipped in the packs of a store that is open, so that each case costs little. What was
cached before is dropped, as what is read must come from the disk.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from store import codec
from store import database as db
from store.errors import Damaged, StorageFailure
from store.journal_segment import BLOCK_BYTES
from store.objectid import CHUNK, NODE, object_id
from store.pack import FILE_HEADER_BYTES, RECORD_HEADER_BYTES, pack_path, record_header
from store.store import Store
from store.types import ROOT
from tests.store import damage
from tests.store.damage import World


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> World:
    return damage.make(tmp_path_factory.mktemp("corruption") / "store")


@pytest.fixture
def world(pristine: World, tmp_path: Path) -> World:
    return damage.copied(pristine, tmp_path / "store")


@pytest.fixture
def store(world: World) -> Iterator[Store]:
    opened = Store.open(world.path)
    assert opened.check(data=True) == []
    assert damage.unreadable(opened, world) == set()
    yield opened
    opened.engine.close(clean=False)


def path_of(store: Store, record: damage.Record) -> str:
    return pack_path(store.engine.packs.directory, record.location.pack)


def assert_named(store: Store, world: World, record: damage.Record, hit: set[damage.Place]) -> None:
    """Check with data names the record and what it hits."""
    named = damage.naming(store.check(data=True), record.oid)
    assert named
    text = "\n".join(named)
    assert f"pack {record.location.pack:08x} offset {record.location.offset}" in text
    if hit:
        places = {f"{ref}:{above}" for ref, path in hit for above in upwards(path)}
        if record.location.kind == NODE:
            places |= {f" of {ref}" for ref, _ in hit}  # where the names are lost themselves
        assert any(place in text for place in places), text


def upwards(path: str) -> list[str]:
    """A path and those of the directories that it is in."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(2, len(parts) + 1)]


@pytest.mark.parametrize("payload", [True, False], ids=["payload", "header"])
def test_flipped_bit_in_a_chunk_hits_its_files_and_no_other(
    store: Store, world: World, rng: random.Random, payload: bool
) -> None:
    chunks = [r for r in damage.records(store) if r.location.kind == CHUNK]
    assert len(chunks) > 30
    for record in rng.sample(chunks, 12):
        at = damage.header_or_payload(record, rng, payload=payload)
        with damage.flipped(path_of(store, record), at, rng.randrange(8)):
            hit = damage.unreadable(store, world)
            # Reading does not look at the header's own check: what it covers is compared.
            whole = at >= record.location.offset + RECORD_HEADER_BYTES - 4 and not payload
            assert hit == (set() if whole else world.users(record.oid))
            assert_named(store, world, record, world.users(record.oid))
            quick = damage.naming(store.check(), record.oid)
            assert bool(quick) != payload  # payloads of chunks are read with data only
    assert store.check(data=True) == []


def test_flipped_bit_in_a_node_is_named_with_files_that_it_hits(
    store: Store, world: World, rng: random.Random
) -> None:
    nodes = [r for r in damage.records(store) if r.location.kind == NODE]
    assert len(nodes) > 5
    partial = 0
    for record in nodes:
        at = damage.header_or_payload(record, rng, payload=rng.random() < 0.7)
        with damage.flipped(path_of(store, record), at, rng.randrange(8)):
            hit = damage.unreadable(store, world)
            assert_named(store, world, record, hit)
            # Nodes are read in any case.
            text = damage.naming(store.check(), record.oid)[0]
            partial += any(f"{ref}:{above}" in text for ref, path in hit for above in upwards(path))
    assert partial >= 3
    assert store.check(data=True) == []


def test_flipped_bit_anywhere_is_found(store: Store, world: World, rng: random.Random) -> None:
    """P3, P5."""
    files = damage.packs(store)
    for _ in range(40):
        path = rng.choice(files)
        with damage.flipped(path, rng.randrange(os.path.getsize(path)), rng.randrange(8)):
            damage.unreadable(store, world)
            assert store.check(data=True)
    for path in files:
        for at in range(FILE_HEADER_BYTES):
            with damage.flipped(path, at, rng.randrange(8)):
                assert store.check()
    assert damage.unreadable(store, world) == set()


@pytest.mark.slow
def test_flipped_bit_in_every_header_byte_and_many_payload_bytes(
    store: Store, world: World, rng: random.Random
) -> None:
    every = damage.records(store)
    for record in rng.sample(every, 5):
        end = record.location.end - record.location.stored
        offsets = [*range(record.location.offset, end)]
        offsets += [rng.randrange(end, record.location.end) for _ in range(20)]
        for at in offsets:
            with damage.flipped(path_of(store, record), at, rng.randrange(8)):
                assert damage.naming(store.check(data=True), record.oid)
                if record.location.kind == CHUNK and at not in range(end - 4, end):
                    assert damage.unreadable(store, world) == world.users(record.oid)


def test_truncated_pack_loses_what_was_behind_the_cut(
    store: Store, world: World, rng: random.Random
) -> None:
    """P2."""
    every = damage.records(store)
    for path in damage.packs(store):
        size = os.path.getsize(path)
        for cut in (
            0,
            FILE_HEADER_BYTES - 1,
            FILE_HEADER_BYTES,
            size - 1,
            *rng.sample(range(size), 4),
        ):
            with damage.truncated(path, cut):
                hit = damage.unreadable(store, world)
                for data in (False, True):
                    problems = store.check(data)
                    assert any(f"{size} are known to have been written" in p.what for p in problems)
                    for record in every:
                        lost = path_of(store, record) == path and record.location.end > cut
                        assert lost == bool(damage.naming(problems, record.oid))
                        if lost and record.location.kind == CHUNK:
                            assert hit >= world.users(record.oid)
    assert damage.unreadable(store, world) == set()


def test_missing_pack_is_named_and_the_store_opens(world: World) -> None:
    with Store.open(world.path) as store:
        paths, every = damage.packs(store), damage.records(store)
    for path in paths:
        hidden = path + ".hidden"
        os.rename(path, hidden)
        store = Store.open(world.path)
        try:
            hit = damage.unreadable(store, world)
            assert hit
            problems = store.check()
            number = os.path.basename(path)[:8]
            assert any(p.where == f"pack {number}" and "missing" in p.what for p in problems)
            for record in every:
                lost = record.location.pack == int(number, 16)
                if record.oid == store.empty_root:
                    continue  # known by heart, and stored anew when the store opens
                assert lost == bool(damage.naming(problems, record.oid))
        finally:
            store.engine.close(clean=False)
        os.rename(hidden, path)
    with Store.open(world.path) as store:
        assert damage.unreadable(store, world) == set()
        assert store.check(data=True) == []


def test_damaged_root_of_a_branch_does_not_keep_the_store_from_opening(world: World) -> None:
    with Store.open(world.path) as store:
        store.create_branch("other")
        ino = store.tree("other").create(ROOT, 1, b"file", 0o644).inode.ino
        store.tree("other").write(ROOT, ino, 0, b"still here")
        root = store.tree("main").chain.root
        location = store.engine.objects.location(root)
        path = pack_path(store.engine.packs.directory, location.pack)
    with damage.flipped(path, location.end - 1, 3):
        store = Store.open(world.path)
        try:
            other = store.tree("other")
            assert other.read(ROOT, other.resolve(b"/file").ino, 0, 99).data == b"still here"
            with pytest.raises(Damaged) as caught:
                store.tree("main").resolve(b"/text")
            assert root.hex() in str(caught.value)
            assert damage.naming(store.check(), root)
        finally:
            store.engine.close(clean=False)


# --- records that are not what they should be -------------------------------------------------


def test_record_in_the_place_of_another_is_not_taken_for_it(store: Store, world: World) -> None:
    large = [
        r for r in damage.records(store) if r.location.raw == r.location.stored == damage.BLOCK
    ]
    first, second = large[:2]
    path = path_of(store, second)
    with open(path_of(store, first), "rb") as file:
        file.seek(first.location.offset)
        other = file.read(len(first.path_offsets))
    with open(path, "r+b") as file:
        file.seek(second.location.offset)
        mine = file.read(len(other))
        file.seek(second.location.offset)
        file.write(other)
        file.flush()
        assert damage.unreadable(store, world) == world.users(second.oid)
        for data in (False, True):
            (named,) = damage.naming(store.check(data), second.oid)
            assert "another record's" in named
            assert not damage.naming(store.check(data), first.oid)
        file.seek(second.location.offset)
        file.write(mine)
    assert store.check(data=True) == []


def test_sound_record_of_the_wrong_bytes_is_found_by_its_id(store: Store, world: World) -> None:
    """P5."""
    record = next(
        r for r in damage.records(store) if r.location.codec == codec.RAW and r.location.raw > 99
    )
    size = record.location.raw
    forged = bytes(size)
    with open(path_of(store, record), "r+b") as file:
        file.seek(record.location.offset)
        file.write(record_header(record.location.kind, codec.RAW, size, record.oid, forged))
        file.write(forged)
    (named,) = damage.naming(store.check(data=True), record.oid)
    assert "not those that the id names" in named
    assert len(forged) == len(record.path_offsets) - RECORD_HEADER_BYTES


def test_damage_where_nothing_refers_to_is_found_too(store: Store, world: World) -> None:
    """What GC has not removed yet must be sound, or be known not to be."""
    records = damage.records(store)
    record = next(r for r in records if world.users(r.oid) == {("main", "/live")})
    store.engine.index.update({record.oid: None})
    with damage.flipped(path_of(store, record), record.location.end - 1, 0):
        named = damage.naming(store.check(data=True), record.oid)
        assert any("the index knows no such record" in text for text in named)


def test_bytes_behind_the_known_end_of_a_pack_are_no_damage(store: Store) -> None:
    for path in damage.packs(store):
        with open(path, "ab") as file:
            file.write(b"left behind by a crash" * 100)
    assert store.check(data=True) == []


def test_pack_that_no_table_knows_is_found(store: Store, world: World) -> None:
    """P1."""
    known = damage.packs(store)[0]
    unknown = Path(known).with_name("0000ffff.pack")
    unknown.write_bytes(Path(known).read_bytes())
    (problem,) = store.check()
    assert (problem.where, problem.what) == ("pack 0000ffff", "no table knows it")


# --- the index ---------------------------------------------------------------------------------


def test_index_that_points_elsewhere_is_found(store: Store, world: World) -> None:
    """P4."""
    record = next(r for r in damage.records(store) if len(world.users(r.oid)) == 1)
    users = world.users(record.oid)
    wrong = [
        record.location._replace(offset=record.location.offset + 1),
        record.location._replace(pack=77),
        record.location._replace(offset=10**9),
        record.location._replace(kind=NODE),
        record.location._replace(raw=record.location.raw - 1),
    ]
    for location in wrong:
        store.engine.index.update({record.oid: location})
        assert damage.unreadable(store, world) == users
        for data in (False, True):
            assert store.check(data)
    store.engine.index.update({record.oid: record.location})
    assert store.check(data=True) == []


def test_index_value_of_no_known_form_is_a_finding(store: Store, world: World) -> None:
    record = next(r for r in damage.records(store) if len(world.users(r.oid)) == 1)
    with store.engine.database.write("breaking") as writer:
        writer.put(db.OBJECTS, record.oid, b"short")
    store.engine.reader.renew()
    assert damage.unreadable(store, world) == world.users(record.oid)
    assert any("index value of 5 bytes" in p.what for p in store.check())


# --- the journal -------------------------------------------------------------------------------


def crashed(path: Path) -> None:
    """A store with one journal record for each of the files f0 to f5, none checkpointed."""
    Store.init(path)
    with Store.open(path) as store:
        store.create_branch("main")
    store = Store.open(path)
    for number in range(6):
        store.tree("main").create(ROOT, 1, b"f%d" % number, 0o644)
        store.flush()
    store.engine.close(clean=False)


def files(path: Path) -> list[bytes]:
    with Store.open(path) as store:
        assert store.check(data=True) == []
        listing = store.tree("main").readdir(ROOT, 1).entries
        return sorted(entry.name for entry in listing if entry.name not in (b".", b".."))


def test_damaged_record_in_the_middle_of_the_journal_is_refused(tmp_path: Path) -> None:
    crashed(tmp_path / "store")
    (segment,) = (tmp_path / "store" / "journal").iterdir()
    with damage.flipped(str(segment), BLOCK_BYTES * 3 + 50, 1):
        for _ in range(2):  # refusing changes nothing
            with pytest.raises(StorageFailure, match=r"journal record \d+ is lost: .* has record"):
                Store.open(tmp_path / "store")
    assert files(tmp_path / "store") == [b"f%d" % number for number in range(6)]


def test_torn_end_of_the_journal_is_a_crash_and_no_damage(tmp_path: Path) -> None:
    crashed(tmp_path / "store")
    (segment,) = (tmp_path / "store" / "journal").iterdir()
    damage.flip(str(segment), BLOCK_BYTES * 6 + 50, 1)
    assert files(tmp_path / "store") == [b"f%d" % number for number in range(5)]


def test_object_ids_are_of_what_the_user_wrote(world: World) -> None:
    """What `users` relies on."""
    data = world.content["main", "/live"]
    oid = object_id(CHUNK, data[: damage.BLOCK])
    assert world.users(oid) == {("main", "/live")}
    with Store.open(world.path) as store:
        assert store.engine.objects.get(oid) == data[: damage.BLOCK]


# --- going on with damage ----------------------------------------------------------------------


@pytest.mark.parametrize("harm", ["missing", "truncated", "header"])
def test_store_with_a_damaged_pack_can_still_be_written(world: World, harm: str) -> None:
    with Store.open(world.path) as store:
        paths = damage.packs(store)
    content = random.Random(5).randbytes(400_000)
    for path in paths:
        if harm == "missing":
            os.unlink(path)
        elif harm == "truncated":
            os.truncate(path, FILE_HEADER_BYTES)
        else:
            damage.flip(path, 9, 1)
    with Store.open(world.path) as store:
        store.create_branch("fresh")
        tree = store.tree("fresh")
        ino = tree.create(ROOT, 1, b"file", 0o644).inode.ino
        tree.write(ROOT, ino, 0, content)
    with Store.open(world.path) as store:
        tree = store.tree("fresh")
        data = tree.read(ROOT, tree.resolve(b"/file").ino, 0, 10**7).data
        assert bytes(data) == content
        assert set(damage.packs(store)) > set(paths)


def test_layer_that_only_a_view_needed_goes_when_the_store_opens(tmp_path: Path) -> None:
    Store.init(tmp_path / "store")
    with Store.open(tmp_path / "store") as store:
        store.create_branch("main")
        store.tree("main").mkdir(ROOT, 1, b"x", 0o755)
        store.snapshot("main", "seen")
        store.view("main@seen")
        store.delete_branch("main")
        assert store.check(data=True) == []
    with Store.open(tmp_path / "store") as store:
        assert store.check(data=True) == []
        assert store.engine.layers == {}


def test_objects_of_a_record_that_failed_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk took a record and the system said no: after a crash it is replayed."""
    Store.init(tmp_path / "store")
    store = Store.open(tmp_path / "store")
    store.create_branch("main")
    store.flush()
    ino = store.tree("main").create(ROOT, 1, b"file", 0o644).inode.ino
    content = random.Random(3).randbytes(300_000)
    store.tree("main").write(ROOT, ino, 0, content)
    real = os.pwritev
    failed: list[int] = []

    def late(fd: int, buffers: list[bytes], offset: int, flags: int = 0) -> int:
        written = 0 if flags and failed else real(fd, buffers, offset, flags)
        if flags:  # only journal records are written durably
            failed.append(offset)
            raise OSError(5, "late")
        return written

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", late)
        with pytest.raises(StorageFailure):
            store.flush()
    assert len(failed) > 1  # neither could the record be made void
    store.engine.close(clean=False)
    with Store.open(tmp_path / "store") as store:
        assert store.check(data=True) == []
        tree = store.tree("main")
        assert tree.read(ROOT, tree.resolve(b"/file").ino, 0, 10**7).data == content
