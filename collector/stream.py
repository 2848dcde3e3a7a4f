"""Hands every Reading to each subscriber, with one bounded queue each.

A subscriber that may miss something (the page, the rules under overload) loses its oldest batches when it falls
behind, and the loss is counted. The store is ``lossless``: it never loses, its publisher waits instead. What came with
an ``acknowledge`` (an MQTT message the broker still keeps) is acknowledged once every lossless subscriber has said
that it has it safe.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from building.readings import Reading

Acknowledge = Callable[[], None]

_LARGEST_BATCH: Final = 20_000  # readings handed out at once


class Subscription:
    """One subscriber's end: ``async for batch in subscription`` yields lists of readings; do not change the lists."""

    def __init__(self, name: str, limit: int, *, lossless: bool) -> None:
        self.name = name
        self.limit = limit
        self.lossless = lossless
        self.dropped = 0
        """Readings this subscriber never saw because it was too slow."""
        self.closed = False
        self._queue: deque[tuple[list[Reading], Acknowledge | None]] = deque()
        self._held = 0
        self._given: list[Acknowledge] = []
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> list[Reading]:
        while not self._queue:
            if self.closed:
                raise StopAsyncIteration
            self._filled.clear()
            await self._filled.wait()
        batch, acknowledge = self._queue.popleft()
        self._given += [acknowledge] if acknowledge else []
        if self._queue and len(batch) < _LARGEST_BATCH:
            batch = list(batch)
            while self._queue and len(batch) + len(self._queue[0][0]) <= _LARGEST_BATCH:
                more, acknowledge = self._queue.popleft()
                batch += more
                self._given += [acknowledge] if acknowledge else []
        self._held -= len(batch)
        if self._held < self.limit:
            self._room.set()
        return batch

    def acknowledge(self) -> None:
        """Everything yielded so far is safe (on disk); whoever keeps a copy until then may forget it."""
        given, self._given = self._given, []
        for acknowledge in given:
            acknowledge()

    def close(self) -> None:
        """Take nothing more; what is queued can still be taken out."""
        self.closed = True
        self._filled.set()
        self._room.set()

    @property
    def waiting(self) -> int:
        """Readings in the queue."""
        return self._held

    async def room(self) -> None:
        """Return once this subscriber can take more; at once for one that may lose."""
        while self.lossless and self._held >= self.limit and not self.closed:
            self._room.clear()
            await self._room.wait()

    def offer(self, readings: list[Reading], acknowledge: Acknowledge | None) -> None:
        """Queue ``readings``; one that may lose makes room by losing its oldest."""
        self._queue.append((readings, acknowledge))
        self._held += len(readings)
        while not self.lossless and self._held > self.limit and len(self._queue) > 1:
            lost = len(self._queue.popleft()[0])
            self._held -= lost
            self.dropped += lost
        self._filled.set()


class Stream:
    """Where the collector puts its readings; the roof subscribes storing, rules and whoever else looks on."""

    def __init__(self) -> None:
        self._subscriptions: list[Subscription] = []
        self.published = 0

    def subscribe(self, name: str, limit: int = 100_000, *, lossless: bool = False) -> Subscription:
        """A new subscriber with room for ``limit`` readings, from now on."""
        subscription = Subscription(name, limit, lossless=lossless)
        self._subscriptions.append(subscription)
        return subscription

    async def publish(self, readings: list[Reading], acknowledge: Acknowledge | None = None) -> None:
        """Give ``readings`` to every subscriber; waits while a lossless one is full."""
        takers = self._open()
        for taker in takers:
            await taker.room()
        takers = [taker for taker in takers if not taker.closed]
        self.published += len(readings)
        keepers = sum(taker.lossless for taker in takers)
        told = _after(keepers, acknowledge) if acknowledge else None
        for taker in takers:
            taker.offer(readings, told if taker.lossless else None)
        if acknowledge and not keepers:
            acknowledge()

    def close(self) -> None:
        """End every subscription once it is empty."""
        for subscription in self._subscriptions:
            subscription.close()

    def _open(self) -> list[Subscription]:
        self._subscriptions = [one for one in self._subscriptions if not one.closed]
        return self._subscriptions


def _after(count: int, acknowledge: Acknowledge) -> Acknowledge:
    """A callable that passes on its ``count``-th call."""
    if count <= 1:
        return acknowledge
    left = count

    def one() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            acknowledge()

    return one
