"""A plain repository over HTTP, as git itself serves it (git-http-backend(1))."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.gitdoor.repositories import ENVIRONMENT

_TOLD = {
    "CONTENT_TYPE": "content-type",
    "CONTENT_LENGTH": "content-length",
    "HTTP_CONTENT_ENCODING": "content-encoding",
    "GIT_PROTOCOL": "git-protocol",
}


class _Handler(BaseHTTPRequestHandler):
    """Each request is one run of the program."""

    root: Path

    def do_GET(self) -> None:
        """Have git answer."""
        path, _, query = self.path.partition("?")
        environment = {
            **ENVIRONMENT,
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REMOTE_USER": "somebody",
            "REMOTE_ADDR": "127.0.0.1",
            **{key: self.headers[name] for key, name in _TOLD.items() if name in self.headers},
        }
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        command = ["git", "http-backend"]
        done = subprocess.run(
            command, input=body, capture_output=True, check=False, env=environment
        )
        head, _, answer = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_GET  # noqa: N815 - it is called so

    def log_message(self, *args: object) -> None:
        """Nobody reads it."""


@contextmanager
def plain_http(root: Path) -> Iterator[str]:
    """Serve the repositories in a directory; the URL that they are below."""
    handler = type("Handler", (_Handler,), {"root": root})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
