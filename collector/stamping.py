"""When a reading was taken: the clock's moment, and for each reading of a device another one."""

from __future__ import annotations

from typing import Final

_BURST: Final = 10_000  # ms; a clock that was set back further than this is followed


def moment_of_its_own(now: int, last: int | None) -> int:
    """``now``, or the millisecond after ``last``, the device's latest one (ms since 1970 UTC), when that is not past.

    What a broker kept for us comes many to a millisecond, and a fast clock can stand still between two answers; in a
    store two values of one moment are one point.
    """
    if last is not None and last - _BURST < now <= last:
        return last + 1
    return now
