"""Energy at the two ends of what a rule tells: half a period before it was seen, and nothing after it was over."""

from __future__ import annotations

from pathlib import Path
from statistics import mean

import pytest

from building.readings import Reading, no_answer
from rules.engine import RuleEngine
from rules.findings import Finding
from rules.replay import read_readings, replay
from tests.engine_parts import MINUTE, START, in_order, site, steady
from tests.test_replay import write_csv

EVERY = 30_000
SITE = site()
ENGINE = RuleEngine(SITE)


def kettle(on: int, off: int, *, watts: float = 2000.0, rest: float = 0.0, most: int = 15 * MINUTE) -> list[Reading]:
    """A plug that says every half minute what it draws; a kettle on it from ``on`` to ``off`` ms."""
    return [
        Reading("plug", START + at, {"active_power": watts if on < at <= off else rest}) for at in range(0, most, EVERY)
    ]


def ended(readings: list[Reading], rule: str = "high_power_appliance") -> Finding:
    memory = ENGINE.new_memory()
    found = ENGINE.step(memory, readings) + ENGINE.tick(memory, readings[-1].taken_at)
    (one,) = [finding for finding in found if (finding.rule, finding.state) == (rule, "resolved")]
    return one


def test_a_kettle_is_told_with_half_a_period_before_it_was_seen() -> None:
    one = ended(kettle(4 * MINUTE + 15_000, 8 * MINUTE + 15_000))
    assert one.since == START + 4 * MINUTE + EVERY  # when it was seen; where between two readings nobody knows
    assert one.used.kwh == pytest.approx(2000 * 4 / 60 / 1000)
    assert not one.used.estimated


def test_over_kettles_switched_at_any_second_the_energy_told_is_the_true_one() -> None:
    told, true = [], []
    for second in range(30):
        on, off = 4 * MINUTE + second * 1000 + 500, 8 * MINUTE + ((second * 7) % 30) * 1000 + 500
        told.append(ended(kettle(on, off)).used.kwh or 0.0)
        true.append(2000 * (off - on) / 3.6e9)
    assert mean(told) == pytest.approx(mean(true), rel=1e-6)
    assert all(abs(one - other) <= 2000 * EVERY / 3.6e9 for one, other in zip(told, true, strict=True))


@pytest.mark.parametrize("rest", [0.0, 40.0, 1490.0])
def test_never_more_than_the_readings_hold_is_told(rest: float) -> None:
    """The plug's own integral, straight between its readings, from the one before the kettle was seen on."""
    readings = kettle(4 * MINUTE, 8 * MINUTE, watts=1600.0, rest=rest)
    powers = [float(reading.values["active_power"]) for reading in readings]
    first = next(place for place, power in enumerate(powers) if power == 1600)
    last = len(powers) - 1 - powers[::-1].index(1600.0)
    held = sum((powers[n] + powers[n + 1]) / 2 for n in range(first - 1, last + 1)) * EVERY / 3.6e9
    told = ended(readings).used.kwh
    assert told is not None
    assert told <= held
    assert told == pytest.approx(held - rest * EVERY / 2 / 3.6e9)  # half a period of what was there before is no kettle


def test_what_the_plug_draws_while_the_end_is_not_yet_sure_is_not_told() -> None:
    """Cleared after two minutes, in which a lamp of 900 W burns on the same plug."""
    other = [
        reading._replace(values={"active_power": 900.0}) if reading.taken_at > START + 8 * MINUTE else reading
        for reading in kettle(4 * MINUTE, 8 * MINUTE)
    ]
    alone = ended(kettle(4 * MINUTE, 8 * MINUTE)).used.kwh
    beside = ended(other).used.kwh
    assert alone is not None
    assert beside == pytest.approx(alone + 900 * EVERY / 2 / 3.6e9)  # straight from 2000 W to 900 W, no longer


def test_where_nothing_was_known_before_nothing_is_counted_before() -> None:
    silent = [reading for reading in kettle(4 * MINUTE, 8 * MINUTE) if reading.taken_at > START + 4 * MINUTE]
    gap = [Reading("plug", START - 60 * MINUTE, {"active_power": 0.0}), no_answer("plug", START, "timed out"), *silent]
    expected = 2000 * (4 * MINUTE - EVERY + EVERY / 2) / 3.6e9  # from the first reading on
    assert ended(silent).used.kwh == pytest.approx(expected)
    assert ended(gap).used.kwh == pytest.approx(expected)


def test_what_begins_by_the_clock_is_counted_from_there_and_not_before() -> None:
    """A lamp is switched on while work goes on: what makes it waste is the end of working hours, at minute 30."""
    lamp = [*steady("meter", {"active_power": 0.0}, 0, 9), *steady("meter", {"active_power": 60.0}, 10, 59)]
    one = ended([*lamp, *steady("meter", {"active_power": 0.0}, 60, 61)], "lights_left_on")
    assert one.since == START + 30 * MINUTE
    assert one.used.kwh == pytest.approx(60 * 29.5 / 60 / 1000)


def test_what_begins_because_people_leave_is_counted_from_there() -> None:
    """At minute 20 the room's sensor says that nobody is there, and the plug that its power has changed."""
    plug = [*steady("lamp", {"active_power": 60.0}, 0, 19), *steady("lamp", {"active_power": 80.0}, 20, 60)]
    people = [*steady("pir", {"occupancy": 1.0}, 0, 19), *steady("pir", {"occupancy": 0.0}, 20, 61)]
    one = ended(in_order([*plug, *steady("lamp", {"active_power": 0.0}, 61, 61)], people), "lights_left_on")
    assert one.since == START + 20 * MINUTE
    assert one.used.kwh == pytest.approx(80 * 40.5 / 60 / 1000)


def test_a_counter_that_has_moved_enough_tells_the_same_within_a_step() -> None:
    """A heater of 3 kW over an hour, its register in hundredths of a kWh; on 12 s before it was seen."""
    on, off = 4 * MINUTE + 18_000, 64 * MINUTE + 18_000
    readings = []
    for at in range(0, 70 * MINUTE, EVERY):
        drawn = 3.0 * (min(max(at, on), off) - on) / 3.6e6
        readings.append(
            Reading("plug", START + at, {"active_power": 3000.0 if on < at <= off else 0.0,
                                         "energy_import": 7 + int(drawn * 100) / 100})
        )  # fmt: skip
    used = ended(readings).used
    assert used.kwh == pytest.approx(3.0, abs=3.0 * EVERY / 2 / 3.6e6 + 0.01)
    assert not used.estimated


def test_a_restart_at_any_reading_changes_nothing() -> None:
    readings = kettle(4 * MINUTE + 15_000, 8 * MINUTE + 15_000)
    whole = ended(readings)
    for cut in range(len(readings)):
        memory = ENGINE.new_memory()
        found = ENGINE.step(memory, readings[:cut])
        memory = ENGINE.restore(ENGINE.save(memory))
        found += ENGINE.step(memory, readings[cut:])
        assert [finding for finding in found if finding.state == "resolved"] == [whole]


@pytest.mark.parametrize("hours", [0, 6], ids=["before anything is known", "in a zone judged at once"])
def test_replay_of_columns_tells_the_same_to_the_last_bit(hours: int, tmp_path: Path) -> None:
    """A kettle, another load on its plug before the end is sure, and a lamp in an empty room."""
    late = hours * 60
    plug = [
        reading._replace(values={"active_power": 900.0})
        if START + (late + 9) * MINUTE < reading.taken_at < START + (late + 12) * MINUTE
        else reading
        for reading in kettle((late + 4) * MINUTE + 15_000, (late + 8) * MINUTE + 15_000, most=(late + 240) * MINUTE)
    ]
    readings = in_order(
        plug,
        steady("pir", {"occupancy": 1.0}, 0, 0),
        steady("pir", {"occupancy": 0.0}, 1, late + 240),
        steady("lamp", {"active_power": 0.0}, 0, late + 44),
        steady("lamp", {"active_power": 60.0}, late + 45, late + 99),
        steady("lamp", {"active_power": 0.0}, late + 100, late + 240),
    )
    stepped = replay(SITE, readings).alerts
    columns = read_readings(write_csv(tmp_path / "r.csv", readings), SITE)
    assert replay(SITE, columns).alerts == stepped
    told = {alert.rule: alert.used.kwh for alert in stepped}
    assert told["high_power_appliance"] == pytest.approx(2000 * 4 / 60 / 1000)
    assert told["lights_left_on"] == pytest.approx(60 * 55 / 60 / 1000)
