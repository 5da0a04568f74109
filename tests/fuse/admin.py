"""The administrator of a running gateway, over its socket: quicker than a command at a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.fsgw.served import closing_connection


class Admin:
    """Operations that commands of the same names carry out in the same way."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def ask(self, method: str, path: str, body: object = None) -> list[dict[str, Any]]:
        """One request to the API: the rows of the answer, which must be no error."""
        with closing_connection(self._socket) as asked:
            asked.request(method, "/v1" + path, None if body is None else json.dumps(body))
            answer = asked.getresponse()
            rows = [json.loads(line) for line in answer.read().splitlines()]
        assert answer.status < 300 and not any(row and "error" in row for row in rows), rows
        return rows

    def snapshot(self, branch: str, name: str) -> None:
        """`fsgw snapshot create`."""
        self.ask("POST", "/snapshots", {"branches": [branch], "name": name})

    def delete_snapshot(self, branch: str, name: str) -> None:
        """`fsgw snapshot delete`."""
        self.ask("DELETE", f"/branches/{branch}/snapshots/{name}")

    def rollback(self, branch: str, target: str) -> str:
        """`fsgw rollback`: the name of the snapshot that keeps what it discarded."""
        (kept,) = self.ask("POST", f"/branches/{branch}/rollback", {"target": target})
        return str(kept["name"])

    def fork(self, source: str, name: str) -> None:
        """`fsgw branch fork`."""
        self.ask("POST", "/branches/fork", {"source": source, "name": name})

    def delete_branch(self, name: str) -> None:
        """`fsgw branch delete`."""
        self.ask("DELETE", f"/branches/{name}")

    def gc(self) -> None:
        """`fsgw gc`."""
        self.ask("POST", "/gc", {})

    def check(self) -> None:
        """`fsgw check --data`, which must find nothing."""
        assert self.ask("GET", "/check?data=true") == [{"result": {"problems": []}}]
