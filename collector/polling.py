"""Whom to ask and when, on one Modbus line: an absolute schedule, patience with the silent, good data kept.

One task per link. A device's moments lie on a fixed grid, spread over the period. A silent device is asked for one
small value now and then (2 s, growing to 5 min) in the time that the others leave; "no answer" is a reading that is
published once. When nobody behind the line speaks, that is one event, not one per device. A register that a device
refuses is found by asking in halves, once, and left out from then on.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from building.clock import Clock
from building.durations import format_duration
from building.errors import BadFrame, GreenwardenError, LinkDown, MeterRefused, NoAnswer
from building.readings import Reading, no_answer, with_flaws
from building.site import Device
from collector.decoding import Flaws
from collector.health import DeviceHealth, LinkHealth
from collector.links.modbus import ModbusLink
from collector.planning import Block, pieces, plan, smallest
from collector.profiles import Profile
from collector.schedule import Schedule, Turn, round_moment_after, spread
from collector.stamping import moment_of_its_own
from collector.suspecting import suspicion
from collector.targets import Job, Pace, Target, flaws_of

Publish = Callable[[list[Reading]], Awaitable[None]]

log = logging.getLogger(__name__)

_ASK_REFUSED_AGAIN: Final = 6 * 3_600_000  # a meter that was starting up may know the register later
_BUSY_PAUSES: Final = (0.1, 0.3)  # real seconds before a busy device is asked again
_UNKNOWN_FUNCTION: Final = 1
_WRONG_QUESTION: Final = (1, 2, 3)
_BUSY: Final = 6
_AILING: Final = (4, 5, 8)  # a failure of its own, a long job, a memory error: it lives, and passes
_UNREACHABLE: Final = (10, 11)

Answer = bytes | GreenwardenError


class LinkPoller:
    """Polls all devices behind one Modbus link; up to ``in_flight`` requests of one poll are under way at once."""

    def __init__(
        self,
        ident: str,
        link: ModbusLink,
        devices: Sequence[tuple[Device, Profile, DeviceHealth]],
        clock: Clock,
        publish: Publish,
        pace: Pace,
        health: LinkHealth,
        *,
        in_flight: int = 1,
    ) -> None:
        self._ident = ident
        self._link = link
        self._clock = clock
        self._publish = publish
        self._pace = pace
        self._health = health
        self._in_flight = in_flight
        self._targets = [Target(*device) for device in devices]
        self._schedule: Schedule[Job, Target] = Schedule()
        self._heard_at = -1  # steady moment of the last sign of life of anyone

    async def run(self) -> None:
        """Poll until cancelled."""
        self._spread()
        while (moment := self._schedule.next_moment()) is not None:
            await self._clock.sleep_steady(moment)
            entry = self._schedule.take(self._clock.steady())
            if entry is None:
                continue
            target = entry.job.target if isinstance(entry, Turn) else entry.target
            try:
                if isinstance(entry, Turn):
                    await self._turn(entry)
                elif entry.due == target.probe_due:
                    await self._probe(target)
            except LinkDown as error:
                await self._sit_out(error, mute=False)
            except Exception:  # one device's trouble must not stop the others on the line
                target.health.errors["internal"] += 1
                log.exception("device %s: polling failed in a way that is our fault", target.device.id)

    # -- the schedule -------------------------------------------------------------------------------------------------

    def _spread(self) -> None:
        """Everyone once at the start; then on a grid, spread evenly over the period or on the clock's round moments."""
        start = self._clock.steady()
        for number, target in enumerate(self._targets):
            for job in target.jobs:
                job.grid = spread(start, job.grid.period, number, len(self._targets))
                self._schedule.add_job(start, job)

    def _book(self, job: Job, due: int) -> int:
        """Book the next turn of ``job``, whose last was due at ``due``; how many it has missed since."""
        now, grid = self._clock.steady(), job.grid
        if job.target.device.aligned:
            self._schedule.add_job(round_moment_after(self._clock.now(), now, grid.period), job)
            return max(0, now - due) // grid.period
        following = grid.after(now)
        if not job.started and following - now < grid.period // 2:
            following += grid.period  # it was asked at the start just now
        job.started = True
        self._schedule.add_job(following, job)
        return grid.passed(due, now)

    def _probe_at(self, due: int, target: Target) -> None:
        """Ask a silent device in small at ``due``, in place of any probe set before."""
        target.probe_due = due
        self._schedule.add_probe(due, target)

    async def _turn(self, turn: Turn[Job]) -> None:
        """A job's time has come: book its next, then ask unless the device rests."""
        target, health = turn.job.target, turn.job.target.health
        missed = self._book(turn.job, turn.due)
        health.due += 1 + missed
        health.missed += missed
        if target.failures or self._clock.steady() < target.ailing_until:
            health.resting += 1
            return
        await self._poll(turn.job)

    # -- one device ---------------------------------------------------------------------------------------------------

    async def _poll(self, job: Job) -> None:
        target = job.target
        if target.refused and self._clock.steady() >= target.ask_again_at:
            target.refused.clear()
            for one in target.jobs:
                one.replan()
        if target.refuses_all and self._clock.steady() >= target.ailing_until and not await self._gives_something(job):
            return
        blocks, decoder = job.blocks, job.decoder
        answers = await self._ask(target, blocks)
        for block, answer in zip(blocks, answers, strict=True):
            if (code := _wrong_question(answer)) is not None:
                await self._isolate(job, block, code)  # it makes a new plan: ask by that
                await self._poll(job)
                return
        heard = [answer if isinstance(answer, bytes) else None for answer in answers]
        troubles = [answer for answer in answers if not isinstance(answer, bytes)]
        silences = [one for one in troubles if not isinstance(one, MeterRefused) or one.code in _UNREACHABLE]
        if troubles and len(silences) == len(answers):
            await self._failed(target, silences[0])
            return
        self._answered(target)
        self._tell_ailing(target, troubles, whole=len(troubles) == len(answers))
        if job.identity:
            self._identify(target, decoder.decode_all(heard).details)
            return
        values, flaws = decoder.decode(heard)
        if not target.judged and values:
            target.judged = True
            if doubt := suspicion(values):
                log.warning("device %s: %s", target.device.id, doubt)
        self._tell_flaws(job, flaws)
        for block, answer in zip(blocks, answers, strict=True):
            if not isinstance(answer, bytes):
                flaws |= flaws_of(block.points, str(answer))
        now = moment_of_its_own(self._clock.now(), target.health.last_reading_at)
        target.health.last_reading_at = now
        target.health.answered += 1
        if not target.refused:
            target.health.refused = ()
        await self._publish([with_flaws(target.device.id, now, values, flaws | job.refused_flaws())])

    async def _gives_something(self, job: Job) -> bool:
        """Of a device that refused everything: whether it does no longer. It may have been starting up.

        Without this small read now and then it would pass for alive when it is gone.
        """
        target = job.target
        answer = await self._try(target, _smallest(target))
        if isinstance(answer, LinkDown):
            raise answer
        if isinstance(answer, bytes):
            target.refused.clear()
            for one in target.jobs:
                one.replan()
            return True
        if isinstance(answer, MeterRefused) and answer.code not in _UNREACHABLE:
            self._answered(target)
            target.ailing_until = self._clock.steady() + int(self._pace.longest)
            await self._publish([with_flaws(target.device.id, self._clock.now(), {}, job.refused_flaws())])
        else:
            await self._failed(target, answer)
        return False

    async def _ask(self, target: Target, blocks: Sequence[Block]) -> list[Answer]:
        """The answers to ``blocks``, or what went wrong with each. Raises LinkDown."""
        if self._in_flight > 1:
            answers: list[Answer] = list(await asyncio.gather(*(self._try(target, block) for block in blocks)))
        else:
            answers = []
            for block in blocks:
                # After a silence the rest would be silence too; after a wrong question the plan changes anyway.
                vain = bool(answers) and (isinstance(answers[-1], NoAnswer) or _wrong_question(answers[-1]))
                answers.append(answers[-1] if vain else await self._try(target, block))
        for answer in answers:
            if isinstance(answer, LinkDown):
                raise answer
        return answers

    async def _try(self, target: Target, block: Block) -> Answer:
        release = self._clock.hold()  # what a silent device costs the others is real time, not a fast clock's
        try:
            return await self._read(target, block)
        except (NoAnswer, BadFrame, LinkDown, MeterRefused) as error:
            if not isinstance(error, LinkDown):
                target.health.errors[_kind(error)] += 1
            return error
        finally:
            release()

    async def _read(self, target: Target, block: Block) -> bytes:
        """One request; a device that is busy is asked again after a pause, twice."""
        for pause in (*_BUSY_PAUSES, None):
            self._health.requests += 1
            began = time.monotonic()
            try:
                data = await self._link.read(target.station, block.function, block.address, block.length)
            except MeterRefused as refused:
                self._health.answers += 1
                self._health.errors[_kind(refused)] += 1
                self._heard_at = self._clock.steady()
                if refused.code != _BUSY or pause is None:
                    raise
                await asyncio.sleep(pause)
                continue
            except (NoAnswer, BadFrame, LinkDown) as error:
                self._health.errors[_kind(error)] += 1
                raise
            finally:
                self._health.busy_ms += (time.monotonic() - began) * 1000
            self._health.answers += 1
            self._heard_at = self._clock.steady()
            return data
        raise AssertionError("the last attempt returns or raises")

    async def _isolate(self, job: Job, block: Block, code: int) -> None:
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
                    if _wrong_question(refused):
                        suspects.append((part, refused.code))
                    else:
                        kept.append(part)
                except (NoAnswer, BadFrame):
                    kept.append(part)  # says nothing about its registers; the next poll will
        if len(target.refused) == before:
            # Nothing is refused by itself: the gaps were, or the length. These parts are what the device takes.
            remaining = [one for one in job.blocks if one is not block]
            job.use(sorted([*remaining, *kept], key=lambda one: (one.function, one.address, one.length)))
            return
        target.ask_again_at = self._clock.steady() + _ASK_REFUSED_AGAIN
        told, target.health.refused = target.health.refused, target.refusals()
        if set(target.health.refused) - set(told):
            sentence = "; ".join(target.health.refused)
            log.warning(
                "device %s does not give all its registers (%s); the rest is read on", target.device.id, sentence
            )
        job.replan()
        if target.refuses_all:
            target.ailing_until = self._clock.steady() + int(self._pace.longest)

    def _tell_ailing(self, target: Target, troubles: Sequence[GreenwardenError], *, whole: bool) -> None:
        """A device that answers with a failure of its own, said once; one that has nothing else to say is let rest."""
        ailing = next((one for one in troubles if isinstance(one, MeterRefused) and one.code in _AILING), None)
        if ailing is None:
            target.ailing_rest = 0.0
            return
        if not target.ailing_rest:
            log.warning("device %s %s", target.device.id, ailing)
        target.ailing_rest = self._pace.longer(target.ailing_rest)
        if whole:
            target.ailing_until = self._clock.steady() + int(target.ailing_rest)

    @staticmethod
    def _identify(target: Target, said: Mapping[str, float | str]) -> None:
        """Another serial number under the old address is another meter: its counters start elsewhere."""
        known = target.health.identity
        changed = [
            f"{name} {_shown(said[name])}, was {_shown(known[name])}"
            for name in said.keys() & known.keys()
            if said[name] != known[name]
        ]
        if changed:
            log.warning(
                "device %s is not the one it was (%s); was it exchanged? see: greenwarden meter exchange --help",
                target.device.id,
                "; ".join(changed),
            )
        target.health.identity = {**known, **said}

    def _tell_flaws(self, job: Job, flaws: Flaws) -> None:
        """A flaw is told when it comes, not at every poll."""
        if flaws.keys() - job.flaws.keys():
            reasons: dict[str, list[str]] = {}
            for name, flaw in flaws.items():
                reasons.setdefault(flaw.reason, []).append(name)
            told = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in reasons.items())
            log.warning("device %s: %s", job.target.device.id, told)
        job.flaws = dict(flaws)

    # -- silence ------------------------------------------------------------------------------------------------------

    async def _failed(self, target: Target, error: GreenwardenError) -> None:
        """Not a word: rest, ask again in small; after the second time it is a fact."""
        now = self._clock.steady()
        if not target.failures:
            target.silent_from = now
        target.failures += 1
        target.rest = self._pace.longer(target.rest if target.failures > 1 else 0.0)
        self._probe_at(now + int(target.rest), target)
        target.health.silent_since = target.health.silent_since or self._clock.now()
        if target.failures < 2 or target.said:
            return
        if await self._someone_else_speaks(target):
            target.said = True
            log.warning("device %s is silent (%s); it is asked again less and less often", target.device.id, error)
            await self._tell_silent([target], str(error))
        else:
            nobody = f"none of the {len(self._targets)} devices behind it answers; check its bus and its power"
            await self._sit_out(LinkDown(nobody), mute=True)

    async def _someone_else_speaks(self, target: Target) -> bool:
        """Whether the silence of ``target`` is its own: somebody behind the line has spoken since it fell silent."""
        if len(self._targets) == 1 or self._heard_at >= target.silent_from:
            return True
        others = [one for one in self._targets if one is not target and not one.said]
        for other in sorted(others, key=lambda one: -one.answered_at):
            # Who has just been asked in vain need not be asked again.
            if not other.failures and not isinstance(await self._try(other, _smallest(other)), NoAnswer | BadFrame):
                return True
        return False

    async def _tell_silent(self, targets: Sequence[Target], reason: str) -> None:
        now = self._clock.now()
        fresh = [target for target in targets if not target.told]
        for target in fresh:
            target.told = True
            target.health.silent_since = target.health.silent_since or now
        if fresh:
            await self._publish([no_answer(target.device.id, now, reason) for target in fresh])

    def _answered(self, target: Target) -> None:
        """It speaks: if it was said to be silent, say that it is back, with the time in between."""
        now = self._clock.steady()
        if target.said:
            log.warning("device %s answers again after %s", target.device.id, format_duration(now - target.silent_from))
        target.answered_at = now
        target.failures = 0
        target.told = target.said = False
        target.health.silent_since = None

    async def _probe(self, target: Target) -> None:
        """One small read of a silent device; when it answers, everything at once."""
        if not target.failures:
            return
        answer = await self._try(target, _smallest(target))
        if isinstance(answer, LinkDown):
            raise answer
        if isinstance(answer, NoAnswer | BadFrame) or (
            isinstance(answer, MeterRefused) and answer.code in _UNREACHABLE
        ):
            await self._failed(target, answer)
            return
        for job in target.jobs:
            before = target.failures
            await self._poll(job)
            if target.failures > before:
                return  # it answers in small and not in full: that is no return

    async def _sit_out(self, error: LinkDown, *, mute: bool) -> None:
        """The line is gone, or ``mute``: one event for all behind it; try with growing, random delay until it is back.

        A line that is gone is back with any sign of it, a mute one when somebody behind it speaks: who spoke last is
        asked each time, the others by turns, since some of them may be dead for good.
        """
        began = self._clock.steady()
        self._health.down_since = self._clock.now()
        log.warning("link %s is down: %s", self._ident, error)
        await self._tell_silent(self._targets, str(error))
        for target in self._targets:
            if not target.said:  # their silence was the line's
                target.failures, target.probe_due = 0, None
        await self._until_back(mute=mute)
        self._health.down_since = None
        log.warning("link %s is back after %s", self._ident, format_duration(self._clock.steady() - began))
        for one in self._targets:
            if one.failures:
                self._probe_at(self._clock.steady(), one)

    async def _until_back(self, *, mute: bool) -> None:
        gone = (LinkDown, NoAnswer, BadFrame) if mute else (LinkDown,)
        latest = max(self._targets, key=lambda one: one.answered_at)
        turns = itertools.cycle([one for one in self._targets if one is not latest] or [latest])
        delay = self._pace.reconnect
        while True:
            await self._clock.sleep_steady(self._clock.steady() + int(delay * random.uniform(0.5, 1.0)))
            delay = min(2 * delay, self._pace.longest)
            for target in dict.fromkeys((latest, next(turns))):
                if not isinstance(await self._try(target, _smallest(target)), gone):
                    return


def _shown(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.16g}"


def _smallest(target: Target) -> Block:
    """The smallest read that proves ``target`` alive."""
    job = target.jobs[0]
    return smallest(job.blocks or plan(job.points, target.limits))


def _wrong_question(answer: Answer) -> int | None:
    """The exception code, when it says that the same question will never be answered."""
    return answer.code if isinstance(answer, MeterRefused) and answer.code in _WRONG_QUESTION else None


def _kind(error: GreenwardenError) -> str:
    """The name under which an error is counted."""
    return f"exception {error.code}" if isinstance(error, MeterRefused) else type(error).__name__
