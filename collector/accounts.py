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
from building.site import Site
from collector.accounting import Accountant, RawReadings
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
        self._clock = clock
        self._storing = storing
        self.ledger = Ledger(folder / LEDGER)
        store = storing.store
        self._publishes = isinstance(store, InfluxStore)
        self._accountant: Accountant | None = None
        if isinstance(store, EmbeddedStore | InfluxStore):
            raw: RawReadings = store
            self._accountant = Accountant(site, raw, self.ledger, keeper, profiles_folder=profiles_folder)
            storing.written_listeners.append(self._accountant.note)
        self._away = ""
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
            if now >= due or await asyncio.to_thread(accountant.told):
                try:
                    await self._run(accountant)
                    due = now // QUARTER * QUARTER + QUARTER + _GRACE
                    self._away = ""
                except (StoreAway, StoreRefused) as trouble:
                    if str(trouble) != self._away:
                        log.warning("intervals wait: %s", trouble)
                    self._away = str(trouble)
            await asyncio.sleep(_LOOK_EVERY)

    async def _run(self, accountant: Accountant) -> None:
        loop = asyncio.get_running_loop()

        def publish(points: Sequence[StoredPoint]) -> None:
            asyncio.run_coroutine_threadsafe(self._storing.write_points(points), loop).result(_PATIENCE)

        await asyncio.to_thread(accountant.run, self._clock.now(), publish if self._publishes else None)


def _ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("the accounting ended by a fault of ours; readings go on being stored", exc_info=task.exception())
