"""Clocks that are handed in, so that tests need no sleep and the demo runs a day in minutes.

``now()`` is milliseconds since 1970 UTC; ``sleep_until`` waits for a moment of the clock's own time. Somebody, or NTP,
may set the computer's clock: periods are counted on ``steady()``, which nobody can set.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import threading
import time
from collections.abc import Callable
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

    def hold(self) -> Callable[[], None]:
        """Something is under way that a fast clock must not outrun; call the answer when it has arrived."""


_NAP: Final = 1.0  # real seconds after which a sleeper looks whether the clock was set


def _nothing() -> None:
    """What releases a hold on a clock that waits for nobody."""


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

    def hold(self) -> Callable[[], None]:
        return _nothing


_HELD: Final = 200  # ms of a fast clock that it may be ahead of what somebody holds it for
# Real nanoseconds:
_STALL: Final = 50_000_000  # a busy computer that looks at a fast clock more seldom makes it wait
_AHEAD: Final = 5_000_000  # that a fast clock may be ahead of the event loop, and of a task at work that it woke
_LATE: Final = 10_000_000  # by which a task may be behind; for one that is further behind it waits at once
_PATIENCE: Final = 1_000_000_000  # for which it waits at most; the task may have other things to do
_BEAT: Final = 0.002  # real seconds between two turns of the event loop, when it has nothing else to do
_FOR_EVER: Final = 1 << 63


class FastClock:
    """Starts at ``start`` (ms since 1970 UTC) and runs ``speed`` times as fast as real time.

    At 480 times, a computer that stands still for a second would skip eight minutes, in which every meter seems
    silent; and one that is merely behind with its work would do it minutes late. So a clock faster than real time
    waits for the computer: it goes on by at most ``_STALL`` between two looks at it, by ``_AHEAD`` in one turn of the
    event loop that sleeps on it and while a task that it woke is at work and does not sleep on, by ``_HELD`` while
    somebody holds it, and not past the moment of a sleeper that has not been woken. When the computer cannot keep up
    the day takes longer, and nothing in it is skipped or late.
    """

    def __init__(self, start: int, speed: float) -> None:
        if speed <= 0:
            raise ValueError("speed must be above 0")
        self.speed = speed
        self._start = start
        self._lock = threading.Lock()
        self._looked = time.monotonic_ns()
        self._counted = 0  # real nanoseconds
        self._bent = speed > 1
        self._order = itertools.count()
        self._under_way: dict[object, tuple[int, int]] = {}  # what may be counted at most, and real ns until which
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._beat: asyncio.TimerHandle | None = None

    def now(self) -> int:
        with self._lock:
            return self._moment()

    def _moment(self) -> int:
        looked = time.monotonic_ns()
        passed, self._looked = looked - self._looked, looked
        if self._bent:
            passed = min(passed, _STALL)
            for what, (most, until) in list(self._under_way.items()):
                if looked > until or (isinstance(what, asyncio.Task) and what.done()):
                    del self._under_way[what]
                else:
                    passed = min(passed, most - self._counted)
            if self._sleepers:
                passed = min(passed, self._until(self._sleepers[0][0]) - self._counted)
        self._counted += max(0, passed)
        return self._start + int(self._counted * self.speed / 1_000_000)

    def _until(self, moment: int) -> int:
        """What is counted when it is ``moment``."""
        return math.ceil((moment - self._start) * 1_000_000 / self.speed)

    def hold(self) -> Callable[[], None]:
        """Something is under way that time must not outrun, from any thread; call the answer when it has arrived."""
        held = object()
        with self._lock:
            self._moment()
            self._under_way[held] = self._counted + int(_HELD * 1_000_000 / self.speed), _FOR_EVER

        def release() -> None:
            with self._lock:
                self._moment()
                self._under_way.pop(held, None)

        return release

    async def sleep_until(self, moment: int) -> None:
        if not self._bent:
            while (left := moment - self.now()) > 0:  # noqa: ASYNC110 - waits for time itself, no event could tell
                await asyncio.sleep(min(left / 1000 / self.speed, _NAP))
            return
        task = asyncio.current_task()
        with self._lock:
            now = self._moment()
            late = (now - moment) * 1_000_000 > _LATE * self.speed
            if not late:
                self._under_way.pop(task, None)
        if now < moment:
            await self._sleep(moment, now)
        with self._lock:
            self._moment()
            self._under_way[task] = self._counted + (0 if late else _AHEAD), self._looked + _PATIENCE

    async def _sleep(self, moment: int, now: int) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._sleepers, self._beat = loop, [], None
        future: asyncio.Future[None] = loop.create_future()
        heapq.heappush(self._sleepers, (moment, next(self._order), future))
        if self._beat is None:
            self._turn(loop)
        elif self._sleepers[0][2] is future:
            self._beat.cancel()
            self._beat_next(loop, now)
        await future

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """The loop has come round: time may go on, and whoever is due wakes."""
        with self._lock:
            now = self._moment()
            self._under_way[loop] = self._counted + _AHEAD, _FOR_EVER
        while self._sleepers and self._sleepers[0][0] <= now:
            future = heapq.heappop(self._sleepers)[2]
            if not future.done():
                future.set_result(None)
        self._beat_next(loop, now)

    def _beat_next(self, loop: asyncio.AbstractEventLoop, now: int) -> None:
        left = (self._sleepers[0][0] - now) / 1000 / self.speed if self._sleepers else _BEAT
        self._beat = loop.call_later(min(left, _BEAT), self._turn, loop)

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

    def hold(self) -> Callable[[], None]:
        return _nothing

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
