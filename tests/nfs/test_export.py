"""Squashing: whose ids reach the store, for every credential and every kind of squash."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nfs.export import NOBODY, Rule, Shown, Squash
from store.types import Caller

IDS = st.one_of(st.just(0), st.integers(0, 2**32 - 1))
CALLERS = st.builds(Caller, IDS, IDS, st.frozensets(IDS, max_size=16))
ANONYMOUS = st.integers(1, 2**32 - 2)


@given(CALLERS, ANONYMOUS, ANONYMOUS)
def test_none_keeps_every_id(sent: Caller, uid: int, gid: int) -> None:
    assert Rule(squash=Squash.NONE, anonuid=uid, anongid=gid).caller(sent) == sent


@given(CALLERS, ANONYMOUS, ANONYMOUS)
def test_root_replaces_every_zero_and_nothing_else(sent: Caller, uid: int, gid: int) -> None:
    got = Rule(squash=Squash.ROOT, anonuid=uid, anongid=gid).caller(sent)
    assert got.uid == (uid if sent.uid == 0 else sent.uid)
    assert got.gid == (gid if sent.gid == 0 else sent.gid)
    assert got.groups == {gid if group == 0 else group for group in sent.groups}
    assert 0 not in {got.uid, got.gid, *got.groups}


@given(CALLERS, ANONYMOUS, ANONYMOUS)
def test_all_leaves_nothing_of_what_was_sent(sent: Caller, uid: int, gid: int) -> None:
    rule = Rule(squash=Squash.ALL, anonuid=uid, anongid=gid)
    assert rule.caller(sent) == rule.anonymous == Caller(uid, gid, frozenset())


@given(CALLERS, st.sampled_from(Squash), ANONYMOUS, ANONYMOUS)
def test_squashing_twice_changes_nothing(sent: Caller, squash: Squash, uid: int, gid: int) -> None:
    rule = Rule(squash=squash, anonuid=uid, anongid=gid)
    once = rule.caller(sent)
    assert rule.caller(once) == once


@pytest.mark.parametrize(
    ("sent", "got"),
    [
        (Caller(0, 0, frozenset({0, 4})), Caller(NOBODY, NOBODY, frozenset({NOBODY, 4}))),
        (Caller(1000, 0, frozenset({27})), Caller(1000, NOBODY, frozenset({27}))),
        (Caller(0, 100), Caller(NOBODY, 100)),
        (Caller(1000, 1000, frozenset({0})), Caller(1000, 1000, frozenset({NOBODY}))),
        (Caller(1000, 1000, frozenset({27})), Caller(1000, 1000, frozenset({27}))),
    ],
)
def test_root_squash_by_example(sent: Caller, got: Caller) -> None:
    assert Rule().caller(sent) == got


def test_the_defaults_are_the_careful_ones() -> None:
    rule = Rule()
    assert rule.squash is Squash.ROOT
    assert rule.sync
    assert not rule.snapshot_admin
    assert (rule.snapshots, rule.git) == (Shown.HIDDEN, Shown.HIDDEN)
    assert rule.anonymous == Caller(65534, 65534)
