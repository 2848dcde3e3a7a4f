"""Rules that a site writes itself: understood without being executed, checked at the door, run by the same engine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from building.errors import ConfigError
from rules.alerts import alert_of
from rules.catalogue.conditions import parse
from rules.engine import Finding, RuleEngine
from tests.engine_parts import MINUTE, START, in_order, site, steady

_QUIET = "meter_silent: {enabled: false}, equipment_left_on: {enabled: false}"


def own(rule: str) -> str:
    return f"rules: {{{_QUIET}, mine: {{{rule}}}}}\n"


def found(rule: str, *series: list) -> list[Finding]:  # type: ignore[type-arg]  # lists of readings
    engine = RuleEngine(site(own(rule)))
    memory = engine.new_memory()
    readings = in_order(*series)
    findings = engine.step(memory, readings) + engine.tick(memory, readings[-1].taken_at)
    return [finding for finding in findings if finding.rule == "mine"]


def test_a_rule_of_the_sites_own_is_raised_and_resolved_like_any_other() -> None:
    rule = "when: setpoint < 25 and mode == cool, kind: aircon, after: 5m, clear: 2m, severity: info, text: too cold"
    readings = [
        *steady("ac", {"setpoint": 24.0, "mode": "cool"}, 0, 9),
        *steady("ac", {"setpoint": 26.0, "mode": "cool"}, 10, 10),
        *steady("ac", {"setpoint": 24.0, "mode": "cool"}, 11, 14),
        *steady("ac", {"setpoint": 26.0, "mode": "cool"}, 15, 20),
    ]
    raised, resolved = found(rule, readings)
    assert (raised.state, raised.at) == ("raised", START + 5 * MINUTE)
    assert (resolved.state, resolved.at) == ("resolved", START + 15 * MINUTE)
    alert = alert_of(site(own(rule)), raised)
    assert (alert.severity, alert.title) == ("info", "302: too cold (ac)")


def test_presence_calendar_zone_and_other_devices_take_part() -> None:
    lamp = steady("lamp", {"on": 1.0}, 0, 45)
    empty = steady("pir", {"occupancy": 0.0}, 0, 45)
    assert [f.at for f in found("when: on and empty, kind: light, after: 20m", lamp, empty)] == [START + 20 * MINUTE]
    assert [f.at for f in found("when: on and not working_hours, after: 5m, kind: light", lamp, empty)] == [
        START + 35 * MINUTE
    ]
    plug = steady("plug", {"active_power": 500.0}, 0, 45)
    assert found("when: on and plug.active_power > 400, kind: light, after: 1m", lamp, plug)
    assert found("when: on and zone.active_power > 400, kind: light, after: 1m", lamp, plug)
    assert not found("when: on and zone.active_power > 600, kind: light, after: 1m", lamp, plug)


def test_a_room_whose_name_is_a_number_need_not_stand_in_quotes() -> None:
    lamp = steady("lamp", {"on": 1.0}, 0, 20)
    assert [f.at for f in found("when: on, kind: light, zones: [301], after: 5m", lamp)] == [START + 5 * MINUTE]


def test_what_is_not_known_neither_raises_nor_resolves() -> None:
    assert not found("when: on and plug.active_power < 400, kind: light, after: 1m", steady("lamp", {"on": 1.0}, 0, 20))


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ("when: glow > 3", "'glow' is no quantity"),
        ("when: temperature", "temperature needs a comparison"),
        ("when: temperature > 28 and", "stands where a quantity should"),
        ("when: (temperature > 28", "a bracket is not closed"),
        ('when: "__import__(1)"', "is no quantity"),
        ("when: mode == freeze", "'freeze' is no mode; it is one of off, cool"),
        ("when: mode > cool", "compare it by == or !="),
        ("when: flow > 3, kind: plug", "no device that the rule is about tells flow"),
        ("when: co2 > 1000, devices: [pir]", "no device that the rule is about tells co2"),
        ("when: ghost.flow > 3", "there is no device 'ghost'"),
        ("when: plug.flow > 3", "the device 'plug' does not tell flow"),
        ('when: on, zones: ["999"]', "zones: '999' does not exist"),
        ("when: on, severity: loud", "'loud' is none of info, warning, critical"),
        ("when: on, after: soon", "after:"),
        ("when: on, afer: 5m", "unknown key 'afer'"),
        ("when: 5", "expected a condition"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_rule_of_ones_own_is_told_at_the_door(rule: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        site(own(rule))
    assert any(sentence in problem for problem in caught.value.problems), caught.value.problems


@given(st.text(alphabet="abcdefgh_()<>=!&|. 0123456789\"'andornot", max_size=60))
def test_no_text_makes_the_parser_do_anything_but_understand_or_refuse(text: str) -> None:
    try:
        parse(text)
    except ValueError as error:
        told = str(error)
    else:
        told = "understood"
    assert told
