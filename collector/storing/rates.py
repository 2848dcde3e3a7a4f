"""How fast readings come and go, for "hours held at the present rate" and "minutes to catch up"."""

from __future__ import annotations

import math
from typing import Final

_MEMORY: Final = 300_000  # ms over which a rate is smoothed


class Rate:
    """Something a second, smoothed over five minutes; unknown until it was watched for a few seconds."""

    def __init__(self) -> None:
        self._since: int | None = None
        self._waiting = 0.0
        self._rate: float | None = None

    def add(self, amount: float, now: int) -> None:
        """``amount`` more, at ``now`` (ms)."""
        self._waiting += amount
        self._since = now if self._since is None else self._since

    def per_second(self, now: int) -> float | None:
        """The rate at ``now`` (ms); None while nothing is known."""
        if self._since is None:
            return None
        passed = now - self._since
        if passed < 0:
            self._since = now  # the clock was set back
        elif passed >= 5_000:
            fresh = self._waiting / passed * 1000
            weight = 1.0 if self._rate is None else -math.expm1(-passed / _MEMORY)
            self._rate = fresh * weight + (self._rate or 0.0) * (1 - weight)
            self._since, self._waiting = now, 0.0
        return self._rate
