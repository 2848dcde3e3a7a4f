"""The demo: a simulated building, the whole program, a working day and the night after it in minutes.

Everything is real but the building: Modbus and MQTT on loopback sockets, the queue and the store on disk, the rules
and their alerts. At the end the books are balanced: every reading that was published must be in the store, and every
fault that was set must have raised its alert, and nothing else any.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

from building.calendar import WorkCalendar
from building.clock import FastClock
from building.readings import Reading
from building.site import Site
from collector.storing.embedded import DATABASE
from collector.storing.stored import StoredReadings
from greenwarden import terminal
from greenwarden.demo_screen import Screen, closing_tables
from greenwarden.door import open_site, sample_site
from greenwarden.program import Program
from rules.alerts import Alert
from rules.channels import Message
from simulators.scenario import default_faults
from simulators.service import Simulation
from simulators.truth import Expected

log = logging.getLogger(__name__)

_FIRST_DAY: Final = date(2026, 7, 1)  # a summer working day, so that there is something to cool
_BEGIN: Final = time(7, 0)
_STORE_WITHIN_S: Final = 20.0
_SLACK: Final = 10 * 60_000  # an alert of a fault may begin or end this much (ms) beside the fault's own condition


@dataclass
class Books:
    """What was published, to be compared with what the store has."""

    readings: Counter[str] = field(default_factory=Counter)
    empty: Counter[str] = field(default_factory=Counter)
    values: set[int] = field(default_factory=set)
    latest: dict[str, Reading] = field(default_factory=dict)

    def enter(self, batch: Sequence[Reading]) -> None:
        """Book published readings."""
        for reading in batch:
            if not reading.values:
                self.empty[reading.device] += 1
                continue
            self.readings[reading.device] += 1
            self.latest[reading.device] = reading
            self.values.update(_marks(reading))

    def lost(self, stored: StoredReadings, start: int, end: int) -> int:
        """How many published values the store does not have, or has otherwise."""
        found: set[int] = set()
        for reading in stored.readings(start, end):
            found.update(_marks(reading))
        return len(self.values - found)


def _marks(reading: Reading) -> list[int]:
    return [hash((reading.device, reading.taken_at, name, value)) for name, value in reading.values.items()]


@dataclass
class Outcome:
    """The demo's result; ``to_json`` is the object on the last line of ``--json``."""

    site: Site
    books: Books
    lost: int
    due: Mapping[str, int]
    expected: Sequence[Expected]
    matches: Sequence[Alert | None]
    false_alarms: Sequence[Alert]
    alerts: Sequence[Alert]

    @property
    def found(self) -> int:
        return sum(match is not None for match in self.matches)

    @property
    def sound(self) -> bool:
        """Nothing lost, nothing missed, nothing made up."""
        return self.lost == 0 and self.found == len(self.expected) and not self.false_alarms

    def waste(self) -> dict[str, Any]:
        """Waste of all alerts together; stretches that two alerts share count once for each."""
        total: dict[str, Any] = {"kwh": 0.0, "litres": 0.0, "cost": 0.0, "kgco2": 0.0}
        for alert in self.alerts:
            for key in total:
                total[key] += alert.waste.get(key) or 0.0
        return {key: round(value, 3) for key, value in total.items()} | {"currency": self.site.site.tariffs.currency}

    def to_json(self) -> dict[str, Any]:
        return {
            "readings": sum(self.books.readings.values()),
            "lost": self.lost,
            "faults": len(self.expected),
            "found": self.found,
            "missed": len(self.expected) - self.found,
            "false_alarms": len(self.false_alarms),
            "waste": self.waste(),
        }


class _ScreenChannel:
    """Messages of the demo appear among the live readings."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    async def send(self, message: Message) -> None:
        self._screen.message(message)


async def run_demo(path: Path | None, *, speed: float, hours: float, seed: int, as_json: bool) -> bool:
    """Play the demo; True when nothing was lost, missed or made up. Raises ConfigError for a wrong site file."""
    site = open_site(path or sample_site())
    start = _start(site)
    day = WorkCalendar(site).local_date(start)
    end = start + int(hours * 3_600_000)
    clock = FastClock(start, speed)
    faults = default_faults(site, day, seed)
    screen = Screen(site, clock, start, end, quiet=as_json)
    with tempfile.TemporaryDirectory(prefix="greenwarden-demo-") as folder:
        data = Path(folder)
        books = Books()
        async with AsyncExitStack() as stack:
            simulation = await stack.enter_async_context(Simulation(site, clock, seed=seed, faults=faults))
            channels = {"screen": _ScreenChannel(screen)}
            program = Program(
                site, clock, data, channels, endpoints=simulation.endpoints, credentials=simulation.credentials
            )
            watched = program.watch("books")
            await stack.enter_async_context(program)
            booking = asyncio.create_task(_book(watched, books, screen), name="books")
            stack.push_async_callback(_ended, booking)
            with screen:
                await _until(clock, end, program)
            expected = [one for one in simulation.truth.expected if one.is_due(clock.now())]
            await program.rules.settle()
        outcome = await asyncio.to_thread(_balance, site, data, books, program, expected, faults_known=simulation)
    if as_json:
        terminal.emit_json(outcome.to_json())
    else:
        for table in closing_tables(outcome):
            terminal.out.print(table)
    return outcome.sound


async def _until(clock: FastClock, end: int, program: Program) -> None:
    """Wait for the end of the day; end at once when a room of the program fails."""
    sleeping = asyncio.create_task(clock.sleep_until(end), name="the day")
    failing = asyncio.create_task(program.failed.wait(), name="failure")
    try:
        await asyncio.wait({sleeping, failing}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (sleeping, failing):
            task.cancel()
        await asyncio.gather(sleeping, failing, return_exceptions=True)


async def _book(batches: Any, books: Books, screen: Screen) -> None:
    async for batch in batches:
        books.enter(batch)
        screen.readings(books.latest, sum(books.readings.values()))


async def _ended(task: asyncio.Task[None]) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(task, _STORE_WITHIN_S)


def _start(site: Site) -> int:
    """07:00 of the first working day from July on, in ms."""
    calendar = WorkCalendar(site)
    day = next(day for ahead in range(60) if calendar.is_workday(day := _FIRST_DAY + timedelta(days=ahead)))
    return int(datetime.combine(day, _BEGIN, tzinfo=site.site.tz).timestamp() * 1000)


def _balance(
    site: Site, data: Path, books: Books, program: Program, expected: Sequence[Expected], *, faults_known: Simulation
) -> Outcome:
    """Compare what was published with what the store has, and what was raised with what had to be."""
    with StoredReadings(data / DATABASE) as stored:
        lost = books.lost(stored, 0, 1 << 62)
    alerts = sorted(program.rules.alerts.values(), key=lambda alert: alert.raised)
    matches = [_match(one, alerts) for one in expected]
    known = {alert.id for alert in matches if alert is not None}
    rightful = [one for one in faults_known.truth.expected if one.since is not None]
    false_alarms = [alert for alert in alerts if alert.id not in known and not _excused(alert, rightful)]
    due = {device: health.due for device, health in program.collector.health().devices.items()}
    return Outcome(site, books, lost, due, expected, matches, false_alarms, alerts)


def _match(expected: Expected, alerts: Sequence[Alert]) -> Alert | None:
    return next((alert for alert in alerts if alert.rule == expected.rule and _overlap(alert, expected)), None)


def _excused(alert: Alert, expected: Sequence[Expected]) -> bool:
    """Whether a known fault explains ``alert``, as the one it must raise or one it may raise as well."""
    return any(alert.rule in (one.rule, *one.may_also) and _overlap(alert, one) for one in expected)


def _overlap(alert: Alert, expected: Expected) -> bool:
    if alert.device != expected.device and (alert.zone is None or alert.zone != expected.zone):
        return False
    assert expected.since is not None
    over = expected.ended is None or alert.since <= expected.ended + _SLACK
    return over and (alert.ended is None or alert.ended >= expected.since - _SLACK)
