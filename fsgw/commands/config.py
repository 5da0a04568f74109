"""`fsgw config ...`: the configuration file explained, and checked."""

from __future__ import annotations

from pathlib import Path

import click

from fsgw import config as configuration
from fsgw import exports


@click.group()
def config() -> None:
    """Print sample configuration, and check a configuration file."""


@config.command("sample")
@click.option("--exports", "of_exports", is_flag=True, help="A file of exports instead.")
def sample(of_exports: bool) -> None:
    """Print a configuration file with every key, explained, at its default."""
    click.echo(exports.sample() if of_exports else configuration.sample(), nl=False)


@config.command("check")
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Check the configuration FILE, and the file of exports that it leads to."""
    found = configuration.load(file)
    if found.store.directory is not None or found.exports.file is not None:
        exports.load(found.exports_file)
    click.echo(f"{file}: no problems found")
