"""The administrator's operations: a store and plain arguments in, plain data out.

Here is what can be done, with no word on how it is asked for or shown; `fsgw.operations` is the
list of it. Those that change something are durable after the next flush of the store, which is
the caller's to make before it answers. Store errors pass through. Keys of the data: `fsgw.plain`.

How long an operation may take decides its form, so that a gateway can run it beside its clients:
a function is done in one short step; a generator in short steps, of which it yields each row (or
None where it only pauses), `fsgw.steps`, jobs, or reads; and one on a `ReadStore` may be given a
moment of the store, on another thread. `progress` hears of work done and, where known, in all.
"""

from __future__ import annotations

import heapq
import os
import stat
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

from fsgw import plain
from fsgw.importer import Importer, Rules
from fsgw.localfs import PIECE_BYTES, count_units
from fsgw.paths import split_ref
from fsgw.plain import Plain
from fsgw.restorer import restore_directory
from fsgw.steps import Steps, beside
from store import errors
from store.gc import Plan, Result
from store.reading import ReadJob
from store.readstore import ReadStore
from store.store import Job, Store
from store.tree import PAGE_ENTRIES, Tree
from store.types import PAGE_BYTES, ROOT, Data, DirEntry, Inode, Quota, Who

Progress = Callable[[int, int | None], None]

# --- branches ---------------------------------------------------------------------------------


def branches(store: Store) -> list[Plain]:
    """All branches, by name."""
    return [plain.branch(info) for info in store.branches()]


def branch(store: Store, branch: str) -> Plain:
    """One branch."""
    return plain.branch(store.branch(branch))


def create_branch(store: Store, name: str, uid: int, gid: int) -> Plain:
    """A new, empty branch, whose root has that owner and group."""
    return plain.branch(store.create_branch(name, uid, gid))


def delete_branch(store: Store, branch: str) -> None:
    """Delete a branch with its snapshots; what only they held is freed by the next GC."""
    store.delete_branch(branch)


def rename_branch(store: Store, branch: str, name: str) -> Plain:
    """Give a branch another name; its snapshots go with it."""
    store.rename_branch(branch, name)
    return plain.branch(store.branch(name))


def fork(store: Store, source: str, name: str) -> Plain:
    """A new branch that starts as `source`: a branch, snapshot, commit, or directory in one."""
    return plain.branch(store.fork(source, name))


def quota(store: Store, branch: str) -> Plain:
    """A branch's usage and limits."""
    info = store.branch(branch)
    return {"name": branch, **plain.quota(info.usage, info.quota)}


def set_quota(store: Store, branch: str, bytes_max: int | None, inodes_max: int | None) -> Plain:
    """Set the limits given (0: none), keep those that are None; the branch's usage and limits."""
    limits = store.branch(branch).quota
    if bytes_max is not None:
        limits = limits._replace(bytes_max=bytes_max)
    if inodes_max is not None:
        limits = limits._replace(inodes_max=inodes_max)
    store.set_quota(branch, Quota(*limits))
    return quota(store, branch)


# --- history ----------------------------------------------------------------------------------


def create_snapshots(
    store: Store, branches: Sequence[str], name: str | None, message: str, author: str | None
) -> list[Plain]:
    """Snapshot several branches in one atomic step; without `name` they are named by the time."""
    who = None if author is None else Who(author, time.time_ns())
    made = store.snapshot(branches, name=name, message=message, author=who)
    return [plain.snapshot(info) for info in made]


def snapshots(store: Store, branch: str) -> list[Plain]:
    """A branch's snapshots, oldest first."""
    found = sorted(store.snapshots(branch), key=lambda info: (info.author.time_ns, info.id))
    return [plain.snapshot(info) for info in found]


def delete_snapshot(store: Store, branch: str, snapshot: str) -> None:
    """Delete a branch's snapshot; what only it held is freed by the next GC."""
    store.delete_snapshot(branch, snapshot)


def log(store: Store, ref: str, limit: int | None) -> Iterator[Plain]:
    """The history that led to `ref`, newest first."""
    return map(plain.log_entry, store.log(ref, limit))


def diff(store: ReadStore, old: str, new: str, progress: Progress | None) -> Iterator[Plain]:
    """What differs from `old` to `new`, path by path; costs what the difference is big."""
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, None)

    return map(plain.difference, store.diff(old, new, advance))


def rollback(store: Store, branch: str, target: str) -> Plain:
    """Put a branch back to `target`; returns the snapshot that keeps what it was before."""
    return plain.snapshot(store.rollback(branch, target))


# --- files ------------------------------------------------------------------------------------


@contextmanager
def _view(store: ReadStore, ref: str) -> Iterator[Tree]:
    """A read-only tree of what `ref` names now, whatever is written meanwhile."""
    tree = store.view(ref)
    try:
        yield tree
    finally:
        store.close_view(tree)


class Meter:
    """Adds up work done, for somebody who may want to hear of it."""

    def __init__(self, progress: Progress | None, total: int | None) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def advance(self, units: int) -> None:
        """So much more was done."""
        self._done += units
        if self._progress is not None:
            self._progress(self._done, self._total)


def import_tree(
    store: Store,
    branch: str,
    path: str,
    source: str,
    checksum: bool,
    delete: bool,
    snapshot: str | None,
    message: str,
    author: str | None,
    progress: Progress | None,
) -> Steps[Plain]:
    """Make the directory `path` of a branch equal to the local directory `source`.

    Then, if asked for, take a snapshot. What others write there meanwhile may be undone, or end
    the import with an error; what it did until then stays.
    """
    refuse_relative(source)
    if "@" in branch:
        raise errors.ReadOnly(f"{branch!r} is a snapshot: only a branch can be written")
    _, inner = split_ref(f"{branch}/{path}")
    tree = store.tree(branch)
    total = None
    if progress is not None:
        total = yield from beside(count_units, os.fsencode(source))
    importer = Importer(tree, Rules(checksum, delete), Meter(progress, total).advance)
    row = plain.report((yield from importer.run(os.fsencode(source), inner)))
    row["snapshot"] = None
    if snapshot is not None:
        row["snapshot"] = create_snapshots(store, [branch], snapshot, message, author)[0]
    return row


def refuse_relative(path: str) -> None:
    """Raises InvalidArgument unless a local path says where it is by itself."""
    if not os.path.isabs(path):
        raise errors.InvalidArgument(f"{path!r} is no absolute path")


def restore_tree(
    store: ReadStore, source: str, target: str, force: bool, progress: Progress | None
) -> Plain:
    """Restore `source` (REF[/sub/dir]) into the local directory `target`, new or empty."""
    refuse_relative(target)
    ref, path = split_ref(source)
    with _view(store, ref) as tree:
        usage = tree.usage()
        units = usage.used_bytes + PAGE_BYTES * usage.inodes if path == b"/" else None
        advance = Meter(progress, units).advance
        return plain.report(restore_directory(tree, path, os.fsencode(target), force, advance))


def listing(store: ReadStore, ref: str) -> Iterator[Plain | None]:
    """The entries of a directory by name, or the one entry that REF/path names."""
    name, path = split_ref(ref)
    with _view(store, name) as tree:
        inode = _resolve(tree, ref, path)
        if not stat.S_ISDIR(inode.mode):
            yield _entry(tree, path.rpartition(b"/")[2], inode)
            return
        pages: list[list[DirEntry]] = []
        entries = tree.entries(inode.ino)
        while page := sorted(islice(entries, PAGE_ENTRIES)):
            pages.append(page)
            yield None
        for found in heapq.merge(*pages):
            yield _entry(tree, found.name, tree.getattr(found.ino))


def _resolve(tree: Tree, source: str, path: bytes) -> Inode:
    try:
        return tree.resolve(path)
    except (errors.NotFound, errors.NotDirectory):
        raise errors.NotFound(f"{source!r}: no such file or directory") from None


def _entry(tree: Tree, name: bytes, inode: Inode) -> Plain:
    target = tree.readlink(ROOT, inode.ino) if stat.S_ISLNK(inode.mode) else None
    return plain.entry(name, inode, target)


def content(store: ReadStore, ref: str, offset: int) -> Generator[ReadJob, Data, None]:
    """The bytes from `offset` of the regular file REF/path: reads to be run, finished, and sent
    back."""
    name, path = split_ref(ref)
    with _view(store, name) as tree:
        inode = _resolve(tree, ref, path)
        if not stat.S_ISREG(inode.mode):
            raise errors.InvalidArgument(f"{ref!r} is no regular file")
        eof = False
        while not eof:
            data, eof, _ = yield tree.begin_read(ROOT, inode.ino, offset, PIECE_BYTES)
            offset += len(data)


# --- upkeep -----------------------------------------------------------------------------------


def gc_plan(store: Store, progress: Progress | None) -> Generator[Job, None, Plain]:
    """What GC would free now; changes nothing."""
    plans: list[Plan] = []
    yield from _counted(store.gc_plan_steps(plans.append), progress)
    return plain.gc_plan(plans[0])


def gc(store: Store, progress: Progress | None) -> Generator[Job, None, Plain]:
    """Free what nothing refers to any more."""
    results: list[Result] = []
    yield from _counted(store.gc_steps(results.append), progress)
    return plain.gc_result(results[0])


def _counted(jobs: Iterator[Job], progress: Progress | None) -> Iterator[Job]:
    for count, job in enumerate(jobs, 1):
        yield job
        if progress is not None:
            progress(count, None)


def check(store: ReadStore, data: bool, progress: Progress | None) -> Plain:
    """Every broken invariant of the store; with `data` every stored byte is verified as well."""
    return {"problems": [plain.problem(found) for found in store.check(data, progress)]}


def stats(store: ReadStore, progress: Progress | None) -> Plain:
    """Objects and bytes, in all and by branch and snapshot."""
    return plain.stats(store.stats(progress))
