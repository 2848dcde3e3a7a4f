"""The ``rules:`` section of devices.yaml: which rules are on, with which numbers, where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from building.document import Document, Where
from building.durations import format_duration, parse_duration
from building.errors import listed, shown
from building.site import Device, Site
from rules.catalogue import own
from rules.catalogue.contents import CATALOGUE
from rules.catalogue.page import Parameter, Rule

_OWN_KEYS: Final = ("enabled", "zones", "except")


@dataclass(frozen=True)
class RuleSettings:
    """One rule's numbers: for the site, for single zones, and where it does not hold at all."""

    rule: Rule
    enabled: bool
    values: Mapping[str, float]
    zones: Mapping[str, Mapping[str, float]]
    excepted: frozenset[str]

    def for_device(self, device: Device) -> Mapping[str, float] | None:
        """Numbers that hold for ``device``; None where the rule does not."""
        if not self.enabled or device.id in self.excepted or (device.zone or "") in self.excepted:
            return None
        return self.zones.get(device.zone or "", self.values)


def read_settings(site: Site) -> list[RuleSettings]:
    """Settings of every rule of the catalogue, over its defaults. The section has passed ``check_rules``."""
    settings = []
    for name, rule in {**CATALOGUE, **own.own_rules(site)}.items():
        given = site.rules.get(name) or {}
        values = rule.defaults() | _numbers(rule, given)
        places = given.get("zones") if name in CATALOGUE else None  # of an own rule, where it holds at all
        zones = {zone: values | _numbers(rule, numbers or {}) for zone, numbers in (places or {}).items()}
        excepted = frozenset(str(place) for place in given.get("except") or ())
        settings.append(RuleSettings(rule, given.get("enabled", True), values, zones, excepted))
    return settings


def rule_of(site: Site, name: str) -> Rule:
    """A rule by its name: of the catalogue, or the site's own."""
    return CATALOGUE[name] if name in CATALOGUE else own.own_rules(site)[name]


def is_known(site: Site, rule: str, subject: str) -> bool:
    """Whether the site still has the rule, and the device or department it spoke of."""
    named = rule in CATALOGUE or rule in own.own_rules(site)
    return named and (subject in site.device or subject in site.department)


def _numbers(rule: Rule, given: Mapping[str, Any]) -> dict[str, float]:
    found = {}
    for parameter in rule.parameters:
        if given.get(parameter.name) is not None:
            found[parameter.name] = _number(parameter, given[parameter.name])
    return found


def _number(parameter: Parameter, value: object) -> float:
    """``value`` in the parameter's unit. Raises ValueError with what is accepted."""
    if parameter.unit == "ms":
        number: float = parse_duration(value)
        accepted = f"{format_duration(parameter.low)} to {format_duration(parameter.high)}"
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{shown(value)} is not a number in {parameter.unit}")
    else:
        number, accepted = value, f"{parameter.low:g} to {parameter.high:g} {parameter.unit}"
    if not parameter.low <= number <= parameter.high:
        said = value if isinstance(value, str) else shown(value)
        raise ValueError(f"{said} is out of range; accepted are {accepted}")
    return number


def check_rules(document: Document) -> Iterable[tuple[Where, str]]:
    """Mistakes in the ``rules:`` section, each with its place (a ``building.site.Check``)."""
    content = document.content if isinstance(document.content, Mapping) else {}
    section = content.get("rules")
    if section is not None and not isinstance(section, Mapping):
        yield ("rules",), "rules: expected keys { }, one for each rule"
        return
    zones = {str(item.get("id")) for _, item in document.entries("zones")}
    devices = {str(item.get("id")): item for _, item in document.entries("devices")}
    places = zones | set(devices) | {str(item.get("id")) for _, item in document.entries("departments")}
    for name, given in document.section("rules").items():
        where = ("rules", name)
        rule = CATALOGUE.get(name)
        if rule is None:
            if own.is_own(given):
                yield from own.check(where, given, zones, devices)
            else:
                known = ", ".join(CATALOGUE)
                yield where, f"unknown rule {shown(name)}; known are {known}; a rule of your own needs when:"
        elif given is not None and not isinstance(given, Mapping):
            yield where, f"{name}: expected keys {{ }} such as {_accepted(rule)}"
        elif given is not None:
            yield from _check_rule(where, rule, given, zones, places)


def _accepted(rule: Rule) -> str:
    return ", ".join((*(parameter.name for parameter in rule.parameters), *_OWN_KEYS))


def _check_rule(
    where: Where, rule: Rule, given: Mapping[str, Any], zones: set[str], places: set[str]
) -> Iterable[tuple[Where, str]]:
    yield from _check_numbers(where, rule, {k: v for k, v in given.items() if k not in _OWN_KEYS}, {})
    if not isinstance(given.get("enabled", True), bool):
        yield (*where, "enabled"), f"enabled: {shown(given['enabled'])} is not true or false"
    own = given.get("zones")
    if own is not None and not isinstance(own, Mapping):
        yield (*where, "zones"), 'zones: expected zones with their numbers, such as {"301": {after: 45m}}'
    else:
        for zone, numbers in (own or {}).items():
            yield from _check_zone((*where, "zones", zone), rule, zone, numbers, given, zones)
    excepted = given.get("except")
    if excepted is not None and not isinstance(excepted, tuple):
        yield (*where, "except"), "except: expected a list [ ] of zones and devices"
        return
    for number, place in enumerate(excepted or ()):
        if str(place) not in places:
            yield (*where, "except", number), f"except: there is no zone and no device {shown(place)}"


def _check_zone(
    where: Where, rule: Rule, zone: str, numbers: object, given: Mapping[str, Any], zones: set[str]
) -> Iterable[tuple[Where, str]]:
    if zone not in zones:
        yield where, f"zone {shown(zone)} does not exist; known are {listed(sorted(zones)[:12]) or 'none'}"
    if numbers is not None and not isinstance(numbers, Mapping):
        yield where, f"expected keys {{ }} such as {', '.join(parameter.name for parameter in rule.parameters)}"
    elif numbers is not None:
        yield from _check_numbers(where, rule, numbers, given)


def _check_numbers(
    where: Where, rule: Rule, given: Mapping[str, Any], around: Mapping[str, Any]
) -> Iterable[tuple[Where, str]]:
    """Each number by itself, then the pairs of which one must be below the other."""
    values = rule.defaults()
    sound = True
    for source in (around, given):
        for key, value in source.items():
            parameter = rule.parameter(key)
            if parameter is None:
                if source is given:
                    yield (*where, key), f"unknown key {shown(key)}; accepted are {_accepted(rule)}"
                continue
            if value is None:
                continue
            try:
                values[key] = _number(parameter, value)
            except ValueError as error:
                sound = False
                if source is given:
                    yield (*where, key), f"{key}: {error}"
    for low, high in rule.pairs if sound else ():
        if values[low] >= values[high]:
            yield where, f"{low} ({values[low]:g}) must be below {high} ({values[high]:g})"
