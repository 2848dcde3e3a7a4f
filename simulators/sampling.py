"""Readings straight from the physics, without a wire: what each device would say at its own moments, in columns.

For long runs. Each value is rounded as such devices round, and suffers the faults of its device; faults of frames,
which a collector throws away, leave a gap.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from random import Random
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from building.quantities import MODES
from building.site import Device
from simulators.building import OfficeBuilding
from simulators.courses import Course, Floats, Ints
from simulators.days import LAMP_LUX, Day, mains_voltage
from simulators.faults import HUSHING, Fault, Kind
from simulators.installation import NOWHERE
from simulators.recognising import is_contact

Told = dict[str, tuple[Ints, Floats]]
"""Quantity -> moments (ms) and values; words as their place in MODES."""

_LOST: Final = (*HUSHING, Kind.CUT_FRAME, Kind.WRONG_CRC, Kind.LATE, Kind.WRONG_UNIT, Kind.GARBAGE, Kind.EXCEPTION)
_NUMBERLESS: Final = (Kind.NO_VALUE, Kind.SWAPPED_WORDS)


class Sampled(NamedTuple):
    """All that was said: (device, quantity) -> moments and values in order, each moment once."""

    columns: Mapping[tuple[str, str], tuple[Ints, Floats]]
    due: int
    """Values that would have been said had nothing been silent."""

    @property
    def said(self) -> int:
        return sum(len(times) for times, _ in self.columns.values())


DayDone = Callable[[Day], None]
"""Told of each day once it has been sampled."""


def sample(building: OfficeBuilding, until: int, told: DayDone | None = None) -> Sampled:
    """Let the building go on until ``until`` (ms) and gather what its devices say on the way."""
    parts: dict[tuple[str, str], list[tuple[Ints, Floats]]] = defaultdict(list)
    start, due = building.now, 0
    frozen: dict[tuple[Fault, str], float] = {}
    for day in building.days(until):
        first, last = max(day.begin, start), min(day.end, until)
        for device in building.site.devices:
            for quantity, (times, values) in _say(building, day, device, first, last).items():
                due += len(times)
                parts[(device.id, quantity)].append(_spoilt(building, device, quantity, times, values, frozen))
        if told is not None:
            told(day)
    columns = {}
    for key in list(parts):  # each series is joined and let go, so that the whole is never there twice
        pieces = parts.pop(key)
        columns[key] = (np.concatenate([t for t, _ in pieces]), np.concatenate([v for _, v in pieces]))
    return Sampled(columns, due)


def moments_of(building: OfficeBuilding, device: Device, first: int, last: int) -> Ints:
    """When a device speaks by itself within [first, last): every period, at a moment of it that is its own."""
    offset = report_offset(building.seed, device)
    begin = first + (offset - first) % device.every
    return np.arange(begin, last, device.every, dtype=np.int64)


def report_offset(seed: int, device: Device) -> int:
    """ms after the round period at which a device speaks."""
    return Random(f"{seed}/report/{device.id}").randrange(device.every)


def _spoilt(
    building: OfficeBuilding,
    device: Device,
    quantity: str,
    times: Ints,
    values: Floats,
    frozen: dict[tuple[Fault, str], float],
) -> tuple[Ints, Floats]:
    book = building.book
    places = (device.id,) if device.link is None else (device.id, device.link)
    for kind in _NUMBERLESS:
        for fault in book.at(device.id, kind):
            during = (times >= fault.start) & (times < fault.end)
            if quantity == "mode":  # a word that is not there is not said
                times, values = times[~during], values[~during]
            else:
                values = np.where(during, np.nan, values)
    for fault in book.at(device.id, Kind.FROZEN):
        held_places = np.flatnonzero((times >= fault.start) & (times < fault.end))
        if len(held_places):
            held = frozen.setdefault((fault, quantity), float(values[held_places[0]]))
            values = values.copy()
            values[held_places] = held
    heard = np.ones(len(times), bool)
    for kind in _LOST:
        for place in places:
            for fault in book.at(place, kind):
                if fault.register is None:
                    heard &= (times < fault.start) | (times >= fault.end)
    return (times, values) if heard.all() else (times[heard], values[heard])


def _say(building: OfficeBuilding, day: Day, device: Device, first: int, last: int) -> Told:
    times = moments_of(building, device, first, last)
    match device.kind:
        case "sensor":
            return _sensor(building, day, device, times, first, last)
        case "aircon":
            return _aircon(building, day, device, times)
        case "water" | "gas":
            litres = device.litres_per_pulse or 1.0
            cubic_metres: Floats = building.pulses(device, times) * np.float64(litres / 1000)
            return {"volume": (times, cubic_metres)}
        case _ if device.id in building.meters:
            return _electric(building, day, device, times, first, last)
        case _:
            return {}  # a kind that people read and type in, such as fuel


def _electric(building: OfficeBuilding, day: Day, device: Device, times: Ints, first: int, last: int) -> Told:
    meter = building.meters[device.id]
    step = 1.0 if device.kind == "plug" else 0.01  # W
    watts = _rounded(meter.powers(times), step)
    volts = _rounded(mains_voltage(times, meter.phases[0]), 0.1)
    factor: Floats = np.where(watts > 0, meter.factor, 1.0)
    told: Told = {
        "active_power": (times, watts),
        "voltage": (times, volts),
        "current": (times, _rounded(watts / meter.factor / volts, 0.001)),
        "energy_import": (times, _rounded(meter.energies(times), 0.001)),
    }
    if device.kind == "electricity":
        told["power_factor"] = (times, factor)
        told["frequency"] = (times, _rounded(50 + 0.02 * np.sin(2 * np.pi * times / 600_000), 0.01))
    switch = day.switched.get(device.id) or (day.lamps[device.zone or NOWHERE] if device.kind == "light" else None)
    if switch is not None:
        said = _with_changes(times, [switch], first, last)
        told["on"] = (said, switch.sample(said))
    return told


def _aircon(building: OfficeBuilding, day: Day, device: Device, times: Ints) -> Told:
    on = day.switched[device.id].sample(times)
    mode = np.where(on > 0, MODES.index(day.mode), MODES.index("off")).astype(np.float64)
    room = day.minutes(day.temperature[device.zone or NOWHERE], times)
    return {
        "running": (times, on),
        "on": (times, on),
        "mode": (times, mode),
        "setpoint": (times, day.setpoint[device.id].sample(times)),
        "temperature": (times, _rounded(_implausibly(building, device, times, room), 0.1)),
    }


def _sensor(building: OfficeBuilding, day: Day, device: Device, times: Ints, first: int, last: int) -> Told:
    zone = device.zone or NOWHERE
    if is_contact(device):
        said = _with_changes(times, [day.window[zone]], first, last)
        return {"contact": (said, 1 - day.window[zone].sample(said)), "battery": (said, np.full(len(said), 91.0))}
    said = _with_changes(times, [day.occupied[device.id]], first, last)
    lamps = building.installation.places[zone].lamps
    lux = day.minutes(day.daylight[zone], said) + (day.lamps[zone].sample(said) * LAMP_LUX if lamps else 0.0)
    room = day.minutes(day.temperature[zone], said)
    return {
        "occupancy": (said, day.occupied[device.id].sample(said)),
        "illuminance": (said, np.round(lux)),
        "temperature": (said, _rounded(_implausibly(building, device, said, room), 0.01)),
        "battery": (said, np.full(len(said), 80.0)),
    }


def _implausibly(building: OfficeBuilding, device: Device, times: Ints, values: Floats) -> Floats:
    for fault in building.book.at(device.id, Kind.IMPLAUSIBLE):
        said = 85.0 if fault.amount is None else fault.amount
        values = np.where((times >= fault.start) & (times < fault.end), said, values)
    return values


def _with_changes(times: Ints, courses: list[Course], first: int, last: int) -> Ints:
    """The moments, and those at which a course changes."""
    changes = np.concatenate([course.times[1:] for course in courses])
    changes = changes[(changes >= first) & (changes < last)]
    return np.unique(np.concatenate((times, changes))) if len(changes) else times


def _rounded(values: Floats, step: float) -> Floats:
    """To the device's own step, down to the last decimal."""
    per = round(1 / step)
    result: npt.NDArray[np.float64] = np.round(values * per) / per
    return result
