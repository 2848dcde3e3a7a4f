"""Columns of doors, of devices that say they are offline, and of sensors that speak on change: as one by one."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from building.document import parse_document
from building.site import Site, build_site
from rules.alerts import Alert
from rules.catalogue import check_rules
from rules.columns import find
from rules.engine import Finding, RuleEngine
from rules.readings_file import Columns, Series, between, readings_of
from rules.replay import replay

START = 1_782_756_000_000  # 2026-06-30 02:00 in Shanghai, a Tuesday
MINUTE = 60_000
HOUR = 60 * MINUTE
SITE = """
version: 1
site: {name: hall, timezone: Asia/Shanghai, language: en}
zones: [{id: "1"}, {id: "2"}]
devices:
  - {id: ac, kind: aircon, zone: "1", every: 5m}
  - {id: door, kind: sensor, zone: "1", every: 5m, quantities: [contact], reports: on_change, max_age: 24h}
  - {id: lamp, kind: light, zone: "2", every: 5m}
  - {id: lux, kind: sensor, zone: "2", every: 5m, reports: on_change, max_age: 1h, quantities: [illuminance, people]}
  - {id: meter, kind: electricity, circuit: lighting, zone: "2", every: 5m}
  - {id: plug, kind: plug, zone: "1", every: 5m}
"""


def site(rules: str = "") -> Site:
    return build_site(parse_document((SITE + rules).encode(), "devices.yaml"), [check_rules])


PLACES = [
    site(),
    site(
        "rules: {lights_left_on: {after: 10m}, standby_load: {after: 10m}, aircon_unoccupied: {after: 10m}, "
        "equipment_left_on: {after: 10m}, lights_in_daylight: {after: 10m}}\n"
    ),
]
SAID = {
    ("ac", "active_power"): (5.0, 900.0),
    ("ac", "online"): (1.0, 1.0, 1.0, 0.0),
    ("ac", "running"): (0.0, 1.0),
    ("door", "contact"): (0.0, 1.0),
    ("lamp", "on"): (0.0, 1.0),
    ("lamp", "online"): (1.0, 1.0, 1.0, 0.0),
    ("lux", "illuminance"): (100.0, 450.0, 900.0),
    ("lux", "people"): (0.0, 0.0, 2.0),
    ("meter", "active_power"): (0.0, 60.0),
    ("meter", "online"): (1.0, 1.0, 1.0, 0.0),
    ("plug", "active_power"): (0.4, 3.0, 20.0, 90.0),
}


def stream(seed: int) -> Columns:
    """Two days; what holds its value is left out of most readings where its device speaks on change."""
    draw = np.random.default_rng(seed)
    columns = {}
    restless = draw.choice([0.005, 0.03])
    for device, quantity in SAID:
        times = START + 5 * MINUTE * np.arange(2 * 288)
        changes = draw.random(len(times)) < restless
        drawn = draw.choice(SAID[device, quantity], len(times))
        values = drawn[np.maximum.accumulate(np.where(changes, np.arange(len(times)), 0))]
        if quantity == "online":  # said at once with the values, and soon over
            values = (draw.random(len(times)) > 0.004).astype(np.float64)
        if device in ("door", "lux"):
            told = np.concatenate(([True], values[1:] != values[:-1])) | (draw.random(len(times)) < 0.05)
            times, values = times[told], values[told]
        columns[device, quantity] = Series(times, values)
    for device in ("lamp", "meter"):
        steps = np.round(np.cumsum(draw.random(2 * 288) * 0.02), 3)
        columns[device, "energy_import"] = Series(START + 5 * MINUTE * np.arange(2 * 288), steps)
    return dict(sorted(columns.items()))


def found_in(place: Site, columns: Columns, edges: list[int]) -> list[Finding]:
    """What is found when the columns come in stretches, parted at ``edges``."""
    memory = RuleEngine(place).new_memory()
    return [
        finding
        for start, end in pairwise([None, *sorted(set(edges)), None])
        for found in find(memory, between(columns, start, end))
        for finding in found
    ]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(PLACES), st.lists(st.integers(0, 2 * 288), max_size=3))
def test_columns_of_doors_and_offline_devices_give_the_alerts_of_single_readings(
    seed: int, place: Site, cuts: list[int]
) -> None:
    columns = stream(seed)
    assert replay(place, columns).alerts == replay(place, readings_of(columns)).alerts
    whole, parted = found_in(place, columns, []), found_in(place, columns, [START + 5 * MINUTE * cut for cut in cuts])
    assert sorted(map(repr, parted)) == sorted(map(repr, whole))


def series(minutes: list[int], values: list[float]) -> Series:
    return Series(START + MINUTE * np.array(minutes, np.int64), np.array(values, np.float64))


def both_ways(columns: Columns, rule: str, place: Site = PLACES[0]) -> tuple[list[Alert], list[Alert]]:
    """Alerts of ``rule`` from columns, and from single readings."""
    columns = dict(sorted(columns.items()))
    found = replay(place, columns).alerts, replay(place, readings_of(columns)).alerts
    return [alert for alert in found[0] if alert.rule == rule], [alert for alert in found[1] if alert.rule == rule]


def test_what_was_used_before_a_device_says_that_it_is_offline_counts_in_columns_as_well() -> None:
    minutes = list(range(0, 180, 5))
    power = [900.0] * len(minutes)
    online = [0.0 if minute == 120 else 1.0 for minute in minutes]
    columns = {("ac", "active_power"): series(minutes, power), ("ac", "online"): series(minutes, online)}
    from_columns, single = both_ways(columns, "aircon_unoccupied")
    assert [alert.waste["kwh"] for alert in single] == [pytest.approx(0.9 * 175 / 60, rel=0.06)]
    assert from_columns == single


def test_a_device_that_says_it_is_offline_and_nothing_more_is_unknown_at_the_end_of_columns_as_well() -> None:
    minutes = list(range(0, 365, 5))
    columns = {
        ("plug", "active_power"): series(minutes[:49], [0.4] * 48 + [20.0]),  # standby begins at 6, out of hours
        ("plug", "online"): series(minutes[:49], [1.0] * 48 + [0.0]),  # and so does the unknown
        ("lamp", "on"): series(minutes, [0.0] * len(minutes)),
    }
    from_columns, single = both_ways(columns, "standby_load", PLACES[1])
    assert single == []
    assert from_columns == single


def test_somebody_who_came_through_a_door_was_there_in_columns_as_well() -> None:
    minutes = list(range(0, 1200, 5))
    columns = {
        ("door", "contact"): series([0, 1010, 1012], [0.0, 1.0, 0.0]),
        ("ac", "running"): series(minutes, [1.0 if minute >= 1000 else 0.0 for minute in minutes]),
    }
    from_columns, single = both_ways(columns, "aircon_unoccupied")
    assert [alert.since for alert in single] == [START + 1012 * MINUTE]
    assert [alert.evidence["presence"]["last_sign"] for alert in single] == ["2026-06-30T18:52:00+08:00"]
    assert from_columns == single


def test_light_that_was_told_long_ago_teaches_nothing_of_a_lamp_in_columns_as_well() -> None:
    minutes = list(range(0, 1200, 5))
    columns = {
        ("lamp", "on"): series(minutes, [0.0 if 600 <= minute < 640 else 1.0 for minute in minutes]),
        ("lux", "people"): series(minutes, [1.0] * len(minutes)),
        ("lux", "illuminance"): series([0, 300, 900], [600.0, 600.0, 600.0]),
    }
    from_columns, single = both_ways(columns, "lights_in_daylight")
    assert single == []  # what the lamp gives is not known, so 600 lx may well be its own
    assert from_columns == single
