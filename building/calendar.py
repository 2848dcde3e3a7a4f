"""When people are expected: working hours, public holidays and make-up workdays, in local time.

Working hours say which weekdays people work. China's holidays and make-up workdays (调休) go before them; they come
from the chinesecalendar package, year by year as the State Council announces them. ``extra_holidays`` and
``extra_workdays`` of the site go before both. For a year the package does not know yet, the working hours alone
decide; ``missing_year`` says so while there is time to do something about it.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, date, datetime, timedelta
from typing import Final

import chinese_calendar

from building.hours import Hours, Season
from building.site import Site

_DAY_MS = 86_400_000
_MINUTES_A_DAY = 1440
_DECEMBER: Final = 12  # the State Council announces the next year's holidays in November
_A_YEARS_HOLIDAYS: Final = 11  # days off by law before 2025, 13 since; a site that lists as many knows its year


class WorkCalendar:
    """Answers, for zones of one site, whether a moment is within working hours and when that changes next."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._tz = site.site.tz
        self._holidays = frozenset(date.fromisoformat(day) for day in site.site.extra_holidays)
        self._workdays = frozenset(date.fromisoformat(day) for day in site.site.extra_workdays)
        self._changes: dict[tuple[str | None, date], tuple[list[int], list[bool]]] = {}
        self.unknown_years: set[int] = set()

    def is_workday(self, day: date, zone: str | None = None) -> bool:
        """Whether people work in ``zone`` on ``day`` at all: overrides, then the official calendar, then the weekday.

        An office open on Saturdays works on every Saturday that is no holiday, whatever others do.
        """
        decided = self._decided(day)
        return bool(self.hours(zone)[day.weekday()]) if decided is None else decided

    def is_made_up(self, day: date) -> bool:
        """Whether ``day`` is a workday by decree (调休, or an extra workday of the site), whatever its weekday."""
        return self._decided(day) is True

    def missing_year(self, moment: int) -> int | None:
        """The year whose holidays should be known at ``moment`` (ms) and are not: this one, in December the next."""
        today = self.local_date(moment)
        years = (today.year, today.year + 1) if today.month == _DECEMBER else (today.year,)
        return next((year for year in years if not self._knows(year)), None)

    def _knows(self, year: int) -> bool:
        if self._site.site.calendar != "china":
            return True
        try:
            chinese_calendar.get_holiday_detail(date(year, 1, 1))
        except NotImplementedError:
            return sum(day.year == year for day in self._holidays) >= _A_YEARS_HOLIDAYS
        return True

    def _decided(self, day: date) -> bool | None:
        """True for a make-up workday, False for a holiday, None for a day that is as its weekday says."""
        if day in self._workdays:
            return True
        if day in self._holidays:
            return False
        if self._site.site.calendar == "china":
            try:
                off, name = chinese_calendar.get_holiday_detail(day)
            except NotImplementedError:
                self.unknown_years.add(day.year)
            else:
                return None if name is None else not off
        return None

    def hours(self, zone: str | None) -> Hours:
        """Working hours that hold for ``zone``: its own, its department's, else the site's."""
        place = self._site.zone.get(zone or "")
        if place is not None:
            if place.working_hours is not None:
                return place.working_hours
            department = self._site.department.get(place.department or "")
            if department is not None and department.working_hours is not None:
                return department.working_hours
        return self._site.site.working_hours

    def is_working(self, moment: int, zone: str | None = None) -> bool:
        """Whether ``moment`` (ms UTC) is within the working hours of ``zone``."""
        times, states = self._around(moment, zone)
        return states[bisect_right(times, moment) - 1]

    def next_change(self, moment: int, zone: str | None = None) -> int:
        """First moment (ms UTC) after ``moment`` at which ``is_working`` changes; at most 40 days ahead."""
        day = self.local_date(moment)
        now = self.is_working(moment, zone)
        for ahead in range(41):
            times, states = self._of_day(day + timedelta(days=ahead), zone)
            for time, state in zip(times, states, strict=True):
                if time > moment and state != now:
                    return time
        return moment + 40 * _DAY_MS

    def since(self, moment: int, zone: str | None = None) -> int:
        """The moment at which the present state of ``is_working`` began; at most 40 days back."""
        day = self.local_date(moment)
        now = self.is_working(moment, zone)
        began = moment
        for back in range(41):
            times, states = self._of_day(day - timedelta(days=back), zone)
            for time, state in zip(reversed(times), reversed(states), strict=True):
                if time > moment:
                    continue
                if state != now:
                    return began
                began = time
        return began

    def local_date(self, moment: int) -> date:
        """The calendar day at the site."""
        return datetime.fromtimestamp(moment / 1000, UTC).astimezone(self._tz).date()

    def season(self, moment: int) -> str:
        """``cooling``, ``heating`` or ``none``; cooling wins where a site lets the two overlap."""
        day = self.local_date(moment)
        for name, season in (("cooling", self._site.site.cooling_season), ("heating", self._site.site.heating_season)):
            if isinstance(season, Season) and season.holds(day.month, day.day):
                return name
        return "none"

    def _around(self, moment: int, zone: str | None) -> tuple[list[int], list[bool]]:
        return self._of_day(self.local_date(moment), zone)

    def _of_day(self, day: date, zone: str | None) -> tuple[list[int], list[bool]]:
        """Moments of ``day`` from which a state holds, beginning with its midnight."""
        key = (zone, day)
        found = self._changes.get(key)
        if found is None:
            if len(self._changes) > 20_000:
                self._changes.clear()
            found = self._changes[key] = self._compute(day, zone)
        return found

    def _compute(self, day: date, zone: str | None) -> tuple[list[int], list[bool]]:
        hours = self.hours(zone)
        spans = hours[day.weekday()] if self.is_workday(day, zone) else ()
        if not spans and self.is_made_up(day):
            spans = next((of_day for of_day in hours if of_day), ())  # a make-up Saturday keeps an ordinary day's hours
        times, states = [self._moment(day, 0)], [False]
        for span in spans:
            for minute, state in ((span.start, True), (span.end, False)):
                if minute == _MINUTES_A_DAY:
                    continue  # the next day begins there, and says itself whether work goes on
                # A time that summer time skips becomes one after it; it must not overtake the next.
                moment = max(self._moment(day, minute), times[-1])
                if moment == times[-1]:
                    states[-1] = state
                else:
                    times.append(moment)
                    states.append(state)
        return times, states

    def _moment(self, day: date, minute: int) -> int:
        local = datetime(day.year, day.month, day.day, tzinfo=self._tz) + timedelta(minutes=minute)
        return int(local.timestamp() * 1000)


def missing_holidays(year: int, language: str) -> str:
    """What to say of a year that ``missing_year`` has found, in ``zh`` or ``en``."""
    if language == "zh":
        return (
            f"{year} 年的节假日和调休日尚未收录：到时将只按星期判断上下班。请更新程序（chinesecalendar），"
            "或在 devices.yaml 的 extra_holidays、extra_workdays 中写入该年的安排。"
        )
    return (
        f"The holidays and make-up workdays of {year} are not known: weekdays alone would decide. "
        "Update the program (chinesecalendar), or write that year's days under extra_holidays: and extra_workdays:."
    )
