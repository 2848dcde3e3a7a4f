"""The database is down for a whole day of the building: whatever was due is in it in the end, once and unaltered."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from building.clock import FastClock
from building.document import read_document
from building.readings import Grade, Reading
from building.site import Site, build_site
from collector.stream import Subscription
from greenwarden.door import sample_site
from greenwarden.program import Program
from simulators.service import Simulation
from tests.parts import Influxd

SPEED = 1_440  # a day of the building in a minute, on a computer that keeps up
HOUR = 3_600_000
WITHIN_S = 300.0  # real seconds for the backlog of the day, live readings going on beside it, on a busy computer too
TAGS = frozenset(("measurement", "time", "site", "zone", "floor", "department", "device", "circuit", "quality"))

Key = tuple[str, int]


def slow_site(url: str) -> Site:
    """The sample site on this database, every device asked each five minutes: more the clock's speed does not allow."""
    document = read_document(sample_site())
    document.content["store"] = {"influxdb": {"url": url, "database": "energy"}}
    for device in document.content["devices"]:
        device["every"] = "5m"
    return build_site(document)


async def book(batches: Subscription, books: dict[Key, dict[str, float | str]], counts: list[int]) -> None:
    """Every reading that was published, as the fields it must have in the database."""
    async for batch in batches:
        for reading in batch:
            books.setdefault((reading.device, reading.taken_at), {}).update(fields_due(reading))
        counts[0] += len(batch)
        batches.acknowledge()


def fields_due(reading: Reading) -> Mapping[str, float | str]:
    return {
        name: value
        for name, value in reading.values.items()
        if reading.quality.of(name) is not Grade.BAD and (isinstance(value, str) or math.isfinite(value))
    }


def fields_found(row: Mapping[str, Any]) -> dict[str, float | str]:
    return {name: value for name, value in row.items() if name not in TAGS and value is not None}


@pytest.mark.apart
async def test_a_database_that_is_down_for_a_day_of_the_building_has_every_reading_once_in_the_end(
    tmp_path: Path, influxd: Influxd, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Attempts come up to a real minute apart; here that is a day.
    monkeypatch.setattr("collector.storing.service._LONGEST_DELAY", 5.0)
    site = slow_site(influxd.url)
    start = int(datetime(2026, 7, 1, 7, 0, tzinfo=site.site.tz).timestamp() * 1000)
    clock = FastClock(start, SPEED)
    books: dict[Key, dict[str, float | str]] = {}
    counts = [0]
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(Simulation(site, clock, seed=1))
        program = Program(site, clock, tmp_path, {}, endpoints=served.endpoints, credentials=served.credentials)
        watched = program.stream.subscribe("books", lossless=True)
        booking = asyncio.create_task(book(watched, books, counts))
        await stack.enter_async_context(program)
        await clock.sleep_until(start + HOUR)
        await asyncio.to_thread(influxd.kill)
        down = clock.now()
        await clock.sleep_until(down + 24 * HOUR)
        status = program.storing.status()
        assert status.away
        assert status.hours >= 23.5
        backlog = status.queued
        await asyncio.to_thread(influxd.start)
        back = clock.now()
        await clock.sleep_until(back + HOUR // 2)
        due, published = dict(books), counts[0]
        async with asyncio.timeout(WITHIN_S):
            await program.storing.settled()
        status = program.storing.status()
    watched.close()
    await booking
    assert (status.refused, status.dropped, status.folded, status.lost) == (0, 0, 0, 0)
    kinds = ", ".join(f'"{kind}"' for kind in sorted({device.kind for device in site.devices}))
    rows = await asyncio.to_thread(influxd.query, f"SELECT * FROM {kinds}")
    found = {(row["device"], row["time"]): fields_found(row) for row in rows}
    lost = due.keys() - found.keys()
    made_up = found.keys() - books.keys()
    altered = [key for key, fields in due.items() if key in found and found[key] != fields]
    print(
        f"\ndown for {(back - down) / HOUR:.1f} h of the building with {backlog:,} readings waiting; {published:,} "
        f"published, {len(due):,} due: {len(lost)} lost, {len(rows) - len(found)} twice, {len(made_up)} made up, "
        f"{len(altered)} altered"
    )
    assert backlog > 5_000
    assert (len(lost), len(rows) - len(found), len(made_up), len(altered)) == (0, 0, 0, 0)
