"""The rules of a running site, with nothing around them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from building.clock import FastClock
from building.readings import Reading
from building.site import Device
from rules.service import LiveRules
from tests.simulators_parts import at, sample_site

EVENING = at("2026-07-01 20:00")
MINUTE = 60_000


class Forgetful:
    """A keeper of nothing, and a teller of nobody."""

    def save(self, name: str, blob: bytes) -> None: ...

    def load(self, name: str) -> bytes | None:
        return None

    def keep(
        self, blobs: Mapping[str, bytes | None], records: Iterable[tuple[str, int, str, Mapping[str, object]]] = ()
    ) -> None: ...

    async def tell(self, alerts: Iterable[Mapping[str, Any]]) -> None: ...


class LampAlone:
    """A lamp that says every half minute that it is on, in a room where nobody is."""

    def __init__(self, clock: FastClock, end: int) -> None:
        self._clock, self._end = clock, end
        self.waiting = 0

    async def __aiter__(self) -> AsyncIterator[list[Reading]]:
        now = EVENING
        while now < self._end:
            await self._clock.sleep_until(now)
            yield [
                Reading("light-301", now, {"active_power": 300.0, "energy_import": 10 + (now - EVENING) / 12e6}),
                Reading("presence-301", now, {"occupancy": 0.0}),
            ]
            now += MINUTE // 2

    def acknowledge(self) -> None: ...


async def test_what_an_open_alert_costs_goes_on_growing_in_the_store_under_the_instant_of_its_change() -> None:
    clock, stored = FastClock(EVENING, 1200), list[Mapping[str, Any]]()

    async def store(alerts: Sequence[Mapping[str, Any]]) -> None:
        stored.extend(alerts)

    rules = LiveRules(sample_site(), clock, Forgetful(), Forgetful(), store_alerts=store)
    await asyncio.wait_for(rules.run(LampAlone(clock, EVENING + 70 * MINUTE)), 120)

    lamp = [alert for alert in stored if alert["rule"] == "lights_left_on"]
    assert len(lamp) >= 3
    assert {alert["state"] for alert in lamp} == {"firing"}
    assert {alert["changed"] for alert in lamp} == {lamp[0]["raised"]}  # one point, written anew
    costs = [alert["waste"]["kwh"] for alert in lamp]
    assert costs == sorted(set(costs))


async def test_a_meter_that_people_read_off_is_not_silent_and_one_on_a_link_is() -> None:
    clock, told = FastClock(EVENING, 1200), list[Mapping[str, Any]]()

    async def store(alerts: Sequence[Mapping[str, Any]]) -> None:
        told.extend(alerts)

    site = sample_site()
    gas = Device(id="gas", kind="gas")
    site = site.model_copy(update={"devices": [*site.devices, gas]})
    rules = LiveRules(site, clock, Forgetful(), Forgetful(), store_alerts=store)
    await asyncio.wait_for(rules.run(LampAlone(clock, EVENING + 20 * MINUTE)), 120)
    silent = {alert["device"] for alert in told if alert["rule"] == "meter_silent"}
    assert "main" in silent
    assert "gas" not in silent
