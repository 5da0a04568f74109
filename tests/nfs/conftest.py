"""What the tests of the NFS procedures share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.nfs.client import Client, sattr
from tests.nfs.gateway import Gateway, gateway
from tests.nfs.scene import Scene


@pytest.fixture(name="gw")
def _gateway() -> Iterator[Gateway]:
    """A gateway on a new store with one empty branch, `main`; the store is checked at the end."""
    with gateway() as running:
        yield running


@pytest.fixture
def scene(gw: Gateway) -> Scene:
    """The scene of the tests in literal bytes."""
    return Scene(gw)


@pytest.fixture
def root(gw: Gateway) -> Client:
    """The superuser of a client, whom nothing squashes."""
    return Client(gw)


@pytest.fixture
def ann(gw: Gateway) -> Client:
    """An ordinary user of the same client."""
    return Client(gw, 1000, 1000, (50,))


@pytest.fixture
def top(root: Client) -> bytes:
    """The handle of the root directory of `main`, in which everyone may write."""
    handle = root.mount()
    root.setattr(handle, sattr(mode=0o777)).ok()
    return handle
