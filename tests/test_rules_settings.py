"""Mistakes in the rules section are told at the door, each with its line and what is accepted."""

from __future__ import annotations

import pytest

from building.errors import ConfigError
from rules.catalogue import CATALOGUE, read_settings
from tests.engine_parts import site


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ("rules: {light_left_on: {}}", "unknown rule 'light_left_on'; known are lights_left_on"),
        ("rules: {lights_left_on: {afer: 15m}}", "unknown key 'afer'; accepted are after, on_above, enabled"),
        ("rules: {lights_left_on: {after: 15}}", "after: 15 is not a duration such as 10s"),
        ("rules: {lights_left_on: {after: 0s}}", "after: 0s is out of range; accepted are 1s to 7d"),
        ("rules: {aircon_setpoint: {cooling_floor: 260}}", "260 is out of range; accepted are 10 to 35 °C"),
        ("rules: {aircon_setpoint: {cooling_floor: warm}}", "'warm' is not a number in °C"),
        ("rules: {lights_left_on: {zones: {\"999\": {after: 1m}}}}", "zone '999' does not exist; known are 301"),
        ("rules: {lights_left_on: {zones: {\"301\": {afer: 1m}}}}", "unknown key 'afer'"),
        ("rules: {lights_left_on: {except: [cellar]}}", "there is no zone and no device 'cellar'"),
        ("rules: {lights_left_on: {except: cellar}}", "expected a list"),
        ("rules: {lights_left_on: {enabled: sometimes}}", "'sometimes' is not true or false"),
        ("rules: {standby_load: {band_low: 40}}", "band_low (40) must be below band_high (30)"),
        ("rules: {lights_left_on: 15m}", "expected keys { }"),
        ("rules: [lights_left_on]", "expected keys { }"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence_with_its_line(section: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        site(section + "\n")
    assert any(sentence in problem for problem in caught.value.problems), caught.value.problems
    assert all(problem.startswith("devices.yaml:") for problem in caught.value.problems)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        site("rules:\n  lights_left_on: {after: soon}\n  tap_left_running: {flow_above: -1}\n  nothing: {}\n")
    assert len(caught.value.problems) == 3


def test_numbers_of_a_zone_go_before_those_of_the_site_and_those_before_the_defaults() -> None:
    given = site('rules: {lights_left_on: {after: 20m, zones: {"301": {on_above: 5}}, except: [meter]}}\n')
    settings = next(found for found in read_settings(given) if found.rule.name == "lights_left_on")
    assert settings.for_device(given.device["lamp"]) == {"after": 20 * 60_000, "on_above": 5}
    assert settings.for_device(given.device["meter"]) is None


def test_every_page_is_complete_in_both_languages_and_its_defaults_are_in_range() -> None:
    for rule in CATALOGUE.values():
        for text in (rule.sentence, rule.title, rule.advice, rule.clause, *(p.sentence for p in rule.parameters)):
            assert text.zh
            assert text.en
        assert all(p.low <= p.default <= p.high for p in rule.parameters)
        assert rule.kinds
        assert rule.quantities
