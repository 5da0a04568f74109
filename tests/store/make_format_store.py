"""Makes the small store that is kept under tests/data for each version of the format.

    python -m tests.store.make_format_store

writes tests/data/store-vN.tar.gz, N the version that the code has, and store-vN.json with what
the store shows. It is run once for a version, before that is released. The content and the clock
are fixed, so that the same code makes the same maps and commits again.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
import json
import random
import stat
import tarfile
import tempfile
from pathlib import Path

from store.directory import FORMAT_VERSION
from store.store import Options, Store
from store.tree import Tree
from store.types import ROOT, SetAttr, Who

DATA = Path(__file__).parents[1] / "data"
BLOCK = 16 * 1024
START_NS = 1_700_000_000_000_000_000


def make(path: Path) -> None:
    """Make the store: something of everything, and left as a crash would leave it."""
    ticks = itertools.count(START_NS, 1_000_000)
    options = Options(clock=lambda: next(ticks))
    Store.init(path, block_bytes=BLOCK, replica=5)
    store = Store.open(path, options)
    store.create_branch("main")
    tree = store.tree("main")
    _fill(tree)
    store.snapshot("main", "first", "the first\nof all", Who("Ann <ann@example.org>", START_NS))
    store.settle()
    _change(tree)
    store.snapshot("main", "second", "the second")
    store.settle()
    store.fork("main@first/dir", "part")
    store.tree("part").create(ROOT, store.tree("part").root, b"new in part", 0o600)
    store.snapshot(["main", "part"], "both", "not sealed")
    store.flush()
    store.checkpoint()
    late = tree.create(ROOT, 1, b"in the journal", 0o644).inode.ino
    tree.write(ROOT, late, 100, b"journalled")
    tree.hold(tree.resolve(b"/small").ino)
    tree.unlink(ROOT, 1, b"small")
    store.flush()
    store.engine.close(clean=False)


def _fill(tree: Tree) -> None:
    noise = random.Random("format").randbytes
    directory = tree.mkdir(ROOT, 1, b"dir", 0o2750).inode.ino
    tree.mkdir(ROOT, directory, b"sub", 0o1777)
    for name, data in {
        b"small": b"small\n",
        b"large": noise(3 * BLOCK + 77),
        b"text": b"the same again and again\n" * 3000,
        b"\xff\xfe not utf-8": b"x",
        b"n" * 255: bytes(5000),
    }.items():
        ino = tree.create(ROOT, 1, name, 0o640).inode.ino
        tree.write(ROOT, ino, 0, data)
    sparse = tree.create(ROOT, 1, b"sparse", 0o644).inode.ino
    tree.write(ROOT, sparse, 2**40, b"far away")
    hard = tree.create(ROOT, 1, b"hard", 0o4755).inode.ino
    tree.link(ROOT, hard, directory, b"second name")
    tree.symlink(ROOT, 1, b"link", b"dir/sub")
    tree.symlink(ROOT, 1, b"long link", b"l" * 4000)
    tree.mknod(ROOT, 1, b"fifo", stat.S_IFIFO | 0o600)
    tree.mknod(ROOT, 1, b"device", stat.S_IFBLK | 0o600, 8, 17)
    tree.setxattr(ROOT, hard, b"user.short", b"value")
    tree.setxattr(ROOT, hard, b"user.long", noise(2000))
    for number in range(40):
        tree.create(ROOT, directory, b"file %d" % number, 0o644)


def _change(tree: Tree) -> None:
    large = tree.resolve(b"/large").ino
    tree.write(ROOT, large, BLOCK + 5, b"changed")
    tree.setattr(ROOT, large, SetAttr(size=2 * BLOCK + 5, uid=1000, gid=100))
    directory = tree.resolve(b"/dir").ino
    tree.rename(ROOT, directory, b"file 7", 1, b"moved")
    tree.unlink(ROOT, directory, b"file 8")
    tree.removexattr(ROOT, tree.resolve(b"/hard").ino, b"user.long")


def shown(store: Store) -> dict[str, object]:
    """What a store shows: commits, and of each branch and snapshot every path with what it is."""
    trees: dict[str, object] = {}
    for branch in store.branches():
        trees[branch.name] = _paths(store, branch.name)
        for snapshot in store.snapshots(branch.name):
            ref = f"{branch.name}@{snapshot.name}"
            trees[ref] = _paths(store, ref)
    commits = [
        [
            branch.name,
            entry.name,
            entry.commit,
            entry.message,
            list(entry.author),
            list(entry.parents),
        ]
        for branch in store.branches()
        for entry in store.log(branch.name)
    ]
    return {"trees": trees, "commits": commits}


def _paths(store: Store, ref: str) -> dict[str, object]:
    tree = store.tree(ref) if "@" not in ref else store.view(ref)
    found: dict[str, object] = {}
    todo = [(b"", tree.root)]
    while todo:
        path, ino = todo.pop()
        inode = tree.getattr(ino)
        found[path.hex()] = [list(inode), _content(tree, ino), _attributes(tree, ino)]
        if stat.S_ISDIR(inode.mode):
            entries = tree.readdir(ROOT, ino, count=10**6).entries
            todo += [(path + b"/" + e.name, e.ino) for e in entries if e.name not in (b".", b"..")]
    if "@" in ref:
        store.close_view(tree)
    return found


def _content(tree: Tree, ino: int) -> str:
    inode = tree.getattr(ino)
    if stat.S_ISLNK(inode.mode):
        return hashlib.sha256(tree.readlink(ROOT, ino)).hexdigest()
    if not stat.S_ISREG(inode.mode):
        return ""
    digest = hashlib.sha256()
    offset = tree.seek_data(ino, 0)
    while offset is not None:
        data = bytes(tree.read(ROOT, ino, offset, BLOCK).data)
        digest.update(b"%d:" % offset + data)
        offset = tree.seek_data(ino, offset + len(data))
    return digest.hexdigest()


def _attributes(tree: Tree, ino: int) -> dict[str, str]:
    return {
        name.decode(): hashlib.sha256(tree.getxattr(ROOT, ino, name)).hexdigest()
        for name in tree.listxattr(ROOT, ino)
    }


def main() -> None:
    """Write the archive and what it shows."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "store"
        make(path)
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            archive.add(path, "store", filter=_plain)
        archived = gzip.compress(buffer.getvalue(), mtime=0)
        (DATA / f"store-v{FORMAT_VERSION}.tar.gz").write_bytes(archived)
        with Store.open(path) as store:
            told = json.dumps(shown(store), indent=0, sort_keys=True, separators=(",", ":"))
        (DATA / f"store-v{FORMAT_VERSION}.json").write_text(told + "\n", "utf-8")


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Without what differs from one machine to another; LMDB's lock file is made anew."""
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    return None if info.name.endswith(("lock.mdb", "/lock")) else info


if __name__ == "__main__":
    main()
