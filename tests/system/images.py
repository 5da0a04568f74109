"""What virtual machines boot from, made when it is first asked for; and what all of it needs.

The kernel, the initramfs and the Debian system come from `scripts/vm-image`. The tests append an
archive of their own to the initramfs: the agent, and the programs of `guest/`, compiled here.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
BUILD = ROOT / "build" / "vm"
GUEST = Path(__file__).parent / "guest"

# Programs that these tests run, by the Debian package that has them.
PROGRAMS = {
    "busybox": "busybox-static",
    "cpio": "cpio",
    "gcc": "gcc libc6-dev",
    "ip": "iproute2",
    "mmdebstrap": "mmdebstrap",
    "nfs-ls": "libnfs-utils",
    "qemu-system-x86_64": "qemu-system-x86",
    "rpcbind": "rpcbind",
    "rpcinfo": "rpcbind",
    "setpriv": "util-linux",
    "showmount": "nfs-common",
}
COMPILE = [
    "gcc",
    "-std=c17",
    "-D_GNU_SOURCE",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Os",
    "-static",
    "-s",
]
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


class Image(NamedTuple):
    """A kernel and its initramfs."""

    kernel: Path
    initrd: Path


def which(program: str) -> str | None:
    """Where a program is, `sbin` directories included."""
    return shutil.which(program, path=_PATH)


def missing() -> list[str]:
    """What is not here of all that the tests need, as reasons; empty if they can all run."""
    reasons = [
        f"no {program} (apt-get install {package})"
        for program, package in PROGRAMS.items()
        if which(program) is None
    ]
    if os.geteuid() != 0:
        reasons.append("not root")
    return reasons


def _made(*words: str) -> Path:
    """The directory that `scripts/vm-image` prints."""
    done = subprocess.run(
        [ROOT / "scripts" / "vm-image", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Path(done.stdout.strip())


def debian() -> Path:
    """The root directory of a small Debian system that has Python."""
    return _made("debian", "python3") / "rootfs"


def debian_with_git() -> Path:
    """The root directory of one that has git."""
    return _made("debian", "git") / "rootfs"


def boot_image() -> Image:
    """The kernel with an initramfs as users have it."""
    made = _made("kernel")
    return Image(made / "vmlinuz", made / "initrd")


def test_image() -> Image:
    """The same with the agent and the guest's programs added."""
    plain = boot_image()
    sources = sorted(GUEST.iterdir())
    key = hashlib.sha256(str(plain.initrd).encode())
    for source in (Path(__file__), *sources):
        key.update(source.read_bytes())
    initrd = BUILD / f"initrd-test-{key.hexdigest()[:16]}"
    with (BUILD / ".lock-test").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not initrd.exists():
            for old in BUILD.glob("initrd-test-*"):
                old.unlink()
            _append(plain.initrd, sources, initrd)
    return Image(plain.kernel, initrd)


test_image.__test__ = False  # type: ignore[attr-defined]


def _append(initrd: Path, sources: list[Path], to: Path) -> None:
    """Write an initramfs with one archive more: the kernel unpacks one after the other."""
    tree = to.with_suffix(".tree")
    shutil.rmtree(tree, ignore_errors=True)
    (tree / "bin").mkdir(parents=True)
    shutil.copy(GUEST / "agent", tree / "agent")
    for source in sources:
        if source.suffix == ".c":
            program = tree / "bin" / source.stem
            subprocess.run([*COMPILE, "-o", program, source], check=True)
    archive = subprocess.run(
        "find . | cpio --quiet -o -H newc -R 0:0 | gzip -n",
        shell=True,
        cwd=tree,
        check=True,
        stdout=subprocess.PIPE,
    ).stdout
    shutil.rmtree(tree)
    new = to.with_suffix(".new")
    new.write_bytes(initrd.read_bytes() + archive)
    new.rename(to)
