"""The options of a FUSE mount, as `-o` and /etc/fstab have them: what each comes to.

Those that mount(8) gives to any file system go to the kernel or are passed over; the others are
named as in libfuse where there is such a one. Nothing is mounted here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from fuse.options import Options
from store.errors import InvalidArgument

# How long the kernel trusts what it knows, unless told otherwise. It is told of every change, so
# that this only bounds the harm of one that was never told.
TIMEOUT_S = 3600.0
_TIMEOUT_S_MAX = 1e9

# Options of mount(2), which the helper knows (mount.fuse3(8)).
_KERNEL = frozenset(
    {
        *("ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec", "sync", "async"),
        *("atime", "noatime", "diratime", "nodiratime", "relatime", "norelatime", "strictatime"),
        *("nostrictatime", "lazytime", "nolazytime", "dirsync", "allow_other"),
    }
)
# What mount(8) and fstab(5) say to themselves, and what is always so.
_PASSED_OVER = frozenset(
    {
        *("defaults", "auto", "noauto", "user", "nouser", "users", "owner", "group", "_netdev"),
        *("nofail", "default_permissions"),
    }
)
_PASSED_OVER_KEYS = re.compile(r"x-.*|X-.*|comment")
_SHOWN = ("hidden", "listed", "off")


class MountOptions(NamedTuple):
    """What the words of a mount come to. `kernel`: options for the helper. `snapshots`, `git`: how
    `.snapshots` and `.git` show. `snapshot_admin`, `git_write`: whether they may be written to.
    `nonempty`: mount over what is in the directory. `store`,
    `socket`: which gateway is asked, empty for the command's own."""

    session: Options
    kernel: tuple[str, ...]
    snapshots: str
    snapshot_admin: bool
    git: str
    git_write: bool
    nonempty: bool
    store: str
    socket: str


def words(texts: Iterable[str]) -> list[str]:
    """The options in the arguments of several `-o`; a comma behind a backslash is text."""
    found = [word for text in texts for word in re.split(r"(?<!\\),", text)]
    return [word.replace("\\,", ",") for word in found if word]


def parse(given: Iterable[str]) -> MountOptions:
    """What options come to, the last of several winning. Raises InvalidArgument in one line."""
    values: dict[str, Any] = {}
    kernel: dict[str, str] = {}
    for word in given:
        key, equals, text = word.partition("=")
        if key in _VALUES and equals:
            values[key] = _value(key, text)
        elif key in _FLAGS and not equals:
            values[key] = True
        elif key in _KERNEL and not equals:
            kernel[key] = word
        elif not (key in _PASSED_OVER or _PASSED_OVER_KEYS.fullmatch(key)):
            known = ", ".join(sorted({*_KERNEL, *_VALUES, *_FLAGS}))
            raise InvalidArgument(f"{word!r} is no option of a mount; these are: {known}")
    session = Options(
        entry_timeout_s=values.get("entry_timeout", TIMEOUT_S),
        attr_timeout_s=values.get("attr_timeout", TIMEOUT_S),
        read_only=_last(kernel, "ro", "rw"),
        writeback_cache=values.get("writeback_cache", False),
        sync=_last(kernel, "sync", "async"),
    )
    return MountOptions(
        session,
        ("default_permissions", *kernel),
        values.get("snapshots", "hidden"),
        values.get("snapshot_admin", False),
        values.get("git", "hidden"),
        values.get("git_write", False),
        values.get("nonempty", False),
        values.get("store", ""),
        values.get("socket", ""),
    )


def _last(kernel: dict[str, str], yes: str, no: str) -> bool:
    order = list(kernel)
    return yes in kernel and (no not in kernel or order.index(yes) > order.index(no))


def _value(key: str, text: str) -> Any:
    read, allowed = _VALUES[key]
    try:
        return read(text)
    except ValueError:
        raise InvalidArgument(f"{key}={text}: {key} is {allowed}") from None


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= _TIMEOUT_S_MAX:
        raise ValueError
    return seconds


def _shown(text: str) -> str:
    if text not in _SHOWN:
        raise ValueError
    return text


def _path(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError
    return text


_VALUES: dict[str, tuple[Callable[[str], Any], str]] = {
    "attr_timeout": (_seconds, "a number of seconds"),
    "entry_timeout": (_seconds, "a number of seconds"),
    "git": (_shown, f"one of {', '.join(_SHOWN)}"),
    "snapshots": (_shown, f"one of {', '.join(_SHOWN)}"),
    "store": (_path, "the directory of a store"),
    "socket": (_path, "the path of a gateway's socket"),
}
_FLAGS = frozenset({"writeback_cache", "snapshot_admin", "git_write", "nonempty"})
