"""Files that a guest keeps open."""

from __future__ import annotations

from tests.system.vm import Vm


def hold(vm: Vm, *paths: str) -> str:
    """Keep files open in the guest: the directory through which they are reached, by number."""
    opened = " ".join(f"{number}<>{path}" for number, path in enumerate(paths, 3))
    return vm.run(
        "rm -f /run/hold /run/held; mkfifo /run/hold /run/held\n"
        f"(exec {opened}; sh -c 'echo $PPID >/run/held'; read end </run/hold) &\n"
        "echo /proc/$(cat /run/held)/fd"
    )


def let_go(vm: Vm) -> None:
    """Close them again."""
    vm.run("echo end >/run/hold")
