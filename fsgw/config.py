"""The gateway's configuration: every key, declared once, and the TOML file that holds them.

A configuration is an immutable tree of tables. It says what is wanted; whether an address can be
bound or a directory is a store is found out by those who use it.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fsgw import settings
from fsgw.mount_config import MountConfig, read_mounts
from fsgw.settings import Flag, ListOf, PathName, Whole, choice, setting
from store.engine import Options
from store.errors import InvalidArgument

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

SOCKET_NAME = "gateway.sock"
EXPORTS_NAME = "exports.toml"
# sockaddr_un holds 108 bytes, the last of them NUL (unix(7)).
SOCKET_PATH_BYTES_MAX = 107
# What a call or reply has besides its data: RPC header, credential and verifier of 400 bytes each
# (RFC 5531 8.2), handle and attributes come to less than half of this.
HEADER_BYTES = 4 * KIB

_DEFAULTS = Options()


def _address(raw: object) -> str:
    try:
        return str(ipaddress.ip_address(raw if isinstance(raw, str) else ""))
    except ValueError:
        raise ValueError(f"{raw!r} is no IP address") from None


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoreConfig:
    """The store, and the limits that it is opened with."""

    directory: Path | None = setting(
        PathName(),
        None,
        "The store's directory. Empty: the one given with --store or FSGW_STORE.",
    )
    dirty_bytes_max: int = setting(
        Whole(4 * MIB, 64 * GIB, "bytes"),
        _DEFAULTS.dirty_bytes_max,
        "Changes kept in memory; a gateway needs up to twice this.",
        limit="a checkpoint is made; at twice the limit calls wait for it.",
    )
    journal_bytes_max: int = setting(
        Whole(4 * MIB, 64 * GIB, "bytes"),
        _DEFAULTS.journal_bytes_max,
        "Journal since the last checkpoint: what opening after a crash does again.",
        limit="a checkpoint is made.",
    )
    node_cache_bytes: int = setting(
        Whole(MIB, 64 * GIB, "bytes"),
        _DEFAULTS.node_cache_bytes,
        "Memory for decoded nodes of the store's maps.",
        limit="the least recently used are dropped.",
    )
    chunk_cache_bytes: int = setting(
        Whole(MIB, 64 * GIB, "bytes"),
        _DEFAULTS.chunk_cache_bytes,
        "Memory for data that was read in small pieces.",
        limit="the least recently used are dropped.",
    )
    inode_cache_entries: int = setting(
        Whole(1000, 1_000_000_000),
        _DEFAULTS.inode_cache_entries,
        "Inodes, and as many names, kept in memory; some 1.2 KB for each pair.",
        limit="the least recently used are dropped.",
    )
    layer_rows_max: int = setting(
        Whole(1000, 1_000_000_000),
        _DEFAULTS.layer_rows_max,
        "Rows changed on a branch since it was last sealed.",
        limit="the changes are sealed in the background, as if for a snapshot.",
    )
    flush_bytes: int = setting(
        Whole(64 * KIB, 64 * GIB, "bytes"),
        16 * MIB,
        "Changes in memory at which they begin to be written without anyone waiting for it.",
        limit="a flush begins; clients go on meanwhile.",
    )
    flush_age_ms: int = setting(
        Whole(1, 3_600_000, "milliseconds"),
        1000,
        "Age of a change at which it begins to be written without anyone waiting for it: what a "
        "crash may take from the clients of an export with sync = false.",
        limit="a flush begins; clients go on meanwhile.",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class NfsConfig:
    """The NFS door: where it listens, and what clients may take of its memory and time."""

    enabled: bool = setting(Flag(), True, "Whether to serve NFS at all.")
    listen: tuple[str, ...] = setting(
        ListOf("a list of IP addresses", _address),
        ("127.0.0.1",),
        'Addresses to listen on; ["0.0.0.0", "::"] are all. Who may do what is said by the '
        "exports, which let in this host only unless they are changed too.",
    )
    port: int = setting(
        Whole(0, 65535),
        2049,
        "TCP port of all programs: NFS, MOUNT and portmap. 0: any free one, which the log tells.",
    )
    portmap: str = setting(
        choice("auto", "off", "require"),
        "auto",
        'Telling clients the port. "auto": answer on portmap_port, or where that is taken register '
        'with the rpcbind that runs there, and go on without either; "require": do not start '
        'without either; "off": clients name the port themselves (port=, mountport=).',
    )
    portmap_port: int = setting(
        Whole(0, 65535), 111, "Port of portmap (TCP and UDP). 0: any free one, for tests."
    )
    udp: bool = setting(Flag(), True, "Answer MOUNT and portmap over UDP as well; NFS is TCP only.")
    connections_max: int = setting(
        Whole(1, 1_000_000),
        4096,
        "Connections of clients. Each has a descriptor and 64 KiB to receive into, so these are "
        "256 MiB; a client has one connection, or as many as its nconnect= says.",
        limit="a further connection is closed at once, and the client tries again.",
    )
    connection_calls_max: int = setting(
        Whole(1, 65536),
        256,
        "Calls of one connection that are being worked on or wait for a flush.",
        limit="nothing more is read from the connection until one is answered.",
    )
    record_bytes_max: int = setting(
        Whole(8 * KIB, 16 * MIB, "bytes"),
        MIB + 64 * KIB,
        "Length of one call: write_bytes_max and the headers.",
        limit="the connection is closed when a longer call is announced.",
    )
    connection_buffer_bytes_max: int = setting(
        Whole(8 * KIB, GIB, "bytes"),
        8 * MIB,
        "Replies that wait for one client to receive them.",
        limit="nothing more is read from the connection until it has received some.",
    )
    idle_timeout_s: int = setting(
        Whole(10, 30 * 86400, "seconds"),
        3600,
        "Time without a call. Linux clients close idle connections themselves, after 5 minutes, "
        "and clients connect again by themselves.",
        limit="the connection is closed.",
    )
    receive_timeout_s: int = setting(
        Whole(1, 86400, "seconds"),
        60,
        "Time for a call that has begun to arrive until all of it is there.",
        limit="the connection is closed.",
    )
    send_timeout_s: int = setting(
        Whole(1, 86400, "seconds"),
        60,
        "Time in which a client to which replies are waiting has received none of their bytes.",
        limit="the connection is closed.",
    )
    drain_timeout_s: int = setting(
        Whole(0, 3600, "seconds"),
        10,
        "Time for calls under way when the gateway is told to stop.",
        limit="their connections are closed; clients send them again to the next gateway.",
    )
    duplicate_requests_max: int = setting(
        Whole(0, 10_000_000),
        8192,
        "Replies kept so that a call sent again is answered the same and not done twice; about "
        "half a KiB each.",
        limit="the oldest is forgotten.",
    )
    read_bytes_max: int = setting(
        Whole(4 * KIB, MIB, "bytes"),
        MIB,
        "Data in one READ (rtmax); Linux asks for no more than 1 MiB.",
        limit="a longer READ is answered with this much.",
    )
    write_bytes_max: int = setting(
        Whole(4 * KIB, MIB, "bytes"),
        MIB,
        "Data in one WRITE (wtmax); Linux sends no more than 1 MiB.",
        limit="clients keep to it; record_bytes_max is what bounds a longer WRITE.",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class GitConfig:
    """Git over HTTP: `git clone http://ADDRESS:PORT/BRANCH.git`, or all.git for all branches.

    The exports say which branches a client sees, and writes.
    """

    listen: tuple[str, ...] = setting(
        ListOf("a list of IP addresses", _address, least=0),
        (),
        "Addresses to listen on. Empty: git is not served.",
    )
    port: int = setting(Whole(0, 65535), 8418, "TCP port. 0: any free one, which the log tells.")
    push: str = setting(
        choice("off", "fast-forward", "forced"),
        "fast-forward",
        "What clients may push to the branches that they may write: nothing; what follows from "
        "what is there; or anything. What that replaces stays as a snapshot, but it may delete "
        "branches and tags.",
    )
    connections_max: int = setting(
        Whole(1, 1_000_000),
        256,
        "Connections of clients, each of some 100 KiB; a pack that is made takes 32 MiB more.",
        limit="a further connection is closed at once.",
    )
    push_bytes_max: int = setting(
        Whole(MIB, 1024 * GIB, "bytes"),
        16 * GIB,
        "Length of one push. It lies in the directory for temporary files until it is taken in.",
        limit="the push is refused.",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdminConfig:
    """The socket that the command line talks to the gateway through."""

    socket: Path | None = setting(
        PathName(),
        None,
        f"Path of the Unix socket. Empty: {SOCKET_NAME} in the store's directory, where every "
        "command finds it.",
    )
    socket_mode: int = setting(
        Whole(0o600, 0o777, octal=True),
        0o600,
        "Permission bits of the socket: whoever may connect may do everything.",
    )
    request_bytes_max: int = setting(
        Whole(KIB, GIB, "bytes"),
        MIB,
        "Length of one request.",
        limit="the request is refused.",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportsConfig:
    """Where the exports are."""

    file: Path | None = setting(
        PathName(),
        None,
        f"The exports. Empty: {EXPORTS_NAME} in the store's directory, where `fsgw export` finds "
        "it whether a gateway runs or not.",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogConfig:
    """The log, on standard error."""

    level: str = setting(
        choice("debug", "info", "warning", "error"),
        "info",
        'The least important lines to write; "debug" has one for every call.',
    )
    format: str = setting(
        choice("text", "json"), "text", "Lines for people, or JSON objects, one a line."
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """The whole; made by `load` or `replace`, which check it."""

    store: StoreConfig = StoreConfig()
    nfs: NfsConfig = NfsConfig()
    git: GitConfig = GitConfig()
    admin: AdminConfig = AdminConfig()
    exports: ExportsConfig = ExportsConfig()
    log: LogConfig = LogConfig()
    mount: tuple[MountConfig, ...] = ()

    @property
    def directory(self) -> Path:
        """The store's directory. Raises InvalidArgument where none is given."""
        if self.store.directory is None:
            raise InvalidArgument("no store given: store.directory, --store or FSGW_STORE")
        return self.store.directory

    @property
    def socket(self) -> Path:
        """The admin socket. Raises InvalidArgument for a path that is too long for a socket."""
        path = self.admin.socket or self.directory / SOCKET_NAME
        length = len(os.fsencode(path))
        if length > SOCKET_PATH_BYTES_MAX:
            raise InvalidArgument(
                f"admin.socket: {str(path)!r} has {length} bytes; a socket's path has "
                f"{SOCKET_PATH_BYTES_MAX} at most"
            )
        return path

    @property
    def exports_file(self) -> Path:
        """The file of exports, which need not exist."""
        return self.exports.file or self.directory / EXPORTS_NAME

    @property
    def options(self) -> Options:
        """What the store is opened with."""
        limits = dataclasses.asdict(self.store)
        return Options(**{name: limits[name] for name in Options._fields if name in limits})

    def replace(self, values: Mapping[str, object], where: str = "options") -> Config:
        """The same with other values, by key (`nfs.port`), each as it would stand in the file.

        Paths are relative to the current directory. Raises InvalidArgument, naming `where`.
        """
        settings.refuse_unknown(values, keys(), where)
        raw: dict[str, dict[str, object]] = {}
        for key, value in values.items():
            table, _, name = key.partition(".")
            raw.setdefault(table, {})[name] = value
        return _put(self, raw, Path.cwd(), where)


# The one table of which there may be several: [[mount]].
_MOUNT = "mount"
_TABLES: dict[str, type[Any]] = {
    field.name: type(field.default) for field in dataclasses.fields(Config) if field.name != _MOUNT
}


def keys() -> Iterator[str]:
    """Every key, as `nfs.port`, in the order of the sample."""
    for name, table in _TABLES.items():
        yield from (f"{name}.{key}" for key in settings.names(table))


def load(path: Path) -> Config:
    """The configuration in a TOML file; relative paths in it are relative to its directory.

    Raises OSError, and InvalidArgument, in one line with file and key, for what is not allowed.
    """
    where = str(path)
    with open(path, "rb") as file:
        try:
            raw = tomllib.load(file)
        except (ValueError, RecursionError) as error:
            raise InvalidArgument(f"{where}: {error}") from None
    for key in keys():
        table, _, name = key.partition(".")
        if name in raw and name not in _TABLES:
            raise InvalidArgument(f"{where}: {name} stands in no table; it is a key of [{table}]")
    settings.refuse_unknown(raw, [*_TABLES, _MOUNT], where)
    mounts = read_mounts(raw.pop(_MOUNT, []), path.absolute().parent, where)
    for name, table in raw.items():
        if not isinstance(table, dict):
            raise InvalidArgument(f"{where}: {name} is a table of keys: [{name}]")
    config = _put(Config(), raw, path.absolute().parent, where)
    return dataclasses.replace(config, mount=mounts)


def _put(config: Config, raw: Mapping[str, Mapping[str, object]], base: Path, where: str) -> Config:
    tables: dict[str, Any] = {}
    for name, values in raw.items():
        read = settings.read(_TABLES[name], values, base, where, f"{name}.")
        given = {key: getattr(read, key) for key in values}
        tables[name] = dataclasses.replace(getattr(config, name), **given)
    done = dataclasses.replace(config, **tables)
    for wrong in _contradictions(done):
        raise InvalidArgument(f"{where}: {wrong}")
    return done


def _contradictions(config: Config) -> Iterator[str]:
    """What values allowed by themselves are not allowed together."""
    nfs, store = config.nfs, config.store
    if nfs.record_bytes_max < nfs.write_bytes_max + HEADER_BYTES:
        yield f"nfs.record_bytes_max must be nfs.write_bytes_max + {HEADER_BYTES} or more"
    if nfs.connection_buffer_bytes_max < nfs.read_bytes_max + HEADER_BYTES:
        yield f"nfs.connection_buffer_bytes_max must be nfs.read_bytes_max + {HEADER_BYTES} or more"
    if store.flush_bytes > store.dirty_bytes_max:
        yield "store.flush_bytes must not be more than store.dirty_bytes_max"


def sample() -> str:
    """A configuration file with every key, explained, commented out, at its default."""
    lines = [
        "# Configuration of an fsgw gateway: `fsgw serve --config FILE`.",
        "#",
        "# Every key stands here with its default; remove the # before one to change it.",
        "# Relative paths are relative to this file's directory.",
    ]
    for name, table in _TABLES.items():
        lines += ["", "", f"[{name}]", *settings.sample_lines(table())]
    lines += [
        "",
        "",
        "# FUSE mounts that are made at the start; there may be several such tables.",
    ]
    lines += [f"#[[{_MOUNT}]]", *settings.sample_lines(MountConfig())]
    return "\n".join(lines) + "\n"
