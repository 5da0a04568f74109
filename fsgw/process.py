"""How a process that has a store open sets up its interpreter."""

from __future__ import annotations

import gc
import sys

# A thread that waits for the interpreter gets it within this time: jobs run Python beside the
# thread that answers clients, and CPython's default of 5 ms would be added to many an answer.
SWITCH_INTERVAL_S = 0.0005

# The store makes hundreds of thousands of small long-lived tuples and next to no cycles; with the
# default of 700 allocations the collector walks them over and over.
_GC_ALLOCATIONS = 100_000


def tune() -> None:
    """Set the thread switch interval and the cycle collector's thresholds for this process."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.set_threshold(_GC_ALLOCATIONS, 20, 20)
