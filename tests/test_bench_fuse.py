"""The load program for mounts: what it does, what it checks, what it refuses.

And, where bindfs can mount, the peer's side of the comparison and a quick run of the whole.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.benchmarks.bench import Bench
from scripts.benchmarks.fuse_load import Loader
from scripts.benchmarks.fuse_mounts import Bindfs, Caches
from scripts.benchmarks.rows import Row
from scripts.benchmarks.source_trees import make_program
from tests.test_bench import run, strictly_build

SIZE = ["--size=1m", "--block=128k"]

needs_mounts = pytest.mark.skipif(
    shutil.which("bindfs") is None or not os.access("/dev/fuse", os.W_OK),
    reason="needs bindfs and /dev/fuse",
)


class Program:
    """The compiled program and a directory that it loads."""

    def __init__(self, path: Path, where: Path) -> None:
        self.path, self.where = path, where

    def start(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.path), *words, str(self.where)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def run(self, *words: str) -> dict[str, float]:
        done = self.start(*words)
        assert done.returncode == 0, done.stderr
        report: dict[str, float] = json.loads(done.stdout)
        return report

    def fail(self, *words: str) -> str:
        done = self.start(*words)
        assert done.returncode == 1, done.stdout
        assert not done.stdout
        assert done.stderr.startswith("fsload: ")
        return done.stderr


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "fsload"
    strictly_build("fsload", path)
    return path


@pytest.fixture
def program(compiled: Path, tmp_path: Path) -> Program:
    return Program(compiled, tmp_path / "where")


def test_it_says_what_it_can_do(program: Program) -> None:
    told = program.start("--help").stdout
    for word in ("create", "list-stat", "--threads", "--expect"):
        assert word in told


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["nonsense"],
        ["create", "stat"],
        ["--threads=0", "create"],
        ["--threads=65", "--files=65", "create"],
        ["--threads=3", "--files=10", "create"],
        ["--threads=2", "write"],
        ["--files=many", "create"],
        ["--seconds=1", "create"],
        ["--size=1m", "--block=3000", "write"],
        ["--size=1m", "--block=768k", "write"],
    ],
)
def test_it_refuses_what_it_cannot_do(program: Program, words: list[str]) -> None:
    program.fail(*words)
    assert not program.where.exists()


@pytest.mark.parametrize("threads", [1, 4])
def test_files_are_made_seen_renamed_and_removed(program: Program, threads: int) -> None:
    def load(*words: str) -> dict[str, float]:
        return program.run(f"--threads={threads}", "--files=40", *words)

    def names() -> list[str]:
        return sorted(path.name for path in program.where.rglob("*000*"))

    assert load("create")["calls"] == 40
    assert len(names()) == 40
    assert load("stat")["calls"] == 40
    assert load("--seconds=0.01", "stat")["calls"] > 0
    for walk in ("list", "list-stat"):
        assert load(walk)["calls"] == 40
        assert load("--seconds=0.01", walk)["calls"] % (40 // threads) == 0
    assert load("rename")["calls"] == 40
    assert all(name.startswith("renamed-") for name in names())
    assert load("--prefix=renamed-", "unlink")["calls"] == 40
    assert not names()
    assert len(list(program.where.iterdir())) == threads


def test_what_is_missing_or_wrong_is_noticed(program: Program) -> None:
    program.run("--files=3", "create")
    assert "f0000000: File exists" in program.fail("--files=3", "create")
    assert "f0000003: No such file" in program.fail("--files=4", "stat")
    assert "3 entries, not 4" in program.fail("--files=4", "list")
    os.link(program.where / "t0" / "f0000001", program.where / "link")
    assert "f0000001: wrong attributes" in program.fail("--files=3", "stat")
    assert "renamed-0000000: No such file" in program.fail("--prefix=renamed-", "unlink")
    assert "no process" in program.fail("--server-pid=1073741824", "stat")


def test_what_was_written_is_read(program: Program) -> None:
    assert program.run(*SIZE, "--generation=7", "write")["calls"] == 8 + 1
    report = program.run(*SIZE, "--expect=7", f"--server-pid={os.getpid()}", "read")
    assert report["calls"] == 8
    assert report["mib_per_s"] > 0
    assert report["server_cpu_s"] >= 0
    assert "an older generation" in program.fail(*SIZE, "--expect=8", "read")
    assert "No such file" in program.fail("--file=none", "read")
    assert "a read of" in program.fail("--size=2m", "--block=128k", "read")


@pytest.mark.parametrize(
    ("place", "told"), [(70_000, "offset 69632: damaged data"), (8192, "offset 8192: another page")]
)
def test_wrong_data_is_noticed(program: Program, place: int, told: str) -> None:
    program.run(*SIZE, "write")
    data = bytearray((program.where / "data").read_bytes())
    data[place] ^= 1
    (program.where / "data").write_bytes(data)
    assert told in program.fail(*SIZE, "read")


def test_the_program_in_c_builds(tmp_path: Path) -> None:
    make_program(tmp_path / "program", 3)
    subprocess.run(["make", "-s", "-C", tmp_path / "program"], check=True)
    answer = subprocess.run([tmp_path / "program" / "program"], check=True, stdout=subprocess.PIPE)
    assert int(answer.stdout) == 3


@pytest.mark.root
@needs_mounts
@pytest.mark.parametrize("caches", Caches)
@pytest.mark.parametrize("threads", [1, 4])
def test_the_peer_is_mounted_loaded_and_cooled(
    tmp_path: Path, caches: Caches, threads: int
) -> None:
    with Bench(tmp_path, quick=True) as bench:
        side, loader = Bindfs(bench), Loader(bench)
        with side.mounted(caches, threads=threads) as mount:
            assert os.path.ismount(mount.path)
            made = loader.load(mount, "create", "names", files=40, threads=threads)
            assert made.calls == 40
            loader.load(mount, "write", "data", size="1m")
        assert not os.path.ismount(mount.path)
        side.cool()
        with side.mounted(caches) as mount:
            assert loader.load(mount, "read", "data", size="1m").calls == 1


@pytest.mark.slow
@pytest.mark.root
@needs_mounts
def test_a_quick_run_is_side_by_side(tmp_path: Path) -> None:
    result = run("fuse", "--quick", "--json", "--dir", str(tmp_path))
    assert result.returncode == 0, result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(rows) == 2 * (2 * 2 * 7 + 3) + 5 + 2
    for row in rows:
        assert list(row) == list(Row._fields)
        assert row["value"] >= 0
    assert [row["peer"] for row in rows[:-2]] == ["bindfs"] * (len(rows) - 2)
    assert not list(tmp_path.iterdir()), "the scratch directory is left behind"
