"""A site with one device of each kind, and random streams of readings over it."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import strategies as st

from building.document import parse_document
from building.readings import Reading
from building.site import Site, build_site
from rules.catalogue import CATALOGUE, check_rules

START = 1_782_896_400_000  # 2026-07-01 17:00 in Shanghai, a Wednesday; work ends at 17:30
MINUTE = 60_000

SITE = """
version: 1
site: {name: hall, language: en, tariffs: {electricity: 0.8, water: 4.0}, factors: {grid_co2: 0.5}}
departments: [{id: finance, quota: {electricity: 1, water: 1}}]
zones: [{id: "301", name: Room 301, department: finance}, {id: "302"}, {id: "303"}]
devices:
  - {id: lamp, kind: light, zone: "301", every: 1m}
  - {id: main, kind: electricity, circuit: main, every: 1m}
  - {id: meter, kind: electricity, circuit: lighting, zone: "303", every: 1m, parent: main}
  - {id: pir, kind: sensor, zone: "301", every: 1m, quantities: [occupancy]}
  - {id: door, kind: sensor, zone: "302", reports: on_change, max_age: 1h}
  - {id: plug, kind: plug, zone: "301", every: 1m}
  - {id: ac, kind: aircon, zone: "302", every: 1m}
  - {id: ac-meter, kind: electricity, circuit: aircon, zone: "302", every: 30s}
  - {id: water, kind: water, zone: "302", every: 1m}
  - {id: pulses, kind: water, every: 1m, litres_per_pulse: 10}
"""


def site(extra: str = "") -> Site:
    """Where the rules are not the matter, devices that a test leaves silent are not told."""
    if "rules:" not in extra:
        extra += "rules: {meter_silent: {enabled: false}, equipment_left_on: {enabled: false}}\n"
    return build_site(parse_document((SITE + extra).encode(), "devices.yaml"), [check_rules])


def patient_site() -> Site:
    """Devices that go stale after an hour and rules that wait a few minutes, so that random streams raise much."""
    rules = "".join(f"  {rule.name}: {{after: 4m}}\n" for rule in CATALOGUE.values() if rule.parameter("after"))
    text = SITE.replace("every: 1m", "every: 20m").replace("every: 30s", "every: 15m") + "rules:\n" + rules
    return build_site(parse_document(text.encode(), "devices.yaml"), [check_rules])


_NAN = float("nan")
_POWER = st.sampled_from([0.0, 3.0, 30.0, 60.0, 61.5, 900.0, _NAN, 1e12])
_STATE = st.sampled_from([0.0, 1.0, 1.0, _NAN, 7.0])
_TELLS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "main": {"active_power": _POWER, "energy_import": st.sampled_from([5.0, 8.0, 900.0])},
    "lamp": {"on": _STATE, "active_power": _POWER},
    "meter": {"active_power": _POWER, "energy_import": st.sampled_from([5.0, 5.5, 6.0, 7.0, 0.0])},
    "pir": {
        "occupancy": st.sampled_from([0.0, 0.0, 0.0, 1.0, _NAN]),
        "illuminance": st.sampled_from([100.0, 600.0, 2000.0]),
    },
    "door": {
        "contact": st.sampled_from([0.0, 1.0]),
        "people": st.sampled_from([0.0, 0.0, 2.0]),
        "online": st.sampled_from([0.0, 1.0, 1.0]),
    },
    "plug": {"active_power": _POWER},
    "ac": {
        "running": st.sampled_from([0.0, 1.0, 1.0]),
        "mode": st.sampled_from(["cool", "cool", "auto", "heat", "fan"]),
        "setpoint": st.sampled_from([24.0, 24.5, 26.0, 22.0]),
        "temperature": st.sampled_from([20.0, 25.0, 28.0]),
    },
    "ac-meter": {"active_power": _POWER, "energy_import": st.sampled_from([1.0, 1.2, 2.0, 9.0])},
    "water": {"flow": st.sampled_from([0.0, 3.0, 6.0])},
    "pulses": {"volume": st.sampled_from([1.0, 1.01, 1.02, 1.03, 1.04, 0.5])},
}


@st.composite
def streams(draw: st.DrawFn, most: int = 120) -> list[Reading]:
    """Readings by time and device, each device at most once an instant; values persist so that rules can fire."""
    readings = {}
    at = START
    said: dict[tuple[str, str], Any] = {}
    for _ in range(draw(st.integers(5, most))):
        at += draw(
            st.sampled_from([0, 0, 1, 20_000, MINUTE, MINUTE, 2 * MINUTE, 5 * MINUTE, 20 * MINUTE, 10 * 60 * MINUTE])
        )
        device = draw(st.sampled_from(sorted(_TELLS)))
        values = {}
        for quantity, values_of in _TELLS[device].items():
            key = (device, quantity)
            if key not in said or draw(st.integers(0, 3)) == 0:
                said[key] = draw(values_of)
            if draw(st.integers(0, 5)):
                values[quantity] = said[key]
        if values:
            readings[(at, device)] = Reading(device, at, values)
    return [readings[key] for key in sorted(readings)]


_CALM: dict[str, dict[str, tuple[float | str, ...]]] = {
    "main": {"active_power": (200.0, 900.0)},
    "meter": {"active_power": (0.0, 60.0, 61.5)},
    "lamp": {"on": (0.0, 1.0), "active_power": (0.0, 60.0)},
    "pir": {"occupancy": (0.0, 0.0, 1.0), "illuminance": (100.0, 2000.0)},
    "door": {"contact": (0.0, 1.0), "people": (0.0, 2.0), "online": (1.0, 1.0, 1.0, 0.0)},
    "plug": {"active_power": (3.0, 30.0, 900.0)},
    "ac": {
        "running": (0.0, 1.0),
        "mode": ("cool", "auto", "heat"),
        "setpoint": (24.0, 26.0),
        "temperature": (20.0, 28.0),
    },
    "water": {"flow": (0.0, 3.0)},
}
_COUNTED = {"main": ("energy_import", 0.3), "meter": ("energy_import", 0.3), "pulses": ("volume", 0.01)}


def calm_stream(draw: random.Random, count: int = 600) -> list[Reading]:
    """Devices that say the same quantities every time, their values wandering a little and changing seldom; some are
    silent for a while, some leave a quantity out for once."""
    due = {device: START + draw.randrange(5 * MINUTE) for device in (*_CALM, "pulses")}
    said: dict[tuple[str, str], Any] = {}
    readings: list[Reading] = []
    while len(readings) < count:
        device = min(due, key=lambda name: (due[name], name))
        at = due[device]
        due[device] += draw.choice([MINUTE, MINUTE, MINUTE, 61_000, 5 * MINUTE])
        if draw.random() < 0.01:
            due[device] += draw.choice([30 * MINUTE, 90 * MINUTE, 600 * MINUTE])
        values: dict[str, float | str] = {}
        for quantity, choice in _CALM.get(device, {}).items():
            key = (device, quantity)
            if key not in said or draw.random() < 0.04:
                said[key] = draw.choice(choice)
            wanders = quantity in ("active_power", "illuminance", "flow") and said[key] > 1
            values[quantity] = said[key] + round(draw.random(), 3) * 0.5 if wanders else said[key]
        if device in _COUNTED:
            quantity, step = _COUNTED[device]
            said[device, quantity] = round(said.get((device, quantity), 5.0) + draw.choice([0, 0, 1, 5]) * step, 3)
            values[quantity] = said[device, quantity]
        if len(values) > 1 and draw.random() < 0.01:
            del values[draw.choice(list(values))]
        readings.append(Reading(device, at, values))
    return readings


def steady(device: str, values: dict[str, float | str], first: int, last: int, every: int = MINUTE) -> list[Reading]:
    """The same values from minute ``first`` to minute ``last``."""
    return [Reading(device, at, values) for at in range(START + first * MINUTE, START + last * MINUTE + 1, every)]


def in_order(*series: list[Reading]) -> list[Reading]:
    return sorted((reading for part in series for reading in part), key=lambda r: (r.taken_at, r.device))
