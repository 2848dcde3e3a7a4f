"""Where people are, minute by minute: a plan for each day, drawn from the seed before the day begins.

They come a few minutes before work, go to lunch, meet, fetch water, and leave soon after work; where a sensor can see
it, some stay late. The last one to leave a room switches everything off; only a fault makes them forget.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from random import Random
from typing import Final

from building.calendar import WorkCalendar
from building.site import Site, Zone
from simulators.recognising import sees_people

SECOND: Final = 1000
MINUTE: Final = 60_000
DAY: Final = 24 * 60 * MINUTE

Stretch = tuple[int, int]
"""From and until, ms since 1970 UTC."""

_STAFFED_USES: Final = frozenset({"office", "lobby", "other"})


@dataclass(frozen=True)
class Draw:
    """One use of water: ``litres_per_minute`` from ``start`` until ``end``."""

    start: int
    end: int
    litres_per_minute: float


@dataclass(frozen=True)
class ZoneDay:
    """One zone on one day. ``counts[i]`` people are there from ``times[i]`` on; ``staffed`` are the stretches in which
    somebody belongs there, though all may be out of the room for some minutes."""

    times: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()
    staffed: tuple[Stretch, ...] = ()
    draws: tuple[Draw, ...] = ()

    def people(self, moment: int) -> int:
        """How many are in the zone."""
        index = bisect_right(self.times, moment) - 1
        return self.counts[index] if index >= 0 else 0

    def is_staffed(self, moment: int) -> bool:
        """Whether things may be on for somebody."""
        return any(start <= moment < end for start, end in self.staffed)


@dataclass
class _Person:
    home: Zone
    spans: list[Stretch]  # at work, lunch apart
    away: list[Stretch] = field(default_factory=list)

    def is_free(self, start: int, end: int) -> bool:
        """At work and not already away, with five minutes to spare on both sides."""
        spare = 5 * MINUTE
        return any(a + spare <= start and end + spare <= b for a, b in self.spans) and not any(
            start - spare < b and a < end + spare for a, b in self.away
        )


class People:
    """Plans of any day of one site; the last few are kept."""

    def __init__(self, site: Site, calendar: WorkCalendar, seed: int) -> None:
        self._site = site
        self._calendar = calendar
        self._seed = seed
        self._sensed = frozenset(device.zone for device in site.devices if sees_people(device) and device.zone)
        self._plugged = frozenset(d.zone for d in site.devices if d.kind == "plug" or d.circuit == "sockets")
        self._days: dict[date, Mapping[str, ZoneDay]] = {}

    def day(self, moment: int) -> Mapping[str, ZoneDay]:
        """The plan of the local day of ``moment``: zone id -> its day. The key "" is the site as a whole."""
        local = self._calendar.local_date(moment)
        plan = self._days.get(local)
        if plan is None:
            if len(self._days) > 7:
                self._days.clear()
            plan = self._days[local] = self._plan(local)
        return plan

    def working_spans(self, day: date, zone: str | None) -> list[Stretch]:
        """The stretches of working hours of ``zone`` on ``day``."""
        moment, end = self.midnight(day), self.midnight(day + timedelta(days=1))
        spans: list[Stretch] = []
        while moment < end:
            change = min(self._calendar.next_change(moment, zone), end)
            if self._calendar.is_working(moment, zone):
                spans.append((moment, change))
            moment = change
        return spans

    def midnight(self, day: date) -> int:
        """The first moment of ``day`` at the site."""
        return int(datetime(day.year, day.month, day.day, tzinfo=self._site.site.tz).timestamp() * 1000)

    def _plan(self, day: date) -> Mapping[str, ZoneDay]:
        luck = Random(f"{self._seed}/people/{day}")
        visits: dict[str, list[Stretch]] = defaultdict(list)
        staff = [person for zone in self._site.zones for person in self._staff(zone, day, luck)]
        meetings = self._meet(staff, day, visits, luck)
        self._trips(staff, visits, luck)
        staffed: dict[str, list[Stretch]] = defaultdict(list, meetings)
        for person in staff:
            staffed[person.home.id] += person.spans
            visits[person.home.id] += _without(person.spans, person.away)
            self._pass_corridor(person, visits)
        days = {
            zone.id: self._zone_day(zone, day, visits[zone.id], staffed[zone.id], luck) for zone in self._site.zones
        }
        days[""] = ZoneDay(staffed=tuple(self.working_spans(day, None)))
        return days

    def _staff(self, zone: Zone, day: date, luck: Random) -> list[_Person]:
        if zone.use not in _STAFFED_USES:
            return []
        hours = self.working_spans(day, zone.id)
        people = []
        for _ in range(zone.headcount or (2 if zone.use == "office" else 0)):
            spans = [
                (start - _minutes(luck, 1, 13), end + _minutes(luck, 0.5, 8 if number < len(hours) - 1 else 13))
                for number, (start, end) in enumerate(hours)
            ]
            people.append(_Person(zone, spans))
        if people and people[0].spans:
            start, end = people[0].spans[-1]
            people[0].spans[-1] = (start, end + self._stays_late(zone, luck))
        return people

    def _stays_late(self, zone: Zone, luck: Random) -> int:
        """ms that somebody stays longer today. Only where a sensor sees it is that as it should be."""
        late, minutes = luck.random() < 0.15, luck.uniform(30, 90)
        if not late or zone.id not in self._sensed:
            return 0
        # Machines count as left on after hours whoever is there, so nobody works on at one for long.
        return round(min(minutes, 12 if zone.id in self._plugged else 90) * 60) * SECOND

    def _meet(
        self, staff: list[_Person], day: date, visits: dict[str, list[Stretch]], luck: Random
    ) -> dict[str, list[Stretch]]:
        """One meeting in every stretch of work, in every meeting room; at least one person stays in each office."""
        held: dict[str, list[Stretch]] = defaultdict(list)
        for room in self._site.zones:
            if room.use != "meeting":
                continue
            for begin, end in self.working_spans(day, room.id):
                start = begin + _minutes(luck, 25, 50)
                stop = min(start + _minutes(luck, 40, 60), end - 20 * MINUTE)
                guests = self._guests(staff, start - 2 * MINUTE, stop + 2 * MINUTE, luck) if stop > start else []
                for guest in guests:
                    stay = (start - _minutes(luck, 0, 2), stop + _minutes(luck, 0, 2))
                    guest.away.append(stay)
                    visits[room.id].append(stay)
                if guests:
                    stays = visits[room.id][-len(guests) :]
                    held[room.id].append((min(a for a, _ in stays), max(b for _, b in stays)))
        return held

    def _guests(self, staff: list[_Person], start: int, end: int, luck: Random) -> list[_Person]:
        homes: dict[str, list[_Person]] = defaultdict(list)
        for person in staff:
            homes[person.home.id].append(person)
        guests = []
        for group in homes.values():
            free = [person for person in group if person.is_free(start, end)]
            guests += free[: luck.randint(0, max(0, len(free) - 2))]
        return guests[:12]

    def _trips(self, staff: list[_Person], visits: dict[str, list[Stretch]], luck: Random) -> None:
        """To the toilet and the pantry: about one an hour and a half for each person."""
        for person in staff:
            places = [
                zone.id
                for zone in self._site.zones
                if zone.use in ("toilet", "pantry") and (zone.floor == person.home.floor or person.home.floor is None)
            ]
            for begin, end in person.spans:
                count = max(1, round((end - begin) / (90 * MINUTE)))
                for number in range(count):
                    slot = (end - begin) // count
                    start = begin + number * slot + luck.randrange(slot)
                    stop = start + _minutes(luck, 3, 5)
                    if places and person.is_free(start, stop):
                        person.away.append((start, stop))
                        visits[luck.choice(places)].append((start, stop))

    def _pass_corridor(self, person: _Person, visits: dict[str, list[Stretch]]) -> None:
        corridors = [zone.id for zone in self._site.zones if zone.use == "corridor" and zone.floor == person.home.floor]
        for start, end in (*person.spans, *person.away):
            for corridor in corridors:
                visits[corridor] += [(start - 40 * SECOND, start), (end, end + 40 * SECOND)]

    def _zone_day(self, zone: Zone, day: date, visits: list[Stretch], staffed: list[Stretch], luck: Random) -> ZoneDay:
        draws = _draws(zone, visits, luck)
        if not staffed:
            # Nobody's own room: lamps follow a motion switch where there is one, else the hours of the place.
            shared = zone.use not in _STAFFED_USES | {"meeting"}
            staffed = visits if zone.id in self._sensed else self.working_spans(day, zone.id) if shared else []
        times, counts = _steps(visits)
        return ZoneDay(times, counts, _merged(staffed, gap=3 * MINUTE), draws)


def _minutes(luck: Random, low: float, high: float) -> int:
    return round(luck.uniform(low, high) * 60) * SECOND


def _without(spans: list[Stretch], away: list[Stretch]) -> list[Stretch]:
    kept = []
    for start, end in spans:
        at = start
        for leave, back in sorted(away):
            if start <= leave and back <= end:
                kept.append((at, leave))
                at = back
        kept.append((at, end))
    return kept


def _merged(stretches: list[Stretch], gap: int) -> tuple[Stretch, ...]:
    merged: list[Stretch] = []
    for start, end in sorted(stretches):
        if merged and start - merged[-1][1] <= gap:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)


def _steps(visits: list[Stretch]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    changes: dict[int, int] = defaultdict(int)
    for start, end in visits:
        changes[start] += 1
        changes[end] -= 1
    times, counts, present = [], [], 0
    for moment in sorted(changes):
        present += changes[moment]
        times.append(moment)
        counts.append(present)
    return tuple(times), tuple(counts)


def _draws(zone: Zone, visits: list[Stretch], luck: Random) -> tuple[Draw, ...]:
    """Water used by the visitors, one after another with at least 90 s between them: there is one cabin and one basin.

    Flows are GB 50015's: cistern 0.10 L/s, basin 0.10 to 0.15 L/s, drinking-water nozzle 0.05 L/s and more.
    """
    draws: list[Draw] = []
    if zone.use not in ("toilet", "pantry"):
        return ()
    free_from = 0
    for start, _ in sorted(visits):
        at = max(start + 30 * SECOND, free_from)
        if zone.use == "toilet":
            flushed = at + 60 * SECOND
            draws.append(Draw(at, flushed, 6.0))
            at = flushed
        end = at + luck.randint(8, 20) * SECOND
        draws.append(Draw(at, end, luck.uniform(6.0, 9.0) if zone.use == "toilet" else 3.0))
        free_from = end + 90 * SECOND
    return tuple(draws)
