"""How a process that has a store open sets up its interpreter."""

from __future__ import annotations

import ctypes
import gc
import sys

# A thread that waits for the interpreter gets it within this time: jobs run Python beside the
# thread that answers clients, and CPython's default of 5 ms would be added to many an answer.
SWITCH_INTERVAL_S = 0.0005

# The store makes hundreds of thousands of small long-lived tuples and next to no cycles; with the
# default of 700 allocations the collector walks them over and over.
_GC_ALLOCATIONS = 100_000


# mallopt(3): buffers of up to 32 MiB come from the heap, and the heap is not given back. Blocks of
# data come and go all the time; fresh pages for each cost several times what copying them does.
# One heap for all threads: those of threads are given back whatever the other two say.
_M_TRIM_THRESHOLD, _TRIM_BYTES = -1, 1 << 30
_M_MMAP_THRESHOLD, _MMAP_BYTES = -3, 1 << 25
_M_ARENA_MAX, _ARENAS = -8, 1


def tune() -> None:
    """Set thread switch interval, cycle collector and memory allocator up for this process."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.set_threshold(_GC_ALLOCATIONS, 20, 20)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc has it
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, _ARENAS)
        mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES)


def compiled() -> bool:
    """Whether the hot modules run compiled (setup.py), or as plain Python."""
    from store import names

    return not (names.__file__ or "").endswith(".py")
