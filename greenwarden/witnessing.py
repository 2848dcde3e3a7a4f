"""Every reading the collector publishes, held against what was really so in the simulated building."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np

from building.readings import Grade, Reading
from building.site import Device
from simulators.building import OfficeBuilding
from simulators.courses import Course
from simulators.days import LAMP_LUX, Day, mains_voltage
from simulators.faults import FALSIFYING, HUSHING, Fault, Kind
from simulators.recognising import counts_pulses

_TRANSIT_MS: Final = 1000  # real ms between a device's word and the instant that a reading bears
_ODD: Final = (*FALSIFYING, *HUSHING, Kind.OUT_OF_ORDER, Kind.DUPLICATE)

_VOLUME_STEPS: Final = {"tuf_2000m": 0.51, "cjt188_water": 0.0051}  # m3; others show whole pulses

Bounds = tuple[float, float]


class Witness:
    """Counts readings, and those of which a value that passes for good is not what it was just before.

    ``speed`` is that of the clock: what is on its way for a moment is older on a fast one.
    """

    def __init__(self, building: OfficeBuilding, speed: float) -> None:
        self._building = building
        self._window = round(_TRANSIT_MS * speed) + 1000
        self._odd: dict[str, list[Fault]] = {
            device.id: [fault for fault in building.faults if self._concerns(fault, device)]
            for device in building.site.devices
        }
        self.got = 0
        self.checked = 0
        self.wrong = 0
        self.examples: list[str] = []
        self.by_quantity: Counter[str] = Counter()

    def hear(self, readings: Iterable[Reading]) -> None:
        """Look at published readings while the building still knows their day."""
        for reading in readings:
            if reading.values:
                self.got += 1
                self._look(reading)

    def _look(self, reading: Reading) -> None:
        device = self._building.site.device[reading.device]
        start, end = reading.taken_at - self._window, reading.taken_at
        day = self._building.day_of(end)
        if day is None or start < max(day.begin, self._building.start) or self._is_odd(device, start, end):
            return
        self.checked += 1
        for quantity, bounds in self._allowed(device, day, reading.values, start, end):
            value = reading.values[quantity]
            if reading.quality.of(quantity) is not Grade.GOOD or isinstance(value, str):
                continue
            self.by_quantity[quantity] += 1
            if not bounds[0] <= value <= bounds[1]:
                self.wrong += 1
                if len(self.examples) < 20:
                    self.examples.append(
                        f"{device.id} {quantity}: told {value}, was {bounds[0]:.6g} to {bounds[1]:.6g}"
                    )
                return

    def _concerns(self, fault: Fault, device: Device) -> bool:
        return fault.kind in _ODD and fault.place in (device.id, device.link)

    def _is_odd(self, device: Device, start: int, end: int) -> bool:
        return any(fault.start <= end and fault.end >= start for fault in self._odd[device.id])

    def _allowed(
        self, device: Device, day: Day, said: Iterable[str], start: int, end: int
    ) -> Iterator[tuple[str, Bounds]]:
        for quantity in said:
            bounds = self._bounds(device, day, quantity, start, end)
            if bounds is not None:
                yield quantity, bounds

    def _bounds(self, device: Device, day: Day, quantity: str, start: int, end: int) -> Bounds | None:
        building, zone = self._building, device.zone or ""
        ends = np.array([start, end], np.int64)
        match quantity:
            case "active_power" if device.id in building.meters:
                return _wider(day.power[device.id].bounds(start, end), 0.51, 1e-4)
            case "energy_import" if device.id in building.meters:
                energies = building.energies_on(device.id, day, ends)
                return _wider((float(energies[0]), float(energies[1])), 0.0051, 1e-6)
            case "voltage" if device.id in building.meters:
                moments = np.linspace(start, end, 50).astype(np.int64)
                volts = mains_voltage(moments, building.meters[device.id].phases[0])
                return _wider((float(volts.min()), float(volts.max())), 0.51)
            case "on" | "running":
                course = _switch(device, day)
                return None if course is None else course.bounds(start, end)
            case "contact":
                low, high = day.window[zone].bounds(start, end)
                return 1 - high, 1 - low
            case "occupancy" if device.id in day.occupied:
                return day.occupied[device.id].bounds(start, end)
            case "setpoint" if device.id in day.setpoint:
                return _wider(day.setpoint[device.id].bounds(start, end), 0.5)
            case "temperature" if device.kind in ("aircon", "sensor"):
                return _wider(_minutes(day, day.temperature[zone], start, end), 0.51)
            case "illuminance" if device.kind == "sensor":
                low, high = _minutes(day, day.daylight[zone], start, end)
                return low - 1, high + LAMP_LUX + 1
            case "volume" if counts_pulses(device):
                cubic = building.volumes_on(device, day, ends)
                return _wider((float(cubic[0]), float(cubic[1])), _VOLUME_STEPS.get(device.profile or "", 1e-6))
        return None


def _switch(device: Device, day: Day) -> Course | None:
    return day.switched.get(device.id) or (day.lamps.get(device.zone or "") if device.kind == "light" else None)


def _wider(bounds: Sequence[float], by: float, share: float = 0.0) -> Bounds:
    """Both ends moved out by a device's own resolution."""
    slack = by + share * max(abs(bounds[0]), abs(bounds[1]))
    return bounds[0] - slack, bounds[1] + slack


def _minutes(day: Day, values: np.ndarray[tuple[int], np.dtype[np.float64]], start: int, end: int) -> Bounds:
    first, last = (start - day.begin) // 60_000, (end - day.begin) // 60_000 + 2
    part = values[max(first, 0) : last]
    return float(part.min()), float(part.max())
