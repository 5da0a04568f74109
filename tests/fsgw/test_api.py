"""The HTTP API as a client sees it that is not the command line: careless, hostile, or gone."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fsgw.operations import OPERATIONS
from store.store import Store
from tests.fsgw.helpers import MIB
from tests.fsgw.served import Served, closing_connection, serving

NDJSON = "application/x-ndjson"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A gateway with a branch and a file in it, which every test leaves as it was."""
    place = tmp_path_factory.mktemp("api")
    (place / "source").mkdir()
    (place / "source" / "file").write_bytes(random.Random(2).randbytes(3 * MIB))
    Store.init(place / "store")
    with serving(place / "store") as found:
        found.ask("POST", "/v1/branches", {"name": "main"})
        done = {"source": str(place / "source"), "snapshot": "one"}
        status, rows = found.ask("POST", "/v1/branches/main/import", done)
        assert (status, rows[-1]["result"]["added"]) == (200, 1)
        yield found
    with Store.open(place / "store") as store:
        assert store.check(data=True) == []


def state(served: Served) -> Any:
    """All that requests may change, but for ids of commits, which sealing brings by itself."""
    paths = ("/v1/branches", "/v1/branches/main/snapshots", "/v1/log?ref=main", "/v1/exports")
    answers = [served.ask("GET", path) for path in paths]
    sealing = {"commit", "parents"}
    return [
        (status, [{k: v for k, v in row.items() if k not in sealing} for row in rows])
        for status, rows in answers
    ]


def test_the_description_names_every_operation(served: Served) -> None:
    status, body = served.ask("GET", "/v1")
    assert status == 200
    assert served.ask("GET", "/v1/") == (status, body)
    assert [row["name"] for row in body["operations"]] == [one.name for one in OPERATIONS]
    for row in body["operations"]:
        assert all({"name", "in", "type", "required", "help"} <= set(a) for a in row["arguments"])


REFUSED: list[tuple[int, str, str, object]] = [
    (404, "GET", "/", None),
    (404, "GET", "/v1/nope", None),
    (404, "GET", "/v2/branches", None),
    (404, "GET", "/v1/branches/main/nope/x", None),
    (404, "GET", "/v1/branches/nope", None),
    (404, "GET", "/v1/branches/", None),
    (404, "GET", "/v1/branches/%2e%2e", None),
    (404, "GET", "/v1/branches/%ff", None),
    (405, "PUT", "/v1/branches", {}),
    (405, "DELETE", "/v1/branches", None),
    (405, "OPTIONS", "/v1/branches", None),
    (405, "POST", "/v1/status", None),
    (400, "POST", "/v1/branches", b""),
    (400, "POST", "/v1/branches", b"{"),
    (400, "POST", "/v1/branches", b"[" * 100_000),
    (400, "POST", "/v1/branches", b"\xff\xfe"),
    (400, "POST", "/v1/branches", b"[]"),
    (400, "POST", "/v1/branches", b"null"),
    (400, "POST", "/v1/branches", b'{"name": NaN}'),
    (400, "POST", "/v1/branches", b'{"name": ' + b"9" * 5000 + b"}"),
    (400, "POST", "/v1/branches", {}),
    (400, "POST", "/v1/branches", {"name": 1}),
    (400, "POST", "/v1/branches", {"name": None}),
    (400, "POST", "/v1/branches", {"name": ["x"]}),
    (400, "POST", "/v1/branches", {"name": ""}),
    (400, "POST", "/v1/branches", {"name": "no/slash"}),
    (400, "POST", "/v1/branches", {"name": "a\0b"}),
    (400, "POST", "/v1/branches", {"name": "\ud800"}),
    (400, "POST", "/v1/branches", {"name": "new", "more": 1}),
    (400, "POST", "/v1/branches?name=new", {}),
    (400, "POST", "/v1/branches?progress=true", {"name": "new"}),
    (409, "POST", "/v1/branches", {"name": "main"}),
    (413, "POST", "/v1/branches", b'{"name": "' + b"x" * (1 << 20) + b'"}'),
    (400, "PATCH", "/v1/branches/main", {"branch": "other", "name": "new"}),
    (404, "PATCH", "/v1/branches/nope", {"name": "new"}),
    (404, "DELETE", "/v1/branches/nope", None),
    (400, "DELETE", "/v1/branches/main?force=true", None),
    (400, "PATCH", "/v1/branches/main/quota", {"bytes_max": "1"}),
    (400, "PATCH", "/v1/branches/main/quota", {"bytes_max": -1}),
    (400, "PATCH", "/v1/branches/main/quota", {"bytes_max": True}),
    (404, "POST", "/v1/branches/main/rollback", {"target": "nope"}),
    (404, "POST", "/v1/branches/main/merge", {"source": "nope"}),
    (404, "POST", "/v1/branches/nope/merge", {"source": "main"}),
    (400, "POST", "/v1/branches/main/merge", {"source": "main/sub"}),
    (400, "POST", "/v1/branches/main/merge", {"source": "main", "favor": "mine"}),
    (400, "POST", "/v1/branches/main/merge", {"source": "main", "name": "no/slash"}),
    (400, "POST", "/v1/snapshots", {"branches": []}),
    (400, "POST", "/v1/snapshots", {"branches": "main"}),
    (400, "POST", "/v1/snapshots", {"branches": ["main"], "name": "no@at"}),
    (409, "POST", "/v1/snapshots", {"branches": ["main"], "name": "one"}),
    (404, "DELETE", "/v1/branches/main/snapshots/nope", None),
    (400, "GET", "/v1/log", None),
    (400, "GET", "/v1/log?ref=main&ref=main", None),
    (400, "GET", "/v1/log?ref=main&limit=x", None),
    (400, "GET", "/v1/log?ref=main&limit=-1", None),
    (400, "GET", "/v1/log?ref=main&limit=1e3", None),
    (400, "GET", "/v1/log?ref=main&limit=" + "9" * 30, None),
    (400, "GET", "/v1/log?" + "&".join(f"a{n}=1" for n in range(100)), None),
    (404, "GET", "/v1/log?ref=nope", None),
    (404, "GET", "/v1/diff?old=main&new=nope", None),
    (400, "GET", "/v1/ls?ref=/main", None),
    (400, "GET", "/v1/ls?ref=main/../x", None),
    (404, "GET", "/v1/ls?ref=main/nope", None),
    (404, "GET", "/v1/cat?ref=main/nope", None),
    (400, "GET", "/v1/cat?ref=main", None),
    (400, "GET", "/v1/cat?ref=main/file&offset=-1", None),
    (400, "POST", "/v1/branches/main/import", {"source": "relative"}),
    (409, "POST", "/v1/branches/main/import", {"source": "/nonexistent/directory"}),
    (404, "POST", "/v1/branches/nope/import", {"source": "/"}),
    (400, "POST", "/v1/branches/main/import", {"source": "/", "path": "../x"}),
    (400, "POST", "/v1/branches/main/import", {"source": "/", "delete": 0}),
    (400, "POST", "/v1/restore", {"source": "main", "target": "relative"}),
    (404, "POST", "/v1/restore", {"source": "main/nope", "target": "/nonexistent/a"}),
    (400, "GET", "/v1/check?data=1", None),
    (400, "GET", "/v1/check?progress=1", None),
    (400, "POST", "/v1/exports", {"values": {}}),
    (400, "POST", "/v1/exports", {"values": {"branches": ["*"], "clients": ["nonsense"]}}),
    (400, "POST", "/v1/exports", {"values": [1]}),
    (404, "PATCH", "/v1/exports/nope", {"values": {"access": "ro"}}),
    (404, "DELETE", "/v1/exports/7", None),
    (400, "POST", "/v1/exports/default/move", {"to": 0}),
]


@pytest.mark.parametrize(
    ("expected", "method", "path", "body"),
    REFUSED,
    ids=[f"{number}-{row[1]}-{row[2][:40]}" for number, row in enumerate(REFUSED)],
)
def test_refused_and_nothing_changed(
    served: Served, expected: int, method: str, path: str, body: object
) -> None:
    before = state(served)
    status, answer = served.ask(method, path, body)
    assert (status, set(answer) >= {"error", "message"}) == (expected, True), answer
    assert state(served) == before


def test_any_value_for_any_argument_is_no_server_error(served: Served, rng: random.Random) -> None:
    """Values of wrong types never reach the store, whichever operation they are for."""
    before = state(served)
    odd: list[object] = [None, 7.5, {"a": 1}, [[]], [None], -(2**70), "\ud800", "a\0", True, [""]]
    for operation in OPERATIONS:
        if operation.method not in ("POST", "PATCH") or not operation.arguments:
            continue
        left = [a for a in operation.arguments if a.name not in operation.in_path]
        path = "/v1" + operation.path.format(branch="main", snapshot="one", which="default")
        for _ in range(20):
            body = {argument.name: rng.choice(odd) for argument in left}
            body[left[0].name] = rng.choice([7.5, -(2**70), "\ud800", "a\0"])
            status, answer = served.ask(operation.method, path, body)
            assert (status, answer["error"]) == (400, "BadArguments"), (operation.name, body)
    assert state(served) == before


def test_connections_that_were_closed_count_no_more(served: Served) -> None:
    """Many more commands than connections may be open at once, one after the other."""
    for _ in range(400):
        assert served.ask("POST", "/v1/branches", {"name": 7.5})[0] == 400


def test_any_bytes_at_all_end_in_an_answer_or_a_close(served: Served, rng: random.Random) -> None:
    """And the gateway is there for the others afterwards."""
    before = state(served)
    head = b"GET /v1/branches HTTP/1.1\r\nhost: x\r\n"
    pieces = [
        b"", b"\0" * 100, b"\r\n" * 1000, b"GET", b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 500,
        head + b"upgrade: h2c\r\nconnection: upgrade, http2-settings\r\n"
        b"http2-settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n",
        head + b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"
        b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        head + b"x: " + b"y" * 100_000 + b"\r\n\r\n",
        head + b"content-length: nonsense\r\n\r\n", head + b"content-length: -1\r\n\r\n",
        head + b"transfer-encoding: chunked\r\n\r\nnonsense\r\n",
        b"POST /v1/branches HTTP/1.1\r\nhost: x\r\ncontent-length: 9999999999\r\n\r\n{",
        b"POST /v1/branches HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{",
        "GET /v1/bränches HTTP/1.1\r\nhost: x\r\n\r\n".encode(),
    ]  # fmt: skip
    pieces += [rng.randbytes(rng.randrange(1, 3000)) for _ in range(40)]
    for _ in range(40):
        cut = bytearray(head + b"\r\n")
        for _ in range(rng.randrange(1, 5)):
            cut[rng.randrange(len(cut))] = rng.randrange(256)
        pieces.append(bytes(cut))
    for piece in pieces:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.connect(str(served.socket))
            sock.settimeout(30)
            try:
                sock.sendall(piece)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(1 << 16):
                    pass
            except (BrokenPipeError, ConnectionResetError):
                pass
    assert state(served) == before


def test_rows_and_tasks_are_lines(served: Served) -> None:
    with closing_connection(served.socket) as asked:
        asked.request("GET", "/v1/branches")
        response = asked.getresponse()
        assert response.headers["content-type"] == NDJSON
        assert [json.loads(line)["name"] for line in response.read().splitlines()] == ["main"]
        asked.request("GET", "/v1/check?data=true&progress=true")  # the connection is kept
        lines = [json.loads(line) for line in asked.getresponse().read().splitlines()]
        assert lines[-1] == {"result": {"problems": []}}
        assert all(set(line) == {"progress"} for line in lines[:-1])
        assert all(set(line["progress"]) == {"done", "total"} for line in lines[:-1])
        assert lines[:-1]
        asked.request("GET", "/v1/stats")
        (line,) = asked.getresponse().read().splitlines()
        assert json.loads(line)["result"]["branches"][0]["name"] == "main"


def test_bytes_from_an_offset(served: Served) -> None:
    whole = random.Random(2).randbytes(3 * MIB)
    with closing_connection(served.socket) as asked:
        for offset in (0, 1, MIB - 1, 3 * MIB, 4 * MIB):
            asked.request("GET", f"/v1/cat?ref=main/file&offset={offset}")
            assert asked.getresponse().read() == whole[offset:]


def test_clients_that_hang_up_are_forgotten(served: Served) -> None:
    for path in ("/v1/cat?ref=main/file", "/v1/check?data=true&progress=true", "/v1/stats"):
        for _ in range(5):
            with closing_connection(served.socket) as asked:
                asked.request("GET", path)
    assert served.ask("POST", "/v1/gc")[0] == 200  # it would wait for looks that go on


def test_what_was_collected_of_exports_is_in_force_at_once(served: Served) -> None:
    given = {"branches": ["vm-*"], "clients": ["10.0.0.0/8"], "name": "lab"}
    status, row = served.ask("POST", "/v1/exports", {"values": given})
    assert (status, row["number"], row["name"]) == (200, 2, "lab")
    assert served.ask("POST", "/v1/exports/lab/move", {"to": 1})[1]["number"] == 1
    status, row = served.ask("PATCH", "/v1/exports/lab", {"values": {"access": "ro"}})
    assert (status, row["access"]) == (200, "ro")
    assert served.ask("POST", "/v1/exports/reload")[0] == 200
    assert served.ask("DELETE", "/v1/exports/lab")[0] == 200
    assert [row["name"] for row in served.ask("GET", "/v1/exports")[1]] == ["default"]


def test_paths_that_are_no_utf8(served: Served, tmp_path: Path) -> None:
    with open(bytes(tmp_path) + b"/n\xff", "wb") as file:
        file.write(b"odd")
    assert served.ask("POST", "/v1/branches", {"name": "odd"})[0] == 200
    done = {"source": str(tmp_path)}
    assert served.ask("POST", "/v1/branches/odd/import", done)[0] == 200
    with closing_connection(served.socket) as asked:
        asked.request("GET", "/v1/cat?ref=odd/n%ff")
        assert asked.getresponse().read() == b"odd"
    status, rows = served.ask("GET", "/v1/ls?ref=odd")
    assert (status, rows[0]["name_base64"]) == (200, "bv8=")
    assert served.ask("DELETE", "/v1/branches/odd") == (200, None)
