"""Clocks that are handed in, so that tests need no sleep and the demo runs a day in minutes.

``now()`` is milliseconds since 1970 UTC; ``sleep_until`` waits for a moment of the clock's own time.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from typing import Protocol


class Clock(Protocol):
    """What the rooms need to know about time."""

    @property
    def speed(self) -> float:
        """How many of the clock's seconds pass in one real second."""

    def now(self) -> int:
        """Milliseconds since 1970 UTC."""

    async def sleep_until(self, moment: int) -> None:
        """Return once ``now() >= moment``; at once if that is past."""


class SystemClock:
    """Real time."""

    speed = 1.0

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    async def sleep_until(self, moment: int) -> None:
        while (left := moment - self.now()) > 0:  # noqa: ASYNC110 - waits for time itself, no event could tell
            await asyncio.sleep(left / 1000)


class FastClock:
    """Starts at ``start`` (ms since 1970 UTC) and runs ``speed`` times as fast as real time."""

    def __init__(self, start: int, speed: float) -> None:
        if speed <= 0:
            raise ValueError("speed must be above 0")
        self.speed = speed
        self._start = start
        self._began = time.monotonic_ns()

    def now(self) -> int:
        return self._start + int((time.monotonic_ns() - self._began) * self.speed / 1_000_000)

    async def sleep_until(self, moment: int) -> None:
        while (left := moment - self.now()) > 0:  # noqa: ASYNC110 - waits for time itself, no event could tell
            await asyncio.sleep(left / 1000 / self.speed)


class ManualClock:
    """Stands still until ``advance`` is awaited; wakes sleepers in order. For tests."""

    speed = 1.0

    def __init__(self, start: int = 0) -> None:
        self._now = start
        self._order = itertools.count()
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []

    def now(self) -> int:
        return self._now

    async def sleep_until(self, moment: int) -> None:
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
