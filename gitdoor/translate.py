"""Commits of git into commits of the store, each as the changes that it makes to its first parent.

Only what differs between the two trees is read and written; all other inodes stay what they are.
A path that stays keeps its inode, and with it whatever git cannot say of it. A new one belongs
to the owner of its directory. Names that git does not see are left alone unless git wants one for
something else.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gitdoor.entries import key_of
from gitdoor.making import WEIGHT_MAX, Directory, Item, Making, Plan, Told, form
from gitdoor.mapping import Live
from gitdoor.names import left_out
from gitdoor.objects import (
    DIRECTORY,
    EMPTY_TREE,
    EXECUTABLE,
    FILE,
    LINK,
    SUBMODULE,
    BadObject,
    Parsed,
    made_commit,
    parse_commit,
    sort_key,
)
from gitdoor.reading import Difference, Reading
from gitdoor.restoring import Tellings
from gitdoor.source import Large, Source
from gitdoor.work import Work
from store import errors, objectid, prolly
from store.engine import Engine
from store.gitrows import BLOB, COMMIT, GitCommit, GitEntry, object_row
from store.readstore import EMPTY_ROOT
from store.records import Commit
from store.scratch import Scratch
from store.types import Usage

# Objects that were put before they are published.
_OBJECTS_MAX = 50_000
_FILE_MODES = frozenset((FILE, EXECUTABLE, 0o100664))


class Owner(NamedTuple):
    """A user and a group."""

    uid: int
    gid: int


NOBODYS = Owner(0, 0)


class FromFiles(NamedTuple):
    """A commit that git made from the files of a tree: it is brought in as changes to that tree,
    not to its parent, so that what git cannot say of the files is as it is there."""

    commit: bytes
    live: Live


class Translator:
    """See the module. `file_time_ns`: the mtime of files that change; None: the commit's time."""

    def __init__(
        self,
        engine: Engine,
        work: Work,
        source: Source,
        now_ns: int,
        file_time_ns: int | None,
        from_files: FromFiles | None = None,
        tellings: Tellings | None = None,
        owner: Owner = NOBODYS,
    ) -> None:
        """`tellings`: what is told of the commits that git cannot say; `owner`: whose the root of a
        commit without parents is, and so all that is in it."""
        self._owner = owner
        self._engine, self._work, self._source = engine, work, source
        self._from_files, self._tellings = from_files, tellings
        self._now_ns, self._file_time_ns = now_ns, file_time_ns
        self._scratch = Scratch(engine, work.view, work.writer, work.numbers)
        self._plan: Plan | None = None
        self._reading = Reading(source)
        self.wanted = 0  # inode numbers that the next commit needs

    def run(self, commits: Sequence[bytes], done: int) -> int:
        """Translate commits from number `done` on; says how many are done then.

        It stops early where inode numbers are `wanted`, or there is much to be published.
        Parents come first. Raises InvalidArgument for what the store cannot hold, NotFound.
        """
        self._scratch.write_to(self._work.writer)
        while done < len(commits):
            plan = self._plan or self._planned(commits, done)
            self._plan, self.wanted = plan, plan.new_inodes
            if self._work.numbers.left < plan.new_inodes:
                return done
            self._plan = None
            self._made(plan)
            done += 1
            if len(self._work.writer.added) > _OBJECTS_MAX:
                break
        self.wanted = 0
        return done

    # --- reading ------------------------------------------------------------------------------

    def _planned(self, commits: Sequence[bytes], number: int) -> Plan:
        git_id, raw = commits[number], self._reading.commit(commits, number)
        try:
            parsed = parse_commit(raw)
            base = self._base(git_id, parsed)
            was, ino = (EMPTY_TREE, 1) if base is None else (base.tree, base.root_ino)
            top = Directory(b"", ino, parsed.tree, was)
            links, count = self._read_trees(top, base)
            told: list[Told] = []
            if self._tellings is not None:
                told = self._tellings.changes(git_id, None if base is None else base.id, top)
        except BadObject as error:
            raise errors.InvalidArgument(f"commit {git_id.hex()}: {error}") from None
        usage = Usage(0, 1)
        if base is not None:
            live = None if base.id or self._from_files is None else self._from_files.live
            usage = self._work.usage(base) if live is None else live.usage
        count += sum(len(directory.new) for directory in told)
        return Plan(git_id, raw, parsed, top, base, usage, links, count, told)

    def _base(self, git_id: bytes, parsed: Parsed) -> GitCommit | None:
        known = self._parent(parsed)
        if self._from_files is not None and self._from_files.commit == git_id:
            return self._from_files.live.record
        return known

    def _parent(self, parsed: Parsed) -> GitCommit | None:
        """The first parent whose tree is there."""
        for parent in parsed.parents:
            oid = self._work.commit_of(parent)
            if oid is None:
                raise errors.NotFound(f"the parent {parent.hex()} is not known here")
            found = self._work.commit(oid)
            if found is not None and self.has_tree(found):
                return found
        return None

    def has_tree(self, record: GitCommit) -> bool:
        """Whether a commit's maps are there."""
        added, view = self._work.writer.added, self._work.view
        return all(x in added or view.has(x) for x in (record.root, record.entries))

    def _read_trees(self, top: Directory, base: GitCommit | None) -> tuple[dict[bytes, bytes], int]:
        """Fill in what differs, level by level; says the targets of new links, and how many inodes
        may be made."""
        level = [] if top.tree == top.was else [top]
        links: dict[bytes, bytes] = {}
        count = 0
        while level:
            found = self._reading.differences([(one.tree, one.was) for one in level])
            below: list[Directory] = []
            for directory in level:
                self._compare(directory, base, found[directory.tree, directory.was])
                count += len(directory.items)
                for item in directory.items:
                    if item.mode == DIRECTORY:
                        below.append(_sub(directory, item))
                    elif item.mode == LINK:
                        links[item.id] = b""
            level = below
        for oid, kind, data in self._source.read(list(links)):
            if kind != BLOB or isinstance(data, Large):
                raise errors.InvalidArgument(f"the target of a link: {oid.hex()} is no short blob")
            links[oid] = data
        return links, count

    def _compare(
        self, directory: Directory, base: GitCommit | None, difference: Difference
    ) -> None:
        """Note the entries of a directory that differ."""
        old: dict[bytes, GitEntry] = {}
        if base is not None:
            for mode, name, _ in difference.old:
                key = key_of(directory.ino, sort_key(name, int(mode, 8)))
                value = prolly.get(self._scratch.nodes, base.entries, key)
                if value is None:
                    raise errors.Damaged(f"{directory.path + name!r} has no entry")
                old[name] = GitEntry.decode(value)
        for mode, name, oid in difference.new:
            item = Item(name, int(mode, 8), oid, old.pop(name, None))
            _check(directory, item)
            directory.items.append(item)
        directory.gone = list(old.items())

    # --- making -------------------------------------------------------------------------------

    def _made(self, plan: Plan) -> None:
        scratch, base = self._scratch, plan.base
        scratch.now_ns = self._now_ns
        entries = EMPTY_ROOT
        if base is None:
            tree = scratch.empty_tree(EMPTY_ROOT, *self._owner)
        else:
            tree = scratch.tree_over(base.root, base.root_ino, plan.usage)
            entries = base.entries
        committed_ns = plan.parsed.committer.time_ns
        time_ns = committed_ns if self._file_time_ns is None else self._file_time_ns
        making = Making(tree, scratch, plan, time_ns)
        making.directory(plan.top)
        self._contents(making)
        left = 0 if base is None else base.left_out
        if plan.told and self._tellings is not None:
            try:
                left += self._tellings.restore(making, base, plan.told, self._extents)
            except BadObject as error:
                raise errors.InvalidArgument(f"commit {plan.git_id.hex()}: {error}") from None
        root = scratch.fold(tree)
        if base is None or plan.parsed.tree != base.tree:
            making.climb(plan.parsed.tree)
        entries = prolly.edit(scratch.nodes, scratch.nodes, entries, sorted(making.changes.items()))
        record = GitCommit(
            plan.git_id,
            plan.parsed.tree,
            root,
            entries,
            tree.root,
            True,
            left,
            b"",
        )
        self._add(plan, record, Commit(root, tree.root, tree.usage(), (), *plan.parsed[2:]))
        oid = self._work.commit_of(plan.git_id)
        assert oid is not None
        made = making.made
        if base is not None and not base.id:
            made = self._added(plan.parsed, entries)
        rows = self._work.rows
        rows += [object_row(e.id, e.kind, oid, e.ino) for e in made if e.kind]
        rows.append(object_row(plan.git_id, COMMIT, oid, 0))

    def _added(self, parsed: Parsed, entries: bytes) -> list[GitEntry]:
        """What a map of entries has that the parent's has not."""
        parent, nodes = self._parent(parsed), self._scratch.nodes
        before = EMPTY_ROOT if parent is None else parent.entries
        found = [now for _, _, now in prolly.diff(nodes, before, entries) if now is not None]
        return [GitEntry.decode(value) for value in found]

    def _contents(self, making: Making) -> None:
        """Fetch the blobs that are wanted and put them in place."""
        scratch = self._scratch
        for oid, kind, data in self._source.read(list(making.wanted)):
            if kind != BLOB:
                raise errors.InvalidArgument(f"{oid.hex()} is no blob")
            size, extents = self._extents(data)
            for ino in making.wanted[oid]:
                making.tree.replace(ino, size, extents, making.time_ns)
            if scratch.weight > WEIGHT_MAX:
                scratch.fold(making.tree)

    def _extents(self, data: bytes | Large) -> tuple[int, list[bytes | None]]:
        extent, length = self._scratch.extent, self._engine.block_bytes
        if not isinstance(data, Large):
            size = len(data)
            if size <= length:
                return size, [extent(data)] if size else []
            return size, [extent(data[at : at + length]) for at in range(0, size, length)]
        return data.size, [extent(block) for block in _blocks(data.pieces, length)]

    def _add(self, plan: Plan, record: GitCommit, commit: Commit) -> None:
        """Store the commit, under an id that no other commit of git has."""
        work = self._work
        parents = [work.commit_of(parent) for parent in plan.parsed.parents]
        commit = commit._replace(parents=tuple(oid for oid in parents if oid is not None))
        if made_commit(commit, plan.parsed.tree, plan.parsed.parents) != plan.raw:
            record = record._replace(raw=plan.raw)
        while True:
            oid = work.writer.put(objectid.COMMIT, commit.encode())
            known = work.commit(oid)
            if known is None or known.id == record.id:
                break
            # Git has two commits where the store has words for one: they differ in what git alone
            # knows, a signature say. A nanosecond tells them apart; git counts in seconds.
            who = commit.committer
            commit = commit._replace(committer=who._replace(time_ns=who.time_ns + 1))
        work.add_commit(oid, record, commit.usage)


def _blocks(pieces: Iterator[bytes], length: int) -> Iterator[bytes]:
    """The same bytes in blocks of one length, but for the last."""
    held = bytearray()
    for piece in pieces:
        held += piece
        while len(held) >= length:
            yield bytes(held[:length])
            del held[:length]
    if held:
        yield bytes(held)


def _sub(directory: Directory, item: Item) -> Directory:
    """A directory that is to be looked into: one that stays, or a new one."""
    ino, was = 0, EMPTY_TREE
    if item.old is not None and form(item.old.mode) == "d":
        ino = item.old.ino
        was = item.old.id if item.old.mode == DIRECTORY else EMPTY_TREE
    sub = Directory(directory.path + item.name + b"/", ino, item.id, was)
    directory.subs[item.name] = sub
    return sub


def _check(directory: Directory, item: Item) -> None:
    """Raises BadObject for an entry that a tree must not have."""
    if item.mode not in _FILE_MODES and item.mode not in (DIRECTORY, LINK, SUBMODULE):
        raise BadObject(f"{directory.path + item.name!r} has mode {item.mode:o}")
    kind = stat.S_IFLNK if item.mode == LINK else stat.S_IFREG
    if left_out(item.name, kind):
        raise BadObject(f"the name {directory.path + item.name!r} is refused")
