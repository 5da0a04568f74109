"""The git door: what a store holds, as git sees it; `fsgw` serves and imports with it.

How the two sides correspond:

* A commit of the store is a commit of git. Its tree is the tree's files, symbolic links and
  directories under the names that git allows (`names`); blobs are file contents, trees are made
  of `entries`, so nothing is stored twice. `mapping` finds ids of what changed since the parent.
* The ids are a function of the history alone, so every gateway gives the same. For a snapshot
  `objects.made_commit` says how; a commit that came from git comes out as it came in, since its
  own bytes are kept where they say more than a snapshot can.
* What git cannot say stays in the store: owners, times, permissions but for one executable bit,
  extended attributes, devices, fifos, sockets, empty directories. An export tells it beside
  (`attributes`, `telling`), and an import does what it is told (`restoring`). Names of one inode
  are several files to git. What git brings (`translate`) changes only the paths that differ;
  whatever git cannot say of a path that stays is left as it is, and so is its inode number.
* Commits that came from git keep their trees for as long as anything descends from them. A
  snapshot that was deleted, and collected, leaves its commit's id behind: history then is as in
  a shallow repository, which is how it is served.

`.git` in a mount (`dotgit`) is a virtual directory (`store.virtual`). A `checkout` is what it has
besides objects, at one time: refs, an `index`, and packs of commits and trees (`smallpack`). Other
objects are loose files whose length needs no compressing (`shelf`, `stored`). What takes long is
done beside, and requests wait for it (`pending`). Where git may write there, what it writes lies in
the branch's annex (`annex`, `overlay`), and the rename of a ref's lock is the step in which the
store's branch moves (`writable`, `committing`, `removing`).

Imports go down only: fsgw -> gitdoor -> store. Nothing here knows sockets or the event loop: long
work comes as generators of functions to be called beside (on any thread, one after the other), and
of numbers where they pause, between which the caller's thread makes what they made known to the
store (`work`). One commit's changes are in memory at a time, and what was read ahead for some of
those after it (`reading`). dulwich, which knows the formats and the pack protocol, comes in here
only. Where it is not used: reading a repository to import (one process of git reads packs many
times faster than Python can), and making packs (our trees and blobs come from the store in the
order of the pack, undeltified).
"""
