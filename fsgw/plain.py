"""Store values as plain data, ready for JSON: dicts of text, numbers, lists and None.

The keys are a promise to scripts: one may be added, none changes its meaning. Sizes are bytes,
times nanoseconds since the epoch (`_ns`), ids of snapshots and branches numbers, commits hex.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any

from fsgw.paths import path_fields

if TYPE_CHECKING:
    from fsgw.localfs import Report, Trouble
    from store import gc, statistics
    from store.conflicts import Conflict
    from store.merging import Merged
    from store.types import (
        BranchInfo,
        Difference,
        Inode,
        LogEntry,
        Problem,
        Quota,
        SnapshotInfo,
        Usage,
    )

Plain = dict[str, Any]

TYPE_NAMES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "character-device",
    stat.S_IFBLK: "block-device",
}


def branch(info: BranchInfo) -> Plain:
    """name, id, root_ino, head (newest snapshot's id, 0: none), created_ns, and quota's keys."""
    return {
        "name": info.name,
        "id": info.id,
        "root_ino": info.root_ino,
        "head": info.head,
        "created_ns": info.created_ns,
        **quota(info.usage, info.quota),
    }


def quota(usage: Usage, limits: Quota) -> Plain:
    """used_bytes, inodes, bytes_max and inodes_max (0: no limit)."""
    return {
        "used_bytes": usage.used_bytes,
        "inodes": usage.inodes,
        "bytes_max": limits.bytes_max,
        "inodes_max": limits.inodes_max,
    }


def snapshot(info: SnapshotInfo) -> Plain:
    """branch, name, id, parent (0: none), author, time_ns, message, commit, used_bytes, inodes.

    `commit` is empty until the snapshot is sealed.
    """
    return {
        "branch": info.branch,
        "name": info.name,
        "id": info.id,
        "parent": info.parent,
        "author": info.author.name,
        "time_ns": info.author.time_ns,
        "message": info.message,
        "commit": info.commit,
        "used_bytes": info.usage.used_bytes,
        "inodes": info.usage.inodes,
    }


def log_entry(entry: LogEntry) -> Plain:
    """commit, snapshot (id, 0: none), name, author, time_ns, message, parents (commits)."""
    return {
        "commit": entry.commit,
        "snapshot": entry.snapshot,
        "name": entry.name,
        "author": entry.author.name,
        "time_ns": entry.author.time_ns,
        "message": entry.message,
        "parents": list(entry.parents),
    }


def difference(found: Difference) -> Plain:
    """kind (added, removed, modified, renamed), path, old_path (if renamed), old, new (inodes)."""
    moved = found.old_path is not None and found.old_path != found.path
    return {
        "kind": found.kind.value,
        **path_fields("path", found.path),
        **(path_fields("old_path", found.old_path) if moved and found.old_path else {}),
        "old": None if found.old is None else inode(found.old),
        "new": None if found.new is None else inode(found.new),
    }


def inode(value: Inode) -> Plain:
    """ino, type, mode (octal text), nlink, uid, gid, size, used, rdev (two numbers), four times."""
    return {
        "ino": value.ino,
        "type": TYPE_NAMES[value.type],
        "mode": f"{stat.S_IMODE(value.mode):04o}",
        "nlink": value.nlink,
        "uid": value.uid,
        "gid": value.gid,
        "size": value.size,
        "used": value.used,
        "rdev": [value.rdev_major, value.rdev_minor],
        "atime_ns": value.atime_ns,
        "mtime_ns": value.mtime_ns,
        "ctime_ns": value.ctime_ns,
        "btime_ns": value.btime_ns,
    }


def entry(name: bytes, value: Inode, target: bytes | None) -> Plain:
    """A directory entry: name, the inode's keys, and a symlink's target."""
    return {
        **path_fields("name", name),
        **inode(value),
        **({} if target is None else path_fields("target", target)),
    }


def merged(value: Merged, conflicts_max: int) -> Plain:
    """outcome (merged, fast-forward, up-to-date, conflicts), ancestor and ours (commits),
    snapshot (what the branch is now), before and source (what the two were, where that was in no
    snapshot), conflicts_total, conflicts (at most so many), changes (differences).

    Where nothing changed there is no snapshot; there are changes of a dry run alone. A conflict
    has kind, path, what (text), and whether favoring a side decides it.
    """
    found = (value.snapshot, value.before, value.source)
    now, before, source = (None if info is None else snapshot(info) for info in found)
    return {
        "outcome": value.outcome.value,
        "ancestor": value.ancestor,
        "ours": value.ours,
        "snapshot": now,
        "before": before,
        "source": source,
        "conflicts_total": len(value.conflicts),
        "conflicts": [conflict(one) for one in value.conflicts[:conflicts_max]],
        "changes": [difference(one) for one in value.changes],
    }


def conflict(value: Conflict) -> Plain:
    """kind, path, what, decidable."""
    return {
        "kind": value.kind.name.lower().replace("_", "-"),
        **path_fields("path", value.path),
        "what": value.kind.value,
        "decidable": value.decidable,
    }


def report(value: Report) -> Plain:
    """added, changed, removed, unchanged (entries), content_bytes, troubles_total, troubles.

    A trouble is a path and what kept it from being carried over wholly.
    """
    return {
        "added": value.added,
        "changed": value.changed,
        "removed": value.removed,
        "unchanged": value.unchanged,
        "content_bytes": value.content_bytes,
        "troubles_total": value.troubles_total,
        "troubles": [trouble(one) for one in value.troubles],
    }


def trouble(value: Trouble) -> Plain:
    """path, what."""
    return {**path_fields("path", value.path), "what": value.what}


def problem(value: Problem) -> Plain:
    """where, what."""
    return {"where": value.where, "what": value.what}


def gc_plan(plan: gc.Plan) -> Plain:
    """dead_bytes (needed by nothing), freed_bytes (of those, what GC would give back), packs.

    A pack: pack (its number), size_bytes, live_bytes, live_objects, dead_objects, rewrite.
    """
    return {
        "dead_bytes": plan.dead_bytes,
        "freed_bytes": plan.freed_bytes,
        "packs": [pack._asdict() for pack in plan.packs],
    }


def gc_result(done: gc.Result) -> Plain:
    """gc_plan's keys (freed_bytes in fact), copied_bytes, packs_removed, objects_removed."""
    return {
        **gc_plan(done.plan),
        "freed_bytes": done.freed_bytes,
        "copied_bytes": done.copied_bytes,
        "packs_removed": done.packs_removed,
        "objects_removed": done.objects_removed,
    }


def stats(value: statistics.Stats) -> Plain:
    """The fields of `statistics.Stats`; each branch and snapshot with its exclusive_bytes.

    Those are what deleting it, and GC, would free.
    """
    return {
        **value._asdict(),
        "branches": [
            {**branch(one.info), "exclusive_bytes": one.exclusive_bytes} for one in value.branches
        ],
        "snapshots": [
            {**snapshot(one.info), "exclusive_bytes": one.exclusive_bytes}
            for one in value.snapshots
        ],
    }
