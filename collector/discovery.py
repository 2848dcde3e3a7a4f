"""Home Assistant's MQTT discovery, read by somebody who is not Home Assistant: devices that describe themselves.

Retained messages at ``homeassistant/<component>/[<node>/]<object>/config`` say topic, unit and kind of each value. From
those of one device a profile page is made, so that it is collected like any other. Pure.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from building.quantities import QUANTITIES
from collector.units import convertible

TOPICS: Final = ("homeassistant/+/+/config", "homeassistant/+/+/+/config")
"""What to subscribe to."""

_TOPIC: Final = re.compile(r"[^/]+/([a-z_]+)/(?:([^/]+)/)?([^/]+)/config")
_SHORT: Final = {
    "stat_t": "state_topic", "val_tpl": "value_template", "dev_cla": "device_class", "stat_cla": "state_class",
    "unit_of_meas": "unit_of_measurement", "avty_t": "availability_topic", "avty": "availability",
    "pl_avail": "payload_available", "pl_not_avail": "payload_not_available", "pl_on": "payload_on",
    "pl_off": "payload_off", "uniq_id": "unique_id", "dev": "device", "exp_aft": "expire_after", "t": "topic",
    "mode_stat_t": "mode_state_topic", "temp_stat_t": "temperature_state_topic",
    "curr_temp_t": "current_temperature_topic", "act_t": "action_topic", "mode_stat_tpl": "mode_state_template",
    "temp_stat_tpl": "temperature_state_template", "curr_temp_tpl": "current_temperature_template",
}  # fmt: skip
_DEVICE_SHORT: Final = {"ids": "identifiers", "mf": "manufacturer", "mdl": "model", "sw": "sw_version"}
_PATH: Final = re.compile(
    r"\{\{\s*value_json((?:\.\w+|\[['\"][^'\"]+['\"]\])+)\s*(?:\|\s*[a-z_]+(?:\([^)]*\))?\s*)*\}\}"
)
_STEP: Final = re.compile(r"\.(\w+)|\[['\"]([^'\"]+)['\"]\]")
_WHOLE: Final = re.compile(r"\{\{\s*value\s*(?:\|\s*[a-z_]+(?:\([^)]*\))?\s*)*\}\}")
_LARGEST: Final = 64 * 1024  # bytes of one announcement

_LONGEST_TOPIC: Final = 500  # characters

_SENSORS: Final = {
    "energy": "energy_import", "power": "active_power", "voltage": "voltage", "current": "current",
    "power_factor": "power_factor", "frequency": "frequency", "water": "volume", "volume": "volume",
    "volume_flow_rate": "flow", "temperature": "temperature", "humidity": "humidity", "illuminance": "illuminance",
    "carbon_dioxide": "co2", "battery": "battery", "apparent_power": "apparent_power",
    "reactive_power": "reactive_power",
}  # fmt: skip
_OCCUPANCY: Final = ("occupancy", "motion", "presence")
_OPENINGS: Final = ("window", "door", "opening", "garage_door")
_MODES: Final = {"off": "off", "auto": "auto", "heat_cool": "auto", "cool": "cool", "heat": "heat", "dry": "dry"}
_MODE_WORDS: Final = {**_MODES, "fan_only": "fan"}
_UNITS: Final = {"m³": "m3", "m³/h": "m3/h", "°C": "°C", "°F": "°F"}


class Entity(NamedTuple):
    """One announcement, with short keys written out and ``~`` put in. ``deleted``: it was taken back."""

    component: str
    node_id: str | None
    object_id: str
    deleted: bool
    config: Mapping[str, Any]

    @property
    def state_topic(self) -> str | None:
        """Where its value is published."""
        return _topic(self.config.get("state_topic"))

    @property
    def availability_topic(self) -> str | None:
        """Where it says whether it is there: the first, where several are named."""
        several = self.config.get("availability")
        if isinstance(several, list) and several and isinstance(several[0], dict):
            return _topic(_spelled(several[0], _SHORT).get("topic"))
        return _topic(self.config.get("availability_topic"))

    @property
    def device(self) -> str:
        """What says that two entities belong to one device."""
        about = self.config.get("device")
        if isinstance(about, dict):
            idents = about.get("identifiers")
            first = idents[0] if isinstance(idents, list) and idents else idents
            if isinstance(first, str):
                return first
        return self.node_id or self.object_id


def read_announcement(topic: str, payload: bytes) -> Entity | None:
    """The entity that a message announces; None for one that announces nothing or cannot be read."""
    match = _TOPIC.fullmatch(topic)
    if match is None or len(payload) > _LARGEST:
        return None
    component, node, ident = match.groups()
    if not payload.strip():
        return Entity(component, node, ident, True, {})
    try:
        content = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    config = _spelled(content, _SHORT)
    if isinstance(config.get("device"), dict):
        config["device"] = _spelled(config["device"], _DEVICE_SHORT)
    base = config.get("~")
    if isinstance(base, str):
        config = {key: _based(value, base) for key, value in config.items()}
    return Entity(component, node, ident, False, config)


def _spelled(content: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in content.items()}


def _based(value: Any, base: str) -> Any:
    if isinstance(value, list):
        return [
            {key: _based(one, base) for key, one in item.items()} if isinstance(item, dict) else item for item in value
        ]
    if not isinstance(value, str) or "{{" in value:
        return value
    if value.startswith("~"):
        return base + value[1:]
    return value[:-1] + base if value.endswith("~") else value


def _topic(value: object) -> str | None:
    """A topic of one device; None for what could be a thousand topics, or none."""
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_TOPIC or set("+#{}\0") & set(value):
        return None
    return None if value.startswith("$") else value


# -- a page for a device ----------------------------------------------------------------------------------------------


class _Value(NamedTuple):
    topic: str
    point: dict[str, Any]


def page_of(entities: Iterable[Entity]) -> tuple[str, dict[str, Any]] | None:
    """(the device's ``topic:``, the content of a profile page) for the entities of one device.

    None when nothing of it is a quantity. What has no quantity, or a template that is more than a path, is left out.
    """
    told = [entity for entity in entities if not entity.deleted]
    values = [value for entity in told for value in _values(entity)]
    if not values:
        return None
    prefix = _common([value.topic for value in values])
    topics: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for value in values:
        inside = "{topic}" + value.topic[len(prefix) :]
        if all(point["quantity"] != value.point["quantity"] for point in topics[inside]):
            topics[inside].append(value.point)
    about = told[0].config.get("device")
    about = about if isinstance(about, dict) else {}
    title = " ".join(str(about[key]) for key in ("manufacturer", "model", "name") if about.get(key)) or told[0].device
    page = {
        "title": title,
        "source": "what the device announced for Home Assistant's MQTT discovery",
        "protocol": "mqtt",
        "topics": [
            {"topic": topic, "values": points}
            | ({"trusted": True} if all(point["quantity"] == "online" for point in points) else {})
            for topic, points in topics.items()
        ],
    }
    return prefix, page


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
    if (topic := entity.availability_topic) is not None:
        available = str(entity.config.get("payload_available", "online")).lower()
        gone = str(entity.config.get("payload_not_available", "offline")).lower()
        yield _Value(topic, {"quantity": "online", "path": "state", "bare": True, "words": {available: 1, gone: 0}})


def _single(entity: Entity) -> Iterable[_Value]:
    config, topic = entity.config, entity.state_topic
    path = _path(config.get("value_template"))
    kind = str(config.get("device_class") or "")
    if topic is None or path is None:
        return
    where: dict[str, Any] = {"path": path} if path else {}
    if entity.component == "sensor" and kind in _SENSORS:
        quantity, unit = _SENSORS[kind], str(config.get("unit_of_measurement") or "")
        unit = _UNITS.get(unit, unit)
        if not unit or convertible(unit, QUANTITIES[quantity]):
            yield _Value(topic, {"quantity": quantity, **where, **({"unit": unit} if unit else {}), "text": True})
        return
    on = str(config.get("state_on", config.get("payload_on", "ON"))).lower()
    off = str(config.get("state_off", config.get("payload_off", "OFF"))).lower()
    if entity.component == "binary_sensor" and kind in _OCCUPANCY:
        yield _Value(topic, {"quantity": "occupancy", **where, "words": {on: 1, off: 0}})
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
        topic, path = _topic(config.get(key)), _path(config.get(template))
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
