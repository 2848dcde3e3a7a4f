"""Storing: every batch of the stream to the queue on disk, and from there to the store, at the store's own pace.

The stream waits for the disk and never for the store. With the store away nothing stops: the queue grows, the attempts
come further apart, the first failure and the return are told once; then the newest goes first, for the live view, and
the backlog after it. What the store refuses for good is put aside with
the reason, down to the single reading. After a restart the queue goes on where it was.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Protocol, TypeVar

import msgspec

from building.clock import Clock
from building.errors import StoreAway, StoreRefused
from building.readings import Reading
from building.site import Site
from collector.storing.embedded import DATABASE, EmbeddedStore
from collector.storing.influx import InfluxStore
from collector.storing.packing import Parcel, change_of, pack_alerts, pack_readings, unpack
from collector.storing.queue import MEGABYTE, DurableQueue, Taken
from collector.storing.refused import Refused, WhollyRefused

log = logging.getLogger(__name__)

_AT_ONCE: Final = 5_000  # readings handed to the store in one go
_FIRST_DELAY: Final = 0.5  # seconds, real ones: it is the real network or disk that is away
_LONGEST_DELAY: Final = 60.0
_LAST_CHANCE: Final = 3.0  # seconds the store gets at the end for what waits; the rest goes on after the restart
_HOUR: Final = 3_600_000

T = TypeVar("T")


class Source(Protocol):
    """Where batches come from: a lossless subscription of the stream."""

    def __aiter__(self) -> AsyncIterator[list[Reading]]: ...

    def acknowledge(self) -> None:
        """Everything yielded so far is on disk."""

    def close(self) -> None:
        """Yield what is there, then end."""


class Store(Protocol):
    """What storing needs of a store."""

    def write(self, readings: Sequence[Reading]) -> None: ...
    def write_alerts(self, alerts: Sequence[Mapping[str, object]]) -> None: ...
    def close(self) -> None: ...


class StoringStatus(NamedTuple):
    """How storing fares. ``queued``, ``written``, ``refused``, ``dropped``: readings; ``bytes`` on disk in the queue.

    ``oldest``   instant (ms since 1970 UTC) of the oldest reading in the queue, None when it is empty
    ``hours``    how far back that is now, 0 when it is empty
    ``retries``  attempts that found the store away
    ``away``     why the store takes nothing just now; empty while it does
    ``damaged``  places in the queue's files that could not be read
    """

    queued: int
    bytes: int
    oldest: int | None
    hours: float
    written: int
    refused: int
    dropped: int
    damaged: int
    retries: int
    away: str


def store_for(site: Site, folder: Path) -> EmbeddedStore | InfluxStore:
    """The store that devices.yaml asks for; the embedded one lies in ``folder``. Raises StoreAway, SecretMissing."""
    if site.store.influxdb is not None:
        return InfluxStore(site, site.store.influxdb)
    return EmbeddedStore(folder / DATABASE)


class Storing:
    """Takes ``source``'s batches until it ends; everything lies in ``folder``: queue, embedded store, what was refused.

    ``store``       in place of the one devices.yaml names, for tests
    ``sync_every``  milliseconds between forced writes of the queue, see DurableQueue
    Use as ``async with``, with ``source`` filled by a task of its own; leaving it puts everything on disk.
    """

    def __init__(
        self,
        site: Site,
        clock: Clock,
        folder: Path,
        source: Source,
        *,
        store: Store | None = None,
        sync_every: int = 200,
    ) -> None:
        self._clock = clock
        self._source = source
        self.store: Store = store if store is not None else store_for(site, folder)
        self._queue = DurableQueue(
            folder / "queue",
            sync_every=sync_every,
            quota_bytes=int(site.store.queue.megabytes * MEGABYTE),
            quota_hours=site.store.queue.hours,
        )
        self._refused = Refused(folder / "refused")
        self._filled = asyncio.Event()
        self._idle = asyncio.Event()
        self._ending = False
        self._group = asyncio.TaskGroup()
        self._taking: asyncio.Task[None]
        self._forwarding: asyncio.Task[None]
        self._written = 0
        self._retries = 0
        self._away = ""

    async def __aenter__(self) -> Storing:
        await self._group.__aenter__()
        self._taking = self._group.create_task(self._take(), name="storing: stream to queue")
        self._forwarding = self._group.create_task(self._forward(), name="storing: queue to store")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        """Take what the source still holds, give the store a last chance, put everything on disk."""
        self._source.close()
        self._ending = True
        await asyncio.wait([self._taking], timeout=_LAST_CHANCE)
        self._filled.set()
        if not self._away:
            await asyncio.wait([self._forwarding], timeout=_LAST_CHANCE)
        self._taking.cancel()
        self._forwarding.cancel()
        try:
            await self._group.__aexit__(kind, error, at)
        finally:
            await asyncio.to_thread(self._queue.close)
            await asyncio.to_thread(self.store.close)

    async def write_alerts(self, alerts: Sequence[Mapping[str, object]]) -> None:
        """Queue alert changes for the store; they are on disk when this returns."""
        if alerts:
            body = pack_alerts(alerts)
            await self._append(body, 0, min(change_of(alert) for alert in alerts))

    async def settled(self) -> None:
        """Return once the store has everything that was queued; never while it is away."""
        while self._queue.status().bytes:
            self._idle.clear()
            await self._idle.wait()

    def status(self) -> StoringStatus:
        """How much waits, was written and refused."""
        queue = self._queue.status()
        hours = 0.0 if queue.oldest is None else max(0, self._clock.now() - queue.oldest) / _HOUR
        return StoringStatus(
            queued=queue.readings,
            bytes=queue.bytes,
            oldest=queue.oldest,
            hours=hours,
            written=self._written,
            refused=self._refused.count,
            dropped=queue.dropped,
            damaged=queue.damaged,
            retries=self._retries,
            away=self._away,
        )

    # -- stream to queue ----------------------------------------------------------------------------------------------

    async def _take(self) -> None:
        async for batch in self._source:
            if batch:
                body = await asyncio.to_thread(pack_readings, batch)
                await self._append(body, len(batch), min(reading.taken_at for reading in batch))
            self._source.acknowledge()

    async def _append(self, body: bytes, readings: int, oldest: int) -> None:
        """Until the disk takes it: meanwhile the stream waits, and nothing is lost."""
        told = False
        delays = _delays()
        while True:
            try:
                await asyncio.to_thread(self._queue.append, body, readings, oldest)
                break
            except OSError as error:
                if not told:
                    log.error("the queue cannot be written (%s); see that the disk has room", error)
                    told = True
                await asyncio.sleep(delays())
        self._filled.set()

    # -- queue to store -----------------------------------------------------------------------------------------------

    async def _forward(self) -> None:
        delays = _delays()
        while True:
            self._filled.clear()
            taken = await asyncio.to_thread(self._queue.take, _AT_ONCE, newest=True)
            if taken is None:
                self._idle.set()
                if self._ending and self._taking.done():
                    return
                await asyncio.to_thread(self._queue.sync)
                await self._filled.wait()
                continue
            try:
                await asyncio.to_thread(self._hand_over, taken)
            except (StoreAway, OSError) as error:
                self._queue.give_back()
                self._retries += 1
                self._tell_away(str(error))
                await asyncio.sleep(delays())
                continue
            if self._away:
                log.info("the store takes readings again")
                self._away = ""
                await asyncio.to_thread(self._queue.roll)  # what is live from now on goes before what waited
            delays = _delays()

    def _tell_away(self, why: str) -> None:
        if why != self._away:  # a new reason, such as a refused password after a refused connection, is news
            log.warning("%s", why)
        self._away = why

    def _hand_over(self, taken: Taken) -> None:
        """In a thread: write all that was taken, then let the queue forget it."""
        parcels = [parcel for body in taken.bodies if (parcel := self._unpacked(body)) is not None]
        readings = [reading for parcel in parcels for reading in parcel.readings]
        alerts = [alert for parcel in parcels for alert in parcel.alerts]
        self._written += _written(self.store.write, readings, self._refused.put_reading)
        _written(self.store.write_alerts, alerts, self._put_alert_aside)
        self._queue.acknowledge(taken)

    def _put_alert_aside(self, alert: Mapping[str, object], reason: str) -> None:
        self._refused.put_alert(change_of(alert), alert, reason)

    def _unpacked(self, body: bytes) -> Parcel | None:
        try:
            return unpack(body)
        except (msgspec.DecodeError, ValueError, TypeError) as error:
            log.error("a parcel in the queue cannot be understood (%s) and is put aside", error)
            self._refused.put_alert(self._clock.now(), {"parcel": body.hex()}, str(error))
            return None


def _written(write: Callable[[Sequence[T]], None], items: Sequence[T], put_aside: Callable[[T, str], None]) -> int:
    """Write all ``items`` but those the store refuses, found by halving; how many it took. Raises StoreAway."""
    if not items:
        return 0
    try:
        write(items)
        return len(items)
    except WhollyRefused as error:
        for item in items:
            put_aside(item, str(error))
        return 0
    except StoreRefused as error:
        if len(items) == 1:
            put_aside(items[0], str(error))
            return 0
    half = len(items) // 2
    return _written(write, items[:half], put_aside) + _written(write, items[half:], put_aside)


def _delays() -> Callable[[], float]:
    """Seconds to wait before each new attempt: growing, and random so that many collectors do not come at once."""
    longest = _FIRST_DELAY

    def following() -> float:
        nonlocal longest
        delay = random.uniform(longest / 2, longest)
        longest = min(longest * 2, _LONGEST_DELAY)
        return delay

    return following
