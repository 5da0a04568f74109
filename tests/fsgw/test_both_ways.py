"""Every command says and does the same through a gateway as on the store itself."""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fsgw.operations import OPERATIONS
from fsgw.session import Session
from store.store import Store
from tests.fsgw.helpers import MIB, T0, Fsgw, local_tree, stamp
from tests.fsgw.served import serving
from tests.gitdoor.repositories import Git

# One after the other, on two stores that are alike; each with its exit code.
COMMANDS: list[tuple[str, int]] = [
    ("branch list", 0),
    ("branch create other", 0),
    ("branch create other", 3),
    ("branch create -- -dash", 3),
    ("branch create no/slash", 3),
    ("branch rename other second", 0),
    ("branch rename other second", 3),
    ("branch rename other no/slash", 3),
    ("branch delete no/slash", 3),
    ("import {source} main", 0),
    ("import {source} main", 0),
    ("import --checksum --no-delete {source} main", 0),
    ("import {source} main/some/where --snapshot v1 -m First --author Ann", 0),
    ("import {source} main/some/where --snapshot v1", 3),
    ("import {source} nope", 3),
    ("import {source} main@v1", 3),
    ("import {source} main/file", 3),
    ("import {source} main/../x", 3),
    ("import {source} /x", 3),
    ("ls main", 0),
    ("ls -l main", 0),
    ("ls main/some/where", 0),
    ("ls main/file", 0),
    ("ls main@v1/sub", 0),
    ("ls main/nope", 3),
    ("ls nope", 3),
    ("ls main/n{odd}", 0),
    ("cat main/file", 0),
    ("cat main/large", 0),
    ("cat main@v1/sub/empty", 0),
    ("cat main/n{odd}", 0),
    ("cat main/sub", 3),
    ("cat main/nope", 3),
    ("branch fork main@v1 fork", 0),
    ("branch fork main/sub part", 0),
    ("branch fork main/nope part2", 3),
    ("snapshot create main fork --name both -m two\nlines --author Bo", 0),
    ("snapshot create main --name both", 3),
    ("snapshot create main main --name x", 3),
    ("snapshot create main --name no@at", 3),
    ("snapshot create main --name odd -m {odd}", 0),
    ("snapshot list main", 0),
    ("snapshot list nope", 3),
    ("log main", 0),
    ("log main -n 1", 0),
    ("log main -n 0", 0),
    ("log main@nope", 3),
    ("log 0123456789abcdef", 3),
    ("diff main@v1 main", 0),
    ("import {changed} main", 0),
    ("diff main@v1 main", 0),
    ("diff main@v1 main --exit-code", 1),
    ("diff main@v1 main@v1 --exit-code", 0),
    ("diff main nope", 3),
    ("snapshot create main --name parting", 0),
    ("branch fork main@parting side", 0),
    ("import {source} side", 0),
    ("merge side main --dry-run", 0),
    ("merge  side main --dry-run", 0),
    ("merge side main -m Take\nit --name taken --author Bo --no-ff", 0),
    ("log main", 0),
    ("merge side main", 0),
    ("merge main side", 0),
    ("import {changed} side/both", 0),
    ("import {source} main/both", 0),
    ("merge side main", 1),
    ("merge  side main", 1),
    ("merge side main --dry-run", 1),
    ("merge side main --favor theirs", 0),
    ("merge  main@taken side --name taken", 0),
    ("merge side main --favor nobody", 2),
    ("merge main@taken side", 0),
    ("merge nope main", 3),
    ("merge side nope", 3),
    ("merge side/sub main", 3),
    ("merge side main --name taken", 3),
    ("branch create lone", 0),
    ("merge lone main", 3),
    ("log main -n 4", 0),
    ("branch delete side", 0),
    ("branch delete lone", 0),
    ("rollback main main@v1", 0),
    ("rollback main nope", 3),
    ("rollback nope main", 3),
    ("ls -l main", 0),
    ("quota main", 0),
    ("quota main --bytes 10M --inodes 100", 0),
    ("quota main --inodes 0", 0),
    ("quota nope --inodes 0", 3),
    ("quota main --bytes 99999999999999999999", 3),
    ("quota fork --bytes 1", 0),
    ("import {changed} fork/more", 4),
    ("restore main {out}", 0),
    ("restore main {out}", 3),
    ("restore main@v1/sub {out} --force", 0),
    ("restore main/nope {out}2", 3),
    ("restore main {source}/file --force", 2),
    ("import --git {repository}", 0),
    ("import --git {repository} nothing", 0),
    ("import --git {repository} ma", 0),
    ("import --git {source}", 3),
    ("import --git", 2),
    ("import {source}", 2),
    ("log git-main", 0),
    ("ls git-main", 0),
    ("export --git {out}.git", 0),
    ("export --git {out}.git", 3),
    ("export --git main fork {out}2.git", 0),
    ("export --git nope {out}3.git", 3),
    ("export --git", 2),
    ("branch delete git-main", 0),
    ("snapshot delete main@both", 0),
    ("snapshot delete main@both", 3),
    ("snapshot delete main", 3),
    ("branch delete second", 0),
    ("branch delete second", 3),
    ("gc --dry-run", 0),
    ("gc", 0),
    ("check", 0),
    ("check --data", 0),
    ("stats", 0),
    ("mount nope {empty}", 3),
    ("mount main@nope {empty}", 3),
    ("mount main/nope {empty}", 3),
    ("mount main/file {empty}", 3),
    ("mount main/../x {empty}", 3),
    ("mount /main {empty}", 3),
    ("mount main@v1 {source}/file", 3),
    ("mount main {source}/nope", 3),
    ("mount main@v1 {source}", 3),
    ("mount main {empty} -o sideways", 3),
    ("mount main {empty} -o ro,attr_timeout=x", 3),
    ("mount nope {empty} --background", 3),
    ("umount {empty}", 3),
    ("umount {source}/nope --lazy", 3),
    ("export list", 0),
    ("export add --branch vm-* --client 10.0.0.0/8 --name lab", 0),
    ("export add --branch vm-* --client nonsense", 3),
    ("export set lab --squash none --access ro", 0),
    ("export set nope --squash none", 3),
    ("export move lab 1", 0),
    ("export list", 0),
    ("export remove lab", 0),
    ("export remove lab", 3),
    ("export reload", 0),
    ("branch list", 0),
]
# Commands that print no data take no --json; what the gateway alone knows is tested elsewhere.
PLAIN = re.compile(r"cat|u?mount|(branch|snapshot) delete")
# What differs from store to store and from run to run: times, and ids made of them.
FRESH = re.compile(
    r"[0-9a-f]{64}|\b[0-9a-f]{12}\b|rollback-\S+|\d{4}-\d\d-\d\d[T ]\d\d[:.]\d\d[:.]\d\d\S*"
)
FRESH_KEYS = {
    "id", "head", "parent", "snapshot", "ino", "root_ino", "commit", "parents",
    "created_ns", "atime_ns", "mtime_ns", "ctime_ns", "btime_ns", "time_ns",
    "database_bytes", "journal_bytes", "stored_bytes", "pack_bytes", "exclusive_bytes",
    "reclaimable_bytes", "packs", "objects", "unique_bytes", "copied_bytes", "freed_bytes",
    "dead_bytes", "packs_removed", "objects_removed",
}  # fmt: skip
# Sizes in packs depend on ids; nothing is compared of these but that they are there.
SIZES = re.compile(r"(gc|stats)\b")


def fill(source: Path, changed: Path) -> None:
    noise = random.Random(5).randbytes
    for folder in (source, changed):
        (folder / "sub").mkdir(parents=True)
        (folder / "file").write_text("text\n" if folder is source else "other\n")
        (folder / "large").write_bytes(noise(2 * MIB + 17))
        with open(os.path.join(os.fsencode(folder), b"n\xff"), "wb") as file:
            file.write(b"odd")
        (folder / "link").symlink_to("file")
    (source / "sub" / "empty").touch()
    os.link(source / "file", source / "sub" / "hard")
    (changed / "new\n").touch()
    for path in (*source.rglob("*"), *changed.rglob("*"), source, changed):
        stamp(path, T0)


def told(text: bytes, run: Fsgw) -> bytes:
    """Output with what is different in every store left out."""
    text = text.replace(os.fsencode(run.path.parent), b"HERE")
    return FRESH.sub("FRESH", text.decode(errors="surrogateescape")).encode(
        errors="surrogateescape"
    )


def plain(value: Any) -> Any:
    """Data of --json with what is different in every store left out."""
    if isinstance(value, dict):
        return {k: "FRESH" if k in FRESH_KEYS else plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return FRESH.sub("FRESH", value) if isinstance(value, str) else value


def output(run: Fsgw, line: str, code: int, places: dict[str, str]) -> object:
    words = [word.format(odd="\udcff", **places) for word in re.split(" +", line)]
    as_json = not PLAIN.match(line) and code in (0, 1) and len(line) % 2 == 0
    done = run(*words, *(["--json"] if as_json else []), code=code)
    if as_json:
        rows = [json.loads(row) for row in done.stdout.splitlines()]
        return plain(json.loads(json.dumps(rows).replace(str(run.path.parent), "HERE")))
    if SIZES.match(line):
        return len(done.stdout.splitlines())
    return told(done.stdout_bytes, run), told(done.stderr_bytes, run)


@pytest.fixture
def twins(tmp_path: Path) -> Iterator[tuple[Fsgw, Fsgw]]:
    """Two new stores that are alike: one to be used as it is, one with a gateway."""
    runs = []
    for name in ("alone", "through"):
        run = Fsgw(tmp_path / name / "store")
        run.path.parent.mkdir()
        Store.init(run.path, replica=7)
        runs.append(run)
    yield runs[0], runs[1]
    assert runs[0].lines("check", "--data") == ["no problems found"]
    assert runs[1].lines("check", "--data") == ["no problems found"]


def noting(method: Callable[..., Any], called: set[str]) -> Callable[..., Any]:
    """The same, and the names of the operations that it is called for."""

    def note(session: Session, operation: str, /, *args: Any, **values: Any) -> Any:
        called.add(operation)
        return method(session, operation, *args, **values)

    return note


def test_every_command_both_ways(twins: tuple[Fsgw, Fsgw], monkeypatch: pytest.MonkeyPatch) -> None:
    called: set[str] = set()
    for way in ("call", "task", "rows", "content"):
        monkeypatch.setattr(Session, way, noting(getattr(Session, way), called))
    alone, through = twins
    places = []
    for run in twins:
        folder = run.path.parent
        fill(folder / "source", folder / "changed")
        (folder / "empty").mkdir()
        names = ("source", "changed", "out", "empty", "repository")
        places.append({name: str(folder / name) for name in names})
        git = Git(folder / "repository").init()
        git("checkout", "-q", "-b", "git-main")
        git.write("some/file", "in git\n")
        git.commit()
    with serving(through.path):
        for line, code in [("branch create main", 0), *COMMANDS]:
            expected = output(alone, line, code, places[0])
            assert output(through, line, code, places[1]) == expected, line
    restored = [local_tree(Path(place["out"])) for place in places]
    for tree in restored:
        tree[b"some"] = tree[b"some"]._replace(mtime_ns=0)  # made by the import, when it ran
    assert restored[0] == restored[1]
    left = {operation.name for operation in OPERATIONS} - called
    assert left == {
        *("status", "clients", "branches.get", "mounts.list"),
    }
