"""One local day of the building, worked out as a whole: courses of power, light, presence and water, minutes of heat.

A day depends on the site, the seed, the faults and how the day before ended; not on who asks for it, or when.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from random import Random
from typing import Final

import numpy as np

from building.calendar import WorkCalendar
from building.site import Device, Site
from simulators.courses import (
    Course,
    Floats,
    Ints,
    Stretch,
    both,
    combined,
    constant,
    either,
    from_stretches,
    no,
    on_grid,
    piled,
    total,
)
from simulators.faults import FaultBook, Kind
from simulators.installation import LOSSES, NOWHERE, Installation, Place
from simulators.people import MINUTE, People, ZoneDay
from simulators.rooms import STANDBY, Demands, Flags, Outcome, Rooms, run_day
from simulators.weather import Sky, Weather

LAMP_LUX: Final = 25.0  # what the lamps add at the sensor, which looks at the window
_DARK, _BRIGHT = 250.0, 350.0  # lx at which people switch the lamps on, and notice that they need none
_PIR_HOLD: Final = 90_000  # ms from the last hit until the gateway clears occupancy
_PIR_BLIND: Final = 60_000  # ms in which the sensor sees nothing after a hit
_VOLTAGE_STEP: Final = 10 * MINUTE  # how finely lamps follow the mains


@dataclass
class State:
    """What one day hands to the next."""

    temperature: Floats
    on: Flags


@dataclass
class Day:
    """One local day. Courses by device id or zone id; arrays by minute have a row for each of ``grid``."""

    begin: int
    end: int
    grid: Ints
    sky: Sky
    plan: Mapping[str, ZoneDay]
    cooling: bool
    season: bool
    power: dict[str, Course] = field(default_factory=dict)  # W, by device
    switched: dict[str, Course] = field(default_factory=dict)  # plugs and air conditioners: 1 while on
    lamps: dict[str, Course] = field(default_factory=dict)  # by zone
    occupied: dict[str, Course] = field(default_factory=dict)  # by sensor
    empty: dict[str, Course] = field(default_factory=dict)  # by zone, by its sensors or its hours
    off_hours: dict[str, Course] = field(default_factory=dict)
    flow: dict[str, Course] = field(default_factory=dict)  # L/min, by zone
    gas: dict[str, Course] = field(default_factory=dict)  # L/min, by gas meter
    leak: dict[str, Course] = field(default_factory=dict)  # L/min that nobody wanted, by zone
    setpoint: dict[str, Course] = field(default_factory=dict)  # °C, by air conditioner
    window: dict[str, Course] = field(default_factory=dict)  # by zone: 1 while open though it should not be
    fair: dict[str, Course] = field(default_factory=dict)  # W at the permitted setpoint, where another is set
    temperature: dict[str, Floats] = field(default_factory=dict)  # °C by zone and minute
    daylight: dict[str, Floats] = field(default_factory=dict)  # lx at the sensor by zone and minute

    @property
    def mode(self) -> str:
        """What air conditioners are set to, on or off."""
        return "cool" if self.cooling else "heat"

    @cached_property
    def people(self) -> dict[str, Course]:
        """Head count by zone."""
        return {ident: _head_count(zone_day, self.begin, self.end) for ident, zone_day in self.plan.items()}

    def minutes(self, values: Floats, moments: Ints) -> Floats:
        """Something that glides from minute to minute, at ``moments``."""
        return np.interp(moments, self.grid, values)


def _head_count(zone_day: ZoneDay, begin: int, end: int) -> Course:
    steps = zip(zone_day.times, (*zone_day.times[1:], end)[: len(zone_day.times)], zone_day.counts, strict=True)
    return piled(begin, end, [(start, stop, float(count)) for start, stop, count in steps])


class DayMaker:
    """Works out the days of one building, each from the one before."""

    def __init__(self, site: Site, seed: int, installation: Installation, book: FaultBook) -> None:
        self._site, self._seed, self._installation, self._book = site, seed, installation, book
        self.calendar = WorkCalendar(site)
        self.people = People(site, self.calendar, seed)
        self.weather = Weather(site.site, seed)
        self._zones = list(installation.places)
        places = installation.places
        self._units = [ident for zone in self._zones for ident in places[zone].aircons]
        self._rooms = Rooms(
            np.array([places[zone].area for zone in self._zones]),
            np.array([n for n, zone in enumerate(self._zones) for _ in places[zone].aircons], np.int64),
            np.array([self._rated(ident) for ident in self._units]),
            np.array([installation.outdoor_of(ident) for ident in self._units], np.int64),
        )

    def first_state(self, begin: int) -> State:
        """Rooms a little warmer than it is outdoors, everything off."""
        outdoor = self.weather.at(np.array([begin], np.int64)).outdoor[0]
        lucks = [Random(f"{self._seed}/warmth/{zone}").uniform(0.5, 1.5) for zone in self._zones]
        return State(outdoor + np.array(lucks), np.zeros(len(self._units), bool))

    def make(self, begin: int, end: int, before: State) -> tuple[Day, State]:
        """The day from ``begin`` to ``end``, its local midnights."""
        grid = np.arange(begin, end, MINUTE, dtype=np.int64)
        season = self.calendar.season(begin)
        day = Day(
            begin, end, grid, self.weather.at(grid), self.people.day(begin), season != "heating", season != "none"
        )
        for zone in self._zones:
            self._furnish(day, zone, self._installation.places[zone])
        for device in self._site.devices:
            if device.kind == "gas":
                day.gas[device.id] = self._gas(day, device)
        state = self._heat(day, before)
        self._measure(day)
        return day, state

    def stretches(self, place: str, kind: Kind) -> list[Stretch]:
        """When a kind of fault holds at a place."""
        return [(fault.start, fault.end) for fault in self._book.at(place, kind)]

    # -- light, presence, water, plugs --------------------------------------------------------------------------------

    def _furnish(self, day: Day, zone: str, place: Place) -> None:
        begin, end = day.begin, day.end
        plan = day.plan.get(zone, ZoneDay())
        staffed = from_stretches(begin, end, plan.staffed)
        day.daylight[zone] = day.sky.daylight * place.window
        day.lamps[zone] = self._lamps(day, zone, staffed)
        for sensor in place.sensors:
            luck = Random(f"{self._seed}/pir/{sensor}/{begin}")
            day.occupied[sensor] = from_stretches(begin, end, _seen(plan, luck))
        hours = self.people.working_spans(self.calendar.local_date(begin), zone or None)
        day.off_hours[zone] = no(from_stretches(begin, end, hours))
        seen = [day.occupied[ident] for ident in place.sensors]
        day.empty[zone] = no(either(*seen)) if seen else day.off_hours[zone]
        spilt = self._spilt(zone)
        day.flow[zone] = piled(begin, end, [*_drawn(plan), *spilt])
        day.leak[zone] = piled(begin, end, spilt)
        open_now = self.stretches(zone, Kind.WINDOW_OPEN)
        day.window[zone] = from_stretches(begin, end, open_now) if open_now else constant(begin, end, 0.0)
        for plug in place.plugs:
            self._plug(day, plug, plan.staffed)

    def _lamps(self, day: Day, zone: str, staffed: Course) -> Course:
        light = day.daylight[zone]
        said = np.where(light < _DARK, 1, np.where(light >= _BRIGHT, -1, 0))
        said[0] = said[0] or 1
        last = np.maximum.accumulate(np.where(said != 0, np.arange(len(said)), 0))
        wanted = both(staffed, on_grid(day.grid, said[last] > 0, day.end))
        forgotten = [*self.stretches(zone, Kind.LAMP_LEFT_ON), *self.stretches(zone, Kind.LAMP_IN_DAYLIGHT)]
        return either(wanted, from_stretches(day.begin, day.end, forgotten)) if forgotten else wanted

    def _gas(self, day: Day, device: Device) -> Course:
        """A canteen's stoves, from two hours before lunch on: 1 to 2 m3 in an hour; nothing on days off."""
        luck = Random(f"{self._seed}/gas/{device.id}/{day.begin}")
        hours = self.people.working_spans(self.calendar.local_date(day.begin), device.zone)
        cooking = [(max(start, end - 120 * MINUTE), end) for start, end in hours[:1]]
        return from_stretches(day.begin, day.end, cooking, luck.uniform(1000, 2000) / 60)

    def _spilt(self, zone: str) -> list[tuple[int, int, float]]:
        kinds = (Kind.TAP_RUNNING, Kind.CISTERN_LEAK)
        return [(fault.start, fault.end, fault.size) for kind in kinds for fault in self._book.at(zone, kind)]

    def _plug(self, day: Day, ident: str, used: tuple[Stretch, ...]) -> None:
        machine = self._installation.appliances[ident]
        asleep, awake = self.stretches(ident, Kind.STANDBY), self.stretches(ident, Kind.EQUIPMENT_LEFT_ON)
        boiling = [(fault.start, fault.end, fault.size) for fault in self._book.at(ident, Kind.KETTLE)]
        luck = Random(f"{self._seed}/plug/{ident}/{day.begin}")
        course = piled(day.begin, day.end, list(machine.work(used, luck)))
        on = from_stretches(day.begin, day.end, [*used, *asleep, *awake, *((a, b) for a, b, _ in boiling)])
        staffed = from_stretches(day.begin, day.end, used)
        for stretches, watts in ((asleep, machine.standby), (awake, machine.left_on)):
            if stretches:
                forgotten = from_stretches(day.begin, day.end, stretches, watts)
                course = combined(_at_least_unused, course, forgotten, staffed)
        if boiling:
            course = total([course, piled(day.begin, day.end, boiling)], day.begin, day.end)
        day.power[ident], day.switched[ident] = course, on

    # -- heat ---------------------------------------------------------------------------------------------------------

    def _heat(self, day: Day, before: State) -> State:
        demands = self._demands(day)
        outcome, temperature, on = run_day(self._rooms, before.temperature, before.on, demands)
        for number, zone in enumerate(self._zones):
            day.temperature[zone] = outcome.temperature[:, number]
        usual = 26.0 if day.cooling else 18.0
        for number, unit in enumerate(self._units):
            hum = 1 + 0.3 * (mains_voltage(day.grid, voltage_phases(self._seed, unit)[0]) / 230.5 - 1)
            watts = np.where(outcome.on[:, number], outcome.power[:, number], STANDBY * hum)
            day.power[unit] = on_grid(day.grid, watts, day.end)
            day.switched[unit] = on_grid(day.grid, outcome.on[:, number], day.end)
            day.setpoint[unit] = on_grid(day.grid, demands.setpoint[:, number], day.end)
        odd = (demands.setpoint != usual).any(axis=0)
        if odd.any():
            self._compare(day, before, demands, outcome, odd)
        return State(temperature, on)

    def _compare(self, day: Day, before: State, demands: Demands, outcome: Outcome, odd: Flags) -> None:
        """The same day at the permitted setpoint, where another was set: what it draws more is waste."""
        demands.setpoint = np.full_like(demands.setpoint, 26.0 if day.cooling else 18.0)
        demands.forced = demands.forced | outcome.on  # the twin is on whenever the real one is
        twin, _, _ = run_day(self._rooms, before.temperature, before.on, demands)
        for number in np.flatnonzero(odd):
            day.fair[self._units[number]] = on_grid(day.grid, twin.power[:, number], day.end)

    def _demands(self, day: Day) -> Demands:
        zones = [self._installation.places[zone] for zone in self._zones]
        names = self._zones
        load = [total([self._lamp_load(day, z, p), *(day.power[plug] for plug in p.plugs)], day.begin, day.end).sample(
            day.grid) for z, p in zip(names, zones, strict=True)]  # fmt: skip
        present = [self._head_counts(day, zone) for zone in names]
        of_unit = [names[room] for room in self._rooms.room_of]
        shape = (len(day.grid), len(of_unit))
        staffed, forced = np.zeros(shape, bool), np.zeros(shape, bool)
        setpoint = np.full(shape, 26.0 if day.cooling else 18.0)
        for column, zone in enumerate(of_unit):
            here = from_stretches(day.begin, day.end, day.plan.get(zone, ZoneDay()).staffed).sample(day.grid) > 0
            left = [*self.stretches(zone, Kind.AIRCON_IN_EMPTY_ROOM), *self.stretches(zone, Kind.WINDOW_OPEN)]
            staffed[:, column] = here
            forced[:, column] = _within(day.grid, left)
            for fault in self._book.at(zone, Kind.SETPOINT):
                during = _within(day.grid, [(fault.start, fault.end)])
                setpoint[during, column] = fault.size
                forced[:, column] |= during & here
        window = np.array([day.window[zone].sample(day.grid) > 0 for zone in names]).T
        return Demands(day.sky.outdoor, day.sky.daylight, np.array(present).T, np.array(load).T, window,
                       day.cooling, day.season, staffed, forced, setpoint)  # fmt: skip

    def _head_counts(self, day: Day, zone: str) -> Floats:
        return day.people[zone].sample(day.grid) if zone in day.people else np.zeros(len(day.grid))

    def _rated(self, ident: str) -> float:
        device = self._site.device[ident]
        return device.rated_power or 40.0 * self._installation.place_of(device).area

    # -- meters -------------------------------------------------------------------------------------------------------

    def _lamp_load(self, day: Day, zone: str, place: Place) -> Course:
        lit = day.lamps[zone]
        rated = sum(place.lamps.values())
        return Course(lit.times, lit.values * rated, lit.end)

    def _measure(self, day: Day) -> None:
        """The power at every meter, leaves first."""
        installation = self._installation
        for device in installation.meters:
            behind = installation.children.get(device.id)
            if behind is None:
                if device.kind != "plug":
                    day.power[device.id] = self._leaf(day, device)
                continue
            courses = [day.power[child] for child in behind if child in day.power]
            day.power[device.id] = total(courses, day.begin, day.end, LOSSES)
        main = installation.main
        if main is not None:
            bare = [ident for ident in installation.unmetered() if ident in day.power]
            if bare:
                courses = [day.power[main], *(day.power[ident] for ident in bare)]
                day.power[main] = total(courses, day.begin, day.end)

    def _leaf(self, day: Day, device: Device) -> Course:
        """What a meter without meters behind it carries."""
        place = self._installation.place_of(device)
        zone = device.zone or NOWHERE
        if device.kind == "light" or device.circuit == "lighting":
            rated = place.lamps.get(device.id) or device.rated_power or 8.0 * place.area
            lit = day.lamps[zone]
            if not lit.values.any():
                return lit
            return combined(lambda on, volts: on * rated * volts, lit, self._mains(day, device))
        if device.circuit == "aircon":
            return total([day.power[unit] for unit in place.aircons], day.begin, day.end)
        if device.circuit == "main":
            return constant(day.begin, day.end, 0.0)
        rated = device.rated_power or 300.0
        if place.zone.use in ("server", "plant") and device.circuit != "sockets":
            return constant(day.begin, day.end, rated)  # machines that never rest
        return from_stretches(day.begin, day.end, day.plan.get(zone, ZoneDay()).staffed, rated)

    def _mains(self, day: Day, device: Device) -> Course:
        """Lamps draw a little more at high voltage: the factor, in steps."""
        times = np.arange(day.begin, day.end, _VOLTAGE_STEP, dtype=np.int64)
        phase = voltage_phases(self._seed, device.id)[0]
        return Course(times, 1 + 0.3 * (mains_voltage(times, phase) / 230.5 - 1), day.end)


def voltage_phases(seed: int, ident: str) -> tuple[float, float, float]:
    """Where each phase stands in its wandering, in radians."""
    luck = Random(f"{seed}/mains/{ident}")
    return luck.uniform(0, math.tau), luck.uniform(0, math.tau), luck.uniform(0, math.tau)


def mains_voltage(moments: Ints, phase: float) -> Floats:
    """V to neutral: wanders by 3 V in the course of hours, by fractions within minutes."""
    hours = moments / 3_600_000 * math.tau
    return 230.5 + 2.2 * np.sin(hours / 5.3 + phase) + 0.6 * np.sin(hours * 7.1 + phase)


def _at_least_unused(own: Floats, left: Floats, in_use: Floats) -> Floats:
    """What a machine draws, at least what it was left at while nobody uses it."""
    return np.where(in_use, own, np.maximum(own, left))


def _within(grid: Ints, stretches: list[Stretch]) -> Flags:
    held = np.zeros(len(grid), bool)
    for start, end in stretches:
        held |= (grid >= start) & (grid < end)
    return held


def _drawn(plan: ZoneDay) -> list[tuple[int, int, float]]:
    return [(draw.start, draw.end, draw.litres_per_minute) for draw in plan.draws]


def _seen(plan: ZoneDay, luck: Random) -> list[Stretch]:
    """When a motion sensor says that somebody is there: coming and going shows; who sits moves now and then."""
    seen: list[Stretch] = []
    hit = -_PIR_BLIND
    ends = (*plan.times[1:], plan.times[-1] + 1) if plan.times else ()
    for start, end, people in zip(plan.times, ends, plan.counts, strict=True):
        moment = start
        while True:
            if moment - hit >= _PIR_BLIND:
                hit = moment
                if seen and hit <= seen[-1][1]:
                    seen[-1] = (seen[-1][0], hit + _PIR_HOLD)
                else:
                    seen.append((hit, hit + _PIR_HOLD))
            if not people:
                break
            moment += round(luck.expovariate(people / 75) * 1000) + 1
            if moment >= end:
                break
    return seen
