"""The administrator's operations: an open store and plain arguments in, plain data out.

Here is what can be done, with no word on how it is asked for or shown; the command line is one
door to it. Each operation is one or a few atomic steps of the store. Those that change something
are durable after the next flush of the store, which is the caller's to make before it answers;
`import_tree` makes its own. Store errors pass through. Keys of the data: `fsgw.plain`.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from fsgw import plain
from fsgw.importer import Rules, import_directory
from fsgw.localfs import PIECE_BYTES
from fsgw.paths import entries_of, split_ref
from fsgw.plain import Plain
from fsgw.restorer import restore_directory
from store import checking, errors
from store.gc import Result
from store.store import Store
from store.tree import Tree
from store.types import ROOT, BranchInfo, Inode, Quota, Who

Advance = Callable[[int], None]

# --- branches ---------------------------------------------------------------------------------


def _branch_info(store: Store, name: str) -> BranchInfo:
    for info in store.branches():
        if info.name == name:
            return info
    raise errors.UnknownRef(f"no branch is called {name!r}")


def branches(store: Store) -> list[Plain]:
    """All branches, by name."""
    return [plain.branch(info) for info in sorted(store.branches())]


def create_branch(store: Store, name: str) -> Plain:
    """A new, empty branch."""
    store.create_branch(name)
    return plain.branch(_branch_info(store, name))


def delete_branch(store: Store, name: str) -> None:
    """Delete a branch with its snapshots; what only they held is freed by the next GC."""
    store.delete_branch(name)


def rename_branch(store: Store, old: str, new: str) -> Plain:
    """Give a branch another name; its snapshots go with it."""
    store.rename_branch(old, new)
    return plain.branch(_branch_info(store, new))


def fork(store: Store, source: str, name: str) -> Plain:
    """A new branch that starts as `source`: a branch, snapshot, commit, or directory in one."""
    return plain.branch(store.fork(source, name))


def quota(store: Store, name: str, bytes_max: int | None, inodes_max: int | None) -> Plain:
    """Set the limits given (0: none), keep those that are None; the branch's usage and limits."""
    info = _branch_info(store, name)
    limits = info.quota
    if bytes_max is not None:
        limits = limits._replace(bytes_max=bytes_max)
    if inodes_max is not None:
        limits = limits._replace(inodes_max=inodes_max)
    if limits != info.quota:
        store.set_quota(name, Quota(*limits))
    return {"name": name, **plain.quota(info.usage, limits)}


# --- history ----------------------------------------------------------------------------------


def create_snapshots(
    store: Store, names: Sequence[str], name: str | None, message: str, author: str | None
) -> list[Plain]:
    """Snapshot several branches in one atomic step; without `name` they are named by the time."""
    who = None if author is None else Who(author, time.time_ns())
    made = store.snapshot(names, name=name, message=message, author=who)
    return [plain.snapshot(info) for info in made]


def snapshots(store: Store, name: str) -> list[Plain]:
    """A branch's snapshots, oldest first."""
    found = sorted(store.snapshots(name), key=lambda info: (info.author.time_ns, info.id))
    return [plain.snapshot(info) for info in found]


def delete_snapshot(store: Store, ref: str) -> None:
    """Delete `BRANCH@NAME`; what only it held is freed by the next GC."""
    name, at, snapshot = ref.partition("@")
    if not at:
        raise errors.InvalidRef(f"{ref!r} is no snapshot: BRANCH@NAME is")
    store.delete_snapshot(name, snapshot)


def log(store: Store, ref: str, limit: int | None) -> Iterator[Plain]:
    """The history that led to `ref`, newest first."""
    return map(plain.log_entry, store.log(ref, limit))


def diff(store: Store, a: str, b: str) -> Iterator[Plain]:
    """What differs from `a` to `b`, path by path; costs what the difference is big."""
    return map(plain.difference, store.diff(a, b))


def rollback(store: Store, name: str, target: str) -> Plain:
    """Put a branch back to `target`; returns the snapshot that keeps what it was before."""
    return plain.snapshot(store.rollback(name, target))


# --- files ------------------------------------------------------------------------------------


@contextmanager
def _view(store: Store, ref: str) -> Iterator[Tree]:
    """A read-only tree of what `ref` names now, whatever is written meanwhile."""
    tree = store.view(ref)
    try:
        yield tree
    finally:
        store.close_view(tree)


def import_tree(
    store: Store,
    source: str,
    target: str,
    checksum: bool,
    delete: bool,
    advance: Advance,
) -> Plain:
    """Make `target` (BRANCH[/sub/dir]) equal to the local directory `source`; durable."""
    name, path = split_ref(target)
    if "@" in name:
        raise errors.ReadOnly(f"{name!r} is a snapshot: only a branch can be written")
    rules = Rules(checksum, delete)
    done = import_directory(store, store.tree(name), os.fsencode(source), path, rules, advance)
    return plain.report(done)


def restore_tree(store: Store, source: str, target: str, force: bool, advance: Advance) -> Plain:
    """Restore `source` (REF[/sub/dir]) into the local directory `target`, new or empty."""
    ref, path = split_ref(source)
    with _view(store, ref) as tree:
        return plain.report(restore_directory(tree, path, os.fsencode(target), force, advance))


def restore_units(store: Store, source: str) -> int | None:
    """The work units of a restore, None where only a walk could tell."""
    ref, path = split_ref(source)
    if path != b"/":
        return None
    with _view(store, ref) as tree:
        usage = tree.usage()
    return usage.used_bytes + 4096 * usage.inodes


def listing(store: Store, source: str) -> Iterator[Plain]:
    """The entries of a directory by name, or the one entry that REF/path names."""
    ref, path = split_ref(source)
    with _view(store, ref) as tree:
        inode = _resolve(tree, source, path)
        if not stat.S_ISDIR(inode.mode):
            yield _entry(tree, path.rpartition(b"/")[2], inode)
            return
        for found in sorted(entries_of(tree, inode.ino)):
            yield _entry(tree, found.name, tree.getattr(found.ino))


def _resolve(tree: Tree, source: str, path: bytes) -> Inode:
    try:
        return tree.resolve(path)
    except (errors.NotFound, errors.NotDirectory):
        raise errors.NotFound(f"{source!r}: no such file or directory") from None


def _entry(tree: Tree, name: bytes, inode: Inode) -> Plain:
    target = tree.readlink(ROOT, inode.ino) if stat.S_ISLNK(inode.mode) else None
    return plain.entry(name, inode, target)


def content(store: Store, source: str) -> Iterator[bytes | bytearray | memoryview]:
    """The bytes of the regular file REF/path, in pieces."""
    ref, path = split_ref(source)
    with _view(store, ref) as tree:
        inode = _resolve(tree, source, path)
        if not stat.S_ISREG(inode.mode):
            raise errors.InvalidArgument(f"{source!r} is no regular file")
        offset, eof = 0, False
        while not eof:
            data, eof, _ = tree.read(ROOT, inode.ino, offset, PIECE_BYTES)
            offset += len(data)
            yield data


# --- upkeep -----------------------------------------------------------------------------------


def gc_plan(store: Store) -> Plain:
    """What GC would free now; changes nothing."""
    return plain.gc_plan(store.gc_plan())


def gc(store: Store, advance: Advance) -> Plain:
    """Free what nothing refers to any more; `advance` hears of each step done."""
    results: list[Result] = []
    for job in store.gc_steps(results.append):
        job.run()
        job.finish()
        advance(1)
    return plain.gc_result(results[0])


def check(store: Store, data: bool, progress: Callable[[int, int], None]) -> list[Plain]:
    """Every broken invariant of the store; with `data` every stored byte is verified as well.

    `progress(done, total)` is called now and then.
    """
    return [plain.problem(found) for found in checking.check(store, data, progress)]


def stats(store: Store) -> Plain:
    """Objects and bytes, in all and by branch and snapshot."""
    return plain.stats(store.stats())
