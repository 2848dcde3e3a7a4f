"""Readings, alerts and other points as bytes for the queue on disk, and back again without loss.

MessagePack keeps floats bit for bit and tells whole numbers from floats. A reading whose quality is good, nearly every
one, costs no bytes for its quality.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, Final, NamedTuple

import msgspec

from building.instants import from_iso
from building.readings import GOOD, Flaw, Grade, Quality, Reading


class StoredPoint(NamedTuple):
    """A point that is no reading: an interval, or the collector's own health. Numbers are stored as floats.

    ``at`` in ms since 1970 UTC; of two points with the same measurement, tags and instant the later one counts.
    """

    measurement: str
    tags: Mapping[str, str]
    fields: Mapping[str, float | str]
    at: int


def _plainly(value: object) -> object:
    """What is no plain number or mapping to MessagePack but means one: numpy's numbers, read-only mappings."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Real):
        return float(value)
    raise TypeError(f"{value!r} is neither number nor word")


_ENCODER: Final = msgspec.msgpack.Encoder(enc_hook=_plainly)
_DECODER: Final = msgspec.msgpack.Decoder()
_READINGS: Final = 0
_ALERTS: Final = 1
_POINTS: Final = 2


class Parcel(NamedTuple):
    """What one append to the queue holds: readings, alert changes or points, one of them."""

    readings: list[Reading]
    alerts: list[dict[str, object]]
    points: list[StoredPoint]


def pack_readings(readings: Sequence[Reading]) -> bytes:
    """``readings`` as bytes for ``unpack``."""
    rows = [
        (device, at, values) if quality is GOOD or quality == GOOD else (device, at, values, _plain(quality))
        for device, at, values, quality in readings
    ]
    return _ENCODER.encode((_READINGS, rows))


def pack_alerts(alerts: Sequence[Mapping[str, object]]) -> bytes:
    """Alert objects (plain JSON values) as bytes for ``unpack``."""
    return _ENCODER.encode((_ALERTS, alerts))


def pack_points(points: Sequence[StoredPoint]) -> bytes:
    """``points`` as bytes for ``unpack``."""
    return _ENCODER.encode((_POINTS, points))


def unpack(data: bytes) -> Parcel:
    """What one of the packers above was given. Raises ValueError for bytes that none of them has made."""
    kind, rows = _DECODER.decode(data)
    if kind == _READINGS:
        return Parcel([_reading(*row) for row in rows], [], [])
    if kind == _ALERTS:
        return Parcel([], rows, [])
    if kind == _POINTS:
        return Parcel([], [], [StoredPoint(*row) for row in rows])
    raise ValueError(f"{kind!r} is no kind of parcel")


def _plain(quality: Quality) -> tuple[int, str, dict[str, tuple[int, str]]]:
    flaws = {name: (int(flaw.grade), flaw.reason) for name, flaw in quality.flaws.items()}
    return int(quality.grade), quality.reason, flaws


def _reading(device: str, at: int, values: dict[str, float | str], plain: Any = None) -> Reading:
    if plain is None:
        return Reading(device, at, values)
    grade, reason, flaws = plain
    return Reading(
        device,
        at,
        values,
        Quality(Grade(grade), reason, {name: Flaw(Grade(of), why) for name, (of, why) in flaws.items()}),
    )


def change_of(alert: Mapping[str, object]) -> int:
    """When an alert object changed (ms since 1970 UTC): ``changed`` where that is told, else ``ended``, ``raised``."""
    moment = alert.get("changed") or alert.get("ended") or alert.get("raised") or alert["since"]
    return from_iso(str(moment))
