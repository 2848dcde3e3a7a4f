"""Clocks that are handed in, so that tests need no sleep and the demo runs a day in minutes.

``now()`` is milliseconds since 1970 UTC; ``sleep_until`` waits for a moment of the clock's own time. Somebody, or NTP,
may set the computer's clock: periods are counted on ``steady()``, which nobody can set.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
import time
from typing import Final, Protocol


class Clock(Protocol):
    """What the rooms need to know about time."""

    @property
    def speed(self) -> float:
        """How many of the clock's seconds pass in one real second."""

    def now(self) -> int:
        """Milliseconds since 1970 UTC."""

    async def sleep_until(self, moment: int) -> None:
        """Return once ``now() >= moment``; at once if that is past."""

    def steady(self) -> int:
        """Milliseconds from some start, at the clock's own speed; never set back or forward."""

    async def sleep_steady(self, moment: int) -> None:
        """Return once ``steady() >= moment``; at once if that is past."""


_NAP: Final = 1.0  # real seconds after which a sleeper looks whether the clock was set


class SystemClock:
    """Real time."""

    speed = 1.0

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    async def sleep_until(self, moment: int) -> None:
        while (left := moment - self.now()) > 0:  # noqa: ASYNC110 - waits for time itself, no event could tell
            await asyncio.sleep(min(left / 1000, _NAP))

    def steady(self) -> int:
        return time.monotonic_ns() // 1_000_000

    async def sleep_steady(self, moment: int) -> None:
        while (left := moment - self.steady()) > 0:  # noqa: ASYNC110 - waits for time itself, no event could tell
            await asyncio.sleep(left / 1000)


_STALL: Final = 0.05  # real seconds; a busy computer that looks at a fast clock more seldom makes it wait


class FastClock:
    """Starts at ``start`` (ms since 1970 UTC) and runs ``speed`` times as fast as real time.

    At 480 times, a computer that stands still for a second would skip eight minutes, in which every meter seems
    silent. So a clock faster than real time counts at most ``_STALL`` between two looks at it: when the computer
    cannot keep up the day takes longer, and nothing in it is skipped.
    """

    def __init__(self, start: int, speed: float) -> None:
        if speed <= 0:
            raise ValueError("speed must be above 0")
        self.speed = speed
        self._start = start
        self._lock = threading.Lock()
        self._looked = time.monotonic_ns()
        self._counted = 0  # real nanoseconds
        self._most = int(_STALL * 1e9) if speed > 1 else None

    def now(self) -> int:
        with self._lock:
            looked = time.monotonic_ns()
            passed = looked - self._looked
            self._looked = looked
            self._counted += passed if self._most is None else min(passed, self._most)
            return self._start + int(self._counted * self.speed / 1_000_000)

    async def sleep_until(self, moment: int) -> None:
        longest = _NAP if self._most is None else _STALL / 2
        while (left := moment - self.now()) > 0:  # noqa: ASYNC110 - waits for time itself, no event could tell
            await asyncio.sleep(min(left / 1000 / self.speed, longest))

    def steady(self) -> int:
        return self.now()

    async def sleep_steady(self, moment: int) -> None:
        await self.sleep_until(moment)


class ManualClock:
    """Stands still until ``advance`` is awaited; wakes sleepers in order. For tests."""

    speed = 1.0

    def __init__(self, start: int = 0) -> None:
        self._now = start  # steady
        self._set_by = 0
        self._order = itertools.count()
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []

    def now(self) -> int:
        return self._now + self._set_by

    def steady(self) -> int:
        return self._now

    def set_by(self, milliseconds: int) -> None:
        """Somebody sets the clock on (or back, below 0); the steady time goes on as before."""
        self._set_by += milliseconds

    async def sleep_until(self, moment: int) -> None:
        await self.sleep_steady(moment - self._set_by)

    async def sleep_steady(self, moment: int) -> None:
        if moment <= self._now:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (moment, next(self._order), future))
        await future

    async def advance(self, milliseconds: int) -> None:
        """Move on, waking every sleeper whose moment comes, each at its own moment."""
        until = self._now + milliseconds
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= until:
            moment, _, future = heapq.heappop(self._sleepers)
            self._now = max(self._now, moment)
            if not future.done():
                future.set_result(None)
            await self._settle()
        self._now = until
        await self._settle()

    @staticmethod
    async def _settle() -> None:
        """Let tasks that are ready run, a few steps deep, until they sleep again."""
        for _ in range(5):
            await asyncio.sleep(0)
