"""Two virtual machines use one branch at the same time, as far as NFS promises that to work."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.system.gateway import Gateway
from tests.system.images import Image
from tests.system.vm import Vm

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def second_machine(image: Image) -> Iterator[Vm]:
    with Vm(image, append="quiet") as vm:
        yield vm.wait_for_agent()


@pytest.fixture
def second(second_machine: Vm, gateway: Gateway, disk: str) -> Iterator[Vm]:
    """The other virtual machine, with the same branch at /mnt."""
    second_machine.mount(gateway.port, f"/{disk}", "/mnt")
    yield second_machine
    second_machine.umount("/mnt")


def test_what_one_has_closed_the_other_opens(vm: Vm, second: Vm, disk: str) -> None:
    writer, reader = vm, second
    for number in range(20):
        writer.run(f"echo {number} >/mnt/file && seq {number * 1000} >>/mnt/file")
        summed = writer.run("md5sum </mnt/file")
        assert reader.run("md5sum </mnt/file") == summed
        writer, reader = reader, writer


def test_one_alone_wins_each_exclusive_create(vm: Vm, second: Vm, disk: str) -> None:
    """O_EXCL, mkdir, link and symlink, each tried by both at once for many names."""
    vm.run("mkdir /mnt/race && echo source >/mnt/source")
    tries = """
    cd /mnt/race && set -C
    for n in $(seq 60); do
        (echo NAME >file$n) 2>/dev/null && echo file$n
        mkdir dir$n 2>/dev/null && echo dir$n
        ln ../source link$n 2>/dev/null && echo link$n
        ln -s NAME soft$n 2>/dev/null && echo soft$n
    done
    :
    """
    with ThreadPoolExecutor(2) as pool:
        running = {
            name: pool.submit(machine.run, tries.replace("NAME", name))
            for name, machine in (("first", vm), ("second", second))
        }
        won = {name: set(future.result().split()) for name, future in running.items()}
    assert not won["first"] & won["second"]
    assert len(won["first"] | won["second"]) == 4 * 60
    for name, names in won.items():
        files = " ".join(sorted(name for name in names if name.startswith("file")))
        if files:
            assert set(vm.run(f"cd /mnt/race && cat {files}").split()) == {name}
    assert vm.run("stat -c %h /mnt/source") == "61"


def test_appends_under_a_lock_directory_are_all_there(vm: Vm, second: Vm, disk: str) -> None:
    """mkdir is the lock, as scripts on NFS do it; what is read under it is up to date."""
    count = """
    cd /mnt && for n in $(seq 25); do
        while ! mkdir lock 2>/dev/null; do :; done
        echo $(($(cat counter 2>/dev/null || echo 0) + 1)) >counter
        rmdir lock
    done
    """
    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(machine.run, count) for machine in (vm, second)]:
            future.result()
    assert vm.run("cat /mnt/counter") == "50"
    assert second.run("cat /mnt/counter") == "50"


def test_a_file_that_the_other_removes_is_stale(vm: Vm, second: Vm, disk: str) -> None:
    """The kernel keeps a removed file only for its own users: NFS 3 has no open files."""
    vm.run("echo text >/mnt/file && echo other >/mnt/other && sync")
    said = vm.run(
        """
        mkfifo /run/go /run/said
        (exec 4</mnt/file; echo held >/run/said; read go </run/go; cat <&4 2>&1) >/run/result 2>&1 &
        cat /run/said
        """
    )
    assert said == "held"
    second.run("rm /mnt/file && mv /mnt/other /mnt/file && sync")
    vm.run("echo 3 >/proc/sys/vm/drop_caches; echo go >/run/go")
    assert "Stale file handle" in vm.run("while [ ! -s /run/result ]; do :; done; cat /run/result")
    assert vm.run("rm /run/go /run/said; cat /mnt/file") == "other"


def test_a_rename_by_one_is_seen_by_the_other(vm: Vm, second: Vm, disk: str) -> None:
    vm.run("cd /mnt && mkdir -p a/b && echo text >a/b/file")
    assert second.run("cat /mnt/a/b/file") == "text"
    held = second.run("cd /mnt/a/b && stat -c %i file && pwd -P")
    vm.run("mv /mnt/a/b /mnt/moved && echo more >>/mnt/moved/file")
    assert second.run("cat /mnt/moved/file") == "text\nmore"
    assert second.run("stat -c %i /mnt/moved/file") == held.split()[0]
