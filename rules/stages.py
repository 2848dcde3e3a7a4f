"""The stages between an alert and a message: each asks one question, and a message is held back under its name.

A stage is a function ``Look -> Held | None``. They are asked in the order of ``STAGES``; the first that holds decides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from rules.cases import STANDING, Book, Case, Told
from rules.routing import Plan, Route, Step
from rules.topology import SILENT


class Held(NamedTuple):
    """A message is held back by ``stage`` for ``reason`` until ``until`` (ms UTC; None: until something changes)."""

    stage: str
    reason: str
    until: int | None


class Desk(Protocol):
    """What the stages ask of the dispatcher."""

    plan: Plan
    book: Book

    def hidden_by(self, case: Case) -> Case | None:
        """The case of which this one is only the consequence, if any."""

    def sought_until(self, case: Case) -> int:
        """Until when (ms) a bigger cause of a silent device may yet show."""


@dataclass
class Look:
    """One case, one person, now. ``wish`` is what the person should hear: a stage may change it."""

    desk: Desk
    case: Case
    step: Step
    route: Route
    told: Told | None
    wish: str
    now: int

    @property
    def urgent(self) -> bool:
        """Leaks and the like: at once, day and night."""
        return self.case.alert["severity"] == "critical" and self.wish == "firing"

    @property
    def repeat(self) -> int | None:
        """How long until the next reminder; what is standing is told more seldom."""
        return self.route.standing if self.now - self.case.since > STANDING else self.route.repeat


Stage = Callable[[Look], Held | None]


def chattering(look: Look) -> Held | None:
    """Is it raised again and again? Then it is told once, as that, until it is calm."""
    chatter = look.desk.book.chatter.get(look.case.key)
    if chatter is None:
        return None
    if look.step.person.name not in chatter.told and look.case.id == chatter.case:
        look.wish = "chattering"
        return None
    return Held("chattering", "raised again and again; told once as such until it is calm", None)


def unseen(look: Look) -> Held | None:
    """Is it over before the person was told that it began?"""
    if look.wish != "resolved" or look.told is not None:
        return None
    return Held("its beginning was never told", "it ended before this person was told of it", None)


def acknowledged(look: Look) -> Held | None:
    """Has somebody taken it on? Then nobody is reminded, and nobody further is told."""
    if look.wish not in ("firing", "reminder") or look.case.alert["state"] != "acknowledged":
        return None
    answer = look.case.alert["evidence"].get("answer") or {}
    return Held("acknowledged", f"acknowledged by {answer.get('by', 'somebody')}", None)


def silenced(look: Look) -> Held | None:
    """Does a person want no messages of it?"""
    if look.wish not in ("firing", "reminder", "chattering") or look.case.alert["state"] != "silenced":
        return None
    answer = look.case.alert["evidence"].get("answer") or {}
    return Held("silenced", f"silenced by {answer.get('by', 'somebody')} until {answer.get('until')}", None)


def hidden(look: Look) -> Held | None:
    """Is the silence of a device only the consequence of a gateway, a broker or the power being off?"""
    if look.wish == "resolved":
        return None
    cause = look.desk.hidden_by(look.case)
    return None if cause is None else Held("hidden by its cause", f"behind: {cause.alert['title']}", None)


def cause_sought(look: Look) -> Held | None:
    """May a silent device yet turn out to be the consequence of something bigger?"""
    if look.case.alert["rule"] != SILENT or look.wish != "firing" or look.told is not None:
        return None
    until = look.desk.sought_until(look.case)
    return Held("its cause is sought", "others may fall silent too", until) if look.now < until else None


def told_already(look: Look) -> Held | None:
    """Was the person told, and is the time for a reminder not yet there?"""
    if look.wish != "reminder" or look.told is None:
        return None
    repeat = look.repeat
    if repeat is None:
        return Held("already told", "no reminders on this route", None)
    due = look.told.at + repeat
    return Held("already told", "the reminder is not due yet", due) if look.now < due else None


def not_their_turn(look: Look) -> Held | None:
    """Is this person told only after others have had their time to act? The route's clock counts."""
    if look.told is not None or not look.step.after:
        return None
    hours = look.desk.plan.always if look.urgent else look.route.hours
    due = hours.after(look.case.raised, look.step.after, look.case.alert.get("zone"))
    return Held("not their turn", "others are told first", due) if look.now < due else None


def outside_hours(look: Look) -> Held | None:
    """Is it outside the hours of the route or of the person? Critical alerts know no hours."""
    if look.urgent:
        return None
    person, zone, moment = look.step.person, look.case.alert.get("zone"), look.now
    tables = (person.hours,) if person.each else (look.route.hours, person.hours)  # programs have no hours of a route
    for _ in range(10):  # both must be open; each may be shut where the other is not
        before = moment
        for hours in tables:
            moment = hours.opens(moment, zone)
        if moment == before:
            break
    return Held("outside hours", "told when the hours begin, if it is still on", moment) if moment > look.now else None


STAGES: Final[tuple[Stage, ...]] = (
    chattering, unseen, acknowledged, silenced, hidden, cause_sought, told_already, not_their_turn, outside_hours,
)  # fmt: skip
"""In this order; after them a letter waits for what else its group brings, and for the person's day to have room."""
