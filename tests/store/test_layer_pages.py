"""Pages of a directory's rows: whatever the sizes, the rows of all layers, each once, in order."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from store import keys
from store.store import Options, Store
from store.types import ROOT

# What is done to a name, or to the store, between two names.
_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["create", "unlink", "flush", "snapshot", "settle", "checkpoint"]),
        st.integers(0, 30),
    ),
    max_size=60,
)


@given(steps=_STEPS, count=st.integers(1, 40))
def test_pages_are_the_rows(steps: list[tuple[str, int]], count: int) -> None:
    with tempfile.TemporaryDirectory() as room:
        path = Path(room) / "store"
        Store.init(path, block_bytes=4096, replica=1)
        with Store.open(path, Options()) as store:
            store.create_branch("main")
            tree = store.tree("main")
            there: set[bytes] = set()
            for what, number in steps:
                name = b"name-%d" % number
                if what == "create" and name not in there:
                    tree.create(ROOT, tree.root, name, 0o644)
                    there.add(name)
                elif what == "unlink" and name in there:
                    tree.unlink(ROOT, tree.root, name)
                    there.discard(name)
                elif what == "flush":
                    store.flush()
                elif what == "snapshot":
                    store.snapshot("main")
                elif what == "checkpoint":
                    store.checkpoint()
                elif what == "settle":
                    store.settle()
            prefix = keys.prefix(tree.root, keys.DIRENT)
            rows = list(tree.chain.rows(prefix))
            assert len(rows) == len(there)
            found: list[tuple[bytes, bytes]] = []
            start: bytes | None = b""
            while start is not None:
                page, start = tree.chain.page(prefix, start, count)
                assert len(page) <= count
                assert start is None or all(rest < start for rest, _ in page)
                found += [(rest, value) for rest, value in page if value is not None]
            assert found == rows
            listed = tree.readdir(ROOT, tree.root, 2, count)
            assert {entry.name for entry in listed.entries} <= there
            assert listed.eof == (len(there) <= count)
