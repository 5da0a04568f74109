"""Clients from outside the kernel, and how clients find the gateway: portmap and rpcbind.

Server and client are hosts of their own here, with port 111 free for whoever comes first.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.gateway import Gateway
from tests.system.hosts import Host, connect
from tests.system.images import Image
from tests.system.vm import Vm

pytestmark = [pytest.mark.slow, pytest.mark.root]

SERVER, CLIENT, STRANGER = "10.77.0.1", "10.77.0.2", "10.77.0.3"
EXPORTS = f"""
[[export]]
branches = ["main", "vm-*"]
clients = ["{CLIENT}/32"]
squash = "none"
"""


@pytest.fixture
def server(requirements: None) -> Iterator[Host]:
    with Host() as host:
        yield host


@pytest.fixture
def client(server: Host) -> Iterator[Host]:
    """A second machine, with a cable to the server."""
    with Host() as host:
        connect(server, f"{SERVER}/24", host, f"{CLIENT}/24")
        yield host


@pytest.fixture
def served(server: Host, client: Host, tmp_path: Path) -> Iterator[Gateway]:
    """A gateway on the server, not yet started, which lets in the client's one address."""
    gateway = Gateway(
        tmp_path,
        exports=EXPORTS,
        options=["--listen", SERVER, "--listen", "127.0.0.1"],
        within=server.within,
    )
    for name in ("main", "vm-1", "private"):
        gateway.fsgw("branch", "create", name)
    yield gateway
    gateway.close()


def programs(listing: str) -> set[tuple[str, str, str, str]]:
    """Program, version, protocol and port of each line that `rpcinfo -p` printed."""
    return {tuple(line.split()[:4]) for line in listing.splitlines()[1:]}  # type: ignore[misc]


def expect_found(gateway: Gateway, client: Host) -> None:
    """Everything of the gateway is found by its program numbers alone."""
    port = str(gateway.port)
    found = programs(client.run("rpcinfo", "-p", SERVER))
    assert {("100003", "3", "tcp", port), ("100005", "3", "tcp", port)} <= found
    assert any(line[:3] == ("100000", "2", "tcp") for line in found)
    assert any(line[:3] == ("100005", "3", "udp") for line in found)
    assert "ready and waiting" in client.run("rpcinfo", "-t", SERVER, "nfs", "3")
    assert "ready and waiting" in client.run("rpcinfo", "-t", SERVER, "mountd", "3")
    assert "ready and waiting" in client.run("rpcinfo", "-u", SERVER, "mountd", "3")
    assert "ready and waiting" in client.run("rpcinfo", "-T", "tcp", SERVER, "nfs", "3")
    listed = client.run("showmount", "--no-headers", "-e", SERVER)
    assert [line.split()[0] for line in listed.splitlines()] == ["/main", "/vm-1"]


def expect_files_go_both_ways(client: Host, url: str, tmp_path: Path) -> None:
    """libnfs writes, lists and reads; `url` has a `%s` for the path."""
    local = tmp_path / "local"
    local.write_bytes(bytes(range(256)) * 4099)
    client.run("nfs-cp", str(local), url % "main/copy")
    assert "copy" in client.run("nfs-ls", url % "main")
    back = subprocess.run(
        [*client.within, "nfs-cat", url % "main/copy"], check=True, stdout=subprocess.PIPE
    ).stdout
    assert back == local.read_bytes()
    client.run("nfs-cp", url % "main/copy", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == local.read_bytes()


def test_clients_find_the_gateway_by_its_own_portmap(
    served: Gateway, client: Host, tmp_path: Path
) -> None:
    served.start()
    expect_found(served, client)
    expect_files_go_both_ways(client, f"nfs://{SERVER}/%s?version=3", tmp_path)


def test_clients_find_the_gateway_by_an_rpcbind_that_runs(
    served: Gateway, server: Host, client: Host, tmp_path: Path
) -> None:
    server.start_rpcbind()
    before = programs(server.run("rpcinfo", "-p", "127.0.0.1"))
    served.start()
    expect_found(served, client)
    expect_files_go_both_ways(client, f"nfs://{SERVER}/%s?version=3", tmp_path)
    # It leaves nothing behind there that would send clients to a port where nobody is.
    served.stop()
    assert programs(server.run("rpcinfo", "-p", "127.0.0.1")) == before


def test_clients_that_are_told_the_port_need_neither(
    served: Gateway, client: Host, tmp_path: Path
) -> None:
    """One port is enough."""
    served.options = ["--portmap", "off", "--listen", SERVER]
    served.start()
    port = served.port
    assert "refused" in client.fails("rpcinfo", "-p", SERVER).lower()
    url = f"nfs://{SERVER}/%s?version=3&nfsport={port}&mountport={port}"
    expect_files_go_both_ways(client, url, tmp_path)


def test_a_client_that_is_not_named_gets_nothing(served: Gateway, client: Host) -> None:
    served.start()
    client.run("ip", "addr", "del", f"{CLIENT}/24", "dev", "eth0")
    client.run("ip", "addr", "add", f"{STRANGER}/24", "dev", "eth0")
    client.fails("nfs-ls", f"nfs://{SERVER}/main?version=3")
    client.run("ip", "addr", "add", f"{CLIENT}/24", "dev", "eth0")
    client.run("ip", "addr", "del", f"{STRANGER}/24", "dev", "eth0")
    client.run("ip", "addr", "add", f"{CLIENT}/24", "dev", "eth0")
    client.run("nfs-ls", f"nfs://{SERVER}/main?version=3")
    client.fails("nfs-ls", f"nfs://{SERVER}/private?version=3")


def test_a_kernel_on_a_second_machine(served: Gateway, client: Host, image: Image) -> None:
    """It mounts with no ports given, and shows in the list of clients."""
    served.start()
    with Vm(image, append="quiet", within=client.within) as vm:
        vm.wait_for_agent()
        vm.run(f"mount -t nfs -o vers=3,nolock,addr={SERVER} {SERVER}:/main /mnt")
        vm.run("echo text >/mnt/file && sync && cat /mnt/file")
        assert f"{CLIENT}:/main" in client.run("showmount", "-a", SERVER)
        assert client.run("showmount", "--no-headers", "-d", SERVER).split() == ["/main"]
        assert CLIENT in served.fsgw("clients")
        vm.umount("/mnt")
    assert served.cat("main/file") == b"text\n"
