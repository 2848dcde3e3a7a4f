"""Whom to ask and when, on one Modbus line: an absolute schedule, patience with the silent, good data kept.

One task and one heap of due times per link. A device's moments lie on a fixed grid, spread over the period, so nothing
drifts, and what was missed during a pause is counted rather than caught up with. A silent device is asked for one
small value now and then (2 s, growing to 5 min); "no answer" is a reading that is published once. A register a device
refuses is found by asking in halves, once, and left out from then on.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from building.clock import Clock
from building.durations import format_duration
from building.errors import BadFrame, GreenwardenError, LinkDown, MeterRefused, NoAnswer
from building.readings import Flaw, Grade, Reading, no_answer, with_flaws
from building.site import Device
from collector.decoding import Decoder, Flaws
from collector.health import DeviceHealth, LinkHealth
from collector.links.modbus import ModbusLink, refusal
from collector.planning import Block, Limits, Point, Span, limits_of, pieces, plan, points_of, smallest
from collector.profiles import Profile

Publish = Callable[[list[Reading]], Awaitable[None]]

log = logging.getLogger(__name__)

_SHORTEST_REST: Final = 2_000  # ms of the clock, after the first silence
_LONGEST_REST: Final = 300_000
_ASK_REFUSED_AGAIN: Final = 6 * 3_600_000  # a meter that was starting up may know the register later
_BUSY_PAUSE: Final = 0.1  # real seconds before a busy device is asked once more
_UNKNOWN_FUNCTION: Final = 1
_WRONG_QUESTION: Final = (2, 3)
_BUSY: Final = (5, 6)
_UNREACHABLE: Final = (10, 11)


class Pace(NamedTuple):
    """How long to leave the silent alone, in ms of the clock.

    A time-out costs real time. On a clock that runs fast it therefore costs much of the clock's, and the rests grow
    with it, so that silent devices do not take the line from the others.
    """

    shortest: float
    longest: float
    reconnect: float

    @classmethod
    def of(cls, clock: Clock, timeout: float) -> Pace:
        """The pace for a ``timeout`` in real seconds."""
        lost = timeout * 1000 * clock.speed
        return cls(max(_SHORTEST_REST, 2 * lost), max(_LONGEST_REST, 4 * lost), max(_SHORTEST_REST, 100 * clock.speed))


class _Target:
    """One device on the line, and what is known of its silence."""

    def __init__(self, device: Device, profile: Profile, health: DeviceHealth) -> None:
        self.device = device
        self.health = health
        self.failures = 0
        self.rest = 0.0
        self.probe_due: int | None = None
        self.told = False
        """Whether "no answer" has been published since it last answered."""
        self.limits = limits_of(profile)
        self.refused: dict[Span, int] = {}  # with the exception code
        self.ask_again_at = 0
        groups = [(None, device.every)] if device.slow is None else [("fast", device.every), ("slow", device.slow)]
        jobs = [_Job(self, profile, points_of(profile, device, group), period) for group, period in groups]
        self.jobs = [job for job in jobs if job.points]


class _Job:
    """Points of one device that are asked together, every ``period`` ms from ``phase`` on."""

    def __init__(self, target: _Target, profile: Profile, points: Sequence[Point], period: int) -> None:
        self.target = target
        self.period = period
        self.phase = 0
        self.points = points
        self.flaws: Flaws = {}
        self._profile = profile
        self.use(plan(points, target.limits) if points else ())

    def use(self, blocks: Sequence[Block]) -> None:
        """From now on ask for ``blocks``."""
        self.blocks = tuple(blocks)
        self.decoder = Decoder(self._profile, self.target.device, self.blocks)

    def replan(self) -> None:
        """The fewest requests for what the device does not refuse."""
        refused = self.target.refused
        holes = tuple((span.start, span.end - 1) for span in refused)
        limits = self.target.limits
        wanted = [point for point in self.points if point.span not in refused]
        self.use(plan(wanted, Limits(limits.max_block, limits.max_gap, limits.holes + holes)))


class _Probe(NamedTuple):
    target: _Target
    due: int


class LinkPoller:
    """Polls all devices behind one Modbus link, one request at a time."""

    def __init__(
        self,
        ident: str,
        link: ModbusLink,
        devices: Sequence[tuple[Device, Profile, DeviceHealth]],
        clock: Clock,
        publish: Publish,
        pace: Pace,
        health: LinkHealth,
    ) -> None:
        self._ident = ident
        self._link = link
        self._clock = clock
        self._publish = publish
        self._pace = pace
        self._health = health
        self._targets = [_Target(*device) for device in devices]
        self._heap: list[tuple[int, int, _Job | _Probe]] = []
        self._order = 0

    async def run(self) -> None:
        """Poll until cancelled."""
        self._spread()
        while self._heap:
            due, _, entry = self._heap[0]
            await self._clock.sleep_until(due)
            heapq.heappop(self._heap)
            target = entry.target
            try:
                if isinstance(entry, _Job):
                    await self._turn(entry, due)
                elif due == target.probe_due:
                    await self._probe(target)
            except LinkDown as error:
                await self._sit_out(error, target)
            except Exception:  # one device's trouble must not stop the others on the line
                target.health.errors["internal"] += 1
                log.exception("device %s: polling failed in a way that is our fault", target.device.id)

    # -- the schedule -------------------------------------------------------------------------------------------------

    def _spread(self) -> None:
        """Everyone once at the start; then on a grid, spread evenly over the period or on the clock's round moments."""
        start = self._clock.now()
        for number, target in enumerate(self._targets):
            for job in target.jobs:
                share = job.period * number // len(self._targets)
                job.phase = 0 if target.device.aligned else start + share
                self._push(start, job)

    def _push(self, due: int, entry: _Job | _Probe) -> None:
        self._order += 1
        heapq.heappush(self._heap, (due, self._order, entry))

    def _probe_at(self, due: int, target: _Target) -> None:
        """Ask a silent device in small at ``due``, in place of any probe set before."""
        target.probe_due = due
        self._push(due, _Probe(target, due))

    async def _turn(self, job: _Job, due: int) -> None:
        """A job's time has come: book its next, then ask unless the device rests."""
        now = self._clock.now()
        passed = (now - job.phase) // job.period
        health = job.target.health
        late = max(0, passed - (due - job.phase) // job.period)
        health.due += 1 + late
        health.missed += late
        self._push(job.phase + (passed + 1) * job.period, job)
        if job.target.failures:
            health.resting += 1
            return
        await self._poll(job)

    # -- one device ---------------------------------------------------------------------------------------------------

    async def _poll(self, job: _Job) -> None:
        target = job.target
        if target.refused and self._clock.now() >= target.ask_again_at:
            target.refused.clear()
            for one in target.jobs:
                one.replan()
        answers: list[bytes | None] = []
        flaws: Flaws = {}
        trouble: GreenwardenError | None = None
        decoder = job.decoder
        for block in job.blocks:
            try:
                answers.append(None if isinstance(trouble, NoAnswer) else await self._read(target, block))
            except MeterRefused as refused:
                if refused.code in _UNREACHABLE:
                    trouble = NoAnswer(str(refused))
                    target.health.errors["unreachable"] += 1
                elif refused.code in (_UNKNOWN_FUNCTION, *_WRONG_QUESTION):
                    # The plan changes: finish this poll with the new one.
                    await self._isolate(job, block, refused.code)
                    await self._poll(job)
                    return
                else:
                    target.health.errors["refused"] += 1
                    trouble = refused
                answers.append(None)
            except (NoAnswer, BadFrame) as error:
                target.health.errors[type(error).__name__] += 1
                trouble = error
                answers.append(None)
            if answers[-1] is None:
                flaws |= _flaws(block.points, f"{trouble}")
        if trouble is not None and not any(answers) and not isinstance(trouble, MeterRefused):
            await self._failed(target, trouble)
            return
        await self._answered(target)
        values, found = decoder.decode(answers)
        flaws |= found
        if target.refused:
            for point in job.points:
                if (code := target.refused.get(point.span)) is not None:
                    flaws |= _flaws([point], f"the device {refusal(code)}")
        now = self._clock.now()
        target.health.last_reading_at = now
        target.health.answered += 1
        self._tell_flaws(job, found)
        await self._publish([with_flaws(target.device.id, now, values, flaws)])

    async def _read(self, target: _Target, block: Block) -> bytes:
        """One request; a device that is busy is asked once more."""
        assert target.device.unit is not None
        for attempt in (1, 2):
            self._health.requests += 1
            began = time.monotonic()
            try:
                data = await self._link.read(target.device.unit, block.function, block.address, block.length)
            except MeterRefused as refused:
                self._health.answers += 1
                self._health.errors["refused"] += 1
                if refused.code not in _BUSY or attempt == 2:
                    raise
                await asyncio.sleep(_BUSY_PAUSE)
                continue
            except (NoAnswer, BadFrame, LinkDown) as error:
                self._health.errors[type(error).__name__] += 1
                raise
            finally:
                self._health.busy_ms += (time.monotonic() - began) * 1000
            self._health.answers += 1
            return data
        raise AssertionError("the second attempt returns or raises")

    async def _isolate(self, job: _Job, block: Block, code: int) -> None:
        """Find what of ``block`` is refused, remember it, and plan anew without it. Each part is asked once."""
        target = job.target
        kept: list[Block] = []
        suspects = [(block, code)]
        before = len(target.refused)
        while suspects:
            suspect, code = suspects.pop()
            parts = () if code == _UNKNOWN_FUNCTION else pieces(suspect)
            if len(parts) < 2:
                target.refused.update((point.span, code) for point in suspect.points)
                continue
            for part in parts:
                try:
                    await self._read(target, part)
                    kept.append(part)
                except MeterRefused as refused:
                    if refused.code not in (_UNKNOWN_FUNCTION, *_WRONG_QUESTION):
                        kept.append(part)
                        continue
                    suspects.append((part, refused.code))
                except (NoAnswer, BadFrame):
                    kept.append(part)  # says nothing about its registers; the next poll will
        if len(target.refused) == before:
            # Nothing is refused by itself: the gaps were, or the length. These parts are what the device takes.
            job.use(sorted([*(one for one in job.blocks if one is not block), *kept]))
            return
        target.ask_again_at = self._clock.now() + _ASK_REFUSED_AGAIN
        told = target.health.refused
        points = {point.label: target.refused.get(point.span) for one in target.jobs for point in one.points}
        target.health.refused = tuple(f"{label}: it {refusal(why)}" for label, why in points.items() if why is not None)
        target.health.errors["refused"] += 1
        if set(target.health.refused) - set(told):
            sentence = "; ".join(target.health.refused)
            log.warning(
                "device %s does not give all its registers (%s); the rest is read on", target.device.id, sentence
            )
        job.replan()

    def _tell_flaws(self, job: _Job, flaws: Flaws) -> None:
        """A flaw is told when it comes, not at every poll."""
        if flaws.keys() - job.flaws.keys():
            log.warning("device %s: %s", job.target.device.id, "; ".join(f.reason for f in flaws.values()))
        job.flaws = flaws

    # -- silence ------------------------------------------------------------------------------------------------------

    async def _failed(self, target: _Target, error: GreenwardenError) -> None:
        """Not a word: rest, ask again in small; after the second time it is a fact."""
        now = self._clock.now()
        target.failures += 1
        target.rest = self._pace.shortest if target.failures == 1 else min(2 * target.rest, self._pace.longest)
        self._probe_at(now + int(target.rest), target)
        if target.health.silent_since is None:
            target.health.silent_since = now
        if target.failures >= 2 and not target.told:
            log.warning("device %s is silent (%s); it is asked again less and less often", target.device.id, error)
            await self._tell_silent([target], str(error))

    async def _tell_silent(self, targets: Sequence[_Target], reason: str) -> None:
        now = self._clock.now()
        fresh = [target for target in targets if not target.told]
        for target in fresh:
            target.told = True
            target.health.silent_since = target.health.silent_since or now
        if fresh:
            await self._publish([no_answer(target.device.id, now, reason) for target in fresh])

    async def _answered(self, target: _Target) -> None:
        """It speaks: if it was silent, say so once, with the time in between."""
        if target.told and target.failures:
            gap = self._clock.now() - (target.health.silent_since or self._clock.now())
            log.warning("device %s answers again after %s", target.device.id, format_duration(gap))
        target.failures = 0
        target.told = False
        target.health.silent_since = None

    async def _probe(self, target: _Target) -> None:
        """One small read of a silent device; when it answers, everything at once."""
        if not target.failures:
            return
        blocks = next((job.blocks for job in target.jobs if job.blocks), ())
        if blocks:
            try:
                await self._read(target, smallest(blocks))
            except MeterRefused as refused:
                if refused.code in _UNREACHABLE:
                    target.health.errors["unreachable"] += 1
                    await self._failed(target, refused)
                    return
            except (NoAnswer, BadFrame) as error:
                target.health.errors[type(error).__name__] += 1
                await self._failed(target, error)
                return
        for job in target.jobs:
            before = target.failures
            await self._poll(job)
            if target.failures > before:
                return  # it answers in small and not in full: that is no return

    async def _sit_out(self, error: LinkDown, target: _Target) -> None:
        """The line itself is gone: one event for all behind it; try with growing, random delay until it is back."""
        began = self._clock.now()
        self._health.down_since = began
        log.warning("link %s is down: %s", self._ident, error)
        await self._tell_silent(self._targets, str(error))
        delay = self._pace.reconnect
        block = smallest(target.jobs[0].blocks or plan(target.jobs[0].points, target.limits))
        while True:
            await self._clock.sleep_until(self._clock.now() + int(delay * random.uniform(0.5, 1.0)))
            delay = min(2 * delay, self._pace.longest)
            try:
                await self._read(target, block)
            except LinkDown:
                continue
            except (NoAnswer, BadFrame, MeterRefused):
                break  # whatever the device says: the line is there
            else:
                break
        self._health.down_since = None
        log.warning("link %s is back after %s", self._ident, format_duration(self._clock.now() - began))
        for one in self._targets:
            if one.failures:
                self._probe_at(self._clock.now(), one)


def _flaws(points: Sequence[Point], reason: str) -> Flaws:
    return {point.row.quantity: Flaw(Grade.BAD, reason) for point in points if point.row.quantity}
