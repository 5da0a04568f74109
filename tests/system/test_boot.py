"""A Debian system boots from a branch, over NFS, with systemd as its init.

The system is imported once; each virtual machine gets a fork. Inside it, the agent of these tests
runs as a systemd service, in place of a person at the console.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.system.gateway import Gateway
from tests.system.images import GUEST, boot_image, debian
from tests.system.vm import Vm

pytestmark = [pytest.mark.slow, pytest.mark.root]

UNIT = """
[Unit]
Description=Runs commands for tests
After=local-fs.target

[Service]
ExecStart=/usr/local/bin/agent
StandardOutput=journal+console

[Install]
WantedBy=multi-user.target
"""


@pytest.fixture(scope="module")
def booted_from(requirements: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with Debian in branch `debian`, and the agent in it, enabled."""
    gateway = Gateway(tmp_path_factory.mktemp("boot"))
    gateway.fsgw("branch", "create", "debian")
    gateway.fsgw("import", debian(), "debian")
    addition = tmp_path_factory.mktemp("addition")
    (addition / "bin").mkdir()
    (addition / "bin" / "agent").write_bytes((GUEST / "agent").read_bytes())
    (addition / "bin" / "agent").chmod(0o755)
    gateway.fsgw("import", addition / "bin", "debian/usr/local/bin")
    wanted = addition / "system" / "multi-user.target.wants"
    wanted.mkdir(parents=True)
    (addition / "system" / "agent.service").write_text(UNIT)
    (wanted / "agent.service").symlink_to("../agent.service")
    units = "debian/etc/systemd/system"
    gateway.fsgw("import", "--no-delete", addition / "system", units, "--snapshot", "installed")
    gateway.start()
    yield gateway
    gateway.close()


def kernel_arguments(gateway: Gateway, branch: str) -> str:
    """What makes the initramfs mount a branch as the root."""
    port = gateway.port
    options = f"port={port},mountport={port},mountproto=tcp"
    return f"nfsroot=/{branch},{options} systemd.hostname={branch}"


@contextmanager
def booted(gateway: Gateway, branch: str) -> Iterator[Vm]:
    """A virtual machine with a branch as its root, far enough that services run."""
    with Vm(boot_image(), append=kernel_arguments(gateway, branch), memory_mib=768) as vm:
        yield vm.wait_for_agent()


def shut_down(vm: Vm) -> None:
    """Switch it off in order; the agent may not live to answer."""
    vm.begin("systemctl --no-block poweroff")
    vm.wait_for_end()


def test_a_vm_boots_breaks_its_system_and_boots_again(booted_from: Gateway) -> None:
    gateway = booted_from
    gateway.fsgw("branch", "fork", "debian@installed", "vm1")
    with booted(gateway, "vm1") as vm:
        assert vm.run("cat /proc/1/comm") == "systemd"
        assert vm.run("stat -f -c %T /") == "nfs"
        assert "/vm1 / nfs rw" in vm.run("cat /proc/mounts")
        vm.console.wait(r"^vm1 login: ")
        vm.type("root\n")
        vm.console.wait(r"root@vm1:~# ")
        assert vm.run("systemctl is-system-running --wait || systemctl --failed") == "running"
        # Work as on a disk: a user, packages' files and database.
        vm.run("useradd --create-home ann && su ann -c 'echo mine >~/file' && dpkg --audit && sync")
        gateway.fsgw("snapshot", "create", "vm1", "--name", "good")
        assert vm.run("ls /.snapshots") == "good"
        # Programs that run keep their files as .nfsXXXX, and with these their directories.
        vm.run("rm -rf /etc; find /usr/lib/systemd -type f -exec rm {} +; sync")
        assert "No such file" in vm.fails("ls /etc")
    with Vm(boot_image(), append=kernel_arguments(gateway, "vm1")) as vm:
        vm.console.wait("Kernel panic")
    gateway.fsgw("rollback", "vm1", "vm1@good")
    with booted(gateway, "vm1") as vm:
        assert vm.run("su ann -c 'cat ~/file'") == "mine"
        assert vm.run("systemctl is-system-running --wait || systemctl --failed") == "running"
        shut_down(vm)


def test_two_vms_boot_from_two_forks_at_once(booted_from: Gateway) -> None:
    gateway = booted_from
    for name in ("left", "right"):
        gateway.fsgw("branch", "fork", "debian@installed", name)
    with booted(gateway, "left") as left, booted(gateway, "right") as right:
        for vm, name in ((left, "left"), (right, "right")):
            assert vm.run("hostname") == name
            vm.run(f"echo {name} >/etc/which && echo {name} >/root/{name} && sync")
        for vm, name in ((left, "left"), (right, "right")):
            assert vm.run("cat /etc/which && ls /root") == f"{name}\n{name}"
        gateway.fsgw("snapshot", "create", "left", "right", "--name", "both")
        gateway.fsgw("rollback", "left", "debian@installed")
        assert "No such file" in left.fails("cat /etc/which")
        assert right.run("cat /etc/which") == "right"
    assert "which" not in gateway.fsgw("ls", "debian/etc").split()
