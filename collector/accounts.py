"""The accounting at work beside the collector: every quarter of an hour, and soon after people told something."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

from building.clock import Clock
from building.errors import StoreAway, StoreRefused
from building.instants import to_iso
from building.site import Site
from collector.accounting import Accountant, Publish, RawReadings
from collector.intervals import QUARTER
from collector.storing.embedded import EmbeddedStore
from collector.storing.influx import InfluxStore
from collector.storing.keeper import Keeper
from collector.storing.ledger import LEDGER, Ledger
from collector.storing.packing import StoredPoint
from collector.storing.service import Storing

log = logging.getLogger(__name__)

_GRACE: Final = 60_000  # ms after a quarter of an hour in which its last readings may arrive
_LOOK_EVERY: Final = 20.0  # real seconds between two looks after what people told
_SOON: Final = 1.0  # real seconds between two portions of older intervals
_QUEUE_HAS_ROOM: Final = 1_000_000  # bytes that may wait in the queue when a portion is put in
_PATIENCE: Final = 60.0  # real seconds for points to get into the queue


class Accounts:
    """Keeps the intervals of ``site`` up to date while the ``async with`` lasts; ``folder`` holds the ledger.

    Intervals go as points to an InfluxDB; with the embedded store they are read from the ledger.
    """

    def __init__(
        self,
        site: Site,
        clock: Clock,
        folder: Path,
        storing: Storing,
        keeper: Keeper,
        *,
        profiles_folder: Path | None = None,
    ) -> None:
        self._site = site
        self._clock = clock
        self._storing = storing
        self.ledger = Ledger.mended(folder / LEDGER, clock.now())
        store = storing.store
        self._publishes = isinstance(store, InfluxStore)
        self._accountant: Accountant | None = None
        if isinstance(store, EmbeddedStore | InfluxStore):
            raw: RawReadings = store
            self._accountant = Accountant(site, raw, self.ledger, keeper, profiles_folder=profiles_folder)
            storing.written_listeners.append(self._accountant.note)
        self._away = ""
        self._at_work = asyncio.Lock()  # two runs at a time would each see half of what the other does
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Accounts:
        if self._accountant is not None:
            self._task = asyncio.create_task(self._work(self._accountant), name="accounting")
            self._task.add_done_callback(_ended)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.to_thread(self.ledger.close)

    async def bring_up_to_date(self) -> None:
        """Account everything now; for the end of a demo or a test. Raises StoreAway or StoreRefused."""
        if self._accountant is not None:
            await self._run(self._accountant)

    async def _work(self, accountant: Accountant) -> None:
        due = 0
        while True:
            now = self._clock.now()
            more = False
            try:
                if now >= due or await asyncio.to_thread(accountant.told):
                    await self._run(accountant)
                    due = now // QUARTER * QUARTER + QUARTER + _GRACE
                more = self._publishes and await self._publish_older(accountant)
                self._away = ""
            except (StoreAway, StoreRefused) as trouble:
                if str(trouble) != self._away:
                    log.warning("intervals wait: %s", trouble)
                self._away = str(trouble)
            await asyncio.sleep(_SOON if more else _LOOK_EVERY)

    async def _run(self, accountant: Accountant) -> None:
        publish = self._publisher() if self._publishes else None
        async with self._at_work:
            await asyncio.to_thread(accountant.run, self._clock.now(), publish)

    async def _publish_older(self, accountant: Accountant) -> bool:
        """One portion of what lies too far back for a run, once the queue is nearly empty; whether more is left."""
        left = await asyncio.to_thread(accountant.older)
        if left is None:
            return False
        status = self._storing.status()
        if status.away or status.bytes > _QUEUE_HAS_ROOM:
            return True
        async with self._at_work:
            after = await asyncio.to_thread(accountant.publish_older, self._publisher())
        tz = self._site.site.tz
        log.info(
            "intervals of older readings are in the database back to %s%s",
            to_iso(after[1] if after else left[0], tz), f"; {to_iso(after[0], tz)} is the goal" if after else ", all",
        )  # fmt: skip
        return after is not None

    def _publisher(self) -> Publish:
        loop = asyncio.get_running_loop()

        def publish(points: Sequence[StoredPoint]) -> None:
            queued = asyncio.run_coroutine_threadsafe(self._storing.write_points(points), loop)
            try:
                queued.result(_PATIENCE)
            except TimeoutError:
                queued.cancel()
                raise StoreAway("the queue takes nothing; see that the disk has room") from None

        return publish


def _ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("the accounting ended by a fault of ours; readings go on being stored", exc_info=task.exception())
