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


def test_a_guest_that_is_not_root(
    vm: Vm, gateway: Gateway, tools: str, new_branch: NewBranch
) -> None:
    """`.git` belongs to whom the branch's root belongs to: for that user git works, and to others
    it says what it says of any repository of somebody else's."""
    work = new_branch()
    vm.mount(gateway.port, f"/{tools}", "/mnt")
    vm.mount(gateway.port, f"/{work}", "/mnt/mnt")
    vm.run("cd /mnt/mnt && mkdir sub && echo one >sub/file && chown -R 1001:1001 . && sync")
    vm.run("cd /mnt/mnt && chown -R 1002:1002 sub && sync")
    gateway.fsgw("snapshot", "create", work, "-m", "the first")

    def git(user: int, where: str = "/mnt") -> str:
        become = f"setpriv --reuid={user} --regid={user} --clear-groups"
        return f"chroot /mnt env HOME=/nonexistent {become} git -C {where}"

    assert vm.run(f"{git(1001)} log --format=%s") == "the first"
    assert vm.run("stat -c '%u %g' /mnt/mnt/.git /mnt/mnt/.git/HEAD | uniq") == "1001 1001"
    vm.run("echo two >>/mnt/mnt/sub/file && sync")
    assert vm.run(f"{git(1001)} status --porcelain") == " M sub/file"
    for user in (1002, 0):
        assert "detected dubious ownership" in vm.fails(f"{git(user)} log")
    assert vm.run(f"{git(1002)} -c safe.directory=* log --format=%s") == "the first"
    vm.mount(gateway.port, f"/{work}/sub", "/mnt/srv")
    assert vm.run(f"{git(1002, '/srv')} status --porcelain") == " M file"
    assert "detected dubious ownership" in vm.fails(f"{git(1001, '/srv')} status")
