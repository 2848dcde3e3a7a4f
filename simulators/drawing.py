"""Faults drawn at random, by rate and seed: so many of each kind on a working day, at places and times as they happen.

No two faults disturb one zone within an hour of each other, so that each can be told by what it raises.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from random import Random
from typing import Final, NamedTuple

import numpy as np

from building.calendar import WorkCalendar
from building.site import Site
from simulators.appliances import is_dispenser
from simulators.courses import Stretch
from simulators.faults import OF_LINKS, OF_PEOPLE, Fault, Kind, mistakes_of
from simulators.installation import Installation
from simulators.people import DAY, MINUTE, People
from simulators.recognising import sees_people
from simulators.weather import Weather

_EMPTIED: Final = 25 * MINUTE  # after the end of work everybody has left, and the sensors' hold is over
_APART: Final = 60 * MINUTE
_BRIGHT: Final = 600.0  # lx beside the window that leave no doubt


class _Day(NamedTuple):
    midnight: int
    hours: list[Stretch]
    season: str
    luck: Random


_Draw = Callable[["_Drawer", _Day, str], tuple[int, int, float | None] | None]


def drawn_faults(site: Site, first: date, days: int, seed: int, rates: Mapping[Kind, float]) -> list[Fault]:
    """Faults of ``days`` days from ``first`` on, sorted by start. ``rates``: kind -> faults on a working day."""
    drawer = _Drawer(site, seed)
    for number in range(days):
        drawer.draw(first + timedelta(days=number), rates)
    return sorted(drawer.faults, key=lambda fault: (fault.start, fault.place))


class _Drawer:
    def __init__(self, site: Site, seed: int) -> None:
        self.site = site
        self.faults: list[Fault] = []
        self._seed = seed
        self._calendar = WorkCalendar(site)
        self._people = People(site, self._calendar, seed)
        self._weather = Weather(site.site, seed)
        self._installation = Installation(site, seed)
        self._busy: dict[str, list[Stretch]] = defaultdict(list)
        self._fed = [device for device in site.devices if device.link is not None]
        self._sensed = {device.zone for device in site.devices if sees_people(device)}

    def draw(self, day: date, rates: Mapping[Kind, float]) -> None:
        midnight = self._people.midnight(day)
        hours = self._people.working_spans(day, None)
        if not hours:
            return
        for kind, rate in rates.items():
            luck = Random(f"{self._seed}/faults/{kind.value}/{day}")
            today = _Day(midnight, hours, self._calendar.season(midnight), luck)
            for _ in range(int(rate) + (luck.random() < rate % 1)):
                self._one(kind, today)

    def _one(self, kind: Kind, day: _Day) -> None:
        """One fault at one of the places that can suffer it and are quiet then; none where there is no such place."""
        places = list(self._places(kind))
        day.luck.shuffle(places)
        for place in places[:8]:
            timed = _TIMED.get(kind, _Drawer._of_device)(self, day, place)
            if timed is None:
                continue
            start, end, amount = timed
            fault = Fault(kind, place, start, end, amount)
            if not any(mistakes_of(self.site, fault)) and self._is_quiet(fault):
                self.faults.append(fault)
                for zone in self._touched(fault):
                    self._busy[zone].append((start - _APART, end + _APART))
                return

    def _places(self, kind: Kind) -> Sequence[str]:
        zones = self._installation.places
        if kind in (Kind.TAP_RUNNING, Kind.CISTERN_LEAK):
            return [z for z, p in zones.items() if z and p.taps]
        if kind in (Kind.SETPOINT, Kind.AIRCON_IN_EMPTY_ROOM, Kind.WINDOW_OPEN):
            return [z for z, p in zones.items() if z and p.aircons and p.zone.use in ("office", "lobby")]
        if kind is Kind.LAMP_IN_DAYLIGHT:
            return [z for z, p in zones.items() if z in self._sensed and p.lights]
        if kind is Kind.LAMP_LEFT_ON:
            return [z for z, p in zones.items() if z and p.lights and p.zone.use in ("office", "lobby", "meeting")]
        if kind in OF_PEOPLE:
            return [device.id for device in self.site.devices if device.kind == "plug" and not is_dispenser(device)]
        if kind in OF_LINKS:
            return list(self.site.link)
        if kind is Kind.DRIFT:  # of what counts for much in the sum
            return [d.id for d in self._fed if d.circuit == "aircon" and d.id not in self._installation.children]
        if kind in (Kind.FROZEN, Kind.IMPLAUSIBLE):
            return [d.id for d in self._fed if d.kind == "electricity" and d.id not in self._installation.children]
        return [d.id for d in self._fed if d.id not in self._installation.children and d.kind != "sensor"]

    def _touched(self, fault: Fault) -> list[str]:
        """Zones that a fault disturbs; a device's without zone is named for itself."""
        if fault.kind in OF_LINKS:
            return [d.zone or d.id for d in self.site.devices if d.link == fault.place]
        device = self.site.device.get(fault.place)
        return [fault.place if device is None else device.zone or device.id]

    def _is_quiet(self, fault: Fault) -> bool:
        return all(
            fault.start >= end or fault.end <= start for zone in self._touched(fault) for start, end in self._busy[zone]
        )

    # -- when ---------------------------------------------------------------------------------------------------------

    def _evening(self, day: _Day, place: str) -> tuple[int, int, float | None] | None:
        """Forgotten when leaving, found by the guard."""
        start = day.hours[-1][1] + _EMPTIED + day.luck.randint(0, 60) * MINUTE
        return start, start + day.luck.randint(60, 240) * MINUTE, None

    def _night(self, day: _Day, place: str) -> tuple[int, int, float | None] | None:
        """Forgotten when leaving: often nobody looks behind a copier until the first one is back in the morning."""
        start, end, amount = self._evening(day, place) or (0, 0, None)
        if day.luck.random() < 0.4:
            end = day.midnight + DAY + day.luck.randint(360, 450) * MINUTE
        return start, end, amount

    def _lamp(self, day: _Day, place: str) -> tuple[int, int, float | None] | None:
        if len(day.hours) > 1 and day.luck.random() < 0.35:
            start = day.hours[0][1] + day.luck.randint(22, 28) * MINUTE
            end = day.hours[1][0] - 15 * MINUTE
            return (start, end, None) if end - start >= 30 * MINUTE else None
        return self._evening(day, place)

    def _left_cooling(self, day: _Day, place: str) -> tuple[int, int, float | None] | None:
        return None if day.season == "none" else self._evening(day, place)

    def _setpoint(self, day: _Day, place: str) -> tuple[int, int, float | None] | None:
        if day.season == "none":
            return None
        begin, end = day.luck.choice(day.hours)
        start = begin + day.luck.randint(15, 40) * MINUTE
        stop = min(start + day.luck.randint(45, 120) * MINUTE, end - 15 * MINUTE)
        amount = day.luck.choice((21.0, 22.0, 23.0, 24.0) if day.season == "cooling" else (20.0, 22.0, 24.0))
        return (start, stop, amount) if stop - start >= 30 * MINUTE else None

    def _tap(self, day: _Day, place: str) -> tuple[int, int, float | None] | None:
        start = day.midnight + day.luck.randint(9 * 60, 22 * 60) * MINUTE
        return start, start + day.luck.randint(20, 90) * MINUTE, round(day.luck.uniform(2.5, 9.0), 1)

    def _leak(self, day: _Day, place: str) -> tuple[int, int, float | None] | None:
        start = day.midnight + day.luck.randint(0, 1439) * MINUTE
        return start, start + day.luck.randint(30, 72) * 60 * MINUTE, round(day.luck.uniform(0.08, 0.5), 2)

    def _kettle(self, day: _Day, place: str) -> tuple[int, int, float | None] | None:
        begin, end = day.luck.choice(day.hours)
        start = day.luck.randrange(begin + 10 * MINUTE, end - 20 * MINUTE, MINUTE)
        return start, start + day.luck.randint(5, 8) * MINUTE, day.luck.choice((1700.0, 1800.0, 2000.0))

    def _bright(self, day: _Day, place: str) -> tuple[int, int, float | None] | None:
        """The longest stretch of work in which the window alone gives more light than anybody needs."""
        grid = np.arange(day.midnight, day.midnight + DAY, MINUTE, dtype=np.int64)
        lux = self._weather.at(grid).daylight * self._installation.places[place].window
        best: Stretch = (0, 0)
        for begin, end in day.hours:
            bright = grid[(lux > _BRIGHT) & (grid >= begin + 10 * MINUTE) & (grid < end - 10 * MINUTE)]
            if len(bright) and bright[-1] - bright[0] == (len(bright) - 1) * MINUTE and len(bright) > 45:
                best = max(best, (int(bright[0]), int(bright[-1])), key=lambda stretch: stretch[1] - stretch[0])
        return (*best, None) if best[1] else None

    def _of_device(self, day: _Day, place: str) -> tuple[int, int, float | None] | None:
        start = day.midnight + day.luck.randint(0, 23 * 60) * MINUTE
        return start, start + day.luck.randint(45, 180) * MINUTE, None

    def _frozen(self, day: _Day, place: str) -> tuple[int, int, float | None] | None:
        start = day.hours[0][0] + day.luck.randint(30, 90) * MINUTE
        return start, start + day.luck.randint(16, 24) * 60 * MINUTE, None

    def _drift(self, day: _Day, place: str) -> tuple[int, int, float | None] | None:
        """A transformer of the wrong ratio, for some days: only a whole day's sums show it."""
        start = day.midnight + day.luck.randint(0, 1439) * MINUTE
        return start, start + day.luck.randint(60, 100) * 60 * MINUTE, round(day.luck.uniform(0.6, 1.0), 2)


_TIMED: Final[Mapping[Kind, _Draw]] = {
    Kind.LAMP_LEFT_ON: _Drawer._lamp,
    Kind.LAMP_IN_DAYLIGHT: _Drawer._bright,
    Kind.TAP_RUNNING: _Drawer._tap,
    Kind.CISTERN_LEAK: _Drawer._leak,
    Kind.SETPOINT: _Drawer._setpoint,
    Kind.AIRCON_IN_EMPTY_ROOM: _Drawer._left_cooling,
    Kind.WINDOW_OPEN: _Drawer._left_cooling,
    Kind.STANDBY: _Drawer._night,
    Kind.EQUIPMENT_LEFT_ON: _Drawer._night,
    Kind.KETTLE: _Drawer._kettle,
    Kind.FROZEN: _Drawer._frozen,
    Kind.DRIFT: _Drawer._drift,
}
"""Kinds with times of their own; others come at any hour and last one to three."""
