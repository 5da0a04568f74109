"""Nothing that these tests need may be missing unnoticed where they have to run."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.fuse import mounting
from tests.system.images import PROGRAMS, ROOT, missing


def test_everything_is_here() -> None:
    reasons = missing() + mounting.missing()
    if reasons and not os.environ.get("FSGW_REQUIRE_SYSTEM"):
        pytest.skip("; ".join(reasons))
    assert not reasons


def test_continuous_integration_requires_everything() -> None:
    assert "export FSGW_REQUIRE_SYSTEM=1\n" in (ROOT / ".ci" / "run").read_text()


def test_the_set_up_installs_what_is_used() -> None:
    """Everything but what a Debian system has or the set-up for all tests brings."""
    done = subprocess.run(
        ["bash", "-c", '. scripts/system.sh && printf "%s\\n" "${FSGW_SYSTEM_PROGRAMS[@]}"'],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    installed = {pair.partition(":")[0] for pair in done.stdout.split()}
    used = PROGRAMS.keys() | mounting.PROGRAMS.keys()
    assert installed == used - {"gcc", "git", "setpriv", "tar"}
