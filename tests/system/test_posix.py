"""The POSIX suite on a branch that the kernel has mounted over NFS.

The cases run in the virtual machine, all at once, with the Python of a Debian system that is
mounted there for it; here a test for each module of the suite looks at what came out.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.posix import suite
from tests.posix.differences import difference
from tests.system.gateway import Gateway
from tests.system.images import ROOT, debian
from tests.system.vm import Vm

pytestmark = [pytest.mark.slow, pytest.mark.root]

DRIVER = "nfs"


@pytest.fixture(scope="session")  # once a process: its tests may run with others' in between
def outcomes(
    gateway: Gateway, machine: Vm, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str | None]:
    """What each case found wrong, by its name."""
    for name in ("vm-python", "vm-posix"):
        gateway.fsgw("branch", "create", name)
    gateway.fsgw("import", debian(), "vm-python")
    gateway.fsgw("import", ROOT / "tests" / "posix", "vm-python/opt/tests/posix")
    runner = tmp_path_factory.mktemp("runner")
    (runner / "run.py").write_bytes(Path(__file__).with_name("posix_guest.py").read_bytes())
    gateway.fsgw("import", "--no-delete", runner, "vm-python/opt")
    machine.mount(gateway.port, "/vm-python", "/mnt-python")
    machine.mount(gateway.port, "/vm-posix", "/mnt-python/mnt")
    machine.run("chmod 755 /mnt-python/mnt")
    said = machine.run(
        "PYTHONPATH=/opt PYTHONDONTWRITEBYTECODE=1 chroot /mnt-python python3 /opt/run.py /mnt",
        timeout_s=600,
    )
    machine.run("umount /mnt-python/mnt && umount /mnt-python")
    return dict(json.loads(line) for line in said.splitlines())


@pytest.mark.parametrize("module", suite.MODULES)
def test_posix_over_nfs(outcomes: dict[str, str | None], module: str) -> None:
    wrong = []
    for name in suite.load():
        if name.startswith(f"{module}."):
            found = outcomes[name]
            if difference(DRIVER, name) is None:
                wrong += [f"{name}: {found}"] if found else []
            elif not found:
                wrong.append(f"{name} holds over NFS; its row of DIFFERENCES has to go")
    assert not wrong, "\n".join(wrong)
