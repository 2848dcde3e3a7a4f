"""Readings and alerts as InfluxDB line protocol; the escaping of a device's tags is done once.

A point: measurement = kind of device; tags site, zone, floor, department, device, circuit (those a device has); fields
= quantities, numbers as floats and words as text; milliseconds. A value of grade BAD is no field: the text field
``quality`` says what is wrong. Pure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Final

import msgspec

from building.errors import StoreRefused
from building.instants import from_iso
from building.readings import GOOD, Grade, Quality, Reading
from building.site import Device, Site
from collector.storing.packing import StoredPoint, change_of

_TAG: Final = str.maketrans({",": "\\,", "=": "\\=", " ": "\\ "})
_TEXT: Final = str.maketrans({'"': '\\"', "\\": "\\\\"})
_PLAIN: Final = frozenset((float, int))
_TO_FIELDS: Final = bytes.maketrans(b":", b"=")
_AS_IT_IS: Final = re.compile(r"[A-Za-z0-9_]+", re.ASCII)
_ALERT_TAGS: Final = ("site", "rule", "zone", "device", "department", "severity")
_ALERT_TEXTS: Final = ("state", "id", "title")
_HOUR: Final = 3_600_000
_WASTE: Final = ("kwh", "litres", "cost", "kgco2")


def tag_text(value: object) -> str:
    """How a tag's value is kept: a line break would end the point, so it becomes a space, and an end in a backslash
    would escape what follows, so a space closes it."""
    text = str(value).replace("\r", " ").replace("\n", " ")
    return text + " " if text.endswith("\\") else text


def literal(value: object) -> str:
    """A tag's value as InfluxQL compares with it."""
    return "'" + tag_text(value).replace("\\", "\\\\").replace("'", "\\'") + "'"


class LineEncoder:
    """Line protocol for the devices of ``site``."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._heads: dict[str, str] = {}
        self._plain_heads: dict[str, bytes] = {}  # with a space behind, of devices that said good numbers
        self._plain_names: set[str] = set()  # of their quantities, where JSON and line protocol write them alike

    def readings(self, readings: Sequence[Reading]) -> bytes:
        """One line for each reading. Raises StoreRefused for a device that is not in devices.yaml."""
        flat: list[Any] = list(chain.from_iterable(readings))  # each is a tuple of four
        if readings and flat[3::4].count(GOOD) == len(readings):
            try:
                return self._quickly(flat[0::4], flat[1::4], flat[2::4])
            except (KeyError, TypeError, OverflowError):
                pass  # a device not met yet, or something that is no finite number among the values
        return "\n".join(map(self._slowly, readings)).encode()

    def _quickly(self, devices: list[str], times: list[int], values: list[Mapping[str, float | str]]) -> bytes:
        """Lines of good readings of plain finite numbers, else raises one of the errors that ``readings`` catches.

        All fields become JSON at once, in a fifth of the time that repr takes for the numbers alone and with the same
        digits, and JSON of plain names and numbers is but a few marks away from line protocol.
        """
        heads = list(map(self._plain_heads.__getitem__, devices))
        numbers: list[Any] = list(chain.from_iterable(map(dict.values, values)))  # type: ignore[arg-type]
        if not (
            all(values)
            and self._plain_names.issuperset(chain.from_iterable(values))
            and _PLAIN.issuperset(map(type, numbers))
            and math.isfinite(sum(numbers))
        ):
            raise TypeError("not all are finite numbers of known names")
        pieces = [b" "] * (5 * len(devices) - 1)
        pieces[0::5] = heads
        pieces[1::5] = msgspec.json.encode(values).translate(_TO_FIELDS, b'"')[2:-2].split(b"},{")
        pieces[3::5] = msgspec.json.encode(times)[1:-1].split(b",")
        pieces[4::5] = [b"\n"] * (len(devices) - 1)
        return b"".join(pieces)

    def alerts(self, alerts: Sequence[Mapping[str, object]]) -> bytes:
        """One line for each alert object (design.md section 5), at the instant of its change."""
        return "\n".join(map(self._alert, alerts)).encode()

    def points(self, points: Sequence[StoredPoint]) -> bytes:
        """One line for each point that is no reading; the site's name is among its tags."""
        return "\n".join(map(self._point, points)).encode()

    def query(self, device: str, quantity: str, start: int, end: int | None) -> str | None:
        """InfluxQL for the values of one series in [start, end), or with no ``end`` for the first from ``start`` on;
        None for a device that is not in devices.yaml."""
        known = self._site.device.get(device)
        if known is None:
            return None
        where = f'"device" = {literal(device)} AND "site" = {literal(self._site.site.name)}'
        limit = "ORDER BY time LIMIT 1" if end is None else f"AND time < {end}ms"
        return f'SELECT "{quantity}" FROM "{known.kind}" WHERE {where} AND time >= {start}ms {limit}'  # noqa: S608 - quoted

    def _point(self, point: StoredPoint) -> str:
        fields = [f"{_escaped(name)}={_field(value)}" for name, value in point.fields.items() if _can_be_kept(value)]
        if not fields:
            raise StoreRefused(f"a point of {point.measurement} has no field that can be stored")
        tags = {"site": self._site.site.name, **point.tags}
        return f"{_head(point.measurement, tags)} {','.join(fields)} {point.at}"

    def _alert(self, alert: Mapping[str, object]) -> str:
        """``hours`` is how long the condition had lasted at this change."""
        fields = [f"{name}={_field(str(alert[name]))}" for name in _ALERT_TEXTS if alert.get(name) is not None]
        waste = alert.get("waste")
        if isinstance(waste, Mapping):
            amounts = {name: waste.get(name) for name in _WASTE}
            fields += [f"{name}={_field(value)}" for name, value in amounts.items() if isinstance(value, (int, float))]
        changed = change_of(alert)
        if alert.get("since"):
            fields.append(f"hours={_field((changed - from_iso(str(alert['since']))) / _HOUR)}")
        zone = self._site.zone.get(str(alert.get("zone")))
        tags = {name: alert.get(name) for name in _ALERT_TAGS} | {"floor": zone.floor if zone else None}
        return f"{_head('alert', tags)} {','.join(fields)} {changed}"

    def _slowly(self, reading: Reading) -> str:
        """The line; the head and the names of a good reading are remembered for the next one."""
        if reading.quality is GOOD:
            self._plain_heads[reading.device] = f"{self._head(reading.device)} ".encode()
            self._plain_names.update(name for name in reading.values if _AS_IT_IS.fullmatch(name))
        return self._line(reading)

    def _line(self, reading: Reading) -> str:
        fields = [
            f"{_escaped(name)}={_field(value)}"
            for name, value in reading.values.items()
            if reading.quality.of(name) is not Grade.BAD and _can_be_kept(value)
        ]
        told = _told(reading.quality, reading.values)
        if told or not fields:
            fields.append(f"quality={_field(told or 'good')}")
        return f"{self._head(reading.device)} {','.join(fields)} {reading.taken_at}"

    def _head(self, device: str) -> str:
        head = self._heads.get(device)
        if head is None:
            known = self._site.device.get(device)
            if known is None:
                raise StoreRefused(f"the device {device!r} is not in devices.yaml")
            head = self._heads[device] = _head(known.kind, self._tags(known))
        return head

    def _tags(self, device: Device) -> dict[str, object]:
        zone = self._site.zone.get(device.zone or "")
        return {
            "circuit": device.circuit,
            "department": self._site.department_of(device),
            "device": device.id,
            "floor": zone.floor if zone else None,
            "site": self._site.site.name,
            "zone": device.zone,
        }


def _head(measurement: str, tags: Mapping[str, object]) -> str:
    """Tags in order of their names, as the server likes them; absent and empty ones left out."""
    kept = {name: tag_text(value) for name, value in sorted(tags.items()) if value is not None and str(value).strip()}
    return ",".join([measurement, *(f"{name}={text.translate(_TAG)}" for name, text in kept.items())])


def _can_be_kept(value: float | str) -> bool:
    return isinstance(value, str) or math.isfinite(value)


def _field(value: float | str) -> str:
    return f'"{value.translate(_TEXT)}"' if isinstance(value, str) else repr(float(value))


def _escaped(name: str) -> str:
    return name.translate(_TAG)


def _told(quality: Quality, values: Mapping[str, float | str]) -> str:
    """What is not good, as one text: ``bad: no answer``, ``temperature suspect: frozen``; empty when all is good."""
    parts: list[str] = []
    if quality.flaws and not quality.reason:
        parts += (f"{name} {flaw.grade.name.lower()}: {flaw.reason}" for name, flaw in quality.flaws.items())
    elif quality.reason or quality.grade is not Grade.GOOD:
        parts.append(f"{quality.grade.name.lower()}: {quality.reason}")
    parts += (f"{name} bad: {value!r} is not finite" for name, value in values.items() if not _can_be_kept(value))
    return "; ".join(parts)
