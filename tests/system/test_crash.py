"""The gateway is killed while a virtual machine writes, and started again: the machine goes on.

The guest says on its console what it has been told is durable. Whatever it said before a kill must
be in the store right after it, before a gateway serves that store again.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import pytest

from tests.system.gateway import Gateway
from tests.system.images import Image
from tests.system.vm import Vm

pytestmark = pytest.mark.slow

RECORD_BYTES = 6000
KILLS = 4

# Names made, replaced and removed, each step durable when it returns. A kill may come between an
# operation and its answer; the kernel's second try then finds it done, which is no failure.
NAMES = """
cd /mnt && mkdir names && cd names
n=0
while [ ! -e /run/stop ]; do
    n=$((n + 1))
    mkdir d$n; echo $n >d$n/draft; sync -f d$n/draft; mv d$n/draft d$n/file; ln -s file d$n/link
    ln d$n/file d$n/hard; rm d$n/hard
    [ -d d$n ] && [ ! -e d$n/draft ] && [ -f d$n/file ] && [ -L d$n/link ] && [ ! -e d$n/hard ] &&
        echo "named $n" >/dev/console
done 2>/run/complaints
"""


@pytest.fixture
def victim(own_gateway: Gateway, image: Image) -> Iterator[Vm]:
    """A virtual machine with branch `main` of the gateway that is going to be killed at /mnt."""
    own_gateway.fsgw("branch", "create", "main")
    own_gateway.start()
    with Vm(image, append="quiet") as vm:
        vm.wait_for_agent()
        vm.mount(own_gateway.port, "/main", "/mnt")
        yield vm


def record(number: int) -> bytes:
    """What `append` writes for a number."""
    return (b"%012d" % number) * (RECORD_BYTES // 12)


def last(vm: Vm, word: str) -> int:
    """The highest number that the guest has said with a word."""
    said = re.findall(rf"^{word} (\d+)$", vm.console.text, re.MULTILINE)
    return max(map(int, said), default=0)


def expect_log(found: bytes, acknowledged: int) -> int:
    """Records 1, 2, 3 ... in order, all that were acknowledged, and a last one maybe cut short."""
    whole = len(found) // RECORD_BYTES
    assert whole >= acknowledged
    for number in range(1, whole + 1):
        start = (number - 1) * RECORD_BYTES
        assert found[start : start + RECORD_BYTES] == record(number), f"record {number}"
    return whole


def expect_names(gateway: Gateway, named: int) -> None:
    """All that the guest has said to be there: directories of a file and a link each."""
    listed = set(gateway.fsgw("ls", "main/names").split())
    assert {f"d{number}" for number in range(1, named + 1)} <= listed
    if named:
        assert gateway.fsgw("ls", f"main/names/d{named}").split() == ["file", "link"]
        assert gateway.cat(f"main/names/d{named}/file") == b"%d\n" % named


def test_what_was_synced_survives_kills(
    own_gateway: Gateway, victim: Vm, rng: random.Random
) -> None:
    vm = victim
    vm.run(
        f"append /mnt/log 1 1000000 {RECORD_BYTES} >/dev/console 2>&1 & echo $! >/run/append\n"
        f"({NAMES}) & echo $! >/run/names"
    )
    for _ in range(KILLS):
        since = vm.console.end
        for _ in range(rng.randint(3, 30)):
            since = vm.console.wait(r"^acknowledged \d+$", since=since).end()
        vm.console.wait(r"^named \d+$", since=since)
        own_gateway.kill()
        acknowledged, named = last(vm, "acknowledged"), last(vm, "named")
        assert own_gateway.fsgw("check", "--data") == "no problems found\n"
        expect_log(own_gateway.cat("main/log"), acknowledged)
        expect_names(own_gateway, named)
        since = vm.console.end
        own_gateway.start()
        vm.console.wait(r"^acknowledged \d+$", since=since)
        vm.console.wait(r"^named \d+$", since=since)
    vm.run(
        """
        : >/run/stop
        kill $(cat /run/append)
        while [ -e /proc/$(cat /run/names) ] || [ -e /proc/$(cat /run/append) ]; do stat /mnt; done
        umount /mnt
        """
    )
    expect_log(own_gateway.cat("main/log"), last(vm, "acknowledged"))
    expect_names(own_gateway, last(vm, "named"))


def test_what_was_not_yet_synced_is_sent_again(
    own_gateway: Gateway, victim: Vm, rng: random.Random
) -> None:
    """Data acknowledged as unstable and lost with the gateway: the kernel still has it."""
    vm = victim
    vm.run("dd if=/dev/urandom of=/run/random bs=1M count=32 2>/dev/null")
    for number in range(2):
        vm.run(
            f"(cat /run/random >/mnt/bulk{number} && sync && echo 'synced {number}' "
            ">/dev/console) >/dev/console 2>&1 &"
        )
        # In the middle: when the file has been seen to have some of the data, but not all of it.
        enough = rng.randint(1, 20) << 20
        vm.run(f"while [ $(stat -c %s /mnt/bulk{number} || echo 0) -lt {enough} ]; do :; done 2>&1")
        own_gateway.kill()
        own_gateway.start()
        vm.console.wait(f"^synced {number}$")
    # The guest's memory must not be what answers.
    summed = vm.run("cat /run/random | md5sum; umount /mnt; rm /run/random")
    vm.mount(own_gateway.port, "/main", "/mnt")
    assert vm.run("md5sum </mnt/bulk0; md5sum </mnt/bulk1; umount /mnt") == f"{summed}\n{summed}"


def test_a_program_in_the_middle_of_reading_notices_nothing(
    own_gateway: Gateway, victim: Vm
) -> None:
    vm = victim
    vm.run(
        "dd if=/dev/urandom of=/mnt/file bs=1M count=32 2>/dev/null; md5sum </mnt/file >/run/sum"
    )
    vm.run("umount /mnt")
    vm.mount(own_gateway.port, "/main", "/mnt")
    vm.run(
        "(md5sum </mnt/file | cmp - /run/sum && echo 'read well' >/dev/console) 2>/dev/console &"
    )
    own_gateway.kill()
    own_gateway.start()
    vm.console.wait("^read well$")
    vm.umount("/mnt")
