"""Home Assistant's MQTT discovery as it comes in: what each message announces, with short keys written out. Pure.

A retained message at ``homeassistant/<component>/[<node>/]<object>/config`` describes one entity, one at
``homeassistant/device/[<node>/]<object>/config`` a whole device: its entities stand by name below ``components``, and
what they share above them. An empty message takes back what was said at its topic.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import takewhile
from typing import Any, Final, NamedTuple

import msgspec

TOPICS: Final = ("homeassistant/+/+/config", "homeassistant/+/+/+/config")
"""What to subscribe to."""

_TOPIC: Final = re.compile(r"[^/]+/([a-z_]+)/(?:([^/]+)/)?([^/]+)/config")
_WHOLE_DEVICE: Final = "device"
_SHORT: Final = {
    "stat_t": "state_topic", "val_tpl": "value_template", "dev_cla": "device_class", "stat_cla": "state_class",
    "unit_of_meas": "unit_of_measurement", "avty_t": "availability_topic", "avty": "availability",
    "avty_tpl": "availability_template", "pl_avail": "payload_available", "pl_not_avail": "payload_not_available",
    "pl_on": "payload_on", "pl_off": "payload_off", "stat_on": "state_on", "stat_off": "state_off",
    "uniq_id": "unique_id", "dev": "device", "exp_aft": "expire_after", "t": "topic", "p": "platform",
    "cmps": "components", "stat_val_tpl": "state_value_template", "mode_stat_t": "mode_state_topic",
    "temp_stat_t": "temperature_state_topic", "curr_temp_t": "current_temperature_topic", "act_t": "action_topic",
    "mode_stat_tpl": "mode_state_template", "temp_stat_tpl": "temperature_state_template",
    "curr_temp_tpl": "current_temperature_template",
}  # fmt: skip
_DEVICE_SHORT: Final = {
    "ids": "identifiers", "cns": "connections", "mf": "manufacturer", "mdl": "model", "sw": "sw_version",
}  # fmt: skip
_WHERE_AVAILABLE: Final = ("availability", "availability_topic", "availability_template")
_SHARED: Final = ("~", "state_topic", "payload_available", "payload_not_available", *_WHERE_AVAILABLE)
"""What a message for a whole device may say once for all its entities."""

_LARGEST: Final = 64 * 1024  # bytes of one announcement
_LONGEST_TOPIC: Final = 500  # characters


class Availability(NamedTuple):
    """Where a device says whether it is there, by which template, and in which words."""

    topic: str
    template: object
    available: str
    gone: str


class Entity(NamedTuple):
    """What was said of one entity, with short keys written out and ``~`` put in. ``deleted``: it was taken back."""

    component: str
    node_id: str | None
    object_id: str
    deleted: bool
    config: Mapping[str, Any]

    @property
    def state_topic(self) -> str | None:
        """Where its value is published."""
        return topic_of(self.config.get("state_topic"))

    @property
    def availability(self) -> Availability | None:
        """Where it says whether it is there.

        Of several places it is the one nearest to where its values are published: others are those of a bridge, which
        goes on speaking when the device does not.
        """
        own = [topic for key in self.config if key.endswith("_topic") and (topic := topic_of(self.config[key]))]
        places = [place for place in self._availabilities() if place is not None]
        return max(places, key=lambda place: max((_shared(place.topic, one) for one in own), default=0), default=None)

    def _availabilities(self) -> Iterator[Availability | None]:
        several = self.config.get("availability")
        for one in several if isinstance(several, list) else ():
            if isinstance(one, dict):
                place = _spelled(one, _SHORT)
                yield _availability({**self.config, **place}, place.get("topic"), place.get("value_template"))
        yield _availability(
            self.config, self.config.get("availability_topic"), self.config.get("availability_template")
        )

    @property
    def device(self) -> str:
        """What says that two entities belong to one device."""
        about = self.config.get("device")
        if isinstance(about, dict):
            for names in (about.get("identifiers"), about.get("connections")):
                first = names[0] if isinstance(names, list) and names else names
                first = first[-1] if isinstance(first, list) and first else first  # a connection: ["mac", "02:5b:…"]
                if isinstance(first, str):
                    return first
        return self.node_id or self.object_id


def read_announcements(topic: str, payload: bytes) -> tuple[Entity, ...] | None:
    """The entities that a message announces or takes back; None for one that is no announcement or cannot be read."""
    match = _TOPIC.fullmatch(topic)
    if match is None or len(payload) > _LARGEST:
        return None
    component, node, ident = match.groups()
    if not payload.strip():
        return (Entity(component, node, ident, True, {}),)
    try:
        content = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    config = _spelled(content, _SHORT)
    if isinstance(config.get("device"), dict):
        config["device"] = _spelled(config["device"], _DEVICE_SHORT)
    if component == _WHOLE_DEVICE:
        return tuple(_of_device(node or ident, config))
    return (Entity(component, node, ident, False, _with_base(config)),)


def _of_device(ident: str, about: Mapping[str, Any]) -> Iterator[Entity]:
    """The entities of a message for a whole device; one without anything but its platform is no longer there."""
    components = about.get("components")
    shared = {key: about[key] for key in _SHARED if key in about}
    for name, said in components.items() if isinstance(components, dict) else ():
        own = _spelled(said, _SHORT) if isinstance(said, dict) else {}
        platform = own.pop("platform", None)
        if not own or not isinstance(platform, str):
            continue
        above = shared
        if any(key in own for key in _WHERE_AVAILABLE):
            above = {key: value for key, value in shared.items() if key not in _WHERE_AVAILABLE}
        yield Entity(platform, ident, name, False, _with_base({**above, **own, "device": about.get("device")}))


def _spelled(content: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in content.items()}


def _with_base(config: dict[str, Any]) -> dict[str, Any]:
    base = config.get("~")
    return {key: _based(value, base) for key, value in config.items()} if isinstance(base, str) else config


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


def _availability(words: Mapping[str, Any], topic: object, template: object) -> Availability | None:
    place = topic_of(topic)
    if place is None:
        return None
    available, gone = words.get("payload_available", "online"), words.get("payload_not_available", "offline")
    return Availability(place, template, str(available).lower(), str(gone).lower())


def _shared(one: str, other: str) -> int:
    """How many steps two topics have in common from the start."""
    steps = zip(one.split("/"), other.split("/"), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], steps))


def topic_of(value: object) -> str | None:
    """A topic of one device; None for what could be a thousand topics, or none."""
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_TOPIC or set("+#{}\0") & set(value):
        return None
    return None if value.startswith("$") else value
