"""Rows about a client that nobody here wrote: the Linux kernel, in QEMU without virtualisation.

The virtual machine unpacks a real source tree onto a mount, walks it and removes it. Emulated, it
is far slower than a processor, so these rows say what its user feels there and little of the
servers' limits. Nothing the guest cached is left for the walk: the export is mounted anew.
"""

from __future__ import annotations

import itertools
import shutil
import statistics
import time
from collections.abc import Iterator
from functools import partial

from scripts.benchmarks.bench import Bench, Pair
from scripts.benchmarks.compared import NEARLY
from scripts.benchmarks.nfs_load import PEER, make_servers
from scripts.benchmarks.nfs_servers import ASYNC, SYNC, Share
from scripts.benchmarks.rows import Row, make_row
from scripts.benchmarks.source_trees import make_archive
from tests.system.images import test_image
from tests.system.vm import HOST, Vm

_PROGRAMS = ("qemu-system-x86_64", "busybox", "cpio")
_GIVE_UP_S = 600.0
_MEMORY_MIB = 1024
_STEPS = {
    "untar": "tar -x -f /tree.tar -C /mnt/$D",
    "find": "find /mnt/$D -type f -size +0 | wc -l",
    "rm -r": "rm -r /mnt/$D",
}

_new_directory = map("tree-{}".format, itertools.count(1)).__next__


def vm(bench: Bench) -> Iterator[Row]:
    """Untar, find and rm -r of the standard library's sources, in files a second."""
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    if missing:
        bench.say(f"vm: left out: no {', '.join(missing)}")
        return
    servers = bench.fixture(make_servers)
    archive, _, files = make_archive(bench)
    archive.rename(servers.peer.root / archive.name)
    with Vm(test_image(), append="quiet", memory_mib=_MEMORY_MIB) as guest:
        guest.wait_for_agent()
        _mount(guest, servers.peer.share())
        guest.run(f"cp /mnt/{archive.name} /tree.tar; umount /mnt")
        for branch in (SYNC, ASYNC):
            results: tuple[list[list[float]], list[list[float]]] = ([], [])

            def work(share: Share, results: list[list[float]]) -> float:
                results.append(_steps_s(guest, share, files))
                return files / sum(results[-1])

            bench.alternate(
                f"vm, {branch} export, files/s",
                bench.size(3, 1),
                partial(work, servers.ours.share(branch), results[0]),
                partial(work, servers.peer.share(), results[1]),
            )
            for number, step in enumerate(_STEPS):
                pair = Pair(
                    *(files / statistics.median(one[number] for one in side) for side in results)
                )
                yield make_row(
                    f"VM: {step} of {files:,} files, {branch} export",
                    pair.ours,
                    "files/s",
                    peer=(PEER, pair.peer),
                    target=NEARLY,
                )


def _mount(guest: Vm, share: Share) -> None:
    options = f"addr={HOST},vers=3,proto=tcp,nolock,port={share.port}"
    options += f",mountproto=tcp,mountport={share.mount_port}"
    guest.run(f"mkdir -p /mnt && mount -t nfs -o {options} {HOST}:{share.export} /mnt")


def _steps_s(guest: Vm, share: Share, files: int) -> list[float]:
    """Seconds that each step takes, its unmount, which flushes what is left, included."""
    directory, seconds = _new_directory(), []
    for number, command in enumerate(_STEPS.values()):
        _mount(guest, share)
        if number == 0:
            guest.run(f"mkdir /mnt/{directory}")
        started = time.monotonic()
        printed = guest.run(f"D={directory}; {command} && umount /mnt", timeout_s=_GIVE_UP_S)
        seconds.append(time.monotonic() - started)
        if number == 1 and int(printed) != files:
            raise RuntimeError(f"find saw {printed} files of {files}")
    return seconds
