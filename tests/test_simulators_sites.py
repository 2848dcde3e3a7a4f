"""Any devices.yaml: window contacts, units behind one outdoor unit, gas, and radio meters are played and read back."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from building.clock import FastClock, SystemClock
from building.document import parse_document
from building.readings import Grade, Reading
from building.site import Site, build_site, load_site
from collector.asking import read_once
from collector.service import Collector
from collector.stream import Stream
from greenwarden.scoring import score
from rules.readings_file import Series
from rules.replay import replay
from simulators.building import OfficeBuilding
from simulators.faults import Fault, Kind
from simulators.sampling import sample
from simulators.service import Simulation
from tests.parts import eventually
from tests.simulators_parts import HOUR, MINUTE, at

EVENING = at("2026-07-01 18:30")

METER = "kind: electricity, profile: eastron_sdm630, link: tcp, every: 30s"
UNIT = "kind: aircon, profile: coolmasternet, link: tcp, unit: 3, every: 30s, parent: outdoor"
RADIO = "kind: electricity, profile: wmbusmeters, link: broker, topic: sub, every: 30s"
FLOOR = f"""
site: {{timezone: Asia/Shanghai}}
zones:
  - {{id: a, headcount: 3, area: 30}}
  - {{id: b, headcount: 3, area: 30}}
  - {{id: c, headcount: 2, area: 20}}
  - {{id: kitchen, use: other}}
links:
  - {{id: tcp, modbus: "tcp://127.0.0.1:502"}}
  - {{id: gas, cjt188: "tcp://127.0.0.1:503"}}
  - {{id: broker, mqtt: "mqtt://127.0.0.1:1883"}}
devices:
  - {{id: main, circuit: main, unit: 1, {METER}}}
  - {{id: outdoor, parent: main, circuit: aircon, unit: 2, {METER}}}
  - {{id: ac-a, channel: 0, zone: a, {UNIT}}}
  - {{id: ac-b, channel: 1, zone: b, {UNIT}}}
  - {{id: ac-c, channel: 2, zone: c, {UNIT}}}
  - {{id: presence-a, kind: sensor, profile: zigbee2mqtt_sensor, link: broker, topic: presence-a, every: 30s, zone: a}}
  - {{id: window-a, kind: sensor, profile: zigbee2mqtt_sensor, link: broker, topic: window-a, every: 30s, zone: a}}
  - {{id: window-b, kind: sensor, profile: esphome, link: broker, topic: window-b, every: 30s, zone: b}}
  - {{id: stove, kind: gas, profile: cjt188_gas, link: gas, address: "00000000001234", every: 30s, zone: kitchen}}
  - {{id: sub, zone: b, parent: main, circuit: sockets, rated_power: 400, {RADIO}}}
"""


def floor() -> Site:
    return build_site(parse_document(FLOOR.encode(), "devices.yaml"))


def left_cooling(kind: Kind) -> Fault:
    return Fault(kind, "a", EVENING, EVENING + 2 * HOUR)


async def test_the_collector_reads_exactly_the_devices_of_the_file() -> None:
    site, stream = floor(), Stream()
    start = at("2026-07-01 11:00")
    clock = FastClock(start, 60)
    heard: dict[str, list[Reading]] = defaultdict(list)
    taken = stream.subscribe("test")

    async def keep() -> None:
        async for batch in taken:
            for reading in batch:
                heard[reading.device].append(reading)

    fault = Fault(Kind.WINDOW_OPEN, "a", start + 3 * MINUTE, start + HOUR)
    async with Simulation(site, clock, seed=1, faults=[fault]) as served:
        building = served.building
        async with Collector(site, clock, stream, endpoints=served.endpoints, credentials=served.credentials):
            keeping = asyncio.create_task(keep())
            await eventually(lambda: {d.id for d in site.devices} <= heard.keys(), "every device")
            await clock.sleep_until(start + 6 * MINUTE)
            await eventually(lambda: len(heard["stove"]) > 3 and len(heard["sub"]) > 3, "gas and radio")
        stream.close()
        await keeping
        since = start + 4 * MINUTE
        said = {
            window: {r.values["contact"] for r in heard[window] if "contact" in r.values and r.taken_at > since}
            for window in ("window-a", "window-b")
        }
        assert said == {"window-a": {0}, "window-b": {1}}  # open, closed
        power = [float(r.values["active_power"]) for r in heard["sub"] if "active_power" in r.values]
        assert power[-1] == pytest.approx(400, rel=0.01)
        gas = [float(r.values["volume"]) for r in heard["stove"] if r.quality.of("volume") is Grade.GOOD]
        burnt = building.volumes_on(site.device["stove"], building.day, np.array([building.now]))[0]
        assert gas[-1] == pytest.approx(burnt, abs=0.02)
        assert gas[-1] > gas[0]
        assert all("setpoint" in heard[unit][-1].values for unit in ("ac-a", "ac-b", "ac-c"))


def test_indoor_units_share_the_power_of_their_outdoor_unit() -> None:
    building = OfficeBuilding(floor(), 1, start=at("2026-07-01 00:00"))
    day = building.day
    units = sum(day.power[unit].sample(day.grid) for unit in ("ac-a", "ac-b", "ac-c"))
    outdoor = day.power["outdoor"].sample(day.grid)
    assert np.allclose(outdoor, units * 1.015)
    sub = day.power["sub"].sample(day.grid)
    assert np.allclose(day.power["main"].sample(day.grid), (outdoor + sub) * 1.015)
    apart = floor()
    apart = apart.model_copy(
        update={
            "devices": tuple(d.model_copy(update={"parent": None}) if d.kind == "aircon" else d for d in apart.devices)
        }
    )
    alone = OfficeBuilding(apart, 1, start=at("2026-07-01 00:00")).day
    drawn = sum(alone.power[unit].whole for unit in ("ac-a", "ac-b", "ac-c"))
    assert 0.7 * drawn < sum(day.power[unit].whole for unit in ("ac-a", "ac-b", "ac-c")) < 0.97 * drawn
    for zone in "abc":  # the same heat is moved
        assert np.allclose(day.temperature[zone], alone.temperature[zone])


def test_an_open_window_lets_the_heat_in_and_costs_more_and_is_told() -> None:
    used, rooms, told = {}, {}, {}
    for kind in (Kind.AIRCON_IN_EMPTY_ROOM, Kind.WINDOW_OPEN):
        site = floor()
        building = OfficeBuilding(site, 1, [left_cooling(kind)], start=at("2026-07-01 12:00"))
        day, end = building.day, at("2026-07-02 00:00")
        used[kind] = day.power["ac-a"].between(EVENING, EVENING + 2 * HOUR) / 3.6e9
        rooms[kind] = float(day.minutes(day.temperature["a"], np.array([EVENING + 2 * HOUR]))[0])
        sampled = sample(building, end)
        times, contact = sampled.columns["window-a", "contact"]
        during = (times >= EVENING) & (times < EVENING + 2 * HOUR)
        assert set(contact[during]) == {0.0 if kind is Kind.WINDOW_OPEN else 1.0}
        assert set(contact[~during]) == {1.0}
        alerts = replay(site, {key: Series(*series) for key, series in sampled.columns.items()}).alerts
        told[kind] = score(site, alerts, building.truth, end)["aircon_unoccupied"]
    assert used[Kind.WINDOW_OPEN] > 1.3 * used[Kind.AIRCON_IN_EMPTY_ROOM]
    assert rooms[Kind.WINDOW_OPEN] > rooms[Kind.AIRCON_IN_EMPTY_ROOM]
    assert all((one.faults, one.found, one.false) == (1, 1, 0) for one in told.values())


async def test_what_is_shown_of_a_device_once_asked_is_its_own_and_nothing_twice(tmp_path: Path) -> None:
    path = tmp_path / "devices.yaml"
    path.write_text(
        """
version: 1
site: {name: hall}
links: [{id: broker, mqtt: "mqtt://10.1.0.5:1883", username: collector, password: "${GREENWARDEN_NO_SUCH_PASSWORD}"}]
devices:
  - {id: printer, kind: plug, profile: tasmota_plug, link: broker, topic: printer, every: 2s}
  - {id: copier, kind: plug, profile: tasmota_plug, link: broker, topic: copier, every: 2s}
""",
        encoding="utf-8",
    )
    site = load_site(path)
    async with Simulation(site, SystemClock(), seed=1) as served:
        ends, logins = served.endpoints, served.credentials
        running = Collector(site, SystemClock(), Stream(), endpoints=ends, credentials=logins)
        async with running:  # the program goes on beside it
            await eventually(
                lambda: all(one.last_reading_at for one in running.health().devices.values()), "both plugs were heard"
            )
            answer = await read_once(site, "printer", SystemClock(), endpoints=ends, credentials=logins)
    told = [(message.topic, message.payload) for message in answer.messages]
    assert {topic.split("/")[1] for topic, _ in told} == {"printer"}
    assert len(told) == len(set(told))
