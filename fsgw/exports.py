"""Who may mount what: the exports in force, and the rule that they come to for one client.

The first export in the file's order whose branch patterns and client networks both match decides.
Without a file there is one: every branch, to this host only. A file without exports lets no one
in. Changing the file is `exports_file`'s.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import ipaddress
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

from fsgw import settings
from fsgw.settings import Choice, Flag, ListOf, Whole, setting
from nfs.export import NOBODY, Rule, Shown, Squash
from store.errors import InvalidArgument

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# (uid_t)-1 and (gid_t)-1 mean "leave as it is" to chown(2), so nobody has them.
_ID_MAX = 2**32 - 2
_PATTERN = re.compile(r"[A-Za-z0-9._*?\[\]!-]+")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")
# ::ffff:0:0/96, where IPv4 addresses stand on a socket that takes both (RFC 4291 2.5.5.2).
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


def _pattern(raw: object) -> str:
    if not isinstance(raw, str) or not _PATTERN.fullmatch(raw):
        raise ValueError(f"{raw!r} is no pattern of branch names")
    return raw


def _network(raw: object) -> str:
    """A network as `address/bits`; of IPv4 addresses in IPv6, as their IPv4."""
    try:
        if not isinstance(raw, str) or "%" in raw:  # an interface's name says nothing of clients
            raise ValueError
        network: Network = ipaddress.ip_network(raw, strict=False)
    except ValueError:
        raise ValueError(f"{raw!r} is no address and no network such as 10.0.0.0/8") from None
    if ipaddress.ip_address(raw.partition("/")[0]) != network.network_address:
        raise ValueError(f"{raw!r} has bits beyond its length: {network} is the network")
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        address = network.network_address.ipv4_mapped
        network = ipaddress.IPv4Network(f"{address}/{network.prefixlen - _MAPPED.prefixlen}")
    return str(network)


@dataclasses.dataclass(frozen=True)
class _Name:
    """What commands call an export by; a number would be its position."""

    words: str = "a name: a letter, then letters, digits, `.`, `_`, `-`"

    def read(self, raw: object, base: Path) -> str | None:
        if not isinstance(raw, str) or (raw and not _NAME.fullmatch(raw)):
            raise ValueError
        return raw or None

    def plain(self, value: str | None) -> str:
        return value or ""


_SHOWN = Choice({shown.value: shown for shown in (Shown.HIDDEN, Shown.LISTED, Shown.OFF)})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export:
    """One entry of the file: some branches, for some clients."""

    name: str | None = setting(
        _Name(), None, "What commands may call this export by; no two share one."
    )
    branches: tuple[str, ...] = setting(
        ListOf("a list of patterns", _pattern),
        ("*",),
        "The branches: shell patterns (*, ?, [a-z]) of their names.",
    )
    clients: tuple[str, ...] = setting(
        ListOf("a list of IP addresses and networks", _network),
        ("127.0.0.0/8", "::1/128"),
        "The clients. An IPv4 address that arrives within IPv6 is taken as IPv4.",
    )
    access: str = setting(
        settings.choice("rw", "ro"), "rw", "Whether they may change what they mount."
    )
    squash: Squash = setting(
        Choice({squash.value: squash for squash in (Squash.ROOT, Squash.NONE, Squash.ALL)}),
        Squash.ROOT,
        'Whose ids become the anonymous ones: "root": user 0, group 0 and supplementary group 0; '
        '"all": everyone\'s, and supplementary groups are dropped; "none": nobody\'s, which a VM '
        "that boots from its branch needs.",
    )
    anonuid: int = setting(Whole(0, _ID_MAX), NOBODY, "The anonymous user id.")
    anongid: int = setting(Whole(0, _ID_MAX), NOBODY, "The anonymous group id.")
    sync: bool = setting(
        Flag(),
        True,
        "Whether replies to changes of names and attributes wait until the change is durable. "
        "With false, a crash may take those of the last moments (store.flush_age_ms); data that "
        "was committed or written as stable is durable either way.",
    )
    secure: bool = setting(
        Flag(),
        False,
        "Whether calls must come from a port below 1024. That says something only where every "
        "host in the network is trusted to keep its users from those ports; clients in user "
        "space and VMs behind QEMU's user networking have high ones.",
    )
    snapshots: Shown = setting(
        _SHOWN,
        Shown.HIDDEN,
        "The directory .snapshots in a branch's root: hidden (reached by its name), listed, off.",
    )
    git: Shown = setting(
        _SHOWN, Shown.HIDDEN, "The same for .git, a repository of the branch's history."
    )
    snapshot_admin: bool = setting(
        Flag(), False, "Whether mkdir and rmdir in .snapshots take and delete snapshots."
    )
    git_write: bool = setting(
        Flag(),
        False,
        "Whether git may write to .git of a whole branch: git commit takes a snapshot, git branch "
        "forks. Other branches can be changed where an export with this shows them as well.",
    )

    @property
    def rule(self) -> Rule:
        """What it allows."""
        return Rule(
            self.access == "ro",
            self.squash,
            self.anonuid,
            self.anongid,
            self.sync,
            self.secure,
            self.snapshots,
            self.git,
            self.snapshot_admin,
            self.git_write,
        )


# What every entry of a file has to say.
NEEDED = ("branches", "clients")
DEFAULT = (Export(name="default"),)


def parse(text: str, where: str) -> tuple[Export, ...]:
    """The exports in the text of a file. Raises InvalidArgument, in one line with the key."""
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"{where}: {error}") from None
    settings.refuse_unknown(raw, ["export"], where)
    tables = raw.get("export", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise InvalidArgument(f"{where}: exports are tables: [[export]]")
    found = tuple(
        _read(table, f"{where}: export {number}") for number, table in enumerate(tables, 1)
    )
    names = [export.name for export in found if export.name is not None]
    for name in names:
        if names.count(name) > 1:
            raise InvalidArgument(f"{where}: two exports are named {name!r}")
    return found


def _read(table: dict[str, object], where: str) -> Export:
    for key in NEEDED:
        if key not in table:
            raise InvalidArgument(f"{where}: {key} is missing")
    return settings.read(Export, table, Path(), where)


def load(path: Path) -> tuple[Export, ...]:
    """The exports in a file; without it, the default. Raises InvalidArgument, OSError."""
    text = read_text(path)
    return DEFAULT if text is None else parse(text, str(path))


def read_text(path: Path) -> str | None:
    """A file's text as it is; None where there is no file. Raises InvalidArgument, OSError."""
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"{path}: {error}") from None


class _Compiled:
    """An export, ready to be asked."""

    __slots__ = ("rule", "branches", "_ranges")

    def __init__(self, export: Export) -> None:
        self.rule = export.rule
        self.branches = re.compile("|".join(map(fnmatch.translate, export.branches)))
        networks = map(ipaddress.ip_network, export.clients)
        self._ranges = [
            (network.version, int(network.network_address), int(network.broadcast_address))
            for network in networks
        ]

    def lets_in(self, version: int, number: int) -> bool:
        """Whether a client's address, as its IP version and number, is in one of the networks."""
        return any(version == of and least <= number <= most for of, least, most in self._ranges)


def _numbered(address: str) -> tuple[int, int] | None:
    """IP version and number of an address; None for what is no address."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return found.version, int(found)


class Exports:
    """The exports in force; those of a file, or without one, fixed.

    `version` changes with every change of the rules, so that what was derived can be kept until
    then.
    """

    def __init__(self, path: Path | None = None, exports: Iterable[Export] = DEFAULT) -> None:
        """Those in the file `path`, else `exports`. Raises InvalidArgument, OSError."""
        self.path, self.version = path, 0
        self._put(tuple(exports) if path is None else load(path))

    def _put(self, exports: tuple[Export, ...]) -> None:
        self._exports = exports
        self._compiled = [_Compiled(export) for export in exports]

    def reload(self) -> bool:
        """Read the file again; whether that changed anything.

        Raises InvalidArgument, OSError; the rules in force then stay so.
        """
        if self.path is None:
            return False
        found = load(self.path)
        if found == self._exports:
            return False
        self._put(found)
        self.version += 1
        return True

    def rule(self, branch: str, address: str) -> Rule | None:
        """What the client at an IP address may do with a branch; None: not even see it."""
        client = _numbered(address)
        if client is not None:
            for export in self._compiled:
                if export.branches.match(branch) and export.lets_in(*client):
                    return export.rule
        return None

    def those_for(self, address: str) -> tuple[int, ...]:
        """Which exports are for a client: clients that have the same see the same."""
        client = _numbered(address)
        if client is None:
            return ()
        found = [n for n, export in enumerate(self._compiled) if export.lets_in(*client)]
        return (self.version, *found)

    def may_mount_any(self, address: str) -> bool:
        """Whether any export lets the client at an IP address in."""
        client = _numbered(address)
        return client is not None and any(one.lets_in(*client) for one in self._compiled)

    def clients_of(self, branch: str) -> list[str]:
        """The networks that may mount a branch, in the file's order, none twice."""
        found: dict[str, None] = {}
        for export, compiled in zip(self._exports, self._compiled, strict=True):
            if compiled.branches.match(branch):
                found.update(dict.fromkeys(export.clients))
        return list(found)

    def entries(self) -> tuple[Export, ...]:
        """All exports, in the file's order."""
        return self._exports


def sample() -> str:
    """A file of exports: the default one, with every key explained."""
    lines = [
        "# Exports of an fsgw gateway: which clients may mount which branches, and how.",
        "#",
        "# The first export that names both the branch and the client decides; a client that none",
        "# names is refused. After changing this file: `fsgw export reload`.",
        "",
        "[[export]]",
        *settings.sample_lines(DEFAULT[0], (*NEEDED, "name")),
    ]
    return "\n".join(lines) + "\n"
