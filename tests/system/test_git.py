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


WRITABLE = """
[[export]]
branches = ["*"]
clients = ["127.0.0.0/8"]
squash = "none"
git_write = true
"""
WHO = "-c user.name=Guest -c user.email=guest@example.org"


def test_a_guest_commits_and_forks(
    vm: Vm, gateway: Gateway, tools: str, own_gateway: Gateway
) -> None:
    """What git does in the guest is there for the host at once, and the other way round."""
    own_gateway.write_exports(WRITABLE)
    own_gateway.fsgw("branch", "create", "work")
    own_gateway.start()
    vm.mount(gateway.port, f"/{tools}", "/mnt")
    vm.mount(own_gateway.port, "/work", "/mnt/mnt")
    git = f"chroot /mnt git -c safe.directory=* {WHO} -C /mnt"
    vm.run("cd /mnt/mnt && mkdir dir && echo one >dir/file && echo build >dir/out && sync")
    vm.run(f"{git} add dir/file && {git} commit -q -m 'from the guest'")
    assert vm.run(f"{git} status --porcelain") == "?? dir/out"
    told = own_gateway.fsgw("log", "work")
    assert "from the guest" in told
    assert "Guest <guest@example.org>" in told
    assert own_gateway.cat("work/dir/out") == b"build\n"
    vm.run(f"{git} checkout -q -b trial && echo two >>/mnt/mnt/dir/file")
    vm.run(f"{git} commit -q -a -m 'on a fork'")
    assert own_gateway.cat("trial/dir/file") == b"one\ntwo\n"
    vm.run(f"{git} checkout -q work")
    assert vm.run("cat /mnt/mnt/dir/file") == "one"
    vm.run(f"echo other >/mnt/mnt/other && {git} add other && {git} commit -q -m here")
    vm.run(f"{git} merge -q -m both trial && {git} tag -a -m told v1")
    assert vm.run(f"{git} log --format=%s --first-parent") == "both\nhere\nfrom the guest"
    assert "v1" in own_gateway.fsgw("snapshot", "list", "work")
    vm.run(f"echo three >>/mnt/mnt/other && {git} stash -q && {git} stash pop -q")
    vm.run(f"{git} commit -q -a --amend -m 'both, amended'")
    assert vm.run(f"{git} rev-parse HEAD^2") == vm.run(f"{git} rev-parse trial")
    assert vm.run(f"{git} reflog -1 --format=%gs") == "commit (amend): both, amended"
    vm.run(f"echo staged >/mnt/mnt/other && {git} add other")
    own_gateway.fsgw("snapshot", "create", "work", "--name", "hosts", "-m", "by the host")
    assert vm.run(f"{git} status --porcelain") == ""
    assert vm.run(f"{git} log -1 --format=%s") == "by the host"
    vm.run(f"{git} branch -d trial && {git} fsck --strict --no-dangling")
    assert own_gateway.fsgw("branch", "list").count("trial") == 0
    own_gateway.kill()
    own_gateway.start()
    vm.run(f"echo four >>/mnt/mnt/other && {git} commit -q -a -m 'after a crash'")
    assert vm.run(f"{git} log -2 --format=%s") == "after a crash\nby the host"
    assert own_gateway.cat("work/other") == b"staged\nfour\n"
    vm.run(f"{git} fsck --strict --no-dangling")
