"""The demo: a simulated building, the whole program, a working day and the night after it in minutes.

Everything is real but the building: Modbus and MQTT on loopback sockets, the queue and the store on disk, the rules
and their alerts. At the end the books are balanced: every reading that was published must be in the store, and every
fault that was set must have raised its alert, and nothing else any.
"""

from __future__ import annotations

import asyncio
import json
import logging
import tempfile
from contextlib import AsyncExitStack, suppress
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Final

from building.calendar import WorkCalendar
from building.clock import FastClock
from building.site import Site, StoreSettings
from building.waiting import first_of
from collector.stream import Subscription
from greenwarden import terminal
from greenwarden.books import Books
from greenwarden.demo_outcome import balance
from greenwarden.demo_screen import Screen, closing_tables
from greenwarden.door import open_site, sample_site
from greenwarden.program import Program
from rules.channels import Message
from simulators.scenario import default_faults
from simulators.service import Simulation

log = logging.getLogger(__name__)

_FIRST_DAY: Final = date(2026, 7, 1)  # a summer working day, so that there is something to cool
_BEGIN: Final = time(7, 0)
_STORE_WITHIN_S: Final = 20.0


class _ScreenChannel:
    """Messages of the demo appear among the live readings."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    async def send(self, message: Message) -> None:
        self._screen.message(message)


async def run_demo(path: Path | None, *, speed: float, hours: float, seed: int, as_json: bool) -> bool:
    """Play the demo; True when nothing was lost, missed or made up. Raises ConfigError for a wrong site file."""
    site = open_site(path or sample_site())
    site = site.model_copy(update={"store": StoreSettings()})  # a rehearsal leaves nothing in anybody's database
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
            booking = asyncio.create_task(_book(program.watch("books"), books, screen), name="books")
            stack.push_async_callback(_ended, booking)  # after the program, whose end ends the readings
            await stack.enter_async_context(program)
            with screen:
                await first_of(clock.sleep_until(end), program.failed.wait())
            clock.hold()  # the day is over: nothing may come due while the program ends
            due = [one for one in simulation.truth.expected if one.sure and one.is_due(clock.now())]
            await program.rules.settle()
        raised = list(program.rules.alerts.values())
        outcome = await asyncio.to_thread(balance, site, data, books, raised, due, simulation.truth.expected)
    if as_json:
        for alert in outcome.false_alarms:
            log.warning("no fault explains this alert: %s", json.dumps(alert.to_json(), ensure_ascii=False))
        for expected in outcome.missed:
            log.warning("this fault raised no alert: %s", expected)
        terminal.emit_json(outcome.to_json())
    else:
        for table in closing_tables(outcome):
            terminal.out.print(table)
    return outcome.sound


async def _book(batches: Subscription, books: Books, screen: Screen) -> None:
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
