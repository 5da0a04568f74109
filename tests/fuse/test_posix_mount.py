"""The POSIX suite on real mounts, with what the kernel keeps, with nothing kept, writing back, and
in a directory of git's own.

Needs root, for its callers are users of all kinds. A setting has its own driver name where it has
differences of its own.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.fuse.mounting import Mounts, require, watched
from tests.posix import suite
from tests.posix.osfs import OsFs
from tests.posix.running import run_all
from tests.system.gateway import Gateway

pytestmark = [pytest.mark.slow, pytest.mark.root]

# Users other than root come in, and set-id bits and devices are to be seen for what they are.
COMMON = "allow_other,suid,dev"


class Setting(NamedTuple):
    """How a branch is mounted, and where in it; differences stand under the name `driver`."""

    driver: str
    options: str
    place: str = "."


SETTINGS = {
    "default": Setting("fuse", COMMON),
    "nothing-kept": Setting("fuse", f"{COMMON},attr_timeout=0,entry_timeout=0"),
    "writeback": Setting("fuse-writeback", f"{COMMON},writeback_cache"),
    "in .git": Setting("fuse", f"{COMMON},git_write", ".git/work"),
}


@pytest.fixture(scope="module", params=SETTINGS)
def mounted(request: pytest.FixtureRequest) -> Iterator[tuple[str, OsFs]]:
    """A mounted branch that every user can reach, and the name of its driver."""
    require()
    setting: Setting = SETTINGS[request.param]
    with tempfile.TemporaryDirectory(prefix="fsgw-posix-") as name:
        room = Path(name)
        room.chmod(0o755)
        gateway = Gateway(room)
        gateway.fsgw("branch", "create", "main")
        gateway.start()
        mounts = Mounts(gateway, room)
        with watched(gateway.pid):
            try:
                place = mounts.mount("main", setting.options) / setting.place
                place.mkdir(exist_ok=True)
                yield setting.driver, OsFs(os.fsencode(place))
            finally:
                mounts.close()
                gateway.close()


@pytest.mark.parametrize("module", suite.MODULES)
def test_posix_on_a_mount(mounted: tuple[str, OsFs], module: str) -> None:
    driver, root = mounted
    run_all(root, driver, module)
