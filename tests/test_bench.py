"""The benchmark script: what its rows say and how they are printed, not how fast anything is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.benchmarks.areas import AREAS
from scripts.benchmarks.compared import Compared, Report, sources
from scripts.benchmarks.nfs_load import rows_of
from scripts.benchmarks.readme import as_readme, put_in
from scripts.benchmarks.rows import Row, Target, as_json, as_table, make_row
from scripts.benchmarks.store_history import edit

SCRIPT = Path(__file__).parent.parent / "scripts" / "bench_main.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("value", "peer_value", "target", "text", "ok"),
    [
        (70.0, 100.0, Target(">=", 0.7, of_ratio=True), ">= 0.7 x peer", True),
        (69.0, 100.0, Target(">=", 0.7, of_ratio=True), ">= 0.7 x peer", False),
        (200_000.0, 1.0, Target(">=", 200_000), ">= 200,000 u", True),
        (199_999.0, 1.0, Target(">=", 200_000), ">= 200,000 u", False),
        (16.0, 1.0, Target("<=", 16), "<= 16 u", True),
        (10.0, 9.0, Target("<", 10), "< 10 u", False),
        (3.0, 1.0, Target("<", 10, near_peer=2), "< 10 u, at most 2 u over peer", True),
        (3.1, 1.0, Target("<", 10, near_peer=2), "< 10 u, at most 2 u over peer", False),
        (10.0, 9.0, Target("<", 10, near_peer=2), "< 10 u, at most 2 u over peer", False),
        (1.0, 2.0, None, None, None),
    ],
)
def test_a_target_judges_value_or_ratio(
    value: float, peer_value: float, target: Target | None, text: str | None, ok: bool | None
) -> None:
    row = make_row("what", value, "u", peer=("peer", peer_value), target=target)
    assert row == Row("what", value, "u", "peer", peer_value, value / peer_value, text, ok)


def test_a_ratio_target_without_a_peers_figure_is_missed() -> None:
    target = Target("<=", 2, of_ratio=True)
    assert make_row("what", 1.0, "u", peer=("peer", 0.0), target=target).ok is False


def test_json_is_one_line_with_rounded_figures() -> None:
    line = as_json(make_row("what", 123456.789, "u", peer=("peer", 3.0)))
    assert "\n" not in line
    assert json.loads(line) == {
        "name": "what",
        "value": 123460.0,
        "unit": "u",
        "peer": "peer",
        "peer_value": 3.0,
        "ratio": 41152.0,
        "target": None,
        "ok": None,
    }


def test_the_table_is_aligned() -> None:
    rows = [
        make_row("short", 0.0123, "ms", target=Target("<", 5)),
        make_row("a longer name", 1234567.0, "files/s", peer=("another", 1.0)),
    ]
    lines = as_table(rows).splitlines()
    assert len(lines) == 4
    bars = [[at for at, letter in enumerate(line) if letter == "|"] for line in lines]
    assert all(places == bars[0] for places in bars)
    assert "0.0123 ms" in lines[2]
    assert "1,234,567 files/s" in lines[3]


def report(calls: int, seconds: float, cpu_s: float) -> Report:
    return Report(calls, calls, seconds, calls / seconds, calls / seconds, 0, 0, cpu_s)


def test_figures_are_medians_and_cpu_is_taken_over_all_rounds() -> None:
    ours = [report(1_000, 1, 0.02), report(3_000, 1, 0.02), report(2_000, 1, 0.08)]
    peer = [report(1_000, 2, 0.04)]
    target, cpu_target = Target(">=", 1.5, of_ratio=True), Target("<=", 1, of_ratio=True)
    figure, cpu = rows_of(
        "GETATTR", Compared(ours, peer), "calls_per_s", "calls/s", target, cpu_target=cpu_target
    )
    assert (figure.value, figure.peer_value, figure.ratio, figure.ok) == (2_000, 500, 4, True)
    assert cpu.name == "GETATTR: CPU"
    assert cpu.value == pytest.approx(0.02)
    assert cpu.ratio == pytest.approx(0.5)
    assert cpu.ok


def test_the_readme_has_a_figure_and_its_cpu_in_one_line(tmp_path: Path) -> None:
    compared = Compared([report(2_000, 1, 0.1)], [report(1_000, 1, 0.1)])
    rows = [*rows_of("LOOKUP", compared, "calls_per_s", "calls/s"), make_row("other", 5.0, "us")]
    lines = as_readme(rows).splitlines()
    assert lines[2] == "| LOOKUP | 2,000 calls/s | nfs-ganesha | 1,000 | 2.00 |  |  | 0.05 | 0.1 |"
    assert lines[3] == "| other | 5 us |  |  |  |  |  |  |  |"
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- bench:nfs -->\nold\n<!-- /bench:nfs -->\nafter\n")
    put_in(readme, "nfs", rows, "One bad run.")
    put_in(readme, "nfs", rows, "One run.")
    text = readme.read_text()
    assert text.startswith("before\n<!-- bench:nfs -->\nOne run.\n\n| what")
    assert text.endswith(f"{lines[3]}\n<!-- /bench:nfs -->\nafter\n")
    with pytest.raises(ValueError, match="bench:store"):
        put_in(readme, "store", rows, "One run.")


def strictly_build(name: str, program: Path) -> None:
    flags = ["-O2", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-pthread"]
    subprocess.run(["gcc", *flags, "-o", program, *sources(name)], check=True)


@pytest.fixture(scope="module")
def nfsload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("client") / "nfsload"
    strictly_build("nfsload", program)
    return program


def test_the_client_says_what_it_can_do(nfsload: Path) -> None:
    told = subprocess.run([nfsload, "--help"], capture_output=True, text=True, check=True).stdout
    for word in ("getattr", "readdirplus", "--inflight", "--connections"):
        assert word in told


@pytest.mark.parametrize(
    "words",
    [
        ["getattr"],
        ["--port=1"],
        ["--port=1", "nonsense"],
        ["--port=1", "--inflight=1", "--connections=2", "getattr"],
        ["--port=1", "--inflight=0", "getattr"],
        ["--port=1", "--count=many", "getattr"],
        ["--port=1", "--bytes=1", "create"],
    ],
)
def test_the_client_refuses_what_it_cannot_do(nfsload: Path, words: list[str]) -> None:
    done = subprocess.run([nfsload, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("nfsload: ")
    assert not done.stdout


def test_an_edited_version_changes_one_file_in_a_hundred(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.py" for number in range(200)]
    for path in files:
        path.write_bytes(b"first line\nsecond line\n")
    edit(files, seed="2")
    assert sum(path.read_bytes() != b"first line\nsecond line\n" for path in files) == 2


def test_unknown_rows_and_areas_are_refused() -> None:
    for arguments in (("store", "--only", "nonsense"), ("nonsense",)):
        result = run(*arguments)
        assert result.returncode == 2
        assert "nonsense" in result.stderr
        assert not result.stdout


@pytest.mark.slow
def test_a_quick_run_prints_one_object_a_row(tmp_path: Path) -> None:
    chosen = ("create", "cached", "overwrite", "diff", "history")
    assert set(chosen) <= set(AREAS["store"])
    only = [argument for name in chosen for argument in ("--only", name)]
    result = run("store", "--quick", "--json", "--dir", str(tmp_path), *only)
    assert result.returncode == 0, result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(rows) == 1 + 2 + 4 + 2 + 1
    for row in rows:
        assert list(row) == list(Row._fields)
        assert row["value"] > 0
        assert (row["target"] is None) == (row["ok"] is None)
        if row["peer"] is None:
            assert row["peer_value"] is None
        else:
            assert row["ratio"] == pytest.approx(row["value"] / row["peer_value"], rel=1e-3)
    assert not list(tmp_path.iterdir()), "the scratch directory is left behind"
