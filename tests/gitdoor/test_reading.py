"""Reading ahead: what is asked for, that it is the same as without, and what goes wrong in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from gitdoor import reading, source
from gitdoor.objects import EMPTY_TREE, BadObject, object_id, parse_commit, tree_bytes
from gitdoor.reading import Reading
from gitdoor.source import Found, Repository
from store.errors import InvalidArgument, NotFound, StorageFailure
from store.gitrows import BLOB, COMMIT, TREE
from store.store import Store
from tests.gitdoor.helpers import brought_in
from tests.gitdoor.repositories import Git


class Objects:
    """A source in memory, that counts how often it was asked."""

    def __init__(self) -> None:
        self.objects: dict[bytes, tuple[int, bytes]] = {}
        self.questions: list[list[bytes]] = []

    def put(self, kind: int, data: bytes) -> bytes:
        oid = object_id(kind, data)
        self.objects[oid] = kind, data
        return oid

    def tree(self, *entries: tuple[bytes, int, bytes]) -> bytes:
        return self.put(TREE, tree_bytes(entries))

    def commit(self, tree: bytes, *parents: bytes) -> bytes:
        lines = [b"tree %s" % tree.hex().encode()]
        lines += [b"parent %s" % parent.hex().encode() for parent in parents]
        lines += [b"author A <a> 1 +0000", b"committer A <a> 1 +0000"]
        return self.put(COMMIT, b"\n".join([*lines, b"", b"%d\n" % len(self.objects)]))

    def read(self, ids: Sequence[bytes]) -> Iterator[Found]:
        if ids:
            self.questions.append(list(ids))
        for oid in ids:
            if oid not in self.objects:
                raise NotFound(oid.hex())
            yield oid, *self.objects[oid]


def history(objects: Objects, count: int) -> list[bytes]:
    """Commits of which each changes one file two directories down."""
    commits: list[bytes] = []
    for number in range(count):
        blob = objects.put(BLOB, b"%d" % number)
        below = objects.tree((b"file", 0o100644, blob), (b"same", 0o100644, b"s" * 20))
        middle = objects.tree((b"below", 0o040000, below))
        top = objects.tree((b"middle", 0o040000, middle), (b"other", 0o100644, b"o" * 20))
        commits.append(objects.commit(top, *commits[-1:]))
    return commits


def read_all(read: Reading, commits: list[bytes]) -> list[object]:
    """What an import would learn of commits: their bytes, and what differs level by level."""
    found: list[object] = []
    was = EMPTY_TREE
    for number in range(len(commits)):
        raw = read.commit(commits, number)
        tree = parse_commit(raw).tree
        level = [(tree, was)]
        while level:
            differences = read.differences(level)
            found += [raw, differences]
            level = [pair for one in differences.values() for pair in reading._directories(one)]
        was = tree
    return found


def test_many_commits_take_few_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = Objects()
    commits = history(objects, 200)
    found = read_all(Reading(objects), commits)
    assert len(objects.questions) < 50
    asked = [oid for question in objects.questions for oid in question]
    assert len(asked) == len(set(asked))
    one_by_one = Objects()
    one_by_one.objects = objects.objects
    monkeypatch.setattr(reading, "_COMMITS_MAX", 1)
    assert read_all(Reading(one_by_one), commits) == found
    assert len(one_by_one.questions) > 200


def test_fewer_commits_are_read_together_where_they_bring_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "_ITEMS_AHEAD_MAX", 20)
    objects = Objects()
    commits = history(objects, 100)
    read_all(Reading(objects), commits)
    of_commits = [len(question) for question in objects.questions if question[0] in commits]
    assert max(of_commits) <= 8


def test_what_is_bad_is_said_of_the_commit_that_has_it() -> None:
    objects = Objects()
    commits = history(objects, 10)
    unsorted = objects.tree((b"b", 0o100644, b"o" * 20), (b"a", 0o100644, b"o" * 20))
    commits.append(objects.commit(unsorted, commits[-1]))
    commits.append(objects.commit(EMPTY_TREE, commits[-1]))
    read = Reading(objects)
    read_all(read, commits[:10])
    was = parse_commit(objects.objects[commits[9]][1]).tree
    assert parse_commit(read.commit(commits, 10)).tree == unsorted
    with pytest.raises(BadObject, match="not in order"):
        read.differences([(unsorted, was)])
    assert parse_commit(read.commit(commits, 11)).tree == EMPTY_TREE


def test_what_is_no_commit_or_no_tree_is_refused() -> None:
    objects = Objects()
    blob = objects.put(BLOB, b"blob")
    read = Reading(objects)
    with pytest.raises(InvalidArgument, match="is no commit"):
        read.commit([blob], 0)
    with pytest.raises(BadObject, match="is no tree"):
        read.differences([(blob, EMPTY_TREE)])
    with pytest.raises(NotFound):
        read.differences([(b"n" * 20, EMPTY_TREE)])


def test_answers_come_in_the_order_of_the_questions(
    git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is asked ahead: more than one part, and a large one among them."""
    monkeypatch.setattr(source, "_AHEAD", 4)
    monkeypatch.setattr(source, "PIECE_BYTES", 10)
    names = git("rev-list", "--objects", "--no-object-names", "--all").split()
    repository = Repository(git.path)
    for ids in ([bytes.fromhex(name) for name in names], [], [bytes.fromhex(names[0])]):
        seen = []
        for oid, kind, data in repository.read(ids):
            whole = data if isinstance(data, bytes) else b"".join(data.pieces)
            assert object_id(kind, whole) == oid
            seen.append(oid)
        assert seen == ids
    repository.close()


def test_git_that_ends_is_noticed(git: Git) -> None:
    ids = [bytes.fromhex(name) for name in git("rev-list", "--all").split()]
    repository = Repository(git.path)
    list(repository.read(ids))
    process = repository._process
    assert process is not None
    process.kill()
    process.wait()
    with pytest.raises((StorageFailure, NotFound)):
        list(repository.read(ids))
    repository.close()


def test_an_object_that_is_missing_ends_the_import(store: Store, tmp_path: Path) -> None:
    """Nothing of it is shown, and with the object there it can be done again."""
    git = Git(tmp_path / "repository").init()
    for number in range(30):
        git.write("dir/file", f"{number}\n")
        git.commit(f"{number}")
    name = git("rev-parse", "main~3:dir").strip()
    path = git.path / ".git" / "objects" / name[:2] / name[2:]
    data = path.read_bytes()
    path.unlink()
    with pytest.raises(NotFound, match=name):
        brought_in(store, git)
    assert store.branches() == []
    path.write_bytes(data)
    assert brought_in(store, git)["commits"] == 30
