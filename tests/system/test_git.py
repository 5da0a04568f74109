"""Stock git in a guest, in a branch that it has mounted."""

from __future__ import annotations

import pytest

from tests.system.conftest import NewBranch
from tests.system.gateway import Gateway
from tests.system.vm import Vm

pytestmark = pytest.mark.slow


def test_a_guest_sees_the_history(
    vm: Vm, gateway: Gateway, tools: str, new_branch: NewBranch
) -> None:
    """Git comes from a Debian in another branch, into which the guest's shell changes its root."""
    work = new_branch()
    vm.mount(gateway.port, f"/{tools}", "/mnt")
    vm.mount(gateway.port, f"/{work}", "/mnt/mnt")
    git = "chroot /mnt git -c safe.directory=* -C /mnt"
    vm.run("cd /mnt/mnt && mkdir dir && echo one >dir/file && ln -s dir/file link && sync")
    gateway.fsgw("snapshot", "create", work, "--name", "first", "-m", "the first")
    assert vm.run(f"{git} log --format=%s") == "the first"
    assert vm.run(f"{git} status --porcelain") == ""
    vm.run("cd /mnt/mnt && echo two >>dir/file && echo new >new && sync")
    assert vm.run(f"{git} status --porcelain") == " M dir/file\n?? new"
    assert vm.run(f"{git} diff").endswith(" one\n+two")
    gateway.fsgw("snapshot", "create", work, "--name", "second", "-m", "the second")
    assert vm.run(f"{git} log --format=%s") == "the second\nthe first"
    assert vm.run(f"{git} status --porcelain") == ""
    assert vm.run(f"{git} show first:dir/file") == "one"
    vm.run(f"{git} fsck --strict")
    vm.run("chroot /mnt git -c safe.directory=* clone -q --no-local /mnt /root/clone")
    assert vm.run("chroot /mnt git -C /root/clone log --format=%s") == "the second\nthe first"
    assert "Read-only file system" in vm.fails(f"{git} add new")
    vm.mount(gateway.port, f"/{work}/dir", "/mnt/srv")
    assert vm.run("chroot /mnt git -c safe.directory=* -C /srv ls-files") == "file"
