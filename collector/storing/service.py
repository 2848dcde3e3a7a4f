"""Storing: every batch of the stream to the queue on disk, and from there to the store, at the store's own pace.

The stream waits for the disk and never for the store. With the store away nothing stops: the queue grows, the attempts
come further apart, the first failure and the return are told once; then the newest goes first, for the live view, and
the backlog after it. What the store refuses for good is put aside with the reason, down to the single reading. After
a restart the queue goes on where it was. What the store has is kept a quarter of an hour longer, so that the rules can
take up what came after their memory was saved.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Protocol, TypeVar

import msgspec

from building.clock import Clock
from building.errors import StoreAway, StoreRefused
from building.instants import to_iso
from building.readings import Reading
from building.site import Site
from collector.storing.embedded import DATABASE, EmbeddedStore
from collector.storing.influx import InfluxStore
from collector.storing.packing import (
    Parcel,
    StoredPoint,
    change_of,
    pack_alerts,
    pack_points,
    pack_readings,
    unpack,
)
from collector.storing.queue import MEGABYTE, DurableQueue, Taken
from collector.storing.rates import Rate
from collector.storing.refused import Refused, WhollyRefused, parcels_in

log = logging.getLogger(__name__)

_AT_ONCE: Final = 20_000  # readings handed to the store in one go; it may send them in several requests at a time
_FIRST_DELAY: Final = 0.5  # seconds, real ones: it is the real network or disk that is away
_LONGEST_DELAY: Final = 60.0
_LAST_CHANCE: Final = 1.5  # seconds that disk and store together get at the end; the rest goes on after the restart
_KEEP_FOR: Final = 15 * 60_000  # ms
_LOOK_AFTER: Final = 10.0  # seconds between two looks after status file, refused readings handed in again, old blocks
_HOUR: Final = 3_600_000
STATUS_FILE: Final = "status.json"

T = TypeVar("T")


class Source(Protocol):
    """Where batches come from: a lossless subscription of the stream."""

    def __aiter__(self) -> AsyncIterator[list[Reading]]: ...

    @property
    def waiting(self) -> int:
        """Readings not yet yielded."""

    def acknowledge(self) -> None:
        """Everything yielded so far is on disk."""

    def close(self) -> None:
        """Yield what is there, then end."""


class Store(Protocol):
    """What storing needs of a store."""

    def write(self, readings: Sequence[Reading]) -> None: ...
    def write_alerts(self, alerts: Sequence[Mapping[str, object]]) -> None: ...
    def write_points(self, points: Sequence[StoredPoint]) -> None: ...
    def close(self) -> None: ...


class StoringStatus(NamedTuple):
    """How storing fares. ``queued``, ``written``, ``refused``, ``dropped``: readings; ``bytes`` on disk in the queue.

    ``oldest``   instant (ms since 1970 UTC) of the oldest reading in the queue, None when it is empty
    ``hours``    how far back that is now, 0 when it is empty
    ``folded``   readings that live on in means only, because the queue was full; ``dropped`` ones are gone
    ``lost``     readings that no disk took before the end
    ``retries``  attempts that found the store away
    ``away``     why the store takes nothing just now; empty while it does
    ``damaged``  places in the queue's files that could not be read
    ``rate``     readings a second that come in at present, None until that is known
    ``room_hours``        for how long the queue can hold what comes in at that rate before the oldest is folded
    ``catch_up_minutes``  until the queue is empty at the present rates; None while the store is away or loses ground
    """

    queued: int
    bytes: int
    oldest: int | None
    hours: float
    written: int
    refused: int
    dropped: int
    folded: int
    lost: int
    damaged: int
    retries: int
    away: str
    rate: float | None
    room_hours: float | None
    catch_up_minutes: float | None


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
        self._site = site
        self._clock = clock
        self._source = source
        self.store: Store = store if store is not None else store_for(site, folder)
        self.written_listeners: list[Callable[[Sequence[Reading]], None]] = []
        """Called in the writing thread with what the store has just taken."""
        self._status_path = folder / STATUS_FILE
        self._queue = DurableQueue(
            folder / "queue",
            sync_every=sync_every,
            quota_bytes=int(site.store.queue.megabytes * MEGABYTE),
            quota_hours=site.store.queue.hours,
            keep_for=_KEEP_FOR,
        )
        self._refused = Refused(folder / "refused")
        self._filled = asyncio.Event()
        self._idle = asyncio.Event()
        self._ending = asyncio.Event()
        self._group = asyncio.TaskGroup()
        self._taking: asyncio.Task[None]
        self._forwarding: asyncio.Task[None]
        self._looking: asyncio.Task[None]
        self._in_hand = 0
        self._written = 0
        self._lost = 0
        self._retries = 0
        self._away = ""
        self._disk_full = ""
        self._readings_in = Rate()
        self._bytes_in = Rate()
        self._capacity = 0.0  # readings a second while the store is at work
        self._folded_at = 0

    async def __aenter__(self) -> Storing:
        await self._group.__aenter__()
        self._taking = self._group.create_task(self._take(), name="storing: stream to queue")
        self._forwarding = self._group.create_task(self._forward(), name="storing: queue to store")
        self._looking = self._group.create_task(self._look_after(), name="storing: status file and old blocks")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        """Take what the source still holds, give the store a last chance, put everything on disk."""
        until = time.monotonic() + _LAST_CHANCE
        self._source.close()
        self._ending.set()
        await asyncio.wait([self._taking], timeout=_LAST_CHANCE)
        self._filled.set()
        if not self._disk_full:
            await asyncio.wait([self._forwarding], timeout=max(0.0, until - time.monotonic()))
        await asyncio.to_thread(self.store.close)  # first: a request that hangs must not hold the end
        for task in (self._taking, self._forwarding, self._looking):
            task.cancel()
        try:
            await self._group.__aexit__(kind, error, at)
        finally:
            self._tell_lost()
            try:
                await asyncio.to_thread(self._queue.close)
            except OSError as trouble:
                log.error("the queue cannot be closed in order (%s); see that the disk has room", trouble)
            await asyncio.to_thread(self._write_status, running=False)

    async def write_alerts(self, alerts: Sequence[Mapping[str, object]]) -> None:
        """Queue alert changes for the store; they are on disk when this returns.

        A change that does not say when it came about (``changed``) came about now, unless it is the first or last.
        """
        if alerts:
            stamped = [self._stamped(alert) for alert in alerts]
            await self._append(pack_alerts(stamped), 0, min(change_of(alert) for alert in stamped))

    async def write_points(self, points: Sequence[StoredPoint]) -> None:
        """Queue points that are no readings (intervals, health); they are on disk when this returns."""
        if points:
            await self._append(pack_points(points), 0, min(point.at for point in points))

    def history(self, since: int) -> Iterator[Reading]:
        """Readings from ``since`` (ms) on of at least the last quarter of an hour, whichever store is used.

        In the order in which they came, also those the store does not have yet.
        """
        return self._queue.history(since)

    def _stamped(self, alert: Mapping[str, object]) -> Mapping[str, object]:
        if alert.get("changed") or alert.get("ended") or alert.get("state") == "firing":
            return alert
        return {**alert, "changed": to_iso(self._clock.now(), self._site.site.tz)}

    async def settled(self) -> None:
        """Return once the store has everything that was queued; never while it is away."""
        while self._queue.status().bytes:
            self._idle.clear()
            await self._idle.wait()

    def status(self) -> StoringStatus:
        """How much waits, was written and refused."""
        now = self._clock.now()
        queue = self._queue.status()
        rate, bytes_in = self._readings_in.per_second(now), self._bytes_in.per_second(now)
        spare = self._capacity - (rate or 0.0)
        catches_up = not queue.readings or (spare > 0 and not self._away)
        return StoringStatus(
            queued=queue.readings,
            bytes=queue.bytes,
            oldest=queue.oldest,
            hours=0.0 if queue.oldest is None else max(0, now - queue.oldest) / _HOUR,
            written=self._written,
            refused=self._refused.count,
            dropped=queue.dropped,
            folded=queue.folded,
            lost=self._lost,
            damaged=queue.damaged,
            retries=self._retries,
            away=self._away,
            rate=rate,
            room_hours=queue.room / bytes_in / 3600 if bytes_in else None,
            catch_up_minutes=(queue.readings / spare / 60 if queue.readings else 0.0) if catches_up else None,
        )

    # -- stream to queue ----------------------------------------------------------------------------------------------

    async def _take(self) -> None:
        async for batch in self._source:
            if batch:
                self._in_hand = len(batch)
                body = await asyncio.to_thread(pack_readings, batch)
                await self._append(body, len(batch), min(reading.taken_at for reading in batch))
                self._in_hand = 0
            self._source.acknowledge()

    async def _append(self, body: bytes, readings: int, oldest: int) -> None:
        """Until the disk takes it: meanwhile the stream waits, and nothing is lost."""
        delays = _delays()
        while True:
            now = self._clock.now()
            try:
                await asyncio.to_thread(self._queue.append, body, readings, oldest, now)
                break
            except OSError as error:
                if not self._disk_full:
                    log.error("the queue cannot be written (%s); see that the disk has room", error)
                self._disk_full = str(error)
                await asyncio.sleep(delays())
        if self._disk_full:
            log.info("the queue can be written again")
            self._disk_full = ""
        self._readings_in.add(readings, now)
        self._bytes_in.add(len(body), now)
        self._filled.set()

    def _tell_lost(self) -> None:
        """What is still in memory when the end comes: no disk took it."""
        self._lost = self._in_hand + self._source.waiting
        if self._lost:
            log.error(
                "%d readings could not be put on disk before the end (%s) and are lost, but for those that a broker "
                "delivers again; make room on the disk", self._lost, self._disk_full or "the disk was too slow",
            )  # fmt: skip

    # -- looking after ------------------------------------------------------------------------------------------------

    async def _look_after(self) -> None:
        while True:
            await asyncio.to_thread(self._write_status, running=True)
            await self._take_handed_in()
            if isinstance(self.store, EmbeddedStore) and abs(self._clock.now() - self._folded_at) >= _HOUR:
                self._folded_at = self._clock.now()
                try:
                    await asyncio.to_thread(self.store.fold, self._folded_at, self._site.store.keep)
                except StoreAway as error:
                    log.warning("old readings are not folded now: %s", error)
            await asyncio.sleep(_LOOK_AFTER)

    async def _take_handed_in(self) -> None:
        """What somebody wants sent again goes into the queue, a parcel at a time; then the file may go."""
        try:
            for path in await asyncio.to_thread(self._refused.handed_in):
                parcels = parcels_in(path)
                while (parcel := await asyncio.to_thread(next, parcels, None)) is not None:
                    await self._queue_again(parcel)
                await asyncio.to_thread(path.unlink, missing_ok=True)
                log.info("what was refused in %s is sent again", path.name)
        except OSError as error:
            log.error("what was refused cannot be sent again now (%s); see data/refused/again", error)

    async def _queue_again(self, parcel: Parcel) -> None:
        if parcel.readings:
            oldest = min(reading.taken_at for reading in parcel.readings)
            body = await asyncio.to_thread(pack_readings, parcel.readings)
            await self._append(body, len(parcel.readings), oldest)
        if parcel.alerts:
            await self._append(pack_alerts(parcel.alerts), 0, min(map(change_of, parcel.alerts)))
        await self.write_points(parcel.points)

    def _write_status(self, *, running: bool) -> None:
        """For ``greenwarden status``, which is another process."""
        content = {"at": self._clock.now(), "running": running, **self.status()._asdict()}
        fresh = self._status_path.with_suffix(".new")
        try:
            fresh.write_text(json.dumps(content), encoding="utf-8")
            fresh.replace(self._status_path)
        except OSError as error:
            log.debug("the status file cannot be written (%s)", error)  # a full disk is told where readings meet it

    # -- queue to store -----------------------------------------------------------------------------------------------

    async def _forward(self) -> None:
        delays = _delays()
        while True:
            self._filled.clear()
            try:
                taken = await asyncio.to_thread(self._queue.take, _AT_ONCE, newest=True)
                if taken is not None:
                    await asyncio.to_thread(self._hand_over, taken)
                else:
                    self._idle.set()
                    if self._ending.is_set() and self._taking.done():
                        return
                    await asyncio.to_thread(self._queue.sync)
            except (StoreAway, OSError) as error:
                self._queue.give_back()
                self._retries += 1
                self._tell_away(str(error) if isinstance(error, StoreAway) else _of_the_disk(error))
                if self._ending.is_set():
                    return
                await _until_set(self._ending, delays())
                continue
            delays = _delays()
            if self._away:
                log.info("the store takes readings again")
                self._away = ""
                with suppress(OSError):  # on a full disk the file at hand goes on, and the newest waits its turn
                    await asyncio.to_thread(self._queue.roll)  # what is live from now on goes before what waited
            if taken is None:
                await self._filled.wait()

    def _tell_away(self, why: str) -> None:
        if why != self._away:  # a new reason, such as a refused password after a refused connection, is news
            log.warning("%s", why)
        self._away = why

    def _hand_over(self, taken: Taken) -> None:
        """In a thread: write all that was taken, then let the queue forget it."""
        began = time.monotonic()
        parcels = [parcel for body in taken.bodies if (parcel := self._unpacked(body)) is not None]
        readings = [reading for parcel in parcels for reading in parcel.readings]
        alerts = [alert for parcel in parcels for alert in parcel.alerts]
        points = [point for parcel in parcels for point in parcel.points]
        self._written += _written(self.store.write, readings, self._refused.put_reading)
        _written(self.store.write_alerts, alerts, self._put_alert_aside)
        _written(self.store.write_points, points, self._refused.put_point)
        if readings:
            self._measure(len(readings), time.monotonic() - began)
        for listener in self.written_listeners:
            listener(readings)
        self._queue.acknowledge(taken)

    def _measure(self, readings: int, seconds: float) -> None:
        """A large batch says how fast the store is; a small one only that it is at least so fast."""
        speed = readings / max(seconds, 1e-6)
        smoothed = 0.8 * self._capacity + 0.2 * speed
        self._capacity = smoothed if readings >= _AT_ONCE // 10 and self._capacity else max(self._capacity, speed)

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


def _of_the_disk(error: OSError) -> str:
    return f"data/queue cannot be used ({error}); see that the disk is there, has room, and may be written"


async def _until_set(event: asyncio.Event, seconds: float) -> None:
    """Return once ``event`` is set, or after ``seconds``."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


def _delays() -> Callable[[], float]:
    """Seconds to wait before each new attempt: growing, and random so that many collectors do not come at once."""
    longest = _FIRST_DELAY

    def following() -> float:
        nonlocal longest
        delay = random.uniform(longest / 2, longest)
        longest = min(longest * 2, _LONGEST_DELAY)
        return delay

    return following
