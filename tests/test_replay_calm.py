"""Days of regular readings, with few gaps and flaws: judged over stretches at once, the alerts of one by one."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from building.document import parse_document
from building.quantities import MODES
from building.site import Site, build_site
from rules import calm, spans
from rules.catalogue import CATALOGUE, check_rules
from rules.columns import find
from rules.engine import Finding, RuleEngine
from rules.readings_file import Columns, Series, between, readings_of
from rules.replay import replay

START = 1_782_756_000_000  # 2026-06-30 02:00 in Shanghai, a Tuesday
EVERY = 300_000
SITE = """
version: 1
site: {name: hall, timezone: Asia/Shanghai, language: en}
departments: [{id: finance, quota: {electricity: 10}}]
zones: [{id: "1", department: finance}, {id: "2"}, {id: "3"}]
overtime: [{zone: "3", start: "2026-07-02T18:00", end: "2026-07-02T20:00"}]
devices:
  - {id: ac, kind: aircon, zone: "1", every: 5m}
  - {id: ac2, kind: aircon, zone: "2", every: 5m}
  - {id: desk, kind: plug, zone: "3", every: 5m, appliance: computer}
  - {id: lamp, kind: light, zone: "1", every: 5m}
  - {id: lamps, kind: electricity, circuit: lighting, zone: "2", every: 5m, parent: main}
  - {id: main, kind: electricity, circuit: main, every: 5m}
  - {id: pir, kind: sensor, zone: "1", every: 5m, quantities: [occupancy, illuminance]}
  - {id: pir2, kind: sensor, zone: "2", every: 5m, quantities: [people, temperature], reports: on_change, max_age: 1h}
  - {id: climate, kind: sensor, zone: "2", every: 5m}
  - {id: plug, kind: plug, zone: "1", every: 5m}
  - {id: plug2, kind: plug, zone: "2", every: 5m}
  - {id: water, kind: water, zone: "2", every: 5m}
"""
HASTY = "".join(
    f"  {rule.name}: {{after: 10m}}\n" for rule in CATALOGUE.values() if rule.parameter("after")
) + "  own: {when: temperature < 25 or occupied, kind: sensor, after: 20m, clear: 10m, text: cold}\n"  # fmt: skip
HAND = {
    ("ac", "running"): (0.0, 1.0),
    ("ac", "active_power"): (5.0, 5.5, 900.0),
    ("ac", "setpoint"): (24.0, 25.2, 25.3, 26.0, 22.0),
    ("ac", "temperature"): (20.0, 24.2, 24.7, 25.1, 28.0),
    ("ac", "mode"): tuple(float(MODES.index(word)) for word in ("cool", "auto", "auto", "off", "heat", "fan")),
    ("ac2", "on"): (0.0, 1.0),
    ("ac2", "setpoint"): (24.0, 26.0),
    ("ac2", "temperature"): (20.0, 25.0, 28.0),
    ("climate", "humidity"): (40.0, 50.0, 50.5),
    ("desk", "active_power"): (0.0, 3.0, 90.0),
    ("lamp", "on"): (0.0, 1.0),
    ("lamps", "active_power"): (0.0, 0.4, 60.0, 61.0),
    ("main", "active_power"): (100.0, 200.0),
    ("pir", "occupancy"): (0.0, 0.0, 1.0),
    ("pir", "illuminance"): (100.0, 499.0, 501.0, 850.0, 2000.0),
    ("pir2", "people"): (0.0, 0.0, 2.0),
    ("pir2", "temperature"): (20.0, 26.0),
    ("plug", "active_power"): (0.0, 3.0, 3.4, 20.0, 90.0, 1600.0),
    ("plug2", "active_power"): (3.0, 70.0),
    ("water", "flow"): (0.0, 0.0, 3.0),
}
COUNTED = {("lamps", "energy_import"), ("main", "energy_import"), ("ac", "energy_import")}


def site(rules: str, zone: str = "Asia/Shanghai") -> Site:
    text = SITE.replace("Asia/Shanghai", zone) + "rules:\n" + rules
    return build_site(parse_document(text.encode(), "devices.yaml"), [check_rules])


SITES = [site(HASTY), site("  meter_silent: {periods: 2}\n")]
TURNS = [
    (SITES[0], 1_790_618_400_000),  # 2026-09-29 02:00 in Shanghai; the cooling season ends with the month
    (SITES[1], 1_794_592_800_000),  # 2026-11-14 02:00; the next day heating begins
    (site(HASTY, "Europe/Berlin"), 1_774_573_200_000),  # 2026-03-27 02:00 in Berlin; summer time begins on the 29th
    (site(HASTY, "Europe/Berlin"), 1_792_713_600_000),  # 2026-10-23 02:00; it ends on the 25th
]


def stream(seed: int, days: float, restless: float, flaws: int, start: int = START) -> Columns:
    """Each series holds its value for a while and then draws another; ``flaws`` gaps or bad values are put in."""
    draw = np.random.default_rng(seed)
    count = int(days * 86_400_000 / EVERY)
    columns: dict[tuple[str, str], Series] = {}
    delay = {device: int(draw.choice([0, 0, 0, 60_000])) for device in sorted({device for device, _ in HAND})}
    for key in sorted({*HAND, *COUNTED}):
        times = start + delay[key[0]] + EVERY * np.arange(count)
        if key in COUNTED:
            values = np.round(np.cumsum(draw.random(count) * 0.05), 2)
            if draw.random() < 0.2:
                values[count // 2 :] -= values[count // 2]
        else:
            changes = draw.random(count) < restless * draw.choice([0.1, 0.5, 1.0])
            drawn = draw.choice(HAND[key], count)
            values = drawn[np.maximum.accumulate(np.where(changes, np.arange(count), 0))]
            if key[1] == "active_power" and draw.random() < 0.7:
                values = values + np.round(draw.random(count), 2)
        columns[key] = Series(times, values)
    for _ in range(flaws):
        key = sorted(columns)[draw.integers(len(columns))]
        place, size = int(draw.integers(count)), int(draw.choice([1, 2, 3, 5, 60]))
        times, values = columns[key]
        if draw.random() < 0.5 or key == ("ac", "mode"):
            devices = [key] if draw.random() < 0.5 else [other for other in columns if other[0] == key[0]]
            for other in devices:
                left = np.delete(np.arange(len(columns[other].times)), slice(place, place + size))
                columns[other] = Series(columns[other].times[left], columns[other].values[left])
        else:
            values = values.copy()
            values[place : place + size] = draw.choice([np.nan, 1e12])
            columns[key] = Series(times, values)
    return {key: series for key, series in columns.items() if len(series.times)}


STREAMS = st.tuples(
    st.integers(0, 2**32 - 1), st.sampled_from([0.5, 1.5, 5.0]), st.sampled_from([0.01, 0.05, 0.2]),
    st.sampled_from([0, 0, 1, 3]),
)  # fmt: skip


@settings(max_examples=12, deadline=None)
@example((2383375585, 2.0, 0.05, 6), 0)  # a counter that fell unseen, behind a gap, and comes back within the day
@given(STREAMS, st.sampled_from([0, 1]))
def test_regular_columns_give_the_alerts_of_single_readings(given: tuple[int, float, float, int], which: int) -> None:
    columns = stream(*given)
    assert replay(SITES[which], columns).alerts == replay(SITES[which], readings_of(columns)).alerts


def without(columns: Columns, device: str, places: slice) -> Columns:
    """The same, but for the readings at ``places`` of each series of ``device``."""
    kept = dict(columns)
    for key, series in columns.items():
        if key[0] == device:
            left = np.delete(np.arange(len(series.times)), places)
            kept[key] = Series(series.times[left], series.values[left])
    return kept


GAPS = st.lists(
    st.tuples(
        st.sampled_from(["ac", "ac2", "desk", "lamp", "lamps", "pir", "pir2", "plug", "plug2"]), st.integers(0, 800),
        st.integers(1, 80),
    ),
    min_size=1, max_size=4,
)  # fmt: skip


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.01, 0.05, 0.2]), GAPS, st.sampled_from([0, 1]))
def test_columns_of_devices_with_gaps_give_the_alerts_of_single_readings(
    seed: int, restless: float, gaps: list[tuple[str, int, int]], which: int
) -> None:
    columns = stream(seed, 3.0, restless, 0)
    for device, place, size in gaps:
        columns = without(columns, device, slice(place, place + size))
    assert replay(SITES[which], columns).alerts == replay(SITES[which], readings_of(columns)).alerts


def with_last_wills(columns: Columns, seed: int) -> Columns:
    """The same, with devices that are said to be offline now and then: by a last will, or in every reading."""
    draw = np.random.default_rng(seed)
    told = dict(columns)
    for device in sorted({device for device, _ in columns}):
        times = next(series.times for (name, _), series in columns.items() if name == device)
        if draw.random() < 0.2:
            moments = np.sort(draw.choice(times, 4, replace=False)) + int(draw.choice([0, 1, 7000]))
            told[device, "online"] = Series(moments, draw.integers(2, size=4).astype(float))
        elif draw.random() < 0.2:
            values, place = np.ones(len(times)), int(draw.integers(len(times)))
            values[place : place + int(draw.choice([1, 2, 10, 60]))] = 0.0
            told[device, "online"] = Series(times, values)
    return told


@settings(max_examples=12, deadline=None)
@given(STREAMS, st.integers(0, 2**32 - 1), st.sampled_from([0, 1]))
def test_columns_of_devices_that_go_offline_give_the_alerts_of_single_readings(
    given: tuple[int, float, float, int], seed: int, which: int
) -> None:
    columns = with_last_wills(stream(*given), seed)
    assert replay(SITES[which], columns).alerts == replay(SITES[which], readings_of(columns)).alerts


def test_a_zone_with_a_gap_is_calm_before_it_and_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = without(stream(1, 4.0, 0.2, 0), "plug2", slice(600, 640))
    edges: list[int] = []
    begin = spans.Calms.begin

    def counted(calms: spans.Calms, moment: int) -> list[calm.Calm]:
        begun = begin(calms, moment)
        edges.extend(edge for one in begun if one.zones for edge in (moment, one.last))
        return begun

    monkeypatch.setattr(spans.Calms, "begin", counted)
    times = columns["plug2", "active_power"].times
    told = replay(SITES[1], columns).alerts
    assert int(times[599]) in edges
    assert int(times[600]) in edges
    assert told == replay(SITES[1], readings_of(columns)).alerts


@settings(max_examples=12, deadline=None)
@given(STREAMS, st.lists(st.floats(0, 1), max_size=3))
def test_regular_columns_cut_into_stretches_give_the_same_findings(
    given: tuple[int, float, float, int], cuts: list[float]
) -> None:
    columns = stream(*given)
    first = START
    last = max(int(series.times[-1]) for series in columns.values())
    edges = [None, *sorted({first + round(cut * (last - first)) for cut in cuts}), None]
    whole = [f for found in find(RuleEngine(SITES[0]).new_memory(), columns) for f in found]
    memory = RuleEngine(SITES[0]).new_memory()
    parted = []
    for start, end in pairwise(edges):
        for found in find(memory, between(columns, start, end)):
            parted += found
    assert sorted(parted, key=_order) == sorted(whole, key=_order)


@settings(max_examples=12, deadline=None)
@given(STREAMS, st.lists(st.floats(0, 1), max_size=3))
def test_where_only_ends_are_told_they_are_the_same(given: tuple[int, float, float, int], cuts: list[float]) -> None:
    columns = stream(*given)
    last = max(int(series.times[-1]) for series in columns.values())
    edges = [None, *sorted({START + round(cut * (last - START)) for cut in cuts}), None]
    told = [f for found in find(RuleEngine(SITES[1]).new_memory(), columns) for f in found]
    memory = RuleEngine(SITES[1]).new_memory()
    ends = []
    for start, end in pairwise(edges):
        for found in find(memory, between(columns, start, end), ends_only=True):
            ends += found
    assert _last_words(ends) == _last_words(told)


def _last_words(findings: list[Finding]) -> dict[tuple[str, str, int], Finding]:
    return {(finding.rule, finding.device, finding.since): finding for finding in findings}


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(TURNS), st.sampled_from([0.01, 0.1]))
def test_neither_the_turn_of_a_season_nor_of_summer_time_makes_a_difference(
    seed: int, turn: tuple[Site, int], restless: float
) -> None:
    place, start = turn
    columns = stream(seed, 5, restless, 0, start)
    assert replay(place, columns).alerts == replay(place, readings_of(columns)).alerts


def _order(finding: object) -> str:
    return repr(finding)


COUNTERS = """
version: 1
site: {name: hall, timezone: Asia/Shanghai, language: en}
zones: [{id: "1"}]
devices:
  - {id: main, kind: electricity, circuit: main, every: 10m}
  - {id: a, kind: electricity, zone: "1", every: 10m, parent: main}
  - {id: b, kind: electricity, zone: "1", every: 10m, parent: main}
  - {id: c, kind: electricity, zone: "1", every: 10m}
  - {id: d, kind: plug, zone: "1", every: 10m}
"""
COUNTER_SITES = [
    build_site(parse_document((COUNTERS + rules).encode(), "devices.yaml"), [check_rules])
    for rules in ("", "rules: {meter_stuck: {after: 5h}}\n")
]


def counters(seed: int) -> Columns:
    """A week of counters that stand still or say nothing now and then; some devices tell a power, early or late."""
    draw = np.random.default_rng(seed)
    times = START + 2 * EVERY * np.arange(7 * 144)
    columns = {}
    for device in "main", "a", "b", "c", "d":
        steps = np.full(len(times), 0.1)
        for _ in range(draw.integers(4)):
            place = draw.integers(len(times))
            steps[place : place + 6 * draw.choice([1, 4, 6, 11, 13, 40, 100])] = 0.0
        columns[device, "energy_import"] = Series(times, 7.0 + np.round(np.cumsum(steps), 1))
        if device == "d" or draw.random() < 0.3:
            place = int(draw.choice([0, 0, len(times) // 2]))
            columns[device, "active_power"] = Series(times[place:], (steps * 600.0 + draw.integers(2))[place:])
    for device in "main", "a", "b", "c", "d":
        for _ in range(draw.integers(3)):
            place = int(draw.integers(len(times) // 2))
            columns = without(columns, device, slice(place, place + int(draw.choice([1, 3, 6, 20, 90, 200]))))
    return columns


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(COUNTER_SITES), st.lists(st.floats(0, 1), max_size=3))
def test_counters_that_stand_still_are_judged_alike_in_stretches_and_one_by_one(
    seed: int, place: Site, cuts: list[float]
) -> None:
    columns = counters(seed)
    assert replay(place, columns).alerts == replay(place, readings_of(columns)).alerts
    edges = [None, *sorted({START + round(cut * 7 * 86_400_000) for cut in cuts}), None]
    whole = [f for found in find(RuleEngine(place).new_memory(), columns) for f in found]
    memory = RuleEngine(place).new_memory()
    parted = [
        f for start, end in pairwise(edges) for found in find(memory, between(columns, start, end)) for f in found
    ]
    assert sorted(parted, key=_order) == sorted(whole, key=_order)


def test_most_zones_of_a_regular_stream_are_calm(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []

    class Counted(calm.Calm):
        def end(self) -> None:
            rooms = [zone for zone in self.zones if zone.rooms]
            seen.append((len(rooms), sum(len(zone.watches) for zone in rooms)))
            super().end()

    monkeypatch.setattr("rules.spans.Calm", Counted)
    columns: Mapping[tuple[str, str], Series] = stream(1, 2, 0.2, 0)
    assert replay(SITES[1], columns).alerts
    assert seen
    assert max(seen) == (2, 16)  # all of rooms 1 and 2
