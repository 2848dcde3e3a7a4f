"""The faults of one working day and the night after it: what people really do, at times that differ with the seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from random import Random
from typing import Final

from building.calendar import WorkCalendar
from building.site import Device, Site
from simulators.appliances import is_dispenser
from simulators.faults import Fault, Kind
from simulators.people import DAY, MINUTE, People, Stretch
from simulators.recognising import sees_people

_EMPTIED: Final = 25 * MINUTE  # after the end of work everybody has left, and the sensors' hold is over


def default_faults(site: Site, day: date, seed: int = 1) -> list[Fault]:
    """Up to eight faults of people on ``day``, the first within two hours after work begins; sorted by start.

    Only what the site can suffer: no tap without a water meter, no copier without a plug. Empty on a day off.
    """
    return sorted(_Day(site, day, seed).faults(), key=lambda fault: fault.start)


class _Day:
    def __init__(self, site: Site, day: date, seed: int) -> None:
        self._site = site
        self._luck = Random(f"{seed}/faults/{day}")
        calendar = WorkCalendar(site)
        people = People(site, calendar, seed)
        self._midnight = people.midnight(day)
        self._season = calendar.season(self._midnight)
        self._hours = people.working_spans(day, None)
        self._plan = people.day(self._midnight + DAY // 2)
        self._linked = [device for device in site.devices if device.link is not None and device.zone is not None]
        self._sensed = {device.zone for device in self._linked if sees_people(device)}

    def faults(self) -> Iterator[Fault]:
        if not self._hours:
            return
        morning, evening = self._hours[0][0], self._hours[-1][1]
        lamps = self._zones(lambda device: device.kind == "light" or device.circuit == "lighting", ("office", "lobby"))
        cooled = self._zones(lambda device: device.kind == "aircon", ("office", "lobby"))
        taps = self._zones(lambda device: device.kind == "water", ("toilet", "pantry"))
        plugs = [device.id for device in self._linked if device.kind == "plug" and _sleeps(device)]
        setpoint = 24.0 if self._season == "heating" else 22.0
        yield from self._some(Kind.SETPOINT, cooled, morning + self._minutes(15, 40), 90, amount=setpoint)
        yield from self._forgotten_meeting_room()
        yield from self._some(Kind.TAP_RUNNING, taps, self._hours[-1][0] + self._minutes(30, 60), 35)
        yield from self._lunch(lamps)
        yield from self._some(Kind.LAMP_LEFT_ON, lamps, evening + _EMPTIED + self._minutes(5, 20), 190)
        yield from self._some(Kind.AIRCON_IN_EMPTY_ROOM, cooled, evening + _EMPTIED + self._minutes(5, 30), 170)
        yield from self._some(Kind.STANDBY, plugs, evening + _EMPTIED + self._minutes(5, 30), 11 * 60)
        yield from self._some(Kind.TAP_RUNNING, taps, evening + self._minutes(290, 330), 60, amount=4.0)

    def _forgotten_meeting_room(self) -> Iterator[Fault]:
        """After the morning's meeting the air conditioner goes on working for nobody."""
        rooms = [z for z in self._zones(lambda device: device.kind == "aircon", ("meeting",)) if z in self._sensed]
        for room in rooms[:1]:
            stretch = self._idle_after_meeting(room)
            if stretch is not None:
                yield Fault(Kind.AIRCON_IN_EMPTY_ROOM, room, *stretch)

    def _idle_after_meeting(self, room: str) -> Stretch | None:
        ends = [end for _, end in self._plan[room].staffed]
        noon = self._hours[0][1]
        start = (ends[0] if ends else self._hours[0][0]) + 20 * MINUTE
        start += -start % MINUTE
        busy = [begin for begin, _ in self._plan[room].staffed if begin > start]
        end = min([noon, start + 80 * MINUTE, *busy])
        return (start, end) if end - start >= 45 * MINUTE else None

    def _lunch(self, lamps: Sequence[str]) -> Iterator[Fault]:
        """Somebody fetches something at lunch and leaves the light on."""
        if len(self._hours) > 1:
            start, back = self._hours[0][1] + self._minutes(22, 28), self._hours[1][0] - 15 * MINUTE
            if back - start >= 30 * MINUTE:
                yield from self._some(Kind.LAMP_LEFT_ON, lamps, start, (back - start) / MINUTE)

    def _some(
        self, kind: Kind, places: Sequence[str], start: int, minutes: float, amount: float | None = None
    ) -> Iterator[Fault]:
        """One fault at one of ``places``, if there are any."""
        if places:
            length = round(minutes * self._luck.uniform(0.9, 1.0)) * MINUTE
            yield Fault(kind, self._luck.choice(places), start, start + length, amount)

    def _zones(self, holds: Callable[[Device], bool], uses: tuple[str, ...]) -> list[str]:
        found = [device.zone for device in self._linked if device.zone is not None and holds(device)]
        return sorted({zone for zone in found if self._site.zone[zone].use in uses})

    def _minutes(self, low: int, high: int) -> int:
        return self._luck.randint(low, high) * MINUTE


def _sleeps(device: Device) -> bool:
    """Whether the machine on a plug has a standby worth the name."""
    return not is_dispenser(device)
