"""The `fsgw` command: options of the whole, and the list of commands.

Exit codes: 0 done; 1 done, and the answer is no, differences, problems, or not everything; 2 wrong
usage; 3 an error of the input, such as an unknown ref; 4 damage, a failing disk or no room; 5 the
store is open elsewhere; 6 the gateway went away or failed; 130 interrupted.
"""

from __future__ import annotations

import os
from importlib import import_module

import click

from fsgw.session import Commands, Session

# Name -> `module:command` below fsgw.commands; a module is imported when its command is used.
_COMMANDS = {
    "init": "upkeep:init",
    "serve": "serve:serve",
    "status": "status:status",
    "clients": "status:clients",
    "mount": "mount:mount",
    "umount": "mount:umount",
    "mounts": "mount:mounts",
    "branch": "branches:branch",
    "quota": "branches:quota",
    "snapshot": "history:snapshot",
    "log": "history:log",
    "diff": "history:diff",
    "rollback": "history:rollback",
    "merge": "merge:merge",
    "import": "files:import_command",
    "restore": "files:restore",
    "ls": "files:ls",
    "cat": "files:cat",
    "gc": "upkeep:collect",
    "check": "upkeep:check",
    "stats": "upkeep:stats",
    "export": "exports:export",
    "config": "config:config",
}


class _Lazy(Commands):
    """The commands of `_COMMANDS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = _COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        command: click.Command = getattr(import_module(f"fsgw.commands.{module}"), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As in click, but `SOURCE DIRECTORY [-o OPTION,...]` alone is a mount.

        So mount.fuse3(8) calls for a line of /etc/fstab, or for `mount -t fuse.fsgw`.
        """
        if len(args) > 1 and args[0] not in _COMMANDS and os.path.isabs(args[1]):
            args = ["mount", "--background", *args]
        return super().resolve_command(ctx, args)


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--store",
    "path",
    metavar="DIR",
    envvar="FSGW_STORE",
    type=click.Path(),
    help="The store's directory (or set FSGW_STORE).",
)
@click.option(
    "--socket",
    metavar="PATH",
    envvar="FSGW_SOCKET",
    type=click.Path(),
    help="Where the store's gateway listens, if not in the store (or set FSGW_SOCKET).",
)
@click.pass_context
def main(context: click.Context, path: str | None, socket: str | None) -> None:
    """Branches, snapshots and files of a versioned store.

    A REF is BRANCH, BRANCH@SNAPSHOT, or a commit: its id, or a prefix of 8 or more digits that
    only it has.

    Where a gateway (`fsgw serve`) has the store, commands go through it.

    Exit codes: 0 done; 1 done, but there are differences, problems, or files left out; 2 wrong
    usage; 3 wrong input, such as an unknown ref; 4 damage, a failing disk, or no room; 5 the store
    is open elsewhere; 6 the gateway went away or failed.
    """
    context.obj = Session(path, socket)
