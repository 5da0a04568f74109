"""Random edits on two forks: merged as the model merges them, whole whoever is favored."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store import errors, merge_maps
from store.conflicts import Favor
from store.merge_work import Outcome
from store.merging import Merged, Request
from store.store import Store
from tests.store.merge_scenes import BLOCK_BYTES, edit, planted
from tests.store.model_merge import Clashes, Plain, merged, plain, same_shape

DIRECTORIES = ("", "d/", "d/b/", "d/b/deep/", "e/", "n/")
NAMES = ("f", "g", "l", "l2", "a", "b", "c", "d", "e", "n", "x", "big")
PATH = st.builds(str.__add__, st.sampled_from(DIRECTORIES), st.sampled_from(NAMES))
# Most steps are about what is in the base: so the two sides meet.
KNOWN = st.sampled_from(
    ("f", "g", "l", "d/l2", "d/a", "d/b/c", "d/b/deep/x", "big", "d", "d/b", "d/b/deep", "e", "n")
)
WHERE = st.one_of(KNOWN, KNOWN, PATH)
STEP = st.one_of(
    st.builds("write {} {}".format, WHERE, st.sampled_from("123")),
    st.builds("write {}@{} 9".format, WHERE, st.sampled_from((0, 5000, 16384))),
    st.builds("cut {} {}".format, WHERE, st.sampled_from((0, 3, 9000))),
    st.builds("chmod {} {}".format, WHERE, st.sampled_from((600, 700, 755))),
    st.builds("chown {} {}".format, WHERE, st.sampled_from((1, 2))),
    st.builds("xattr {} user.{} {}".format, WHERE, st.sampled_from("ab"), st.sampled_from("12")),
    st.builds("xattr {} user.kept".format, WHERE),
    st.builds("mkdir {}".format, WHERE),
    st.builds("symlink {} {}".format, WHERE, st.sampled_from("xy")),
    st.builds("rm {}".format, WHERE),
    st.builds("rm {}".format, WHERE),
    st.builds("mv {} {}".format, WHERE, WHERE),
    st.builds("mv {} {}".format, WHERE, WHERE),
    st.builds("swap {} {}".format, WHERE, WHERE),
    st.builds("ln {} {}".format, WHERE, WHERE),
)
SCRIPT = st.lists(STEP, min_size=1, max_size=12)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("merge") / "store"
    Store.init(place, block_bytes=BLOCK_BYTES)
    with Store.open(place) as store:
        planted(store)
        store.settle()
    return place


@contextmanager
def opened(base: Path) -> Iterator[Store]:
    copy = base.with_name("copy")
    shutil.copytree(base, copy)
    try:
        with Store.open(copy) as store:
            yield store
    finally:
        shutil.rmtree(copy)


def fork(store: Store, name: str, script: list[str]) -> Plain:
    """A fork with the steps of a script that can be done."""
    store.fork("main@base", name)
    for step in script:
        with suppress(errors.StoreError, AssertionError):
            edit(store.tree(name), step)
    return plain(store.tree(name))


def merge(store: Store, source: str, branch: str, favor: Favor | None = None) -> Merged:
    return store.merge(Request(source, branch, favor=favor, fast_forward=False))


@given(SCRIPT, SCRIPT, st.sampled_from((0, 1 << 20)))
def test_it_is_as_the_model_says(
    base: Path, one: list[str], other: list[str], weight_max: int
) -> None:
    """With what is changed held in memory, and folded into the map after each step."""
    with opened(base) as store, patch.object(merge_maps, "_WEIGHT_MAX", weight_max):
        before = plain(store.tree("main"))
        ours, theirs = fork(store, "ours", one), fork(store, "theirs", other)
        for name in ("again", "for-ours", "for-theirs"):
            store.fork("ours", name)
        store.fork("theirs", "back")
        try:
            wanted = merged(before, ours, theirs)
        except Clashes:
            wanted = None
        for source, branch, mine in (("theirs", "ours", ours), ("again", "back", theirs)):
            done = merge(store, source, branch)
            assert (done.outcome is Outcome.CONFLICTS) == (wanted is None), done
            assert same_shape(plain(store.tree(branch)), wanted or mine)
        for favor in Favor:
            done = merge(store, "theirs", f"for-{favor.value}", favor)
            result = plain(store.tree(f"for-{favor.value}"))
            if wanted:
                assert same_shape(result, wanted)
            elif done.conflicts:
                assert not any(conflict.decidable for conflict in done.conflicts)
                assert same_shape(result, ours)
            else:
                assert_has_won(before, ours if favor is Favor.OURS else theirs, result)
        assert store.check(data=True) == []
        store.settle()
        assert store.check(data=True) == []


def assert_has_won(base: Plain, side: Plain, result: Plain) -> None:
    """Whatever a side changed is as it made it."""
    for ino, was in base.fields.items():
        if ino not in side.fields:
            assert ino not in result.fields
            continue
        now = side.fields[ino]
        if now == was and side.links[ino] == base.links[ino]:
            continue
        if now != was or side.links[ino] - base.links[ino]:
            assert ino in result.fields
        if ino in result.fields:
            for key in was.keys() | now.keys():
                assert was.get(key) == now.get(key) or result.fields[ino].get(key) == now.get(key)
            assert not result.links[ino] & (base.links[ino] - side.links[ino])
            made = {link for link in side.links[ino] - base.links[ino] if link[0] in base.fields}
            assert made <= result.links[ino]
