"""The whole program of one site: the rooms built and joined, opened in order and closed in the opposite one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from building.clock import Clock
from building.site import Site
from collector.accounts import Accounts
from collector.service import Collector
from collector.storing.embedded import EmbeddedStore
from collector.storing.keeper import Keeper
from collector.storing.service import Storing
from collector.stream import Stream, Subscription
from collector.telling import Telling
from greenwarden.answering import open_answers
from rules.channels import Channel
from rules.notifying import Notifier
from rules.overtime import topic_of
from rules.service import LiveRules
from rules.shadow import Shadow

log = logging.getLogger(__name__)

_FAREWELL_S: Final = 3.0  # real seconds that messages get to leave when the program ends


class Program:
    """Collector, store, rules and messages of ``site``, working while the ``async with`` lasts.

    ``data`` is the folder that holds the queue, the embedded store and what must be remembered. ``endpoints`` and
    ``credentials`` override those of the links, for simulated buildings. ``shadow``: the site with rules on trial.
    """

    def __init__(
        self,
        site: Site,
        clock: Clock,
        data: Path,
        channels: Mapping[str, Channel],
        *,
        endpoints: Mapping[str, str] | None = None,
        credentials: Mapping[str, tuple[str, str]] | None = None,
        profiles_folder: Path | None = None,
        shadow: Site | None = None,
    ) -> None:
        self.site = site
        self._trial = shadow
        self.clock = clock
        self._data = data
        self._channels = channels
        self._profiles_folder = profiles_folder
        self._stack = AsyncExitStack()
        self.stream = Stream()
        self.collector = Collector(
            site,
            clock,
            self.stream,
            endpoints=endpoints,
            credentials=credentials,
            profiles_folder=profiles_folder,
            kept=lambda since: self.storing.history(since),
            notes={topic_of(site): lambda payload: self.rules.book(payload)},
        )
        self.failed = asyncio.Event()
        """Set when a room has ended by a fault of ours; the program cannot go on without it."""

    def watch(self, name: str) -> Subscription:
        """A further subscription to the readings, for whoever shows them. Ask for it before entering."""
        return self.stream.subscribe(name)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opening:
            self.keeper = opening.enter_context(await asyncio.to_thread(Keeper, self._data / "memory.db"))
            stored = self.stream.subscribe("store", lossless=True)
            judged = self.stream.subscribe("rules", lossless=True)
            self.storing = await opening.enter_async_context(Storing(self.site, self.clock, self._data, stored))
            self.accounts = await opening.enter_async_context(
                Accounts(
                    self.site,
                    self.clock,
                    self._data,
                    self.storing,
                    self.keeper,
                    profiles_folder=self._profiles_folder,
                )
            )
            self.notifier = await opening.enter_async_context(
                Notifier(self.site, self.clock, self._channels, self.keeper, heard=self._heard)
            )
            self.rules = LiveRules(
                self.site,
                self.clock,
                self.keeper,
                self.notifier,
                store_alerts=self.storing.write_alerts,
                history=self.storing.history,
                shadow=None if self._trial is None else Shadow(self._trial, self.keeper),
            )
            store = self.storing.store
            await open_answers(self, opening, self._channels, store if isinstance(store, EmbeddedStore) else None)
            judging = self._start("rules", lambda: self.rules.run(judged))
            opening.push_async_callback(self._finish, judging)
            await opening.enter_async_context(self.collector)
            await opening.enter_async_context(Telling(self.site, self.clock, self.collector.health, self.storing))
            self._stack = opening.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _finish(self, judging: asyncio.Task[None]) -> None:
        """The collector has stopped: let the rules take what is under way, and the messages leave."""
        self.stream.close()
        await asyncio.gather(judging, return_exceptions=True)
        if not await self.notifier.drained(_FAREWELL_S):
            log.warning("%d messages are kept for the next start: no channel took them", self.notifier.waiting)

    def _heard(self, device: str) -> int | None:
        """When the collector heard ``device`` last."""
        health = self.collector.health().devices.get(device)
        return None if health is None else health.last_reading_at

    def _start(self, name: str, work: Callable[[], object]) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work(), name=name)  # type: ignore[arg-type]
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            log.error("%s ended by a fault of ours", task.get_name(), exc_info=task.exception())
            self.failed.set()
