"""The simulated building: the same from the same seed, right in its energies, blameless until a fault is set."""

from __future__ import annotations

import hashlib
import math
import struct
from dataclasses import replace
from datetime import date

import pytest

from building.document import parse_document
from building.errors import ConfigError
from building.site import Site, build_site
from simulators.building import OfficeBuilding
from simulators.families import players_of
from simulators.faults import Fault, Kind
from simulators.registers import Refused
from simulators.registers.units import images_of
from simulators.scenario import default_faults
from tests.simulators_parts import HOUR, MINUTE, at, longest_wrongs, sample_site

MORNING = "2026-07-01 07:00"
EVENING = "2026-07-01 17:50"


def _fingerprint(seed: int, hours: float, cut: int) -> str:
    """Everything that went over the wires, as one hash; in between the building is asked every ``cut`` ms."""
    site = sample_site()
    building = OfficeBuilding(site, seed, default_faults(site, date(2026, 7, 1), seed), start=at(MORNING))
    images = [image for link in site.links if link.modbus for image in images_of(building, link).items()]
    players = players_of(building, site.link["broker"])
    seen = hashlib.sha256()
    until, asked = at(MORNING) + round(hours * HOUR), at(MORNING)
    agenda = dict.fromkeys(range(len(players)), building.now)
    while building.now < until:
        moment = min(*agenda.values(), asked + 10 * MINUTE, building.now - building.now % cut + cut)
        building.advance(moment)
        for number, player in enumerate(players):
            if agenda[number] <= moment:
                seen.update(repr(player.speak(moment)).encode())
                agenda[number] = player.next_after(moment)
        if moment == asked + 10 * MINUTE:
            asked = moment
            for unit, image in images:
                for function, address, count in ((4, 0, 80), (4, 60, 16), (3, 0, 12)):
                    try:
                        seen.update(bytes([unit]) + image.read(function, address, count))
                    except Refused as refusal:
                        seen.update(bytes([unit, refusal.code]))
    return seen.hexdigest()


def test_the_same_seed_gives_the_same_bytes_however_often_it_is_asked():
    first = _fingerprint(7, 3, cut=5_000)
    assert _fingerprint(7, 3, cut=731_000) == first
    assert _fingerprint(8, 3, cut=5_000) != first


def test_every_meter_counts_exactly_the_power_it_shows():
    building = OfficeBuilding(sample_site(), 3, start=at("2026-07-01 08:00"))
    before = {ident: meter.energy for ident, meter in building.meters.items()}
    booked = dict.fromkeys(before, 0.0)
    steps = {ident: sorted({*building.day.power[ident].times.tolist(), building.now}) for ident in before}
    for ident, times in steps.items():
        inside = [time for time in times if building.now <= time < at("2026-07-01 12:00")]
        for start, end in zip(inside, [*inside[1:], at("2026-07-01 12:00")], strict=True):
            booked[ident] += building.day.power[ident].at(start) * (end - start) / 3_600_000_000
    building.advance(at("2026-07-01 12:00"))
    for ident, meter in building.meters.items():
        assert meter.energy - before[ident] == pytest.approx(booked[ident], abs=1e-9), ident
    assert booked["main"] > 5


def test_counters_go_on_over_midnight_without_a_step():
    building = OfficeBuilding(sample_site(), 3, start=at("2026-07-01 12:00"))
    building.advance(at("2026-07-02 00:00") - 1)
    before = building.meters["main"].energy, building.pulses(building.site.device["water-wc-2"])[0]
    building.advance(at("2026-07-02 00:00"))
    after = building.meters["main"].energy, building.pulses(building.site.device["water-wc-2"])[0]
    assert after[0] - before[0] == pytest.approx(0, abs=1e-4)
    assert after[1] == before[1]


def test_the_main_meter_is_the_sum_of_its_children_plus_losses():
    building = OfficeBuilding(sample_site(), 3, start=at(MORNING))
    for hour in range(8, 20):
        building.advance(at(f"2026-07-01 {hour:02}:10"))
        children = sum(meter.power for ident, meter in building.meters.items() if ident != "main")
        assert building.meters["main"].power == pytest.approx(1.015 * children)


def test_the_registers_hold_the_energy_within_the_resolution_of_a_float():
    site = sample_site()
    building = OfficeBuilding(site, 3, start=at(MORNING))
    building.advance(at("2026-07-01 12:00"))
    images = images_of(building, site.link["gateway-2"])
    (told,) = struct.unpack(">f", images[1].read(4, 0x48, 2))
    true = building.meters["main"].energy
    assert abs(told - true) <= true * 2**-24
    (watts,) = struct.unpack(">f", images[1].read(4, 0x34, 2))
    phases = struct.unpack(">3f", images[1].read(4, 0x0C, 6))
    assert watts == pytest.approx(sum(phases), rel=1e-6)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("day", ["2026-07-01", "2026-01-14", "2026-10-10", "2026-10-03"])
def test_a_building_without_faults_offends_no_rule(day: str, seed: int):
    building = OfficeBuilding(sample_site(), seed, start=at(f"{day} 07:00"))
    longest = longest_wrongs(building, at(f"{day} 21:00"))
    allowed = {"tap_left_running": 9, "aircon_setpoint": 0, "standby_load": 29, "equipment_left_on": 29,
               "aircon_room_temperature": 29, "high_power_appliance": 1}  # fmt: skip
    late = {key: stretch for key, stretch in longest.items() if stretch > allowed.get(key[0], 14) * MINUTE}
    assert not late


def test_people_work_on_a_make_up_saturday_and_stay_at_home_on_a_holiday():
    def most(day: str) -> float:
        building = OfficeBuilding(sample_site(), 1, start=at(f"{day} 10:00"))
        return sum(course.at(building.now) for course in building.day.people.values())

    assert most("2026-10-10") > 5  # Saturday, worked in exchange for the National Day holiday
    assert most("2026-10-03") == 0
    assert most("2026-07-04") == 0


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_each_fault_of_the_demo_day_becomes_one_alert_that_is_due(seed: int):
    site = sample_site()
    faults = default_faults(site, date(2026, 7, 1), seed)
    building = OfficeBuilding(site, seed, faults, start=at(MORNING))
    building.advance(at(MORNING) + 24 * HOUR)
    assert 6 <= len(faults) <= 8
    due = building.truth.due(building.now)
    assert [expected.fault for expected in due] == faults
    assert len({expected.rule for expected in due}) == 5
    first = min(expected.raised for expected in due if expected.raised is not None)
    assert first <= at("2026-07-01 10:30")
    for expected in due:
        assert expected.since == expected.fault.start
        assert expected.ended == expected.fault.end
        assert (expected.kwh or 0) + (expected.litres or 0) > 0


@pytest.mark.parametrize("seed", [1, 2])
def test_with_faults_nothing_is_wrong_but_what_the_faults_say(seed: int):
    site = sample_site()
    faults = default_faults(site, date(2026, 7, 1), seed)
    building = OfficeBuilding(site, seed, faults, start=at(MORNING))
    longest = longest_wrongs(building, at(MORNING) + 24 * HOUR)
    after = {"lights_left_on": 15, "tap_left_running": 10, "aircon_setpoint": 10, "standby_load": 30}
    found = {key for key, stretch in longest.items() if stretch >= after.get(key[0], 30) * MINUTE}
    expected = set()
    for told in building.truth.due(building.now):
        by_zone = told.rule in ("lights_left_on", "tap_left_running")
        expected.add((told.rule, told.zone if by_zone else told.device))
    sidelong = ("lights_in_daylight", "aircon_room_temperature")
    assert {key for key in found if key[0] not in sidelong} == expected


def test_a_lamp_left_on_at_ten_past_six_is_due_a_quarter_of_an_hour_later_with_its_true_energy():
    fault = Fault(Kind.LAMP_LEFT_ON, "301", at("2026-07-01 18:10"), at("2026-07-01 20:10"))
    building = OfficeBuilding(sample_site(), 1, [fault], start=at(EVENING))
    lamp = building.meters["light-301"]
    building.advance(fault.start - 1)
    before = lamp.energy
    building.advance(at("2026-07-01 21:00"))
    (told,) = building.truth.due(building.now)
    assert (told.rule, told.zone, told.device) == ("lights_left_on", "301", "light-301")
    assert told.raised == at("2026-07-01 18:25")
    assert told.kwh == pytest.approx(lamp.energy - before, rel=1e-9)
    assert told.kwh == pytest.approx(2 * 0.320, rel=0.02)


def test_a_running_tap_wastes_what_the_counter_counts():
    fault = Fault(Kind.TAP_RUNNING, "wc-3", at("2026-07-01 22:00"), at("2026-07-01 23:00"), amount=6.0)
    site = sample_site()
    building = OfficeBuilding(site, 1, [fault], start=at("2026-07-01 21:30"))
    before = int(building.pulses(site.device["water-wc-3"])[0])
    building.advance(at("2026-07-01 23:30"))
    (told,) = building.truth.due(building.now)
    assert told.litres == pytest.approx(360)
    assert int(building.pulses(site.device["water-wc-3"])[0]) - before in (359, 360)


def test_the_waste_of_a_cold_setpoint_is_the_difference_to_the_same_room_at_26_degrees():
    window = (at("2026-07-01 09:00"), at("2026-07-01 10:30"))
    used = []
    for faults in ([], [Fault(Kind.SETPOINT, "301", *window, amount=22.0)]):
        building = OfficeBuilding(sample_site(), 1, faults, start=at(MORNING))
        building.advance(window[0])
        before = building.meters["power-ac-301"].energy
        building.advance(window[1])
        used.append(building.meters["power-ac-301"].energy - before)
    told = building.truth.expected[0]
    assert told.kwh == pytest.approx(used[1] - used[0], abs=0.01)
    assert told.kwh is not None
    assert told.kwh > 0.2


def test_a_lamp_forgotten_while_people_are_there_is_due_only_after_they_have_gone():
    fault = Fault(Kind.LAMP_LEFT_ON, "302", at("2026-07-01 17:00"), at("2026-07-01 19:00"))
    building = OfficeBuilding(sample_site(), 1, [fault], start=at("2026-07-01 16:55"))
    building.advance(at("2026-07-01 20:00"))
    (told,) = building.truth.expected
    gone = max(end for _, end in building.people.day(building.now)["302"].staffed)
    assert told.since is not None
    # The sensor clears 90 s after the last movement it saw; from then on the room is empty.
    assert gone <= told.since <= gone + 2 * MINUTE


def test_the_time_that_a_site_gives_a_rule_moves_the_alert():
    site = sample_site()
    site = site.model_copy(update={"rules": {"lights_left_on": {"after": "15m", "zones": {"301": {"after": "45m"}}}}})
    fault = Fault(Kind.LAMP_LEFT_ON, "301", at("2026-07-01 18:10"), at("2026-07-01 20:10"))
    building = OfficeBuilding(site, 1, [fault], start=at(EVENING))
    building.advance(at("2026-07-01 18:50"))
    assert building.truth.due(building.now) == []
    building.advance(at("2026-07-01 18:56"))
    assert [told.raised for told in building.truth.due(building.now)] == [at("2026-07-01 18:55")]


def test_room_temperatures_and_powers_stay_within_reason_all_year():
    for day in ("2026-01-14", "2026-04-10", "2026-07-20", "2026-11-20"):
        building = OfficeBuilding(sample_site(), 2, start=at(f"{day} 00:00"))
        for zone, room in building.day.temperature.items():
            assert room.min() > 0, (day, zone)
            assert room.max() < 38, (day, zone)
        for ident, meter in building.meters.items():
            assert building.day.power[ident].values.min() >= 0
            assert building.day.power[ident].values.max() < 20_000
            assert 215 < meter.voltage(building.now) < 245


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(Kind.LAMP_LEFT_ON, "999", 0, 1), "zone '999' does not exist"),
        (Fault(Kind.SILENCE, "nobody", 0, 1), "device 'nobody' does not exist"),
        (Fault(Kind.LAMP_LEFT_ON, "301", 5, 5), "ends before it begins"),
    ],
)
def test_a_fault_that_cannot_be_is_refused_in_one_sentence(fault: Fault, words: str):
    with pytest.raises(ConfigError, match=words):
        OfficeBuilding(sample_site(), 1, [fault])


def _site(devices: str) -> Site:
    text = f"""
zones: [{{id: "1", headcount: 2, area: 30}}, {{id: wc, use: toilet}}]
links: [{{id: bus, modbus: "tcp://127.0.0.1:502"}}, {{id: broker, mqtt: "mqtt://127.0.0.1:1883"}}]
devices:
{devices}
"""
    return build_site(parse_document(text.encode(), "devices.yaml"))


def test_any_site_can_be_played_also_without_zones_parents_and_links():
    site = _site("""
  - {id: main, kind: electricity, circuit: main, profile: eastron_sdm630, link: bus, unit: 1}
  - {id: lamp, kind: light, zone: "1", rated_power: 100}
  - {id: ac, kind: aircon, zone: "1"}
  - {id: sockets, kind: electricity, circuit: sockets, zone: "1"}
  - {id: water, kind: water, profile: pulse_counter, link: bus, unit: 2, channel: 3, litres_per_pulse: 10}
  - {id: cold, kind: water, zone: wc}
  - {id: plug, kind: plug, zone: "1", appliance: 打印机}
""")
    building = OfficeBuilding(site, 1, start=at("2026-07-01 09:30"))
    building.advance(at("2026-07-01 16:00"))
    parts = building.day.power["ac"].at(building.now) + building.meters["lamp"].power
    behind = building.meters["sockets"].power + building.meters["plug"].power
    assert building.meters["main"].power == pytest.approx(parts + 1.015 * behind, rel=0.02)
    pulses = struct.unpack(">I", images_of(building, site.link["bus"])[2].read(4, 66, 2))[0]
    litres = building.day.flow["wc"].between(building.day.begin, building.now) / 60_000
    assert pulses == building.pulses_before["water"] + math.floor(litres / 10)
    assert litres > 10


def test_devices_that_cannot_be_played_are_all_named():
    site = _site("""
  - {id: a, kind: electricity, profile: strange_meter, link: bus, unit: 1}
  - {id: b, kind: water, profile: eastron_sdm120, link: bus, unit: 2}
  - {id: c, kind: sensor, profile: strange_sensor, link: broker, topic: c}
""")
    building = OfficeBuilding(site, 1)
    with pytest.raises(ConfigError) as told:
        images_of(building, site.link["bus"])
    assert [problem.split(":")[0] for problem in told.value.problems] == ["device 'a'", "device 'b'"]
    with pytest.raises(ConfigError, match="strange_sensor"):
        players_of(building, site.link["broker"])


def test_a_fault_knows_its_usual_size():
    fault = Fault(Kind.TAP_RUNNING, "wc-3", 0, 1)
    assert fault.size == 7.0
    assert replace(fault, amount=0.5).size == 0.5
