"""Readings and alerts as InfluxDB line protocol; the escaping of a device's tags is done once.

A point: measurement = kind of device; tags site, zone, floor, department, device, circuit (those a device has); fields
= quantities, numbers as floats and words as text; milliseconds. A value of grade BAD is no field: the text field
``quality`` says what is wrong. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from building.errors import StoreRefused
from building.quantities import QUANTITIES, Nature
from building.readings import GOOD, Grade, Quality, Reading
from building.site import Device, Site
from collector.storing.packing import change_of

_TAG: Final = str.maketrans({",": "\\,", "=": "\\=", " ": "\\ "})
_TEXT: Final = str.maketrans({'"': '\\"', "\\": "\\\\"})
_SUSPICIOUS: Final = ("=nan", "=inf", "=-inf", "=True", "=False", "='", "=np.")
_ALERT_TAGS: Final = ("site", "rule", "zone", "device", "department", "severity")
_ALERT_TEXTS: Final = ("state", "id", "title")
_WASTE: Final = ("kwh", "litres", "cost", "kgco2")


def tag_text(value: object) -> str:
    """How a tag's value is kept: a line break would end the point, so it becomes a space, and an end in a backslash
    would escape what follows, so a space closes it."""
    text = str(value).replace("\r", " ").replace("\n", " ")
    return text + " " if text.endswith("\\") else text


class LineEncoder:
    """Line protocol for the devices of ``site``."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._heads: dict[str, str] = {}
        self._forms: dict[tuple[str, tuple[str, ...]], str] = {}

    def readings(self, readings: Sequence[Reading]) -> bytes:
        """One line for each reading. Raises StoreRefused for a device that is not in devices.yaml."""
        forms = self._forms
        lines: list[str] = []
        for reading in readings:
            device, at, values, quality = reading
            form = forms.get((device, tuple(values))) if quality is GOOD else None
            lines.append(form % (*values.values(), at) if form else self._slowly(reading))
        text = "\n".join(lines)
        if any(sign in text for sign in _SUSPICIOUS):
            text = "\n".join(self._line(reading) for reading in readings)
        return text.encode()

    def alerts(self, alerts: Sequence[Mapping[str, object]]) -> bytes:
        """One line for each alert object (design.md section 5), at the instant of its change."""
        return "\n".join(map(_alert_line, alerts)).encode()

    def _slowly(self, reading: Reading) -> str:
        """The line; the form of a good reading of numbers is remembered for the next one."""
        if reading.quality is GOOD and reading.values and not any(map(_is_word, reading.values)):
            fields = ",".join(f"{_escaped(name)}=%r" for name in reading.values)
            form = f"{self._head(reading.device).replace('%', '%%')} {fields} %d"
            self._forms[reading.device, tuple(reading.values)] = form
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


def _alert_line(alert: Mapping[str, object]) -> str:
    fields = [f"{name}={_field(str(alert[name]))}" for name in _ALERT_TEXTS if alert.get(name) is not None]
    waste = alert.get("waste")
    if isinstance(waste, Mapping):
        amounts = {name: waste.get(name) for name in _WASTE}
        fields += [f"{name}={_field(value)}" for name, value in amounts.items() if isinstance(value, (int, float))]
    tags = {name: alert.get(name) for name in _ALERT_TAGS}
    return f"{_head('alert', tags)} {','.join(fields)} {change_of(alert)}"


def _is_word(name: str) -> bool:
    quantity = QUANTITIES.get(name)
    return quantity is None or quantity.nature is Nature.WORD


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
