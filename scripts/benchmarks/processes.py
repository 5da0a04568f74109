"""Programs that run while rows are measured: found, started, waited for, ended."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

_START_S, _STOP_S, _POLL_S = 60.0, 60.0, 0.02
_SAID_CHARACTERS_MAX = 2000


def find(program: str) -> str:
    """Its path; the run ends where it is not installed."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise SystemExit(f"bench: {program} is not installed; scripts/bench installs it")
    return found


def spawn(program: str, *arguments: str, log: Path | None = None) -> subprocess.Popen[bytes]:
    """Start a program; what it says goes to `log`, if anywhere."""
    with open(log or os.devnull, "wb") as output:
        return subprocess.Popen(
            [find(program), *arguments], stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, and end it where it does not."""
    process.terminate()
    wait_for(process)


def wait_for(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end of a process that has been asked for it; end it where it does not."""
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def until_ready(process: subprocess.Popen[bytes], log: Path) -> Iterator[None]:
    """Comes round again and again while the process runs and has time left to get ready."""
    deadline = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < deadline:
        yield
        time.sleep(_POLL_S)
    words = process.args if isinstance(process.args, Sequence) else [process.args]
    text = log.read_text(errors="replace") if log.exists() else ""
    said = text[-_SAID_CHARACTERS_MAX:]
    raise RuntimeError(f"{' '.join(map(str, words))}: did not start\n{said}")
