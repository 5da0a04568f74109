"""The repository that a mount is a working directory of: what it has besides objects.

A `State` is all of it at one time, as files. It is made beside, from the branches and snapshots
that the mount's user may see; packs of commits go on from one state to the next.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, NamedTuple

from gitdoor import index, reaching, smallpack
from gitdoor.content import path_in
from gitdoor.exporting import named
from gitdoor.graph import Graph, History, Node
from gitdoor.names import HEADS, TAGS
from gitdoor.objects import object_id
from gitdoor.pending import Pending, Steps
from gitdoor.reaching import ancestors
from gitdoor.refs import Tip, beside_each_other, branch_names, tips
from gitdoor.serving import Repository, Shown
from gitdoor.smallpack import Pack
from gitdoor.subtree import Split
from store.errors import Stale
from store.gitrows import COMMIT, TAG, TREE, GitRows
from store.objects import ObjectReader
from store.records import NO_ID
from store.store import Store
from store.tree import Tree

_NODE_CACHE_BYTES = 32 * 1024 * 1024
# Commits kept parsed, some 600 bytes each; more are read again whenever refs change.
_KNOWN_MAX = 100_000
# Commits and tags kept in packs, some 500 bytes each; older ones are loose objects.
PACKED_MAX = 200_000
# Trees kept in packs, as bytes there; further ones are loose objects.
TREES_BYTES_MAX = 32 << 20
_NS = 1_000_000_000
# Inodes looked at before others have their turn.
_LOOKED_AT = 200

CONFIG = b"""\
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = false
\tlogallrefupdates = true
\ttrustctime = true
\tcheckStat = default
\tfsmonitor = false
\tuntrackedCache = false
\tsplitIndex = false
\tcreateObject = rename
[gc]
\tauto = 0
[maintenance]
\tauto = false
[index]
\tversion = 2
[fetch]
\twriteCommitGraph = false
[commit]
\tgpgSign = false
"""
DESCRIPTION = b"The snapshots of a branch; made on demand by fsgw.\n"
EXCLUDE = b"/.snapshots/\n"

Beside = Generator[Callable[[], Any], Any, Any]


class File(NamedTuple):
    """A file of the repository; another content is another file."""

    path: bytes
    data: bytes
    digest: bytes
    time_ns: int


class State(NamedTuple):
    """See the module. `refs`: full names and what they name; `head`: that of the branch. `visible`:
    the trees and blobs that may be seen, None for all that there are; `unpacked` are commits in no
    pack, `packed` those that are in one."""

    version: int
    time_ns: int
    files: dict[bytes, File]
    refs: dict[bytes, bytes]
    head: bytes
    tip: Node | None
    visible: set[bytes] | None
    packed: set[bytes]
    unpacked: set[bytes]


class _Wanted(NamedTuple):
    """What a state is made from: refs, commits of the branch that need no ref, whether all that is
    in the store may be seen, HEAD, where the directory is in the branch, and when it is that this
    is so."""

    tips: list[Tip]
    kept: list[bytes]
    whole: bool
    full: bytes
    place: list[bytes]
    version: int
    time_ns: int


class _Index(NamedTuple):
    """An index that was made. `again_s`: whether, and from which second on, a better one can be."""

    tip: bytes
    file: File
    draft: index.Draft
    again_s: int


class Checkout:
    """One repository. `may_see` says which branches show; `version` changes when that may."""

    def __init__(
        self,
        store: Store,
        branch: int,
        root: int,
        may_see: Callable[[str], bool],
        version: Callable[[], int],
        pending: Pending,
    ) -> None:
        """`branch` is the branch's id; `root` the inode of the directory that it is the repository
        of, 0 for the branch's own root."""
        self.store, self.branch, self.root = store, branch, root
        self._may_see, self._version, self.pending = may_see, version, pending
        self._state: State | None = None
        self._index: _Index | None = None
        self._collections = -1
        self._known: dict[bytes, Node] = {}
        self._split: Split | None = None
        self._split_path: list[bytes] = []
        self._reset()

    def _reset(self) -> None:
        self._packs: list[Pack] = []
        self._packed: set[bytes] = set()
        self._unpacked: set[bytes] = set()
        self._shallow: set[bytes] = set()
        self._visible: set[bytes] | None = None
        self._packed_trees: set[bytes] = set()
        self._tree_bytes = 0

    @property
    def name(self) -> str:
        """The branch's name. Raises Stale."""
        name = self.store.ids.branch_name(self.branch)
        if name is None:
            raise Stale("the branch was deleted")
        return name

    @property
    def tree(self) -> Tree:
        """The branch as it is. Raises Stale."""
        tree = self.store.ids.branch_tree(self.branch)
        if tree is None:
            raise Stale("the branch was deleted")
        return tree

    # --- as it is now -------------------------------------------------------------------------

    def current(self) -> State:
        """The state as of now. Raises NotYet, and what making it failed with."""
        state = self._state
        if state is not None and (
            state.version == self._version() or self.pending.settles((self, "state"))
        ):
            return state
        raise self.pending.wait((self, "state"), self._refresh, self._refreshed)

    def is_current(self, state: State) -> bool:
        """Whether nothing has changed since a state."""
        return state.version == self._version()

    def latest(self) -> State:
        """The state as of now or a while ago. Raises as `current`."""
        return self._state or self.current()

    def _refreshed(self, state: State) -> None:
        self._state = state

    def index(self) -> File | None:
        """The index as of now, None without a commit. Raises as `current`."""
        state = self.current()
        if state.tip is None:
            return None
        made = self._index
        if made is not None and made.tip == state.tip.id:
            again = made.again_s and self.store.engine.options.clock() // _NS > made.again_s
            if not again or self.pending.settles((self, "index")):
                return made.file
        raise self.pending.wait((self, "index"), partial(self._indexed, state), self._put_index)

    def _put_index(self, made: _Index) -> None:
        self._index = made

    # --- making a state -----------------------------------------------------------------------

    def _refresh(self) -> Steps:
        store, version = self.store, self._version()
        own = tips(store, self.name)
        yield 0
        found, whole = self._tips(own)
        yield 0
        kept = self._snapshots()
        yield from named(store, [*(tip.commit for tip in found), *kept], lambda count: None)
        full = next(full for full, name in branch_names(store).items() if name == self.name)
        if self._collections != store.collections or len(self._known) > _KNOWN_MAX:
            self._collections, self._known, self._split = store.collections, {}, None
            self._reset()
        place = self._place()
        view = store.engine.views.open(_NODE_CACHE_BYTES)
        try:
            wanted = _Wanted(found, kept, whole, full, place, version, store.engine.now())
            return (yield partial(self._made, view, wanted))
        finally:
            view.close()

    def _tips(self, own: list[Tip]) -> tuple[list[Tip], bool]:
        """The refs that show, and whether all that is in the store may be seen."""
        store = self.store
        every = branch_names(store)
        seen = {full for full, name in every.items() if self._may_see(name)}
        numbers = {store.history.head(every[full]).branch for full in seen} - {self.branch}
        snapshots = store.history.snapshots
        found = {tip.name: tip for tip in own}
        for tip in tips(store) if numbers else ():
            shows = snapshots[tip.snapshot].branch in numbers if tip.snapshot else tip.name in seen
            if shows:
                found.setdefault(tip.name, tip)
        return beside_each_other(found.values()), len(seen) == len(every)

    def _snapshots(self) -> list[bytes]:
        """The commits of all snapshots of branches that show: what one was taken back from can be
        asked for by its id."""
        history = self.store.history
        seen = {head.branch for name, head in history.heads() if self._may_see(name)}
        seen.add(self.branch)
        records = history.snapshots.values()
        return [r.commit for r in records if r.branch in seen and r.commit != NO_ID]

    def _made(self, view: ObjectReader, wanted: _Wanted) -> State:
        """The state. Any thread."""
        found, kept, whole, full, _, version, time_ns = wanted
        rows = GitRows(self.store.engine, view.reader)
        history = History(self.store.engine, view, rows, self._known)
        split = self._splitted(history, wanted)
        shown = Repository(history, found, split, whole)
        graph: Graph = history if split is None else split
        whole = whole and split is None
        records = [rows.commit(oid) for oid in kept if split is None]
        ids = [record.id for record in records if record is not None]
        reached = ancestors(graph, [*shown.commits, *ids], set())
        tags = {object_id(TAG, raw): raw for ref in shown.refs for raw in ref.tags}
        if not (self._packed | self._unpacked) <= (reached | set(tags)) or whole != (
            self._visible is None
        ):
            self._reset()
            self._visible = None if whole else set()
        self._take(history, graph, reached, tags)
        tip = next((graph.node(ref.commit) for ref in shown.refs if ref.name == full), None)
        return State(
            version,
            time_ns,
            self._files(shown.refs, full, time_ns),
            {ref.name: ref.id for ref in shown.refs},
            full,
            tip,
            None if self._visible is None else set(self._visible),
            self._packed | self._packed_trees,
            set(self._unpacked),
        )

    def _splitted(self, history: History, wanted: _Wanted) -> Split | None:
        """The history of the directory, where it is not the whole branch."""
        if not self.root:
            return None
        records = {tip.name: history.rows.commit(tip.commit) for tip in wanted.tips}
        ids = [record.id for record in records.values() if record is not None]
        newest, path = records.get(wanted.full), None
        if newest is not None and history.node(newest.id) is not None:
            path = path_in(history.nodes, newest.root, newest.root_ino, self.root)
        path = wanted.place if path is None else path
        if self._split is None or path != self._split_path:
            self._split, self._split_path = Split(history, path, ids), path
        else:
            self._split.extend(history, ids)
        return self._split

    def _place(self) -> list[bytes]:
        """Where the directory is in the branch, as it now is."""
        if not self.root:
            return []
        return [name for name in self.tree.path_of(self.root).split(b"/") if name]

    def _take(
        self, history: History, graph: Graph, reached: set[bytes], tags: dict[bytes, bytes]
    ) -> None:
        """Put what is new into packs, the newest first."""
        fresh = [graph.node(oid) for oid in reached - self._packed - self._unpacked]
        nodes = sorted([n for n in fresh if n is not None], key=lambda n: -n.time_s)
        for node in nodes:
            if any(graph.node(parent) is None for parent in node.parents):
                self._shallow.add(node.id)
        room = max(0, PACKED_MAX - len(self._packed))
        self._unpacked.update(node.id for node in nodes[room:])
        entries = [smallpack.entry(node.id, COMMIT, node.raw) for node in nodes[:room]]
        new_tags = [(oid, raw) for oid, raw in tags.items() if oid not in self._packed]
        entries += [smallpack.entry(oid, TAG, raw) for oid, raw in new_tags]
        self._packed.update(entry.id for entry in entries)
        if self._visible is not None or self._tree_bytes < TREES_BYTES_MAX:
            entries += self._trees(history, graph, nodes, reached)
        self._packs = smallpack.added(self._packs, entries)

    def _trees(
        self, history: History, graph: Graph, nodes: list[Node], reached: set[bytes]
    ) -> list[smallpack.Entry]:
        """The trees of commits, as far as there is room for them, the newest commit's first."""
        found: list[reaching.Item] = []
        for item in reaching.items(history, graph, nodes, reached.__contains__):
            if item.kind == COMMIT:
                continue
            if self._visible is not None:
                self._visible.add(item.id)
            if item.kind == TREE and item.id not in self._packed_trees:
                found.append(item)
        entries = []
        for item in reversed(found):
            if self._tree_bytes >= TREES_BYTES_MAX:
                break
            assert item.record is not None
            entry = smallpack.entry(item.id, TREE, history.tree(item.record, item.ino))
            self._tree_bytes += len(entry.data)
            entries.append(entry)
        self._packed_trees.update(entry.id for entry in entries)
        return entries

    def _files(self, refs: list[Shown], full: bytes, time_ns: int) -> dict[bytes, File]:
        contents = {
            b"HEAD": b"ref: " + full + b"\n",
            b"config": CONFIG,
            b"description": DESCRIPTION,
            b"info/exclude": EXCLUDE,
            b"packed-refs": _packed_refs(refs),
        }
        if self._shallow:
            lines = sorted(oid.hex().encode() + b"\n" for oid in self._shallow)
            contents[b"shallow"] = b"".join(lines)
        for pack in self._packs:
            base = b"objects/pack/pack-" + pack.name.encode()
            contents[base + b".pack"], contents[base + b".idx"] = pack.pack, pack.idx
        before = {} if self._state is None else self._state.files
        return {path: file_of(path, data, time_ns, before) for path, data in contents.items()}

    # --- making an index ----------------------------------------------------------------------

    def _indexed(self, state: State) -> Steps:
        """The index of a state, or a better one where what could be told apart was too new."""
        engine, tip = self.store.engine, state.tip
        assert tip is not None
        made = self._index
        if made is not None and made.tip == tip.id:
            found = made.draft
        else:
            view = engine.views.open(_NODE_CACHE_BYTES)
            try:
                # Of commits that came from git the time says nothing of when files changed here.
                since_ns = 0 if tip.record.kept else tip.time_s * _NS
                found = yield partial(index.draft, view, tip.record, tip.top, since_ns)
            finally:
                view.close()
        tree = self.tree
        now_s = engine.now() // _NS
        changed: set[int] = set()
        latest = 0
        for count, recent in enumerate(found.recent):
            if count % _LOOKED_AT == 0:
                yield 0
            inode = tree.find(recent.ino)
            if inode is not None and inode.ctime_ns == recent.ctime_ns:
                if recent.ctime_ns // _NS < now_s:
                    continue
                latest = max(latest, recent.ctime_ns // _NS)
            changed.add(recent.at)
        data = yield partial(index.finished, found, changed)
        file = file_of(b"index", data, engine.now(), {} if made is None else {b"index": made.file})
        return _Index(tip.id, file, found, latest)


def file_of(path: bytes, data: bytes, time_ns: int, before: dict[bytes, File]) -> File:
    """A file; the one of before where its content is the same."""
    known = before.get(path)
    if known is not None and known.data == data:
        return known
    digest = hashlib.sha1(path + b"\0" + data, usedforsecurity=False).digest()
    return File(path, data, digest, time_ns)


def _packed_refs(refs: list[Shown]) -> bytes:
    lines = [b"# pack-refs with: peeled fully-peeled sorted \n"]
    for ref in sorted(refs):
        if not ref.name.startswith((HEADS, TAGS)):
            continue
        lines.append(b"%s %s\n" % (ref.id.hex().encode(), ref.name))
        if ref.id != ref.commit:
            lines.append(b"^%s\n" % ref.commit.hex().encode())
    return b"".join(lines)
