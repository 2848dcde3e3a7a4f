"""Hours of people and routes: whether somebody may be told now, when that is next, and how long it takes in them."""

from __future__ import annotations

from typing import Final, Literal

from building.calendar import WorkCalendar
from building.hours import Hours
from building.site import DAY, Site

_LONGEST_AHEAD: Final = 60 * DAY

When = Literal["always", "working", "off_hours"] | Hours
"""``working`` and ``off_hours`` go by the zone's working hours; own hours keep holidays and make-up workdays too."""


class Timetable:
    """One set of hours. Moments are ms UTC; ``zone`` decides whose working hours, where they are meant."""

    def __init__(self, site: Site, when: When) -> None:
        self._when = when
        self._calendar = WorkCalendar(site if isinstance(when, str) else _with_hours(site, when))

    def open(self, moment: int, zone: str | None) -> bool:
        """Whether ``moment`` is within the hours."""
        if self._when == "always":
            return True
        working = self._calendar.is_working(moment, self._zone(zone))
        return not working if self._when == "off_hours" else working

    def opens(self, moment: int, zone: str | None) -> int:
        """The first moment from ``moment`` on that is within the hours."""
        last = moment + _LONGEST_AHEAD
        while not self.open(moment, zone) and moment < last:
            moment = self._calendar.next_change(moment, self._zone(zone))
        return moment

    def after(self, moment: int, wait: int, zone: str | None) -> int:
        """When ``wait`` ms within the hours will have passed since ``moment``; the clock stands still outside them."""
        if self._when == "always" or wait <= 0:
            return moment + max(wait, 0)
        last = moment + _LONGEST_AHEAD
        while moment < last:
            moment = self.opens(moment, zone)
            closes = self._calendar.next_change(moment, self._zone(zone))
            if moment + wait <= closes:
                return moment + wait
            wait -= closes - moment
            moment = closes
        return moment

    def _zone(self, zone: str | None) -> str | None:
        return zone if isinstance(self._when, str) else None


def _with_hours(site: Site, hours: Hours) -> Site:
    """The site, were these its only working hours."""
    info = site.site.model_copy(update={"working_hours": hours})
    return site.model_copy(update={"site": info, "zones": (), "departments": ()})
