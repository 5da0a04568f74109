"""The load client against a gateway of ours: what it makes, what it checks, what it refuses.

And, where nfs-ganesha is installed, a quick run of the whole comparison.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.benchmarks.bench import Bench
from scripts.benchmarks.compared import build
from scripts.benchmarks.nfs_servers import ASYNC, SYNC, Exporting, Share
from scripts.benchmarks.rows import Row
from tests.test_bench import run

BLOCKS = ["--size=256k", "--block=64k"]


class Client:
    """The compiled client and the gateway that it loads."""

    def __init__(self, program: Path, gateway: Exporting) -> None:
        self.program, self.gateway = program, gateway

    def start(self, *words: str, share: Share | None = None) -> subprocess.CompletedProcess[str]:
        port, mount_port, export, pid = share or self.gateway.share(SYNC)
        where = [f"--port={port}", f"--mount-port={mount_port}", f"--export={export}"]
        command = [str(self.program), *where, f"--server-pid={pid}", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def run(self, *words: str, share: Share | None = None) -> dict[str, float]:
        done = self.start(*words, share=share)
        assert done.returncode == 0, done.stderr
        report: dict[str, float] = json.loads(done.stdout)
        return report

    def fail(self, *words: str, share: Share | None = None) -> str:
        done = self.start(*words, share=share)
        assert done.returncode == 1, done.stdout
        assert not done.stdout
        return done.stderr


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with Bench(tmp_path_factory.mktemp("bench"), quick=True) as bench:
        yield Client(build("nfsload", bench.path("nfsload")), Exporting(bench))


@pytest.mark.parametrize("operation", ["null", "getattr", "lookup", "access"])
@pytest.mark.parametrize("spread", [(1, 1), (16, 1), (16, 4)])
def test_calls_are_counted(client: Client, operation: str, spread: tuple[int, int]) -> None:
    inflight, connections = spread
    words = [f"--inflight={inflight}", f"--connections={connections}", "--files=5", "--count=100"]
    report = client.run(*words, operation)
    assert report["calls"] == report["done"] == 100
    assert report["seconds"] > 0
    assert 0 <= report["p50_us"] <= report["p99_us"]
    assert report["server_cpu_s"] >= 0


@pytest.mark.parametrize("branch", [SYNC, ASYNC])
def test_files_are_made_renamed_and_removed(client: Client, branch: str) -> None:
    def load(*words: str) -> dict[str, float]:
        share = client.gateway.share(branch)
        return client.run("--dir=names", "--inflight=16", "--count=50", *words, share=share)

    assert load("--bytes=4096", "create")["calls"] == 100
    assert load("rename")["calls"] == 50
    walked = load("--files=50", "--count=2", "--block=4k", "readdirplus")
    assert walked["calls"] > walked["done"] == 2
    assert load("--prefix=renamed-", "remove")["calls"] == 50
    assert load("churn")["calls"] == 150


def test_what_was_written_is_read(client: Client) -> None:
    assert client.run(*BLOCKS, "--inflight=4", "--generation=7", "write")["calls"] == 4
    for words in ([], ["--random", "--block=4k", "--count=40"], ["--block=256k"]):
        assert client.run(*BLOCKS, *words, "--inflight=4", "--expect=7", "read")["mib_per_s"] > 0
    client.run(*BLOCKS, "--block=4k", "--random", "--count=1", "--generation=8", "write")
    client.run(*BLOCKS, "read")
    assert "an older generation" in client.fail(*BLOCKS, "--expect=8", "read")


def test_writes_are_stable_each_or_committed_at_the_end(client: Client) -> None:
    for words in (["--stable"], []):
        file = ["--file=stable", *BLOCKS]
        assert client.run(*file, *words, "--in-place", "write")["calls"] == 4


def test_wrong_data_is_noticed(client: Client, tmp_path: Path) -> None:
    client.run(*BLOCKS, "--dir=damaged", "write")
    with client.gateway.stopped():
        client.gateway.command("restore", f"{SYNC}/damaged", str(tmp_path / "copy"))
        data = bytearray((tmp_path / "copy" / "data").read_bytes())
        data[70_000] ^= 1
        (tmp_path / "copy" / "data").write_bytes(data)
        client.gateway.command("import", "--checksum", str(tmp_path / "copy"), f"{SYNC}/damaged")
    told = client.fail(*BLOCKS, "--dir=damaged", "read")
    assert "offset 69632: damaged data" in told


def test_what_is_missing_is_noticed(client: Client) -> None:
    assert "write it first" in client.fail("--file=none", "read")
    assert "status 2" in client.fail("--dir=empty", "--count=1", "remove")
    assert "2 entries" in client.fail("--dir=empty", "--files=1", "readdirplus")
    nowhere = client.gateway.share("nowhere")
    assert "mount" in client.fail("getattr", share=nowhere)
    nobody = client.gateway.share(SYNC)._replace(port=1, mount_port=1)
    assert "connect" in client.fail("getattr", share=nobody)


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.skipif(shutil.which("ganesha.nfsd") is None, reason="needs nfs-ganesha")
def test_a_quick_run_is_side_by_side(tmp_path: Path) -> None:
    chosen = ("getattr", "random-read", "names-sync", "read-cold", "readdirplus")
    only = [argument for name in chosen for argument in ("--only", name)]
    result = run("nfs", "--quick", "--json", "--dir", str(tmp_path), *only)
    assert result.returncode == 0, result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(rows) == 2 * (2 + 2 + 6 + 1 + 2) + 1
    for row in rows:
        assert list(row) == list(Row._fields)
        assert row["value"] >= 0
    assert [row["peer"] for row in rows[:-1]] == ["nfs-ganesha"] * (len(rows) - 1)
    assert not list(tmp_path.iterdir()), "the scratch directory is left behind"
