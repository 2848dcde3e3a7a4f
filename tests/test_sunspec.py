"""SunSpec meters: their list is walked on a real server, wherever it begins and whatever stands before the meter."""

from __future__ import annotations

import asyncio

import pytest

from building.clock import SystemClock
from building.endpoints import parse_endpoint
from building.errors import BadFrame
from building.readings import Reading
from collector.links.opening import modbus_link
from collector.service import Collector
from collector.stream import Stream
from collector.sunspec import Model, find_models
from tests.wire_parts import Image, MeterServer, meters

SUNS = (0x5375, 0x6E53)


def image(base: int, *models: tuple[int, list[int]], end: bool = True) -> Image:
    """The mark at ``base``, then each model: id, length, its registers."""
    words = [*SUNS]
    for ident, registers in models:
        words += [ident, len(registers), *registers]
    words += [0xFFFF, 0] if end else []
    return {(3, base + at): word for at, word in enumerate(words)}


def model_203() -> list[int]:
    """sunspec/models model_203.json: 12.34 A x 10^-2, 230.5 V, 49.98 Hz, -2850 W, 12345.67 and 76543.21 kWh."""
    words = dict.fromkeys(range(2, 107), 0x8000)
    words |= {2: 1234, 6: 0xFFFE, 8: 2305, 15: 0xFFFF, 16: 4998, 17: 0xFFFE, 18: 0xFEE3, 22: 1}
    words |= {38: 0x0012, 39: 0xD687, 46: 0x0074, 47: 0xCBB1, 54: 1}
    return [words[at] for at in range(2, 107)]


async def walked(held: Image) -> list[Model]:
    async with MeterServer({1: held}) as server:
        link = modbus_link(parse_endpoint("modbus", server.url), timeout=10.0)
        try:
            return await find_models(link, 1)
        finally:
            await link.close()


@pytest.mark.parametrize("base", [40_000, 50_000, 0])
async def test_the_list_is_found_at_each_of_its_places(base: int) -> None:
    found = await walked(image(base, (1, [0] * 65), (203, model_203())))
    assert found == [Model(1, base + 2, 65), Model(203, base + 69, 105)]


async def test_a_meter_that_is_none_of_sunspec_has_no_models() -> None:
    assert await walked({(3, at): 0 for at in range(100)}) == []


async def test_a_list_that_runs_off_the_end_is_a_bad_frame() -> None:
    with pytest.raises(BadFrame, match="no end"):
        await walked({(3, at): 0xFFFE if at % 2 else 0x0001 for at in range(40_002, 65_536)} | image(40_000, end=False))


@pytest.mark.parametrize("common", [65, 66])
async def test_the_collector_reads_a_meter_wherever_its_model_stands(common: int) -> None:
    held = image(40_000, (1, [0] * common), (203, model_203()))
    async with MeterServer({7: held}) as server:
        site = meters({"id": "m", "unit": 7, "profile": "sunspec_meter"})
        stream = Stream()
        subscription = stream.subscribe("test")
        async with Collector(site, SystemClock(), stream, endpoints={"line": server.url}), asyncio.timeout(30):
            batch: list[Reading] = await anext(aiter(subscription))
    values = batch[0].values
    assert values["current"] == 12.34
    assert values["voltage_l1"] == 230.5
    assert values["frequency"] == 49.98
    assert values["active_power"] == -2850
    assert values["energy_export"] == pytest.approx(12345.67)
    assert values["energy_import"] == pytest.approx(76543.21)
    assert "voltage_l2" not in values
