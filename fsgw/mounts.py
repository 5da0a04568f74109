"""The operations on a gateway's FUSE mounts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fsgw.plain import Plain

if TYPE_CHECKING:
    from fsgw.gateway import Gateway


def listing(gateway: Gateway) -> list[Plain]:
    """All mounts, by directory."""
    return gateway.fuse.mounts()


async def mount(gateway: Gateway, source: str, directory: str, options: Sequence[str]) -> Plain:
    """Mount a branch, snapshot or commit, or a directory in one; its row of the listing."""
    from fsgw.fuse_door import Wanted

    return await gateway.fuse.mount(Wanted(source, directory, tuple(options)))


async def unmount(gateway: Gateway, directory: str, lazy: bool) -> Plain:
    """Unmount; what was changed there is durable then. `ending`: the process number of the gateway
    where that ends with its last mount, else null."""
    ends = await gateway.fuse.unmount(directory, lazy=lazy)
    return {"ending": os.getpid() if ends else None}
