"""Reads the stories of tests/scenarios and plays them.

A story is written without code::

    - story: the last one goes and leaves the lamp on
      rule: lights_left_on
      start: "2026-07-01 18:00"        # local time in Shanghai; a Wednesday
      every: 1m                        # one value of each series below per step
      rules: {after: 20m}              # the rule's own settings, if any
      site: {extra_holidays: [...]}    # more keys of site:, if any
      zone: {presence_hold: 10m}       # more keys of the zone, if any
      devices:
        lamp: {kind: light}            # all in zone 301, reporting every step, unless said otherwise
        pir: {kind: sensor, quantities: [occupancy]}
      readings:
        lamp: {on: 1x50 0x10}          # value x times; 5+0.1x20 rises; _ is no reading, bad one without value
        pir: {occupancy: 1x10 0x50}
      overtime: [{zone: "301", start: …, end: …}]      # bookings, if any
      shows: [overtime]                # of gap, window, lunch, saturday, holiday, overtime, flicker, dead
      restarts: [12m]                  # memory saved and restored after these moments
      expect:
        - {at: 35m, state: raised}     # device: and since: where they matter
        - {at: 50m, state: resolved}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from building.document import parse_document
from building.durations import format_duration, parse_duration
from building.instants import from_iso
from building.readings import Flaw, Grade, Reading, with_flaws
from building.site import Site, build_site
from rules.catalogue import check_rules
from rules.engine import Finding, RuleEngine

FOLDER = Path(__file__).resolve().parent / "scenarios"


def stories() -> Iterator[tuple[str, Mapping[str, Any]]]:
    for path in sorted(FOLDER.glob("*.yaml")):
        for story in yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader):
            yield f"{path.stem}: {story['story']}", story


def site_of(story: Mapping[str, Any]) -> Site:
    every = story.get("every", "1m")
    devices = [{"id": name, "zone": "301", "every": every} | page for name, page in story["devices"].items()]
    content = {
        "version": 1,
        "site": {"name": "story", "timezone": "Asia/Shanghai"} | story.get("site", {}),
        "zones": [{"id": "301"} | story.get("zone", {})],
        "devices": [{key: value for key, value in device.items() if value != "none"} for device in devices],
        "departments": story.get("departments", []),
        "overtime": story.get("overtime", []),
        "rules": {story["rule"]: story.get("rules", {})},
    }
    # BaseLoader leaves everything text; written plainly again, numbers are numbers and ids stay quoted.
    return build_site(parse_document(_plain(content).encode(), "story"), [check_rules])


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f'"{key}": {_plain(item)}' for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_plain, value)) + "]"
    try:
        float(value)
    except ValueError:
        return str(value) if value in ("true", "false") else f'"{value}"'
    return str(value)


def expand(text: str) -> list[str]:
    values = []
    for part in text.split():
        value, _, times = part.partition("x")
        first, _, step = value.partition("+")
        values += [f"{float(first) + n * float(step):.6g}" if step else value for n in range(int(times or 1))]
    return values


def readings_of(story: Mapping[str, Any]) -> list[Reading]:
    start, every = start_of(story), parse_duration(story.get("every", "1m"))
    found = []
    for device, series in story["readings"].items():
        columns = {quantity: expand(text) for quantity, text in series.items()}
        for step in range(max(map(len, columns.values()))):
            told = {q: column[step] for q, column in columns.items() if step < len(column) and column[step] != "_"}
            if told:
                flaws = {q: Flaw(Grade.BAD, "as the story has it") for q, value in told.items() if value == "bad"}
                values = {q: value if q == "mode" else float(value) for q, value in told.items() if value != "bad"}
                found.append(with_flaws(device, start + step * every, values, flaws))
    return sorted(found, key=lambda reading: (reading.taken_at, reading.device))


def start_of(story: Mapping[str, Any]) -> int:
    return from_iso(f"{story['start']}+08:00")


def play(story: Mapping[str, Any]) -> list[Finding]:
    engine = RuleEngine(site_of(story))
    memory = engine.new_memory()
    start = start_of(story)
    restarts = sorted(start + parse_duration(moment) for moment in story.get("restarts", []))
    findings = []
    readings = readings_of(story)
    for reading in readings:
        while restarts and restarts[0] < reading.taken_at:
            memory = engine.restore(engine.save(memory))
            restarts.pop(0)
        findings += engine.step(memory, [reading])
    until = start + parse_duration(story["until"]) if "until" in story else readings[-1].taken_at
    findings += engine.tick(memory, until)
    return [finding for finding in findings if finding.rule == story["rule"]]


def told(story: Mapping[str, Any], findings: list[Finding]) -> list[dict[str, str]]:
    """Findings in the words of ``expect``, with the keys used there."""
    start = start_of(story)
    result = []
    for number, finding in enumerate(findings):
        words = {
            "at": format_duration(finding.at - start),
            "state": finding.state,
            "device": finding.device,
            "since": format_duration(finding.since - start),
        }
        expected = story["expect"]
        wanted = expected[number] if number < len(expected) else {"at": "", "state": ""}
        result.append({key: words[key] for key in wanted})
    return result
