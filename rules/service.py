"""The rules of a running site: readings from the stream through engine and desk to people, with a memory on disk.

The engine's memory and the desk's open alerts are saved together. After a restart the readings that came since are
taken from the store, so a running duration is neither forgotten nor started anew; what that raises a second time
carries the same id and is told once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from building.clock import Clock
from building.errors import InputError
from building.instants import EARLIEST
from building.readings import Reading
from building.site import Site
from rules.alerts import Alert, AlertDesk
from rules.engine import Finding, Memory, RuleEngine

log = logging.getLogger(__name__)

_STATE: Final = "rules"
_OPEN: Final = "alerts open"
_SAVE_EVERY_S: Final = 10.0  # real seconds; what came since is taken from the store after a restart
_TICK_S: Final = 0.5  # real seconds between two looks at the clock
_GRACE_S: Final = 0.1  # real seconds a reading may be under way; the clock is that far behind for the rules
_CATCH_UP_CHUNK: Final = 10_000

Json = Mapping[str, Any]


class Keeper(Protocol):
    """Where memory and alerts are kept."""

    def save(self, name: str, blob: bytes) -> None:
        """Keep ``blob`` on disk under ``name``."""

    def load(self, name: str) -> bytes | None:
        """What was saved last under ``name``."""

    def append(self, table: str, at: int, key: str, record: Json) -> None:
        """Add a record to ``table``."""


class Teller(Protocol):
    """Who tells people; see ``rules.notifying``."""

    async def tell(self, alerts: Iterable[Json]) -> None:
        """Take changed alerts; they are safe when this returns."""


class Source(Protocol):
    """Where batches come from: a lossless subscription of the stream."""

    def __aiter__(self) -> AsyncIterator[list[Reading]]: ...

    def acknowledge(self) -> None:
        """What was yielded so far was judged; it is kept elsewhere."""


class _State(msgspec.Struct):
    memory: bytes
    desk: bytes


class LiveRules:
    """Engine and desk of one site, fed by a subscription. Raises InputError when the saved state is not ours.

    ``store_alerts`` takes changed alerts for the store; ``history(since)`` gives readings kept since an instant.
    """

    def __init__(
        self,
        site: Site,
        clock: Clock,
        keeper: Keeper,
        teller: Teller,
        *,
        store_alerts: Callable[[Sequence[Json]], Awaitable[None]] | None = None,
        history: Callable[[int], Iterable[Reading]] | None = None,
    ) -> None:
        self._clock = clock
        self._keeper = keeper
        self._teller = teller
        self._store_alerts = store_alerts
        self._history = history
        self.engine = RuleEngine(site)
        self.desk = AlertDesk(site)
        self.memory: Memory = self._restore()
        self.alerts: dict[str, Alert] = {alert.id: alert for alert in self.desk.open}
        self.watchers: list[Callable[[Alert], None]] = []
        self._saved_at = 0.0

    async def run(self, readings: Source) -> None:
        """Until the subscription ends; then everything is on disk."""
        await self._catch_up()
        ticking = asyncio.create_task(self._tick(), name="rules clock")
        try:
            async for batch in readings:
                await self._changed(self.engine.step(self.memory, batch, self._clock.now()))
                readings.acknowledge()
        finally:
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)
            await self._save()

    async def settle(self) -> None:
        """Let come due what is due now, and save; for the end of a demo or a test."""
        await self._changed(self.engine.tick(self.memory, self._clock.now()))
        self.desk.refresh(self.engine, self.memory, self.memory.now)
        self.alerts.update((alert.id, alert) for alert in self.desk.open)
        await self._save()

    async def _tick(self) -> None:
        grace = int(_GRACE_S * 1000 * self._clock.speed)
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_TICK_S / min(10.0, max(1.0, self._clock.speed)))
            await self._changed(self.engine.tick(self.memory, self._clock.now() - grace))
            if loop.time() - self._saved_at > _SAVE_EVERY_S:
                await self._save()

    async def _catch_up(self) -> None:
        """Take from the store what came after the memory was saved, perhaps by a program that was killed."""
        if self._history is None or self.memory.now < EARLIEST:
            return
        kept = self._history(self.memory.now + 1)
        for chunk in _chunks(kept):
            await self._changed(self.engine.step(self.memory, chunk, self._clock.now()))

    async def _changed(self, findings: Iterable[Finding]) -> None:
        changed = self.desk.take(findings)
        if not changed:
            return
        records = [alert.to_json() for alert in changed]
        await self._teller.tell(records)
        for alert, record in zip(changed, records, strict=True):
            self.alerts[alert.id] = alert
            at = alert.ended if alert.ended is not None else alert.raised
            await asyncio.to_thread(self._keeper.append, "alerts", at, alert.id, record)
            for watcher in self.watchers:
                watcher(alert)
        if self._store_alerts is not None:
            await self._store_alerts(records)
        await self._save()

    async def _save(self) -> None:
        self._saved_at = asyncio.get_running_loop().time()
        open_now = self.desk.refresh(self.engine, self.memory, self.memory.now)
        state = msgspec.msgpack.encode(_State(self.engine.save(self.memory), self.desk.save()))
        shown = msgspec.json.encode([alert.to_json() for alert in open_now])
        await asyncio.to_thread(self._keeper.save, _STATE, state)
        await asyncio.to_thread(self._keeper.save, _OPEN, shown)

    def _restore(self) -> Memory:
        blob = self._keeper.load(_STATE)
        if blob is None:
            return self.engine.new_memory()
        try:
            state = msgspec.msgpack.decode(blob, type=_State)
        except msgspec.MsgspecError as error:
            raise InputError(
                f"the saved memory of the rules cannot be read ({error}); delete data/ to start afresh"
            ) from None
        memory = self.engine.restore(state.memory)
        self.desk.restore(state.desk)
        return memory


def _chunks(readings: Iterable[Reading]) -> Iterator[list[Reading]]:
    chunk: list[Reading] = []
    for reading in readings:
        chunk.append(reading)
        if len(chunk) >= _CATCH_UP_CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
