"""An office building in numbers: people, light, heat, machines and water, day by day.

Pure: no clock, socket or file. The same site, seed, faults and first day always give the same building, to the byte,
whoever asks and however often. Works for any devices.yaml: each device is played by its kind, circuit, appliance and
zone.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import timedelta
from random import Random
from typing import Final

import numpy as np

from building.site import Device, Site
from simulators.courses import Course, Floats, Ints
from simulators.days import LAMP_LUX, Day, DayMaker, mains_voltage, voltage_phases
from simulators.faults import HUSHING, OF_COUNTERS, Fault, FaultBook, Kind
from simulators.installation import NOWHERE, Installation
from simulators.recognising import counts_pulses
from simulators.truth import Truth

_PULSES: Final = 1 << 32


class Meter:
    """What an electricity meter or plug shows, and its mains. Told at the building's present."""

    def __init__(self, building: OfficeBuilding, device: Device) -> None:
        luck = Random(f"{building.seed}/meter/{device.id}")
        self.device = device
        self._building = building
        self.first = round(luck.uniform(40, 900), 2)  # kWh it stood at when the simulation began
        parts = [luck.uniform(0.8, 1.2) for _ in range(3)]
        self.shares = parts[0] / sum(parts), parts[1] / sum(parts), parts[2] / sum(parts)
        self.factor = 0.95 if device.circuit == "lighting" else 0.92
        self.phases = voltage_phases(building.seed, device.id)
        self.counter_top = 0.0  # kWh at which it begins again at 0; 0: never
        self.faulty = any(building.book.at(device.id, kind) for kind in (*OF_COUNTERS, Kind.IMPLAUSIBLE))

    @property
    def power(self) -> float:
        """W, as the meter tells it."""
        if self.faulty:
            return float(self.powers(self._now)[0])
        return self._building.day.power[self.device.id].at(self._building.now)

    @property
    def energy(self) -> float:
        """kWh, as the meter tells it."""
        if self.faulty:
            return float(self.energies(self._now)[0])
        return self.first + self._building.used(self.device.id)

    @property
    def reactive_energy(self) -> float:
        """kvarh."""
        return 0.2 * self.first + (self.energy - self.first) * math.tan(math.acos(self.factor))

    @property
    def _now(self) -> Ints:
        return np.array([self._building.now], np.int64)

    def voltage(self, now: int, phase: int = 0) -> float:
        """V to neutral."""
        return float(mains_voltage(np.array([now]), self.phases[phase])[0])

    def powers(self, moments: Ints) -> Floats:
        """W at moments of the present day, as the meter tells them."""
        watts = self._building.day.power[self.device.id].sample(moments)
        for fault in self._building.book.at(self.device.id, Kind.DRIFT):
            watts = np.where((moments >= fault.start) & (moments < fault.end), watts * (1 + fault.size), watts)
        for fault in self._building.book.at(self.device.id, Kind.IMPLAUSIBLE):
            said = 5e7 if fault.amount is None else fault.amount
            watts = np.where((moments >= fault.start) & (moments < fault.end), said, watts)
        return watts

    def true_energies(self, moments: Ints) -> Floats:
        """kWh at moments of the present day, as a meter without fault would tell them."""
        course = self._building.day.power[self.device.id]
        return self.first + self._building.used_before[self.device.id] + course.sums(moments) / 3.6e9

    def energies(self, moments: Ints) -> Floats:
        """kWh at moments of the present day, as the meter tells them."""
        true = self.true_energies(moments)
        if not self.faulty:
            return true
        top = self.counter_top or 1e6
        return self._building.misread(self.device.id, true, moments, self.first, top)


class OfficeBuilding:
    """The building of ``site`` from ``start`` (ms since 1970 UTC) on.

    Raises ConfigError when a fault names a place that does not exist or ends before it begins.
    """

    def __init__(self, site: Site, seed: int = 1, faults: Iterable[Fault] = (), *, start: int = 0) -> None:
        self.site = site
        self.seed = seed
        self.book = FaultBook(site, faults)
        self.faults = self.book.all
        self.installation = Installation(site, seed)
        self._maker = DayMaker(site, seed, self.installation, self.book)
        self.calendar = self._maker.calendar
        self.people = self._maker.people
        self.start = self.now = start
        self.truth = Truth(site, self.installation, self.book, start)
        self.meters = {device.id: Meter(self, device) for device in self.installation.meters}
        self.pulses_before = {
            device.id: Random(f"{seed}/device/{device.id}").randint(1_000, 90_000)
            for device in site.devices
            if counts_pulses(device)
        }
        self.hours_before = {
            device.id: Random(f"{seed}/device/{device.id}").randint(200, 4_000)
            for device in site.devices
            if device.kind == "aircon"
        }
        self.used_before: dict[str, float] = defaultdict(float)  # kWh by device, up to the present day's begin
        self.litres_before = dict.fromkeys(self.installation.places, 0.0)  # by zone, up to the present day's begin
        self.gas_before = {device.id: 0.0 for device in site.devices if device.kind == "gas"}
        self._gas_day_before = dict(self.gas_before)
        self._marks: dict[
            tuple[str, int], float
        ] = {}  # what a counter truly stood at when a fault of it began or ended
        self._before: Day | None = None
        self._used_day_before: dict[str, float] = {}
        self._litres_day_before: dict[str, float] = {}
        first = self.people.midnight(self.calendar.local_date(start))
        self._state = self._maker.first_state(first)
        self.day = self._open(first)

    # -- time ---------------------------------------------------------------------------------------------------------

    def advance(self, until: int) -> None:
        """The present is now ``until``; a moment already passed changes nothing."""
        if until <= self.now:
            return
        while until >= self.day.end:
            self._close()
        self.now = until

    def days(self, until: int) -> Iterator[Day]:
        """Day after day, the present one first, until all is told up to ``until``. The present follows."""
        while True:
            yield self.day
            self.advance(min(self.day.end, until))
            if self.now >= until:
                return

    def day_of(self, moment: int) -> Day | None:
        """The present day or the one before, whichever holds ``moment``; None for others."""
        for day in (self.day, self._before):
            if day is not None and day.begin <= moment < day.end:
                return day
        return None

    def _open(self, begin: int) -> Day:
        date = self.calendar.local_date(begin)
        end = self.people.midnight(date + timedelta(days=1))
        day, self._state = self._maker.make(begin, end, self._state)
        self.day = day
        self._mark(day)
        self.truth.take(day)
        return day

    def _close(self) -> None:
        """The day is over: the counters go on from where they stand."""
        used = dict(self.used_before)
        for ident, course in self.day.power.items():
            self.used_before[ident] += course.whole / 3.6e9
        self._before = self.day
        self._used_day_before = dict(used)
        self._litres_day_before, self._gas_day_before = dict(self.litres_before), dict(self.gas_before)
        for ident, course in self.day.gas.items():
            self.gas_before[ident] += course.whole / 60_000
        for zone, course in self.day.flow.items():
            self.litres_before[zone] += course.whole / 60_000
        self._open(self.day.end)

    # -- what devices see ---------------------------------------------------------------------------------------------

    def fault_of(self, device: str, kind: Kind) -> Fault | None:
        """The fault of ``kind`` that ``device``, or for such kinds its link, has just now."""
        return self.book.now(device, kind, self.now)

    def silent(self, device: Device) -> Fault | None:
        """The fault for which nothing is heard of ``device`` just now."""
        return self.book.hushed(device, self.now)

    def hushable(self, device: Device) -> bool:
        """Whether the device ever falls silent in the scenario."""
        places = [device.id] if device.link is None else [device.id, device.link]
        return any(self.book.at(place, kind) for kind in HUSHING for place in places)

    def used(self, ident: str) -> float:
        """kWh that a device, or all behind a meter, has truly used since the simulation's first midnight."""
        return self.used_before[ident] + self.day.power[ident].sum_to(self.now) / 3.6e9

    def zone_used(self, zone: str) -> tuple[float, float]:
        """kWh of lamps, plugs and air conditioners, and litres, that a zone has truly used since then."""
        place = self.installation.places[zone]
        kwh = sum(self.used(ident) for ident in (*place.lamps, *place.plugs, *place.aircons))
        return kwh, self.litres_before[zone] + self.day.flow[zone].sum_to(self.now) / 60_000

    def litres(self, device: Device, moments: Ints) -> Floats:
        """Litres that have passed a meter since the simulation began: its zone's water, its children's, or the whole
        site's; or its own gas."""
        zones = self._drawn_by(device)
        passed = np.zeros(len(moments))
        if device.kind == "gas":
            return self.gas_before[device.id] + self.day.gas[device.id].sums(moments) / 60_000
        for zone in zones:
            passed += self.litres_before[zone] + self.day.flow[zone].sums(moments) / 60_000
        return passed

    def _drawn_by(self, device: Device) -> list[str]:
        if device.zone is not None:
            return [device.zone]
        behind = [self.site.device[ident] for ident in self.installation.children.get(device.id, ())]
        watery = [child for child in behind if child.kind == "water"]
        if watery:
            return [zone for child in watery for zone in self._drawn_by(child)]
        return [zone for zone in self.installation.places if zone != NOWHERE]

    def flow(self, device: Device, moments: Ints) -> Floats:
        """L/min through a water meter."""
        if device.kind == "gas":
            return self.day.gas[device.id].sample(moments)
        flows = np.zeros(len(moments))
        for zone in self._drawn_by(device):
            flows += self.day.flow[zone].sample(moments)
        return flows

    def energies_on(self, ident: str, day: Day, moments: Ints) -> Floats:
        """kWh that a sound meter shows at moments of the present day or the one before."""
        used = self.used_before if day is self.day else self._used_day_before
        return self.meters[ident].first + used.get(ident, 0.0) + day.power[ident].sums(moments) / 3.6e9

    def volumes_on(self, device: Device, day: Day, moments: Ints) -> Floats:
        """m3 that a sound meter of water or gas shows at moments of the present day or the one before."""
        litres = np.zeros(len(moments))
        if device.kind == "gas":
            burnt = self.gas_before if day is self.day else self._gas_day_before
            litres += burnt[device.id] + day.gas[device.id].sums(moments) / 60_000
        drawn = self.litres_before if day is self.day else self._litres_day_before
        for zone in () if device.kind == "gas" else self._drawn_by(device):
            litres += drawn.get(zone, 0.0) + day.flow[zone].sums(moments) / 60_000
        step = device.litres_per_pulse or 1.0
        shown: Floats = (self.pulses_before[device.id] + np.floor(litres / step + 1e-9)) * step / 1000
        return shown

    def pulses(self, device: Device, moments: Ints | None = None) -> Ints:
        """What the counter behind a water meter shows; a u32 that wraps."""
        moments = np.array([self.now], np.int64) if moments is None else moments
        first = self.pulses_before[device.id]
        true = first + np.floor(self.litres(device, moments) / (device.litres_per_pulse or 1.0) + 1e-9)
        told = self.misread(device.id, true, moments, first, _PULSES)
        return np.asarray(told, np.int64) % _PULSES

    def misread(self, ident: str, true: Floats, moments: Ints, first: float, top: float) -> Floats:
        """A counter with its faults, from what it would show without."""
        told = true
        for fault in self.book.at(ident, Kind.COUNTER_WRAP):
            told = (told + top - first - fault.size) % top
        for kind in (Kind.COUNTER_RESET, Kind.METER_EXCHANGE, Kind.COUNTER_STEP_BACK, Kind.DRIFT):
            for fault in self.book.at(ident, kind):
                since = moments >= fault.start
                if not since.any():
                    continue
                at_start = self._marks[(ident, fault.start)]
                if kind is Kind.COUNTER_STEP_BACK:
                    told = np.where(since & (moments < fault.end), told - fault.size, told)
                elif kind is Kind.DRIFT:
                    until = np.minimum(true, self._marks.get((ident, fault.end), math.inf))
                    told = np.where(since, told + fault.size * (until - at_start), told)
                else:
                    told = np.where(since, told - at_start + fault.size, told)
        return told

    def _mark(self, day: Day) -> None:
        """Remember where counters stood when their faults began and ended."""
        for fault in self.faults:
            if fault.kind not in OF_COUNTERS:
                continue
            for moment in (fault.start, fault.end):
                if day.begin <= moment < day.end or (moment < day.begin and (fault.place, moment) not in self._marks):
                    self._marks[(fault.place, moment)] = self._stand(fault.place, max(moment, day.begin))

    def _stand(self, ident: str, moment: int) -> float:
        at = np.array([moment], np.int64)
        if ident in self.meters:
            return float(self.meters[ident].true_energies(at)[0])
        device = self.site.device[ident]
        litres = self.litres(device, at) if counts_pulses(device) else np.zeros(1)
        return self.pulses_before.get(ident, 0) + float(litres[0] // (device.litres_per_pulse or 1.0))

    # -- one value at the present, for who answers one question ------------------------------------------------------

    def temperature(self, device: Device) -> float:
        """°C in the room of a device, as the device tells it."""
        fault = self.fault_of(device.id, Kind.IMPLAUSIBLE)
        if fault is not None:
            return 85.0 if fault.amount is None else fault.amount
        return float(self._minute(self.day.temperature[device.zone or NOWHERE]))

    def is_open(self, device: Device) -> bool:
        """Whether the window that a contact watches is open."""
        return self.day.window[device.zone or NOWHERE].at(self.now) > 0

    def illuminance(self, device: Device) -> float:
        """lx at a sensor: daylight, and a little of the lamps."""
        zone = device.zone or NOWHERE
        lit = self.day.lamps[zone].at(self.now) and self.installation.places[zone].lamps
        return float(self._minute(self.day.daylight[zone])) + (LAMP_LUX if lit else 0.0)

    def _minute(self, values: Floats) -> Floats:
        return self.day.minutes(values, np.array([self.now], np.int64))[0]  # type: ignore[no-any-return]  # one of them

    def now_of(self, courses: dict[str, Course], ident: str) -> float:
        """What a course of the day says just now."""
        return courses[ident].at(self.now)

    def air(self, device: Device) -> tuple[float, float]:
        """ppm of CO2 and % of humidity in the room of a device."""
        zone = device.zone or NOWHERE
        people = self.day.people[zone].at(self.now) if zone in self.day.people else 0.0
        minutes = self.now / 60_000
        return 430 + 75 * people + 8 * math.sin(minutes / 19), 52 + 2 * people**0.5 + 3 * math.sin(minutes / 87)
