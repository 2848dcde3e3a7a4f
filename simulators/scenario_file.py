"""Scenario files: faults by name, time and place, and rates at which others are drawn. YAML, strict.

version: 1
faults:
  - {fault: lamp_left_on, place: "301", start: 2026-07-01T18:10, end: 2026-07-01T20:10}
  - {fault: setpoint, place: "302", start: 2026-07-02T09:00, for: 90m, amount: 22}
rates: {tap_running: 0.5}       # so many on each working day
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final

from building.document import Document, Where, read_document
from building.durations import parse_duration
from building.errors import ConfigError, shown
from building.instants import from_iso
from building.site import Site
from simulators.drawing import drawn_faults
from simulators.faults import Fault, Kind, mistakes_of

_KINDS: Final = {kind.value: kind for kind in Kind}
_KEYS: Final = ("fault", "place", "start", "end", "for", "amount", "register")
_MOST_FAULTS: Final = 100_000
_FOLDER: Final = Path(__file__).parent / "scenarios"

Problem = tuple[Where, str]


def scenario_names() -> list[str]:
    """The scenarios that come with the program."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def read_scenario(name: str, site: Site, first: date, days: int, seed: int) -> list[Fault]:
    """Faults of a scenario that comes with the program, of a file, or of ``none``; sorted by start.

    Raises ConfigError, one sentence for each mistake, naming file and line.
    """
    if name == "none":
        return []
    path = _FOLDER / f"{name}.yaml" if name in scenario_names() else Path(name)
    if path.suffix not in (".yaml", ".yml"):
        raise ConfigError(
            f"there is no scenario {shown(name)}; known are none, {', '.join(scenario_names())}, or a .yaml file"
        )
    document = read_document(path, name=path.name)
    problems: list[Problem] = []
    faults = _faults(document, site, problems)
    rates = _rates(document, problems)
    if problems:
        raise ConfigError(*(document.problem(where, sentence) for where, sentence in problems))
    return sorted([*faults, *drawn_faults(site, first, days, seed, rates)], key=lambda fault: fault.start)


def _faults(document: Document, site: Site, problems: list[Problem]) -> list[Fault]:
    content = document.content
    if not isinstance(content, Mapping):
        problems.append(((), "a scenario has the keys version, faults and rates"))
        return []
    for key in content:
        if key not in ("version", "faults", "rates"):
            problems.append(((key,), f"unknown key {shown(key)}; known are version, faults, rates"))
    entries = content.get("faults") or []
    if not isinstance(entries, list | tuple) or len(entries) > _MOST_FAULTS:
        problems.append((("faults",), "faults is a list of { } entries"))
        return []
    found = []
    for number, entry in enumerate(entries):
        where: Where = ("faults", number)
        try:
            fault = _fault(entry, site)
        except ValueError as error:
            problems.append((where, str(error)))
            continue
        mistakes = [(where, f"fault {fault.name}: {sentence}") for sentence in mistakes_of(site, fault)]
        problems += mistakes
        found.append(fault)
    return found


def _fault(entry: object, site: Site) -> Fault:
    if not isinstance(entry, Mapping):
        raise ValueError('a fault looks like {fault: lamp_left_on, place: "301", start: 2026-07-01T18:10, for: 2h}')
    for key in entry:
        if key not in _KEYS:
            raise ValueError(f"unknown key {shown(key)}; known are {', '.join(_KEYS)}")
    kind = _KINDS.get(str(entry.get("fault")))
    if kind is None:
        raise ValueError(f"fault {shown(entry.get('fault'))} is not known; known are {', '.join(_KINDS)}")
    start = _moment(entry, "start", site)
    if ("end" in entry) == ("for" in entry):
        raise ValueError(f"fault {kind.value}: write either end (a time) or for (a duration)")
    end = _moment(entry, "end", site) if "end" in entry else start + parse_duration(entry["for"])
    register = entry.get("register")
    if register is not None and (isinstance(register, bool) or not isinstance(register, int)):
        raise ValueError(f"fault {kind.value}: register is a whole number")
    return Fault(kind, str(entry.get("place", "")), start, end, _number(entry.get("amount"), kind), register)


def _number(value: object, kind: Kind) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"fault {kind.value}: amount is a number")
    return float(value)


def _moment(entry: Mapping[Any, Any], key: str, site: Site) -> int:
    try:
        return from_iso(str(entry[key]), site.site.tz)
    except (KeyError, ValueError):
        raise ValueError(f"{key} is a date and time such as 2026-07-01T18:10") from None


def _rates(document: Document, problems: list[Problem]) -> dict[Kind, float]:
    content = document.content if isinstance(document.content, Mapping) else {}
    rates = content.get("rates") or {}
    if not isinstance(rates, Mapping):
        problems.append((("rates",), "rates looks like {lamp_left_on: 0.5}"))
        return {}
    found: dict[Kind, float] = {}
    for name, rate in rates.items():
        for sentence in _rate_mistakes(name, rate):
            problems.append((("rates", name), sentence))
        if name in _KINDS and isinstance(rate, int | float):
            found[_KINDS[name]] = float(rate)
    return found


def _rate_mistakes(name: object, rate: object) -> Iterator[str]:
    if name not in _KINDS:
        yield f"fault {shown(name)} is not known; known are {', '.join(_KINDS)}"
    elif isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1000:
        yield f"the rate of {name} is a number from 0 to 1000: faults on a working day"
