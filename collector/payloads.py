"""MQTT payloads to quantities, by the topics of a profile. Pure.

Only what a message says becomes a value: a missing field stays absent, ``null`` and what cannot be read become flaws.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from fractions import Fraction
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec

from building.errors import BadFrame
from building.instants import EARLIEST, from_iso
from building.quantities import QUANTITIES, Nature, Quantity, implausible
from building.readings import Flaw, Grade
from building.site import Device
from collector.decoding import NO_VALUE, Flaws, Values, installed
from collector.profiles import Profile, Topic, TopicPoint
from collector.units import conversion, convertible

LARGEST_PAYLOAD: Final = 256 * 1024  # bytes; a plug's telemetry has a few hundred

_STATES: Final[Mapping[str, int]] = {
    "on": 1, "off": 0, "true": 1, "false": 0, "1": 1, "0": 0, "online": 1, "offline": 0,
}  # fmt: skip
_MISSING: Final = object()
_LARGEST_NUMBER: Final = 1e300  # JSON has numbers of any length
_DECODE: Final = msgspec.json.Decoder().decode


class Decoded(NamedTuple):
    """What one message said. ``told_at`` is the device's own time in ms UTC, where it gave a believable one.

    ``details`` are the page's points that are no quantity, as they stand in the message; only when asked for.
    """

    values: Values
    flaws: Flaws
    told_at: int | None
    details: Mapping[str, Any] = MappingProxyType({})


class _Field(NamedTuple):
    point: TopicPoint
    quantity: Quantity
    paths: tuple[tuple[str, ...], ...]
    unless: tuple[str, ...]
    beside: tuple[str, ...]
    plus: tuple[tuple[str, ...], ...]
    when: tuple[tuple[str, ...], str]  # a path and the word that must stand there; empty for always
    words: Mapping[str, str | int]
    factor: Fraction  # the page's scale, and what the device's place adds: ratios, pulse weight, sign
    plain: tuple[int, int, float, float, float] | None
    """For a number in a fixed unit: value = raw x first / second + third, good from fourth to fifth."""


_Places = tuple[tuple[_Field, str, tuple[str, ...], tuple[int, int, float, float, float] | None], ...]
"""The fields that a message of one shape carries: with name, place and ``plain``."""

_MOST_SHAPES: Final = 64  # remembered for each topic; a device has a few


class PayloadDecoder:
    """Reads the payloads of one topic of one device."""

    def __init__(self, topic: Topic, device: Device, tz: tzinfo) -> None:
        self.device = device.id
        self.trusted = topic.trusted
        self._channel = device.channel
        self._tz = tz
        self._root = _parts(topic.root)
        self._time = _parts(topic.time)
        self._fields = [_field(point, device) for point in topic.values if point.quantity]
        self._details = [point for point in topic.values if point.name]
        self._wants_object = any(point.path for point in topic.values)
        self._shallow = all(
            len(path) <= 2 for field in self._fields for path in (*field.paths, *field.plus, field.unless, field.beside)
        )
        self._places: dict[tuple[Any, ...], _Places] = {}

    def decode_all(self, payload: bytes) -> Decoded:
        """Like ``decode``, with the points of the page that are no quantity, as they stand there."""
        decoded = self.decode(payload)
        content = self._content(payload)
        body = _find(content, self._root) if self._root else content
        found = {point.name: _detail(point, body, self._channel or 0) for point in self._details}
        return decoded._replace(details={name: value for name, value in found.items() if value is not _MISSING})

    def decode(self, payload: bytes, *, dated: bool = True) -> Decoded:
        """Values, flaws and, if ``dated``, the time in ``payload``. Raises BadFrame when it cannot be read at all."""
        if len(payload) > LARGEST_PAYLOAD:
            raise BadFrame(f"the message is {len(payload)} bytes long; more than {LARGEST_PAYLOAD} are not read")
        content = self._content(payload)
        body = _find(content, self._root) if self._root else content
        values: Values = {}
        flaws: Flaws = {}
        told_at = self._told_at(body) if dated else None
        if not self._shallow or not isinstance(body, dict):
            for field in self._fields:
                self._take(field, _raw(field, body), body, values, flaws)
            return Decoded(values, flaws, told_at)
        for field, name, place, plain in self._places_in(body):
            raw = body[place[0]] if len(place) == 1 else body[place[0]][place[1]]
            if plain is not None and (type(raw) is float or type(raw) is int):
                top, bottom, shift, low, high = plain
                try:
                    value = raw * top / bottom + shift
                except OverflowError:  # JSON has numbers of any length
                    value = math.inf
                if low <= value <= high:
                    values[name] = value
                    continue
            self._take(field, raw, body, values, flaws)
        return Decoded(values, flaws, told_at)

    def _take(self, field: _Field, raw: Any, body: Any, values: Values, flaws: Flaws) -> None:
        """Book what ``raw`` means, whatever it is."""
        place, word = field.when
        if place and str(_find(body, place)).lower() != word:
            return
        if raw is _MISSING or (isinstance(raw, list) and field.point.many == "skip" and self._channel is None):
            return
        found = self._value(field, raw, body)
        if isinstance(found, Flaw):
            flaws[field.quantity.name] = found
            return
        values[field.quantity.name] = found
        if reason := implausible(field.quantity.name, found):
            flaws[field.quantity.name] = Flaw(Grade.BAD, reason)

    def _places_in(self, body: dict[str, Any]) -> _Places:
        """Which fields ``body`` has, and where: looked up once for each shape, because a device repeats its shapes."""
        shape = (*body, *[(key, *value) for key, value in body.items() if type(value) is dict])
        places = self._places.get(shape)
        if places is None:
            if len(self._places) >= _MOST_SHAPES:
                self._places.clear()
            places = self._places[shape] = tuple(
                (field, field.quantity.name, place, field.plain)
                for field in self._fields
                if (place := _place(field, body))
            )
        return places

    def _content(self, payload: bytes) -> Any:
        if self._wants_object:
            try:
                content = _DECODE(payload)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                if any(field.point.bare for field in self._fields):
                    return _text(payload)
                raise BadFrame(f"the message is not JSON ({error})") from None
            if isinstance(content, dict) or any(field.point.bare for field in self._fields):
                return content
            raise BadFrame("the message is JSON, but no object with names and values")
        return _text(payload)

    def _value(self, field: _Field, raw: Any, body: Any) -> float | str | Flaw:
        if isinstance(raw, list):
            raw = _chosen(field, raw, self._channel)
        if raw is None:
            return NO_VALUE
        if isinstance(raw, Flaw):
            return raw
        if field.words or field.quantity.nature in (Nature.STATE, Nature.WORD):
            return _word(field, raw)
        return _number(field, raw, body)

    def _told_at(self, body: Any) -> int | None:
        said = _find(body, self._time) if self._time else _MISSING
        try:
            if isinstance(said, str):
                moment = from_iso(said, self._tz)
            elif isinstance(said, int | float) and not isinstance(said, bool):
                moment = int(said if said > 1e11 else said * 1000)  # Unix time in milliseconds or seconds
            else:
                return None
        except (ValueError, OverflowError, OSError):
            return None
        return moment if moment >= EARLIEST else None


def _detail(point: TopicPoint, body: Any, channel: int) -> Any:
    if not point.path:
        raw = body if not isinstance(body, dict) else _MISSING
    else:
        paths = (_parts(_filled(path, {"channel": channel, "channel1": channel + 1})) for path in point.path)
        raw = next((found for path in paths if (found := _find(body, path)) is not _MISSING), _MISSING)
    if raw is not _MISSING and point.words:
        return {word.lower(): meaning for word, meaning in point.words.items()}.get(str(raw).lower(), _MISSING)
    if isinstance(raw, int | float) and not isinstance(raw, bool) and point.scale != 1:
        factor = Fraction(str(point.scale))
        return raw * factor.numerator / factor.denominator if abs(raw) < _LARGEST_NUMBER else _MISSING
    return raw


def topics_of(profile: Profile, device: Device, tz: tzinfo) -> list[tuple[str, PayloadDecoder]]:
    """The topics to subscribe to for ``device``, each with what reads it."""
    names = {"topic": device.topic or "", "channel": device.channel or 0, "channel1": (device.channel or 0) + 1}
    return [(_filled(topic.topic, names), PayloadDecoder(topic, device, tz)) for topic in profile.topics]


def _filled(text: str, names: Mapping[str, object]) -> str:
    for name, value in names.items():
        text = text.replace("{" + name + "}", str(value))
    return text


def _field(point: TopicPoint, device: Device) -> _Field:
    channel = device.channel or 0
    names = {"channel": channel, "channel1": channel + 1}
    paths = tuple(_parts(_filled(path, names)) for path in point.path)
    words = {word.lower(): meaning for word, meaning in point.words.items()}
    name, ratio = installed(point.quantity, point.unit, device)
    quantity, ratio = QUANTITIES[name], ratio * Fraction(str(point.scale))
    plain = None
    place, _, word = point.when.partition("=")
    counted = quantity.nature in (Nature.GAUGE, Nature.COUNTER) and not point.unit.startswith("@")
    if counted and not words and not place and not point.plus:
        factor, shift = conversion(point.unit, quantity)
        factor *= ratio
        plain = (factor.numerator, factor.denominator, float(shift), quantity.low, quantity.high)
    when = _parts(place), word.lower()
    plus = tuple(_parts(_filled(path, names)) for path in point.plus)
    return _Field(point, quantity, paths, _parts(point.unless), _parts(point.beside), plus, when, words, ratio, plain)


def _parts(path: str) -> tuple[str, ...]:
    return tuple(path.split(".")) if path else ()


def _text(payload: bytes) -> str:
    try:
        return payload.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise BadFrame("the message is not UTF-8 text") from None


def _find(body: Any, parts: Sequence[str]) -> Any:
    """What stands at a path; ``*`` is the first object below which the rest is found."""
    for place, part in enumerate(parts):
        if not isinstance(body, dict):
            return _MISSING
        if part == "*":
            rest = parts[place + 1 :]
            found = (_find(child, rest) for child in body.values())
            return next((one for one in found if one is not _MISSING), _MISSING)
        body = body.get(part, _MISSING)
    return body


def _raw(field: _Field, body: Any) -> Any:
    if not isinstance(body, dict):
        return body if (field.point.bare or not field.paths) and body is not _MISSING else _MISSING
    if not _applies(field, body):
        return _MISSING
    return next((raw for path in field.paths if (raw := _find(body, path)) is not _MISSING), _MISSING)


def _applies(field: _Field, body: dict[str, Any]) -> bool:
    """Whether what else stands in the message lets the field be read from it."""
    if field.unless and _find(body, field.unless) is not _MISSING:
        return False
    needed = (*field.plus, field.beside) if field.beside else field.plus
    return all(_find(body, place) is not _MISSING for place in needed)


def _place(field: _Field, body: dict[str, Any]) -> tuple[str, ...]:
    """Where ``_raw`` finds the field in a message of this shape; empty when it is not there. Paths have two parts."""
    if not field.paths or not _applies(field, body):
        return ()
    for path in field.paths:
        heads = tuple(body) if path[0] == "*" else path[:1]
        for head in heads:
            if _find(body, (head, *path[1:])) is not _MISSING:
                return head, *path[1:]
    return ()


def _chosen(field: _Field, raws: list[Any], channel: int | None) -> Any:
    """One of a list: the device's channel, else the sum or mean as the page says."""
    name = field.quantity.name
    if channel is not None:
        return raws[channel] if channel < len(raws) else Flaw(Grade.BAD, f"{name}: there is no channel {channel}")
    if field.point.many is None or not raws:
        return Flaw(Grade.BAD, f"{name}: the device has {len(raws)} channels; say which by channel:")
    if not all(isinstance(raw, int | float) and not isinstance(raw, bool) for raw in raws):
        return Flaw(Grade.BAD, f"{name}: not all of its {len(raws)} channels are numbers")
    total = math.fsum(raws)
    return total / len(raws) if field.point.many == "mean" else total


def _word(field: _Field, raw: Any) -> float | str | Flaw:
    text = raw if isinstance(raw, str) else msgspec.json.encode(raw).decode()
    known = field.words or (_STATES if field.quantity.nature is Nature.STATE else {w: w for w in field.quantity.words})
    meaning = known.get(text.strip().lower())
    if meaning is None:
        return Flaw(Grade.BAD, f"{field.quantity.name}: {text[:40]!r} is none of {', '.join(known)}")
    return meaning if isinstance(meaning, str) else float(meaning)


def _number(field: _Field, raw: Any, body: Any) -> float | Flaw:
    name = field.quantity.name
    summands: list[Any] = [raw, *(_find(body, place) for place in field.plus)]
    total: float = 0
    for one in summands:
        number = _plain_number(field, one)
        if isinstance(number, Flaw):
            return number
        total += number
    unit = field.point.unit
    if unit.startswith("@"):
        unit = _find(body, _parts(unit[1:]))
        if unit is _MISSING:
            unit = ""
        elif not isinstance(unit, str) or not convertible(unit, field.quantity):
            return Flaw(Grade.BAD, f"{name}: the device counts in {str(unit)[:20]!r}, which is not known")
    factor, shift = conversion(unit, field.quantity)
    factor *= field.factor
    try:
        value = total * factor.numerator / factor.denominator + float(shift)
    except OverflowError:
        return NO_VALUE
    return value if math.isfinite(value) else NO_VALUE


def _plain_number(field: _Field, raw: Any) -> float | Flaw:
    if raw is None:
        return NO_VALUE
    if isinstance(raw, str) and field.point.text:
        try:
            return float(raw)
        except ValueError:
            pass
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        return Flaw(Grade.BAD, f"{field.quantity.name}: {str(raw)[:40]!r} is no number")
    return raw
