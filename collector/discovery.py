"""A profile page for a device that described itself for Home Assistant, so that it is collected like any other. Pure.

What has no quantity, or a template that does more than name a path, is left out; so is what would be a second value of
one quantity, because two counters or two switches under one name would be neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from building.quantities import QUANTITIES, Nature
from collector.announcements import Availability, Entity, topic_of
from collector.units import convertible

_FILTERS: Final = r"(?:\|\s*(?:float|int|round|string|lower|upper|trim|default|is_defined)(?:\([^)]*\))?\s*)*"
"""What may follow a path, because it changes nothing but the form of a number or word."""
_PATH: Final = re.compile(r"\{\{\s*value_json((?:\.\w+|\[['\"][^'\"]+['\"]\])+)\s*" + _FILTERS + r"\}\}")
_STEP: Final = re.compile(r"\.(\w+)|\[['\"]([^'\"]+)['\"]\]")
_WHOLE: Final = re.compile(r"\{\{\s*value\s*" + _FILTERS + r"\}\}")
_TOTALS: Final = ("total_increasing", "total")

_SENSORS: Final = {
    "energy": "energy_import", "power": "active_power", "voltage": "voltage", "current": "current",
    "power_factor": "power_factor", "frequency": "frequency", "water": "volume", "gas": "volume", "volume": "volume",
    "volume_flow_rate": "flow", "temperature": "temperature", "humidity": "humidity", "illuminance": "illuminance",
    "carbon_dioxide": "co2", "battery": "battery", "apparent_power": "apparent_power",
    "reactive_power": "reactive_power",
}  # fmt: skip
_OCCUPANCY: Final = ("presence", "occupancy", "motion")  # the surest first: who sits still makes no motion
_OPENINGS: Final = ("window", "door", "opening", "garage_door")
_MODES: Final = {"off": "off", "auto": "auto", "heat_cool": "auto", "cool": "cool", "heat": "heat", "dry": "dry"}
_MODE_WORDS: Final = {**_MODES, "fan_only": "fan"}
_UNITS: Final = {"m³": "m3", "m³/h": "m3/h", "°C": "°C", "°F": "°F"}


class Page(NamedTuple):
    """The device's ``topic:``, the content of its page, and the quantities of which it announced more than one."""

    topic: str
    content: dict[str, Any]
    several: tuple[str, ...] = ()


class _Value(NamedTuple):
    topic: str
    point: dict[str, Any]
    rank: int = 0  # of several for one quantity, the lowest is taken

    @property
    def place(self) -> tuple[str, str]:
        return self.topic, self.point.get("path", "")


def page_of(entities: Iterable[Entity]) -> Page | None:
    """A page for the entities of one device; None when nothing of it is a quantity."""
    told = [entity for entity in entities if not entity.deleted]
    values, several = _chosen(value for entity in told for value in _values(entity))
    if not values:
        return None
    prefix = _common([value.topic for value in values])
    topics: dict[str, list[dict[str, Any]]] = {}
    for value in values:
        topics.setdefault("{topic}" + value.topic[len(prefix) :], []).append(value.point)
    about = told[0].config.get("device")
    about = about if isinstance(about, dict) else {}
    title = " ".join(str(about[key]) for key in ("manufacturer", "model", "name") if about.get(key)) or told[0].device
    content = {
        "title": title,
        "source": "what the device announced for Home Assistant's MQTT discovery",
        "protocol": "mqtt",
        "topics": [
            {"topic": topic, "values": points}
            | ({"trusted": True} if all(point["quantity"] == "online" for point in points) else {})
            for topic, points in topics.items()
        ],
    }
    return Page(prefix, content, several)


def _chosen(values: Iterable[_Value]) -> tuple[list[_Value], tuple[str, ...]]:
    """One value for each quantity, whatever order they came in, and the quantities that had more than one.

    Where their meaning does not decide, the shortest place is taken: "power" before "power_phase_b", "energy" before
    "energy_today".
    """
    chosen: dict[str, _Value] = {}
    several: dict[str, None] = {}
    for value in sorted(values, key=lambda one: (one.rank, sum(map(len, one.place)), one.place)):
        name = value.point["quantity"]
        if chosen.setdefault(name, value).place != value.place:
            several[name] = None
    return list(chosen.values()), tuple(several)


def _common(topics: list[str]) -> str:
    """The path that all topics share; of a single topic, all of it."""
    if len(set(topics)) == 1:
        return topics[0]
    shared = []
    for parts in zip(*(topic.split("/") for topic in topics), strict=False):  # as far as the shortest goes
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return "/".join(shared)


def _values(entity: Entity) -> Iterable[_Value]:
    if entity.component == "climate":
        yield from _climate(entity)
    else:
        yield from _single(entity)
    if (place := entity.availability) is not None and (point := _online(place)) is not None:
        yield _Value(place.topic, point)


def _online(place: Availability) -> dict[str, Any] | None:
    """Without a template some publish the word, some an object with a ``state``."""
    path = "state" if place.template is None else _path(place.template)
    if path is None:
        return None
    words = {place.available: 1, place.gone: 0}
    return {"quantity": "online", "path": path or "state", "bare": True, "words": words}


def _single(entity: Entity) -> Iterable[_Value]:
    config, topic = entity.config, entity.state_topic
    path = _path(config.get("value_template", config.get("state_value_template")))
    if entity.component == "light" and config.get("schema") == "json":
        path = "state"
    kind = str(config.get("device_class") or "")
    if topic is None or path is None:
        return
    where: dict[str, Any] = {"path": path} if path else {}
    if entity.component == "sensor" and kind in _SENSORS:
        quantity, unit = _SENSORS[kind], str(config.get("unit_of_measurement") or "")
        unit = _UNITS.get(unit, unit)
        if not unit or convertible(unit, QUANTITIES[quantity]):
            point = {"quantity": quantity, **where, **({"unit": unit} if unit else {}), "text": True}
            counts = QUANTITIES[quantity].nature is Nature.COUNTER
            yield _Value(topic, point, int(counts and config.get("state_class") not in _TOTALS))
        return
    on = str(config.get("state_on", config.get("payload_on", "ON"))).lower()
    off = str(config.get("state_off", config.get("payload_off", "OFF"))).lower()
    if entity.component == "binary_sensor" and kind in _OCCUPANCY:
        yield _Value(topic, {"quantity": "occupancy", **where, "words": {on: 1, off: 0}}, _OCCUPANCY.index(kind))
    elif entity.component == "binary_sensor" and kind in _OPENINGS:
        yield _Value(topic, {"quantity": "contact", **where, "words": {on: 0, off: 1}})
    elif entity.component in ("switch", "light"):
        yield _Value(topic, {"quantity": "on", **where, "words": {on: 1, off: 0}})


def _climate(entity: Entity) -> Iterable[_Value]:
    config = entity.config
    for quantity, key, template in (
        ("mode", "mode_state_topic", "mode_state_template"),
        ("setpoint", "temperature_state_topic", "temperature_state_template"),
        ("temperature", "current_temperature_topic", "current_temperature_template"),
    ):
        topic, path = topic_of(config.get(key)), _path(config.get(template))
        if topic is None or path is None:
            continue
        where: dict[str, Any] = {"path": path} if path else {}
        if quantity == "mode":
            yield _Value(topic, {"quantity": "mode", **where, "words": dict(_MODE_WORDS)})
            running = {word: int(meaning != "off") for word, meaning in _MODE_WORDS.items()}
            yield _Value(topic, {"quantity": "running", **where, "words": running})
        else:
            yield _Value(topic, {"quantity": quantity, **where, "text": True})


def _path(template: object) -> str | None:
    """The path a template names ("" for the whole payload); None for a template that does more than that."""
    if template is None:
        return ""
    if not isinstance(template, str):
        return None
    if _WHOLE.fullmatch(template.strip()):
        return ""
    match = _PATH.fullmatch(template.strip())
    if match is None:
        return None
    steps = [first or second for first, second in _STEP.findall(match.group(1))]
    return None if any("." in step for step in steps) else ".".join(steps)
