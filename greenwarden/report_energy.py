"""What a report says of energy and water, day by day out of the ledger by ``collector.summing``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

from building.calendar import WorkCalendar
from building.site import Department, Device, Site
from collector.intervals import COVERED, QUARTER, Interval, State
from collector.metering import Place, field_of, places_of
from collector.storing.ledger import Ledger
from collector.summing import intervals, standard_coal
from dashboards.report import ENOUGH, MEDIA, Balance, Day, Medium, Pace, Rest, Span, Unit, Use

_NIGHT: Final = range(1, 5)  # hours of the clock in which nobody works, as on the boards
_HALF: Final = 0.5  # of the quarters of an hour; of fewer nothing is said of night and evening
_KNOWN_BY_ITSELF: Final = (State.MEASURED, State.ESTIMATED)
_COUNTED_IN_QUOTAS: Final = {"energy": "electricity", "volume": "water"}
_NO_METER_NEEDED: Final = ("aircon", "light")  # may be metered, but most are not

Found = Mapping[str, Sequence[Interval]]
"""Intervals by the id of their place, or by that of their device."""


class Books:
    """The ledger of one site, asked for whole local days that are over."""

    def __init__(self, site: Site, ledger: Ledger) -> None:
        self.site = site
        self.calendar = WorkCalendar(site)
        self._ledger = ledger
        self._places = places_of(site)
        self._heard = {device for device, _ in ledger.series()}

    def instant(self, day: date) -> int:
        """Midnight with which ``day`` begins (ms UTC)."""
        return int(datetime(day.year, day.month, day.day, tzinfo=self.site.site.tz).timestamp() * 1000)

    def workdays(self, span: Span, zone: str | None) -> int:
        """Days of ``span`` on which people work."""
        return sum(self.calendar.is_workday(day, zone) for day in _days(span))

    def known(self) -> Span | None:
        """From the first to the last day of which the ledger holds anything; None for an empty one."""
        firsts = [first for number in self._ledger.series().values() if (first := self._first(number)) is not None]
        until = self._ledger.noted("until")
        if not firsts or until is None:
            return None
        return Span(self.calendar.local_date(min(firsts)), self.calendar.local_date(until - 1) + timedelta(1))

    def _first(self, series: int) -> int | None:
        """The quarter of an hour (ms) with which a series begins, as far as its first UTC day says."""
        day = self._ledger.first_day(series)
        if day is None:
            return None
        covered = self._ledger.slots(series, day, day)[1][COVERED]
        return day + QUARTER * int(covered.argmax())

    # -- places -------------------------------------------------------------------------------------------------------

    def media(self, place: Place, span: Span, before: Span, year_ago: Span, zone: str | None) -> list[Medium]:
        """Every medium that ``place`` has a meter of."""
        found = []
        for field in MEDIA:
            devices = self._of(place, field)
            if devices:
                here, *past = ([*self._days(place, devices, one)] for one in (span, before, year_ago))
                back, ago = (self._use(one, field) for one in past)
                found.append(
                    Medium(
                        field,
                        self._use(here, field),
                        None if back.amount is None else back,
                        None if ago.amount is None else ago,
                        self._by_day(here, field, span, zone),
                        self._rest(place, devices, field, span, zone),
                    )
                )
        return found

    def unit(self, department: Department, span: Span) -> Unit:
        """What a department used, and how far its quota has gone by the end of ``span``."""
        place, uses, paces = ("department", department.id), {}, {}
        year = Span(span.end.replace(month=1, day=1), span.end)
        if not year.days:  # the report ends with a year
            year = Span(date(span.end.year - 1, 1, 1), span.end)
        length = (date(year.begin.year + 1, 1, 1) - year.begin).days
        for field in MEDIA:
            devices = self._of(place, field)
            if devices:
                uses[field] = self._use(self._days(place, devices, span), field)
            quota = getattr(department.quota, _COUNTED_IN_QUOTAS.get(field, ""), None)
            if quota is not None:
                so_far = self._use(self._days(place, devices, year) if devices else [], field)
                paces[field] = Pace(quota, so_far.amount, so_far.missing, year.days / length)
        return Unit(
            department.id, department.name or department.id, department.headcount or None, department.area, uses, paces
        )

    def _of(self, place: Place, field: str) -> list[Device]:
        """The meters of ``field`` whose sum is the use of ``place``."""
        return [
            device for device in self._places.get(place, ()) if field_of(device) == field and self._is_meter(device)
        ]

    def _is_meter(self, device: Device) -> bool:
        """An air conditioner or lamp is one only once something was heard that can be counted."""
        return device.kind not in (*_NO_METER_NEEDED, "sensor") or device.id in self._heard

    def _days(self, place: Place, devices: Sequence[Device], span: Span, period: str = "1d") -> list[Interval]:
        """Empty where no meter was ever heard. What is not accounted by the end of ``span`` is missing."""
        start, end = self.instant(span.begin), self.instant(span.end)
        return (
            list(intervals(self.site, self._ledger, {place: devices}, period, start, end, end)) if end > start else []
        )

    def _use(self, found: Sequence[Interval], field: str) -> Use:
        """The sum of ``found``."""
        told = [one for one in found if field in one.values]
        amount = sum(one.values[field] for one in told) if told else None
        coal, carbon = None, None
        if amount is not None and field != "volume":
            coal, carbon = standard_coal(self.site.site, {field: amount}), _total(one.kgco2 for one in told)
        length = sum(one.end - one.start for one in found) or 1
        measured = sum(one.share_measured * (one.end - one.start) for one in found) / length
        covered = sum(one.share_covered * (one.end - one.start) for one in found) / length
        cost = _total(one.cost for one in told)
        return Use(amount, cost, coal, carbon, measured, max(0.0, covered - measured), max(0.0, 1.0 - covered))

    def _by_day(self, found: Sequence[Interval], field: str, span: Span, zone: str | None) -> list[Day]:
        """Every day of ``span``, also where no meter was ever heard."""
        by_day = {self.calendar.local_date(one.start): one for one in found}
        days = []
        for day in _days(span):
            one, at_work = by_day.get(day), self.calendar.is_workday(day, zone)
            told = (None, State.MISSING) if one is None else (one.values.get(field), one.state)
            days.append(Day(day, at_work, told[0], told[1].word))
        return days

    def _rest(self, place: Place, devices: Sequence[Device], field: str, span: Span, zone: str | None) -> Rest | None:
        """None where nothing was ever heard."""
        quarters = self._days(place, devices, span, "15m")
        if not quarters:
            return None
        told = [one for one in quarters if field in one.values and one.state in _KNOWN_BY_ITSELF]
        known, total = len(told) / len(quarters), sum(one.values[field] for one in told)
        night = [one.values[field] for one in told if self._hour(one.start) in _NIGHT]
        if known < _HALF or not night:
            return Rest(None, None, None, known)
        outside = sum(one.values[field] for one in told if not self.calendar.is_working(one.start, zone))
        mean = sum(night) / len(night)
        if total <= 0:
            return Rest(4 * mean, None, None, known)
        return Rest(4 * mean, mean / (total / len(told)), outside / total, known)

    def _hour(self, moment: int) -> int:
        return datetime.fromtimestamp(moment / 1000, UTC).astimezone(self.site.site.tz).hour

    # -- single meters ------------------------------------------------------------------------------------------------

    def meters(self, span: Span, department: str | None) -> Found:
        """The days of every meter, of ``department`` or all; none of those never heard."""
        chosen = [
            device
            for device in self.site.devices
            if device.kind != "sensor" and department in (None, self.site.department_of(device))
        ]
        return {device.id: self._days(("device", device.id), [device], span) for device in chosen}

    def never_heard(self, found: Found) -> list[str]:
        """Meters of ``found`` of which there never was a reading."""
        return [
            ident
            for ident in found
            if ident not in self._heard and self.site.device[ident].kind not in _NO_METER_NEEDED
        ]

    def balances(self, span: Span, found: Found) -> Iterator[Balance]:
        """Each meter of ``found`` against those of its medium directly behind it, whosever they are."""
        for device in (self.site.device[ident] for ident in found):
            field = field_of(device)
            behind = [d for d in self.site.devices if d.parent == device.id and field_of(d) == field]
            behind = [d for d in behind if self._is_meter(d)]
            if behind and found[device.id]:
                below = [found.get(d.id) or self._days(("device", d.id), [d], span) for d in behind]
                yield _balance(device, field, found[device.id], below)


def _balance(device: Device, field: str, above: Sequence[Interval], below: Sequence[Sequence[Interval]]) -> Balance:
    by_day: dict[int, list[float]] = defaultdict(list)
    for one in (one for meter in below for one in meter if _whole(one, field)):
        by_day[one.start].append(one.values[field])
    days = [one for one in above if _whole(one, field) and len(by_day[one.start]) == len(below)]
    if not days:
        return Balance(device.id, field, None, None, 0)
    children = sum(sum(by_day[one.start]) for one in days)
    return Balance(device.id, field, sum(one.values[field] for one in days), children, len(days))


def _whole(one: Interval, field: str) -> bool:
    return field in one.values and one.share_covered >= ENOUGH


def _total(parts: Iterable[float | None]) -> float | None:
    """None where any is unknown, or there is none."""
    known = list(parts)
    return None if not known or None in known else sum(part for part in known if part is not None)


def missing_share(found: Sequence[Interval]) -> float:
    """The share of the time of ``found`` that is neither measured nor estimated."""
    length = sum(one.end - one.start for one in found)
    return 1.0 - sum(one.share_covered * (one.end - one.start) for one in found) / length


def _days(span: Span) -> Iterator[date]:
    return (span.begin + timedelta(number) for number in range(span.days))


# -- which days -------------------------------------------------------------------------------------------------------


def month_of(day: date) -> Span:
    """The month in which ``day`` lies."""
    begin = day.replace(day=1)
    return Span(begin, (begin + timedelta(32)).replace(day=1))


def the_time_before(span: Span, *, month: bool) -> Span:
    """The month before, or of one that is not over so many of its days; else as many days right before."""
    if not month:
        return Span(span.begin - timedelta(span.days), span.begin)
    return _part(month_of(span.begin - timedelta(1)), span)


def a_year_before(span: Span, *, month: bool) -> Span:
    """The same month, or the same days, a year ago; the 29th of February is the 28th then."""
    day = span.begin
    begin = date(day.year - 1, day.month, 28 if (day.month, day.day) == (2, 29) else day.day)
    return _part(month_of(begin), span) if month else Span(begin, begin + timedelta(span.days))


def _part(whole: Span, span: Span) -> Span:
    if span == month_of(span.begin):
        return whole
    return Span(whole.begin, min(whole.end, whole.begin + timedelta(span.days)))
