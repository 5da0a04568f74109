"""The gateway as a process: its beginning, its end, and what it leaves when it has none."""

from __future__ import annotations

import json
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fsgw import config, session
from fsgw.plain import Plain
from store.store import Store
from tests.fsgw.helpers import Fsgw
from tests.fsgw.served import ROOT, Served, serving
from tests.fsgw.test_cli import run_process

STATUS_KEYS = {
    "store", "pid", "started_ns", "uptime_s", "socket", "exports_file", "dirty_bytes", "held_bytes",
    "journal_bytes", "unsealed", "background", "flushes", "failures", "last_error", "calls_per_s",
    "doors",
}  # fmt: skip


def names(fsgw: Fsgw) -> list[str]:
    return [row["name"] for row in fsgw.json("branch", "list")]


def test_ready_line_socket_and_status(fsgw: Fsgw) -> None:
    with serving(fsgw.path) as served:
        ready = served.lines[-1]
        assert ready["nfs_port"] > 0
        assert ready["socket"] == str(served.socket)
        mode = served.socket.stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
        with socket.create_connection(("127.0.0.1", ready["nfs_port"])):
            (row,) = fsgw.json("status")
        assert set(row) == STATUS_KEYS
        assert row["pid"] == served.process.pid
        assert row["store"] == str(fsgw.path)
        assert row["doors"]["nfs"]["port"] == ready["nfs_port"]
        assert [line.split()[0] for line in fsgw.lines("status")][:2] == ["store", "running"]
        assert fsgw.lines("clients")[0].split()[0] == "ADDRESS"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order_and_nothing_is_lost(
    fsgw: Fsgw, number: signal.Signals, source: Path
) -> None:
    (source / "file").write_text("text")
    with serving(fsgw.path) as served:
        fsgw("branch", "create", "made")
        fsgw("import", source, "made", "--snapshot", "one")
        served.signal(number)
        assert served.ended() == 0
        assert [line["event"] for line in served.lines][-2:] == ["stopping", "stop"]
    assert not served.socket.exists()
    with Store.open(fsgw.path) as store:
        assert [info.name for info in store.branches()] == ["made", "main"]
        assert [info.name for info in store.snapshots("made")] == ["one"]
    assert fsgw("cat", "made/file").stdout == "text"


def test_what_was_answered_survives_a_kill(fsgw: Fsgw) -> None:
    with serving(fsgw.path) as served:
        for number in range(5):
            fsgw("branch", "create", f"b{number}")
        served.signal(signal.SIGKILL)
        assert served.ended() == -signal.SIGKILL
    assert names(fsgw) == ["b0", "b1", "b2", "b3", "b4", "main"]


def test_a_dead_gateways_socket_is_in_nobodys_way(fsgw: Fsgw) -> None:
    with serving(fsgw.path) as served:
        served.signal(signal.SIGKILL)
        served.ended()
    assert served.socket.exists()
    assert names(fsgw) == ["main"]  # the command opens the store itself
    with serving(fsgw.path):
        fsgw("branch", "create", "other")
    assert names(fsgw) == ["main", "other"]


def test_a_second_gateway_is_refused(fsgw: Fsgw) -> None:
    with serving(fsgw.path) as first:
        done = run_process("--store", fsgw.path, "serve", "--port", "0")
        assert done.returncode == 5
        assert done.stderr == f"fsgw: {fsgw.path} is open in process {first.process.pid}\n"
        assert names(fsgw) == ["main"]


def test_a_live_gateways_socket_is_not_taken(fsgw: Fsgw, tmp_path: Path) -> None:
    other = Fsgw(tmp_path / "other")
    other("init")
    place = str(tmp_path / "both.sock")
    with serving(fsgw.path, "--admin-socket", place):
        done = run_process("--store", other.path, "serve", "--port", "0", "--admin-socket", place)
        assert done.returncode == 5
        assert "another gateway listens" in done.stderr
        assert [row["name"] for row in fsgw.json("--socket", place, "branch", "list")] == ["main"]
        fsgw("branch", "list", code=5)  # not told where the gateway listens
    assert names(other) == []


def test_no_file_is_taken_for_a_socket(fsgw: Fsgw, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("text")
    words = ("serve", "--port", "0", "--admin-socket", str(precious))
    done = run_process("--store", fsgw.path, *words)
    assert done.returncode == 3
    assert "in the way" in done.stderr
    assert precious.read_text() == "text"


def test_a_port_that_is_taken(fsgw: Fsgw) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run_process("--store", fsgw.path, "serve", "--port", port, "--portmap", "off")
    assert done.returncode == 3
    assert "Address already in use" in done.stderr.splitlines()[-1]
    assert not (fsgw.path / "gateway.sock").exists()


def test_sighup_loads_the_exports(fsgw: Fsgw) -> None:
    exports = fsgw.path / "exports.toml"
    with serving(fsgw.path) as served:
        exports.write_text('[[export]]\nbranches = ["*"]\nclients = ["10.0.0.0/8"]\n')
        served.signal(signal.SIGHUP)
        assert served.until("exports")["changed"] is True
        exports.write_text("nonsense")
        served.signal(signal.SIGHUP)
        line = served.until("log")
        assert line["level"] == "error"
        assert "exports.toml" in line["message"]
        exports.unlink()
        fsgw("export", "reload")
        assert served.until("exports")["changed"] is True


def test_a_configuration_file(fsgw: Fsgw, tmp_path: Path) -> None:
    file = tmp_path / "fsgw.toml"
    file.write_text('[admin]\nsocket = "here.sock"\nsocket_mode = 0o660\n[nfs]\nport = 1\n')
    with serving(fsgw.path, "--config", str(file)) as served:
        place = tmp_path / "here.sock"
        assert served.lines[-1]["socket"] == str(place)
        assert stat.S_IMODE(place.stat().st_mode) == 0o660
        assert served.lines[-1]["nfs_port"] > 1  # the option wins
    file.write_text("[nfs]\nprot = 1\n")
    done = run_process("--store", fsgw.path, "serve", "--config", file)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)


def test_the_service_manager_is_told(fsgw: Fsgw, tmp_path: Path) -> None:
    place = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(place)
        with serving(fsgw.path, environment={"NOTIFY_SOCKET": place}):
            assert manager.recv(100) == b"READY=1"
        assert manager.recv(100) == b"STOPPING=1"


def test_commands_that_need_a_gateway_say_so(fsgw: Fsgw) -> None:
    for word in ("status", "clients"):
        done = fsgw(word, code=1)
        assert done.stderr == f"fsgw: no gateway has the store {fsgw.path}\n"


def test_a_gateway_that_goes_away_before_it_answers(fsgw: Fsgw, tmp_path: Path) -> None:
    place = tmp_path / "fake.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as fake:
        fake.bind(str(place))
        fake.listen()

        def serve(answer: bytes) -> None:
            client, _ = fake.accept()
            with client:
                client.recv(1 << 16)
                client.sendall(answer)

        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\n"
        for answer in (
            b"",
            head + b"content-length: 1000\r\n\r\n{}",
            head + b"transfer-encoding: chunked\r\n\r\n3\r\n{}\n\r\n",
            b"nonsense\r\n\r\n",
        ):
            server = threading.Thread(target=serve, args=(answer,))
            server.start()
            done = fsgw("--socket", str(place), "gc", "--dry-run", code=6)
            server.join()
            assert done.stderr.startswith("fsgw: the gateway")


def test_a_client_that_does_not_read_does_not_keep_it_from_ending(fsgw: Fsgw, source: Path) -> None:
    (source / "large").write_bytes(bytes(1 << 25))
    fsgw("import", source, "main")
    file = fsgw.path.parent / "fsgw.toml"
    file.write_text("[nfs]\ndrain_timeout_s = 0\n")
    with serving(fsgw.path, "--config", str(file)) as served:
        asked = served.connect()
        asked.request("GET", "/v1/cat?ref=main/large")
        assert asked.getresponse().read(1) == b"\0"
        served.signal(signal.SIGTERM)
        assert served.ended() == 0
        asked.close()


def test_commands_look_where_gateways_listen() -> None:
    assert session.SOCKET_NAME == config.SOCKET_NAME


def test_a_restart_is_another_start(fsgw: Fsgw) -> None:
    rows: list[Plain] = []
    for _ in range(2):
        with serving(fsgw.path):
            rows += fsgw.json("status")
    assert rows[0]["pid"] != rows[1]["pid"]


def test_the_log_as_text(fsgw: Fsgw) -> None:
    served = Served(fsgw.path, "--log-format", "text")
    assert served.process.stderr is not None
    lines = []
    for text in served.process.stderr:
        lines.append(text.decode())
        if " ready " in lines[-1]:
            break
    assert f" nfs_port={json.loads(lines[-1].split('nfs_port=')[1].split()[0])} " in lines[-1]
    fsgw("branch", "create", "other")
    served.signal(signal.SIGTERM)
    assert served.ended() == 0
    told = [line["message"] for line in served.lines]
    assert told[0].split()[1:] == ["info", "admin", "operation=branches.create", "name=other"]


FAILING = """
import sys
import trio
from fsgw import gateway, nfs_door
from fsgw.cli import main

ready = trio.Event()
gateway.notify = lambda text: ready.set()

async def run(self, *, task_status):
    task_status.started({"port": 1, "portmap": ""})
    await ready.wait()
    self.realm._store.create_branch("unflushed")
    raise ERROR

nfs_door.NfsDoor.run = run
main(sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        ("RuntimeError('out of order')", 6, "RuntimeError: out of order"),
        ("OSError(5, 'Input/output error')", 4, "the gateway failed\nTraceback"),
    ],
)
def test_a_part_that_fails_takes_the_whole_down_and_nothing_is_lost(
    fsgw: Fsgw, error: str, code: int, told: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAILING.replace("ERROR", error), "--store", fsgw.path, "serve"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert told in done.stderr
    assert not (fsgw.path / "gateway.sock").exists()
    assert names(fsgw) == ["main", "unflushed"]
