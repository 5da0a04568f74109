"""`fsgw mount`, `fsgw umount` and `fsgw mounts`: branches as directories of this machine."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import click

from fsgw.plain import Plain
from fsgw.render import Lines, show, table, when
from fsgw.session import EXIT_GATEWAY, GatewayFailed, NoGateway, Session, json_option
from store.errors import InvalidArgument

# How long a gateway that is started in the background may take until its mount is there.
_START_S = 120.0
# And how long one that ends with its last mount is waited for.
_END_S = 10.0


@click.command()
@click.argument("source")
@click.argument("directory", type=click.Path())
@click.option(
    "-o",
    "options",
    multiple=True,
    metavar="OPTION[,OPTION...]",
    help="ro, allow_other, sync, attr_timeout=S, entry_timeout=S, writeback_cache, nonempty, "
    "snapshots=hidden|listed|off, snapshot_admin, git=hidden|listed|off, git_write, and those of "
    "mount(8).",
)
@click.option("--fork", metavar="NAME", help="Mount not SOURCE but a new branch made from it.")
@click.option("--background", is_flag=True, help="Start a gateway that goes on by itself.")
@click.pass_context
def mount(
    context: click.Context,
    source: str,
    directory: str,
    options: tuple[str, ...],
    fork: str | None,
    background: bool,
) -> None:
    """Mount SOURCE on the empty DIRECTORY, with FUSE.

    SOURCE is a branch, or BRANCH@SNAPSHOT or a commit, read-only; with /sub/dir behind it, that
    directory. The gateway that has the store serves the mount. Where none runs, one is started
    for it, in the foreground and without NFS: it ends with the mount, or with Ctrl-C.
    """
    from fsgw.mount_options import parse, words

    session: Session = context.obj
    given = words(options)
    parsed = parse(given)
    if parsed.store or parsed.socket:  # of a line in /etc/fstab
        session = Session(parsed.store or session.given_path, parsed.socket or None)
    place = os.path.abspath(directory)
    if fork is not None:
        session.call("branches.fork", source=source, name=fork)
        source = fork
    try:
        served = _by_gateway(session, source, place, given)
        if not served and background:
            _start(session.path, source, place, given)
        elif not served:
            _serve(session.path, source, place, given)
            return
    except BaseException:
        if fork is not None:
            session.call("branches.delete", branch=fork)
        raise
    finally:
        session.close(settle=False)
    click.echo(f"mounted {source} on {directory}")


def _by_gateway(session: Session, source: str, place: str, options: Sequence[str]) -> bool:
    """Have the gateway mount that has the store; whether there is one."""
    try:
        session.call("mounts.create", source=source, directory=place, options=options)
    except NoGateway:
        session.close(settle=False)  # the store is another gateway's now
        return False
    return True


def _serve(store: str, source: str, place: str, options: Sequence[str]) -> None:
    """Be the gateway of one mount."""
    from dataclasses import replace

    from fsgw import gateway, logs
    from fsgw.config import Config
    from fsgw.mount_config import MountConfig
    from fsgw.process import tune

    wanted = MountConfig(source=source, directory=Path(place), options=tuple(options))
    config = Config().replace({"store.directory": store, "nfs.enabled": False})
    config = replace(config, mount=(wanted,))
    logs.set_up("warning", "text")
    tune()
    text = f"mounted {source} on {place}; `fsgw umount` or Ctrl-C ends this"
    gateway.serve(config, while_mounted=True, ready=partial(click.echo, text))


def _start(store: str, source: str, place: str, options: Sequence[str]) -> None:
    """Start that gateway as a process of its own, and return once it has mounted."""
    command = [sys.executable, "-P", "-m", "fsgw", "--store", os.path.abspath(store)]
    words = [part for word in options for part in ("-o", word.replace(",", "\\,"))]
    with (
        tempfile.TemporaryDirectory(prefix="fsgw-") as room,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told,
    ):
        path = os.path.join(room, "ready")
        told.bind(path)
        told.settimeout(0.05)
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                [*command, "mount", *words, "--", source, place],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,
                cwd="/",
                env={**os.environ, "NOTIFY_SOCKET": path},
            )
            for _ in range(int(_START_S / told.gettimeout())):  # type: ignore[operator]
                try:
                    if b"READY=1" in told.recv(4096):
                        return
                except TimeoutError:
                    if process.poll() is not None:
                        break
            said.seek(0)
            text = said.read().decode("utf-8", "replace").strip().removeprefix("fsgw: ")
    if process.poll() is None:
        process.terminate()
        raise GatewayFailed(f"no mount after {_START_S:.0f} s")
    click.echo(f"fsgw: {text}", err=True)
    raise click.exceptions.Exit(process.returncode or EXIT_GATEWAY)


@click.command()
@click.argument("directory", type=click.Path())
@click.option("--lazy", is_flag=True, help="Even where it is in use: it ends with its last user.")
@click.pass_obj
def umount(session: Session, directory: str, lazy: bool) -> None:
    """Unmount DIRECTORY; what was changed there is durable then."""
    place = os.path.abspath(directory)
    try:
        ending = session.call("mounts.delete", directory=place, lazy=lazy)["ending"]
    except NoGateway:
        _take_away(place, directory)
    else:
        if ending is not None:
            session.close(settle=False)
            _wait_for_end(ending)
    click.echo(f"unmounted {directory}")


def _wait_for_end(process: int) -> None:
    """Let a process end that is about to, so that the next command does not find it at that."""
    try:
        watched = os.pidfd_open(process)
    except OSError:
        return  # it has ended, or is not to be seen from here
    try:
        select.select([watched], [], [], _END_S)
    finally:
        os.close(watched)


def _take_away(place: str, directory: str) -> None:
    """Unmount what a gateway that was killed has left. Raises InvalidArgument, OSError."""
    from fuse import mounting

    place = os.path.realpath(place)
    there = mounting.mounted_at(place)
    if there is None or there.type != mounting.TYPE or not mounting.is_dead(place):
        raise InvalidArgument(f"{directory!r}: nothing is mounted there, or not from this store")
    mounting.unmount(place, lazy=True)


@click.command()
@json_option
@click.pass_obj
def mounts(session: Session, as_json: bool) -> None:
    """List what the gateway has mounted with FUSE; exit code 1 when there is none."""

    def lines(rows: Iterable[Plain]) -> Lines:
        cells = [
            (
                row["source"],
                row["directory"],
                when(row["since_ns"]),
                str(row["requests"]),
                str(row["nodes"]),
                ",".join(row["options"]) or "-",
            )
            for row in rows
        ]
        head = ("SOURCE", "DIRECTORY", "SINCE", "REQUESTS", "NODES", "OPTIONS")
        return table([head, *cells], right=frozenset({3, 4}))

    with session.rows("mounts.list") as rows:
        show(rows, as_json, lines)
