"""Rows about git: a history of 10,000 files and 200 commits, brought in and cloned again.

The peers are git's own: a bare clone of the repository by the pack protocol (`file://`, so that
nothing is hard-linked), and `git daemon` with the same repository, packed as `git gc` leaves it.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from scripts.benchmarks.bench import Bench
from scripts.benchmarks.gateway import PYTHON
from scripts.benchmarks.rows import Row, Target, make_row

_FILES_FULL, _FILES_QUICK = 10_000, 1_000
_COMMITS_FULL, _COMMITS_QUICK = 200, 20
_CHANGED = 10
_ROUNDS = 5
_START_S = 60.0
_POLL_S = 0.05
ENVIRONMENT = {**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}


def make_repository(bench: Bench) -> Path:
    """A bare repository with the history, packed."""
    path = bench.path("history.git")
    files = bench.size(_FILES_FULL, _FILES_QUICK)
    commits = bench.size(_COMMITS_FULL, _COMMITS_QUICK)
    _git("init", "--quiet", "--bare", "--initial-branch=main", str(path))
    feed = subprocess.Popen(
        ["git", "-C", str(path), "fast-import", "--quiet"], stdin=subprocess.PIPE, env=ENVIRONMENT
    )
    assert feed.stdin is not None
    for part in _history(files, commits):
        feed.stdin.write(part)
    feed.stdin.close()
    if feed.wait():
        raise RuntimeError("git fast-import failed")
    _git("-C", str(path), "gc", "--quiet", "--aggressive")
    return path


def _history(files: int, commits: int) -> Iterator[bytes]:
    """The history as `git fast-import` takes it: text files, of which ten change a time."""
    rng = random.Random("git")
    words = [f"word{rng.randrange(5000)}" for _ in range(5000)]
    paths = [f"d{n // 1000}/s{n // 50 % 20}/f{n}.txt" for n in range(files)]
    for number in range(1, commits + 1):
        when = 1_600_000_000 + 60 * number
        text = f"commit {number}\n"
        yield (
            f"commit refs/heads/main\nmark :{number}\n"
            f"author Ann <ann@example.org> {when} +0200\n"
            f"committer Carl <carl@example.org> {when} -0500\ndata {len(text)}\n{text}"
        ).encode()
        if number > 1:
            yield b"from :%d\n" % (number - 1)
        for path in paths if number == 1 else rng.sample(paths, _CHANGED):
            data = " ".join(rng.choice(words) for _ in range(rng.randrange(40, 400))).encode()
            yield b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(data), data)
        yield b"\n"


def _git(*words: str) -> None:
    subprocess.run(["git", *words], check=True, env=ENVIRONMENT)


def _fsgw(store: Path, *words: str) -> None:
    command = [PYTHON, "-P", "-m", "fsgw", "--store", str(store), *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def import_history(bench: Bench) -> Iterator[Row]:
    """`fsgw import --git` into a new store beside `git clone --bare`; both as whole commands."""
    repository = bench.fixture(make_repository)

    def ours() -> float:
        store = bench.path("import-store")
        _fsgw(store, "init")
        return _timed(lambda: _fsgw(store, "import", "--git", str(repository)), store)

    def peer() -> float:
        path = bench.path("clone.git")
        url = f"file://{repository}"
        return _timed(lambda: _git("clone", "--quiet", "--bare", url, str(path)), path)

    pair = bench.alternate("import", _ROUNDS, ours, peer)
    yield make_row(
        f"import of {_words(bench)}",
        pair.ours,
        "s",
        peer=("git clone --bare", pair.peer),
        target=Target("<=", 3, of_ratio=True),
    )


def clone_history(bench: Bench) -> Iterator[Row]:
    """`git clone` over HTTP from a gateway beside one from `git daemon`, with checkout."""
    repository = bench.fixture(make_repository)
    store = bench.path("serve-store")
    _fsgw(store, "init")
    _fsgw(store, "import", "--git", str(repository))
    url = f"http://127.0.0.1:{_gateway(bench, store)}/main.git"
    peer_url = f"git://127.0.0.1:{_daemon(bench, repository)}/{repository.name}"

    def clone(source: str) -> float:
        path = bench.path("clone")
        return _timed(lambda: _git("clone", "--quiet", source, str(path)), path)

    pair = bench.alternate("clone", _ROUNDS, lambda: clone(url), lambda: clone(peer_url))
    yield make_row(
        f"clone over HTTP of {_words(bench)}",
        pair.ours,
        "s",
        peer=("git daemon", pair.peer),
        target=Target("<=", 2, of_ratio=True),
    )


def _words(bench: Bench) -> str:
    files = bench.size(_FILES_FULL, _FILES_QUICK)
    return f"{files:,} files, {bench.size(_COMMITS_FULL, _COMMITS_QUICK)} commits"


def _timed(run: object, made: Path) -> float:
    assert callable(run)
    started = time.perf_counter()
    run()
    elapsed_s = time.perf_counter() - started
    shutil.rmtree(made)
    return elapsed_s


def _gateway(bench: Bench, store: Path) -> int:
    """The port of git of a gateway."""
    runtime = Path(bench.resources.enter_context(tempfile.TemporaryDirectory(prefix="fsgw-b-")))
    log = bench.path("gateway.log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(PYTHON, "-P", "-m", "fsgw", "--store", str(store), "serve", "--port", "0"),
                *("--portmap", "off", "--log-format", "json", "--git-listen", "127.0.0.1"),
                *("--git-port", "0", "--admin-socket", str(runtime / "gateway.sock")),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    bench.resources.callback(_end, process)
    for _ in _waiting(process):
        for text in log.read_text().splitlines():
            if '"ready"' in text:
                return int(json.loads(text)["git_port"])
    raise RuntimeError(f"the gateway did not start: {log.read_text()[-2000:]}")


def _daemon(bench: Bench, repository: Path) -> int:
    """The port of `git daemon`."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = int(one.getsockname()[1])
    process = subprocess.Popen(
        [
            *("git", "daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1"),
            *(f"--port={port}", f"--base-path={repository.parent}"),
        ],
        env={**ENVIRONMENT, "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory",
             "GIT_CONFIG_VALUE_0": "*"},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    bench.resources.callback(_end_all, process)
    for _ in _waiting(process):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            continue
        return port
    raise RuntimeError("git daemon did not start")


def _waiting(process: subprocess.Popen[bytes]) -> Iterator[None]:
    deadline = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < deadline:
        yield
        time.sleep(_POLL_S)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait()


def _end_all(process: subprocess.Popen[bytes]) -> None:
    """`git daemon` is a process of the command `git`, which has to go with it."""
    os.killpg(process.pid, signal.SIGTERM)
    process.wait()
