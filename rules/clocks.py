"""Cells that run on the calendar alone: working hours, the season, and certain minutes of the day."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta, tzinfo
from itertools import pairwise
from zoneinfo import ZoneInfo

from building.calendar import WorkCalendar
from building.site import DAY
from rules.cells import Cell, Timeline


class Working(Cell):
    """Whether it is within working hours, for all zones that keep the same hours."""

    __slots__ = ("calendar", "state", "zone")

    def __init__(self, memory: Timeline, calendar: WorkCalendar, zone: str | None) -> None:
        super().__init__(memory, 1)
        self.calendar = calendar
        self.zone = zone
        self.state: bool | None = None

    def wake(self, moment: int) -> None:
        before = self.state
        self.resume(moment)
        if self.state is not before:
            self.tell(moment)

    def resume(self, moment: int) -> None:
        self.state = self.calendar.is_working(moment, self.zone)
        self.wake_at(self.calendar.next_change(moment, self.zone))


class SeasonNow(Cell):
    """What the calendar calls the season: cooling, heating or none."""

    __slots__ = ("calendar", "name", "tz")

    def __init__(self, memory: Timeline, calendar: WorkCalendar, tz: ZoneInfo) -> None:
        super().__init__(memory, 1)
        self.calendar = calendar
        self.tz = tz
        self.name: str | None = None

    def wake(self, moment: int) -> None:
        before = self.name
        self.resume(moment)
        if self.name != before:
            self.tell(moment)

    def resume(self, moment: int) -> None:
        self.name = self.calendar.season(moment)
        tomorrow = self.calendar.local_date(moment) + timedelta(days=1)
        self.wake_at(int(datetime.combine(tomorrow, time(), self.tz).timestamp() * 1000))

    def turns(self, first: int, last: int) -> list[int]:
        """Midnights after ``first`` up to ``last`` (ms) with which another season begins."""
        found: list[int] = []
        for midnight in midnights(first, last, self.tz):
            if self.calendar.season(midnight) != self.calendar.season(midnight - 1):
                found.append(midnight)
        return found


def midnights(first: int, last: int, tz: tzinfo) -> list[int]:
    """Beginnings of local days after ``first`` up to ``last`` (ms)."""
    found: list[int] = []
    day = datetime.fromtimestamp(first / 1000, UTC).astimezone(tz).date()
    while True:
        day += timedelta(days=1)
        moment = int(datetime(day.year, day.month, day.day, tzinfo=tz).timestamp() * 1000)
        if moment > last:
            return found
        found.append(moment)


class Ticker(Cell):
    """Tells its listeners at certain minutes of the local day."""

    __slots__ = ("_coming", "minutes", "tz")

    def __init__(self, memory: Timeline, tz: ZoneInfo, minutes: Sequence[int]) -> None:
        super().__init__(memory, 1)
        self.tz = tz
        self.minutes = tuple(minutes)
        self._coming: list[int] = []  # moments of one day and the next

    def wake(self, moment: int) -> None:
        self.resume(moment)
        self.tell(moment)

    def resume(self, moment: int) -> None:
        if not (self._coming and self._coming[0] <= moment < self._coming[-1]):
            self._coming = self._days(moment)
        place = bisect_right(self._coming, moment)
        if place < len(self._coming):
            self.wake_at(self._coming[place])

    def _days(self, moment: int) -> list[int]:
        """When it tells on the day of ``moment`` and on the next."""
        local = datetime.fromtimestamp(moment / 1000, UTC).astimezone(self.tz)
        midnight = datetime(local.year, local.month, local.day, tzinfo=self.tz)
        found = {
            int((midnight + timedelta(days=day, minutes=minute)).timestamp() * 1000)
            for day in (0, 1)
            for minute in self.minutes
        }
        return sorted(found)

    def odd_days(self, first: int, last: int) -> list[tuple[int, int]]:
        """Beginning and end (ms) of days from ``first`` to ``last`` that do not have 24 hours."""
        days = midnights(first - DAY, last + DAY, self.tz)
        return [(start, end) for start, end in pairwise(days) if end - start != DAY]
