"""Lists by the calendar: last night's alerts in the morning, what is still on after closing time, a weekly canary, and
a word on Mondays while the holidays of this year, or in December of the next, are not known.

APScheduler's cron triggers say when (daylight-saving safe); our own clock says what time it is. A list that was due
while the program was not running is made up for within two hours, then left out with a word in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from typing import Any, Final

from apscheduler.triggers.cron import CronTrigger

from building.calendar import WorkCalendar
from building.site import DAY, MINUTE
from rules.cases import Case, Letter
from rules.dispatch import Dispatcher
from rules.routing import CanaryPage, DigestPage, Person, RoutesPage
from rules.topology import CAUSES

log = logging.getLogger(__name__)

MISFIRE_GRACE: Final = 120 * MINUTE
_LOOK_AHEAD: Final = 8  # days
_HOLIDAYS: Final = "holidays"

_NOT_ON: Final = (
    *CAUSES, "meter_silent", "meter_stuck", "meter_implausible", "balance_mismatch", "night_base_load", "quota_pace",
)  # fmt: skip
"""Rules of which the round after work says nothing: what they tell cannot be switched off on the way home."""

StillOn = Callable[[], list[dict[str, Any]]]
"""Devices that are on now: ``{"device", "zone", "department", "quantity", "value"}`` each."""


class Calendar:
    """The calendar jobs of one plan. ``still_on`` is asked when a list of what is on is due."""

    def __init__(self, desk: Dispatcher, still_on: StillOn | None = None) -> None:
        self._desk = desk
        self._work = WorkCalendar(desk.site)
        self.still_on = still_on
        page = desk.plan.page
        self._jobs: dict[str, DigestPage | CanaryPage] = {
            f"{digest.list}/{number}": digest for number, digest in enumerate(page.digests)
        }
        if page.canary is not None:
            self._jobs["canary"] = page.canary
        if desk.site.site.calendar == "china":
            self._jobs[_HOLIDAYS] = CanaryPage(tell=_who_gets_lists(page) or tuple(desk.plan.people))

    def step(self, now: int) -> list[Letter]:
        """Letters of jobs that have come due; wakes the desk for the next."""
        letters: list[Letter] = []
        fired = self._desk.book.fired
        for name, job in self._jobs.items():
            last = fired.setdefault(name, now)
            due = self._next(job, last)
            while due is not None and due <= now:
                fired[name] = due
                if now - due <= MISFIRE_GRACE:
                    letters += self._letters(name, job, now)
                else:
                    log.warning("the list %s of %s is left out: it came too late", name, _utc(due))
                last, due = due, self._next(job, due)
            if due is not None:
                self._desk.wake(due)
        return letters

    def _next(self, job: DigestPage | CanaryPage, after: int) -> int | None:
        """The first moment of ``job`` after ``after``; lists keep to workdays."""
        if isinstance(job, CanaryPage):
            return self._cron(job.at, after, job.day)
        if job.at == "closing":
            return self._closing(after - job.after, job) + job.after
        moment = self._cron(job.at, after - job.after)
        while not self._work.is_workday(self._work.local_date(moment)) and moment < after + _LOOK_AHEAD * 2 * DAY:
            moment = self._cron(job.at, moment)
        return moment + job.after

    def _cron(self, at: str, after: int, day: str | None = None) -> int:
        hour, minute = at.split(":")
        trigger = CronTrigger(hour=hour, minute=minute, day_of_week=day, timezone=self._desk.site.site.tz)
        begin = datetime.fromtimestamp(after / 1000 + 1, UTC)  # a moment that was done is not due again
        return int(trigger.get_next_fire_time(None, begin).timestamp()) * 1000

    def _closing(self, after: int, job: DigestPage) -> int:
        """The end of the next day's work after ``after``: the last moment of a day at which work stops."""
        zone, moment = self._zone(job), after
        for _ in range(200):
            change = self._work.next_change(moment, zone)
            ended = not self._work.is_working(change, zone)
            again = self._work.next_change(change, zone)
            if ended and self._day(again) != self._day(change):
                return change
            moment = change
        return moment

    def _last_closing(self, job: DigestPage, now: int) -> int:
        """When work ended last on a day before today: after a weekend, on the Friday."""
        zone, moment = self._zone(job), now
        for _ in range(20):  # in a day's pauses work ends too, so some steps back may be of today
            if self._work.is_working(moment, zone):
                moment = self._work.since(moment, zone) - 1
            moment = self._work.since(moment, zone)
            if self._day(moment) != self._day(now):
                break
            moment -= 1
        return moment

    def _zone(self, job: DigestPage) -> str | None:
        """A zone by whose working hours the list goes."""
        return next((z.id for z in self._desk.site.zones if z.department in job.department), None)

    def _day(self, moment: int) -> date:
        return self._work.local_date(moment)

    def _letters(self, name: str, job: DigestPage | CanaryPage, now: int) -> Iterable[Letter]:
        desk = self._desk
        still: list[dict[str, Any]] = []
        cases: list[Case] = []
        kind = "canary"
        if name == _HOLIDAYS:
            if self._work.missing_year(now) is None:
                return
            kind = _HOLIDAYS
        if isinstance(job, DigestPage):
            kind = job.list
            if kind == "still_on":
                still = [on for on in (self.still_on() if self.still_on else []) if _theirs(job, on["department"])]
                cases = [case for case in self._open(job) if case.alert["rule"] not in _NOT_ON]
                told = {case.alert["device"] for case in cases}
                still = [on for on in still if on["device"] not in told]  # one place is one line
            else:
                cases = self._since(job, self._last_closing(job, now))
            if not still and not cases:
                return
        for person in desk.plan.known(job.tell):
            if not desk.may_send(person, now):
                desk.hold_over(person, [case.id for case in cases], now)
                log.warning("the list %s is not sent to %s: the day's limit is reached", name, person.name)
                continue
            yield self._letter(kind, person, cases, still, now)

    def _letter(self, kind: str, person: Person, cases: list[Case], still: list[dict[str, Any]], now: int) -> Letter:
        ident = self._desk.next_ident(now)
        wishes = {case.id: "resolved" if case.ended is not None else "firing" for case in cases}
        letter = Letter(ident, person.name, now, wishes, kind, still=still)
        self._desk.count(letter, person, now)
        return letter

    def _open(self, job: DigestPage) -> list[Case]:
        found = [case for case in self._desk.cases.values() if case.ended is None and self._shown(job, case)]
        return sorted(found, key=lambda case: (str(case.alert.get("department")), case.raised))

    def _since(self, job: DigestPage, since: int) -> list[Case]:
        found = [
            case
            for case in self._desk.cases.values()
            if (case.ended is None or case.ended > since) and self._shown(job, case)
        ]
        return sorted(found, key=lambda case: (str(case.alert.get("department")), case.raised))

    def _shown(self, job: DigestPage, case: Case) -> bool:
        return _theirs(job, case.alert.get("department")) and self._desk.hidden_by(case) is None


def _who_gets_lists(page: RoutesPage) -> tuple[str, ...]:
    told = [name for digest in page.digests for name in digest.tell]
    return tuple(dict.fromkeys([*told, *(page.canary.tell if page.canary is not None else ())]))


def _theirs(job: DigestPage, department: str | None) -> bool:
    return not job.department or department in job.department


def _utc(moment: int) -> str:
    return datetime.fromtimestamp(moment / 1000, UTC).isoformat(timespec="minutes")
