"""The door as commands use it: a whole site file, looked at by the building and by every wing at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from hypothesis import given, settings

from building.errors import ConfigError
from greenwarden.door import open_site
from rules.engine import RuleEngine
from tests.door_parts import Changes, changed, changes

WHOLE = """
version: 1
site: {name: hall, language: en, extra_holidays: ["2026-12-24"], extra_workdays: ["2026-12-26"], cooling_season: 06-01..09-30,
  working_hours: {mon-fri: ["08:30-12:00", "13:30-17:30"]}, presence_hold: 10m, tariffs: {electricity: 0.8}, factors: {grid_co2: 0.5}}
departments: [{id: finance, headcount: 4, area: 90, quota: {electricity: 5000, water: 140}}]
zones: [{id: "301", department: finance, floor: 3, headcount: 4}, {id: hall, use: lobby, working_hours: {mon-sun: "07:00-19:00"}}]
links:
  - {id: bus, modbus: "tcp://127.0.0.1:502", timeout: 1s}
  - {id: broker, mqtt: "mqtt://127.0.0.1:1883", username: collector, password: "${DOOR_PASSWORD}"}
devices:
  - {id: main, kind: electricity, circuit: main, profile: eastron_sdm630, link: bus, unit: 1, every: 30s}
  - {id: lamp, kind: electricity, circuit: lighting, profile: eastron_sdm120, link: bus, unit: 2, zone: "301", parent: main, rated_power: 90}
  - {id: unit, kind: aircon, profile: intesis_inmbs, link: bus, unit: 3, zone: "301", slow: 5m}
  - {id: tap, kind: water, profile: pulse_counter, link: bus, unit: 4, litres_per_pulse: 1, zone: hall}
  - {id: pir, kind: sensor, profile: zigbee2mqtt_sensor, link: broker, topic: pir, reports: on_change, max_age: 2h, zone: "301"}
  - {id: air, kind: sensor, zone: hall, quantities: [temperature, humidity]}
overtime: [{zone: "301", start: 2026-07-01T18:30, end: 2026-07-01T21:00}, {department: finance, start: 2026-07-02T18:30, end: 2026-07-02T21:00}]
rules:
  lights_left_on: {after: 15m, except: [hall], zones: {"301": {after: 20m}}}
  warm: {when: temperature > 28 or humidity > 70, kind: sensor, zones: [hall], devices: [air], after: 10m, clear: 5m, severity: critical, text: {en: Warm}}
channels:
  screen: {type: terminal, fallback: hook}
  hook: {type: webhook, url: "https://desk.example/hook", secret: "${DOOR_PASSWORD}"}
routes:
  people: {duty: {channel: screen, hours: {mon-fri: "08:00-18:00"}, at_most: 20}}
  alerts: [{department: finance, severity: warning, steps: [{tell: duty, after: 0s}, {tell: duty, after: 1h}], repeat: 2h}, {tell: duty}]
  digests: [{list: still_on, at: "17:20", tell: duty}]
store: {data: data, queue: {hours: 24}, keep: {raw_days: 30, quarter_days: 90}, influxdb: {url: "http://127.0.0.1:8086", database: green}}
metrics: {listen: "127.0.0.1:0"}
"""  # noqa: E501 - one entry a line, as in a site file


_CONTENT: Final = yaml.safe_load(WHOLE)


@pytest.fixture(scope="module", autouse=True)
def _password() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DOOR_PASSWORD", "hunter2")
        yield


def _told(path: Path, content: Any) -> tuple[str, ...]:
    """What is told about a file of ``content``; nothing where it is accepted, and then its rules can be wired."""
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    try:
        RuleEngine(open_site(path))
    except ConfigError as error:
        return error.problems
    return ()


def test_the_whole_file_is_accepted_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "devices.yaml"
    path.write_text(WHOLE, encoding="utf-8")
    assert set(_CONTENT) == set(type(site := open_site(path)).model_fields), "every section takes part"
    assert set(site.rules) == {"lights_left_on", "warm"}


@settings(max_examples=250)
@given(changes(_CONTENT))
def test_a_whole_file_with_anything_at_any_place_is_accepted_or_told(
    tmp_path_factory: pytest.TempPathFactory, wanted: Changes
) -> None:
    path = tmp_path_factory.getbasetemp() / "odd.yaml"
    for problem in _told(path, changed(_CONTENT, wanted)):
        assert problem.startswith("odd.yaml:"), problem
        assert "\n" not in problem, problem
        assert "hunter2" not in problem, problem
        assert "x" * 300 not in problem, "a value out of the file is cut to what a sentence can bear"
