"""Exports at every call: who is let in, as whom, to what, and that nothing leads out of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nfs.export import NOBODY, Rule, Squash
from nfs.handle import Handles
from nfs.nfs3_types import ftype3, nfsstat3
from store.errors import AccessDenied
from tests.nfs.client import Answer, Client, sattr
from tests.nfs.gateway import KEY, Gateway
from tests.nfs.messages import NO_AUTH

# A call of each procedure but NULL, on a directory that has `f` and an empty `d`: the client, the
# handle of the directory, and that of `f`.
Act = Callable[[Client, bytes, bytes], Answer]
LOOKING: dict[str, Act] = {
    "GETATTR": lambda c, top, f: c.getattr(f),
    "LOOKUP": lambda c, top, f: c.lookup(top, b"f"),
    "ACCESS": lambda c, top, f: c.access(f),
    "READLINK": lambda c, top, f: c.readlink(c.find(top, b"l")),
    "READ": lambda c, top, f: c.read(f),
    "READDIR": lambda c, top, f: c.readdir(top),
    "READDIRPLUS": lambda c, top, f: c.readdirplus(top),
    "FSSTAT": lambda c, top, f: c.fsstat(f),
    "FSINFO": lambda c, top, f: c.fsinfo(f),
    "PATHCONF": lambda c, top, f: c.pathconf(f),
}
CHANGING: dict[str, Act] = {
    "SETATTR": lambda c, top, f: c.setattr(f, sattr(mode=0o600)),
    "WRITE": lambda c, top, f: c.write(f, 0, b"new"),
    "CREATE": lambda c, top, f: c.create(top, b"new"),
    "CREATE of what is there": lambda c, top, f: c.create(top, b"f", sattr(size=0)),
    "MKDIR": lambda c, top, f: c.mkdir(top, b"new"),
    "SYMLINK": lambda c, top, f: c.symlink(top, b"new", b"x"),
    "MKNOD": lambda c, top, f: c.mknod(top, b"new"),
    "REMOVE": lambda c, top, f: c.remove(top, b"f"),
    "RMDIR": lambda c, top, f: c.rmdir(top, b"d"),
    "RENAME": lambda c, top, f: c.rename(top, b"f", top, b"new"),
    "LINK": lambda c, top, f: c.link(f, top, b"new"),
    "COMMIT": lambda c, top, f: c.commit(f),
}
EVERY = LOOKING | CHANGING
every_call = pytest.mark.parametrize("act", EVERY.values(), ids=EVERY)
changing = pytest.mark.parametrize("act", CHANGING.values(), ids=CHANGING)
looking = pytest.mark.parametrize("act", LOOKING.values(), ids=LOOKING)


@pytest.fixture
def file(root: Client, top: bytes) -> bytes:
    """`f` in a root directory that has a `d` and an `l` as well."""
    root.mkdir(top, b"d", sattr(mode=0o777)).ok()
    root.symlink(top, b"l", b"f").ok()
    return root.make(top, b"f", b"data", 0o666)


def test_there_is_a_call_of_every_procedure(root: Client, top: bytes, file: bytes) -> None:
    procedures = root.gateway.dispatcher.programs[100003].versions[3]
    names = {name.partition(" ")[0] for name in EVERY}
    assert names | {"NULL"} == {row.name for row in procedures.values()}


@every_call
def test_every_call_works_where_it_is_allowed(
    root: Client, top: bytes, file: bytes, act: Act
) -> None:
    act(root, top, file).ok()


# --- who is let in ------------------------------------------------------------------------------


def no_attributes(answer: Answer) -> bool:
    """Whether a failure tells nothing of the objects it is about."""
    return all(part in (None, (None, None)) for part in answer.value or ())


@every_call
def test_a_client_without_a_rule_gets_nowhere_with_another_s_handles(
    gw: Gateway, root: Client, top: bytes, file: bytes, act: Act
) -> None:
    gw.exports.set(None, address="10.9.9.9")
    stranger = Client(gw, address="10.9.9.9")
    with pytest.raises(AccessDenied):
        stranger.mount()
    if act is LOOKING["READLINK"]:
        answer = stranger.readlink(root.find(top, b"l"))
    else:
        answer = act(stranger, top, file)
    assert answer.status == nfsstat3.ACCES
    assert no_attributes(answer)


@every_call
def test_a_rule_that_is_taken_away_ends_what_it_allowed(
    gw: Gateway, root: Client, top: bytes, file: bytes, act: Act
) -> None:
    root.getattr(top).ok()
    link = root.find(top, b"l")
    gw.exports.set(None)
    answer = root.readlink(link) if act is LOOKING["READLINK"] else act(root, top, file)
    assert answer.status == nfsstat3.ACCES
    assert no_attributes(answer)
    gw.exports.set(Rule(squash=Squash.NONE))
    act(root, top, file).ok()


@every_call
def test_a_secure_export_is_for_privileged_ports(
    gw: Gateway, root: Client, top: bytes, file: bytes, act: Act
) -> None:
    gw.exports.set(Rule(squash=Squash.NONE, secure=True))
    act(Client(gw, port=1023), top, file).ok()
    high = Client(gw, port=1024)
    answer = high.readlink(root.find(top, b"l")) if act is LOOKING["READLINK"] else None
    assert (answer or act(high, top, file)).status == nfsstat3.ACCES


@changing
def test_a_read_only_export_is_not_changed(
    gw: Gateway, root: Client, top: bytes, file: bytes, act: Act
) -> None:
    gw.exports.set(Rule(squash=Squash.NONE, read_only=True))
    before = root.readdirplus(top).ok()
    answer = act(root, top, file)
    assert answer.status == nfsstat3.ROFS
    assert not no_attributes(answer)
    assert root.readdirplus(top).ok() == before


@looking
def test_a_read_only_export_is_read(
    gw: Gateway, root: Client, top: bytes, file: bytes, act: Act
) -> None:
    gw.exports.set(Rule(squash=Squash.NONE, read_only=True))
    act(root, top, file).ok()


# --- as whom ------------------------------------------------------------------------------------


def made_by(client: Client, top: bytes) -> tuple[int, int]:
    """The ids that a new file of the client's has."""
    found = client.create(top, b"made").ok().obj_attributes
    client.remove(top, b"made").ok()
    return found.uid, found.gid


def test_squashing(gw: Gateway, root: Client, ann: Client, top: bytes) -> None:
    mixed = Client(gw, 1000, 0)
    for rule, as_root, as_ann, as_mixed in [
        (Rule(squash=Squash.NONE), (0, 0), (1000, 1000), (1000, 0)),
        (Rule(squash=Squash.ROOT), (NOBODY, NOBODY), (1000, 1000), (1000, NOBODY)),
        (Rule(squash=Squash.ROOT, anonuid=5, anongid=6), (5, 6), (1000, 1000), (1000, 6)),
        (Rule(squash=Squash.ALL, anonuid=5, anongid=6), (5, 6), (5, 6), (5, 6)),
    ]:
        gw.exports.set(rule)
        assert made_by(root, top) == as_root
        assert made_by(ann, top) == as_ann
        assert made_by(mixed, top) == as_mixed


def test_groups_are_squashed_as_well(gw: Gateway, root: Client, top: bytes) -> None:
    of_root, of_fifty = root.make(top, b"r", mode=0o640), root.make(top, b"g", mode=0o640)
    root.setattr(of_fifty, sattr(gid=50)).ok()
    user = Client(gw, 1000, 1000, (0, 50))
    for squash, reads in [
        (Squash.NONE, (True, True)),
        (Squash.ROOT, (False, True)),
        (Squash.ALL, (False, False)),
    ]:
        gw.exports.set(Rule(squash=squash))
        found = tuple(user.read(f).status == nfsstat3.OK for f in (of_root, of_fifty))
        assert found == reads


@pytest.mark.parametrize("squash", Squash)
def test_a_call_without_credentials_is_anonymous(
    gw: Gateway, root: Client, top: bytes, squash: Squash
) -> None:
    secret = root.make(top, b"secret", b"x", 0o600)
    nobody = Client(gw)
    nobody.credential = NO_AUTH
    gw.exports.set(Rule(squash=squash, anonuid=5, anongid=6))
    assert made_by(nobody, top) == (5, 6)
    assert nobody.read(secret).status == nfsstat3.ACCES


def test_a_call_without_credentials_does_not_slip_past_the_rules(
    gw: Gateway, root: Client, top: bytes, file: bytes
) -> None:
    nobody = Client(gw, port=2000)
    nobody.credential = NO_AUTH
    for rule, status in [
        (None, nfsstat3.ACCES),
        (Rule(secure=True), nfsstat3.ACCES),
        (Rule(read_only=True), nfsstat3.ROFS),
    ]:
        gw.exports.set(rule)
        assert nobody.write(file, 0, b"x").status == status


# --- two directories ----------------------------------------------------------------------------


def two_branches(gw: Gateway, root: Client, rule: Rule | None) -> bytes:
    """The root of another branch, with a file `g`, that is then given a rule of its own."""
    gw.store.create_branch("other")
    other = root.mount(b"/other")
    root.setattr(other, sattr(mode=0o777)).ok()
    root.make(other, b"g")
    gw.exports.set(rule, branch="other")
    return other


@pytest.mark.parametrize(
    ("rule", "status"),
    [
        (None, nfsstat3.ACCES),
        (Rule(read_only=True), nfsstat3.ROFS),
        (Rule(squash=Squash.NONE), nfsstat3.XDEV),
    ],
)
def test_rules_hold_for_the_second_directory_of_rename_and_link(
    gw: Gateway, root: Client, top: bytes, file: bytes, rule: Rule | None, status: int
) -> None:
    other = two_branches(gw, root, rule)
    for answer in (
        root.rename(top, b"f", other, b"new"),
        root.rename(other, b"g", top, b"new"),
        root.link(file, other, b"new"),
    ):
        assert answer.status == status
    assert b"new" not in root.names(top)
    gw.exports.set(Rule(squash=Squash.NONE), branch="other")
    assert root.names(other) == [b".", b"..", b"g"]


def test_a_squashed_superuser_has_no_rights_in_either_directory(
    gw: Gateway, root: Client, top: bytes, file: bytes
) -> None:
    closed = root.mkdir(top, b"closed", sattr(mode=0o755)).ok().obj
    root.make(closed, b"g")
    gw.exports.set(Rule(squash=Squash.ROOT))
    for answer in (
        root.rename(top, b"d", closed, b"new"),
        root.rename(closed, b"g", top, b"new"),
        root.link(file, closed, b"new"),
        root.link(file, root.find(top, b"d"), b"new"),
    ):
        expected = nfsstat3.OK if answer.value.__class__.__name__ == "linked" else nfsstat3.ACCES
        assert answer.status in (expected, nfsstat3.ACCES)
    assert root.names(closed) == [b".", b"..", b"g"]


# --- handles ------------------------------------------------------------------------------------


@every_call
@pytest.mark.parametrize("forgery", ["cut", "long", "empty", "flipped", "keyless", "elsewhere"])
def test_a_handle_that_was_never_given_is_bad(
    gw: Gateway, root: Client, top: bytes, file: bytes, act: Act, forgery: str
) -> None:
    link = root.find(top, b"l")

    def forged(handle: bytes) -> bytes:
        match forgery:
            case "cut":
                return handle[:-1]
            case "long":
                return handle + bytes(4)
            case "empty":
                return b""
            case "flipped":
                return handle[:-1] + bytes([handle[-1] ^ 1])
            case "keyless":
                maker = Handles(gw.store.engine.identity.id, bytes(32))
            case _:
                maker = Handles(b"elsewhere" * 2, KEY)
        prefix, ino = gw.realm.handles.parse(handle)
        return maker.make(maker.prefix(gw.realm.handles.volume(prefix)), ino)

    if act is LOOKING["READLINK"]:
        answer = root.readlink(forged(link))
    else:
        answer = act(root, forged(top), forged(file))
    assert answer.status == nfsstat3.BADHANDLE
    assert no_attributes(answer)


def test_the_second_handle_of_rename_and_link_is_looked_at(
    root: Client, top: bytes, file: bytes
) -> None:
    assert root.rename(top, b"f", b"forged", b"new").status == nfsstat3.BADHANDLE
    assert root.link(file, b"forged", b"new").status == nfsstat3.BADHANDLE


def test_handles_survive_restart_rename_and_another_directory(
    gw: Gateway, root: Client, top: bytes, file: bytes
) -> None:
    gw.restart()
    assert root.read(file).ok().data == b"data"
    directory = root.find(top, b"d")
    root.rename(top, b"f", directory, b"g").ok()
    root.rename(top, b"d", top, b"e").ok()
    gw.store.rename_branch("main", "trunk")
    gw.restart()
    assert root.find(root.mount(b"/trunk"), b"e", b"g") == file
    assert root.read(file).ok().data == b"data"


def test_handles_of_a_branch_that_was_deleted_are_stale(
    gw: Gateway, root: Client, top: bytes
) -> None:
    other = two_branches(gw, root, Rule())
    root.getattr(other).ok()
    gw.store.delete_branch("other")
    gw.store.create_branch("other")
    assert root.getattr(other).status == nfsstat3.STALE
    assert root.mount(b"/other") != other


def test_handles_after_a_rollback(gw: Gateway, root: Client, top: bytes, file: bytes) -> None:
    """What is in the snapshot goes on; what came after it is stale, until it is rolled forward."""
    gw.store.snapshot("main", "s")
    root.write(file, 0, b"DATA").ok()
    later = root.make(top, b"later")
    kept = gw.store.rollback("main", "main@s")
    assert root.read(file).ok().data == b"data"
    assert root.getattr(later).status == nfsstat3.STALE
    gw.store.rollback("main", f"main@{kept.name}")
    assert root.read(file).ok().data == b"DATA"
    root.getattr(later).ok()


# --- sub-directories ----------------------------------------------------------------------------


@pytest.fixture
def sub(root: Client, top: bytes) -> bytes:
    """The handle of an export of `/main/home/ann`, with a `d/e` in it; `/main/f` is outside."""
    home = root.mkdir(top, b"home").ok().obj
    inner = root.mkdir(home, b"ann", sattr(mode=0o777)).ok().obj
    root.mkdir(root.mkdir(inner, b"d", sattr(mode=0o777)).ok().obj, b"e").ok()
    root.make(top, b"f", b"outside")
    return root.mount(b"/main/home/ann")


def test_the_root_of_a_sub_directory_is_above_itself(root: Client, sub: bytes) -> None:
    here = root.getattr(sub).ok().obj_attributes
    assert root.lookup(sub, b"..").ok().object == sub
    for page in (root.readdir(sub).ok(), root.readdirplus(sub).ok()):
        assert [entry.fileid for entry in page.reply.entries[:2]] == [here.fileid] * 2
    above = root.readdirplus(sub).ok().reply.entries[1]
    assert (above.name_handle, above.name_attributes) == (sub, here)


def test_below_the_root_of_a_sub_directory_dots_lead_up(root: Client, sub: bytes) -> None:
    directory = root.find(sub, b"d")
    inner = root.find(directory, b"e")
    assert root.lookup(inner, b"..").ok().object == directory
    assert root.lookup(directory, b"..").ok().object == sub
    assert root.readdirplus(inner).ok().reply.entries[1].name_handle == directory


def test_a_directory_that_is_moved_out_leads_nowhere(root: Client, top: bytes, sub: bytes) -> None:
    """The client keeps its handles, as of an open directory, but gets none of what is outside."""
    directory = root.find(sub, b"d")
    inner = root.find(directory, b"e")
    root.rename(root.find(top, b"home", b"ann"), b"d", top, b"moved").ok()
    assert root.lookup(directory, b"..").ok().object == directory
    here = root.getattr(directory).ok().obj_attributes
    for entry in root.readdirplus(directory).ok().reply.entries[:2]:
        assert entry[0] == here.fileid
        assert entry[3:] == (here, directory)
    for entry in root.readdir(directory).ok().reply.entries[:2]:
        assert entry.fileid == here.fileid
    assert root.lookup(inner, b"..").ok().object == inner
    assert root.readdirplus(inner).ok().reply.entries[1].name_handle == inner
    assert root.lookup(sub, b"d").status == nfsstat3.NOENT


def test_nothing_is_renamed_or_linked_out_of_a_sub_directory(
    root: Client, top: bytes, sub: bytes
) -> None:
    mine = root.make(sub, b"mine")
    outside = root.find(top, b"f")
    for answer in (
        root.rename(sub, b"mine", top, b"taken"),
        root.rename(top, b"f", sub, b"taken"),
        root.link(mine, top, b"taken"),
        root.link(outside, sub, b"taken"),
    ):
        assert answer.status == nfsstat3.XDEV
    for name in (b"../f", b"..", b"/", b"../../f"):
        assert root.rename(sub, b"mine", sub, name).status == nfsstat3.INVAL
        assert root.rename(sub, name, sub, b"x").status == nfsstat3.INVAL


def test_the_same_file_has_other_handles_in_another_export(
    root: Client, top: bytes, sub: bytes
) -> None:
    file = root.make(sub, b"mine", b"data")
    same = root.find(top, b"home", b"ann", b"mine")
    assert same != file
    assert root.getattr(same).ok() == root.getattr(file).ok()


def test_a_sub_directory_that_is_removed_is_stale(root: Client, top: bytes, sub: bytes) -> None:
    root.rmdir(root.find(sub, b"d"), b"e").ok()
    root.rmdir(sub, b"d").ok()
    root.rmdir(root.find(top, b"home"), b"ann").ok()
    assert root.getattr(sub).status == nfsstat3.STALE
    assert root.create(sub, b"x").status == nfsstat3.STALE
    assert root.mknod(sub, b"x", ftype3.FIFO).status == nfsstat3.STALE
