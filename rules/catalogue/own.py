"""Rules that a site writes itself, in the ``rules:`` section of its file::

rules:
  server_room_warm:
    when: temperature > 28 or humidity > 70
    kind: sensor              # or devices: [...]; else all that may tell what the condition asks
    zones: ["server"]
    after: 10m
    clear: 5m
    severity: critical
    text: 机房过热，请检查空调      # or {zh: …, en: …}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, get_args

from building.document import Where
from building.durations import parse_duration
from building.errors import shown
from building.quantities import QUANTITIES
from building.site import DAY, Device, Kind, Site
from rules.bench import Bench
from rules.catalogue.conditions import Term, names, parse, wire
from rules.catalogue.page import Condition, Parameter, Rule, Text, Values

KEYS: Final = ("when", "kind", "devices", "zones", "after", "clear", "severity", "text", "advice", "enabled", "except")
_SEVERITIES: Final = ("info", "warning", "critical")
_ELECTRIC: Final = tuple(q for q in QUANTITIES if q.startswith(("active_", "reactive", "apparent", "power_", "volt",
                                                                "current", "freq", "energy")))  # fmt: skip
TELLS: Final[Mapping[str, tuple[str, ...]]] = {
    "electricity": _ELECTRIC,
    "plug": (*_ELECTRIC, "on", "temperature"),
    "light": ("on", "running", *_ELECTRIC),
    "water": ("volume", "flow", "temperature", "battery"),
    "aircon": ("setpoint", "mode", "running", "on", "temperature", "humidity", *_ELECTRIC),
    "sensor": ("temperature", "humidity", "illuminance", "co2", "occupancy", "people", "contact", "battery"),
}
"""What devices of a kind may tell, besides ``online``; one that lists its ``quantities`` tells those."""


def is_own(given: object) -> bool:
    """Whether an entry of the rules section is a rule of the site's own."""
    return isinstance(given, Mapping) and "when" in given


def may_tell(device: Mapping[str, Any], quantity: str) -> bool:
    """Whether a device, as written in the file, may tell ``quantity``."""
    listed = device.get("quantities")
    told = listed if listed and isinstance(listed, tuple) else TELLS.get(str(device.get("kind")), ())
    return quantity == "online" or quantity in told


def build(name: str, given: Mapping[str, Any]) -> Rule:
    """The rule of a section that has passed ``check``."""
    term = parse(given["when"])
    text = _text(given.get("text"), name)
    kind, devices, zones = given.get("kind"), _listed(given, "devices"), _listed(given, "zones")
    severity: Literal["info", "warning", "critical"] = given.get("severity", "warning")
    advice = _sentence(_text(given.get("advice"), ""))

    def applies(device: Device) -> bool:
        chosen = _matches(device.id, device.kind, device.zone, kind, devices, zones)
        page = {"kind": device.kind, "quantities": device.quantities}
        return chosen and all(may_tell(page, n.quantity) for n in names(term) if n.owner == "")

    def wired(bench: Bench, device: Device, _values: Values) -> Condition:
        cells = wire(term, bench, device)
        sure = cells.room.vacant_for_sure if cells.room is not None and "empty" in given["when"] else None
        return Condition(cells.test, cells.inputs, cells.shown, cells.room, sure=sure, parts=cells.parts)

    return Rule(
        name=name,
        sentence=_sentence(text),
        title=Text(f"{{place}}：{_plain(text.zh)}（{{device}}）", f"{{place}}: {_plain(text.en)} ({{device}})"),
        advice=advice,
        clause=Text("本单位规定", "A rule of this site"),
        severity=severity,
        parameters=_parameters(given),
        kinds=(kind,) if kind else (),
        quantities=tuple(dict.fromkeys(n.quantity for n in names(term))),
        wasted=None,
        applies=applies,
        wire=wired,
    )


def _sentence(text: Text) -> Text:
    """With a full stop, so that what follows does not run into it."""
    return Text(_stopped(text.zh, "。"), _stopped(text.en, "."))


def _stopped(words: str, stop: str) -> str:
    return words if not words or words[-1] in "。！？；.!?;" else words + stop


def _plain(text: str) -> str:
    """Brackets of a text are no places to fill in."""
    return text.rstrip("。.").replace("{", "{{").replace("}", "}}")


def _parameters(given: Mapping[str, Any]) -> tuple[Parameter, ...]:
    waits = {
        "after": Text("持续多久后告警", "How long it must hold"),
        "clear": Text("消失多久后解除", "How long it must be over"),
    }
    return tuple(
        Parameter(key, "ms", parse_duration(given[key]) if given.get(key) is not None else 0, 0, 30 * DAY, text)
        for key, text in waits.items()
    )


def _text(given: object, default: str) -> Text:
    if isinstance(given, Mapping):
        zh, en = given.get("zh"), given.get("en")
        return Text(str(zh or en or default), str(en or zh or default))
    return Text(str(given), str(given)) if given else Text(default, default)


def _listed(given: Mapping[str, Any], key: str) -> frozenset[str] | None:
    """The ids under ``key``, for which a number such as 301 is as good as text; None where any will do."""
    listed = given.get(key)
    return frozenset(map(str, listed)) if isinstance(listed, tuple) else None


def _matches(
    ident: str, kind: str, zone: object, wanted: object, devices: frozenset[str] | None, zones: frozenset[str] | None
) -> bool:
    return (
        (wanted is None or kind == wanted)
        and (devices is None or ident in devices)
        and (zones is None or (zone is not None and str(zone) in zones))
    )


_CACHE: Final[list[tuple[object, dict[str, Rule]]]] = []
_CACHED: Final = 4


def own_rules(site: Site) -> Mapping[str, Rule]:
    """The site's own rules, built once for the sites used last."""
    for section, rules in _CACHE:
        if section is site.rules:
            return rules
    rules = {name: build(name, given) for name, given in site.rules.items() if is_own(given)}
    _CACHE.insert(0, (site.rules, rules))
    del _CACHE[_CACHED:]
    return rules


def check(
    where: Where, given: Mapping[str, Any], zones: set[str], devices: Mapping[str, Mapping[str, Any]]
) -> Iterable[tuple[Where, str]]:
    """Mistakes in one rule of the site's own, each with its place."""
    for key in given:
        if key not in KEYS:
            yield (*where, key), f"unknown key {shown(key)}; accepted are {', '.join(KEYS)}"
    yield from _check_simple(where, given)
    for key, known in (("zones", zones), ("devices", set(devices)), ("except", zones | set(devices))):
        listed = given.get(key)
        if listed is not None and not isinstance(listed, tuple):
            yield (*where, key), f"{key}: expected a list [ ]"
        for number, one in enumerate(listed if isinstance(listed, tuple) else ()):
            if str(one) not in known:
                yield (*where, key, number), f"{key}: {shown(one)} does not exist"
    try:
        term = parse(given["when"]) if isinstance(given["when"], str) else None
    except ValueError as error:
        yield (*where, "when"), f"when: {error}"
        return
    if term is None:
        yield (*where, "when"), "when: expected a condition such as temperature > 28"
    else:
        yield from _check_names((*where, "when"), term, given, devices)


def _check_simple(where: Where, given: Mapping[str, Any]) -> Iterable[tuple[Where, str]]:
    for key in ("after", "clear"):
        if given.get(key) is not None:
            try:
                parse_duration(given[key])
            except ValueError as error:
                yield (*where, key), f"{key}: {error}"
    if given.get("severity", "warning") not in _SEVERITIES:
        yield (*where, "severity"), f"severity: {shown(given['severity'])} is none of {', '.join(_SEVERITIES)}"
    if given.get("kind") is not None and given["kind"] not in get_args(Kind):
        yield (*where, "kind"), f"kind: {shown(given['kind'])} is none of {', '.join(get_args(Kind))}"
    if not isinstance(given.get("enabled", True), bool):
        yield (*where, "enabled"), f"enabled: {shown(given['enabled'])} is not true or false"


def _check_names(
    where: Where, term: Term, given: Mapping[str, Any], devices: Mapping[str, Mapping[str, Any]]
) -> Iterable[tuple[Where, str]]:
    """Every quantity must be told by some device that the rule is about, or that is named."""
    chosen = [
        page
        for ident, page in devices.items()
        if _matches(
            ident,
            str(page.get("kind")),
            page.get("zone"),
            given.get("kind"),
            _listed(given, "devices"),
            _listed(given, "zones"),
        )
    ]
    own = [n.quantity for n in names(term) if n.owner == ""]
    for name in names(term):
        if name.owner == "" and not any(may_tell(page, name.quantity) for page in chosen):
            yield where, f"when: no device that the rule is about tells {name.quantity}"
        elif name.owner == "zone" and not any(may_tell(page, name.quantity) for page in devices.values()):
            yield where, f"when: no device tells {name.quantity}"
        elif name.owner not in ("", "zone"):
            if name.owner not in devices:
                yield where, f"when: there is no device '{name.owner}'"
            elif not may_tell(devices[name.owner], name.quantity):
                yield where, f"when: the device '{name.owner}' does not tell {name.quantity}"
    if own and chosen and not any(all(may_tell(page, q) for q in own) for page in chosen):
        yield where, f"when: no single device tells all of {', '.join(dict.fromkeys(own))}; write zone.quantity"
