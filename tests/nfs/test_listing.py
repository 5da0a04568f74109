"""READDIR and READDIRPLUS (RFC 1813 3.3.16, 3.3.17): pages, cookies, and room."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nfs.export import Rule, Shown, Squash
from nfs.nfs3_listing import LISTING_BYTES_MAX
from nfs.nfs3_types import nfsstat3
from store.types import ROOT
from tests.nfs.client import Answer, Client, answered, sattr
from tests.nfs.gateway import Gateway, fewer, gateway
from tests.nfs.messages import Reply

READDIR, PLUS = "READDIR", "READDIRPLUS"
both = pytest.mark.parametrize("how", [READDIR, PLUS])


class Page:
    """One reply to READDIR or READDIRPLUS, and how long it was."""

    def __init__(self, client: Client, how: str, handle: bytes, cookie: int, *room: int) -> None:
        """`room` is count, or dircount and maxcount."""
        reply = client.exchange(client.message(how, handle, cookie, bytes(8), *room))
        assert isinstance(reply, Reply)
        self.answer: Answer = answered(how, reply)
        self.status = self.answer.status
        # The size of READDIR3resok or READDIRPLUS3resok: all but the status.
        self.resok_bytes = len(reply.results) - 4
        if self.status == nfsstat3.OK:
            self.entries: list[Any] = self.answer.value.reply.entries
            self.eof: bool = self.answer.value.reply.eof
            self.names: list[bytes] = [entry.name for entry in self.entries]


def page(client: Client, how: str, handle: bytes, cookie: int = 0, room: int = 65536) -> Page:
    """A page of at most so many bytes."""
    return Page(client, how, handle, cookie, *((room,) if how == READDIR else (room, room)))


def listed(client: Client, how: str, handle: bytes, room: int = 65536) -> list[Any]:
    """All entries, page by page."""
    entries: list[Any] = []
    cookie = 0
    while True:
        found = page(client, how, handle, cookie, room)
        found.answer.ok()
        assert found.entries or found.eof, "an empty page without eof"
        entries += found.entries
        if found.eof:
            return entries
        cookie = found.entries[-1].cookie


def filled(client: Client, top: bytes, count: int) -> list[bytes]:
    """Names made in a directory, of many lengths."""
    names = [b"%0*d" % (1 + number % 37, number) for number in range(count)]
    for name in names:
        client.make(top, name)
    return names


# --- what is listed -----------------------------------------------------------------------------


@both
def test_an_empty_directory_has_dots(root: Client, top: bytes, how: str) -> None:
    inner = root.mkdir(top, b"d").ok().obj
    found = page(root, how, inner)
    assert (found.names, found.eof) == ([b".", b".."], True)
    here, above = (root.getattr(handle).ok().obj_attributes.fileid for handle in (inner, top))
    assert [entry.fileid for entry in found.entries] == [here, above]
    assert found.answer.value.dir_attributes == root.getattr(inner).ok().obj_attributes


@both
def test_the_root_is_above_itself(root: Client, top: bytes, how: str) -> None:
    here = root.getattr(top).ok().obj_attributes.fileid
    assert [entry.fileid for entry in page(root, how, top).entries] == [here, here]


@both
@pytest.mark.parametrize("room", [330, 512, 1000, 4096, 65536])
def test_all_names_are_listed_once(root: Client, top: bytes, how: str, room: int) -> None:
    names = filled(root, top, 300)
    entries = listed(root, how, top, room)
    assert sorted(entry.name for entry in entries) == sorted([b".", b"..", *names])


@both
def test_cookies_are_not_zero_unique_and_ascending(root: Client, top: bytes, how: str) -> None:
    filled(root, top, 200)
    file = root.make(top, b"f")
    for number in range(50):
        root.link(file, top, b"link%d" % number).ok()
    cookies = [entry.cookie for entry in listed(root, how, top)]
    assert cookies == sorted(set(cookies))
    assert cookies[0] > 0
    assert cookies[-1] < 2**63


def test_both_procedures_list_the_same(root: Client, top: bytes) -> None:
    filled(root, top, 100)
    plain = [entry[:3] for entry in listed(root, READDIR, top, 700)]
    assert [entry[:3] for entry in listed(root, PLUS, top, 3000)] == plain


def test_readdirplus_has_attributes_and_handles(root: Client, top: bytes) -> None:
    made = {
        b"f": root.create(top, b"f"),
        b"d": root.mkdir(top, b"d"),
        b"l": root.symlink(top, b"l", b"x"),
        b"p": root.mknod(top, b"p"),
    }
    for entry in listed(root, PLUS, top):
        wanted = top if entry.name in (b".", b"..") else made[entry.name].ok().obj
        assert entry.name_handle == wanted
        assert entry.name_attributes == root.getattr(wanted).ok().obj_attributes
        assert entry.fileid == entry.name_attributes.fileid


@both
def test_every_cookie_resumes_right_behind_its_entry(root: Client, top: bytes, how: str) -> None:
    filled(root, top, 60)
    entries = listed(root, how, top)
    for number, entry in enumerate(entries):
        rest = page(root, how, top, entry.cookie)
        assert rest.names == [later.name for later in entries[number + 1 :]]
        assert rest.eof


@both
def test_cookies_survive_a_restart_and_a_snapshot(
    gw: Gateway, root: Client, top: bytes, how: str
) -> None:
    filled(root, top, 40)
    entries = listed(root, how, top)
    middle = entries[20].cookie
    gw.restart()
    gw.store.snapshot("main", "s")
    wanted = [entry.name for entry in entries[21:]]
    assert page(root, how, top, middle).names == wanted
    snapshot = root.mount(b"/main@s")
    assert page(root, how, snapshot, middle).names == wanted
    gw.store.rollback("main", "main@s")
    assert page(root, how, top, middle).names == wanted


@both
def test_the_verifier_is_constant_and_none_is_refused(
    gw: Gateway, root: Client, top: bytes, how: str
) -> None:
    filled(root, top, 10)
    room = (4096,) if how == READDIR else (4096, 4096)
    first = root.call(how, top, 0, bytes(8), *room).ok()
    cookie = first.reply.entries[5].cookie
    root.make(top, b"another")
    gw.restart()
    assert root.call(how, top, 0, bytes(8), *room).ok().cookieverf == first.cookieverf
    for verifier in (first.cookieverf, bytes(8), b"\xff" * 8):
        root.call(how, top, cookie, verifier, *room).ok()


@both
def test_cookies_that_were_never_given(root: Client, top: bytes, how: str) -> None:
    names = filled(root, top, 20)
    for cookie in (3, 100, 2**62, 2**63 - 1):
        found = page(root, how, top, cookie)
        assert set(found.names) <= set(names)
        assert found.eof
    for cookie in (2**63, 2**64 - 1):
        assert page(root, how, top, cookie).status == nfsstat3.BAD_COOKIE


@both
def test_who_may_not_read_a_directory_lists_nothing(
    root: Client, ann: Client, top: bytes, how: str
) -> None:
    closed = root.mkdir(top, b"d", sattr(mode=0o711)).ok().obj
    found = page(ann, how, closed)
    assert found.status == nfsstat3.ACCES
    assert found.answer.value.attributes == root.getattr(closed).ok().obj_attributes


def test_who_may_not_search_still_lists_names_with_attributes(
    root: Client, ann: Client, top: bytes
) -> None:
    readable = root.mkdir(top, b"d", sattr(mode=0o744)).ok().obj
    root.make(readable, b"f")
    assert page(ann, READDIR, readable).names == [b".", b"..", b"f"]
    assert page(ann, PLUS, readable).names == [b".", b"..", b"f"]


@both
def test_a_directory_that_is_gone_is_stale(root: Client, top: bytes, how: str) -> None:
    gone = root.mkdir(top, b"d").ok().obj
    root.rmdir(top, b"d").ok()
    assert page(root, how, gone).status == nfsstat3.STALE
    assert page(root, how, gone).answer.value.attributes is None


# --- room ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared() -> Any:
    """A gateway, its client, and a directory with names of many lengths, for tests that only
    read."""
    with gateway() as gw:
        client = Client(gw)
        top = client.mount()
        for length in [*range(1, 256, 3), 255]:
            client.make(top, b"n" * length)
        yield client, top, listed(client, READDIR, top)


def names_bytes(entry: Any) -> int:
    """What an entry takes in READDIR: a flag, fileid, the name with its length, cookie."""
    return 4 + 8 + 4 + (len(entry.name) + 3 & ~3) + 8


_rooms = st.integers(0, 600) | st.integers(0, 70_000) | st.sampled_from([2**31, 2**32 - 1])


@given(room=_rooms, index=st.integers(-1, 90))
def test_readdir_fills_its_room_and_no_more(shared: Any, room: int, index: int) -> None:
    client, top, entries = shared
    cookie = entries[index].cookie if 0 <= index < len(entries) else 0
    left = [entry for entry in entries if entry.cookie > cookie]
    found = Page(client, READDIR, top, cookie, room)
    if found.status == nfsstat3.TOOSMALL:
        assert room < 104 + (names_bytes(left[0]) if left else 0)
        return
    assert found.answer.ok()
    assert found.resok_bytes <= min(room, LISTING_BYTES_MAX)
    assert found.entries == left[: len(found.entries)]
    assert found.eof == (len(found.entries) == len(left))
    if not found.eof:
        assert found.entries, "an empty page without eof"
        assert found.resok_bytes + names_bytes(left[len(found.entries)]) > room


@given(dircount=_rooms, maxcount=_rooms, index=st.integers(-1, 90))
def test_readdirplus_fills_its_room_and_no_more(
    shared: Any, dircount: int, maxcount: int, index: int
) -> None:
    client, top, entries = shared
    cookie = entries[index].cookie if 0 <= index < len(entries) else 0
    left = [entry for entry in entries if entry.cookie > cookie]
    found = Page(client, PLUS, top, cookie, dircount, maxcount)
    more = 88 + 4 + 64  # attributes and handle
    if found.status == nfsstat3.TOOSMALL:
        assert maxcount < 104 + (names_bytes(left[0]) + more if left else 0)
        return
    assert found.answer.ok()
    assert found.resok_bytes <= min(maxcount, LISTING_BYTES_MAX)
    assert [entry[:3] for entry in found.entries] == left[: len(found.entries)]
    assert found.eof == (len(found.entries) == len(left))
    named = sum(map(names_bytes, left[: len(found.entries)]))
    assert named <= dircount or len(found.entries) == 1
    if not found.eof:
        assert found.entries, "an empty page without eof"
        following = names_bytes(left[len(found.entries)])
        full = found.resok_bytes + following + more > maxcount
        assert full or named + following > dircount


@both
def test_the_end_of_a_directory_needs_room_as_well(root: Client, top: bytes, how: str) -> None:
    last = listed(root, how, top)[-1].cookie
    found = page(root, how, top, last, 104)
    assert (found.names, found.eof, found.resok_bytes) == ([], True, 104)
    for room in (0, 1, 103):
        assert page(root, how, top, last, room).status == nfsstat3.TOOSMALL


def test_a_page_of_a_large_directory_is_bounded(root: Client, top: bytes) -> None:
    for number in range(5000):
        root.gateway.store.tree("main").mkdir(ROOT, 1, b"d%0200d" % number, 0o755)
    for how in (READDIR, PLUS):
        found = page(root, how, top, 0, 2**32 - 1)
        assert found.resok_bytes <= LISTING_BYTES_MAX
        assert not found.eof


# --- changes between pages ----------------------------------------------------------------------

_names = st.sampled_from([b"n%d" % number for number in range(40)])


@fewer
@given(
    st.sets(_names, min_size=1),
    st.lists(st.lists(st.tuples(st.booleans(), _names), max_size=6), max_size=20),
    st.sampled_from([READDIR, PLUS]),
    st.booleans(),
)
def test_names_that_stay_are_listed_once_whatever_comes_and_goes(
    first: set[bytes], changes: list[list[tuple[bool, bytes]]], how: str, listing: bool
) -> None:
    """Between any two pages names are made and removed; also with `.snapshots` listed."""
    with gateway() as gw:
        if listing:
            gw.exports.set(Rule(squash=Squash.NONE, snapshots=Shown.LISTED))
        client = Client(gw)
        top = client.mount()
        now = set(first)
        for name in first:
            client.make(top, name)
        stayed, ever = set(first), set(first)
        seen: list[bytes] = []
        cookie, steps = 0, iter(changes)
        while True:
            found = page(client, how, top, cookie, 300 if how == READDIR else 500)
            found.answer.ok()
            seen += found.names
            if found.eof:
                break
            cookie = found.entries[-1].cookie
            for made, name in next(steps, []):
                if made and name not in now:
                    client.make(top, name)
                    now.add(name)
                    ever.add(name)
                elif not made and name in now:
                    client.remove(top, name).ok()
                    now.discard(name)
                    stayed.discard(name)
        assert seen[:2] == [b".", b".."]
        if listing:
            assert seen[2] == b".snapshots"
        rest = seen[3:] if listing else seen[2:]
        assert stayed <= set(rest) <= ever
        for name in stayed:
            assert rest.count(name) == 1
