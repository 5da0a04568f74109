"""How a mount behaves."""

from __future__ import annotations

from typing import NamedTuple


class Options(NamedTuple):
    """How a mount behaves. `sync`: changes are answered when they are durable."""

    entry_timeout_s: float = 0.0
    attr_timeout_s: float = 0.0
    read_only: bool = False
    writeback_cache: bool = False
    sync: bool = False
