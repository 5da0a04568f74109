"""The machines of these tests: one gateway and one virtual machine for all that need no other."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.gateway import Gateway, lasting_port
from tests.system.images import Image, debian_with_git, missing, test_image
from tests.system.vm import Vm

# Rules for branches by the first part of their names.
EXPORTS = """
[[export]]
branches = ["elsewhere-*"]
clients = ["192.0.2.0/24"]
squash = "none"

[[export]]
branches = ["readonly-*"]
clients = ["127.0.0.0/8"]
access = "ro"
squash = "none"

[[export]]
branches = ["rootsquash-*"]
clients = ["127.0.0.0/8"]

[[export]]
branches = ["allsquash-*"]
clients = ["127.0.0.0/8"]
squash = "all"
anonuid = 4321
anongid = 8765

[[export]]
branches = ["secure-*"]
clients = ["127.0.0.0/8"]
secure = true

[[export]]
branches = ["listed-*"]
clients = ["127.0.0.0/8"]
squash = "none"
snapshots = "listed"
snapshot_admin = true

[[export]]
branches = ["bare-*"]
clients = ["127.0.0.0/8"]
squash = "none"
snapshots = "off"

[[export]]
branches = ["vm-*"]
clients = ["127.0.0.0/8"]
squash = "none"
"""


@pytest.fixture(scope="session")
def requirements() -> None:
    """Skip what cannot run here, and say why; nothing may be missing with FSGW_REQUIRE_SYSTEM."""
    if reasons := missing():
        text = "; ".join(reasons)
        if os.environ.get("FSGW_REQUIRE_SYSTEM"):
            pytest.fail(text)
        pytest.skip(text)


@pytest.fixture(scope="session")
def image(requirements: None) -> Image:
    """What virtual machines boot."""
    return test_image()


@pytest.fixture(scope="session")
def gateway(requirements: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One gateway for all tests that only use it; its store is whole at the end."""
    made = Gateway(tmp_path_factory.mktemp("gateway"), exports=EXPORTS).start()
    yield made
    made.close()


@pytest.fixture(scope="session")
def machine(image: Image) -> Iterator[Vm]:
    """One virtual machine for all tests that do it no harm."""
    with Vm(image, append="quiet") as vm:
        yield vm.wait_for_agent()


@pytest.fixture
def vm(machine: Vm) -> Iterator[Vm]:
    """The same, with nothing mounted before the test and nothing after it."""
    yield machine
    machine.run("cd /; grep -o ' /mnt[^ ]* nfs ' /proc/mounts | sort -r | xargs -n 2 umount -l ||:")


_numbers = itertools.count(1)


NewBranch = Callable[..., str]


@pytest.fixture
def new_branch(gateway: Gateway) -> NewBranch:
    """Makes empty branches; the argument chooses the exports' rule by the name's first part."""

    def make(rule: str = "vm") -> str:
        name = f"{rule}-{next(_numbers)}"
        gateway.fsgw("branch", "create", name)
        return name

    return make


@pytest.fixture
def disk(gateway: Gateway, vm: Vm, new_branch: NewBranch) -> str:
    """A new, empty branch, mounted at /mnt: its name."""
    name = new_branch()
    vm.mount(gateway.port, f"/{name}", "/mnt")
    return name


@pytest.fixture(scope="session")
def tools(gateway: Gateway) -> str:
    """A branch with a small Debian that has git; a guest changes its root into it."""
    gateway.fsgw("branch", "create", "vm-tools")
    gateway.fsgw("import", debian_with_git(), "vm-tools")
    return "vm-tools"


@pytest.fixture
def own_gateway(requirements: None, tmp_path: Path) -> Iterator[Gateway]:
    """A gateway, not yet started, for a test that stops it or changes its rules."""
    made = Gateway(tmp_path, port=lasting_port())
    yield made
    made.close()
