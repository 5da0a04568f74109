"""Registering with a rpcbind: what is put there, replaced, left alone, and taken out again."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from nfs import registration
from nfs.portmap import Registry
from nfs.registration import Entry, NotRegistered, Place, entries, register, registered
from tests.nfs.answers import a_program, run
from tests.nfs.fake_rpcbind import FakeRpcbind

RPCBIND, NFS, MOUNT = 100000, 100003, 100005


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    nfs, mount = a_program(NFS, 3), a_program(MOUNT, 3)
    registry.add([nfs, mount, a_program(RPCBIND, 2, 3, 4)], "tcp", "0.0.0.0", 2049)
    registry.add([mount], "udp", "0.0.0.0", 20048)
    registry.add([nfs], "tcp", "::", 2049)
    return registry


OURS = [
    Entry(NFS, 3, "tcp", "0.0.0.0", 2049),
    Entry(NFS, 3, "tcp6", "::", 2049),
    Entry(MOUNT, 3, "tcp", "0.0.0.0", 2049),
    Entry(MOUNT, 3, "udp", "0.0.0.0", 20048),
]


# --- what is to be registered -------------------------------------------------------------------


def test_there_is_one_entry_for_each_transport(registry: Registry) -> None:
    assert sorted(entries(registry.services)) == sorted(OURS)


def test_a_program_at_two_addresses_is_at_all_of_the_family() -> None:
    registry = Registry()
    for address in ("127.0.0.1", "192.0.2.9", "::1"):
        registry.add([a_program(NFS, 3)], "tcp", address, 2049)
    assert entries(registry.services) == [
        Entry(NFS, 3, "tcp", "0.0.0.0", 2049),
        Entry(NFS, 3, "tcp6", "::1", 2049),
    ]


# --- with a rpcbind -----------------------------------------------------------------------------


@pytest.mark.parametrize("versions", [{2, 3, 4}, {3, 4}, {3}])
def test_programs_are_put_in_and_taken_out(
    tmp_path: Path, registry: Registry, versions: set[int]
) -> None:
    fake = FakeRpcbind()
    fake.put(100024, 1, "udp", "0.0.0.0", 40000)
    others = fake.listed()

    async def main() -> None:
        async with fake.serving(tmp_path, versions) as place:
            async with registered(registry, place) as mine:
                assert mine is not None
                assert mine.versions == [(NFS, 3), (MOUNT, 3)]
                assert not mine.refused
                assert sorted(fake.listed()) == sorted(others + OURS)
            assert fake.listed() == others

    run(main)


def test_without_a_unix_socket_the_port_mapper_is_asked(tmp_path: Path, registry: Registry) -> None:
    fake = FakeRpcbind()

    async def main() -> None:
        async with fake.serving(tmp_path, set(), {2}) as place:
            async with registered(registry, place) as mine:
                assert mine is not None
                # It has no place for IPv6.
                assert sorted(fake.listed()) == sorted(e for e in OURS if e.netid != "tcp6")
            assert not fake.entries

    run(main)


def test_with_only_version_2_on_the_unix_socket_loopback_is_asked(
    tmp_path: Path, registry: Registry
) -> None:
    fake = FakeRpcbind()

    async def main() -> None:
        async with fake.serving(tmp_path, {2}, {2}) as place, registered(registry, place) as mine:
            assert mine is not None
            assert {entry.program for entry in fake.listed()} == {NFS, MOUNT}

    run(main)


def test_programs_are_taken_out_when_cancelled(tmp_path: Path, registry: Registry) -> None:
    fake = FakeRpcbind()

    async def main() -> None:
        async with fake.serving(tmp_path, {4}) as place:
            with trio.CancelScope() as scope:
                async with registered(registry, place):
                    assert fake.entries
                    scope.cancel()
                    await trio.sleep_forever()
            assert scope.cancelled_caught
            assert not fake.entries

    run(main)


# --- what is there already ----------------------------------------------------------------------


@contextmanager
def listening(kind: socket.SocketKind) -> Iterator[int]:
    """A server that takes what comes and says nothing; its port on loopback."""
    with socket.socket(socket.AF_INET, kind) as server:
        server.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            server.listen()
        yield server.getsockname()[1]


def a_dead_port(kind: socket.SocketKind) -> int:
    with listening(kind) as port:
        return port


@pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.1"])
@pytest.mark.parametrize("netid", ["tcp", "udp"])
def test_a_leftover_is_replaced(
    tmp_path: Path, registry: Registry, netid: str, address: str
) -> None:
    fake = FakeRpcbind()
    kind = socket.SOCK_STREAM if netid == "tcp" else socket.SOCK_DGRAM
    fake.put(MOUNT, 3, netid, address, a_dead_port(kind))

    async def main() -> None:
        async with fake.serving(tmp_path, {4}) as place, registered(registry, place) as mine:
            assert mine is not None
            assert not mine.refused
            assert sorted(fake.listed()) == sorted(OURS)
            assert fake.steps.index("UNSET 100005 3") < fake.steps.index("SET 100005 3 tcp")

    run(main)


def test_what_points_to_ourselves_is_replaced(tmp_path: Path) -> None:
    fake = FakeRpcbind()

    async def main() -> None:
        with listening(socket.SOCK_STREAM) as port:
            fake.put(NFS, 3, "tcp", "0.0.0.0", port)
            registry = Registry()
            registry.add([a_program(NFS, 3)], "tcp", "127.0.0.1", port)
            async with fake.serving(tmp_path, {4}) as place, registered(registry, place) as mine:
                assert mine is not None
                assert fake.listed() == [Entry(NFS, 3, "tcp", "127.0.0.1", port)]

    run(main)


def test_another_server_is_left_alone(
    tmp_path: Path, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    fake = FakeRpcbind()

    async def main() -> None:
        with listening(socket.SOCK_STREAM) as port:
            fake.put(NFS, 3, "tcp", "0.0.0.0", port)
            theirs = fake.listed()
            async with fake.serving(tmp_path, {4}) as place:
                async with registered(registry, place) as mine:
                    assert mine is not None
                    assert mine.versions == [(MOUNT, 3)]
                    assert mine.refused == [(NFS, 3)]
                assert fake.listed() == theirs
                with pytest.raises(NotRegistered):
                    await register(registry, place, required=True)
                assert fake.listed() == theirs

    run(main)
    assert "another server's program 100003 version 3: tcp 0.0.0.0" in caplog.text


def test_a_server_of_datagrams_is_left_alone(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registration, "_PROBE_S", 0.01)
    fake = FakeRpcbind()

    async def main() -> None:
        # It is silent, which says that it is there: nobody refused.
        with listening(socket.SOCK_DGRAM) as port:
            fake.put(MOUNT, 3, "udp", "127.0.0.1", port)
            async with fake.serving(tmp_path, {4}) as place:
                mine = await register(registry, place)
                assert mine is not None
                assert mine.refused == [(MOUNT, 3)]
                assert fake.entries[MOUNT, 3, "udp"] == ("127.0.0.1", port)

    run(main)


# --- what goes wrong ----------------------------------------------------------------------------


def test_without_a_rpcbind_there_is_nothing(
    tmp_path: Path, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    place = Place(str(tmp_path / "none"), "127.0.0.1", a_dead_port(socket.SOCK_STREAM))

    async def main() -> None:
        assert await register(registry, place) is None
        async with registered(registry, place) as mine:
            assert mine is None
        with pytest.raises(NotRegistered, match="no rpcbind runs"):
            await register(registry, place, required=True)

    run(main)
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    assert "no rpcbind runs" in caplog.text


def test_a_refusal_leaves_nothing_of_the_program(
    tmp_path: Path, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    fake = FakeRpcbind()
    fake.refused.add(MOUNT)

    async def main() -> None:
        async with fake.serving(tmp_path, {4}) as place:
            async with registered(registry, place) as mine:
                assert mine is not None
                assert mine.versions == [(NFS, 3)]
                assert mine.refused == [(MOUNT, 3)]
            with pytest.raises(NotRegistered, match="did not take all"):
                await register(registry, place, required=True)
            assert not fake.entries

    run(main)
    assert "rpcbind refuses program 100005 version 3 (tcp)" in caplog.text


@pytest.mark.parametrize("answer", [b"", b"\xff" * 64, b"\x80\0\0\x04\0\0\0\x01"])
def test_a_rpcbind_that_talks_nonsense_is_done_without(
    tmp_path: Path, registry: Registry, answer: bytes
) -> None:
    async def nonsense(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(answer)

    async def main() -> None:
        here = trio.socket.socket(socket.AF_UNIX)
        await here.bind(str(tmp_path / "rpcbind.sock"))
        here.listen()
        place = Place(str(tmp_path / "rpcbind.sock"), "127.0.0.1", a_dead_port(socket.SOCK_STREAM))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, nonsense, [trio.SocketListener(here)])
            assert await register(registry, place) is None
            nursery.cancel_scope.cancel()

    run(main)


def test_a_rpcbind_that_went_away_is_no_trouble_at_the_end(
    tmp_path: Path, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    fake = FakeRpcbind()

    async def main() -> None:
        async with fake.serving(tmp_path, {4}) as place:
            mine = await register(registry, place)
        assert mine is not None
        await mine.unregister()
        assert not mine.versions
        await mine.unregister()

    run(main)
    assert [record.getMessage() for record in caplog.records] == [
        "registered with rpcbind: 100003 version 3, 100005 version 3",
        "rpcbind has ended before us",
    ]
