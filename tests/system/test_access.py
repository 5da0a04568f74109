"""Who may do what: the exports, as the kernel of a client meets them."""

from __future__ import annotations

import pytest

from tests.system.conftest import NewBranch
from tests.system.gateway import OPEN_TO_LOOPBACK, Gateway
from tests.system.vm import Vm

pytestmark = pytest.mark.slow

ELSEWHERE_ONLY = """
[[export]]
branches = ["*"]
clients = ["192.0.2.0/24"]
"""


def test_a_mount_that_is_read_only_on_the_clients_side(vm: Vm, gateway: Gateway, disk: str) -> None:
    vm.run("echo text >/mnt/file")
    vm.mount(gateway.port, f"/{disk}", "/mnt-ro", "ro")
    assert vm.run("cat /mnt-ro/file") == "text"
    assert "Read-only file system" in vm.fails("echo more >>/mnt-ro/file")


def test_an_export_that_is_read_only(vm: Vm, gateway: Gateway, new_branch: NewBranch) -> None:
    name = new_branch("readonly")
    vm.mount(gateway.port, f"/{name}", "/mnt")
    for change in ("touch new", "mkdir new", "ln -s a b", "mkfifo new", "chmod 777 .", "touch ."):
        assert "Read-only file system" in vm.fails(f"cd /mnt && {change}"), change


@pytest.mark.parametrize("rule", ["elsewhere", "secure"])
def test_a_client_that_no_rule_lets_in_is_refused(
    vm: Vm, gateway: Gateway, new_branch: NewBranch, rule: str
) -> None:
    """By its address, or by its port: QEMU's user networking calls from a high one."""
    name = new_branch(rule)
    assert "Permission denied" in vm.mount_fails(gateway.port, f"/{name}", "/mnt")


def test_root_is_nobody_by_default(vm: Vm, gateway: Gateway, new_branch: NewBranch) -> None:
    name = new_branch("rootsquash")
    vm.mount(gateway.port, f"/{name}", "/mnt")
    assert "Permission denied" in vm.fails("touch /mnt/file")
    # The admin, on the gateway's side, may give it a place of its own.
    gateway.fsgw("import", vm_home(gateway), name)
    vm.umount("/mnt")
    vm.mount(gateway.port, f"/{name}", "/mnt")
    vm.run("cd /mnt/open && touch by-root && as 1000 100 touch by-user")
    said = vm.run("cd /mnt/open && stat -c '%n %u %g' by-root by-user")
    assert said == "by-root 65534 65534\nby-user 1000 100"
    assert "Operation not permitted" in vm.fails("chown 0 /mnt/open/by-user")
    assert "Permission denied" in vm.fails("cat /mnt/open/private")


def vm_home(gateway: Gateway) -> str:
    """A local directory with one that all may write to, and a file in it of root's alone."""
    home = gateway.store.parent / "home"
    (home / "open").mkdir(parents=True, exist_ok=True)
    (home / "open").chmod(0o777)
    (home / "open" / "private").touch()
    (home / "open" / "private").chmod(0o600)
    return str(home)


def test_everyone_is_squashed_where_the_export_says_so(
    vm: Vm, gateway: Gateway, new_branch: NewBranch
) -> None:
    name = new_branch("allsquash")
    gateway.fsgw("import", vm_home(gateway), name)
    vm.mount(gateway.port, f"/{name}", "/mnt")
    vm.run("cd /mnt/open && touch by-root && as 1000 100 touch by-user")
    assert vm.run("cd /mnt/open && stat -c '%u %g' by-root by-user") == "4321 8765\n4321 8765"


def test_rules_are_changed_while_mounted(vm: Vm, own_gateway: Gateway) -> None:
    """Without a restart: a client that is not named any more is refused with the handles it has."""
    own_gateway.fsgw("branch", "create", "main")
    own_gateway.start()
    vm.mount(own_gateway.port, "/main", "/mnt", "actimeo=0")
    vm.run("echo text >/mnt/file && sync")
    own_gateway.write_exports(ELSEWHERE_ONLY)
    own_gateway.fsgw("export", "reload")
    for use in ("ls /mnt", "cat /mnt/file", "touch /mnt/new"):
        assert "Permission denied" in vm.fails(use), use
    assert "Permission denied" in vm.mount_fails(own_gateway.port, "/main", "/mnt2")
    own_gateway.write_exports(OPEN_TO_LOOPBACK + 'access = "ro"\n')
    own_gateway.fsgw("export", "reload")
    assert vm.run("cat /mnt/file") == "text"
    assert "Read-only file system" in vm.fails("touch /mnt/new")
    own_gateway.write_exports(OPEN_TO_LOOPBACK)
    own_gateway.fsgw("export", "reload")
    vm.run("touch /mnt/new && umount /mnt")
