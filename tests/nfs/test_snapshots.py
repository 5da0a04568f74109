"""`.snapshots` and what is in it: shown as the export says, read-only, each a file system."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nfs.export import Rule, Shown, Squash
from nfs.nfs3_types import diropargs3, ftype3, nfsstat3
from tests.nfs.client import Answer, Client, sattr
from tests.nfs.gateway import Gateway

NAME = b".snapshots"
ADMIN = Rule(squash=Squash.NONE, snapshot_admin=True)


@pytest.fixture
def saved(gw: Gateway, root: Client, top: bytes) -> bytes:
    """The handle of `f`, which says "then" in the snapshot `s` and "now" since."""
    file = root.make(top, b"f", b"then")
    root.mkdir(top, b"d").ok()
    root.symlink(top, b"l", b"f").ok()
    gw.store.snapshot("main", "s")
    root.write(file, 0, b"now!").ok()
    root.make(top, b"later")
    return file


# --- the directory of snapshots -----------------------------------------------------------------


@pytest.mark.parametrize("shown", Shown)
def test_it_is_shown_as_the_export_says(
    gw: Gateway, root: Client, top: bytes, saved: bytes, shown: Shown
) -> None:
    gw.exports.set(Rule(squash=Squash.NONE, snapshots=shown))
    assert (NAME in root.names(top)) == (shown is Shown.LISTED)
    for count in (4096, 140, 180):
        assert (NAME in root.names(top, count)) == (shown is Shown.LISTED)
    plus = {entry.name: entry for entry in root.readdirplus(top).ok().reply.entries}
    assert (NAME in plus) == (shown is Shown.LISTED)
    found = root.lookup(top, NAME)
    assert found.status == (nfsstat3.NOENT if shown is Shown.OFF else nfsstat3.OK)
    if shown is Shown.LISTED:
        assert plus[NAME].name_handle == found.value.object
        assert plus[NAME].name_attributes == found.value.obj_attributes
        assert plus[NAME].fileid == found.value.obj_attributes.fileid


def test_a_handle_of_it_is_stale_once_it_is_not_shown(
    gw: Gateway, root: Client, top: bytes
) -> None:
    directory = root.find(top, NAME)
    gw.exports.set(Rule(snapshots=Shown.OFF))
    assert root.getattr(directory).status == nfsstat3.STALE


def test_it_is_in_the_file_system_of_its_branch(root: Client, top: bytes, saved: bytes) -> None:
    """Linux takes another fsid for a mount point, which this is not, while snapshots are."""
    branch = root.getattr(top).ok().obj_attributes
    directory = root.find(top, NAME)
    found = root.getattr(directory).ok().obj_attributes
    assert (found.type, found.fsid) == (ftype3.DIR, branch.fsid)
    assert found.fileid != branch.fileid
    snapshot = root.getattr(root.find(directory, b"s")).ok().obj_attributes
    assert snapshot.fsid != branch.fsid
    assert snapshot.fileid == branch.fileid
    inside = root.getattr(root.find(directory, b"s", b"d")).ok().obj_attributes
    assert inside.fsid == snapshot.fsid


def test_dots_lead_to_itself_and_to_the_root(root: Client, top: bytes, saved: bytes) -> None:
    directory = root.find(top, NAME)
    here, above = (root.getattr(handle).ok().obj_attributes for handle in (directory, top))
    assert root.lookup(directory, b".").ok().object == directory
    assert root.lookup(directory, b"..").ok().object == top
    entries = root.readdirplus(directory).ok().reply.entries
    assert [entry.name for entry in entries[:2]] == [b".", b".."]
    assert entries[0][3:] == (here, directory)
    assert entries[1][3:] == (above, top)
    assert [entry.fileid for entry in entries[:2]] == [here.fileid, above.fileid]


def test_it_lists_the_snapshots(gw: Gateway, root: Client, top: bytes) -> None:
    names = {f"snapshot-{number}" for number in range(50)}
    for name in names:
        gw.store.snapshot("main", name)
    directory = root.find(top, NAME)
    for count in (200, 300, 4096):
        listed = root.names(directory, count)
        assert sorted(listed) == sorted([b".", b"..", *(name.encode() for name in names)])
    for entry in root.readdirplus(directory).ok().reply.entries[2:]:
        # The client looks them up: each is another file system.
        assert (entry.name_attributes, entry.name_handle) == (None, None)
        root.lookup(directory, entry.name).ok()
    assert root.lookup(directory, b"nothing").status == nfsstat3.NOENT
    cookies = [entry.cookie for entry in root.readdir(directory).ok().reply.entries]
    assert cookies == sorted(set(cookies))


def test_a_listing_of_it_goes_on_while_snapshots_come_and_go(
    gw: Gateway, root: Client, top: bytes
) -> None:
    for number in range(20):
        gw.store.snapshot("main", f"s{number}")
    directory = root.find(top, NAME)
    first = root.readdir(directory, 0, 300).ok().reply.entries
    stays = {f"s{number}".encode() for number in range(1, 20)} - {e.name for e in first}
    gw.store.delete_snapshot("main", "s0")
    gw.store.snapshot("main", "another")
    rest = [e.name for e in root.readdir(directory, first[-1].cookie).ok().reply.entries]
    assert stays <= set(rest)
    assert len(rest) == len(set(rest))


def test_it_changes_with_its_snapshots(gw: Gateway, root: Client, top: bytes) -> None:
    directory = root.find(top, NAME)
    before = root.getattr(directory).ok().obj_attributes
    gw.clock.now_ns += 10**9
    gw.store.snapshot("main", "s")
    after = root.getattr(directory).ok().obj_attributes
    assert after.mtime > before.mtime
    assert after.nlink == before.nlink + 1


def test_its_name_is_taken_in_the_root(root: Client, top: bytes) -> None:
    file = root.make(top, b"f")
    for answer in (
        root.create(top, NAME),
        root.mkdir(top, NAME),
        root.symlink(top, NAME, b"x"),
        root.mknod(top, NAME),
        root.link(file, top, NAME),
        root.rename(top, b"f", top, NAME),
    ):
        assert answer.status == nfsstat3.EXIST
    for answer in (
        root.remove(top, NAME),
        root.rmdir(top, NAME),
        root.rename(top, NAME, top, b"x"),
    ):
        assert answer.status == nfsstat3.PERM


def test_its_name_is_any_name_elsewhere(gw: Gateway, root: Client, top: bytes) -> None:
    inner = root.mkdir(top, b"d").ok().obj
    assert root.lookup(inner, NAME).status == nfsstat3.NOENT
    root.make(inner, NAME, b"a file")
    assert root.read(root.find(inner, NAME)).ok().data == b"a file"
    gw.exports.set(Rule(squash=Squash.NONE, snapshots=Shown.OFF))
    root.mkdir(top, NAME).ok()


def test_a_sub_directory_s_export_has_none(root: Client, top: bytes) -> None:
    root.mkdir(top, b"d").ok()
    sub = root.mount(b"/main/d")
    assert root.lookup(sub, NAME).status == nfsstat3.NOENT


REFUSED: dict[str, tuple[Callable[[Client, bytes, bytes, bytes], Answer], set[int]]] = {
    "SETATTR": (
        lambda c, top, f, d: c.setattr(d, sattr(mode=0)),
        {nfsstat3.ROFS},
    ),
    "READLINK": (lambda c, top, f, d: c.readlink(d), {nfsstat3.INVAL}),
    "READ": (lambda c, top, f, d: c.read(d), {nfsstat3.ISDIR}),
    "WRITE": (lambda c, top, f, d: c.write(d, 0, b"x"), {nfsstat3.ISDIR, nfsstat3.ROFS}),
    "CREATE": (lambda c, top, f, d: c.create(d, b"x"), {nfsstat3.ROFS}),
    "SYMLINK": (lambda c, top, f, d: c.symlink(d, b"x", b"y"), {nfsstat3.ROFS}),
    "MKNOD": (lambda c, top, f, d: c.mknod(d, b"x"), {nfsstat3.ROFS}),
    "REMOVE": (lambda c, top, f, d: c.remove(d, b"s"), {nfsstat3.ISDIR}),
    "REMOVE of nothing": (lambda c, top, f, d: c.remove(d, b"x"), {nfsstat3.NOENT}),
    "RENAME": (lambda c, top, f, d: c.rename(d, b"s", d, b"t"), {nfsstat3.ROFS}),
    "RENAME out": (lambda c, top, f, d: c.rename(d, b"s", top, b"t"), {nfsstat3.XDEV}),
    "RENAME in": (lambda c, top, f, d: c.rename(top, b"f", d, b"t"), {nfsstat3.XDEV}),
    "LINK": (lambda c, top, f, d: c.link(f, d, b"x"), {nfsstat3.XDEV}),
    "LINK of it": (lambda c, top, f, d: c.link(d, top, b"x"), {nfsstat3.XDEV, nfsstat3.PERM}),
    "COMMIT": (lambda c, top, f, d: c.commit(d), {nfsstat3.INVAL}),
}


@pytest.mark.parametrize(("act", "statuses"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("admin", [False, True])
def test_what_a_directory_of_snapshots_is_not_for(
    gw: Gateway,
    root: Client,
    top: bytes,
    saved: bytes,
    act: Callable[..., Answer],
    statuses: set[int],
    admin: bool,
) -> None:
    gw.exports.set(ADMIN._replace(snapshot_admin=admin))
    directory = root.find(top, NAME)
    assert act(root, top, saved, directory).status in statuses
    assert root.names(directory) == [b".", b"..", b"s"]


def test_the_calls_that_ask_about_it_work(root: Client, top: bytes) -> None:
    directory = root.find(top, NAME)
    root.fsstat(directory).ok()
    root.fsinfo(directory).ok()
    root.pathconf(directory).ok()
    assert root.access(directory).ok().access == 1 | 2  # READ, LOOKUP


# --- snapshots taken and deleted from within ----------------------------------------------------


def test_mkdir_takes_a_snapshot_and_rmdir_deletes_one(
    gw: Gateway, root: Client, top: bytes
) -> None:
    gw.exports.set(ADMIN)
    file = root.make(top, b"f", b"then")
    directory = root.find(top, NAME)
    before = root.getattr(directory).ok().obj_attributes
    gw.clock.now_ns += 10**9
    made = root.mkdir(directory, b"monday").ok()
    # Its root is in another file system: the client looks it up.
    assert (made.obj, made.obj_attributes) == (None, None)
    assert made.dir_wcc.before == (before.size, before.mtime, before.ctime)
    assert made.dir_wcc.after == root.getattr(directory).ok().obj_attributes
    assert gw.store.dirty_bytes == 0
    root.write(file, 0, b"now!").ok()
    snapshot = root.find(directory, b"monday")
    assert root.read(root.find(snapshot, b"f")).ok().data == b"then"
    assert [info.name for info in gw.store.snapshots("main")] == ["monday"]
    wcc = root.rmdir(directory, b"monday").ok().wcc
    assert wcc.after == root.getattr(directory).ok().obj_attributes
    assert gw.store.snapshots("main") == []
    assert root.getattr(snapshot).status == nfsstat3.STALE
    assert root.lookup(directory, b"monday").status == nfsstat3.NOENT


def test_where_the_export_does_not_say_so_none_is_taken_or_deleted(
    gw: Gateway, root: Client, top: bytes, saved: bytes
) -> None:
    for rule in (Rule(squash=Squash.NONE), ADMIN._replace(read_only=True)):
        gw.exports.set(rule)
        directory = root.find(top, NAME)
        assert root.mkdir(directory, b"x").status == nfsstat3.ROFS
        assert root.rmdir(directory, b"s").status == nfsstat3.ROFS
        assert not root.access(directory).ok().access & (4 | 8 | 16)


def test_who_may_not_write_to_the_root_takes_and_deletes_none(
    gw: Gateway, root: Client, ann: Client, top: bytes, saved: bytes
) -> None:
    gw.exports.set(ADMIN)
    directory = root.find(top, NAME)
    assert ann.access(directory).ok().access & 4
    root.setattr(top, sattr(mode=0o755)).ok()
    assert not ann.access(directory).ok().access & 4
    assert ann.mkdir(directory, b"x").status == nfsstat3.ACCES
    assert ann.rmdir(directory, b"s").status == nfsstat3.ACCES


def test_names_that_no_snapshot_has(gw: Gateway, root: Client, top: bytes, saved: bytes) -> None:
    gw.exports.set(ADMIN)
    directory = root.find(top, NAME)
    assert root.mkdir(directory, b"s").status == nfsstat3.EXIST
    for name in (b"", b".", b"..", b"a/b", b"a b", b"\xff", b"x" * 300, b"a\0b"):
        assert root.mkdir(directory, name).status in (nfsstat3.INVAL, nfsstat3.NAMETOOLONG), name
        assert root.rmdir(directory, name).status != nfsstat3.OK
    assert root.rmdir(directory, b"nothing").status == nfsstat3.NOENT
    assert root.names(directory) == [b".", b"..", b"s"]


def test_a_snapshot_taken_twice_by_a_resend_is_taken_once(
    gw: Gateway, root: Client, top: bytes
) -> None:
    gw.exports.set(ADMIN)
    message = root.message("MKDIR", diropargs3(root.find(top, NAME), b"once"), sattr())
    (first,) = root.send(message)
    assert root.send(message) == [first]
    assert len(gw.store.snapshots("main")) == 1


# --- inside of a snapshot -----------------------------------------------------------------------


@pytest.fixture(params=["mounted", "walked to"])
def frozen(request: pytest.FixtureRequest, root: Client, top: bytes, saved: bytes) -> bytes:
    """The root of the snapshot, by both ways that lead there."""
    if request.param == "mounted":
        return root.mount(b"/main@s")
    return root.find(top, NAME, b"s")


def test_both_ways_lead_to_the_same_handles(root: Client, top: bytes, saved: bytes) -> None:
    assert root.mount(b"/main@s") == root.find(top, NAME, b"s")


def test_a_snapshot_is_as_its_branch_was(
    gw: Gateway, root: Client, frozen: bytes, saved: bytes
) -> None:
    file = root.find(frozen, b"f")
    assert root.read(file).ok().data == b"then"
    assert sorted(root.names(frozen)) == [b".", b"..", b"d", b"f", b"l"]
    now, then = (root.getattr(f).ok().obj_attributes for f in (saved, file))
    assert now.fileid == then.fileid
    gw.store.settle()
    gw.restart()
    assert root.read(file).ok().data == b"then"
    assert root.read(saved).ok().data == b"now!"


def test_a_snapshot_is_read_only(root: Client, frozen: bytes) -> None:
    file = root.find(frozen, b"f")
    for answer in (
        root.setattr(file, sattr(mode=0)),
        root.setattr(file, sattr(size=0)),
        root.setattr(frozen, sattr(mode=0)),
        root.write(file, 0, b"x"),
        root.create(frozen, b"new"),
        root.create_exclusive(frozen, b"new", b"12345678"),
        root.mkdir(frozen, b"new"),
        root.symlink(frozen, b"new", b"x"),
        root.mknod(frozen, b"new"),
        root.remove(frozen, b"f"),
        root.rmdir(frozen, b"d"),
        root.rename(frozen, b"f", frozen, b"g"),
        root.link(file, frozen, b"g"),
        root.create(frozen, b"f", sattr(size=0)),
    ):
        assert answer.status == nfsstat3.ROFS
    assert root.read(file).ok().data == b"then"
    # To open what is there is no change.
    assert root.create(frozen, b"f").ok().obj == file


def test_a_snapshot_has_no_directory_of_snapshots(root: Client, frozen: bytes) -> None:
    assert root.lookup(frozen, NAME).status == nfsstat3.NOENT
    assert root.lookup(frozen, b"..").ok().object == frozen


def test_a_snapshot_that_is_deleted_is_stale(
    gw: Gateway, root: Client, top: bytes, frozen: bytes
) -> None:
    file = root.find(frozen, b"f")
    gw.store.delete_snapshot("main", "s")
    gw.store.snapshot("main", "s")
    for handle in (frozen, file):
        assert root.getattr(handle).status == nfsstat3.STALE
    assert root.find(top, NAME, b"s") != frozen


def test_nothing_goes_from_a_snapshot_into_its_branch(
    root: Client, top: bytes, frozen: bytes
) -> None:
    file = root.find(frozen, b"f")
    for answer in (
        root.link(file, top, b"taken"),
        root.rename(frozen, b"f", top, b"taken"),
        root.rename(top, b"f", frozen, b"taken"),
    ):
        assert answer.status in (nfsstat3.XDEV, nfsstat3.ROFS)


def test_a_sub_directory_of_a_snapshot_is_mounted_as_well(
    root: Client, top: bytes, saved: bytes
) -> None:
    sub = root.mount(b"/main@s/d")
    assert root.names(sub) == [b".", b".."]
    assert root.lookup(sub, b"..").ok().object == sub
    assert root.create(sub, b"x").status == nfsstat3.ROFS


def test_it_hides_a_real_directory_of_that_name(gw: Gateway, root: Client, top: bytes) -> None:
    gw.exports.set(Rule(squash=Squash.NONE, snapshots=Shown.OFF))
    real = root.mkdir(top, NAME).ok().obj
    for shown in (Shown.LISTED, Shown.HIDDEN):
        gw.exports.set(Rule(squash=Squash.NONE, snapshots=shown))
        assert root.find(top, NAME) != real
        assert root.names(top).count(NAME) == (shown is Shown.LISTED)
    gw.exports.set(Rule(squash=Squash.NONE, snapshots=Shown.OFF))
    assert root.find(top, NAME) == real
