"""Sizes: many files, and one that does not fit into a part of memory that anybody would spare."""

from __future__ import annotations

import hashlib
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from store.store import Store
from tests.fsgw.served import serving
from tests.gitdoor.helpers import brought_in, put, written
from tests.gitdoor.repositories import Git, cloned

MIB = 1 << 20


@pytest.mark.slow
def test_ten_thousand_files(store: Store, tmp_path: Path) -> None:
    git = Git(tmp_path / "many").init()
    for number in range(10_000):
        git.write(f"{number % 7}/{number % 100}/{number}", f"{number}\n")
    git.commit("many")
    for number in range(0, 10_000, 999):
        git.write(f"{number % 7}/{number % 100}/{number}", "changed\n")
    git.commit("some")
    brought_in(store, git)
    tree = store.tree("main")
    put(tree, b"3/3/3", b"here\n")
    store.snapshot("main", "here")
    store.settle()
    out = written(store, tmp_path / "out.git")
    assert out("rev-parse", "main~1") == git("rev-parse", "main")
    assert out("diff", "--stat", "main~1", "main").count("|") == 1
    assert git.objects() < out.objects()


@pytest.mark.slow
def test_a_file_of_200_mib_in_little_memory(tmp_path: Path) -> None:
    """In and out, by way of a gateway that may not have as much memory as the file is long."""
    git = Git(tmp_path / "large").init()
    block = hashlib.shake_128(b"seed").digest(MIB)
    with git.write("large").open("wb") as file:
        for number in range(200):
            file.write(number.to_bytes(8, "big") + block[8:])
    git("config", "core.bigFileThreshold", "1m")
    git.commit("large")
    path = tmp_path / "store"
    Store.init(path)
    config = tmp_path / "fsgw.toml"
    config.write_text('[git]\nlisten = ["127.0.0.1"]\nport = 0\n')
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_DATA, ({700 * MIB},) * 2)"
    assert resource.getrlimit(resource.RLIMIT_DATA)[1] == resource.RLIM_INFINITY
    code = f"{limit}; from fsgw.cli import main; main()"
    words = ["--store", str(path), "import", "--git", str(git.path)]
    subprocess.run([sys.executable, "-c", code, *words], check=True, cwd=Path(__file__).parents[2])
    with serving(path, "--config", str(config)) as served:
        url = f"http://127.0.0.1:{served.lines[-1]['git_port']}/main.git"
        clone = cloned(url, tmp_path / "clone")
        assert clone("rev-parse", "HEAD") == git("rev-parse", "HEAD")
        status = Path(f"/proc/{served.process.pid}/status").read_text()
        peak_kib = next(int(x.split()[1]) for x in status.splitlines() if x.startswith("VmHWM"))
        assert peak_kib < 400 * 1024
    with Store.open(path) as store:
        assert store.check(data=True) == []
