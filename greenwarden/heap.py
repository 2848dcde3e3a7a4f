"""One heap for all threads of a process that runs for months."""

from __future__ import annotations

import ctypes
from typing import Final

_M_ARENA_MAX: Final = -8  # malloc.h of glibc; see mallopt(3)


def share_one_heap() -> bool:
    """Call before threads are started; false where the C library has no such setting (only glibc needs it).

    glibc gives each thread a heap of its own, and none gives back what its busiest moment took. Work that must not
    hold up the event loop goes to any of eight threads, so over hours every one of them comes to its busiest moment,
    and memory creeps up to the sum of all. They never compute at the same time: one heap serves them as well.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(mallopt(_M_ARENA_MAX, 1))
