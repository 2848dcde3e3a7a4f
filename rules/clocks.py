"""Cells that run on the calendar alone: working hours, the season, and certain minutes of the day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from building.calendar import WorkCalendar
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


class Ticker(Cell):
    """Tells its listeners at certain minutes of the local day."""

    __slots__ = ("minutes", "tz")

    def __init__(self, memory: Timeline, tz: ZoneInfo, minutes: Sequence[int]) -> None:
        super().__init__(memory, 1)
        self.tz = tz
        self.minutes = tuple(minutes)

    def wake(self, moment: int) -> None:
        self.resume(moment)
        self.tell(moment)

    def resume(self, moment: int) -> None:
        local = datetime.fromtimestamp(moment / 1000, UTC).astimezone(self.tz)
        midnight = datetime(local.year, local.month, local.day, tzinfo=self.tz)
        for day in (0, 1):
            for minute in self.minutes:
                due = int((midnight + timedelta(days=day, minutes=minute)).timestamp() * 1000)
                if due > moment:
                    self.wake_at(due)
                    return
