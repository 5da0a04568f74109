"""The mounts that a configuration file asks for: [[mount]], one table for each."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from fsgw import mount_options, settings
from fsgw.settings import ListOf, PathName, Text, setting
from store.errors import InvalidArgument


def _mount_option(raw: object) -> str:
    if not isinstance(raw, str):
        raise ValueError(f"{raw!r} is no option")
    try:
        mount_options.parse([raw])
    except InvalidArgument as error:
        raise ValueError(str(error)) from None
    return raw


def _source(raw: object) -> str:
    if not isinstance(raw, str) or not raw or "\0" in raw:
        raise ValueError
    return raw


@dataclasses.dataclass(frozen=True, kw_only=True)
class MountConfig:
    """One FUSE mount that is made at the start."""

    source: str = setting(
        Text("a branch, BRANCH@SNAPSHOT or commit id, with /sub/dir a directory in it", _source),
        "",
        "What to mount.",
    )
    directory: Path | None = setting(PathName(), None, "Where: an empty directory.")
    options: tuple[str, ...] = setting(
        ListOf("a list of options, as `fsgw mount -o` takes them", _mount_option, least=0),
        (),
        "Options of the mount.",
    )


def read_mounts(raw: object, base: Path, where: str) -> tuple[MountConfig, ...]:
    """The FUSE mounts of a file. Raises InvalidArgument."""
    if not isinstance(raw, list) or not all(isinstance(one, dict) for one in raw):
        raise InvalidArgument(f"{where}: mount is a list of tables: [[mount]]")
    wanted = []
    for number, one in enumerate(raw, 1):
        prefix = f"mount {number}: "
        found = settings.read(MountConfig, one, base, where, prefix)
        if not found.source or found.directory is None:
            raise InvalidArgument(f"{where}: {prefix}it needs source and directory")
        wanted.append(found)
    return tuple(wanted)
