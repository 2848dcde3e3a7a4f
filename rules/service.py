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

from building.calendar import WorkCalendar, missing_holidays
from building.clock import Clock
from building.errors import InputError
from building.instants import EARLIEST, to_iso
from building.readings import Reading
from building.site import DAY, MINUTE, Site
from building.waiting import unbroken
from rules import overtime
from rules.alerts import Alert, AlertDesk
from rules.cells import NEVER
from rules.engine import Finding, Memory, RuleEngine
from rules.follow_through import saving
from rules.life import Answer
from rules.round import still_on
from rules.shadow import Row, Shadow
from rules.topology import SILENT

log = logging.getLogger(__name__)

_STATE: Final = "rules"
_MOST_ALERTS: Final = 5_000
_OPEN: Final = "alerts open"
_PENDING: Final = "alerts pending"
BLIND: Final = "rules blind until"
"""Under this name a running program keeps until when (ms) its rules judge nothing; null else."""

_STORE_OPEN_EVERY: Final = 15 * MINUTE  # of the clock's time
_SAVE_EVERY_S: Final = 10.0  # real seconds; what came since is taken from the store after a restart
_TICK_S: Final = 0.5  # real seconds between two looks at the clock
_GRACE_S: Final = 0.2  # real seconds a reading may be under way; the clock is that far behind for the rules
_JUMP_MS: Final = 60_000  # the clock may differ by so much from the time that passed
_AHEAD: Final = 6 * MINUTE  # the rules may be ahead of our clock by a device's own, which is believed up to five
_LONGEST_BACK: Final = DAY  # a clock set back further is wrong now, rather than right at last
_CATCH_UP_CHUNK: Final = 10_000

Json = Mapping[str, Any]


class Keeper(Protocol):
    """Where memory and alerts are kept."""

    def save(self, name: str, blob: bytes) -> None:
        """Keep ``blob`` on disk under ``name``."""

    def load(self, name: str) -> bytes | None:
        """What was saved last under ``name``."""

    def keep(
        self, blobs: Mapping[str, bytes | None], records: Iterable[tuple[str, int, str, Mapping[str, object]]] = ()
    ) -> None:
        """Keep blobs and append records (table, at, key, record), all or nothing."""


class Teller(Protocol):
    """Who tells people; see ``rules.notifying``."""

    async def tell(self, alerts: Iterable[Json]) -> None:
        """Take changed alerts; they are safe when this returns."""


class Source(Protocol):
    """Where batches come from: a lossless subscription of the stream."""

    def __aiter__(self) -> AsyncIterator[list[Reading]]: ...

    def acknowledge(self) -> None:
        """What was yielded so far was judged; it is kept elsewhere."""

    @property
    def waiting(self) -> int:
        """Readings that wait to be taken."""


class _State(msgspec.Struct):
    memory: bytes
    desk: bytes
    judged: int = NEVER  # until when (ms) readings may be from before the clock was set back


class LiveRules:
    """Engine and desk of one site, fed by a subscription. Raises InputError when the saved state is not ours.

    ``store_alerts`` takes changed alerts for the store; ``history(since)`` gives readings kept since an instant;
    ``shadow`` are rules on trial, which hear the same and tell nobody.
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
        shadow: Shadow | None = None,
    ) -> None:
        self.site = site
        self._shadow = shadow
        self._calendar = WorkCalendar(site)
        self._clock = clock
        self._keeper = keeper
        self._teller = teller
        self._store_alerts = store_alerts
        self._history = history
        self.engine = RuleEngine(site)
        self.desk = AlertDesk(site)
        self._judged = NEVER
        self.memory: Memory = self._restore()
        self.alerts: dict[str, Alert] = {alert.id: alert for alert in self.desk.open}
        self.watchers: list[Callable[[Alert], None]] = []
        self._missing_year: int | None = None  # whose holidays are not known; said once
        self._unread = ""  # what was wrong with the last booking that was not taken
        self._saved_at = 0.0
        self._stored_open = clock.now()
        self._offset = clock.now() - clock.steady()

    async def run(self, readings: Source) -> None:
        """Until the subscription ends; then everything is on disk."""
        await self._catch_up()
        ticking = asyncio.create_task(self._tick(readings), name="rules clock")
        try:
            async for batch in readings:
                await self.take(batch)
                readings.acknowledge()
        finally:
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)
            await self._save()

    async def take(self, batch: Sequence[Reading]) -> None:
        """Judge a batch of readings now."""
        self._mind_the_clock()
        if self._shadow is not None:
            self._shadow.take(batch, self._clock.now())
        await self._changed(self.engine.step(self.memory, batch, self._clock.now()))

    async def come_to(self, now: int) -> None:
        """Let come due what is due up to ``now`` (ms), readings or not."""
        self._mind_the_clock()
        self._mind_the_year(now)
        if self._shadow is not None:
            self._shadow.come_to(now)
        await self._changed(self.engine.tick(self.memory, now))
        await self._publish(self.desk.lapse(now), now, {"who": "silence over"})

    def _mind_the_year(self, now: int) -> None:
        year, before = self._calendar.missing_year(now), self._missing_year
        self._missing_year = year
        if year is not None and year != before:
            log.warning("%s", missing_holidays(year, "en"))

    def _mind_the_clock(self) -> None:
        """When the clock was set on, nothing is known until devices speak again: no lamp burned in that time.

        When it was set back, all that is known moves with it, and no time has passed.
        """
        offset = self._clock.now() - self._clock.steady()
        jump, self._offset = offset - self._offset, offset
        if -_LONGEST_BACK <= jump < -_JUMP_MS and self.memory.now + jump >= EARLIEST:
            log.warning("the clock was set back by %d s; the rules go on by the new time", -jump // 1000)
            self._set_back(jump)
        elif abs(jump) > _JUMP_MS:
            log.warning("the clock was set by %d s; running durations begin anew", jump // 1000)
            self._know_nothing()
            self._say_blind()

    def _know_nothing(self) -> None:
        memories = [self.memory] if self._shadow is None else [self.memory, self._shadow.memory]
        for track in [track for memory in memories for track in memory.tracks.values()]:
            track.silence(self.memory.now)
            if track.said != NEVER:
                track.said = max(track.said, self._clock.now())  # nor was anybody silent in it

    def _say_blind(self) -> None:
        blind_until = self.blind_until
        if blind_until is not None:
            until = to_iso(blind_until, self.site.site.tz)[:16]
            log.warning("the rules judge nothing until %s: what is told now is older than what they know", until)

    def _set_back(self, jump: int) -> None:
        self._judged = max(self._judged, self.memory.now)
        self.memory = self.engine.shifted(self.memory, jump)
        if self._shadow is not None:
            self._shadow.set_back(jump)
        self._stored_open = min(self._stored_open, self._clock.now())

    @property
    def blind_until(self) -> int | None:
        """After the clock was set back: until when readings are older than what was judged already; else None."""
        return self.memory.now if self.memory.now > self._clock.now() + _JUMP_MS else None

    async def settle(self) -> None:
        """Let come due what is due now, and save; for the end of a demo or a test."""
        await self._changed(self.engine.tick(self.memory, self._clock.now()))
        self.desk.refresh(self.engine, self.memory, self.memory.now)
        self.alerts.update((alert.id, alert) for alert in self.desk.open)
        await self._save()

    async def _tick(self, readings: Source) -> None:
        grace = int(_GRACE_S * 1000 * self._clock.speed)
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_TICK_S / min(10.0, max(1.0, self._clock.speed)))
            if not readings.waiting:  # after a slow disk: their time comes with them, and nobody was silent
                await self.come_to(self._clock.now() - grace)
            await self._store_open()
            if loop.time() - self._saved_at > _SAVE_EVERY_S:
                await self._save()

    async def _store_open(self) -> None:
        """What open alerts have cost by now, to the store, so that its "cost so far" does not stand still."""
        now = self._clock.now()
        if self._store_alerts is None or now < self._stored_open + _STORE_OPEN_EVERY:
            return
        self._stored_open = now
        records = [self._with_change(record, self.desk.changed(ident)) for ident, record in self.fresh().items()]
        if records:
            await self._store_alerts(records)

    def _with_change(self, record: Json, at: int) -> Json:
        """A store keeps one point per change; one that comes again under the same instant replaces it."""
        return {**record, "changed": to_iso(at, self.site.site.tz)}

    async def _catch_up(self) -> None:
        """Take from the store what came after the memory was saved, perhaps by a program that was killed.

        Of hours that the clock has shown twice the store cannot tell the first from the second: they are left out.
        """
        if self.memory.now < EARLIEST:
            return
        ahead = self.memory.now - self._clock.now()
        if _AHEAD < ahead <= _LONGEST_BACK:
            log.warning("meanwhile the clock was set back by %d s; the rules go on by the new time", ahead // 1000)
            self._set_back(-ahead)
        if self.memory.now < self._judged:
            self._know_nothing()
        if self._history is None:
            return
        kept = self._history(max(self.memory.now, self._judged) + 1)
        for chunk in _chunks(kept):
            if self._shadow is not None:
                self._shadow.take(chunk, self._clock.now())
            await self._changed(self.engine.step(self.memory, chunk, self._clock.now()))

    async def answer(self, answer: Answer) -> list[Alert]:
        """What a person wants done with an alert, or with all that fit; raises InputError when it cannot be."""
        return await unbroken(self._answer(answer))

    async def _answer(self, answer: Answer) -> list[Alert]:
        now = self._clock.now()
        changed = self.desk.answer(answer, now)
        said = {"who": answer.by, "reason": answer.reason, "why": answer.why, "via": answer.via, "ident": answer.ident}
        if answer.until is not None:
            said["until"] = to_iso(answer.until, self.site.site.tz)
        if not changed:  # a silence of what is yet to come
            record = {"at": to_iso(now, self.site.site.tz), "action": answer.action, **answer.fitting, **said}
            await asyncio.to_thread(self._keeper.keep, {}, [("audit", now, "", record)])
        await self._publish(changed, now, said)
        await self._save()
        return changed

    async def book(self, payload: bytes) -> None:
        """Take overtime told by a message (see ``rules.overtime``); it is on disk when this returns.

        What cannot be taken is said in the log, once until something else is wrong.
        """
        await unbroken(self._book(payload))

    async def _book(self, payload: bytes) -> None:
        now = self._clock.now()
        try:
            booking = overtime.read_booking(payload, self.site, now)
            changed = overtime.book(self.memory, self.site, booking)
        except InputError as error:
            if str(error) != self._unread:
                self._unread = str(error)
                log.warning("an overtime booking is not taken: %s", error)
            return
        if not changed:
            return
        log.warning("%s", overtime.sentence(booking, self.site))
        rows = [
            ("overtime", now, "", overtime.record_of(booking, self.site, now)),
            ("audit", now, "", overtime.step_of(booking, self.site, now)),
        ]
        await self._changed(self.engine.tick(self.memory, self.memory.now))
        await asyncio.to_thread(self._keeper.keep, {}, rows)
        await self._save()

    def fresh(self) -> dict[str, Json]:
        """Open alerts' JSON by id, with their waste up to now."""
        return {alert.id: alert.to_json() for alert in self.desk.refresh(self.engine, self.memory, self.memory.now)}

    def still_on(self) -> list[dict[str, Any]]:
        """Devices that are on now, by what the rules know."""
        return still_on(self.site, self.memory)

    def pending(self) -> list[dict[str, Any]]:
        """Conditions that hold, but not yet long enough to be told."""
        tz = self.site.site.tz
        return [
            {"rule": rule, "device": device, "zone": watch.zone, "since": to_iso(watch.since, tz),
             "due": to_iso(watch.due, tz)}
            for (rule, device), watch in self.memory.watches.items()
            if watch.phase == "pending" and watch.due >= self.memory.now
        ]  # fmt: skip

    async def _changed(self, findings: Iterable[Finding]) -> None:
        changed = [self._with_saving(alert) for alert in self.desk.take(filter(self._awaited, findings))]
        if changed:
            await self._publish(changed, None, {"who": "rules"})
            await self._save()

    def _awaited(self, finding: Finding) -> bool:
        """Not the silence of a device without a link that never spoke: somebody reads it off now and then.

        Replay leaves such a device out as well.
        """
        if finding.rule != SILENT or finding.since > self.memory.begun:
            return True
        return self.site.device[finding.device].link is not None

    def _with_saving(self, alert: Alert) -> Alert:
        saved = saving(self.site, self._calendar, alert)
        return alert if saved is None else alert.saying("saved", saved)

    async def _publish(self, changed: Sequence[Alert], now: int | None, said: Json) -> None:
        """Tell people, keep the change with its time and person, and tell the store. ``now`` None: the alert's own."""
        if not changed:
            return
        records = [alert.to_json() for alert in changed]
        await self._teller.tell(records)
        rows: list[tuple[str, int, str, Json]] = []
        for_store: list[Json] = []
        for alert, record in zip(changed, records, strict=True):
            before = self.alerts.get(alert.id)
            self.alerts[alert.id] = alert
            self._forget_old()
            at = now if now is not None else alert.ended if alert.ended is not None else alert.raised
            for_store.append(self._with_change(record, at))
            step = {"from": "pending" if before is None else before.state, "to": alert.state}
            rows.append(("alerts", at, alert.id, record))
            moment = to_iso(at, self.site.site.tz)
            subject = {"rule": alert.rule, "zone": alert.zone, "device": alert.device}
            rows.append(("audit", at, alert.id, {"alert": alert.id, "at": moment, **subject, **step, **said}))
            for watcher in self.watchers:
                watcher(alert)
        await asyncio.to_thread(self._keeper.keep, {}, rows)
        if self._store_alerts is not None:
            await self._store_alerts(for_store)

    def _forget_old(self) -> None:
        """``alerts`` is for whoever looks on; the history of all is on disk."""
        if len(self.alerts) > _MOST_ALERTS:
            oldest = next((ident for ident, alert in self.alerts.items() if alert.ended is not None), None)
            self.alerts.pop(oldest or next(iter(self.alerts)))

    async def _save(self) -> None:
        self._saved_at = asyncio.get_running_loop().time()
        open_now = self.desk.refresh(self.engine, self.memory, self.memory.now)
        blobs = {
            _STATE: msgspec.msgpack.encode(_State(self.engine.save(self.memory), self.desk.save(), self._judged)),
            _OPEN: msgspec.json.encode([alert.to_json() for alert in open_now]),
            _PENDING: msgspec.json.encode(self.pending()),
            BLIND: msgspec.json.encode(self.blind_until),
        }
        rows: list[Row] = []
        if self._shadow is not None:
            state, rows = self._shadow.drain()
            blobs |= state
        await asyncio.to_thread(self._keeper.keep, blobs, rows)

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
        self._judged = state.judged
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
