"""Every page against the simulated building, whose register maps were written apart from the pages, on real sockets."""

from __future__ import annotations

from typing import Any

import pytest

from building.clock import FastClock
from building.site import Site
from collector.asking import read_once
from collector.profiles import load_profile, profile_names
from collector.suspecting import suspicion
from simulators.service import Simulation
from tests.site_parts import local

PAGES = {name: load_profile(name) for name in profile_names()}
ASKED = [name for name, page in PAGES.items() if page.protocol != "mqtt" and page.kinds != ("gas",)]
LINKS = {
    "modbus": {"id": "l", "modbus": "tcp://127.0.0.1:502"},
    "dlt645": {"id": "l", "dlt645": "tcp://127.0.0.1:8001"},
    "cjt188": {"id": "l", "cjt188": "tcp://127.0.0.1:8001"},
}
ORDINARY = {
    "voltage": (220, 245), "frequency": (49.5, 50.5), "temperature": (5, 35), "setpoint": (16, 30),
    "humidity": (20, 80), "co2": (380, 1500), "active_power": (-1, 100), "current": (-0.1, 1),
}  # fmt: skip
"""At midnight in an empty building with one device."""

MIDNIGHT = local("2026-07-02 00:00")


async def said(name: str) -> tuple[dict[str, Any], dict[str, str]]:
    page = PAGES[name]
    device: dict[str, Any] = {"id": "d", "kind": (page.kinds or ("electricity",))[0], "profile": name, "link": "l"}
    device |= {"unit": 3} if page.protocol == "modbus" else {"address": "12345678"}
    device |= {"litres_per_pulse": 10.0} if device["kind"] == "water" else {}
    site = Site.model_validate(
        {"version": 1, "links": (LINKS[page.protocol],), "zones": ({"id": "z"},), "devices": ({**device, "zone": "z"},)}
    )
    clock = FastClock(MIDNIGHT, 1.0)
    async with Simulation(site, clock, seed=1) as served:
        answer = await read_once(site, "d", clock, endpoints=served.endpoints)
    return dict(answer.reading.values), {name: flaw.reason for name, flaw in answer.reading.quality.flaws.items()}


@pytest.mark.parametrize("name", ASKED)
async def test_a_page_reads_the_simulated_device_of_its_name(name: str) -> None:
    values, flaws = await said(name)
    assert set(flaws.values()) <= {"the device says that it has no value"}, flaws
    assert set(values) | set(flaws) == set(PAGES[name].quantities)
    assert suspicion(values) == ""
    for quantity, value in values.items():
        for kind, (low, high) in ORDINARY.items():
            if quantity.startswith(kind) and not isinstance(value, str):
                assert low <= value <= high, (quantity, value)


async def test_all_pages_of_meters_read_the_same_energy() -> None:
    wanted = (await said("eastron_sdm120"))[0]["energy_import"]
    for name in ASKED:
        if "energy_import" in PAGES[name].quantities:
            values, _ = await said(name)
            assert values["energy_import"] == pytest.approx(wanted, abs=1), name
