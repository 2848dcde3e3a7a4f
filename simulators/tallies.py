"""What was really so over nights and months: loads above a meter's own base, departments ahead of their quota.

Plain arithmetic over what was truly used, with the numbers of the table of rules; a result so near a limit that two
meters of the usual class would differ over it is not sure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING, Final

from building.site import Site
from simulators.courses import HOUR
from simulators.faults import FALSIFYING, HUSHING, FaultBook
from simulators.installation import Installation
from simulators.settings import Settings

if TYPE_CHECKING:
    from simulators.days import Day

_NIGHT: Final = (1, 5)  # o'clock
_FEWEST_NIGHTS, _MOST_NIGHTS = 5, 21
_FIRST_JUDGED: Final = 3  # days of a month
_YEAR: Final = 365.25  # days
_NEAR: Final = 0.01  # part of a limit within which meters of class 1 may differ
DAY: Final = 24 * HOUR


@dataclass
class Excess:
    """A time above a base or a pace: ``since`` until ``ended`` (None: not yet), raised ``after`` ms. ``about`` is a
    meter or a department; ``kwh`` and ``litres`` what is beyond."""

    rule: str
    about: str
    after: int
    since: int
    ended: int | None = None
    kwh: float = 0.0
    litres: float = 0.0
    sure: bool = False


class _Level:
    """One meter's or department's: whether it is beyond, day after day."""

    def __init__(self, rule: str, about: str, after: int, found: list[Excess]) -> None:
        self._rule, self._about, self._after = rule, about, after
        self._found = found
        self._going: Excess | None = None

    def judged(self, at: int, since: int, beyond: float) -> Excess | None:
        """``beyond``: what was used over its limit, 1 at the limit itself. The excess that goes on, or just ended."""
        if beyond <= 1 - _NEAR:
            ended, self._going = self._going, None
            if ended is not None:
                ended.ended = at
            return ended
        if self._going is None:
            self._going = Excess(self._rule, self._about, self._after, since)
            self._found.append(self._going)
        self._going.sure |= beyond > 1 + _NEAR
        return self._going


@dataclass
class _Pace:
    level: _Level
    electricity: float | None
    water: float | None
    meters: list[str]
    taps: list[str]  # zones, one for each water meter
    kwh: float = 0.0
    litres: float = 0.0
    since: int = 0  # from when on the month's use is known
    month: int = 0


@dataclass
class _Nights:
    level: _Level
    watts: list[float] = field(default_factory=list)


class Tallies:
    """Told of day after day; ``found`` holds every time beyond a limit."""

    def __init__(self, site: Site, installation: Installation, book: FaultBook, start: int) -> None:
        self._site, self._book, self._start = site, book, start
        self._settings = Settings(site)
        self.found: list[Excess] = []
        self._nights = {
            device.id: _Nights(_Level("night_base_load", device.id, (_NIGHT[1] - _NIGHT[0]) * HOUR, self.found))
            for device in site.devices
            if device.kind == "electricity" and device.circuit not in ("lighting", "aircon")
        }
        self._paces = [pace for pace in map(self._pace, site.department) if pace is not None]
        self._installation = installation

    def _pace(self, department: str) -> _Pace | None:
        site = self._site
        quota = site.department[department].quota
        if quota.electricity is None and quota.water is None:
            return None
        own = {d.id: d for d in site.devices if site.department_of(d) == department}
        heads = [device for device in own.values() if device.parent not in own]
        meters = [device.id for device in heads if device.kind in ("electricity", "plug")]
        taps = [device.zone for device in heads if device.kind == "water" and device.zone is not None]
        level = _Level("quota_pace", department, DAY, self.found)
        return _Pace(level, quota.electricity, quota.water, meters, taps)

    def take(self, day: Day) -> None:
        """Add the day after the last."""
        for ident, nights in self._nights.items():
            self._night(day, ident, nights)
        if day.begin <= self._start:
            return  # the meters were not there at its first midnight
        month = self._month(day.begin)
        for pace in self._paces:
            if month != pace.month:
                pace.month, pace.since = month, day.begin
                pace.kwh = pace.litres = 0.0
            pace.kwh += sum(day.power[ident].whole for ident in pace.meters if ident in day.power) / 3.6e9
            pace.litres += sum(day.flow[zone].whole for zone in pace.taps) / 60_000
            self._compare(pace, day.end)

    def _month(self, moment: int) -> int:
        local = datetime.fromtimestamp(moment / 1000, self._site.site.tz)
        return local.year * 12 + local.month

    def _night(self, day: Day, ident: str, nights: _Nights) -> None:
        midnight = datetime.fromtimestamp(day.begin / 1000, self._site.site.tz)
        since, until = (round((midnight + timedelta(hours=hour)).timestamp() * 1000) for hour in _NIGHT)
        if since < self._start or self._is_disturbed(ident, since, until):
            return
        watts = day.power[ident].between(since, until) / (until - since)
        if len(nights.watts) >= _FEWEST_NIGHTS:
            base = median(nights.watts)
            zone = self._site.device[ident].zone
            margin, least = (self._settings.number("night_base_load", key, zone) for key in ("margin", "least"))
            limit = max(base * (1 + margin / 100), base + least)
            excess = nights.level.judged(until, since, watts / limit)
            if excess is not None and excess.ended is None:
                excess.kwh += (watts - base) * (until - since) / 3.6e9
        nights.watts = [*nights.watts, watts][-_MOST_NIGHTS:]

    def _is_disturbed(self, ident: str, since: int, until: int) -> bool:
        places = (ident, self._site.device[ident].link)
        return any(
            fault.place in places and fault.start < until and fault.end > since
            for fault in self._book.all
            if fault.kind in HUSHING or fault.kind in FALSIFYING
        )

    def _compare(self, pace: _Pace, at: int) -> None:
        days = (at - pace.since) / DAY
        used: Mapping[str, float] = {"kwh": pace.kwh, "m3": pace.litres / 1000}
        allowed = {
            name: quota * days / _YEAR
            for name, quota in (("kwh", pace.electricity), ("m3", pace.water))
            if quota is not None
        }
        margin = self._settings.number("quota_pace", "margin", None)
        beyond = max(used[name] / (part * (1 + margin / 100)) for name, part in allowed.items())
        excess = pace.level.judged(at, at - DAY, beyond if days >= _FIRST_JUDGED else 0.0)
        if excess is not None and days >= _FIRST_JUDGED:
            excess.kwh = max(pace.kwh - allowed.get("kwh", pace.kwh), 0.0)
            excess.litres = max(pace.litres - allowed.get("m3", pace.litres / 1000) * 1000, 0.0)
