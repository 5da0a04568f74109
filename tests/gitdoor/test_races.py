"""Pushes at the same time: for one ref, beside a collection of garbage, and by those who vanish."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from tests.gitdoor import crafted
from tests.gitdoor.crafted import NONE, PUSH, Door, with_file
from tests.gitdoor.repositories import Git, cloned

AT_ONCE = 6


Told = TypeVar("Told")


def together(count: int, run: Callable[[int], Told]) -> list[Told]:
    """What several runs say that begin at the same time."""
    barrier = threading.Barrier(count)

    def begin(number: int) -> Told:
        barrier.wait()
        return run(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))


@pytest.mark.parametrize("ref", [b"refs/heads/main", b"refs/heads/new", b"refs/tags/new"])
def test_one_of_many_wins(door: Door, ref: bytes) -> None:
    tip = door.tip()
    made = [with_file(tip, b"file%d" % number) for number in range(AT_ONCE)]
    old = tip if ref == b"refs/heads/main" else NONE

    def push(number: int) -> bytes:
        one = made[number]
        return door.push(one.pack, (old, one.tip, ref)).report[1]

    told = together(AT_ONCE, push)
    won = [number for number, line in enumerate(told) if line == b"ok " + ref]
    assert len(won) == 1, told
    assert sorted(told)[:-1] == [b"ng " + ref + b" fetch first"] * (AT_ONCE - 1)
    assert door.tip(ref) == made[won[0]].tip
    if ref == b"refs/heads/main":
        assert list(door.tree("main")) == [f"/file{won[0]}"]
    door.wait_until_clear()


def test_one_of_two_clones_wins_and_the_other_pulls(door: Door, tmp_path: Path) -> None:
    clones = [cloned(f"{door.url}/main.git", tmp_path / name) for name in ("one", "other")]
    for number in range(3):
        for clone in clones:
            clone.write(f"{clone.path.name}{number}", f"{number}\n")
            clone.commit(f"{clone.path.name} {number}")
        codes = together(2, lambda which: clones[which].run("push", "-q").returncode)
        assert sorted(codes) == [0, 1]
        loser = clones[codes.index(1)]
        loser("pull", "-q", "--rebase")
        loser("push", "-q")
        clones[codes.index(0)]("pull", "-q", "--ff-only")
    want = {f"/{name}{number}" for name in ("one", "other") for number in range(3)}
    assert want <= door.tree("main").keys()
    again = cloned(f"{door.url}/main.git", tmp_path / "again")
    assert again.objects() == clones[0].objects() == clones[1].objects()


def test_pushes_while_garbage_is_collected(door: Door, tmp_path: Path) -> None:
    clone = cloned(f"{door.url}/main.git", tmp_path / "clone")
    ended = threading.Event()

    def collect() -> list[int]:
        found = []
        while not ended.is_set():
            status, lines = door.served.ask("POST", "/v1/gc")
            assert "result" in lines[-1], lines
            found.append(status)
        return found

    with ThreadPoolExecutor(1) as pool:
        collecting = pool.submit(collect)
        try:
            for number in range(8):
                clone.write("file", f"{number}\n" * 1000)
                clone.write(f"dir{number}/file", f"{number}\n")
                clone.commit(f"number {number}")
                clone("push", "-q", "origin", "HEAD:main", f"HEAD:refs/heads/at{number}")
        finally:
            ended.set()
        assert set(collecting.result()) == {200}
    assert door.rows("/v1/check?data=true")[0]["result"] == {"problems": []}
    again = cloned(f"{door.url}/all.git", tmp_path / "again", "--mirror")
    assert clone.objects() <= again.objects()
    assert again("rev-parse", "at3").strip() == clone("rev-parse", "HEAD~4").strip()


def test_a_client_that_does_not_wait_for_the_answer(door: Door, tmp_path: Path) -> None:
    """What it asked for is done, or not, but not half of it; and it can ask again."""
    old = door.tip()
    made = with_file(old, b"of nobody")
    command = old, made.tip, b"refs/heads/main"
    body = crafted.request(made.pack, command)
    connection = http.client.HTTPConnection(door.address)
    connection.request("POST", "/main.git/git-receive-pack", body, {"content-type": PUSH})
    connection.close()
    git = Git(tmp_path / "git").init()
    while door.leftovers() or door.tip() == old:
        again = door.push(made.pack, command).report[1]
        assert again in (b"ok refs/heads/main", b"ng refs/heads/main fetch first")
    assert door.tip() == made.tip
    assert list(door.tree("main")) == ["/of nobody"]
    git("fetch", "-q", f"{door.url}/main.git", "main")
    assert git("rev-parse", "FETCH_HEAD").strip() == made.tip
    assert door.rows("/v1/check")[0]["result"] == {"problems": []}
