"""Import: the history of a git repository into branches and snapshots.

Branches become branches, tags become snapshots of the first branch that has their commit, each
under the nearest name that the store allows; its exact name in git is kept. Only commits that are
not known yet are read, so importing again costs what is new. A branch that went on here in the
meantime, or that git has rewound, is left as it is and reported.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

from gitdoor import objects
from gitdoor.attributes import REF
from gitdoor.names import HEADS, TAGS, is_ref, store_name
from gitdoor.objects import BadObject, tag_target
from gitdoor.refs import branch_names, tag_names
from gitdoor.restoring import Tellings, roots_in
from gitdoor.source import Large, Repository, Source
from gitdoor.translate import NOBODYS, FromFiles, Owner, Translator
from gitdoor.work import Work
from store import errors
from store.carrying import Carriage
from store.gitrows import (
    BRANCH_NAME,
    COMMIT,
    SNAPSHOT_NAME,
    TAG,
    GitRef,
    GitRows,
    object_row,
    put_rows,
    ref_row,
)
from store.records import NO_ID, Commit
from store.store import Store

Step = Callable[[], Any] | int
Beside = Generator[Step, Any, Any]
"""A generator of functions to be called on any thread, and of numbers where it only pauses, so
that what was published can be made durable; see the package."""

Advance = Callable[[int], None]
Follows = set[tuple[bytes, bytes]]
"""Pairs of commits of the store: the first is the second, or descends from it."""

_INOS_MIN = 1 << 12
_PATHS_MAX = 5


class Report(NamedTuple):
    """What an import did: numbers of commits, branches and tags, and what was left as it was."""

    commits: int
    branches: int
    tags: int
    troubles: list[str]


class Wanted(NamedTuple):
    """A ref to be brought in: full name, commit, and the tag objects that lead to it."""

    name: bytes
    commit: bytes
    tags: tuple[bytes, ...]


def import_repository(
    store: Store,
    repository: Repository,
    prefixes: Sequence[bytes],
    owner: Owner,
    advance: Advance,
) -> Generator[Step, Any, Report]:
    """Import all branches, or those whose names start with one of the prefixes, and their tags.
    What is new belongs to the owner of the directory that it is in, the root to `owner`.

    Raises InvalidArgument, NotFound, StorageFailure; what was imported until then is not shown by
    any branch, and need not be read again.
    """
    with store.held():
        work = Work(store.engine)
        also = repository.another()  # what it is asked comes between the answers to other questions
        try:
            refs, first = yield repository.refs
            heads = _branches(refs, prefixes, first)
            known = known_tips(store)
            tips = [refs[name][1] for name in heads]
            tags = [name for name in refs if name.startswith(TAGS)]
            if not prefixes:
                tips += [refs[name][1] for name in tags]
            commits = yield partial(_listed, repository, tips, known)
            fresh = [oid for oid in commits if work.commit_of(oid) is None]
            tellings = yield partial(_tellings, also, bool(fresh))
            yield from translated(
                store, work, repository, fresh, None, advance, tellings=tellings, owner=owner
            )
            lines = yield partial(_tagged, repository, work, refs, heads, tags)
            pairs = [(work.commit_of(refs[name][1]), newest_of(store, name)) for name in heads]
            follows = yield partial(following, work, pairs)
            return _put_refs(store, work, refs, heads, lines, follows, len(fresh))
        finally:
            work.close()
            repository.close()
            also.close()


def _tellings(repository: Repository, wanted: bool) -> Tellings | None:
    """What a repository tells that git cannot say, if it does and if it is wanted."""
    top = repository.tree_of(REF) if wanted else None
    try:
        return None if top is None else Tellings(repository, roots_in(repository, top))
    except BadObject as error:
        raise errors.InvalidArgument(str(error)) from None


def _listed(repository: Repository, tips: list[bytes], known: list[bytes]) -> list[bytes]:
    """The new commits; a tag of anything else has none."""
    there = repository.kinds(tips)
    return repository.commits([tip for tip in tips if there.get(tip) == COMMIT], known)


def _branches(
    refs: dict[bytes, tuple[bytes, bytes]], prefixes: Sequence[bytes], first: bytes
) -> list[bytes]:
    """The branches that are wanted, the repository's own first one first."""
    names = [name for name in refs if name.startswith(HEADS)]
    if prefixes:
        names = [n for n in names if n[len(HEADS) :].startswith(tuple(prefixes))]
    return sorted(names, key=lambda name: (name != first, name))


def known_tips(store: Store) -> list[bytes]:
    """Ids of commits that branches and snapshots are, as git knows them."""
    rows = GitRows(store.engine)
    commits = {record.commit for record in store.history.snapshots.values()} - {NO_ID}
    found = [rows.commit(oid) for oid in commits]
    return [record.id for record in found if record is not None]


def translated(
    store: Store,
    work: Work,
    source: Source,
    commits: list[bytes],
    file_time_ns: int | None,
    advance: Advance,
    from_files: FromFiles | None = None,
    tellings: Tellings | None = None,
    owner: Owner = NOBODYS,
) -> Beside:
    """Bring commits in, parents first; the store knows them then, but no branch has them."""
    engine = store.engine
    now_ns = engine.now()
    translator = Translator(engine, work, source, now_ns, file_time_ns, from_files, tellings, owner)
    done = 0
    while done < len(commits):
        before = done
        done = yield partial(translator.run, commits, done)
        advance(done - before)
        if translator.wanted:
            work.reserve(max(_INOS_MIN, translator.wanted))
        else:
            yield work.sync
            work.publish()
            yield 0


# --- refs -------------------------------------------------------------------------------------


class _Line(NamedTuple):
    """A tag, and the branch that has its commit, by number among the branches; -1: none."""

    wanted: Wanted
    branch: int


def _tagged(
    repository: Repository,
    work: Work,
    refs: dict[bytes, tuple[bytes, bytes]],
    heads: list[bytes],
    tags: list[bytes],
) -> list[_Line]:
    """The tags of commits that were imported. Any thread."""
    owners: dict[bytes, int] = {}
    for number, name in enumerate(heads if tags else ()):  # for no tags it is a long way
        tip = work.commit_of(refs[name][1])
        todo = [] if tip is None else [tip]
        while todo:
            oid = todo.pop()
            if oid not in owners:
                owners[oid] = number
                todo += Commit.decode(work.view.get(oid)).parents
    lines = []
    for name in tags:
        commit = work.commit_of(refs[name][1])
        if commit is not None:
            chain = _chain(repository, *refs[name])
            lines.append(_Line(Wanted(name, commit, chain), owners.get(commit, -1)))
    return lines


def _chain(source: Source, oid: bytes, commit: bytes) -> tuple[bytes, ...]:
    """The tag objects from one on to the commit that it names in the end."""
    found = []
    while oid != commit:
        ((_, kind, data),) = source.read([oid])
        if kind != TAG or isinstance(data, Large):
            raise errors.InvalidArgument(f"{oid.hex()} is no tag")
        found.append(data)
        try:
            oid, _ = tag_target(data)
        except BadObject as error:
            raise errors.InvalidArgument(f"tag {oid.hex()}: {error}") from None
    return tuple(found)


def _put_refs(
    store: Store,
    work: Work,
    refs: dict[bytes, tuple[bytes, bytes]],
    heads: list[bytes],
    lines: list[_Line],
    follows: Follows,
    commits: int,
) -> Report:
    """Set all branches and snapshots in one step."""
    troubles: list[str] = []
    named: list[str] = []
    branches = tags = 0
    for name in heads:
        oid = work.commit_of(refs[name][1])
        if oid is None or not is_ref(name):
            troubles.append(f"{objects.text(name)}: is no branch of commits")
            named.append("")
            continue
        branch = branch_of(store, name)
        if branch is None:
            branch = new_branch(store, name)
        named.append(branch)
        trouble = moved(store, branch, oid, follows)
        if trouble is None:
            branches += 1
        elif trouble:
            troubles.append(f"{objects.text(name)}: {trouble}")
    for line in lines:
        branch = named[max(line.branch, 0)] if named else ""
        if not branch or not is_ref(line.wanted.name):
            troubles.append(f"{objects.text(line.wanted.name)}: no branch to keep it with")
        elif put_tag(store, branch, line.wanted):
            tags += 1
    return Report(commits, branches, tags, troubles)


def branch_of(store: Store, name: bytes) -> str | None:
    """The store's branch that git knows by a full name, None where there is none."""
    return branch_names(store).get(name)


def new_branch(store: Store, name: bytes) -> str:
    """Make an empty branch for one of git's."""
    wanted = store_name(name[len(HEADS) :])
    taken = {info.name for info in store.branches()}
    found, count = wanted, 1
    while found in taken:
        count += 1
        found = f"{wanted}-{count}"
    info = store.create_branch(found)
    if HEADS + found.encode() != name:
        put_rows(store.engine, [ref_row(BRANCH_NAME, info.id, GitRef(name))])
    return found


def newest_of(store: Store, name: bytes) -> bytes:
    """The commit that a branch of git's is here; NO_ID without one."""
    branch = branch_of(store, name)
    newest = None if branch is None else store.history.head(branch).snapshot
    return store.history.snapshots[newest].commit if newest else NO_ID


def moved(store: Store, branch: str, oid: bytes, follows: Follows | None) -> str | None:
    """Make a branch a commit that is stored; None, or why it stays: `` where it is that already.

    Without `follows` the commit need not descend from what the branch is.
    """
    history = store.history
    newest = history.snapshots.get(history.head(branch).snapshot)
    if newest is not None and newest.commit == oid and history.is_clean(branch):
        return ""
    way = _way(store, branch, oid, follows)
    if isinstance(way, str):
        return way
    number = history.add_snapshot(branch, oid, None)
    if way is None:
        history.advance(branch, number)
    else:
        history.carry(branch, number, way)
    return None


def obstacle(store: Store, branch: str, oid: bytes, follows: Follows | None) -> str:
    """What `moved` would say against it, and nothing is changed."""
    way = _way(store, branch, oid, follows)
    return way if isinstance(way, str) else ""


def _way(store: Store, branch: str, oid: bytes, follows: Follows | None) -> Carriage | str | None:
    """How a branch becomes a commit: what takes its own changes along, if it has any; or why it
    cannot."""
    history = store.history
    head = history.head(branch)
    newest = history.snapshots.get(head.snapshot)
    if newest is not None and follows is not None and (oid, newest.commit) not in follows:
        return "has snapshots that are not in what would replace it"
    commit = history.commit(oid)
    carriage = None
    if not history.is_clean(branch):
        carriage = history.carriage(branch, commit)
        if carriage is None:
            return "has changes that are in no snapshot"
        if carriage.in_the_way:
            paths = _paths(store, branch, carriage.in_the_way)
            return f"changes that are in no snapshot would be overwritten: {paths}"
    limits = history.branches[head.branch].quota
    if limits.bytes_max and commit.usage.used_bytes > limits.bytes_max:
        return f"the quota of {limits.bytes_max} bytes would be passed"
    if limits.inodes_max and commit.usage.inodes > limits.inodes_max:
        return f"the quota of {limits.inodes_max} inodes would be passed"
    return carriage


def _paths(store: Store, branch: str, inos: set[int]) -> str:
    """Where some inodes are, a few of them, for a person."""
    tree = store.tree(branch)
    found = [path for ino in inos if tree.find(ino) for path in tree.paths_of(ino)[:1]]
    names = [objects.text(path[1:]) or "/" for path in sorted(found)] or ["a removed file"]
    more = [] if len(names) <= _PATHS_MAX else [f"{len(names) - _PATHS_MAX} more"]
    return ", ".join([*names[:_PATHS_MAX], *more]).replace("\n", "?")


def following(work: Work, pairs: Iterable[tuple[bytes | None, bytes]]) -> Follows:
    """Of pairs of commits those of which the first is the second or descends from it. Any thread:
    it may be a long way."""
    found: set[tuple[bytes, bytes]] = set()
    for oid, ancestor in pairs:
        seen, todo = {oid}, deque([oid] if oid is not None and ancestor != NO_ID else [])
        while todo:
            at = todo.popleft()  # in breadth: what a branch was is near what it is to be
            if at == ancestor and oid is not None:
                found.add((oid, ancestor))
                break
            fresh = set(Commit.decode(work.view.get(at)).parents) - seen
            seen |= fresh
            todo += fresh
    return found


def put_tag(store: Store, branch: str, wanted: Wanted) -> bool:
    """Make a tag's snapshot, or move it; whether anything changed."""
    history = store.history
    known = tag_names(store).get(wanted.name)
    if known is not None:
        row = GitRef(wanted.name, wanted.tags)
        same = GitRows(store.engine).snapshot_ref(known)
        if history.snapshots[known].commit == wanted.commit and (
            same == row or (same is None and not wanted.tags)
        ):
            return False
        history.delete_snapshot(known)
    name, count = store_name(wanted.name[len(TAGS) :]), 1
    wanted_name = name
    while True:
        try:
            number = history.add_snapshot(branch, wanted.commit, name)
            break
        except errors.RefExists:
            count += 1
            name = f"{wanted_name}-{count}"
    rows = [ref_row(SNAPSHOT_NAME, number, GitRef(wanted.name, wanted.tags))]
    rows += [object_row(objects.object_id(TAG, raw), TAG, NO_ID, number) for raw in wanted.tags]
    put_rows(store.engine, rows)
    return True
