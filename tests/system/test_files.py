"""A virtual machine keeps its files in a branch: trees, big files, every kind of file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.system.gateway import Gateway
from tests.system.vm import Vm

pytestmark = pytest.mark.slow

# Small files in many directories, made of nothing but their numbers, in the guest's memory.
MAKE_TREE = r"""
rm -rf /tmp/tree && mkdir -p /tmp/tree && cd /tmp/tree
for a in 0 1 2 3 4 5 6 7 8 9; do
    for b in 0 1 2 3; do
        mkdir -p $a/$b
        for c in 0 1 2 3 4 5 6 7 8 9; do
            seq $((a * 400 + b * 10 + c)) >$a/$b/$c.txt
        done
        ln -s ../0.txt $a/$b/link && ln $a/$b/1.txt $a/$b/hard && chmod 4711 $a/$b/2.txt
        mkfifo $a/$b/fifo && chown 1$a:2$b $a/$b/3.txt && touch -d @1$a$b $a/$b/4.txt
        : >"$a/$b/a name with  spaces and é" && mkdir $a/$b/empty
    done
done
"""
# What stat tells of all files below the working directory; tar here keeps no times of symlinks.
FACTS = """
find . ! -type l ! -type d -exec stat -c '%n %f %h %u %g %s %t,%T %Y' {} + | sort
find . -type l -exec stat -c '%N %u %g' {} + | sort
find . -type d -exec stat -c '%n %f %u %g' {} + | sort
"""
SUMS = "find . -type f -exec md5sum {} + | sort -k 2"


def remount(vm: Vm, gateway: Gateway, disk: str) -> None:
    """Mount again with nothing left in the guest's caches."""
    vm.umount("/mnt")
    vm.run("echo 3 >/proc/sys/vm/drop_caches")
    vm.mount(gateway.port, f"/{disk}", "/mnt")


def test_a_tree_is_the_same_after_a_new_mount(vm: Vm, gateway: Gateway, disk: str) -> None:
    vm.run(MAKE_TREE)
    vm.run("tar -C /tmp/tree -cf - . | tar -C /mnt -xpf -")
    facts, sums = (vm.run(f"cd /tmp/tree && {what}") for what in (FACTS, SUMS))
    assert len(sums.splitlines()) == 480
    assert vm.run(f"cd /mnt && {FACTS}") == facts
    remount(vm, gateway, disk)
    assert vm.run(f"cd /mnt && {FACTS}") == facts
    assert vm.run(f"cd /mnt && {SUMS}") == sums
    assert vm.run("rm -r /mnt/* && ls -A /mnt") == ""


def test_a_tree_that_the_vm_wrote_can_be_restored(
    vm: Vm, gateway: Gateway, disk: str, tmp_path: Path
) -> None:
    vm.run(MAKE_TREE + "cp -a /tmp/tree/3 /mnt && umount /mnt")
    gateway.fsgw("restore", f"{disk}/3", tmp_path / "out")
    sums = vm.run(f"cd /tmp/tree/3 && {SUMS}").splitlines()
    for line in sums:
        digest, name = line.split(maxsplit=1)
        assert hashlib.md5((tmp_path / "out" / name).read_bytes()).hexdigest() == digest
    assert len(sums) == 48
    assert (tmp_path / "out" / "1" / "2.txt").stat().st_mode == 0o104711
    assert (tmp_path / "out" / "2" / "hard").samefile(tmp_path / "out" / "2" / "1.txt")


def test_a_big_file_is_the_same_after_a_new_mount(vm: Vm, gateway: Gateway, disk: str) -> None:
    vm.run("dd if=/dev/urandom of=/run/big bs=1M count=100 2>/dev/null")
    summed = vm.run("md5sum </run/big").split()[0]
    vm.run("dd if=/run/big of=/mnt/big bs=1M 2>/dev/null && rm /run/big")
    remount(vm, gateway, disk)
    assert vm.run("md5sum </mnt/big") == f"{summed}  -"
    # An odd piece from the middle, and the same bytes as the admin sees them.
    piece = vm.run("dd if=/mnt/big bs=777777 skip=77 count=1 2>/dev/null | md5sum")
    whole = gateway.cat(f"{disk}/big")
    assert hashlib.md5(whole).hexdigest() == summed
    assert piece.split()[0] == hashlib.md5(whole[77 * 777777 : 78 * 777777]).hexdigest()


def test_a_file_written_in_odd_pieces(vm: Vm, gateway: Gateway, disk: str) -> None:
    """Overwritten, appended to and cut, in pieces that cross pages and blocks."""
    steps = """
    dd if=/dev/urandom of=F bs=1000 count=3000
    dd if=/dev/urandom of=F bs=4097 count=31 seek=17 conv=notrunc
    dd if=/dev/urandom of=F bs=131071 count=3 seek=5 conv=notrunc
    dd if=/dev/urandom bs=13 count=7 | cat >>F
    truncate -s 2500001 F
    dd if=/dev/urandom of=F bs=1 count=1 seek=2600000 conv=notrunc
    """
    # The same bytes to both: the random source is a file.
    vm.run("dd if=/dev/urandom of=/tmp/random bs=1M count=4 2>/dev/null; rm -f /tmp/file")
    for target in ("/tmp/file", "/mnt/file"):
        vm.run(steps.replace("/dev/urandom", "/tmp/random").replace("F", target))
    assert vm.run("cmp /tmp/file /mnt/file") == ""
    remount(vm, gateway, disk)
    assert vm.run("cmp /tmp/file /mnt/file && stat -c %s /mnt/file") == "2600001"


def test_a_shared_mapping(vm: Vm, gateway: Gateway, disk: str) -> None:
    assert vm.run("mapped /mnt/file") == "the same"
    summed = vm.run("md5sum </mnt/file")
    remount(vm, gateway, disk)
    assert vm.run("md5sum </mnt/file") == summed


def test_a_sparse_file(vm: Vm, gateway: Gateway, disk: str) -> None:
    vm.run("truncate -s $((1 << 40)) /mnt/disk")
    vm.run("printf end | dd of=/mnt/disk bs=1M seek=1048575 conv=notrunc")
    remount(vm, gateway, disk)
    assert vm.run("stat -c %s /mnt/disk") == str(1 << 40)
    assert int(vm.run("du -k /mnt/disk").split()[0]) <= 1024
    assert vm.run("dd if=/mnt/disk bs=1M skip=1048575 count=1 2>/dev/null | head -c 3") == "end"
    zeros = "dd if=/mnt/disk bs=1M skip=500000 count=2 2>/dev/null | tr -d '\\0' | wc -c"
    assert vm.run(zeros) == "0"


def test_all_kinds_of_files(vm: Vm, gateway: Gateway, disk: str) -> None:
    vm.run(
        """
        cd /mnt
        echo text >file && ln file hard && ln -s file soft && ln -s /no/such/place dangling
        mkfifo fifo && mknod block b 7 259 && mknod char c 1 3 && mkdir dir
        chmod 6750 file && chmod 1777 dir && chown 12:34 fifo && chown -h 56:78 soft
        touch -d @1234567890 file
        """
    )
    remount(vm, gateway, disk)
    facts = vm.run("cd /mnt && stat -c '%n %A %h %u:%g %t,%T' *")
    assert facts.splitlines() == [
        "block brw-r--r-- 1 0:0 7,103",
        "char crw-r--r-- 1 0:0 1,3",
        "dangling lrwxrwxrwx 1 0:0 0,0",
        "dir drwxrwxrwt 2 0:0 0,0",
        "fifo prw-r--r-- 1 12:34 0,0",
        "file -rwsr-s--- 2 0:0 0,0",
        "hard -rwsr-s--- 2 0:0 0,0",
        "soft lrwxrwxrwx 1 56:78 0,0",
    ]
    assert vm.run("cd /mnt && cat soft && readlink dangling") == "text\n/no/such/place"
    assert vm.run("cd /mnt && stat -c %Y file") == "1234567890"
    assert vm.run("cd /mnt && stat -c %i file") == vm.run("cd /mnt && stat -c %i hard")
    # A device and a pipe do what they are for.
    assert (
        vm.run("cd /mnt && echo lost >char && (cat fifo & echo through >fifo; wait)") == "through"
    )


def test_permissions_are_the_files_own(vm: Vm, disk: str) -> None:
    vm.run("cd /mnt && mkdir dir && chmod 711 dir && echo text >dir/file && chmod 640 dir/file")
    vm.run("chown 1000:50 /mnt/dir/file")
    assert vm.run("as 1000 9 cat /mnt/dir/file") == "text"
    assert vm.run("as 1001 50 cat /mnt/dir/file") == "text"
    assert "Permission denied" in vm.fails("as 1001 51 cat /mnt/dir/file")
    assert "Permission denied" in vm.fails("as 1001 50 sh -c 'echo more >>/mnt/dir/file'")
    assert "Permission denied" in vm.fails("as 1000 50 ls /mnt/dir")
    assert "Operation not permitted" in vm.fails("as 1001 50 chmod 666 /mnt/dir/file")
    # The owner may go on with what it has open, whatever the mode becomes.
    vm.run("as 1000 9 sh -c 'exec 3>>/mnt/dir/file; chmod 0 /mnt/dir/file; echo more >&3'")
    assert vm.run("cat /mnt/dir/file") == "text\nmore"


def test_space_is_told_and_quotas_hold(vm: Vm, gateway: Gateway, disk: str) -> None:
    total, used, left = map(int, vm.run("df -kP /mnt | tail -n 1").split()[1:4])
    assert total >= used + left > 0
    assert vm.run("stat -f -c %l /mnt") == "255"
    gateway.fsgw("quota", disk, "--bytes", str(8 << 20))
    said = vm.fails("dd if=/dev/zero of=/mnt/file bs=1M count=16 conv=fsync")
    assert "quota exceeded" in said.lower()
    gateway.fsgw("quota", disk, "--bytes", str(64 << 20))
    vm.run("dd if=/dev/zero of=/mnt/file bs=1M count=16 conv=fsync")
