"""Every way to break a rule of the store's own tables; see `breaches`."""

from __future__ import annotations

from store import database as db
from store import keys
from store.gitrows import (
    COMMIT,
    ROOT_KEY,
    TREE,
    GitCommit,
    GitEntry,
    GitRef,
    Row,
    commit_row,
    object_row,
    put_rows,
    ref_row,
)
from store.objects import ObjectWriter
from store.prolly import build
from store.records import NO_ID, Commit, Head
from store.refs import annex_ref
from store.types import Quota, Usage, Who
from tests.store.breaches import Break, World


def _head(world: World, **changes: int) -> None:
    refs = world.store.history.refs
    value = refs.get("heads/main")
    assert value is not None
    refs.test_and_set("heads/main", value, Head.decode(value)._replace(**changes).encode())


def _second_head(world: World) -> None:
    refs = world.store.history.refs
    refs.test_and_set("heads/twin", None, refs.get("heads/main"))


def _annex(world: World, branch: int) -> None:
    """The branch itself as an annex."""
    refs = world.store.history.refs
    refs.test_and_set(annex_ref(branch), None, refs.get("heads/main"))


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
    commit = Commit.decode(engine.objects.get(record.commit))
    commit = commit._replace(**changes)  # type: ignore[arg-type]
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


def _git(world: World, **changes: object) -> None:
    """A commit that git has a name for; the row that says so may be wrong."""
    (record,) = world.store.history.snapshots.values()
    engine = world.store.engine
    commit = Commit.decode(engine.objects.get(record.commit))
    writer = ObjectWriter(engine.index, engine.packs, engine.reader)
    top = GitEntry(0o040000, b"t" * 20, 1).encode()
    entries = changes.pop("map", [(ROOT_KEY, top)])
    root = build(writer, entries)  # type: ignore[arg-type]
    writer.sync()
    engine.publish(dict(writer.added), writer.sizes(), journalled=False)
    writer.close()
    row = GitCommit(b"c" * 20, b"t" * 20, commit.root, root, commit.root_ino, False, 0, b"")
    row = row._replace(**changes)  # type: ignore[arg-type]
    put_rows(
        engine,
        [
            commit_row(record.commit, row),
            object_row(b"c" * 20, COMMIT, record.commit, 0),
            object_row(b"t" * 20, TREE, record.commit, 1),
        ],
    )


def _git_object(world: World, commit: bytes | None) -> None:
    _git(world)
    (record,) = world.store.history.snapshots.values()
    put_rows(world.store.engine, [object_row(b"x" * 20, TREE, commit or record.commit, 1)])


def _git_names(world: World, *rows: Row) -> None:
    put_rows(world.store.engine, rows)


def _two_git_names(world: World) -> None:
    world.store.history.branches[99] = next(iter(world.store.history.branches.values()))
    branch = world.store.history.head("main").branch
    name = GitRef(b"refs/heads/x")
    _git_names(world, ref_row(b"b", branch, name), ref_row(b"b", 99, name))


TABLE_BREAKS: list[Break] = [
    ("G1", "is of another tree", lambda w: _git(w, root_ino=77)),
    ("G1", "is missing", lambda w: _git(w, entries=b"e" * 32)),
    ("G2", "has no root", lambda w: _git(w, map=[])),
    ("G2", "an entry with key", lambda w: _git(w, map=[(ROOT_KEY[:8], b"x" * 30)])),
    ("G3", "has no such object", lambda w: _git_object(w, None)),
    ("G3", "nothing is known", lambda w: _git_object(w, b"n" * 32)),
    ("G4", "nothing that is there", lambda w: _git_names(w, ref_row(b"b", 77, GitRef(b"n")))),
    ("G4", "is of two things", _two_git_names),
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
    ("S7", "its branch is missing", lambda w: _annex(w, 77)),
    ("S7", "is a branch, or has", lambda w: _annex(w, w.store.history.head("main").branch)),
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
