"""The engine: same alerts however a stream is cut; nothing from readings that cannot be; waste as it was."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from building.errors import InputError
from building.instants import from_iso
from building.readings import Reading, no_answer
from rules.engine import Finding, RuleEngine
from rules.round import still_on
from tests.engine_parts import MINUTE, START, calm_stream, in_order, patient_site, site, steady, streams

ENGINE = RuleEngine(site())
PATIENT = RuleEngine(patient_site())


def settled(findings: list[Finding]) -> list[Finding]:
    """What comes at one instant has no order of its own."""
    return sorted(findings, key=lambda finding: (finding.at, finding.rule, finding.device, finding.state))


def straight(engine: RuleEngine, readings: list[Reading]) -> list[Finding]:
    memory = engine.new_memory()
    found = [finding for reading in readings for finding in engine.step(memory, [reading])]
    return settled(found + (engine.tick(memory, readings[-1].taken_at) if readings else []))


@settings(max_examples=150, deadline=None)
@given(streams(), st.data())
def test_a_stream_cut_anywhere_by_restarts_gives_the_same_findings(
    readings: list[Reading], data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(readings)), max_size=4)))
    memory = PATIENT.new_memory()
    found = []
    for first, last in zip([0, *cuts], [*cuts, len(readings)], strict=True):
        found += PATIENT.step(memory, readings[first:last])
        memory = PATIENT.restore(PATIENT.save(memory))
    found += PATIENT.tick(memory, readings[-1].taken_at if readings else 0)
    assert settled(found) == straight(PATIENT, readings)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**9), st.lists(st.integers(0, 600), max_size=3))
def test_a_calm_building_cut_anywhere_by_restarts_gives_the_same_findings(seed: int, cuts: list[int]) -> None:
    readings = calm_stream(random.Random(seed))
    memory = PATIENT.new_memory()
    found = []
    for first, last in zip([0, *sorted(cuts)], [*sorted(cuts), len(readings)], strict=True):
        found += PATIENT.step(memory, readings[first:last])
        memory = PATIENT.restore(PATIENT.save(memory))
    found += PATIENT.tick(memory, readings[-1].taken_at)
    assert settled(found) == straight(PATIENT, readings)


def test_the_round_names_what_is_on_with_the_value_it_said_last() -> None:
    place, memory = site(), ENGINE.new_memory()
    for minute, watts in enumerate((5.0, 80.0, 75.0)):  # 5 to 80 W makes no difference to any rule
        ENGINE.step(memory, [Reading("ac", START + minute * MINUTE, {"active_power": watts})])
    (found,) = still_on(place, memory)
    assert (found["device"], found["quantity"], found["value"]) == ("ac", "active_power", 75.0)


def test_a_device_that_says_the_same_is_steady_until_a_value_leaves_its_band_or_it_falls_silent() -> None:
    memory = ENGINE.new_memory()
    lamp = memory.tracks["lamp"]
    ENGINE.step(memory, steady("lamp", {"on": 1.0, "active_power": 60.0}, 0, 3))
    assert lamp.steady
    power = lamp.signals["active_power"]
    ENGINE.step(memory, [Reading("lamp", START + 4 * MINUTE, {"on": 1.0, "active_power": 66.0})])
    assert lamp.steady
    assert (power.value, power.heard, power.number) == (66.0, START + 4 * MINUTE, 60.0)
    assert power.total == pytest.approx(MINUTE * (3 * 60.0 + 63.0))
    ENGINE.step(memory, [Reading("lamp", START + 5 * MINUTE, {"on": 0.0, "active_power": 1.0})])
    assert (power.value, power.number) == (1.0, 1.0)
    ENGINE.step(memory, [Reading("lamp", START + 6 * MINUTE, {"active_power": 2.0})])
    assert not lamp.steady
    assert lamp.signals["on"].heard == START + 5 * MINUTE
    ENGINE.step(memory, steady("lamp", {"on": 0.0, "active_power": 1.0}, 7, 9))
    assert lamp.steady
    ENGINE.tick(memory, START + 12 * MINUTE - 1)
    assert not power.unknown
    ENGINE.tick(memory, START + 12 * MINUTE)
    assert power.unknown
    assert not lamp.steady


@settings(max_examples=80, deadline=None)
@given(streams(), st.randoms(use_true_random=False))
def test_readings_late_by_up_to_the_lateness_give_the_same_findings(
    readings: list[Reading], draw: random.Random
) -> None:
    lateness = 3 * MINUTE
    engine = RuleEngine(patient_site(), lateness=lateness)
    shuffled = sorted(readings, key=lambda reading: reading.taken_at + draw.randint(0, lateness))
    memory = engine.new_memory()
    found = engine.step(memory, shuffled[: len(shuffled) // 2])
    memory = engine.restore(engine.save(memory))
    found += engine.step(memory, shuffled[len(shuffled) // 2 :]) + engine.flush(memory)
    assert settled(found) == straight(PATIENT, readings)


@settings(max_examples=60, deadline=None)
@given(streams())
def test_a_reading_told_twice_counts_once(readings: list[Reading]) -> None:
    twice = [same for reading in readings for same in (reading, reading)]
    assert straight(PATIENT, twice) == straight(PATIENT, readings)


def test_readings_from_1970_from_the_future_and_of_strangers_do_nothing() -> None:
    memory = ENGINE.new_memory()
    odd = [
        Reading("lamp", 0, {"on": 1.0}),
        Reading("lamp", START + 400 * 24 * 60 * MINUTE, {"on": 1.0}),
        Reading("stranger", START, {"on": 1.0}),
        Reading("lamp", START, {"on": "yes", "mode": 3.0}),
        no_answer("lamp", START, "timed out"),
    ]
    assert ENGINE.step(memory, odd, now=START) == []
    assert ENGINE.tick(memory, START + 600 * MINUTE) == []
    assert memory.now == START + 600 * MINUTE


def test_time_before_the_first_reading_brings_nothing() -> None:
    memory = ENGINE.new_memory()
    assert ENGINE.tick(memory, START) == []
    assert ENGINE.step(memory, [Reading("lamp", START + 1, {"on": 1.0})]) == []


def test_an_alert_comes_by_time_alone() -> None:
    memory = ENGINE.new_memory()
    ENGINE.step(memory, in_order(steady("meter", {"active_power": 60.0}, 25, 44)))
    assert ENGINE.tick(memory, START + 45 * MINUTE - 1) == []
    (raised,) = ENGINE.tick(memory, START + 45 * MINUTE)
    assert (raised.state, raised.device, raised.since) == ("raised", "meter", START + 30 * MINUTE)


def test_energy_from_power_is_what_was_drawn_since_the_condition_began() -> None:
    on = steady("meter", {"active_power": 60.0}, 0, 89, 30_000)
    findings = straight(ENGINE, [*on, Reading("meter", START + 90 * MINUTE, {"active_power": 0.0})])
    # From 17:30 to 18:30 at 60 W; the last half minute falls to 0 and counts as the mean.
    assert findings[-1].used.kwh == pytest.approx(0.060, rel=0.01)
    assert not findings[-1].used.estimated


def test_energy_from_a_counter_bridges_a_gap() -> None:
    def counter(minute: int) -> Reading:
        return Reading("meter", START + minute * MINUTE, {"active_power": 1200.0, "energy_import": 100 + minute * 0.02})

    readings = [counter(m) for m in [*range(60), *range(90, 121)]]
    off = Reading("meter", START + 121 * MINUTE, {"active_power": 0.0, "energy_import": 102.42})
    assert straight(ENGINE, [*readings, off])[-1].used.kwh == pytest.approx(91 * 0.02, rel=0.02)


def test_litres_are_counted_from_the_flow_and_from_the_steps_of_a_counter() -> None:
    flow = [*steady("water", {"flow": 6.0}, 0, 14), *steady("water", {"flow": 0.0}, 15, 16)]
    assert straight(ENGINE, flow)[-1].used.litres == pytest.approx(14 * 6 + 3)
    pulses = [Reading("pulses", START + m * MINUTE, {"volume": 1 + m * 0.01}) for m in range(16)]
    pulses += steady("pulses", {"volume": 1.15}, 16, 40)
    assert straight(ENGINE, pulses)[-1].used.litres == pytest.approx(150)


def test_an_air_conditioner_is_measured_by_the_one_meter_of_its_room() -> None:
    findings = straight(
        ENGINE,
        in_order(
            steady("ac", {"running": 1.0, "mode": "cool", "setpoint": 24.0}, 0, 60),
            steady("ac-meter", {"active_power": 1000.0}, 0, 60, 30_000),
            steady("ac", {"running": 0.0, "mode": "off", "setpoint": 24.0}, 61, 61),
        ),
    )
    resolved = {finding.rule: finding.used for finding in findings if finding.state == "resolved"}
    # 61 minutes at 1 kW; two kelvins too cold are taken for 14 % of it.
    assert resolved["aircon_setpoint"].kwh == pytest.approx(61 / 60 * 0.14, rel=0.02)
    assert resolved["aircon_setpoint"].estimated


def test_where_only_a_switch_is_known_the_waste_is_unknown_unless_a_rated_power_is_given() -> None:
    lamp = [*steady("lamp", {"on": 1.0}, 0, 69), *steady("lamp", {"on": 0.0}, 70, 70)]
    empty = steady("pir", {"occupancy": 0.0}, 0, 70)
    assert straight(ENGINE, in_order(lamp, empty))[-1].used.kwh is None
    rated = RuleEngine(site('  - {id: lamp2, kind: light, zone: "301", rated_power: 40}\n'))
    second = [reading._replace(device="lamp2") for reading in lamp]
    used = straight(rated, in_order(second, empty))[-1].used
    assert used.kwh == pytest.approx(0.040 * 70 / 60)
    assert used.estimated


def test_a_power_that_was_told_once_and_never_while_it_ran_is_no_waste_of_nothing() -> None:
    lamp = [
        *steady("lamp", {"on": 0.0, "active_power": 0.0}, 0, 0),
        *steady("lamp", {"on": 1.0}, 5, 70),
    ]
    empty = [*steady("pir", {"occupancy": 0.0}, 0, 69), *steady("pir", {"occupancy": 1.0}, 70, 70)]
    ended = straight(ENGINE, in_order(lamp, empty))[-1]
    assert (ended.state, ended.used.kwh) == ("resolved", None)
    rated = RuleEngine(site('  - {id: lamp2, kind: light, zone: "301", rated_power: 40}\n'))
    second = [reading._replace(device="lamp2") for reading in lamp]
    used = straight(rated, in_order(second, empty))[-1].used
    assert used.kwh == pytest.approx(0.040 * 65 / 60)
    assert used.estimated


def test_a_worker_may_own_single_zones() -> None:
    readings = in_order(
        steady("meter", {"active_power": 60.0}, 0, 60), steady("plug", {"active_power": 5.0}, 0, 60),
        steady("pir", {"occupancy": 0.0}, 0, 60),
    )  # fmt: skip
    shares = [straight(RuleEngine(site(), zones=zones), readings) for zones in (["301"], ["303", ""])]
    both = sorted(shares[0] + shares[1], key=lambda finding: (finding.at, finding.device))
    assert both == sorted(straight(ENGINE, readings), key=lambda finding: (finding.at, finding.device))
    assert {finding.zone for finding in shares[0]} == {"301"}


def test_bytes_that_are_no_memory_are_refused() -> None:
    with pytest.raises(InputError, match="delete it"):
        ENGINE.restore(b"\x00\xff")


def test_a_memory_survives_a_changed_site() -> None:
    memory = ENGINE.new_memory()
    ENGINE.step(memory, in_order(steady("meter", {"active_power": 60.0}, 0, 40)))
    smaller = RuleEngine(site("rules: {lights_left_on: {enabled: false}, meter_silent: {enabled: false}}\n"))
    restored = smaller.restore(ENGINE.save(memory))
    assert smaller.tick(restored, from_iso("2026-07-01T23:00:00+08:00")) == []
