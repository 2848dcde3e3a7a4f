"""Vectors of MQTT messages: the topic leads to a page and a device, the page to the values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from building.errors import BadFrame
from building.quantities import QUANTITIES
from building.site import Device
from collector.announcements import Entity, read_announcements
from collector.counters import Counter, CounterTracker, Event
from collector.payloads import Decoded, topics_of
from collector.profiles import Profile, TopicPoint, load_profile, profile_names
from collector.sparkplug import NAMESPACE, read_topic
from greenwarden.vectors.judging import NO_PROFILE, UNSUPPORTED, Verdict, best_of, in_unit, remarks, same

Vector = Mapping[str, Any]
_TZ: Final = ZoneInfo("UTC")
_SHAPE: Final = re.compile(
    r"(?P<name>.+?)_(?P<unit>kwh|wh|mwh|w|kw|va|var|v|a|hz|c|pct|lx|ppm|m3h|m3|l|s|dbm)"
    r"(?:_(?P<phase>l[123])|_by_(?P<many>phase|channel))?"
)
_UNITS: Final = {
    "kwh": "kWh", "wh": "Wh", "mwh": "MWh", "w": "W", "kw": "kW", "va": "VA", "var": "var", "v": "V", "a": "A",
    "hz": "Hz", "c": "°C", "pct": "%", "lx": "lx", "ppm": "ppm", "m3": "m3", "m3h": "m3/h", "l": "L",
    "s": "", "dbm": "",
}  # fmt: skip
_ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    "energy": ("energy_import",), "energy_total": ("energy_import",), "total_energy": ("energy_import",),
    "energy_returned": ("energy_export",), "relay_on": ("on",), "switch_on": ("on",), "light_on": ("on",),
    "occupied": ("occupancy",), "presence": ("occupancy",), "room_temperature": ("temperature",),
    "temperature": ("temperature", "device_temperature"), "heating_setpoint": ("setpoint",),
    "cooling_setpoint": ("setpoint",), "target_temperature": ("setpoint",), "battery": ("battery", "battery_voltage"),
    "running": ("running_state", "running"), "volume": ("volume",), "power": ("active_power",),
    "signal": ("rssi",), "counter": ("c1",), "counter_1": ("c1",), "counter_2": ("c2",), "pulses": ("c1",),
    "overtemp": ("overtemperature",), "linkquality": ("link_quality",),
}  # fmt: skip
_STRUCTURE: Final = ("device", "channel", "component", "note", "object", "field")


class Series:
    """What earlier vectors of the file said of a counter: a reset shows only against the message before."""

    def __init__(self) -> None:
        self._trackers: dict[str, CounterTracker] = {}
        self._moment = 0

    def reset(self, device: str, energy: float) -> bool | None:
        """Whether the counter fell since the message before; None where there was none."""
        known = device in self._trackers
        tracker = self._trackers.setdefault(device, CounterTracker(Counter()))
        self._moment += 300_000
        step = tracker.take(self._moment, energy)
        return step.event is Event.RESET if known else None


class _Match(NamedTuple):
    """One page's topic that fits, with the device that it then is."""

    page: Profile
    pattern: str
    device: str
    channel: int


def check_message(vector: Vector, series: Series, folder: Path | None) -> Verdict:
    """One message: its topic must lead to a page, and the page to what is stated."""
    topic, payload, stated = vector["topic"], vector.get("payload"), vector["expected"]
    if isinstance(payload, dict | list | int | float):
        payload = msgspec.json.encode(payload).decode()
    if topic.split("/")[0] == NAMESPACE:
        return _check_sparkplug(topic, stated)
    raw = str(payload if payload is not None else "").encode()
    if topic.endswith("/config"):
        return _check_discovery(topic, raw, stated)
    verdicts = [_with_page(match, raw, stated, series) for match in _matches(topic, folder)]
    if not verdicts:
        return Verdict(NO_PROFILE, f"no page has the topic {topic}")
    return best_of(verdicts)


def _matches(topic: str, folder: Path | None) -> Iterable[_Match]:
    found = []
    for name in profile_names(folder):
        page = load_profile(name, folder)
        for one in page.topics:
            # A maker's own prefix says more than a page that begins with the device's name.
            pattern = re.escape(one.topic).replace(r"\{topic\}", "(?P<topic>.+)", 1)
            pattern = pattern.replace(r"\{channel\}", r"(?P<channel>\d+)").replace(r"\{channel1\}", r"(?P<next>\d+)")
            match = re.fullmatch(pattern, topic)
            if match:
                numbers = match.groupdict()
                channel = int(numbers.get("channel") or int(numbers.get("next") or 1) - 1)
                found.append(_Match(page, one.topic, numbers["topic"], channel))
    best = max((len(match.pattern.replace("{topic}", "")) for match in found), default=0)
    return [match for match in found if len(match.pattern.replace("{topic}", "")) == best]


def _with_page(match: _Match, payload: bytes, stated: Mapping[str, Any], series: Series) -> Verdict:
    try:
        decoded = _decoded(match, payload, match.channel if "{channel" in match.pattern else None)
    except BadFrame as error:
        return remarks([] if stated.get("valid_json") is False else [str(error)])
    if stated.get("valid_json") is False:
        return remarks(["taken for a sound message"])
    faults: list[str] = []
    unread: list[str] = []
    if "device" in stated and stated["device"] not in (match.device, decoded.details.get("id")):
        faults.append(f"device: found {match.device}")
    if stated.get("channel", match.channel) != match.channel:
        faults.append(f"channel: found {match.channel}")
    energy = decoded.values.get("energy_import")
    fell = series.reset(match.device, energy) if isinstance(energy, float | int) else None
    for key, wanted in stated.items():
        if key in _STRUCTURE:
            continue
        fault = _structure(key, wanted, decoded, fell)
        if fault is None:
            fault = _value(key, wanted, decoded, match, payload)
        if fault is None:
            unread.append(key)
        elif fault:
            faults.append(fault)
    stated_of_it = [key for key in stated if key not in _STRUCTURE]
    return remarks(faults, unread, checked=len(unread) < len(stated_of_it))


def _decoded(match: _Match, payload: bytes, channel: int | None) -> Decoded:
    one = Device(id="vector", kind="plug", topic=match.device, channel=channel, litres_per_pulse=1000.0)
    place = next(number for number, topic in enumerate(match.page.topics) if topic.topic == match.pattern)
    return topics_of(match.page, one, _TZ)[place][1].decode_all(payload)


def _structure(key: str, wanted: Any, decoded: Decoded, fell: bool | None) -> str | None:
    """Keys that are about the message; '' when it is so, None for a key that is not of this kind."""
    if key == "valid_json":
        return ""
    if key == "measurement":
        return "" if bool(decoded.values) == wanted else f"found {dict(decoded.values)}"
    if key == "partial":
        return ""  # nothing is added to what a message says, so every message is as partial as it came
    if key == "value":
        found = [*decoded.values.values(), *decoded.details.values()]
        fits = any(same(one, wanted) or (isinstance(wanted, bool) and _truth(one) == wanted) for one in found)
        return "" if fits or (wanted is None and not found) else f"value: found {found or 'nothing'}, stated {wanted}"
    if key == "counter_reset" and fell is not None:
        return "" if fell == wanted else f"counter_reset: found {fell}"
    if key in ("time_local", "ts", "timestamp", "time"):
        return _time(key, wanted, decoded)
    return None


def _time(key: str, wanted: Any, decoded: Decoded) -> str:
    if isinstance(wanted, str):
        moment = datetime.fromisoformat(wanted.replace("Z", "+00:00"))
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=_TZ)
        wanted = moment.timestamp()
    found = None if decoded.told_at is None else decoded.told_at / 1000
    return "" if same(found, wanted, 0.001) else f"{key}: found {found}, stated {wanted}"


def _value(key: str, wanted: Any, decoded: Decoded, match: _Match, payload: bytes) -> str | None:
    """'' when the value came out, a fault when another did, None when no page reads it."""
    if isinstance(wanted, dict):
        return _group(key, wanted, decoded)
    shape = _SHAPE.fullmatch(key)
    name, unit, many = key, "", None
    if shape is not None:
        name, unit, many = shape["name"], _UNITS[shape["unit"]], shape["many"]
        name += f"_{shape['phase']}" if shape["phase"] else ""
    elif key.endswith(("_by_phase", "_by_channel")):
        name, _, many = key.rpartition("_by_")
    if many is not None:
        return _several(key, name, unit, many, wanted, match, payload)
    return _single(key, name, unit, wanted, decoded)


def _single(key: str, name: str, unit: str, wanted: Any, decoded: Decoded) -> str | None:
    base, _, phase = name.rpartition("_")
    phased = tuple(f"{one}_{phase}" for one in _ALIASES.get(base, ())) if re.fullmatch("l[123]", phase) else ()
    names = (name, *_ALIASES.get(name, ()), *phased)
    if name in ("open", "window_open", "door_open") and isinstance(wanted, bool):
        names, wanted = ("contact",), not wanted
    found: list[Any] = []
    known = False
    for one in names:
        stated, tolerance = in_unit(one, wanted, unit, 0.0)
        known = known or one in QUANTITIES
        for place in (decoded.details, decoded.values):
            if one in place:
                got: Any = place[one]
                if same(got, stated, tolerance) or (isinstance(stated, bool) and _truth(got) == stated):
                    return ""
                found.append(got)
    if found:
        return f"{key}: found {' or '.join(map(str, found))}, stated {wanted}"
    if wanted is None:
        return ""
    return f"{key}: found nothing, stated {wanted}" if known else None


def _group(key: str, wanted: Mapping[str, Any], decoded: Decoded) -> str | None:
    """A group of details under the device's own names ({"Switch1": true})."""
    for name, one in wanted.items():
        if name.lower() not in decoded.details:
            return None
        if fault := _single(f"{key}.{name}", name.lower(), "", one, decoded):
            return fault
    return ""


def _truth(value: Any) -> bool | None:
    return bool(value) if value in (0, 1, True, False) else None


def _several(key: str, name: str, unit: str, many: str, wanted: list[Any], match: _Match, payload: bytes) -> str | None:
    """One value per phase, or per channel of the device."""
    for number, one in enumerate(wanted):
        if many == "phase":
            decoded = _decoded(match, payload, match.channel)
            fault = _single(key, f"{_ALIASES.get(name, (name,))[0]}_l{number + 1}", unit, one, decoded)
        else:
            fault = _single(key, name, unit, one, _decoded(match, payload, number))
        if fault != "":
            return fault
    return ""


# -- announcements and gateways ---------------------------------------------------------------------------------------


def _check_discovery(topic: str, payload: bytes, stated: Mapping[str, Any]) -> Verdict:
    entities = read_announcements(topic, payload)
    if not entities:
        return remarks([] if stated.get("valid_json") is False else ["not taken for an announcement"])
    entity = entities[0]
    found: dict[str, Any] = {"component": entity.component, "object_id": entity.object_id, "node_id": entity.node_id}
    found |= {"deleted": entity.deleted} if entity.deleted else _announced(entity)
    faults = [f"{key}: found {found[key]}" for key, one in stated.items() if key in found and not same(found[key], one)]
    return remarks(faults, [key for key in stated if key not in found])


def _announced(entity: Entity) -> dict[str, Any]:
    config = entity.config
    found = {key: value for key, value in config.items() if key not in ("device", "~")}
    return {
        **found,
        "deleted": False,
        "state_topic": entity.state_topic,
        "availability_topic": entity.availability.topic if entity.availability is not None else None,
        "unit": config.get("unit_of_measurement"),
        "expire_after_s": config.get("expire_after"),
    }


def _check_sparkplug(topic: str, stated: Mapping[str, Any]) -> Verdict:
    """Sparkplug B: the topic is read, the payload is not."""
    speaker = read_topic(topic)
    if speaker is None:
        return remarks([] if stated.get("valid") is False else ["not taken for a topic of Sparkplug B"])
    found: dict[str, Any] = {**speaker._asdict(), "type": speaker.kind}
    found["effect"] = f"all metrics of {speaker.silences} stale" if speaker.silences else None
    faults = [f"{key}: found {found[key]}" for key, one in stated.items() if key in found and not same(found[key], one)]
    return remarks(faults, [key for key in stated if key not in found])


def check_gateway_fields(vector: Vector) -> Verdict:
    """A telegram as the wmbusmeters gateway passes it on: the fields it publishes, read by the page for it."""
    fields = vector["expected"]
    if not isinstance(fields, dict):
        return Verdict(UNSUPPORTED, "no fields of a gateway are stated")
    payload = msgspec.json.encode({**fields, "name": "meter", "timestamp": "2026-01-05T08:00:00Z"})
    match = _Match(load_profile("wmbusmeters"), "wmbusmeters/{topic}", "meter", 0)
    decoded = _decoded(match, payload, None)
    points = [point for topic in match.page.topics for point in topic.values if point.quantity]
    stated = [point for point in points if any(key in point.path for key in fields) and _meant(point, fields)]
    if not stated:
        return Verdict(UNSUPPORTED, "the gateway publishes nothing of it that is a quantity")
    faults = []
    for point in stated:
        path = next(one for one in point.path if one in fields)
        words = {word.lower(): meaning for word, meaning in point.words.items()}
        wanted, _ = in_unit(point.quantity, fields[path], point.unit, 0.0)
        if not same(decoded.values.get(point.quantity), words.get(str(wanted).lower(), wanted)):
            faults.append(f"{path}: found {decoded.values.get(point.quantity)}, stated {wanted}")
    return remarks(faults)


def _meant(point: TopicPoint, fields: Mapping[str, Any]) -> bool:
    """Whether the page reads ``point`` from a message with such ``fields``."""
    place, _, word = point.when.partition("=")
    return not place or str(fields.get(place)).lower() == word.lower()
