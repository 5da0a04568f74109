"""`fsgw serve`: the gateway process."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from fsgw.session import GatewayFailed, Session
from store.errors import StoreError

# Options that say the same as a key of the configuration, and win.
_KEYS = {
    "listen": "nfs.listen",
    "port": "nfs.port",
    "portmap": "nfs.portmap",
    "git_listen": "git.listen",
    "git_port": "git.port",
    "admin_socket": "admin.socket",
    "exports": "exports.file",
    "log_level": "log.level",
    "log_format": "log.format",
}


@click.command()
@click.option("--config", "file", type=click.Path(path_type=Path), help="Configuration file.")
@click.option("--listen", multiple=True, metavar="ADDRESS", help="Listen here; again for more.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of NFS; 0: any free one.")
@click.option("--portmap", type=click.Choice(["auto", "off", "require"]), help="Announce it.")
@click.option("--git-listen", multiple=True, metavar="ADDRESS", help="Serve git over HTTP here.")
@click.option("--git-port", type=click.IntRange(0, 65535), help="Port of that; 0: any free one.")
@click.option("--admin-socket", metavar="PATH", help="Where the other commands find the gateway.")
@click.option("--exports", metavar="FILE", help="The file of exports.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]))
@click.option("--log-format", type=click.Choice(["text", "json"]))
@click.pass_context
def serve(context: click.Context, /, file: Path | None, **options: object) -> None:
    """Serve the store over NFS until a signal ends it.

    Runs in the foreground and logs to standard error. SIGTERM and SIGINT end it in order, SIGHUP
    loads the exports again. Options win over the configuration (`fsgw config sample`).
    """
    from fsgw import config as configuration
    from fsgw import gateway, logs
    from fsgw.process import tune

    session: Session = context.obj
    config = configuration.Config() if file is None else configuration.load(file)
    given: dict[str, object] = {
        _KEYS[name]: list(value) if isinstance(value, tuple) else value
        for name, value in options.items()
        if value not in (None, ())
    }
    if session.given_path is not None:
        given["store.directory"] = session.given_path
    elif config.store.directory is None:
        given["store.directory"] = session.path
    config = config.replace(given)
    logs.set_up(config.log.level, config.log.format)
    tune()
    try:
        gateway.serve(config)
    except (StoreError, OSError):
        raise
    except Exception as error:
        logging.getLogger(__name__).debug("the gateway failed", exc_info=error)
        raise GatewayFailed(f"the gateway failed: {type(error).__name__}: {error}") from error
