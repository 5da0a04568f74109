"""Writing very many objects beside: all are there afterwards, or the caller hears why not."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from store import bulk, codec, errors, objectid
from store.bulk import BulkWriter
from store.objects import ObjectWriter
from store.pack_writer import PackWriter
from store.store import Store

ITEMS = [b"object %d " % number * (number % 90 + 1) for number in range(3000)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    Store.init(tmp_path / "store")
    with Store.open(tmp_path / "store") as opened:
        yield opened
        assert opened.check(data=True) == []


@pytest.fixture
def writer(store: Store, monkeypatch: pytest.MonkeyPatch) -> BulkWriter:
    monkeypatch.setattr(bulk, "_BATCH_BYTES", 20_000)
    return BulkWriter(store.engine.index, store.engine.packs, store.engine.reader)


def _published(store: Store, writer: ObjectWriter) -> None:
    writer.sync()
    store.engine.publish(dict(writer.added), writer.sizes(), journalled=False)
    writer.close()


def test_all_that_was_put_is_there(store: Store, writer: BulkWriter) -> None:
    ids = [writer.put_chunk(data) for data in ITEMS]
    assert all(map(writer.holds, ids))
    _published(store, writer)
    assert [store.engine.objects.get(oid) for oid in ids] == ITEMS
    assert ids == [objectid.object_id(objectid.CHUNK, data) for data in ITEMS]


def test_an_object_is_written_once(store: Store, writer: BulkWriter) -> None:
    for _ in range(3):
        for data in ITEMS[:200]:
            writer.put_chunk(data)
    writer.flush_buffers()
    size = writer._writers[0].size
    for data in ITEMS[:200]:
        writer.put_chunk(data)
    writer.flush_buffers()
    assert (writer._writers[0].size, len(writer.added)) == (size, 200)
    _published(store, writer)


def test_what_is_put_can_be_read_before_it_is_durable(store: Store, writer: BulkWriter) -> None:
    ids = []
    for data in ITEMS:
        ids.append(writer.put_chunk(data))
        assert writer.read_back(ids[-1], store.engine.objects) == data
    assert ids[-1] not in writer.added
    assert [writer.read_back(oid, store.engine.objects) for oid in ids] == ITEMS
    writer.flush_buffers()
    assert [store.engine.objects.read_at(oid, writer.added[oid]) for oid in ids] == ITEMS
    writer.undo()


def test_a_failure_beside_reaches_the_caller(
    store: Store, writer: BulkWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the latest when the objects are to be made durable; after it nothing is left of them."""

    def full(*_: object) -> None:
        raise errors.NoSpace("the disk is full")

    monkeypatch.setattr(PackWriter, "append_stored", full)
    with pytest.raises(errors.NoSpace):
        list(map(writer.put_chunk, ITEMS))
    writer.put_chunk(b"another")
    with pytest.raises(errors.NoSpace):
        writer.sync()
    monkeypatch.undo()
    writer.undo()
    assert not any(map(writer.holds, [objectid.object_id(1, data) for data in ITEMS]))
    again = BulkWriter(store.engine.index, store.engine.packs, store.engine.reader)
    oid = again.put_chunk(ITEMS[0])
    _published(store, again)
    assert store.engine.objects.get(oid) == ITEMS[0]


def test_undo_waits_for_what_is_under_way(
    writer: BulkWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go_on = threading.Event(), threading.Event()
    encode_many = codec.encode_many

    def slow(datas: list[bytes], level: int) -> object:
        entered.set()
        go_on.wait()
        return encode_many(datas, level)

    monkeypatch.setattr(codec, "encode_many", slow)
    writer.put_chunk(b"a batch" * 3000)
    undo = threading.Thread(target=writer.undo)
    entered.wait()
    undo.start()
    go_on.set()
    undo.join()
    assert not writer.added


def test_what_waits_is_bounded(store: Store, writer: BulkWriter) -> None:
    rng = random.Random(1)
    for _ in range(400):
        writer.put_chunk(rng.randbytes(rng.randrange(3000)))
        gathered = sum(len(data) for _, data in writer._gathered.values())
        assert gathered < bulk._BATCH_BYTES
    _published(store, writer)
