"""Snapshots, forks and rollbacks made while a virtual machine has the branch mounted."""

from __future__ import annotations

import pytest

from tests.system.conftest import NewBranch
from tests.system.gateway import Gateway
from tests.system.holding import hold, let_go
from tests.system.vm import Vm

pytestmark = pytest.mark.slow

# Nothing but what the gateway answers: the kernel asks for attributes each time.
FRESH = "actimeo=0"


def test_a_snapshot_is_mounted_read_only(vm: Vm, gateway: Gateway, disk: str) -> None:
    vm.run("cd /mnt && mkdir dir && echo old >dir/file && sync")
    gateway.fsgw("snapshot", "create", disk, "--name", "first")
    vm.run("cd /mnt && echo new >dir/file && rm -f gone && echo late >dir/late && sync")
    vm.mount(gateway.port, f"/{disk}@first", "/mnt-first")
    assert vm.run("cat /mnt-first/dir/file && ls -A /mnt-first/dir") == "old\nfile"
    for change in ("rm dir/file", "mkdir new", "chmod 777 dir", "mv dir d2", "touch dir"):
        assert "Read-only file system" in vm.fails(f"cd /mnt-first && {change}"), change
    # The kernel asks for access first, and says what that says.
    assert "Permission denied" in vm.fails("echo x >/mnt-first/dir/file")
    vm.mount(gateway.port, f"/{disk}@first/dir", "/mnt-dir")
    assert vm.run("cat /mnt-dir/file /mnt/dir/file") == "old\nnew"


def test_snapshots_are_seen_from_inside(vm: Vm, gateway: Gateway, disk: str) -> None:
    """`.snapshots` is reached without being listed, and shows a new snapshot at once."""
    vm.run("cd /mnt && mkdir -p a/b && echo 1 >a/b/file && sync")
    for number in (1, 2):
        gateway.fsgw("snapshot", "create", disk, "--name", f"s{number}")
        vm.run(f"echo {number + 1} >/mnt/a/b/file && sync")
    assert vm.run("ls -A /mnt") == "a"
    assert vm.run("ls /mnt/.snapshots") == "s1\ns2"
    assert vm.run("cat /mnt/.snapshots/s*/a/b/file /mnt/a/b/file") == "1\n2\n3"
    assert vm.run("cd /mnt/.snapshots/s2/a/b && pwd -P && cat file") == "/mnt/.snapshots/s2/a/b\n2"
    for change in ("rm -r s1/a", "mkdir new", "touch s2", "mv s1/a s1/b"):
        assert "Read-only file system" in vm.fails(f"cd /mnt/.snapshots && {change}"), change
    # A file taken back from a snapshot, the reason why they are there.
    vm.run("rm /mnt/a/b/file && cp -p /mnt/.snapshots/s1/a/b/file /mnt/a/b/")
    assert vm.run("cat /mnt/a/b/file") == "1"


def test_snapshots_are_made_and_deleted_from_inside(
    vm: Vm, gateway: Gateway, new_branch: NewBranch
) -> None:
    """Where the export allows it, by mkdir and rmdir; here they are listed as well."""
    name = new_branch("listed")
    vm.mount(gateway.port, f"/{name}", "/mnt", FRESH)
    vm.run("cd /mnt && echo old >file && sync && mkdir .snapshots/mine && echo new >file")
    assert vm.run("ls -A /mnt") == ".snapshots\nfile"
    assert vm.run("cat /mnt/.snapshots/mine/file /mnt/file") == "old\nnew"
    assert "mine" in gateway.fsgw("snapshot", "list", name)
    assert "File exists" in vm.fails("mkdir /mnt/.snapshots/mine")
    # The kernel has mounted what is below; it goes by itself when it is not used.
    vm.run("umount /mnt/.snapshots/mine && rmdir /mnt/.snapshots/mine && ls /mnt/.snapshots")
    assert "mine" not in gateway.fsgw("snapshot", "list", name)


def test_snapshots_are_not_shown_where_the_export_has_them_off(
    vm: Vm, gateway: Gateway, new_branch: NewBranch
) -> None:
    name = new_branch("bare")
    gateway.fsgw("snapshot", "create", name, "--name", "first")
    vm.mount(gateway.port, f"/{name}", "/mnt")
    assert "No such file" in vm.fails("ls /mnt/.snapshots")


def test_a_rollback_shows_at_once(vm: Vm, gateway: Gateway, new_branch: NewBranch) -> None:
    name = new_branch()
    vm.mount(gateway.port, f"/{name}", "/mnt", FRESH)
    vm.run("cd /mnt && mkdir keep && echo old >keep/file && echo old >removed && sync")
    gateway.fsgw("snapshot", "create", name, "--name", "first")
    vm.run(
        "cd /mnt && echo newer >keep/file && rm removed && echo new >late && mv keep kept && sync"
    )
    before = vm.run("stat -c %i /mnt/kept/file")
    gateway.fsgw("rollback", name, f"{name}@first")
    assert vm.run("ls -A /mnt && cat /mnt/keep/file /mnt/removed") == "keep\nremoved\nold\nold"
    assert vm.run("stat -c %i /mnt/keep/file") == before
    assert "No such file" in vm.fails("cat /mnt/late")
    vm.run("cd /mnt && echo again >keep/file && echo new >late && sync")
    assert vm.run("cat /mnt/keep/file /mnt/late") == "again\nnew"


def test_a_rollback_shows_to_whoever_opens_a_file(vm: Vm, gateway: Gateway, disk: str) -> None:
    """With the options that mount has by itself, too: an open asks for the attributes."""
    vm.run("echo old >/mnt/file && sync")
    gateway.fsgw("snapshot", "create", disk, "--name", "first")
    vm.run("echo newer >/mnt/file && sync && cat /mnt/file")
    gateway.fsgw("rollback", disk, f"{disk}@first")
    assert vm.run("cat /mnt/file") == "old"


def test_handles_are_stale_exactly_for_what_the_rollback_took_away(
    vm: Vm, gateway: Gateway, new_branch: NewBranch
) -> None:
    name = new_branch()
    vm.mount(gateway.port, f"/{name}", "/mnt", FRESH)
    vm.run("cd /mnt && mkdir dir && echo old >dir/kept && echo back >dir/back && sync")
    gateway.fsgw("snapshot", "create", name, "--name", "first")
    vm.run("cd /mnt && mkdir late && echo late >late/file && echo newer >dir/kept && sync")
    held = hold(vm, "/mnt/dir/kept", "/mnt/late/file", "/mnt/dir/back")
    vm.run("mv /mnt/dir/kept /mnt/late/moved && rm /mnt/dir/back && sync")
    gateway.fsgw("rollback", name, f"{name}@first")
    # Of inodes that the snapshot has, wherever they are in it, and whatever was done to them.
    assert vm.run(f"cat {held}/3 && cat {held}/5") == "old\nback"
    vm.run(f"echo more >>{held}/3 && sync")
    assert vm.run("cat /mnt/dir/kept") == "old\nmore"
    # Of those that it has not.
    assert "Stale file handle" in vm.fails(f"cat {held}/4")
    let_go(vm)
    # What the rollback took away is kept as a snapshot, and comes back with its handles' inodes.
    discarded = vm.run("ls /mnt/.snapshots | grep -v first")
    assert vm.run(f"cat /mnt/.snapshots/{discarded}/late/file") == "late"


def test_a_process_in_a_directory_that_is_gone(
    vm: Vm, gateway: Gateway, new_branch: NewBranch
) -> None:
    name = new_branch()
    gateway.fsgw("snapshot", "create", name, "--name", "empty")
    vm.mount(gateway.port, f"/{name}", "/mnt", FRESH)
    vm.run("mkdir -p /mnt/dir/sub && sync")
    vm.mount(gateway.port, f"/{name}/dir/sub", "/mnt-sub", FRESH)
    gateway.fsgw("rollback", name, f"{name}@empty")
    assert "Stale file handle" in vm.fails("touch /mnt-sub/file")
    vm.run("touch /mnt/file && umount /mnt-sub")
    assert vm.run("ls -A /mnt") == "file"


def test_undoing_a_rollback_brings_the_handles_back(
    vm: Vm, gateway: Gateway, new_branch: NewBranch
) -> None:
    name = new_branch()
    gateway.fsgw("snapshot", "create", name, "--name", "empty")
    vm.mount(gateway.port, f"/{name}", "/mnt", FRESH)
    vm.run("mkdir /mnt/dir && echo text >/mnt/dir/file && sync")
    gateway.fsgw("snapshot", "create", name, "--name", "full")
    vm.mount(gateway.port, f"/{name}/dir", "/mnt-dir", FRESH)
    gateway.fsgw("rollback", name, f"{name}@empty")
    assert "Stale file handle" in vm.fails("ls /mnt-dir")
    gateway.fsgw("rollback", name, f"{name}@full")
    assert vm.run("cat /mnt/dir/file") == "text"
    vm.umount("/mnt-dir")
    vm.mount(gateway.port, f"/{name}/dir", "/mnt-dir", FRESH)
    assert vm.run("cat /mnt-dir/file") == "text"


def test_forks_do_not_see_each_other(vm: Vm, gateway: Gateway, disk: str) -> None:
    vm.run("cd /mnt && mkdir dir && seq 10000 >dir/file && sync")
    forks = [f"{disk}-a", f"{disk}-b"]
    for fork in forks:
        gateway.fsgw("branch", "fork", disk, fork)
        vm.mount(gateway.port, f"/{fork}", f"/mnt-{fork}")
    for fork in forks:
        vm.run(f"cd /mnt-{fork} && echo {fork} >>dir/file && echo {fork} >own && rm -f dir/none")
    sums = {vm.run(f"md5sum </mnt-{fork}/dir/file") for fork in forks}
    sums.add(vm.run("md5sum </mnt/dir/file"))
    assert len(sums) == 3
    assert vm.run("tail -n 1 /mnt/dir/file && ls -A /mnt") == "10000\ndir"
    for fork in forks:
        assert vm.run(f"tail -n 1 /mnt-{fork}/dir/file && cat /mnt-{fork}/own") == f"{fork}\n{fork}"
    # File systems of their own: the same inode number on another device.
    ids = vm.run(f"stat -c '%d %i' /mnt/dir/file /mnt-{forks[0]}/dir/file").split()
    assert ids[0] != ids[2] and ids[1] == ids[3]


def test_a_snapshot_taken_while_the_vm_writes_is_one_moment(
    vm: Vm, gateway: Gateway, disk: str
) -> None:
    """Files made one after the other, each durable: a snapshot has the first N and no others."""
    vm.run(
        """
        cd /mnt && rm -f /run/done
        (for n in $(seq 400); do echo $n >file$n; done; : >/run/done) >/dev/null 2>&1 &
        """
    )
    for number in range(5):
        gateway.fsgw("snapshot", "create", disk, "--name", f"during-{number}")
    vm.run("while [ ! -e /run/done ]; do ls /mnt >/dev/null; done")
    counts = []
    for number in range(5):
        names = gateway.fsgw("ls", f"{disk}@during-{number}").split()
        assert set(names) == {f"file{n}" for n in range(1, len(names) + 1)}
        counts.append(len(names))
    assert counts == sorted(counts) and counts[0] < 400


def test_gc_while_the_vm_reads_and_writes(vm: Vm, gateway: Gateway, disk: str) -> None:
    vm.run("cd /mnt && dd if=/dev/urandom of=keep bs=1M count=8 && md5sum keep >sums && sync")
    vm.run("cd /mnt && dd if=/dev/urandom of=waste bs=1M count=24 && sync && rm waste")
    vm.run(
        """
        rm -f /run/done
        (cd /mnt && for n in $(seq 30); do echo $n >>log; md5sum -c sums; done; : >/run/done) \
            >/run/checks 2>&1 &
        """
    )
    gateway.fsgw("gc")
    vm.run("while [ ! -e /run/done ]; do ls /mnt >/dev/null; done")
    assert vm.run("sort -u /run/checks && tail -n 1 /mnt/log") == "keep: OK\n30"


def test_a_restart_of_the_gateway_goes_unnoticed(vm: Vm, own_gateway: Gateway) -> None:
    """SIGTERM while files are open and data is on its way; the handles are good afterwards."""
    own_gateway.fsgw("branch", "create", "main")
    own_gateway.start()
    vm.mount(own_gateway.port, "/main", "/mnt")
    vm.run("cd /mnt && mkdir dir && echo text >dir/file")
    held = hold(vm, "/mnt/dir/file")
    for _ in range(2):
        vm.run(
            "rm -f /run/done; (dd if=/dev/zero of=/mnt/zeros bs=1M count=16; : >/run/done) 2>&1 &"
        )
        own_gateway.stop()
        own_gateway.start()
        vm.run("while [ ! -e /run/done ]; do stat /mnt >/dev/null; done")
        vm.run(f"sync && echo more >>{held}/3 && sync")
        assert (
            vm.run("tr -d '\\0' </mnt/zeros | wc -c && stat -c %s /mnt/zeros") == f"0\n{16 << 20}"
        )
    assert vm.run("cat /mnt/dir/file") == "text\nmore\nmore"
    let_go(vm)
    vm.umount("/mnt")
