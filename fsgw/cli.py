"""The `fsgw` command: options of the whole, and the list of commands.

Exit codes: 0 done; 1 done, and the answer is no, differences, problems, or not everything; 2 wrong
usage; 3 an error of the input, such as an unknown ref; 4 damage, a failing disk or no room; 5 the
store is open elsewhere; 130 interrupted.
"""

from __future__ import annotations

import click

from fsgw.commands import branches, files, history, upkeep
from fsgw.process import tune
from fsgw.session import Commands, Session


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--store",
    "path",
    metavar="DIR",
    envvar="FSGW_STORE",
    type=click.Path(),
    help="The store's directory (or set FSGW_STORE).",
)
@click.pass_context
def main(context: click.Context, path: str | None) -> None:
    """Branches, snapshots and files of a versioned store.

    A REF is BRANCH, BRANCH@SNAPSHOT, or a commit: its id, or a prefix of 8 or more digits that
    only it has.

    Exit codes: 0 done; 1 done, but there are differences, problems, or files left out; 2 wrong
    usage; 3 wrong input, such as an unknown ref; 4 damage, a failing disk, or no room; 5 the store
    is open elsewhere.
    """
    tune()
    context.obj = Session(path)


for _command in (
    upkeep.init,
    branches.branch,
    branches.quota,
    history.snapshot,
    history.log,
    history.diff,
    history.rollback,
    files.import_command,
    files.restore,
    files.ls,
    files.cat,
    upkeep.collect,
    upkeep.check,
    upkeep.stats,
):
    main.add_command(_command)
