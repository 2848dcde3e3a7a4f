"""What a report on the use of energy says, as one frozen record: the table, the page and the JSON are made of it. Pure.

Amounts are kWh of ``energy`` (electricity) and ``heat`` and m3 of ``volume`` (water), ``gas`` and ``fuel``; money is in
the site's currency. None is unknown, which is never 0; shares are parts of 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, NamedTuple

MEDIA: Final = ("energy", "volume", "heat", "gas", "fuel")
UNITS: Final[Mapping[str, str]] = {"energy": "kWh", "volume": "m3", "heat": "kWh", "gas": "m3", "fuel": "m3"}
ENOUGH: Final = 0.95
"""Share of a time that must be covered for its total to be compared, as an interval that is not missing must be."""


class Span(NamedTuple):
    """Whole local days; ``end`` is the first one after it."""

    begin: date
    end: date

    @property
    def days(self) -> int:
        return (self.end - self.begin).days


class Worked(NamedTuple):
    """A span, and how many of its days are working days."""

    span: Span
    workdays: int


@dataclass(frozen=True)
class Use:
    """What was used of one medium, as far as it is known. ``coal`` (kgce) and ``kgco2`` (kg) are None of water, which
    has no factor. Shares of the time, over all meters."""

    amount: float | None
    cost: float | None
    coal: float | None
    kgco2: float | None
    measured: float
    estimated: float
    missing: float

    @property
    def complete(self) -> bool:
        return self.amount is not None and self.missing <= 1 - ENOUGH


def change(now: Use, before: Use | None) -> float | None:
    """How much more is used than before, as a part of what was; None where either is not known well enough."""
    if before is None or not (now.complete and before.complete) or not before.amount or now.amount is None:
        return None
    return now.amount / before.amount - 1


class Day(NamedTuple):
    """Use of one day; ``state``: measured, settled, estimated or missing, of the worst of its meters."""

    day: date
    workday: bool
    amount: float | None
    state: str


@dataclass(frozen=True)
class Rest:
    """Use when nobody works, by the quarters of an hour that are known by themselves; ``known`` is the share of them.

    ``base``: the mean from 01:00 to 05:00 (kW, m3/h); ``base_share``: its part of the whole were it so all the time;
    ``outside_share``: the part of the whole that was used outside working hours.
    """

    base: float | None
    base_share: float | None
    outside_share: float | None
    known: float


@dataclass(frozen=True)
class Medium:
    """One medium of the place that the report is about."""

    field: str
    use: Use
    before: Use | None
    year_ago: Use | None
    days: Sequence[Day]
    rest: Rest | None


@dataclass(frozen=True)
class Pace:
    """A department's quota for a year: ``used`` of it from the first of January to the end of the report."""

    quota: float
    used: float | None
    missing: float  # share of that time
    gone: float  # share of the year

    @property
    def share(self) -> float | None:
        return None if self.used is None else self.used / self.quota


@dataclass(frozen=True)
class Unit:
    """A department; ``headcount`` and ``area`` (m2) None where the site does not tell them."""

    id: str
    name: str
    headcount: int | None
    area: float | None
    uses: Mapping[str, Use]
    paces: Mapping[str, Pace]

    def per_head(self, field: str) -> float | None:
        return _divided(self.uses.get(field), self.headcount)

    def per_area(self, field: str) -> float | None:
        return _divided(self.uses.get(field), self.area)


def _divided(use: Use | None, by: float | None) -> float | None:
    return None if use is None or use.amount is None or not by else use.amount / by


@dataclass(frozen=True)
class Balance:
    """A meter against those directly behind it, on the days on which all of them are known; None: on no day."""

    device: str
    field: str
    above: float | None
    below: float | None
    days: int


@dataclass(frozen=True)
class Waste:
    """Sums over alerts that ended; each None where it is known of none."""

    kwh: float | None = None
    litres: float | None = None
    cost: float | None = None
    kgco2: float | None = None


@dataclass(frozen=True)
class Line:
    """Alerts of one rule or department. ``raised`` and ``ended`` in the report's time, ``open`` at its end."""

    key: str
    raised: int
    ended: int
    open: int
    waste: Waste
    counts: bool = True  # whether it is waste, and not use above a quota or base, or not accounted for


@dataclass(frozen=True)
class Costly:
    """One alert that ended, with its place and time (ISO 8601 with offset)."""

    id: str
    rule: str
    zone: str | None
    device: str | None
    department: str | None
    since: str
    ended: str
    waste: Waste
    estimated: bool
    reason: str


@dataclass(frozen=True)
class Answers:
    """What people said of the alerts raised in the report's time; ``minutes``: median from alert to first answer.

    ``excused``: waste of those that ended and were called a false alarm or on purpose; it is contained in the sums.
    """

    raised: int
    answered: int
    minutes: float | None
    reasons: Mapping[str, int]
    excused: Waste


@dataclass(frozen=True)
class Alerts:
    """Alerts of the report's time. ``total`` is the waste alone: what lies above a quota or base is in it already."""

    total: Waste
    rules: Sequence[Line]
    departments: Sequence[Line]
    costliest: Sequence[Costly]
    answers: Answers


@dataclass(frozen=True)
class Gap:
    """A device that was not measured all the time: the share missing in its intervals (None: it has none), and how long
    alerts said that it was silent (ms). ``never``: a meter of which there never was a reading."""

    device: str
    missing: float | None
    silent: int
    never: bool = False


@dataclass(frozen=True)
class Report:
    """All of it. ``department`` None: the whole site. ``alerts`` None: not known, which is not that there were none.

    ``month``: whether it is of a month. ``until``: up to when (ISO 8601) readings are accounted.
    """

    site: str
    department: Unit | None
    language: str
    currency: str
    month: bool
    period: Worked
    before: Worked
    year_ago: Worked
    holidays_unknown: bool
    media: Sequence[Medium]
    cost: float | None
    coal: float | None
    kgco2: float | None
    headcount: int | None
    area: float | None
    departments: Sequence[Unit]
    balances: Sequence[Balance]
    alerts: Alerts | None
    gaps: Sequence[Gap]
    names: Mapping[str, Mapping[str, str]]  # of rules, zones, departments and devices, by id
    until: str
    made: str

    def name(self, kind: str, ident: str | None) -> str:
        """What people call a rule, zone, department or device; what the site no longer has, by its id."""
        return "" if ident is None else self.names[kind].get(ident, ident)

    def medium(self, field: str) -> Medium | None:
        return next((one for one in self.media if one.field == field), None)

    def whole(self, field: str) -> Unit:
        """The site as if it were one department, for what is used per head and area."""
        found = self.medium(field)
        return Unit("", self.site, self.headcount, self.area, {} if found is None else {field: found.use}, {})


# -- for programs -----------------------------------------------------------------------------------------------------


def as_json(report: Report) -> dict[str, Any]:
    """The report as plain values; dates are local, ``to`` is the first day after."""
    return {
        "site": report.site,
        "department": None if report.department is None else report.department.id,
        "period": _worked(report.period),
        "before": _worked(report.before),
        "year_ago": _worked(report.year_ago),
        "holidays_unknown": report.holidays_unknown,
        "currency": report.currency,
        "total": {"cost": _r(report.cost), "kgce": _r(report.coal), "kgco2": _r(report.kgco2)},
        "media": {medium.field: _medium(medium) for medium in report.media},
        "headcount": report.headcount,
        "area": report.area,
        "departments": {unit.id: _unit(unit) for unit in report.departments},
        "balances": [vars(one) | {"above": _r(one.above), "below": _r(one.below)} for one in report.balances],
        "alerts": None if report.alerts is None else _alerts(report.alerts),
        "gaps": [vars(gap) | {"missing": _r(gap.missing)} for gap in report.gaps],
        "accounted_until": report.until,
        "made": report.made,
    }


def _worked(worked: Worked) -> dict[str, Any]:
    span = worked.span
    return {
        "from": span.begin.isoformat(), "to": span.end.isoformat(), "days": span.days, "workdays": worked.workdays,
    }  # fmt: skip


def _medium(medium: Medium) -> dict[str, Any]:
    before, year_ago = (None if one is None else _use(one, medium.field) for one in (medium.before, medium.year_ago))
    return _use(medium.use, medium.field) | {
        "before": before,
        "change": _r(change(medium.use, medium.before)),
        "year_ago": year_ago,
        "change_in_a_year": _r(change(medium.use, medium.year_ago)),
        "rest": None if medium.rest is None else {key: _r(value) for key, value in vars(medium.rest).items()},
        "days": [
            {"day": one.day.isoformat(), "workday": one.workday, "amount": _r(one.amount), "state": one.state}
            for one in medium.days
        ],
    }


def _use(use: Use, field: str) -> dict[str, Any]:
    return {
        "amount": _r(use.amount), "unit": UNITS[field], "cost": _r(use.cost), "kgce": _r(use.coal),
        "kgco2": _r(use.kgco2), "share_measured": _r(use.measured), "share_estimated": _r(use.estimated),
        "share_missing": _r(use.missing),
    }  # fmt: skip


def _unit(unit: Unit) -> dict[str, Any]:
    return {
        "name": unit.name,
        "headcount": unit.headcount,
        "area": unit.area,
        "media": {
            field: _use(use, field)
            | {"per_head": _r(unit.per_head(field)), "per_m2": _r(unit.per_area(field))}
            for field, use in unit.uses.items()
        },
        "quotas": {
            field: {
                "quota": pace.quota, "used": _r(pace.used), "share_used": _r(pace.share),
                "share_of_year": _r(pace.gone), "share_missing": _r(pace.missing),
            }
            for field, pace in unit.paces.items()
        },
    }  # fmt: skip


def _alerts(alerts: Alerts) -> dict[str, Any]:
    answers = alerts.answers
    return {
        "waste": _waste(alerts.total),
        "rules": {line.key: _line(line) | {"is_waste": line.counts} for line in alerts.rules},
        "departments": {line.key: _line(line) for line in alerts.departments},
        "costliest": [vars(one) | {"waste": _waste(one.waste)} for one in alerts.costliest],
        "answers": {
            "raised": answers.raised, "answered": answers.answered, "median_minutes": _r(answers.minutes),
            "reasons": dict(answers.reasons), "excused": _waste(answers.excused),
        },
    }  # fmt: skip


def _line(line: Line) -> dict[str, Any]:
    return {"raised": line.raised, "ended": line.ended, "open": line.open, **_waste(line.waste)}


def _waste(waste: Waste) -> dict[str, Any]:
    return {key: _r(value) for key, value in vars(waste).items()}


def _r(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
