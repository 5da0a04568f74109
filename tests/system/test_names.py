"""Names in a branch as a virtual machine uses them: many, long, renamed, removed while in use."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.gateway import Gateway
from tests.system.vm import Vm

pytestmark = pytest.mark.slow

MANY = 10_000


def test_names_up_to_255_bytes_of_any_kind(vm: Vm, disk: str) -> None:
    longest, umlauts = "n" * 255, "ü" * 127
    vm.run(f"cd /mnt && echo 1 >{longest} && mkdir {umlauts} && echo 2 >{umlauts}/{longest}")
    assert "too long" in vm.fails(f"cd /mnt && : >{longest}n")
    assert "too long" in vm.fails(f"cd /mnt && mkdir {umlauts}üü")
    assert vm.run(f"cat /mnt/{longest} /mnt/{umlauts}/{longest}") == "1\n2"
    vm.run(
        r"""cd /mnt && for n in ' ' '\' '*' "$(printf '\377\001')" '-n' '...'; do : >"./$n"; done"""
    )
    assert vm.run(r"""cd /mnt && [ -f "$(printf '\377\001')" ] && ls -A | wc -l""") == "8"


def test_a_directory_of_ten_thousand(vm: Vm, gateway: Gateway, disk: str, tmp_path: Path) -> None:
    for number in range(MANY):
        (tmp_path / f"entry-{number}").touch()
    gateway.fsgw("import", tmp_path, f"{disk}/many")
    # Bare names, which the kernel may ask for with READDIR, and names with attributes.
    assert vm.run("cd /mnt/many && ls | sort -u | wc -l") == str(MANY)
    assert vm.run("cd /mnt/many && ls -ln | grep -c 'entry-[0-9]*$'") == str(MANY)
    assert vm.run("cd /mnt/many && find . -type f | wc -l") == str(MANY)
    # Removed while it is read.
    vm.run("cd /mnt/many && find . -name '*[37]' -type f -exec rm {} +")
    assert vm.run("ls /mnt/many | wc -l") == str(MANY * 8 // 10)
    assert vm.run("ls /mnt/many | grep -c '[37]$' ||:") == "0"


def test_the_same_from_a_mount_without_readdirplus(
    vm: Vm, gateway: Gateway, disk: str, tmp_path: Path
) -> None:
    for number in range(2000):
        (tmp_path / f"entry-{number}").touch()
    gateway.fsgw("import", tmp_path, f"{disk}/many")
    vm.mount(gateway.port, f"/{disk}", "/mnt/many", "nordirplus")
    assert vm.run("cd /mnt/many/many && ls -ln | sort -u -k 9 | grep -c entry-") == "2000"


def test_a_rename_replaces_and_what_is_open_stays(vm: Vm, disk: str) -> None:
    vm.run("cd /mnt && echo old >target && echo new >source && stat -c %i source >/tmp/ino")
    said = vm.run("cd /mnt && exec 4<target && mv source target && cat target && cat <&4")
    assert said == "new\nold"
    assert vm.run("cd /mnt && ls -A && stat -c %i target") == f"target\n{vm.run('cat /tmp/ino')}"


def test_directories_are_renamed_and_replaced(vm: Vm, disk: str) -> None:
    vm.run("cd /mnt && mkdir -p a/b/c empty full/one && echo deep >a/b/c/file")
    # mv into an existing directory is another thing than rename: -T is rename.
    vm.run("cd /mnt && mv -T a/b empty && cat empty/c/file && rmdir a")
    assert "not empty" in vm.fails("cd /mnt && mv -T empty full")
    assert "Invalid argument" in vm.fails("cd /mnt && mv -T empty empty/c/inside")
    vm.run("cd /mnt/empty/c && mv -T /mnt/empty /mnt/full/one && cat file && pwd -P")
    left = vm.run("cd /mnt && find . | sort").split()
    assert left == [".", "./full", "./full/one", "./full/one/c", "./full/one/c/file"]


def test_a_file_removed_while_open_lives_until_it_is_closed(
    vm: Vm, gateway: Gateway, disk: str
) -> None:
    """The kernel renames it to .nfsXXXX, and removes that when the last user closes it."""
    silly = vm.run(
        """
        cd /mnt && echo first >file && exec 4<>file && rm file && [ ! -e file ]
        ls -A && echo second >&4 && head -n 1 /proc/self/fd/4
        """
    )
    name, content = silly.splitlines()
    assert name.startswith(".nfs") and content == "second"
    assert vm.run("ls -A /mnt") == ""
    assert gateway.fsgw("ls", disk) == ""


def test_links_count_and_outlive_each_other(vm: Vm, disk: str) -> None:
    vm.run("cd /mnt && mkdir a b && echo text >a/one && ln a/one b/two && ln b/two three")
    assert vm.run("cd /mnt && stat -c %h a/one b/two three") == "3\n3\n3"
    vm.run("cd /mnt && rm a/one && echo more >>b/two && mv three a/three")
    assert vm.run("cd /mnt && stat -c %h a/three && cat a/three") == "2\ntext\nmore"
    assert "File exists" in vm.fails("cd /mnt && ln a/three b/two")
    assert vm.execute("cd /mnt && ln a b/dir").status != 0
    vm.run("cd /mnt && ln -s nowhere soft && ln soft soft2 && mkfifo fifo && ln fifo fifo2")
    assert vm.run("cd /mnt && readlink soft2 && stat -c %h fifo2") == "nowhere\n2"


def test_an_exclusive_create_has_one_winner(vm: Vm, disk: str) -> None:
    """A shell with noclobber opens with O_CREAT | O_EXCL; mkdir and link are exclusive always."""
    vm.run("cd /mnt && set -C && echo mine >lock && chmod 600 lock")
    assert "File exists" in vm.fails("cd /mnt && set -C && echo other >lock")
    assert vm.run("cat /mnt/lock && stat -c %a /mnt/lock") == "mine\n600"
    winners = vm.run(
        """
        cd /mnt && set -C
        for who in 1 2 3 4; do
            for n in $(seq 100); do (echo $who >try$n) 2>/dev/null && echo won; done &
        done | wc -l
        """
    )
    assert winners == "100"
    assert vm.run("cd /mnt && cat try* | wc -l") == "100"


def test_a_subdirectory_is_mounted_alone(vm: Vm, gateway: Gateway, disk: str) -> None:
    vm.run("cd /mnt && mkdir -p sub/dir && echo below >sub/dir/file && echo beside >other")
    vm.mount(gateway.port, f"/{disk}/sub/dir", "/mnt2")
    assert vm.run("ls -A /mnt2 && cat /mnt2/file") == "file\nbelow"
    vm.run("echo new >/mnt2/new && cat /mnt/sub/dir/new && mv /mnt/sub /mnt/moved")
    # The handle goes with the directory, wherever it is moved.
    assert vm.run("echo more >>/mnt2/new && cat /mnt/moved/dir/new") == "new\nmore"
    assert vm.run("cd /mnt2/.. && ls -d mnt2") == "mnt2"


@pytest.mark.parametrize("path", ["/no-such-branch", "/{disk}/no/such/dir", "/{disk}@no-such", "/"])
def test_what_is_not_there_cannot_be_mounted(
    vm: Vm, gateway: Gateway, disk: str, path: str
) -> None:
    refused = vm.mount_fails(gateway.port, path.format(disk=disk), "/mnt2")
    assert "No such file" in refused or "Permission denied" in refused


def test_a_file_cannot_be_mounted(vm: Vm, gateway: Gateway, disk: str) -> None:
    vm.run("echo text >/mnt/file")
    assert "Not a directory" in vm.mount_fails(gateway.port, f"/{disk}/file", "/mnt2")
